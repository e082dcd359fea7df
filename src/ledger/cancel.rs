//! Calling tasks off.
//!
//! What waits is cancelled at once; its job is one too many then, and goes as such jobs go. What runs cannot be: its
//! row says that it is to be, and whoever ends the attempt goes by that (`transition.rs`).

use super::error::{Error, Failed};
use super::rows::{Rows, Wish};
use super::{Ledger, Millis, transition};
use crate::task::id::{AttemptId, TaskId};
use crate::task::state::Status;

/// How tasks are to be called off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallOff {
    /// A command that runs is killed, and not asked to end.
    pub now: bool,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What came of one that was to be called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalledOff {
    /// It waited, and is cancelled.
    Cancelled,
    /// It runs, and is to be cancelled: its row says so.
    Asked {
        /// The attempt that runs.
        attempt: AttemptId,
        /// The name of the worker that runs it.
        worker: String,
    },
    /// It had ended before.
    Ended {
        /// How it stands.
        status: Status,
    },
    /// There is no such task, or no more.
    NoSuchTask,
}

/// Why a task was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCancelled {
    /// There is no such row.
    #[error("No such task :{id}")]
    NoSuchTask {
        /// The id asked for.
        id: TaskId,
    },
    /// It was done or had failed already.
    #[error("task {id} {} already", past(*status))]
    Ended {
        /// Which.
        id: TaskId,
        /// How it stands.
        status: Status,
    },
}

fn past(status: Status) -> &'static str {
    match status {
        Status::Done => "was done",
        Status::Failed => "had failed",
        Status::Cancelled => "was cancelled",
        Status::Waiting => "waited",
        Status::Running => "ran",
    }
}

impl Ledger {
    /// Calls tasks off, in one transaction. One answer each, in the same order.
    pub fn cancel(
        &mut self,
        tasks: &[TaskId],
        how: &CallOff,
        now: Millis,
    ) -> Result<Vec<CalledOff>, Error> {
        self.change(|rows| {
            let one = |task: &TaskId| cancel(rows, *task, how, now);
            tasks.iter().map(one).collect()
        })
    }

    /// That an attempt is to be cancelled, if it runs and somebody has asked for that.
    pub fn wish(&self, attempt: AttemptId) -> Result<Option<Wish>, Error> {
        let wish = self.look(|rows| rows.wish(attempt.task))?;
        Ok(wish.filter(|wish| wish.attempt == attempt))
    }
}

fn cancel(rows: &dyn Rows, task: TaskId, how: &CallOff, now: Millis) -> Result<CalledOff, Failed> {
    let reason = how.reason.as_deref();
    Ok(match rows.status(task)? {
        None => CalledOff::NoSuchTask,
        Some(Status::Waiting) => {
            transition::cancel(rows, task, now, reason)?;
            CalledOff::Cancelled
        }
        Some(Status::Running) => {
            rows.ask_to_cancel(task, now, how.now, reason)?;
            let wish = rows.wish(task)?;
            let wish =
                wish.ok_or_else(|| Failed::row(task, "a wish vanished in its own transaction"))?;
            CalledOff::Asked {
                attempt: wish.attempt,
                worker: rows.ran_by(task)?.name,
            }
        }
        Some(status @ (Status::Done | Status::Failed | Status::Cancelled)) => {
            CalledOff::Ended { status }
        }
    })
}
