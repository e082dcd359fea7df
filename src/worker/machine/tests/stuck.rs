//! Commands that do not end though they are to, and what they leave that is not ours to end.

use std::time::Duration;

use super::script::Script;
use super::stage::{at, ended, told};
use crate::link::Report;
use crate::process::leftover::Cleared;
use crate::task::state::Outcome;
use crate::worker::machine::event::{Ask, Event, Said};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::table::PhaseKind;

fn count(script: &Script, which: fn(&Said) -> bool) -> usize {
    script.said.iter().filter(|said| which(said)).count()
}

fn does_not_end(said: &Said) -> bool {
    matches!(said, Said::DoesNotEnd { .. })
}

fn left_behind(said: &Said) -> bool {
    matches!(said, Said::LeftBehind { .. })
}

fn left_running(said: &Said) -> bool {
    matches!(said, Said::LeftRunning { .. })
}

fn is_troubled(script: &Script) -> bool {
    let last = script
        .reports
        .iter()
        .rev()
        .find(|report| matches!(report, Report::Troubled { .. } | Report::Idle { .. }));
    matches!(last, Some(Report::Troubled { task: 1, .. }))
}

/// How many outcomes are to be recorded.
fn recorded(script: &Script) -> usize {
    script.entered().unwrap_or(0)
}

fn somebody() -> String {
    "process 7 (sleep) of user 0".into()
}

#[test]
fn a_command_that_cannot_be_signalled_is_said_once_and_judged_by_its_exit() {
    let mut script = Script::running();
    for _ in 0..2 {
        script.step(Event::NotSignalled(somebody()));
    }
    assert_eq!(
        (count(&script, does_not_end), is_troubled(&script)),
        (1, true)
    );
    script.ends(0, at(9_000_000));
    script.answer_exchange(0);
    let entry = script.last_entry().unwrap();
    assert_eq!(entry.settle[0].outcome, Outcome::Exited(0));
}

/// Told to go at once, a worker leaves what no KILL has reached, and at once; what was killed and does not end, a
/// moment later. A command that is ours to end is not left.
#[test]
fn a_worker_that_must_go_leaves_what_does_not_end() {
    for refused in [true, false] {
        let mut script = Script::running();
        script.step(told(Mode::Stopping));
        if refused {
            script.step(Event::NotSignalled(somebody()));
        } else {
            assert_eq!(count(&script, left_running), 0, "it may just be ending");
            let due = script.machine.deadline().unwrap();
            assert_eq!(due, script.now.at + Duration::from_secs(1));
            script.due(due);
        }
        assert_eq!(
            (count(&script, does_not_end), count(&script, left_running)),
            (1, 1)
        );
        assert!(
            matches!(script.asked(), Some(Ask::Release { .. })),
            "{refused}"
        );
        assert_eq!(recorded(&script), 0, "nobody knows how it ends");
    }
}

#[test]
fn a_worker_that_may_wait_waits_for_what_does_not_end() {
    let mut script = Script::running();
    script.step(told(Mode::Draining { until: None }));
    script.step(Event::NotSignalled(somebody()));
    script.due(Duration::from_secs(3600));
    assert_eq!(count(&script, left_running), 0);
    // Its grace is over at some time: then it asks once more, kills, and goes.
    let until = script.now.at + Duration::from_secs(10);
    script.step(told(Mode::Draining { until: Some(until) }));
    for after in [10, 15, 16] {
        assert_eq!(count(&script, left_running), 0, "{after}");
        script.due(until + Duration::from_secs(after - 10));
    }
    assert_eq!(count(&script, left_running), 1);
}

#[test]
fn what_a_command_has_left_of_others_is_waited_for_before_its_end_is_recorded() {
    let mut script = Script::running();
    script.now = at(9_000_000);
    script.step(Event::Ended(ended(1, false, true)));
    for _ in 0..3 {
        assert_eq!(script.machine.phase.kind(), PhaseKind::Leftovers);
        script.step(Event::Cleared(Cleared::Stranger(somebody())));
        assert_eq!(
            (count(&script, left_behind), is_troubled(&script)),
            (1, true)
        );
        let due = script.now.at + Duration::from_secs(1);
        script.due(due);
        assert_eq!(recorded(&script), 0, "recorded beside it");
    }
    script.step(Event::Cleared(Cleared::Gone));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!(recorded(&script), 1);
}

#[test]
fn a_worker_that_must_go_leaves_what_a_command_has_left_of_others() {
    let mut script = Script::running();
    script.step(Event::Ended(ended(1, false, true)));
    script.step(Event::Cleared(Cleared::Stranger(somebody())));
    script.step(told(Mode::Stopping));
    assert_eq!(count(&script, left_running), 1);
    assert!(matches!(script.asked(), Some(Ask::Release { .. })));
    assert_eq!(recorded(&script), 0);
}

/// It holds the attempt's lock, and so the next attempt is not begun.
#[test]
fn what_holds_the_lock_does_not_keep_a_worker() {
    let mut script = Script::running();
    script.step(Event::Ended(ended(1, false, true)));
    script.step(Event::Cleared(Cleared::Left));
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!((recorded(&script), count(&script, left_behind)), (1, 0));
}
