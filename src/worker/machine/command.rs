//! The command that runs: how far ending it has come, and what its exit means.

use std::time::Duration;

use super::event::How;
use super::mode::{CallOff, Mode};
use crate::task::state::{Exit, Outcome};

/// The signal that the kernel sends, and everybody.
const SIGKILL: i32 = 9;

/// Why we end a command that would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The command ran longer than its `timeout`.
    TimedOut,
    /// The worker goes.
    Interrupted,
    /// Somebody called the task off.
    Cancelled,
}

/// What a command is to end for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The worker's.
    pub mode: Mode,
    /// When the command's time is up.
    pub times_out_at: Option<Duration>,
    /// Its task is called off.
    pub called_off: Option<CallOff>,
}

/// How far the ending of a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The command runs.
    Running,
    /// The command was asked to end.
    Terminated {
        /// Why.
        cause: Cause,
        /// When the command is killed if it has not ended.
        kill_at: Duration,
    },
    /// The command was killed.
    Killed {
        /// Why the command was to end.
        cause: Cause,
        /// When it was killed.
        at: Duration,
    },
}

/// What a command is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Send {
    /// TERM, and CONT: one that stopped itself could not hear the TERM.
    Term,
    /// KILL.
    Kill,
}

impl Stage {
    /// Where it stands now, and what is to be sent for that. `kill_after` is the time between TERM and KILL.
    pub fn advance(self, ends: Ends, kill_after: Duration, now: Duration) -> (Stage, Option<Send>) {
        let kill = |cause| {
            let killed = Stage::Killed { cause, at: now };
            (killed, Some(Send::Kill))
        };
        let terminate = |cause| {
            let kill_at = now.saturating_add(kill_after);
            (Stage::Terminated { cause, kill_at }, Some(Send::Term))
        };
        let Ends {
            mode,
            times_out_at,
            called_off,
        } = ends;
        match (self, called_off, mode) {
            (Stage::Killed { .. }, ..) => (self, None),
            (Stage::Terminated { cause, .. }, _, Mode::Stopping) => kill(cause),
            (Stage::Terminated { cause, .. }, Some(CallOff::Kill), _) => kill(cause),
            (Stage::Terminated { cause, kill_at }, ..) if kill_at <= now => kill(cause),
            (Stage::Terminated { .. }, ..) => (self, None),
            (Stage::Running, Some(CallOff::Kill), _) => kill(Cause::Cancelled),
            (Stage::Running, Some(CallOff::Ask), Mode::Stopping) => kill(Cause::Cancelled),
            (Stage::Running, Some(CallOff::Ask), _) => terminate(Cause::Cancelled),
            (Stage::Running, None, Mode::Stopping) => kill(Cause::Interrupted),
            (Stage::Running, None, Mode::Draining { until: Some(until) }) if until <= now => {
                terminate(Cause::Interrupted)
            }
            (Stage::Running, None, Mode::Working | Mode::Draining { .. }) => match times_out_at {
                Some(at) if at <= now => terminate(Cause::TimedOut),
                Some(_) | None => (self, None),
            },
        }
    }

    /// When something is to be sent though nothing happens.
    pub fn alarm(self, mode: Mode, times_out_at: Option<Duration>) -> Option<Duration> {
        match self {
            Stage::Running => {
                let grace_ends = match mode {
                    Mode::Draining { until } => until,
                    Mode::Working | Mode::Stopping => None,
                };
                times_out_at.into_iter().chain(grace_ends).min()
            }
            Stage::Terminated { kill_at, .. } => Some(kill_at),
            Stage::Killed { .. } => None,
        }
    }

    /// What an exit means. A command that we asked to end may exit with 0 having done half its work: it is not held to
    /// be done.
    pub fn outcome(self, how: How) -> Outcome {
        let (exit, memory) = match how {
            How::NotStarted { reason, .. } => return Outcome::CouldNotStart { reason },
            How::Exit { exit, memory } => (exit, memory),
        };
        match (self, exit) {
            (Stage::Running, Exit::Code(code)) => Outcome::Exited(code),
            (Stage::Running, Exit::Signal(SIGKILL)) if memory => Outcome::OutOfMemory,
            (Stage::Running, Exit::Signal(signal)) => Outcome::Signalled(signal),
            (Stage::Terminated { cause, .. } | Stage::Killed { cause, .. }, exit) => match cause {
                Cause::TimedOut => Outcome::TimedOut(exit),
                Cause::Interrupted => Outcome::Interrupted(exit),
                Cause::Cancelled => Outcome::Cancelled(exit),
            },
        }
    }
}
