//! What becomes of jobs, and what the broker is asked about them.

use std::time::Duration;

use uuid::Uuid;

use super::script::Script;
use super::stage::{self, at};
use crate::broker as broker_port;
use crate::ledger::{Claim, Jobless, TaskRef};
use crate::task::id::{PutId, TaskId};
use crate::worker::machine::event::{Answer, Ask, Event};
use crate::worker::machine::state::LEAVE_ALONE;

/// What is known of deleted jobs goes with the very next entry.
#[test]
fn what_is_deleted_goes_with_the_next_entry() {
    let mut script = Script::running_foreign();
    script.ends(0, at(1_000));
    script.answer_exchange(0);
    script.answer_entered();
    // Deleted, since no other job came.
    script.answer_exchange(0);
    script.reserves_pointer();
    let entry = script.last_entry().unwrap();
    assert!(entry.claim.is_some());
    assert_eq!(entry.deleted, [TaskId(1)]);
}

/// A broker that cannot say how often a job was kicked has not said that it was not.
#[test]
fn an_unknown_kick_is_not_taken_for_none() {
    let mut script = Script::new();
    script.reserves_pointer();
    script.claim_says(Claim::AskForKicks);
    assert!(matches!(script.asked(), Some(Ask::Know(_))));
    script.step(Event::Answered(Answer::Known(
        Err(stage::lost_connection()),
    )));
    match script.asked() {
        Some(Ask::Release { delay, .. }) => assert_eq!(*delay, LEAVE_ALONE),
        other => panic!("{other:?}"),
    }
}

/// A task that waits and whose job was lost is put again, and no job is taken before that is said.
#[test]
fn a_job_that_is_lost_when_it_is_released_is_put_again() {
    let mut script = Script::new();
    script.reserves_pointer();
    let put = PutId {
        task: TaskId(1),
        generation: 4,
    };
    script.claim_says(Claim::Later {
        put,
        delay: Duration::from_secs(1),
        priority: 1024,
    });
    assert!(matches!(script.asked(), Some(Ask::Release { .. })));
    script.step(Event::Answered(Answer::Settled(Err(
        broker_port::Error::NotFound,
    ))));
    assert!(is_put_again(&script, put));
    assert!(script.asked().is_none(), "{:?}", script.asked());
}

/// A broker without room takes a job off its connection and leaves it nowhere, also one that nobody has claimed.
#[test]
fn a_job_that_is_lost_unclaimed_is_put_again() {
    let full = || Event::Answered(Answer::Settled(Err(broker_port::Error::OutOfMemory)));
    let pointer = |script: &Script| match script.last_entry().unwrap().again.as_slice() {
        [Jobless::Job(job)] => match &job.task {
            TaskRef::Pointer(uuid) => *uuid,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    // Whose kicks are not known.
    let mut script = Script::new();
    script.reserves_pointer();
    script.claim_says(Claim::AskForKicks);
    script.step(Event::Answered(Answer::Known(
        Err(stage::lost_connection()),
    )));
    script.step(full());
    assert_eq!(pointer(&script), Uuid::from_u128(1));

    // Whose turn has not come.
    let mut script = Script::running();
    script.ends_quickly(at(1_000));
    script.answer_exchange(2);
    script.claims();
    let due = script.machine.deadline().unwrap();
    script.due(due);
    // The job before is deleted first.
    script.answer_exchange(0);
    assert!(
        matches!(script.asked(), Some(Ask::Release { .. })),
        "{:?}",
        script.asked()
    );
    script.step(full());
    assert_eq!(pointer(&script), Uuid::from_u128(3));
}

pub fn is_put_again(script: &Script, put: PutId) -> bool {
    let again = &script.last_entry().unwrap().again;
    matches!(again.as_slice(), [Jobless::Put(one)] if *one == put)
}

/// Also while the next command runs, for hours perhaps.
#[test]
fn a_task_whose_job_is_lost_does_not_wait_for_the_next_command() {
    let mut script = Script::running();
    script.ends_quickly(at(1_000));
    script.answer_exchange(1);
    let put = PutId {
        task: TaskId(9),
        generation: 2,
    };
    script.claims_although_lost(put);
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(is_put_again(&script, put));
}

/// A tender reconciles for its workers, also after an outage.
#[test]
fn a_worker_with_a_tender_does_not_reconcile() {
    for has_tender in [true, false] {
        let mut script = Script::with(|rules| rules.has_tender = has_tender);
        if !has_tender {
            assert!(matches!(script.asked(), Some(Ask::Reconcile)));
            script.step(Event::Answered(Answer::Reconciled));
        }
        assert!(matches!(script.asked(), Some(Ask::Reserve { .. })));
        script.step(Event::Answered(Answer::Reserved(Err(
            stage::lost_connection(),
        ))));
        let due = script.machine.deadline().unwrap();
        script.due(due);
        match script.asked() {
            Some(Ask::Reserve { wait }) => assert!(has_tender && wait.is_zero()),
            Some(Ask::Reconcile) => assert!(!has_tender),
            other => panic!("{other:?}"),
        }
    }
}
