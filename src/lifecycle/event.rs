//! What happens to a worker.

use std::time::Duration;

use super::{Jitter, Why};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

impl Ended {
    /// Ended by a signal that somebody sends, not by one that a process brings upon itself
    /// (SIGSEGV, SIGABRT …).
    pub(super) fn killed_from_outside(self) -> bool {
        const HUP_INT_KILL_PIPE_TERM: [i32; 5] = [1, 2, 9, 13, 15];
        match self {
            Self::Exited(_) => false,
            Self::Signalled(signal) => HUP_INT_KILL_PIPE_TERM.contains(&signal),
        }
    }
}

/// What happens to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its process was started.
    Spawned {
        /// Its share of the age's jitter.
        jitter: Jitter,
    },
    /// Its process could not be started.
    CouldNotSpawn,
    /// It said that it is ready.
    Ready,
    /// It said that it runs a command.
    Busy {
        /// The task's id.
        task: i64,
        /// The command's process group.
        group: i32,
    },
    /// It said that it waits for a job.
    Idle {
        /// Jobs it has finished.
        jobs: u64,
        /// Bytes that its commands have printed.
        output: u64,
    },
    /// It said that it lacks what its work takes, and that it keeps trying.
    Troubled {
        /// The task's id.
        task: i64,
    },
    /// It promises to answer while it runs the command that it said it runs.
    Watched {
        /// How long that command may run on, if not for ever.
        left: Option<Duration>,
    },
    /// It answered something.
    Answered,
    /// The tender looked at the process of one that has not answered.
    Looked {
        /// It is stopped (state T).
        is_stopped: bool,
    },
    /// The tender looked at it from outside.
    Measured {
        /// Bytes it holds in memory; 0 where that is not known.
        memory: u64,
        /// Bytes it has printed itself.
        printed: u64,
    },
    /// It is to go once it has no command to run.
    Retire {
        /// Why.
        why: Why,
    },
    /// It is to go, and its command is given `grace`.
    Drain {
        /// How long the command may run on.
        grace: Duration,
    },
    /// It is to go at once, its command with it.
    Stop,
    /// Time has passed.
    Due,
    /// Its end of the link is closed.
    LinkClosed,
    /// Its process has ended.
    Ended(Ended),
}
