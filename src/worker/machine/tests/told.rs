//! A worker that is told to go, and what its command ended by.

use std::time::Duration;

use super::jobs::is_put_again;
use super::script::Script;
use super::stage::{self, at};
use crate::task::id::{PutId, TaskId};
use crate::task::state::{Exit, Outcome};
use crate::worker::machine::event::{Answer, By, Event, Said};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::table::PhaseKind;

/// A worker that finds out whether the ledger is well, which may take as long as a lock is held, goes when it is told
/// to.
#[test]
fn a_worker_in_trouble_goes_when_it_is_told_to() {
    let mut script = Script::new();
    script.reserves_pointer();
    script.is_refused("the disk is full");
    script.step(Event::Answered(Answer::Settled(Ok(()))));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    script.step(stage::told(Mode::Draining { until: None }));
    assert!(script.machine.is_gone());
}

/// A command that had ended before it could be asked to is judged by its exit, whatever was to be sent.
#[test]
fn what_ended_by_itself_is_judged_by_its_exit() {
    for by_itself in [true, false] {
        let mut script = Script::running();
        script.step(stage::told(Mode::Stopping));
        script.answer_entered();
        script.ends_as(by_itself, at(1_000));
        let due = script.machine.deadline().unwrap_or_default();
        script.due(due);
        let outcome = script.last_entry().unwrap().settle[0].outcome.clone();
        let expected = match by_itself {
            true => Outcome::Exited(0),
            false => Outcome::Interrupted(Exit::Code(0)),
        };
        assert_eq!(outcome, expected);
    }
}

/// A TERM that is sent to all may end the command before the worker has heard its own.
#[test]
fn what_is_ended_by_a_signal_may_have_been_told_with_its_worker() {
    for is_told in [true, false] {
        let mut script = Script::running();
        script.ends_by(stage::TERM, at(100_000));
        assert_eq!(script.machine.phase.kind(), PhaseKind::Held);
        let due = script.machine.deadline().unwrap();
        assert_eq!(due, Duration::from_millis(350));
        if is_told {
            script.step(stage::told(Mode::Draining { until: None }));
        } else {
            script.due(due);
            let due = script.machine.deadline().unwrap();
            script.due(due);
        }
        let outcome = script.last_entry().unwrap().settle[0].outcome.clone();
        let expected = match is_told {
            true => Outcome::Interrupted(Exit::Signal(stage::TERM)),
            false => Outcome::Signalled(stage::TERM),
        };
        assert_eq!(outcome, expected);
    }
}

/// A command that exits with 0 for the TERM that all were sent is not done; where the worker alone was sent one, the
/// command is.
#[test]
fn an_exit_is_not_believed_after_a_signal_to_all() {
    for all in [true, false] {
        let mut script = Script::running();
        let (mode, ticket, by) = (Mode::Draining { until: None }, None, By::Signal);
        script.step(Event::Told { mode, ticket, by });
        script.answer_entered();
        script.ends(0, at(1_000));
        assert_eq!(script.machine.phase.kind(), PhaseKind::Held);
        match all {
            true => script.step(Event::ToldAll),
            false => {
                let due = script.machine.deadline().unwrap();
                assert!(due <= Duration::from_millis(250), "{due:?}");
                script.due(due);
            }
        }
        let outcome = script.last_entry().unwrap().settle[0].outcome.clone();
        let expected = match all {
            true => Outcome::Interrupted(Exit::Code(0)),
            false => Outcome::Exited(0),
        };
        assert_eq!(outcome, expected);
    }
}

/// So that a KILL before the command has ended is not taken for a death of its making.
#[test]
fn that_a_worker_was_told_to_go_is_noted_while_its_command_runs() {
    let mut script = Script::running();
    script.step(stage::told(Mode::Draining { until: None }));
    assert!(script.last_entry().unwrap().told);
    // Said once, unless it could not be noted.
    script.is_refused("the disk is full");
    let due = script.machine.deadline().unwrap();
    script.due(due.max(Duration::from_secs(1)));
    assert!(script.last_entry().unwrap().told);
    script.answer_entered();
    script.step(stage::told(Mode::Stopping));
    assert!(!script.has_entry(), "said again");
}

/// The task of that job is to be put again, whether or not the worker is told to go meanwhile.
#[test]
fn a_lost_job_is_not_forgotten_when_a_worker_is_told_to_go() {
    let put = PutId {
        task: TaskId(9),
        generation: 2,
    };
    let mut script = Script::running();
    script.loses(put);
    script.step(Event::Due);
    assert!(is_put_again(&script, put));
    script.step(stage::told(Mode::Draining { until: None }));
    script.is_refused("the disk is full");
    assert!(is_put_again(&script, put) && script.has_entry());
}

/// A store that takes nothing is complained about once. What is to be noted is kept as long as a command runs, and
/// given up only by a worker that goes.
#[test]
fn what_a_draining_worker_cannot_note_is_kept_and_said_once() {
    let put = PutId {
        task: TaskId(9),
        generation: 2,
    };
    let mut script = Script::running();
    script.step(stage::told(Mode::Draining { until: None }));
    script.loses(put);
    script.said.clear();
    for second in 1..=3 {
        script.is_refused("the disk is full");
        script.due(Duration::from_secs(second));
        assert!(script.has_entry() && script.last_entry().unwrap().told);
        assert!(is_put_again(&script, put));
    }
    let is_it = |said: &&Said| matches!(said, Said::CouldNotNote { told: true, .. });
    assert_eq!(script.said.iter().filter(is_it).count(), 1);
    // Another trouble is another.
    script.answer_entered();
    script.loses(put);
    script.due(Duration::from_secs(4));
    script.is_refused("the disk is full");
    assert!(matches!(
        script.said.last(),
        Some(Said::CouldNotNote { told: false, .. })
    ));
    script.ends(0, at(4_100_000));
    script.is_refused("the disk is full");
    script.due(Duration::from_secs(6));
    script.answer_entered();
    script.answer_exchange(0);
    assert!(script.machine.is_gone());
}
