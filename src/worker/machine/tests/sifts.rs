//! Sifting: the jobs behind one that is held.

use super::script::Script;
use super::stage::{at, job, told};
use crate::broker::Reserve;
use crate::ledger::{Claim, Entered};
use crate::task::id::{AttemptId, TaskId};
use crate::worker::machine::event::{Answer, Ask, Event};
use crate::worker::machine::mode::Mode;

/// A worker whose first job's task is held.
fn held() -> Script {
    let mut script = Script::new();
    script.reserves_pointer();
    script.claim_says(Claim::Held { task: TaskId(1) });
    script
}

/// How many jobs are to be deleted, and how many others are asked for.
#[track_caller]
fn exchange(script: &Script) -> (usize, usize) {
    match script.asked() {
        Some(Ask::Exchange { to_delete, most }) => (to_delete.len(), *most),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn are_sifted(script: &mut Script, count: usize, held: usize) {
    let entry = script.last_entry().unwrap();
    assert_eq!((entry.sift.len(), entry.claim.is_some()), (count, false));
    let sifted = (0..held).map(|_| TaskId(7)).collect();
    script.is_told(Entered {
        sifted,
        ..Entered::default()
    });
}

#[test]
fn those_behind_one_that_is_held_are_looked_at_together_and_ever_more_of_them() {
    let mut script = held();
    let mut before = 1;
    for most in [2, 4, 8, 16, 32, 32] {
        assert_eq!(exchange(&script), (before, most));
        script.answer_exchange(most as u64);
        are_sifted(&mut script, most, most);
        before = most;
    }
}

#[test]
fn the_first_that_is_not_held_is_claimed_and_the_others_have_their_turns() {
    let mut script = held();
    script.answer_exchange(2);
    are_sifted(&mut script, 2, 2);
    script.answer_exchange(4);
    are_sifted(&mut script, 4, 1);
    assert_eq!(script.last_entry().unwrap().claim.as_ref().unwrap().id, 5);
    let id = AttemptId {
        task: TaskId(5),
        number: 1,
    };
    script.begins(id, false);
    assert_eq!(script.begun(), Some(id));
    // What is over is deleted beside a command that takes its time, and the rest is given back.
    script.due(at(30_000).at);
    assert_eq!(exchange(&script), (1, 0));
    script.answer_exchange(0);
    for job in [6, 7] {
        let Some(Ask::Release { reservation, .. }) = script.asked() else {
            panic!("{:?}", script.asked());
        };
        assert_eq!(reservation.id, job);
        script.step(Event::Answered(Answer::Settled(Ok(()))));
    }
}

#[test]
fn another_job_that_comes_alone_is_claimed_alone() {
    let mut script = held();
    script.answer_exchange(0);
    assert!(matches!(script.asked(), Some(Ask::Reserve { .. })));
    script.reserves_pointer();
    let entry = script.last_entry().unwrap();
    assert!(entry.claim.is_some() && entry.sift.is_empty());
}

#[test]
fn foreign_ones_are_asked_about_first_and_those_of_which_nothing_is_known_are_left() {
    let mut script = held();
    let foreign = [5, 6].map(|id| job(id, "raw", 1));
    script.step(Event::Answered(Answer::Exchanged {
        deleted: Vec::new(),
        reserved: Ok(foreign.into()),
    }));
    let Some(Ask::KnowAll(jobs)) = script.asked() else {
        panic!("{:?}", script.asked());
    };
    assert_eq!(*jobs, [5, 6]);
    script.step(Event::Answered(Answer::AllKnown(Ok(vec![None, None]))));
    // One by one, then.
    assert!(matches!(
        script.asked(),
        Some(Ask::Know(5) | Ask::KnowAmongOthers(5))
    ));
}

#[test]
fn where_nothing_can_be_entered_they_are_claimed_one_by_one() {
    let mut script = held();
    script.answer_exchange(2);
    script.is_refused("the disk is full");
    let entry = script.last_entry().unwrap();
    assert_eq!(entry.claim.as_ref().unwrap().id, 2);
    assert!(entry.sift.is_empty());
}

#[test]
fn a_worker_that_is_to_go_asks_for_no_others() {
    let mut script = Script::new();
    script.step(told(Mode::Draining { until: None }));
    // The job came before the word was heard.
    script.step(Event::Answered(Answer::Reserved(Ok(Reserve::TimedOut))));
    let mut script = held();
    script.answer_exchange(2);
    script.step(told(Mode::Draining { until: None }));
    are_sifted(&mut script, 2, 2);
    assert_eq!(exchange(&script), (2, 0));
}
