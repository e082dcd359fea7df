//! The life of one worker process, as its tender sees it: state and event in, state and effects out.
//!
//! ```text
//!  spawning ──▶ starting ──ready──▶ idle ◀──────▶ busy
//!     │            │                 │             │
//!     │            └──── told to go, or its link closed ───▶ stopping ──too late──▶ killed
//!     │                                                          │                    │
//!     └── could not be spawned ──▶ gone ◀───── its process ended ┴────────────────────┘
//! ```
//!
//! - A worker is **proved** once it has finished a task or has been ready for a [`PROVING`]. One that
//!   ends by itself before that has **crashed**: it makes its pool back off ([`crate::backoff`]). One
//!   that was ready and is killed from outside has not.
//! - A worker that was killed and does not end is waited for, but not by a tender that itself ends: that one leaves it
//!   behind after [`KILLED_PATIENCE`].
//! - "Never again" ([`NEVER_AGAIN`]) is believed of a worker that has said how it stands. Before that it may be the
//!   code of whatever was to start the worker: env, timeout and docker exit so when they fail themselves.
//! - A worker that has promised to say that it is ready, and does not in time, is killed, and has crashed. One that
//!   has promised nothing is never killed for want of a word: it is ready, and proved, once it has lived for a while
//!   ([`Unready`]), and it is **silent** until it says something.
//! - A worker told to go without haste (recycled, or one too many) is given no time limit while it
//!   runs a command, or is silent and so perhaps runs one, and [`IDLE_PATIENCE`] while it runs none. So is one that
//!   closed its end of the link: it goes by itself, or has shut its tender out and is of no more use to it.
//! - A worker that lacks what its work takes (it cannot record what became of its task, or start a command) is
//!   **troubled** until it goes on: it counts as busy.
//! - A worker that promises to answer while it runs a command is asked now and then. One that does not answer is said,
//!   and killed once its command's time is up (`pulse`).
//! - Lines can overtake each other's meaning: a worker whose status lines could not be written says
//!   only the last of them, so `busy` and `idle` also mean that it is ready.
//!
//! Times are monotonic, since the tender's start.

use std::time::Duration;

mod answers;
mod event;
mod pulse;
mod rules;
mod steps;
#[cfg(test)]
mod tests;
mod words;

pub use crate::grace::{KILLED_PATIENCE, MARGIN, TERM_TO_KILL};
pub use event::{Ended, Event};
use pulse::Pulse;

pub use rules::{Jitter, MAX_AGE, MAX_OUTPUT, READY_TIMEOUT, Rules, Unready, Why};

/// How long a worker must be ready to count as one that works.
pub const PROVING: Duration = Duration::from_secs(1);

/// How long a worker has to go that runs no command.
pub const IDLE_PATIENCE: Duration = Duration::from_secs(30);

/// The exit code of a worker that has said how it stands and must not be started again.
pub const NEVER_AGAIN: i32 = 125;

/// What a worker runs that is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The task's id, 0 if it wasn't said.
    pub task: i64,
    /// The command's process group, 0 if it wasn't said.
    pub group: i32,
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was decided to have it; there is no process yet.
    Spawning,
    /// The process runs and has not said that it is ready.
    Starting {
        /// When it is killed if it has not said so, if ever.
        ready_by: Option<Duration>,
    },
    /// It waits for a job.
    Idle {
        /// Since when.
        since: Duration,
    },
    /// It runs a command.
    Busy {
        /// Since when.
        since: Duration,
        /// The task's id, 0 if it wasn't said.
        task: i64,
        /// The command's process group, 0 if it wasn't said.
        group: i32,
    },
    /// It is on its way out.
    Stopping {
        /// Why.
        why: Why,
        /// What it runs still.
        running: Option<Running>,
        /// When it is killed, if it may be.
        kill_at: Option<Duration>,
    },
    /// It was killed, and its end is awaited.
    Killed {
        /// Why it was to go.
        why: Why,
        /// What it ran.
        running: Option<Running>,
        /// When it is left behind though its process has not ended, if it may be.
        leave_at: Option<Duration>,
    },
    /// There is no process.
    Gone,
}

