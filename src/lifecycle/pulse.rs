//! Whether a worker that runs a command still answers.
//!
//! A worker keeps the timeout of its command, unless it cannot: its process is stopped (state T), or hangs. So a tender
//! asks a busy worker now and then, one ping at a time: what is stopped must not have its link filled. Whatever the
//! worker says then is an answer. Until there is one, the tender looks at it each second, and counts:
//!
//! ```text
//!  Answers ──PING_EVERY: ping──▶ Asked ──UNRESPONSIVE looks──▶ said ──its command's time is up──▶ killed
//!     ▲                            │                            │       (stopped: at once; else after HUNG looks)
//!     └───────── it speaks ────────┴────────────────────────────┘ said
//! ```
//!
//! It is looks that are counted. A machine that sleeps, and a tender that is stopped together with its workers, look at
//! nothing meanwhile: a worker that wakes has time to answer before anything comes of it. A worker whose command has no
//! timeout is never killed for want of a word, nor is one that never promised to answer ([`Pulse::Unwatched`]).

use std::time::Duration;

use crate::grace::MARGIN;

/// Between an answer and the next ping.
pub const PING_EVERY: Duration = Duration::from_secs(2);

/// Between two looks at a worker that has not answered.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A worker that has not answered at so many looks is unresponsive, which is said.
pub const UNRESPONSIVE: u32 = 5;

/// A worker that is not stopped, and so perhaps waits for a disk, is taken for hung only after so many.
pub const HUNG: u32 = 30;

/// What is known of a worker's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pulse {
    /// Nobody asks.
    #[default]
    Unwatched,
    /// It has answered, or has yet to be asked.
    Answers {
        /// When it is asked.
        ping_at: Duration,
        /// When its command's time is up, if ever.
        over_at: Option<Duration>,
    },
    /// It was asked, and has not answered.
    Asked {
        /// Since when.
        since: Duration,
        /// At how many looks it had not.
        looks: u32,
        /// When it is looked at next.
        look_at: Duration,
        /// When its command's time is up, if ever.
        over_at: Option<Duration>,
    },
}

/// What is to be done when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Ask it.
    Ping,
    /// Look at its process.
    Look,
}

/// What comes of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// It is unresponsive from now on.
    pub is_news: bool,
    /// It is to be killed: its command's time is up, and it does not keep it.
    pub is_over: bool,
}

impl Pulse {
    /// Of one that promises to answer while it runs a command, which may go on for so long.
    pub fn watch(left: Option<Duration>, now: Duration) -> Pulse {
        Pulse::Answers {
            ping_at: now.saturating_add(PING_EVERY),
            over_at: left.and_then(|left| now.checked_add(left)),
        }
    }

    /// When something is to be done.
    pub fn deadline(self) -> Option<Duration> {
        match self {
            Pulse::Unwatched => None,
            Pulse::Answers { ping_at, .. } => Some(ping_at),
            Pulse::Asked { look_at, .. } => Some(look_at),
        }
    }

    /// Time has passed.
    pub fn due(self, now: Duration) -> (Pulse, Option<Beat>) {
        let look_at = now.saturating_add(LOOK_EVERY);
        match self {
            Pulse::Answers { ping_at, over_at } if ping_at <= now => {
                let asked = Pulse::Asked {
                    since: now,
                    looks: 0,
                    look_at,
                    over_at,
                };
                (asked, Some(Beat::Ping))
            }
            Pulse::Asked {
                since,
                looks,
                look_at: at,
                over_at,
            } if at <= now => {
                let asked = Pulse::Asked {
                    since,
                    looks,
                    look_at,
                    over_at,
                };
                (asked, Some(Beat::Look))
            }
            Pulse::Unwatched | Pulse::Answers { .. } | Pulse::Asked { .. } => (self, None),
        }
    }

    /// It was looked at, and its process is stopped, or is not.
    pub fn looked(self, is_stopped: bool, now: Duration) -> (Pulse, Found) {
        let Pulse::Asked {
            since,
            looks,
            look_at,
            over_at,
        } = self
        else {
            let found = Found {
                is_news: false,
                is_over: false,
            };
            return (self, found);
        };
        let looks = looks.saturating_add(1);
        let enough = if is_stopped { UNRESPONSIVE } else { HUNG };
        // It may just be about to keep its command's time.
        let is_late = over_at.is_some_and(|at| at.saturating_add(MARGIN) <= now);
        let found = Found {
            is_news: looks == UNRESPONSIVE,
            is_over: looks >= enough && is_late,
        };
        let asked = Pulse::Asked {
            since,
            looks,
            look_at,
            over_at,
        };
        (asked, found)
    }

    /// It has said something.
    pub fn spoke(self, now: Duration) -> Pulse {
        match self {
            Pulse::Asked { over_at, .. } => Pulse::Answers {
                ping_at: now.saturating_add(PING_EVERY),
                over_at,
            },
            Pulse::Unwatched | Pulse::Answers { .. } => self,
        }
    }

    /// Since when it has not answered, if that was said.
    pub fn unresponsive_since(self) -> Option<Duration> {
        match self {
            Pulse::Asked { since, looks, .. } => (looks >= UNRESPONSIVE).then_some(since),
            Pulse::Unwatched | Pulse::Answers { .. } => None,
        }
    }
}
