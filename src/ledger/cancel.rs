//! Calling tasks off.
//!
//! What waits is cancelled at once; its job is one too many then, and goes as such jobs go. What runs cannot be: its
//! row says that it is to be, and whoever ends the attempt goes by that (`transition.rs`).

use super::after::note_children;
use super::bulk::{Change, On};
use super::error::{Error, Failed};
use super::rows::Wish;
use super::{Ledger, transition};
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

/// What came of a task that was called off.
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

impl Change for CallOff {
    type Done = CalledOff;
    type Refused = NotCancelled;

    fn change(&self, on: &On<'_>, id: TaskId) -> Result<Result<CalledOff, NotCancelled>, Failed> {
        let (rows, reason) = (on.rows, self.reason.as_deref());
        match rows.status(id)? {
            None => Ok(Err(NotCancelled::NoSuchTask { id })),
            Some(Status::Waiting) => {
                let kin = transition::cancel(rows, id, on.now, reason)?;
                note_children(rows, id, kin.unwrap_or_default())?;
                Ok(Ok(CalledOff::Cancelled))
            }
            Some(Status::Running) => {
                rows.ask_to_cancel(id, on.now, self.now, reason)?;
                let wish = rows.wish(id)?;
                let wish =
                    wish.ok_or_else(|| Failed::row(id, "a wish vanished in its own transaction"))?;
                Ok(Ok(CalledOff::Asked {
                    attempt: wish.attempt,
                    worker: rows.ran_by(id)?.name,
                }))
            }
            Some(status @ (Status::Done | Status::Failed | Status::Cancelled)) => {
                Ok(Err(NotCancelled::Ended { id, status }))
            }
        }
    }

    fn puts_jobs(&self) -> bool {
        false
    }
}

impl Ledger {
    /// That an attempt is to be cancelled, if it runs and somebody has asked for that.
    pub fn wish(&self, attempt: AttemptId) -> Result<Option<Wish>, Error> {
        let wish = self.look(|rows| rows.wish(attempt.task))?;
        Ok(wish.filter(|wish| wish.attempt == attempt))
    }
}