impl State {
    /// Whether this is the end of a worker that was told to go, or that went as it should.
    pub fn ends_well(&self, ended: Ended) -> bool {
        match self {
            Self::Stopping { why, .. } | Self::Killed { why, .. } if *why != Why::LinkClosed => {
                true
            }
            Self::Stopping { running: None, .. } | Self::Idle { .. } => ended == Ended::Exited(0),
            Self::Spawning
            | Self::Starting { .. }
            | Self::Busy { .. }
            | Self::Stopping { .. }
            | Self::Killed { .. }
            | Self::Gone => false,
        }
    }
}

/// What is to be done because of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Tell it to reserve nothing more and to go; its command is given `grace`, or all the time it takes.
    Drain {
        /// How long the command may run on.
        grace: Option<Duration>,
        /// Why it goes.
        why: Why,
    },
    /// Tell it to go at once.
    Stop,
    /// Kill its process.
    Kill,
    /// Its process has not ended though it was killed: leave it behind.
    Leave,
    /// It has shown that it works.
    Proved,
    /// It ended by itself before it had shown that it works.
    Crashed,
    /// It said that it must not be started again.
    Refused,
    /// Ask it for an answer.
    Ping,
    /// Look whether its process is stopped ([`Event::Looked`]).
    Look,
    /// It does not answer while it runs a command.
    Unresponsive,
    /// It answers again.
    Responsive,
}

/// What a worker is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not ready yet.
    Starting,
    /// Waiting for a job.
    Idle,
    /// Running a command.
    Busy,
    /// On its way out.
    Stopping,
    /// No process.
    Gone,
}

/// An event that cannot happen to a worker in that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("'{event}' cannot happen to a worker that is {state}")]
pub struct Illegal {
    /// The state, which stays as it was.
    pub state: State,
    /// What was said to have happened.
    pub event: Event,
}

/// One worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    state: State,
    born: Duration,
    ready_at: Option<Duration>,
    /// When it counts as ready without having said so.
    presume_at: Option<Duration>,
    /// It has said something of how it stands.
    spoke: bool,
    /// From when it has a process.
    jitter: Option<Jitter>,
    outdated: bool,
    proved: bool,
    troubled: bool,
    jobs: u64,
    output: u64,
    printed: u64,
    memory: u64,
    pulse: Pulse,
    /// How long a command may take between TERM and KILL.
    kill_after: Duration,
}

