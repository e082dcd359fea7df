//! What a crew wants done, and what it refuses to take in.

use std::fmt;
use std::time::Duration;

use crate::backoff::BackOff;
use crate::lifecycle::{Illegal, Why};
use crate::pool::Reason;

/// A worker's number within its crew, from 1, never given twice.
pub type Number = u64;

/// How a crew ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Its workers take no more jobs.
    Draining {
        /// How long their commands may run on.
        grace: Duration,
    },
    /// Its workers go at once.
    Stopping,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start a process for this worker.
    Spawn {
        /// The new worker.
        worker: Number,
        /// Why it is wanted.
        reason: Reason,
    },
    /// Tell it to reserve nothing more and to go.
    Drain {
        /// Which.
        worker: Number,
        /// How long its command may run on; without a limit if there is none.
        grace: Option<Duration>,
        /// Why it goes.
        why: Why,
    },
    /// Tell it to go at once, its command with it.
    Stop {
        /// Which.
        worker: Number,
    },
    /// Kill its process.
    Kill {
        /// Which.
        worker: Number,
    },
    /// Go without it: it was killed, and does not end.
    Leave {
        /// Which.
        worker: Number,
    },
    /// Ask it for an answer.
    Ping {
        /// Which.
        worker: Number,
    },
    /// Look whether its process is stopped.
    Look {
        /// Which.
        worker: Number,
    },
    /// Say that a worker does not answer while it runs a command.
    Unresponsive {
        /// Which.
        worker: Number,
    },
    /// Say that a worker answers again.
    Responsive {
        /// Which.
        worker: Number,
    },
    /// Ask the broker for the pool's demand.
    Ask,
    /// Wait for the pool's first job.
    Listen,
    /// Count the workers that an earlier tender left draining.
    Count,
    /// Say that a worker crashed, and that the pool waits because of it.
    BackedOff {
        /// Which.
        worker: Number,
        /// The wait.
        back_off: BackOff,
    },
    /// Say that the pool starts workers as it wants to again.
    Recovered {
        /// Which worker proved it.
        worker: Number,
    },
    /// Say that a worker must not be started again, and that none will be.
    Refused {
        /// Which.
        worker: Number,
    },
}

/// Why an event could not be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The worker is gone or never was.
    #[error("there is no worker {worker}")]
    NoSuchWorker {
        /// Its number.
        worker: Number,
    },
    /// The worker is in a state in which this cannot happen.
    #[error("worker {worker}: {illegal}")]
    Illegal {
        /// Its number.
        worker: Number,
        /// What cannot be.
        illegal: Illegal,
    },
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining { .. } => "drain",
            Self::Stopping => "stop",
        })
    }
}
