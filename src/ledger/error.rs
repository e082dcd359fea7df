//! What can go wrong with a ledger, in words. What a library said is text by then.

use std::time::Duration;

use crate::lives;
use crate::task::id::TaskId;

/// Why a ledger did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else has it locked, and nothing was done.
    #[error("{what}")]
    Locked {
        /// What is locked, for how long we waited, and what to do next.
        what: String,
    },
    /// The row that was asked for is why, and others may well be fine.
    #[error("{what}")]
    Row {
        /// The task whose row it is, where that is known.
        task: Option<TaskId>,
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// There is no room for what was to be written, and nothing was done.
    #[error("{what}")]
    Full {
        /// What is full, and what to do next.
        what: String,
    },
    /// The ledger cannot be reached or does not do what it should.
    #[error("{what}")]
    Trouble {
        /// What failed, on what, and why.
        what: String,
        /// What to do next, where there is a next step.
        next: Option<String>,
    },
}

impl Error {
    /// Somebody else has it locked, and nothing was done.
    pub fn is_locked(&self) -> bool {
        match self {
            Error::Locked { .. } => true,
            Error::Row { .. } | Error::Full { .. } | Error::Trouble { .. } => false,
        }
    }

    /// The row that was asked for is why, and others may well be fine.
    pub fn is_of_one_row(&self) -> bool {
        match self {
            Error::Row { .. } => true,
            Error::Locked { .. } | Error::Full { .. } | Error::Trouble { .. } => false,
        }
    }

    /// There is no room for what was to be written, and nothing was done.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Full { .. } => true,
            Error::Locked { .. } | Error::Row { .. } | Error::Trouble { .. } => false,
        }
    }

    /// What to do next, where there is a next step that is not in the words.
    pub fn next(&self) -> Option<&str> {
        match self {
            Error::Trouble { next, .. } => next.as_deref(),
            Error::Locked { .. } | Error::Row { .. } | Error::Full { .. } => None,
        }
    }

    /// There is no more to be said than what.
    pub fn trouble(what: impl Into<String>) -> Error {
        Error::Trouble {
            what: what.into(),
            next: None,
        }
    }

    /// The thread that has the ledger has ended: a bug, or the process is on its way out.
    pub fn closed() -> Error {
        Error::trouble(
            "the thread that has the store ended before it answered; what was asked for may be done, or not",
        )
    }

    /// The ledger did not answer in time.
    pub fn too_slow(waited: Duration) -> Error {
        Error::trouble(format!(
            "the store did not answer for {}s",
            waited.as_secs()
        ))
    }
}

/// What can fail inside a transaction, before it is known of which ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// Somebody else has it locked.
    Locked,
    /// A row holds what this program cannot read, or may not hold what it was to.
    Row {
        /// The task whose row it is, where that is known.
        task: Option<TaskId>,
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// There is no room for what was to be written.
    Full,
    /// Whatever keeps the rows does not do what it should.
    Trouble {
        /// What it said.
        what: String,
    },
    /// It cannot be told who lives.
    Lives(lives::Error),
}

impl Failed {
    /// What is wrong with the row that was asked for, if that is why; others may well be fine.
    pub fn of_one_row(self) -> Result<String, Failed> {
        match self {
            Failed::Row { what, .. } => Ok(what),
            Failed::Locked | Failed::Full | Failed::Trouble { .. } | Failed::Lives(_) => Err(self),
        }
    }

    /// A row that makes no sense.
    pub fn row(task: impl Into<Option<TaskId>>, what: impl Into<String>) -> Failed {
        Failed::Row {
            task: task.into(),
            what: what.into(),
        }
    }
}

impl From<lives::Error> for Failed {
    fn from(error: lives::Error) -> Failed {
        Failed::Lives(error)
    }
}
