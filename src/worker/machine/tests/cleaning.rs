//! What is run after an attempt that did not come to its end by itself.

use super::script::Script;
use super::stage::{TERM, at, cleanup, dead, ended_by, told};
use crate::ledger::{Claim, Entered, Remains};
use crate::process::leftover::Cleared;
use crate::task::id::{AttemptId, TaskId};
use crate::worker::machine::event::Event;
use crate::worker::machine::mode::Mode;
use crate::worker::machine::table::PhaseKind;

const FIRST: AttemptId = AttemptId {
    task: TaskId(1),
    number: 1,
};

/// With a command that runs and has a cleanup.
fn client() -> Script {
    let mut script = Script::new();
    script.reserves_pointer();
    script.begins_client(FIRST);
    script
}

fn stands(script: &Script) -> PhaseKind {
    script.machine.phase.kind()
}

#[test]
fn what_exits_is_not_cleaned_up_after() {
    for exit in [0, 1, 75] {
        let mut script = client();
        script.ends(exit, at(50_000));
        assert!(script.cleanups.is_empty(), "{exit}");
        assert_ne!(stands(&script), PhaseKind::CleaningUp);
    }
}

#[test]
fn what_is_cut_short_is_cleaned_up_after_before_it_is_recorded() {
    let mut script = client();
    script.ends_by(9, at(50_000));
    assert_eq!(stands(&script), PhaseKind::CleaningUp);
    let [run] = &script.cleanups[..] else {
        panic!("{:?}", script.cleanups);
    };
    assert_eq!((run.attempt, run.job), (FIRST, Some(1)));
    assert_eq!(run.argv, ["tidy", "job"]);
    // However long that takes.
    script.due(at(9_000_000).at);
    assert_eq!(script.entered(), None);
    script.step(Event::CleanedUp(Vec::new()));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!(script.entered(), Some(1));
    assert_eq!(script.cleanups.len(), 1);
}

/// What is left here is ended first: the client could ask for more.
#[test]
fn what_is_left_here_goes_before_what_is_left_elsewhere() {
    let mut script = client();
    script.step(Event::Ended(ended_by(9, true)));
    assert_eq!(stands(&script), PhaseKind::Leftovers);
    assert!(script.cleanups.is_empty());
    script.step(Event::Cleared(Cleared::Gone));
    assert_eq!(stands(&script), PhaseKind::CleaningUp);
    assert_eq!(script.cleanups.len(), 1);
}

#[test]
fn a_worker_that_goes_cleans_up_first() {
    let mut script = client();
    script.step(told(Mode::Stopping));
    script.ends_by(TERM, at(50_000));
    assert_eq!(stands(&script), PhaseKind::CleaningUp);
    script.step(told(Mode::Stopping));
    // That it was told to go, twice.
    while script.has_entry() {
        script.answer_entered();
    }
    assert_eq!(stands(&script), PhaseKind::CleaningUp);
    script.step(Event::CleanedUp(Vec::new()));
    assert_eq!(stands(&script), PhaseKind::Recording);
    assert_eq!(script.last_entry().unwrap().settle.len(), 1);
}

/// A worker that has just taken over a dead worker's attempt, whose command has a cleanup.
fn taken_over() -> Script {
    let mut script = Script::new();
    script.reserves_pointer();
    script.claim_says(Claim::Dead(dead(FIRST, Remains::Unknown)));
    script.is_told(Entered {
        taken: true,
        cleanup: Some(cleanup(FIRST)),
        ..Entered::default()
    });
    script
}

#[test]
fn what_was_taken_over_is_cleaned_up_after_before_it_is_lost() {
    let mut script = taken_over();
    assert_eq!(stands(&script), PhaseKind::Clearing);
    assert!(script.cleanups.is_empty(), "something may run yet");
    script.step(Event::Cleared(Cleared::Gone));
    assert_eq!(stands(&script), PhaseKind::CleaningUpLost);
    assert_eq!(script.cleanups.len(), 1);
    assert!(!script.has_entry());
    script.step(Event::CleanedUp(Vec::new()));
    let entry = script.last_entry().unwrap();
    assert_eq!(entry.lose.as_ref().map(|dead| dead.id), Some(FIRST));
    assert!(entry.claim.is_some());
}

/// It is not known to be gone here: whoever tries next cleans up.
#[test]
fn what_cannot_be_ended_here_is_not_cleaned_up_after() {
    let mut script = taken_over();
    script.step(Event::Cleared(Cleared::Left));
    assert_eq!(stands(&script), PhaseKind::Disposing);
    assert!(script.cleanups.is_empty());
}
