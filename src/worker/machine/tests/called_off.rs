//! Attempts whose tasks are called off.

use std::time::Duration;

use super::script::Script;
use super::stage::{at, told};
use crate::grace::TERM_TO_KILL;
use crate::link::{Reply, Report, Ticket};
use crate::task::id::{AttemptId, TaskId};
use crate::task::retry::{Budget, Next};
use crate::task::state::{Exit, Outcome};
use crate::worker::machine::event::Event;
use crate::worker::machine::mode::{CallOff, Mode};
use crate::worker::machine::suspension::LOOK_EVERY;
use crate::worker::machine::table::PhaseKind;

fn first() -> AttemptId {
    AttemptId {
        task: TaskId(1),
        number: 1,
    }
}

fn called_off(attempt: AttemptId, how: CallOff) -> Event {
    Event::CalledOff {
        attempt,
        how,
        ticket: Some(Ticket(9)),
    }
}

impl Script {
    fn reply(&self) -> Option<&Reply> {
        self.reports.iter().rev().find_map(|report| match report {
            Report::Answered {
                ticket: Ticket(9),
                reply,
            } => Some(reply),
            _ => None,
        })
    }

    /// What is recorded of the attempt, and what becomes of the task.
    fn recorded(&mut self) -> (Outcome, Next, Budget) {
        self.answer_exchange(0);
        let settled = &self.last_entry().unwrap().settle;
        let last = settled.last().unwrap();
        (last.outcome.clone(), last.next.clone(), last.budget)
    }
}

#[test]
fn a_command_is_asked_to_end_at_once_and_killed_when_its_time_is_up() {
    let mut script = Script::running();
    script.step(called_off(first(), CallOff::Ask));
    assert_eq!(script.sent, ["TERM"]);
    assert_eq!(script.reply(), Some(&Reply::Done));
    script.due(TERM_TO_KILL - Duration::from_millis(1));
    assert_eq!(script.sent, ["TERM"]);
    script.due(TERM_TO_KILL);
    assert_eq!(script.sent, ["TERM", "KILL"]);
    // Even if it exits with 0 then.
    script.ends_as(false, at(9_000_000));
    let cancelled = Outcome::Cancelled(Exit::Code(0));
    let expected = (cancelled, Next::Cancelled, Budget::default());
    assert_eq!(script.recorded(), expected);
}

#[test]
fn what_is_to_be_at_once_is_killed_whatever_it_was_asked_before() {
    let mut script = Script::running();
    script.step(called_off(first(), CallOff::Kill));
    assert_eq!(script.sent, ["KILL"]);
    let mut script = Script::running();
    for how in [CallOff::Ask, CallOff::Ask, CallOff::Kill, CallOff::Ask] {
        script.step(called_off(first(), how));
    }
    assert_eq!(script.sent, ["TERM", "KILL"]);
    // Its time is up, and it ends already.
    let mut script = Script::running_for(Some(Duration::from_secs(1)));
    script.due(Duration::from_secs(1));
    script.step(called_off(first(), CallOff::Ask));
    assert_eq!(script.sent, ["TERM"]);
    script.ends_as(false, at(1_500_000));
    assert_eq!(script.recorded().1, Next::Cancelled);
}

#[test]
fn what_went_well_before_it_heard_anything_is_done_and_any_other_end_is_none() {
    for (exit, next) in [(0, Next::Done), (1, Next::Cancelled), (65, Next::Cancelled)] {
        let mut script = Script::running();
        script.step(called_off(first(), CallOff::Ask));
        script.ends(exit, at(1_000));
        let (outcome, became, budget) = script.recorded();
        assert_eq!(became, next, "{exit}");
        let is_cancelled = outcome == Outcome::Cancelled(Exit::Code(exit));
        assert_eq!(is_cancelled, next == Next::Cancelled);
        assert_eq!(budget.spent, u32::from(exit == 0));
    }
    // It ended as one does that is told to go, and that is held back.
    let mut script = Script::running();
    script.ends_by(15, at(1_000));
    assert_eq!(script.machine.phase.kind(), PhaseKind::Held);
    script.step(called_off(first(), CallOff::Ask));
    assert_eq!(script.reply(), Some(&Reply::Done));
    script.due(Duration::from_secs(1));
    assert_eq!(script.recorded().1, Next::Cancelled);
}

#[test]
fn who_goes_cancels_what_was_called_off() {
    let mut script = Script::running();
    script.step(called_off(first(), CallOff::Ask));
    script.step(told(Mode::Stopping));
    assert_eq!(script.sent, ["TERM", "KILL"]);
    // That it was told to go, is noted first.
    script.answer_entered();
    script.ends_as(false, at(2_000));
    let last = script.last_entry().unwrap().settle.last().unwrap();
    assert_eq!(last.next, Next::Cancelled);
}

/// A command that is called off while it is being started is ended as soon as it runs.
#[test]
fn a_command_that_is_being_started_is_ended_once_it_runs() {
    let mut script = Script::new();
    script.reserves_pointer();
    script.starts_commands = false;
    script.begins(first(), false);
    script.step(called_off(first(), CallOff::Ask));
    assert!(script.sent.is_empty());
    script.step(Event::Began(7));
    assert_eq!(script.sent, ["TERM"]);
}

#[test]
fn nobody_else_s_attempt_is_touched() {
    let mut script = Script::running();
    for (task, number) in [(1, 2), (2, 1)] {
        let task = TaskId(task);
        script.step(called_off(AttemptId { task, number }, CallOff::Kill));
        assert!(matches!(script.reply(), Some(Reply::Refused { .. })));
    }
    assert!(script.sent.is_empty());
    script.ends(0, at(1_000));
    assert_eq!(script.recorded().1, Next::Done);
}

#[test]
fn the_row_is_looked_at_each_second_and_for_a_short_command_never() {
    let mut script = Script::running();
    script.due(LOOK_EVERY - Duration::from_millis(1));
    assert!(script.wishes.is_empty());
    for seconds in 1..4 {
        script.due(LOOK_EVERY * seconds);
    }
    assert_eq!(script.wishes, [first(); 3]);
    // What is read there is a word like any other, and nobody waits for an answer.
    let (attempt, how, ticket) = (first(), CallOff::Ask, None);
    let reports = script.reports.len();
    script.step(Event::CalledOff {
        attempt,
        how,
        ticket,
    });
    assert_eq!(
        (script.sent.clone(), script.reports.len()),
        (vec!["TERM"], reports)
    );
    // It might be to be killed by now.
    script.due(LOOK_EVERY * 4);
    assert_eq!(script.wishes.len(), 4);
}

#[test]
fn what_was_claimed_ahead_does_not_begin_and_the_others_do() {
    let mut script = Script::running();
    let ids = script.ends_with_batch(4, at(1_000));
    script.step(called_off(ids[2], CallOff::Ask));
    assert_eq!(script.reply(), Some(&Reply::Done));
    assert!(!script.holds(ids[2]), "its lock is free");
    assert!(script.sent.is_empty());
    // The second is found to be called off when its turn comes.
    script.starts_commands = false;
    script.ends_quickly(at(2_000));
    assert_eq!(script.begun(), Some(ids[1]));
    script.lets_go();
    script.step(Event::Withdrawn);
    let entry = script.last_entry().unwrap();
    let unclaimed = &entry.unclaim;
    for id in [ids[1], ids[2]] {
        assert!(unclaimed.contains(&id), "{unclaimed:?}");
    }
    assert_eq!(entry.settle.len(), 1, "the first is recorded with that");
}
