//! From the end of a command to its outcome being recorded.

use std::time::Duration;

use super::script::Script;
use super::stage::{self, at};
use crate::ledger::Claim;
use crate::link::Report;
use crate::worker::machine::event::{Ask, Event, Said};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::Told;

/// An outcome is recorded within 20 ms of a broker that says nothing, whatever there is to be asked.
#[test]
fn an_outcome_does_not_wait_for_a_silent_broker() {
    for exit in [0, 1] {
        let mut script = Script::running();
        script.ends(exit, at(100_000));
        assert!(
            script.asked().is_some(),
            "the broker is asked what comes next"
        );
        assert_eq!(script.entered(), None);
        let due = script.machine.deadline().unwrap();
        assert!(due <= Duration::from_millis(120), "{due:?}");
        script.due(due);
        assert_eq!(script.entered(), Some(1), "recorded without the broker");
    }
}

/// A touch that the broker does not answer keeps nothing from being recorded.
#[test]
fn an_outcome_does_not_wait_for_a_touch() {
    let mut script = Script::running();
    // A third of its TTR.
    script.due(Duration::from_secs(20));
    assert!(matches!(script.asked(), Some(Ask::Touch(_))));
    script.ends(0, at(30_000_000));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!(script.entered(), Some(1));
}

/// After trouble the tender is told that the worker is idle, also where it had just been told so.
#[test]
fn trouble_that_is_over_is_reported() {
    let mut script = Script::running();
    script.reports.clear();
    script.ends(0, at(200_000));
    script.answer_exchange(0);
    script.is_refused("the disk is full");
    assert!(matches!(
        script.reports.last(),
        Some(Report::Troubled { .. })
    ));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    script.answer_entered();
    is_idle_again(script);
}

/// Nothing more is to be done, and the tender hears that the worker is well.
fn is_idle_again(mut script: Script) {
    script.answer_exchange(0);
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(
        matches!(script.reports.last(), Some(Report::Idle { .. })),
        "{:?}",
        script.reports
    );
}

/// The same where all that was to be recorded is a batch, no attempt of which ended last.
#[test]
fn trouble_with_a_batch_that_is_over_is_reported() {
    let mut script = Script::running();
    script.ends_with_batch(3, at(1_000));
    script.starts_commands = false;
    script.ends_quickly(at(2_000));
    // As it is now and then.
    script.machine.told = Told::All;
    script.lets_go();
    script.step(Event::NotJournaled);
    let entry = script.last_entry().unwrap();
    assert_eq!((entry.settle.len(), entry.unclaim.len()), (1, 2));
    script.is_refused("the disk is full");
    assert!(matches!(
        script.reports.last(),
        Some(Report::Troubled { .. })
    ));
    script.due(Duration::from_secs(2));
    script.answer_entered();
    assert!(matches!(
        script.said.last(),
        Some(Said::RecordedAtLast(None))
    ));
    // Somebody else has done what was to come after it.
    for _ in 0..2 {
        script.claim_says(Claim::DeleteJob { task: None });
    }
    is_idle_again(script);
}

/// Attempts that were claimed ahead and do not begin have let their locks go by the time their tasks wait again.
#[test]
fn locks_of_what_does_not_begin_are_free_before_it_waits() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(3, at(1_000));
    for id in &ids[1..] {
        assert!(script.holds(*id), "claimed ahead: {id}");
    }
    script.step(stage::told(Mode::Draining { until: None }));
    script.answer_entered();
    script.ends(1, at(2_000));
    let due = script.machine.deadline().unwrap_or_default();
    script.due(due);
    script.answer_known();
    let entry = script.last_entry().unwrap();
    assert_eq!(entry.unclaim, ids[1..]);
    for id in &ids[1..] {
        assert!(!script.holds(*id), "{id}");
    }
}

/// Told to go while an outcome is being journaled: the job whose turn was next is given back with the others.
#[test]
fn a_turn_that_does_not_come_is_given_back() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(3, at(1_000));
    script.writes_journal = false;
    script.ends_quickly(at(2_000));
    script.step(stage::told(Mode::Stopping));
    script.step(Event::Journaled(true));
    assert_eq!(script.last_entry().unwrap().unclaim, ids[1..]);
}
