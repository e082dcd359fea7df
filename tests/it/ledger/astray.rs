//! A job counts in its own task's tube, and in no other.

use std::time::Duration;

use taskqueue::ledger::{Claim, Entry, ForeignJob, JobRef, Jobless, TaskRef};
use taskqueue::task::command::Content;
use taskqueue::task::payload::{Argument, Call};
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use uuid::Uuid;

use super::{NOW, New, begun, call, enter, foreign, job_ref, put};
use crate::support::tube;

fn elsewhere(job: &JobRef) -> JobRef {
    JobRef {
        tube: tube("other"),
        ..job.clone()
    }
}

fn named(uuid: Uuid, call: Call) -> TaskRef {
    let body = String::from_utf8(call.to_body(uuid)).unwrap();
    let content = Content::Call(call);
    TaskRef::Named(
        uuid,
        ForeignJob {
            content,
            ..foreign(&body)
        },
    )
}

pub fn a_pointer_in_another_tube_is_one_too_many(new: New) {
    let mut ledger = new();
    let (task, job) = put(&mut ledger.db, NOW);
    let copy = elsewhere(&job);
    let claim = ledger.claim(&copy);
    assert!(
        matches!(claim, Claim::DeleteJob { task: None }),
        "{claim:?}"
    );
    assert_eq!((ledger.status(task), ledger.attempts()), ("waiting", 0));

    // Nor is the task claimed ahead by it, nor announced for it.
    let me = ledger.me.clone();
    let (_, first) = put(&mut ledger.db, NOW);
    let ahead = Entry {
        claim: Some(first),
        prefetch: vec![copy.clone()],
        ..Entry::default()
    };
    let entered = enter(&mut ledger.db, &me, ahead).unwrap();
    assert!(matches!(entered.prefetch.as_slice(), [None]));
    let lost = Entry {
        again: vec![Jobless::Job(Box::new(copy.clone()))],
        ..Entry::default()
    };
    assert_eq!(enter(&mut ledger.db, &me, lost).unwrap().puts, []);

    // Its own job runs it, and a kick of the copy does not run it again.
    let attempt = begun(ledger.claim(&job));
    ledger.failed(attempt);
    let kicked = JobRef {
        kicks: Some(1),
        ..copy
    };
    let claim = ledger.claim(&kicked);
    assert!(
        matches!(claim, Claim::DeleteJob { task: None }),
        "{claim:?}"
    );
    assert_eq!(ledger.status(task), "failed");
}

pub fn a_copy_by_uuid_in_another_tube_is_one_too_many(new: New) {
    let mut ledger = new();
    let uuid = Uuid::now_v7();
    let job = job_ref(1, named(uuid, call("12")));
    let attempt = ledger.begin(&job);
    ledger.settle(&attempt, Outcome::Exited(75), Next::Wait(Duration::ZERO));
    let task = attempt.id.task;
    drop(attempt);
    let copy = elsewhere(&job_ref(2, named(uuid, call("12"))));
    let claim = ledger.claim(&copy);
    assert!(
        matches!(claim, Claim::DeleteJob { task: None }),
        "{claim:?}"
    );
    assert_eq!((ledger.status(task), ledger.tasks().len()), ("waiting", 1));
    begun(ledger.claim_cleared(&job, 1));
}

pub fn a_task_that_moved_runs_where_it_is_now(new: New) {
    let mut ledger = new();
    let (task, ours) = put(&mut ledger.db, NOW);
    let theirs = job_ref(7, TaskRef::Nameless(foreign("raw")));
    for job in [ours, theirs] {
        let attempt = ledger.begin(&job);
        let uuid = attempt.uuid;
        let moved = ledger.failed(attempt);
        let again = ledger
            .db
            .regenerate(moved, Some(&tube("other")), NOW)
            .unwrap()
            .unwrap();
        assert_eq!(again.tube, tube("other"));
        let claim = ledger.claim(&job);
        let expected = (moved != task).then_some(moved);
        assert!(
            matches!(claim, Claim::DeleteJob { task } if task == expected),
            "{claim:?}"
        );
        assert_eq!(ledger.status(moved), "waiting");
        let pointer = elsewhere(&job_ref(8, TaskRef::Pointer(uuid)));
        match ledger.claim_cleared(&pointer, 1) {
            Claim::Begun(attempt) => {
                ledger.done(attempt);
            }
            // The other tube has no command for a raw body.
            Claim::Refused { task, .. } => assert!(task == moved && expected.is_some()),
            claim => panic!("{claim:?}"),
        }
    }
}

/// To an earlier version every argument was a text.
pub fn a_row_with_a_number_for_a_text_is_the_same_task(new: New) {
    let mut ledger = new();
    let number = Call {
        arguments: vec![Argument::Negative("-5".into())],
        ..call("")
    };
    let uuid = Uuid::now_v7();
    let attempt = ledger.begin(&job_ref(1, named(uuid, number.clone())));
    assert_eq!(attempt.plan.argv, ["/bin/true", "-5"]);
    ledger.done(attempt);
    let text = Call {
        arguments: vec!["-5".into()],
        ..call("")
    };
    let other = ledger.claim(&job_ref(2, named(uuid, text.clone())));
    assert!(matches!(other, Claim::Refused { .. }), "{other:?}");

    let uuid = Uuid::now_v7();
    let Claim::Refused { task, .. } = ledger.claim(&job_ref(3, named(uuid, text))) else {
        panic!();
    };
    let same = ledger.claim(&job_ref(4, named(uuid, number)));
    assert!(
        matches!(same, Claim::BuryJob { task: found, .. } if found == task),
        "{same:?}"
    );
}
