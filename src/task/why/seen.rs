//! What is known of a task, and of what is around it.

use std::time::Duration;

/// What is known of a task, and of what is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The task's number.
    pub id: i64,
    /// Its tube.
    pub tube: String,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a task stands, with what is asked about there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It waits.
    Waiting(Box<Waiting>),
    /// It waits for others, and for nothing else.
    Awaiting {
        /// For which: "waits for task 4", or "is held: …".
        what: String,
        /// It waits for a person.
        is_held: bool,
    },
    /// It runs, as it is recorded.
    Running {
        /// The attempt's number.
        attempt: i64,
        /// The name of who runs it.
        worker: String,
        /// Whether its worker lives.
        owner_lives: bool,
        /// For so many milliseconds.
        running_for: i64,
        /// How far its command says that it is, in words.
        said: Option<String>,
        /// What of the attempt still runs though its worker is dead, in words.
        remains: Option<String>,
    },
    /// It is done.
    Done {
        /// How many attempts it took.
        attempts: u64,
    },
    /// It has failed.
    Failed {
        /// Why.
        reason: Option<String>,
        /// What it asks for may not run.
        is_refused: bool,
        /// It may not run by today's configuration, either: why.
        refusal: Option<String>,
    },
    /// Somebody called it off.
    Cancelled {
        /// Why.
        reason: Option<String>,
    },
}

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Milliseconds until it is due; zero or less when it is.
    pub due_in: i64,
    /// It was found missing its command, for so many milliseconds.
    pub parked_for: Option<i64>,
    /// How its newest attempt ended, if there was one.
    pub last: Option<Last>,
    /// What of its newest attempt still runs, in words: nothing else begins before that is gone.
    pub remains: Option<(i64, String)>,
    /// Why it may not run by today's configuration.
    pub refusal: Option<String>,
    /// By which limit it is held, if it is.
    pub held: Option<Held>,
    /// Whether its job is known to have been put.
    pub is_announced: bool,
    /// What the broker says of its tube, or why it cannot be asked.
    pub broker: Result<Tube, String>,
    /// Who could run it.
    pub workers: Workers,
}

/// By which limit a task is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// In words.
    pub words: String,
    /// The limit's name, if there is such a limit today.
    pub limit: Option<String>,
}

/// How an attempt ended after which its task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    /// So, in words.
    Ended(String),
    /// Its command said "not now", and why, if it said that.
    Deferred {
        /// Why.
        message: Option<String>,
    },
}

/// A tube, as the broker has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tube {
    /// For so long nobody may have a job of it.
    pub paused: Duration,
    /// Jobs that are ready.
    pub ready: u64,
    /// Workers, and whoever else, that wait for one.
    pub waiting: u64,
    /// Jobs that somebody has.
    pub reserved: u64,
}

/// Who could run a task, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workers {
    /// Nobody was asked.
    Unknown,
    /// No tender tends the tube.
    Untended,
    /// A tender does.
    Tended(Pool),
}

/// The pool of a tube, as its tender has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    /// Workers that wait for a job.
    pub idle: u32,
    /// Workers that run one.
    pub busy: u32,
    /// Workers that are not ready yet.
    pub starting: u32,
    /// Workers at the most.
    pub max: u32,
    /// Those that lack what their work takes.
    pub troubled: u32,
    /// Why no worker, or only one, is started though more are wanted, or cannot be.
    pub withheld: Option<String>,
    /// It is on its way out.
    pub is_leaving: bool,
    /// What the tube shares with others, if it does.
    pub shared: Option<SharedPool>,
}

/// A pool of several tubes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedPool {
    /// What people call it.
    pub name: String,
    /// Those of its workers that count, of all its tubes.
    pub workers: u32,
    /// The most that there may be.
    pub max: u32,
}

impl SharedPool {
    pub(super) fn is_full(&self) -> bool {
        self.workers >= self.max
    }
}
