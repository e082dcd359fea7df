//! Commands that are stopped.

use std::time::Duration;

use super::script::Script;
use super::stage::at;
use crate::link::Report;
use crate::task::id::TaskId;
use crate::worker::machine::event::{Event, Said};
use crate::worker::machine::suspension::{LOOK_EVERY, LOOKS_TO_SAY};

const STOP: i32 = 19;
const TTIN: i32 = 21;

impl Script {
    /// The next look, at which that is seen.
    fn looks(&mut self, stopped_by: Option<i32>) {
        let next = self.now.at + LOOK_EVERY;
        self.due(next);
        self.step(Event::Looked(stopped_by));
    }

    fn said_stopped(&self) -> Vec<(String, Duration)> {
        let said = self.said.iter().filter_map(|said| match said {
            Said::IsStopped { signal, since, .. } => Some((signal.clone(), *since)),
            _ => None,
        });
        said.collect()
    }

    fn said_goes_on(&self) -> usize {
        let goes_on = |said: &&Said| matches!(said, Said::GoesOn { .. });
        self.said.iter().filter(goes_on).count()
    }

    /// What the tender shows of the command.
    fn notice(&self) -> Option<String> {
        match self.reports.last() {
            Some(Report::Busy { notice, .. }) => notice.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_command_is_looked_at_each_second_and_a_short_one_never() {
    let mut script = Script::running();
    let mut looks = Vec::new();
    for millis in (0..3_500).step_by(100) {
        script.now = at(millis * 1000);
        let before = script.looks;
        script.step(Event::Due);
        if script.looks > before {
            looks.push(millis);
        }
    }
    assert_eq!(looks, [1000, 2000, 3000]);
    script.ends(0, at(3_600_000));
    script.due(Duration::from_secs(60));
    assert_eq!(script.looks, 3, "nothing runs");
}

#[test]
fn a_command_that_is_stopped_is_said_once_and_that_it_goes_on() {
    let mut script = Script::running();
    script.looks(None);
    for _ in 1..LOOKS_TO_SAY {
        script.looks(Some(TTIN));
        assert_eq!(script.said_stopped(), []);
        assert_eq!(script.notice(), None);
    }
    for _ in 0..10 {
        script.looks(Some(TTIN));
        let long = LOOK_EVERY * (LOOKS_TO_SAY - 1);
        assert_eq!(script.said_stopped(), [("SIGTTIN".to_owned(), long)]);
        let notice = "the command of task 1 is stopped, by SIGTTIN";
        assert_eq!(script.notice().as_deref(), Some(notice));
    }
    let reports = script.reports.len();
    for _ in 0..3 {
        script.looks(None);
        assert_eq!((script.said_goes_on(), script.notice()), (1, None));
    }
    assert_eq!(script.reports.len(), reports + 1, "the tender is told once");
}

/// Somebody's Ctrl-Z, or a debugger.
#[test]
fn a_moment_is_not_said() {
    let mut script = Script::running();
    for _ in 0..5 {
        for _ in 1..LOOKS_TO_SAY {
            script.looks(Some(STOP));
        }
        script.looks(None);
    }
    assert_eq!((script.said_stopped(), script.said_goes_on()), (vec![], 0));
}

/// The worker was stopped too: a look that comes late is one look.
#[test]
fn what_nobody_saw_is_not_said() {
    let mut script = Script::running();
    script.looks(Some(STOP));
    script.now.at += Duration::from_secs(3600);
    script.looks(Some(STOP));
    assert_eq!(script.said_stopped(), []);
}

/// An answer that comes when the command has ended is of no one.
#[test]
fn of_what_has_ended_nothing_is_said() {
    let mut script = Script::running();
    for _ in 1..LOOKS_TO_SAY {
        script.looks(Some(STOP));
    }
    script.ends(0, at(9_000_000));
    script.step(Event::Looked(Some(STOP)));
    assert_eq!((script.said_stopped(), script.said_goes_on()), (vec![], 0));
}

#[test]
fn a_further_command_begins_as_one_that_goes_on() {
    let mut script = Script::running();
    for _ in 1..LOOKS_TO_SAY {
        script.looks(Some(STOP));
    }
    script.ends(0, at(9_000_000));
    script.answer_exchange(1);
    script.claims();
    assert_eq!(script.begun().map(|id| id.task), Some(TaskId(2)));
    script.looks(Some(STOP));
    assert_eq!(script.said_stopped(), []);
}

#[test]
fn the_tender_is_told_how_long_a_command_may_run_on() {
    for (timeout, left) in [(None, None), (Some(60), Some(60))] {
        let script = Script::running_for(timeout.map(Duration::from_secs));
        let said = script.reports.iter().find_map(|report| match report {
            Report::Busy { left, .. } => Some(*left),
            _ => None,
        });
        assert_eq!(said, Some(left.map(Duration::from_secs)));
    }
}

/// In a full tube the tender hears only now and then of the commands; but never may it take one for late that is not.
#[test]
fn a_command_that_may_run_for_longer_is_told_of_at_once() {
    let second = Duration::from_secs(1);
    // How long the first and the second command may run, and whether the second is told of.
    let table = [
        (None, None, false),
        (None, Some(second), false),
        (Some(second), Some(second), false),
        (Some(second), None, true),
        (Some(second), Some(9 * second), true),
        (Some(9 * second), Some(second), false),
    ];
    for (first, next, is_told) in table {
        let mut script = Script::running_for(first);
        let reports = script.reports.len();
        script.ends_quickly(at(1_000));
        script.answer_exchange(1);
        script.claims_for(TaskId(2), next);
        let told =
            script.reports.iter().skip(reports).any(
                |report| matches!(report, Report::Busy { task: 2, left, .. } if *left == next),
            );
        assert_eq!(told, is_told, "{first:?} {next:?}");
    }
}