impl Worker {
    /// One that is about to be spawned.
    pub fn new(now: Duration) -> Self {
        Self {
            state: State::Spawning,
            born: now,
            ready_at: None,
            presume_at: None,
            spoke: false,
            jitter: None,
            outdated: false,
            proved: false,
            troubled: false,
            jobs: 0,
            output: 0,
            printed: 0,
            memory: 0,
            pulse: Pulse::Unwatched,
            kill_after: TERM_TO_KILL,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When it was started.
    pub fn born(&self) -> Duration {
        self.born
    }

    /// It has shown that it works.
    pub fn proved(&self) -> bool {
        self.proved
    }

    /// It lacks what its work takes, and keeps trying.
    pub fn troubled(&self) -> bool {
        self.troubled
    }

    /// It counts as ready, and has never said how it stands: it may be idle or busy.
    pub fn silent(&self) -> bool {
        self.ready_at.is_some() && !self.spoke
    }

    /// Jobs it says it has finished.
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Bytes printed by its commands, as it says, and by itself, as was last seen.
    pub fn output(&self) -> u64 {
        self.output.saturating_add(self.printed)
    }

    /// Bytes it held in memory when that was last looked at; 0 if it never was.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// What it runs, as far as it said.
    pub fn running(&self) -> Option<Running> {
        match self.state {
            State::Busy { task, group, .. } => Some(Running { task, group }),
            State::Stopping { running, .. } | State::Killed { running, .. } => running,
            State::Spawning | State::Starting { .. } | State::Idle { .. } | State::Gone => None,
        }
    }

    /// Since when it has not answered while it runs a command, if that is long enough to be said.
    pub fn unresponsive_since(&self) -> Option<Duration> {
        self.pulse.unresponsive_since()
    }

    /// What it is counted as.
    pub fn class(&self) -> Class {
        match self.state {
            State::Spawning | State::Starting { .. } => Class::Starting,
            State::Idle { .. } => Class::Idle,
            State::Busy { .. } => Class::Busy,
            // Its exit code is not known yet. To replace one that perhaps crashed before that is
            // known would be to start a storm.
            State::Stopping {
                why: Why::LinkClosed,
                ..
            } if !self.proved => Class::Starting,
            State::Stopping { .. } | State::Killed { .. } => Class::Stopping,
            State::Gone => Class::Gone,
        }
    }

    /// Why it should be replaced, if it should be and nothing is cut short by that.
    pub fn overdue(&self, rules: &Rules, now: Duration) -> Option<Why> {
        match self.state {
            State::Idle { .. } => {}
            State::Spawning
            | State::Starting { .. }
            | State::Busy { .. }
            | State::Stopping { .. }
            | State::Killed { .. }
            | State::Gone => return None,
        }
        let reached = |value: u64, most: u64| most > 0 && value >= most;
        if self.outdated {
            Some(Why::Outdated)
        } else if reached(self.output(), rules.max_output) {
            Some(Why::Output)
        } else if reached(self.jobs, rules.max_jobs) {
            Some(Why::Jobs)
        } else if reached(self.memory, rules.max_memory) {
            Some(Why::Memory)
        } else if self.recycle_at(rules).is_some_and(|at| now >= at) {
            Some(Why::Aged)
        } else {
            None
        }
    }

    /// Lets it be replaced once it is idle.
    pub fn outdate(&mut self) {
        self.outdated = true;
    }

    /// Its tender stays: a worker that was killed is waited for until it ends.
    pub fn stay(&mut self) {
        if let State::Killed { leave_at, .. } = &mut self.state {
            *leave_at = None;
        }
    }

    /// When it reaches its age.
    pub fn recycle_at(&self, rules: &Rules) -> Option<Duration> {
        let limit = rules.age_limit(self.jitter?)?;
        Some(self.born.saturating_add(limit))
    }

    /// When it wants an [`Event::Due`].
    pub fn deadline(&self) -> Option<Duration> {
        let due = match self.state {
            State::Idle { .. } | State::Busy { .. } if !self.proved => {
                self.ready_at.map(|at| at.saturating_add(PROVING))
            }
            State::Starting { ready_by } => ready_by.into_iter().chain(self.presume_at).min(),
            State::Stopping { kill_at, .. } => kill_at,
            State::Killed { leave_at, .. } => leave_at,
            State::Spawning | State::Idle { .. } | State::Busy { .. } | State::Gone => None,
        };
        due.into_iter().chain(self.pulse.deadline()).min()
    }

    /// Lets an event happen. After [`Illegal`] nothing has changed.
    pub fn step(
        &mut self,
        rules: &Rules,
        event: Event,
        now: Duration,
    ) -> Result<Vec<Effect>, Illegal> {
        self.kill_after = rules.kill_after.max(TERM_TO_KILL);
        let mut effects = match self.state {
            State::Spawning => self.spawning(rules, event, now),
            State::Starting { ready_by } => self.starting(event, now, ready_by),
            State::Idle { .. } | State::Busy { .. } => self.working(event, now),
            State::Stopping {
                why,
                running,
                kill_at,
            } => self.stopping(event, now, (why, running, kill_at)),
            State::Killed {
                why,
                running,
                leave_at,
            } => self.killed(event, now, (why, running, leave_at)),
            State::Gone => self.gone(event),
        }?;
        effects.extend(self.beat(event, now));
        Ok(effects)
    }

    fn illegal(&self, event: Event) -> Result<Vec<Effect>, Illegal> {
        let state = self.state;
        Err(Illegal { state, event })
    }
}
