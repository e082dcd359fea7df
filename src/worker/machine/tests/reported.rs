//! What a command says of its attempt.

use std::time::Duration;

use super::script::Script;
use super::stage::{at, ended, progress};
use crate::task::id::{AttemptId, TaskId};
use crate::task::report::Reported;
use crate::task::retry::{Budget, Next};
use crate::task::state::{Exit, Outcome};
use crate::worker::machine::event::Event;
use crate::worker::machine::mode::CallOff;

const FIRST: AttemptId = AttemptId {
    task: TaskId(1),
    number: 1,
};

impl Script {
    fn says(&mut self, percent: f64) {
        self.step(Event::Reported(progress(percent)));
    }

    /// How far the entry that is under way says that the attempt is.
    fn entered_percent(&self) -> Option<f64> {
        assert!(self.has_entry());
        let (attempt, said) = self.last_entry()?.progress.clone()?;
        assert_eq!(attempt, FIRST);
        said.percent
    }

    fn ends_saying(&mut self, exit: i32, quick: bool, reported: Reported) {
        self.lets_go();
        let mut ended = ended(exit, quick, false);
        ended.reported = reported;
        self.step(Event::Ended(ended));
    }

    /// The outcome is recorded at the latest then.
    fn records(&mut self) {
        let due = self.now.at + Duration::from_millis(20);
        self.due(due);
    }
}

#[test]
fn how_far_it_is_is_entered_as_it_comes() {
    let mut script = Script::running();
    for percent in [1.0, 2.0] {
        script.says(percent);
        assert_eq!(script.entered_percent(), Some(percent));
        script.answer_entered();
        assert!(!script.has_entry());
    }
}

/// What comes while an entry is under way goes with the next, and what could not be kept is not kept over it.
#[test]
fn of_what_waits_the_newest_is_entered() {
    let mut script = Script::running();
    script.says(1.0);
    script.says(2.0);
    script.says(3.0);
    assert_eq!(script.entered_percent(), Some(1.0));
    script.is_refused("the disk is full");
    assert!(!script.has_entry(), "not at once again");
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!(script.entered_percent(), Some(3.0));
    script.is_refused("the disk is full");
    let due = script.machine.deadline().unwrap();
    script.due(due);
    assert_eq!(script.entered_percent(), Some(3.0));
}

/// All of it comes with the end.
#[test]
fn what_is_said_last_goes_with_the_outcome() {
    let mut script = Script::running();
    script.now = at(1_000_000);
    let reported = Reported {
        progress: progress(100.0),
        result: Some("[1]".into()),
        ..Reported::default()
    };
    script.ends_saying(0, false, reported);
    script.records();
    let entry = script.last_entry().unwrap();
    assert_eq!(entry.progress, None);
    let report = entry.settle[0].report.clone().unwrap();
    assert_eq!(report.progress, progress(100.0));
    assert_eq!(report.result.as_deref(), Some("[1]"));
    script.says(1.0);
    script.answer_entered();
    assert!(script.machine.notes.progress.is_none(), "it came too late");
}

#[test]
fn what_it_wants_is_what_becomes_of_the_task() {
    let wait = Duration::from_secs(300);
    let not_now = Reported {
        retry_in: Some(wait),
        result: Some("1".into()),
        ..Reported::default()
    };
    let never = Reported {
        fail: Some("no such customer".into()),
        ..Reported::default()
    };
    let failed = Next::Failed {
        reason: "no such customer".into(),
    };
    for (exit, reported, next) in [
        (0, not_now.clone(), Next::Wait(wait)),
        (1, not_now, Next::Wait(wait)),
        (0, never.clone(), failed.clone()),
        (75, never, failed),
    ] {
        let mut script = Script::running();
        script.ends_saying(exit, true, reported);
        script.records();
        let settlement = &script.last_entry().unwrap().settle[0];
        assert_eq!(settlement.next, next);
        assert_eq!(settlement.report, None, "there is no result");
        match &settlement.outcome {
            Outcome::Deferred { code, .. } => assert_eq!(*code, exit),
            Outcome::GaveUp { ended, .. } => assert_eq!(**ended, Outcome::Exited(exit)),
            other => panic!("{other:?}"),
        }
    }
}

/// Whoever called the task off is heard, and what the command wants of it is not.
#[test]
fn what_it_wants_counts_no_more_once_its_task_is_called_off() {
    let not_now = Reported {
        progress: progress(40.0),
        retry_in: Some(Duration::from_secs(300)),
        ..Reported::default()
    };
    let never = Reported {
        progress: progress(40.0),
        fail: Some("no such customer".into()),
        ..Reported::default()
    };
    for (exit, reported) in [(0, &not_now), (1, &not_now), (0, &never), (75, &never)] {
        let mut script = Script::running();
        script.step(Event::CalledOff {
            attempt: FIRST,
            how: CallOff::Ask,
            ticket: None,
        });
        script.ends_saying(exit, false, reported.clone());
        script.records();
        let settlement = &script.last_entry().unwrap().settle[0];
        let cancelled = Outcome::Cancelled(Exit::Code(exit));
        assert_eq!(
            (&settlement.outcome, &settlement.next, settlement.budget),
            (&cancelled, &Next::Cancelled, Budget::default())
        );
        let report = settlement.report.as_ref().unwrap();
        assert_eq!(report.progress, progress(40.0), "as far as it was");
    }
}
