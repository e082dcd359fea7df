//! Jobs behind one that is held, looked at in one transaction.

use taskqueue::ledger::{Claim, Entry, ForeignJob, JobRef, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::id::TaskId;

use super::super::{NOW, New, Stage, foreign, job_ref};
use super::{call, end, enter_at, is_held, limited, new_task, put, put_as, rung, with};
use crate::support::tube;

fn sift(ledger: &mut Stage, jobs: &[&JobRef]) -> Vec<TaskId> {
    let entry = Entry {
        sift: jobs.iter().copied().cloned().collect(),
        ..Entry::default()
    };
    enter_at(ledger, &entry, NOW).sifted
}

pub fn what_is_behind_one_that_is_held_is_held_up_to_the_first_that_is_not(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "option:account")]);
    let flood: Vec<(TaskId, JobRef)> = (0..4).map(|_| put(&mut ledger, "7")).collect();
    let (other, others_job) = put(&mut ledger, "8");
    let (last, lasts_job) = put(&mut ledger, "7");
    let first = ledger.begin(&flood[0].1);
    is_held(&mut ledger, &flood[1].1);
    let behind = [&flood[2].1, &flood[3].1, &others_job, &lasts_job];
    assert_eq!(sift(&mut ledger, &behind), [flood[2].0, flood[3].0]);
    // Nothing has become of the others.
    assert_eq!(ledger.status(other), "waiting");
    let others = ledger.begin(&others_job);
    assert_eq!(sift(&mut ledger, &[&lasts_job]), [last]);
    // Those that are held are let go in their order.
    let mut running = first;
    for (id, job) in flood[1..].iter().chain([&(last, lasts_job)]) {
        assert_eq!(rung(&end(&mut ledger, running)), [*id]);
        running = ledger.begin(job);
    }
    assert_eq!(end(&mut ledger, running), []);
    assert_eq!(end(&mut ledger, others), []);
}

pub fn what_others_have_put_is_recorded_and_held(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let first = ledger.begin(&job);
    let body = |number: u64, content: Content| {
        let foreign = ForeignJob {
            content,
            ..foreign("body")
        };
        job_ref(number, TaskRef::Nameless(foreign))
    };
    let theirs = [8, 9].map(|number| body(number, call("work", None)));
    let held = sift(&mut ledger, &[&theirs[0], &theirs[1]]);
    assert_eq!(held.len(), 2);
    // The job comes again, for its worker was killed before it was deleted.
    let claim = ledger.claim(&theirs[0]);
    assert!(
        matches!(claim, Claim::DeleteJob { task: Some(task) } if task == held[0]),
        "{claim:?}"
    );
    assert_eq!(rung(&end(&mut ledger, first)), [held[0]]);
}

pub fn what_is_not_for_a_limit_to_say_is_left_to_a_claim(new: New) {
    let mut ledger = with(new, vec![limited("one", Some(1), None, "")]);
    let (_, job) = put(&mut ledger, "7");
    let (_, free) = put_as(&mut ledger, "other", None, 5, NOW);
    let (_, unknown) = put_as(&mut ledger, "unknown", None, 5, NOW);
    let later = new_task("work", None, 5, NOW + 1000);
    ledger.db.add(std::slice::from_ref(&later), NOW).unwrap();
    let later = job_ref(1, TaskRef::Pointer(later.uuid));
    let (_, behind) = put(&mut ledger, "7");
    let elsewhere = JobRef {
        tube: tube("elsewhere"),
        ..behind.clone()
    };
    let nobody = job_ref(1, TaskRef::Pointer(uuid::Uuid::now_v7()));
    let first = ledger.begin(&job);
    for job in [&job, &free, &unknown, &later, &elsewhere, &nobody] {
        assert_eq!(sift(&mut ledger, &[job, &behind]), [], "{job:?}");
    }
    assert_eq!(sift(&mut ledger, &[&behind]).len(), 1);
    // Held as it is, that is for its claim to say too.
    assert_eq!(sift(&mut ledger, &[&behind]), []);
    assert_eq!(end(&mut ledger, first).len(), 1);
}
