//! What was decided about a pool and why, in a form that logs, tests and people read.

use std::fmt;
use std::time::Duration;

/// What to do with a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Hold,
    /// Start workers.
    Start {
        /// How many, at least one.
        n: u32,
    },
    /// Let idle workers go, the oldest first.
    Retire {
        /// How many, at least one, at most the idle ones.
        n: u32,
    },
    /// Let workers go because of the pool that the tube shares with others: idle ones first, then busy ones after
    /// their jobs.
    Yield {
        /// How many, at least one.
        n: u32,
    },
}

/// A decision, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// How many workers should be able to take a job.
    pub target: u32,
    /// When to decide again if nothing happens before.
    pub again: Option<Duration>,
}

/// Why a decision fell as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There are as many as there should be.
    Enough,
    /// Fewer than `min`.
    BelowMin {
        /// Those that can take a job.
        live: u32,
        /// The least there should be.
        min: u32,
    },
    /// More are busy, or wanted.
    Wanted {
        /// Those that run a command.
        busy: u32,
        /// What was added to them: the spare workers or the ready jobs.
        extra: u64,
    },
    /// More are wanted, a moment after the last growth.
    Paced,
    /// More are wanted than there is room for.
    AtMax {
        /// Every process there is.
        total: u32,
        /// The most there may be.
        max: u32,
    },
    /// More are wanted, but the pool that the tube shares with others has all its places taken.
    PoolFull {
        /// The processes that count.
        counted: u32,
        /// The most there may be.
        places: u32,
    },
    /// More are wanted, but the places that are left are for other tubes of the pool.
    OthersTurn,
    /// Other tubes of the pool have come to their turn.
    Yields,
    /// The pool that the tube shares with others has more than its `max`, which has been lowered.
    PoolAbove {
        /// The processes that count.
        counted: u32,
        /// The most there may be.
        places: u32,
    },
    /// More are wanted, and no more may be started, ever.
    Spent,
    /// More are wanted, and nobody knows how many an earlier tender has left.
    Uncounted,
    /// Too many, for too short a time.
    Lingering {
        /// How many too many.
        surplus: u32,
    },
    /// Too many, for long enough.
    Surplus {
        /// How long.
        lasted: Duration,
    },
    /// More than `max`, which has been lowered.
    AboveMax {
        /// Those that can take a job.
        live: u32,
        /// The most there may be.
        max: u32,
    },
    /// Perhaps too many: the broker has not said how many jobs wait.
    DemandUnknown,
    /// More are wanted, but some lack what their work takes, and others would too.
    Troubled {
        /// Those that have something to record and cannot.
        workers: u32,
    },
    /// Workers crash.
    BackingOff {
        /// Crashes in a row.
        failures: u32,
    },
    /// One worker tries whether the pool can work again.
    Trying,
    /// A worker said "never again".
    Refused,
}

impl Reason {
    /// The same with the name of the pool that the tube shares with others, if it does.
    pub fn named(self, pool: Option<&str>) -> String {
        let Some(pool) = pool else {
            return self.to_string();
        };
        match self {
            Self::PoolFull { counted, places } => {
                format!("more wanted, but the pool {pool} has {counted} of at most {places}")
            }
            Self::OthersTurn => {
                format!("more wanted, but what the pool {pool} has left is for its other tubes")
            }
            Self::Yields => format!("it is the turn of other tubes of the pool {pool}"),
            Self::PoolAbove { counted, places } => {
                format!("the pool {pool} has {counted} of at most {places}")
            }
            Self::Enough
            | Self::BelowMin { .. }
            | Self::Wanted { .. }
            | Self::Paced
            | Self::AtMax { .. }
            | Self::Spent
            | Self::Uncounted
            | Self::Lingering { .. }
            | Self::Surplus { .. }
            | Self::AboveMax { .. }
            | Self::DemandUnknown
            | Self::Troubled { .. }
            | Self::BackingOff { .. }
            | Self::Trying
            | Self::Refused => self.to_string(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolFull { counted, places } => {
                write!(
                    f,
                    "more wanted, but its pool has {counted} of at most {places}"
                )
            }
            Self::OthersTurn => {
                f.write_str("more wanted, but what its pool has left is for other tubes")
            }
            Self::Yields => f.write_str("it is the turn of other tubes of its pool"),
            Self::PoolAbove { counted, places } => {
                write!(f, "its pool has {counted} of at most {places}")
            }
            Self::Enough => f.write_str("as many as wanted"),
            Self::BelowMin { live, min } => write!(f, "{live} of at least {min}"),
            Self::Wanted { busy, extra } => write!(f, "{busy} busy and {extra} more wanted"),
            Self::Paced => f.write_str("more wanted a moment after the last growth"),
            Self::AtMax { total, max } => write!(f, "more wanted, but {total} of at most {max}"),
            Self::Spent => f.write_str("more wanted, but as many were started as ever may be"),
            Self::Uncounted => {
                f.write_str("more wanted, but what an earlier tender left cannot be counted")
            }
            Self::Lingering { surplus } => write!(f, "{surplus} too many, not for long"),
            Self::Surplus { lasted } => write!(f, "too many for {}s", lasted.as_secs()),
            Self::AboveMax { live, max } => write!(f, "{live} of at most {max}"),
            Self::DemandUnknown => f.write_str("perhaps too many, demand unknown"),
            Self::Troubled { workers: 1 } => f.write_str("more wanted, but a worker is in trouble"),
            Self::Troubled { workers } => {
                write!(f, "more wanted, but {workers} workers are in trouble")
            }
            Self::BackingOff { failures } => write!(f, "backing off, {failures} failed in a row"),
            Self::Trying => f.write_str("trying one worker after failures"),
            Self::Refused => {
                f.write_str("a worker exited with code 125: starts none again until a reload")
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold => f.write_str("hold"),
            Self::Start { n } => write!(f, "start {n}"),
            Self::Retire { n } => write!(f, "retire {n}"),
            Self::Yield { n } => write!(f, "yield {n}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (target {}): {}",
            self.action, self.target, self.reason
        )
    }
}
