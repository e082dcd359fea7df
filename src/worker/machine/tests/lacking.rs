//! A worker that lacks what it takes to start a command.

use std::time::Duration;

use super::script::Script;
use super::stage::{self, at};
use crate::link::Report;
use crate::process::lack::Lack;
use crate::task::id::{AttemptId, TaskId};
use crate::task::state::Outcome;
use crate::worker::machine::event::{Answer, Ask, Event, How};
use crate::worker::machine::mode::Mode;

/// The command could not be started for want of a process.
fn without_room() -> Event {
    not_started(Lack::Room, "no process to spare")
}

fn not_started(lack: Lack, reason: &str) -> Event {
    let mut ended = stage::ended(0, false, false);
    let reason = reason.into();
    ended.how = How::NotStarted { lack, reason };
    Event::Ended(ended)
}

/// With a batch: what has ended is settled, what could not be started and what was to come after it wait again.
#[test]
fn what_a_worker_lacks_costs_no_task_anything() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(3, at(1_000));
    script.starts_commands = false;
    script.ends_quickly(at(2_000));
    assert_eq!(script.begun(), Some(ids[1]), "its turn");
    script.lets_go();
    script.step(without_room());
    let entry = script.last_entry().unwrap();
    let settled: Vec<_> = entry.settle.iter().map(|one| one.id).collect();
    assert_eq!((settled, entry.begun), (vec![ids[0]], None));
    assert_eq!(entry.unclaim, [ids[2], ids[1]]);
    for id in &ids {
        assert!(!script.holds(*id), "{id}");
    }
    match script.reports.last() {
        Some(Report::Troubled { task: 0, reason }) => assert_eq!(reason, "no process to spare"),
        other => panic!("{other:?}"),
    }
    script.answer_entered();
    script.answer_exchange(0);
    match script.asked() {
        Some(Ask::Release { delay, .. }) => assert_eq!(*delay, Duration::ZERO),
        other => panic!("{other:?}"),
    }
}

/// It reserves nothing before its pause is over; then its tender hears that it waits.
#[test]
fn a_worker_that_lacks_something_pauses_and_tries_again() {
    let mut script = Script::new();
    script.starts_commands = false;
    let mut pauses = Vec::new();
    for number in 1..=3 {
        script.reserves_pointer();
        let id = AttemptId {
            task: TaskId(number),
            number: 1,
        };
        script.begins(id, false);
        script.lets_go();
        script.step(without_room());
        script.answer_entered();
        assert!(matches!(script.asked(), Some(Ask::Release { .. })));
        script.step(Event::Answered(Answer::Settled(Ok(()))));
        assert!(script.asked().is_none(), "{:?}", script.asked());
        let (now, due) = (script.now.at, script.machine.deadline().unwrap());
        pauses.push((due - now).as_millis());
        script.due(due);
        assert!(matches!(script.asked(), Some(Ask::Reserve { .. })));
        assert!(matches!(
            script.reports.last(),
            Some(Report::Troubled { .. })
        ));
    }
    // Half of what they are at most, by chance.
    assert_eq!(pauses, [500, 1000, 2000]);
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert!(matches!(script.reports.last(), Some(Report::Idle { .. })));
    assert_eq!(script.machine.jobs(), 0, "none of them was one");
}

/// A worker that is told to go while it pauses goes at once.
#[test]
fn a_worker_that_pauses_goes_when_it_is_told_to() {
    let mut script = Script::new();
    script.starts_commands = false;
    script.reserves_pointer();
    let id = AttemptId {
        task: TaskId(1),
        number: 1,
    };
    script.begins(id, false);
    script.lets_go();
    script.step(without_room());
    script.answer_entered();
    script.step(Event::Answered(Answer::Settled(Ok(()))));
    script.step(stage::told(Mode::Draining { until: None }));
    assert!(script.machine.is_gone());
}

/// After a minute that is the task's fault, and no trouble of the worker's, which goes on.
#[test]
fn a_program_that_has_been_missing_for_a_minute_fails_its_task() {
    let mut script = Script::new();
    script.starts_commands = false;
    let missing = || not_started(Lack::Program, "could not start job: it is not there");
    let attempt = |number| AttemptId {
        task: TaskId(number),
        number: 1,
    };
    script.reserves_pointer();
    script.begins(attempt(1), false);
    script.lets_go();
    script.step(missing());
    assert_eq!(script.last_entry().unwrap().unclaim, [attempt(1)]);
    script.answer_entered();
    script.step(Event::Answered(Answer::Settled(Ok(()))));

    script.due(Duration::from_secs(61));
    script.reserves_pointer();
    script.begins(attempt(2), false);
    script.lets_go();
    script.reports.clear();
    script.step(missing());
    script.answer_known();
    script.answer_exchange(1);
    let entry = script.last_entry().unwrap();
    let reason = "could not start job: it is not there, for 61 s by now".to_owned();
    assert_eq!(
        entry.settle[0].outcome,
        Outcome::CouldNotStart {
            reason: reason.clone()
        }
    );
    assert!(
        entry.unclaim.is_empty() && entry.claim.is_some(),
        "it goes on"
    );
    script.claims();
    assert!(script.begun().is_some());
    let is_trouble = |report: &Report| matches!(report, Report::Troubled { .. });
    assert!(
        !script.reports.iter().any(is_trouble),
        "{:?}",
        script.reports
    );
}
