use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::lifecycle::{Ended, Jitter, Unready};
use crate::pool::Mode;

const RULES: Rules = Rules {
    max_age: Duration::from_secs(60),
    max_output: 1000,
    max_jobs: 0,
    max_memory: 0,
    unready: Unready::Killed(Duration::from_secs(30)),
    kill_after: Duration::ZERO,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn spawned(effects: &[Effect]) -> Vec<Number> {
    let number = |effect: &Effect| match effect {
        Effect::Spawn { worker, .. } => Some(*worker),
        _ => None,
    };
    effects.iter().filter_map(number).collect()
}

fn drained(effects: &[Effect]) -> Vec<(Number, Why)> {
    let number = |effect: &Effect| match effect {
        Effect::Drain { worker, why, .. } => Some((*worker, *why)),
        _ => None,
    };
    effects.iter().filter_map(number).collect()
}

/// A crew whose first workers are ready and proved, at two seconds.
fn crew(min: u32, spare: u32, max: u32) -> Crew {
    let mut crew = Crew::new(Limits::new(min, spare, max).unwrap(), RULES);
    let jitter = Jitter(0);
    for worker in spawned(&crew.tend(ms(0))) {
        crew.happened(worker, Event::Spawned { jitter }, ms(0))
            .unwrap();
        crew.happened(worker, Event::Ready, ms(0)).unwrap();
    }
    crew.tend(ms(2000));
    crew.demanded(Demand::Ready(0), ms(2000));
    crew
}

fn up(crew: &mut Crew, worker: Number, now: Duration) {
    let jitter = Jitter(0);
    crew.happened(worker, Event::Spawned { jitter }, now)
        .unwrap();
    crew.happened(worker, Event::Ready, now).unwrap();
}

#[test]
fn a_killed_worker_is_replaced_at_once() {
    let mut crew = crew(2, 0, 2);
    let killed = Event::Ended(Ended::Signalled(9));
    assert_eq!(crew.happened(1, killed, ms(3000)).unwrap(), []);
    assert_eq!(spawned(&crew.tend(ms(3000))), [3]);
}

#[test]
fn workers_that_crash_make_the_pool_wait_and_then_try_one() {
    let mut crew = Crew::new(Limits::new(3, 0, 3).unwrap(), RULES);
    let jitter = Jitter(0);
    let failed = Event::Ended(Ended::Exited(1));
    let first = spawned(&crew.tend(ms(0)));
    let mut said = Vec::new();
    for worker in first {
        crew.happened(worker, Event::Spawned { jitter }, ms(0))
            .unwrap();
        said.extend(crew.happened(worker, failed, ms(10)).unwrap());
    }
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(spawned(&crew.tend(ms(10))).is_empty());
    assert_eq!(spawned(&crew.tend(ms(1010))), [4]);
    up(&mut crew, 4, ms(1020));
    assert!(spawned(&crew.tend(ms(1020))).is_empty());
    let effects = crew.tend(ms(2020));
    assert!(
        effects.contains(&Effect::Recovered { worker: 4 }),
        "{effects:?}"
    );
    assert_eq!(spawned(&effects), [5, 6]);
}

#[test]
fn they_are_recycled_one_at_a_time_and_never_while_busy() {
    let mut crew = crew(3, 0, 3);
    crew.happened(1, Event::Busy { task: 1, group: 1 }, ms(50_000))
        .unwrap();
    assert!(crew.tend(ms(50_000)).is_empty());
    assert_eq!(crew.deadline(), Some(ms(60_000)));
    let effects = crew.tend(ms(60_000));
    assert_eq!(drained(&effects), [(2, Why::Aged)]);
    assert!(drained(&crew.tend(ms(60_001))).is_empty());
    crew.happened(2, Event::Ended(Ended::Exited(0)), ms(61_000))
        .unwrap();
    assert_eq!(spawned(&crew.tend(ms(61_000))), [4]);
    assert!(drained(&crew.tend(ms(61_500))).is_empty());
    up(&mut crew, 4, ms(62_000));
    assert_eq!(drained(&crew.tend(ms(62_000))), [(3, Why::Aged)]);
}

/// Also for those that were started before it was changed.
#[test]
fn another_age_counts_from_when_they_were_started() {
    let mut crew = crew(2, 0, 2);
    let younger = Rules {
        max_age: ms(20_000),
        ..RULES
    };
    crew.set_rules(younger, ms(10_000));
    assert!(drained(&crew.tend(ms(10_000))).is_empty());
    assert_eq!(crew.deadline(), Some(ms(20_000)));
    assert_eq!(drained(&crew.tend(ms(20_000))), [(1, Why::Aged)]);
    let any_age = Rules {
        max_age: ms(0),
        ..RULES
    };
    crew.set_rules(any_age, ms(20_001));
    crew.happened(1, Event::Ended(Ended::Exited(0)), ms(20_002))
        .unwrap();
    let successor = spawned(&crew.tend(ms(20_002)));
    up(&mut crew, successor[0], ms(20_003));
    assert!(drained(&crew.tend(ms(900_000))).is_empty());
}

#[test]
fn output_recycles_too_and_a_refusal_ends_all_starting() {
    let mut crew = crew(1, 0, 2);
    let idle = Event::Idle {
        jobs: 1,
        output: 1000,
    };
    crew.happened(1, idle, ms(3000)).unwrap();
    let effects = crew.tend(ms(3000));
    assert_eq!(drained(&effects), [(1, Why::Output)]);
    assert_eq!(
        spawned(&effects),
        [2],
        "the successor comes while there is room"
    );
    up(&mut crew, 2, ms(3100));
    let refused = Event::Ended(Ended::Exited(125));
    let effects = crew.happened(2, refused, ms(9000)).unwrap();
    assert_eq!(effects, [Effect::Refused { worker: 2 }]);
    assert!(spawned(&crew.tend(ms(900_000))).is_empty());
    crew.forgive(ms(900_001));
    assert_eq!(crew.deadline(), Some(ms(900_001)));
    assert_eq!(spawned(&crew.tend(ms(900_001))).len(), 1);
}

#[test]
fn a_job_that_was_taken_is_not_counted_as_ready() {
    let mut crew = crew(1, 0, 9);
    crew.demanded(Demand::Ready(1), ms(3000));
    crew.happened(1, Event::Busy { task: 1, group: 1 }, ms(3001))
        .unwrap();
    assert!(spawned(&crew.tend(ms(3001))).is_empty());
    crew.demanded(Demand::Ready(1), ms(4000));
    assert_eq!(spawned(&crew.tend(ms(4000))), [2]);
}

/// As a worker does whose command is stopped, and goes on.
#[test]
fn what_is_said_again_of_one_task_takes_no_further_job() {
    let mut crew = crew(1, 0, 9);
    crew.demanded(Demand::Ready(3), ms(3000));
    for (task, left) in [(1, 2), (1, 2), (2, 1), (2, 1)] {
        let busy = Event::Busy { task, group: 1 };
        crew.happened(1, busy, ms(3001)).unwrap();
        assert_eq!(crew.demand(), Demand::Ready(left), "{task}");
    }
}

#[test]
fn a_pool_without_workers_sleeps_until_the_first_job() {
    let mut crew = Crew::new(Mode::Ondemand.limits(2, 1, 3).unwrap(), RULES);
    assert_eq!(crew.tend(ms(0)), [Effect::Ask]);
    crew.demanded(Demand::Ready(0), ms(1));
    assert_eq!(crew.tend(ms(1)), [Effect::Listen]);
    assert_eq!(crew.tend(ms(1)), []);
    assert_eq!(crew.deadline(), None, "it costs nothing");
    crew.heard(true, ms(9000));
    let effects = crew.tend(ms(9000));
    assert_eq!(spawned(&effects), [1], "at once");
    assert!(effects.contains(&Effect::Ask), "how many there are");
    crew.demanded(Demand::Ready(2), ms(9001));
    assert_eq!(spawned(&crew.tend(ms(9100))), [2]);

    // Nobody could listen: it asks as others do.
    let mut crew = Crew::new(Mode::Ondemand.limits(2, 1, 3).unwrap(), RULES);
    crew.tend(ms(0));
    crew.demanded(Demand::Paused, ms(0));
    assert_eq!(crew.tend(ms(0)), [Effect::Listen]);
    crew.heard(false, ms(5));
    assert_eq!(crew.tend(ms(5)), []);
    assert_eq!(crew.deadline(), Some(ms(1005)));
    assert_eq!(crew.tend(ms(1005)), [Effect::Ask]);
}

#[test]
fn no_more_are_started_than_ever_may_be() {
    let mut crew = Crew::new(Limits::new(2, 0, 4).unwrap(), RULES);
    crew.allow(Some(3));
    assert_eq!(spawned(&crew.tend(ms(0))), [1, 2]);
    crew.allow(Some(1));
    up(&mut crew, 1, ms(1));
    up(&mut crew, 2, ms(1));
    crew.demanded(Demand::Ready(9), ms(2000));
    assert_eq!(spawned(&crew.tend(ms(2000))), [3]);
    crew.allow(Some(0));
    up(&mut crew, 3, ms(2001));
    for worker in [1, 2] {
        assert!(crew.tend(ms(4000)).is_empty());
        assert!(!crew.spent(), "there are still enough");
        let ended = Event::Ended(Ended::Exited(0));
        crew.happened(worker, ended, ms(4000)).unwrap();
    }
    crew.tend(ms(4000));
    assert!(crew.spent());
}

#[test]
fn those_that_an_earlier_tender_left_count_against_max() {
    let mut crew = Crew::new(Limits::new(2, 1, 3).unwrap(), RULES);
    crew.counted(Some(3), ms(0));
    assert_eq!(spawned(&crew.tend(ms(0))), [0; 0]);
    assert_eq!(crew.deadline(), Some(ms(250)), "it looks again");
    assert!(!crew.tend(ms(249)).contains(&Effect::Count));
    assert!(crew.tend(ms(250)).contains(&Effect::Count));
    assert!(!crew.tend(ms(250)).contains(&Effect::Count), "once");
    crew.counted(Some(2), ms(250));
    assert_eq!(spawned(&crew.tend(ms(250))), [1]);
    up(&mut crew, 1, ms(300));
    crew.counted(Some(0), ms(500));
    assert_eq!(spawned(&crew.tend(ms(500))), [2]);
    up(&mut crew, 2, ms(500));
    for at in [ms(500), ms(750), ms(9000)] {
        assert!(!crew.tend(at).contains(&Effect::Count), "none are left");
    }
}

#[test]
fn a_crew_that_cannot_count_starts_none() {
    let mut crew = Crew::new(Limits::new(2, 0, 3).unwrap(), RULES);
    crew.counted(None, ms(0));
    assert_eq!(spawned(&crew.tend(ms(0))), [0; 0]);
    let last = crew.last().unwrap();
    assert_eq!(last.reason, Reason::Uncounted);
    assert!(crew.tend(ms(250)).contains(&Effect::Count));
    crew.counted(Some(0), ms(250));
    assert_eq!(spawned(&crew.tend(ms(250))), [1, 2]);
}

#[test]
fn a_closed_crew_starts_nothing_and_tells_late_ones() {
    let mut crew = Crew::new(Limits::new(2, 0, 2).unwrap(), RULES);
    crew.tend(ms(0));
    let jitter = Jitter(0);
    crew.happened(1, Event::Spawned { jitter }, ms(0)).unwrap();
    let grace = ms(5000);
    assert_eq!(drained(&crew.drain(grace, ms(10))), [(1, Why::Shutdown)]);
    let late = crew.happened(2, Event::Spawned { jitter }, ms(20)).unwrap();
    assert_eq!(drained(&late), [(2, Why::Shutdown)]);
    assert_eq!(crew.deadline(), Some(ms(12_010)));
    assert!(crew.tend(ms(12_010)).contains(&Effect::Kill { worker: 1 }));
    crew.happened(1, Event::Ended(Ended::Signalled(9)), ms(12_011))
        .unwrap();
    assert!(!crew.ended());
    crew.happened(2, Event::Ended(Ended::Exited(0)), ms(12_011))
        .unwrap();
    assert_eq!(crew.tend(ms(12_012)), []);
    assert!(crew.ended());
}

/// What one made-up worker does next; `which` picks among those there are.
fn happens() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Ready),
        6 => (1_i64..99).prop_map(|task| Event::Busy { task, group: 1 }),
        6 => (0_u64..9, 0_u64..1500).prop_map(|(jobs, output)| Event::Idle { jobs, output }),
        1 => Just(Event::LinkClosed),
        1 => (0_i32..3).prop_map(|code| Event::Ended(Ended::Exited(code))),
        2 => Just(Event::Ended(Ended::Signalled(9))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Over any history: never above max, nobody busy is told to go, nothing that a process does is illegal, time
    /// never stands still, and a drain ends.
    #[test]
    fn a_crew_keeps_its_bounds(
        min in 0_u32..4, spare in 0_u32..4, more in 1_u32..6, left in 0_u32..6,
        history in prop::collection::vec((0_u64..3000, any::<prop::sample::Index>(), happens(), 0_u64..20), 1..200),
    ) {
        let mut crew = Crew::new(Limits::new(min, spare, min + more).unwrap(), RULES);
        let mut now = ms(0);
        let mut left = left.min(min + more);
        let mut ready_once = BTreeSet::new();
        crew.counted(Some(left), now);
        for (later, which, event, ready) in history {
            let until = now + ms(later);
            // The tender wakes at each deadline on the way.
            for wakes in 0.. {
                prop_assert!(wakes < 1000, "time stands still at {now:?}");
                let busy: Vec<Number> =
                    crew.workers().filter(|(_, w)| w.class() == Class::Busy).map(|(n, _)| n).collect();
                for effect in crew.tend(now) {
                    match effect {
                        Effect::Spawn { worker, .. } => {
                            let spawned = Event::Spawned { jitter: Jitter(worker as u8) };
                            crew.happened(worker, spawned, now).unwrap();
                        }
                        Effect::Kill { worker } => {
                            let killed = Event::Ended(Ended::Signalled(9));
                            crew.happened(worker, killed, now).unwrap();
                        }
                        Effect::Ask => crew.demanded(Demand::Ready(ready), now),
                        Effect::Listen => crew.heard(ready > 9, now),
                        Effect::Count => {
                            left = left.saturating_sub(u32::from(ready % 3 == 0));
                            crew.counted(Some(left), now);
                        }
                        Effect::Drain { worker, .. } => prop_assert!(!busy.contains(&worker)),
                        _ => {}
                    }
                }
                prop_assert!(crew.census().total() <= min + more);
                match crew.deadline() {
                    Some(at) if at <= until => now = now.max(at),
                    _ => break,
                }
            }
            now = until;
            let all: Vec<Number> = crew.workers().map(|(number, _)| number).collect();
            if all.is_empty() {
                continue;
            }
            let which = *which.get(&all);
            // A process says only once that it is ready, and nothing before it says so but what shows it.
            if event == Event::Ready && !ready_once.insert(which) {
                continue;
            }
            ready_once.insert(which);
            let taken_in = crew.happened(which, event, now);
            prop_assert!(taken_in.is_ok(), "{taken_in:?}");
        }
        crew.drain(ms(1000), now);
        while let Some(at) = crew.deadline() {
            for effect in crew.tend(at) {
                if let Effect::Kill { worker } = effect {
                    crew.happened(worker, Event::Ended(Ended::Signalled(9)), at).unwrap();
                }
            }
        }
        prop_assert!(crew.ended());
    }
}
