//! What a command says of its own attempt while it runs, through a descriptor of its own: lines of JSON.
//!
//! | key | what it says |
//! |---|---|
//! | `progress` | how far the attempt is, from 0 to 100 |
//! | `message` | what the attempt is at, in words |
//! | `result` | what the task came to: any JSON |
//! | `retry_in` (`snooze`) | not now: the task is to wait for so long, and that costs none of its attempts |
//! | `fail` | the task has failed, and is not to be tried again: why |
//!
//! Of each key the newest counts. How far an attempt is, is kept while the command runs; what is to become of the task
//! counts when the command has ended, by how it ended:
//!
//! | the command | `result` | `retry_in` | `fail` |
//! |---|---|---|---|
//! | exited with 0 | kept, where none of the others was said | `deferred`, unless `fail` was said | failed |
//! | exited with another code | – | the same | failed |
//! | was ended by a signal that is not ours, or ran out of time | – | – | failed |
//! | was interrupted, cancelled or lost | – | – | – |

use std::time::Duration;

use super::state::Outcome;

mod read;

pub use read::{LINE, Reader};

/// The environment variable that holds the descriptor's number.
pub const VARIABLE: &str = "TASKQUEUE_REPORT_FD";

/// What is said of a number that is no progress: php-task-scheduler's words.
pub const OUT_OF_RANGE: &str = "progress may only be between 0 to 100";

/// The longest result, in bytes as it was written.
pub const RESULT: usize = 64 * 1024;

/// The longest message and the longest reason, in bytes. What is longer is cut.
pub const TEXT: usize = 4 * 1024;

/// The longest wait that may be asked for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3650 * 24 * 3600);

/// How far an attempt is, by its command.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// From 0 to 100.
    pub percent: Option<f64>,
    /// What it is at.
    pub message: Option<String>,
}

/// What is kept of what a command has said, once its attempt has ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// How far the attempt was.
    pub progress: Progress,
    /// What the task came to: JSON, as it was written.
    pub result: Option<String>,
}

/// All that a command has said, of each the newest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reported {
    /// How far it is.
    pub progress: Progress,
    /// What the task came to: JSON, as it was written.
    pub result: Option<String>,
    /// Not now: the task is to wait for so long.
    pub retry_in: Option<Duration>,
    /// The task has failed for good, and why.
    pub fail: Option<String>,
}

impl Progress {
    /// Nothing was said of it.
    pub fn is_empty(&self) -> bool {
        *self == Progress::default()
    }
}

impl Reported {
    /// The command wants something else than to be judged by its exit.
    pub fn has_a_wish(&self) -> bool {
        self.fail.is_some() || self.retry_in.is_some()
    }

    /// What an attempt came to that ended so, with what its command has said.
    pub fn judge(&self, ended: Outcome) -> Outcome {
        match &ended {
            Outcome::Exited(code) => match (&self.fail, self.retry_in) {
                (Some(_), _) => self.gave_up(ended),
                (None, Some(wait)) => Outcome::Deferred { code: *code, wait },
                (None, None) => ended,
            },
            Outcome::Signalled(_) | Outcome::OutOfMemory | Outcome::TimedOut(_) => {
                self.gave_up(ended)
            }
            // Who called it off, or told its worker to go, has not asked what it says; and these have said nothing.
            Outcome::Cancelled(_)
            | Outcome::Interrupted(_)
            | Outcome::CutOff
            | Outcome::Lost(_)
            | Outcome::Refused { .. }
            | Outcome::CouldNotStart { .. }
            | Outcome::Deferred { .. }
            | Outcome::GaveUp { .. } => ended,
        }
    }

    fn gave_up(&self, ended: Outcome) -> Outcome {
        match &self.fail {
            Some(reason) => Outcome::GaveUp {
                reason: reason.clone(),
                ended: Box::new(ended),
            },
            None => ended,
        }
    }

    /// What is kept of it; `None` where that is nothing. A result is that of a task that is done, and of no other.
    pub fn kept(self, is_done: bool) -> Option<Report> {
        let report = Report {
            progress: self.progress,
            result: self.result.filter(|_| is_done),
        };
        (report != Report::default()).then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::{Exit, Loss};
    use super::*;

    #[test]
    fn what_is_said_counts_by_how_the_command_ended() {
        let said = |fail: bool, retry_in: bool| Reported {
            fail: fail.then(|| "no such customer".into()),
            retry_in: retry_in.then_some(Duration::from_secs(300)),
            ..Reported::default()
        };
        let gave_up = |ended: &Outcome| Outcome::GaveUp {
            reason: "no such customer".into(),
            ended: Box::new(ended.clone()),
        };
        let wait = Duration::from_secs(300);
        let killed = Exit::Signal(9);
        for code in [0, 1, 75, 65] {
            let ended = Outcome::Exited(code);
            let deferred = Outcome::Deferred { code, wait };
            assert_eq!(said(false, true).judge(ended.clone()), deferred);
            assert_eq!(said(true, true).judge(ended.clone()), gave_up(&ended));
            assert_eq!(said(true, false).judge(ended.clone()), gave_up(&ended));
            assert_eq!(said(false, false).judge(ended.clone()), ended);
        }
        for ended in [
            Outcome::Signalled(11),
            Outcome::OutOfMemory,
            Outcome::TimedOut(killed),
        ] {
            assert_eq!(said(false, true).judge(ended.clone()), ended);
            assert_eq!(said(true, true).judge(ended.clone()), gave_up(&ended));
        }
        for ended in [
            Outcome::Cancelled(killed),
            Outcome::Interrupted(Exit::Code(0)),
            Outcome::CutOff,
            Outcome::Lost(Loss::WorkerDied),
        ] {
            assert_eq!(said(true, true).judge(ended.clone()), ended);
        }
    }

    #[test]
    fn a_result_is_kept_of_what_is_done() {
        let reported = Reported {
            progress: Progress {
                percent: Some(40.0),
                message: None,
            },
            result: Some("[1]".into()),
            ..Reported::default()
        };
        let kept = reported.clone().kept(true).unwrap();
        assert_eq!(kept.result.as_deref(), Some("[1]"));
        assert_eq!(kept.progress.percent, Some(40.0));
        let kept = reported.kept(false).unwrap();
        assert_eq!((kept.result, kept.progress.percent), (None, Some(40.0)));
        let only = Reported {
            result: Some("1".into()),
            ..Reported::default()
        };
        assert_eq!(only.kept(false), None);
        assert_eq!(Reported::default().kept(true), None);
    }
}
