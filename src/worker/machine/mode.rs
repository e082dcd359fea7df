//! How soon a worker is to go.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

/// Where a worker stands between working and leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The worker takes jobs.
    Working,
    /// The worker takes no more jobs (it drains); its command may run until then, or however long the command takes.
    Draining {
        /// Since the worker's start; `None`: however long it takes.
        until: Option<Duration>,
    },
    /// The worker leaves at once.
    Stopping,
}

impl Mode {
    /// What two words add up to. Words only ever hurry a worker: an end without a limit, one with a limit, at once.
    pub fn hurried(self, by: Mode) -> Mode {
        match by.rank() > self.rank() {
            true => by,
            false => self,
        }
    }

    fn rank(self) -> (u8, Option<Reverse<Duration>>) {
        match self {
            Mode::Working => (0, None),
            Mode::Draining { until: None } => (1, None),
            Mode::Draining { until: Some(until) } => (2, Some(Reverse(until))),
            Mode::Stopping => (3, None),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Working => "work",
            Mode::Draining { until: None } => "finish",
            Mode::Draining { until: Some(_) } => "drain",
            Mode::Stopping => "stop",
        })
    }
}

/// How a task is called off while its command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOff {
    /// The command is asked to end, and killed if it does not.
    Ask,
    /// The command is killed.
    Kill,
}

impl CallOff {
    /// At once, or not.
    pub fn of(now: bool) -> CallOff {
        match now {
            true => CallOff::Kill,
            false => CallOff::Ask,
        }
    }

    /// The same with what was said before: a word only ever hurries.
    pub fn with(self, before: Option<CallOff>) -> CallOff {
        match (self, before) {
            (CallOff::Ask, None | Some(CallOff::Ask)) => CallOff::Ask,
            (CallOff::Kill, _) | (CallOff::Ask, Some(CallOff::Kill)) => CallOff::Kill,
        }
    }
}
