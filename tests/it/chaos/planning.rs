//! A plan follows from its seed, and leaves no kind of fault out.

use std::collections::BTreeSet;
use std::time::Duration;

use super::plan::{Fault, Kind, plan};

fn kinds(faults: &[Fault]) -> BTreeSet<Kind> {
    faults.iter().map(|fault| fault.kind).collect()
}

#[test]
fn every_kind_comes_up_however_short_the_run() {
    for seconds in [6, 7, 10, 30, 60, 600] {
        for seed in 0..50 {
            let faults = plan(seed, Duration::from_secs(seconds), &Kind::ALL);
            assert_eq!(kinds(&faults), Kind::ALL.into(), "{seconds} s, seed {seed}");
        }
    }
}

#[test]
fn only_kinds_that_were_asked_for_come_up() {
    let some = [Kind::KillWorker, Kind::Lock];
    let faults = plan(7, Duration::from_secs(60), &some);
    assert_eq!(kinds(&faults), some.into());
    assert_eq!(plan(7, Duration::from_secs(60), &[]), []);
}

#[test]
fn a_seed_gives_the_same_plan_again_and_another_one_another() {
    let minute = |seed| plan(seed, Duration::from_secs(60), &Kind::ALL);
    assert_eq!(minute(3), minute(3));
    assert_ne!(minute(3), minute(4));
}

#[test]
fn faults_begin_in_order_and_leave_the_first_and_the_last_moments_alone() {
    let time = Duration::from_secs(60);
    let faults = plan(5, time, &Kind::ALL);
    assert!(faults.is_sorted_by_key(|fault| fault.at));
    let calm = Duration::from_secs(2);
    assert!(faults.iter().all(|f| f.at >= calm && f.at <= time - calm));
}

#[test]
fn a_longer_run_has_more_of_what_happens_often() {
    let faults = plan(1, Duration::from_secs(600), &Kind::ALL);
    let count = |kind| faults.iter().filter(|fault| fault.kind == kind).count();
    assert!(faults.len() > 500, "{}", faults.len());
    assert!(count(Kind::KillWorker) > 3 * count(Kind::KillBroker));
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
    assert_eq!(names.len(), Kind::ALL.len());
}
