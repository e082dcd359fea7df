//! What a tender is asked and what it answers. What [`Status`] holds is also what `status --json` prints, so
//! programs depend on its names.

use serde::{Deserialize, Serialize};

use crate::tube::TubeName;

/// What a tender is asked to do or to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How everything stands.
    Status,
    /// To let its workers go, and then to end.
    Stop {
        /// Without giving their commands time.
        now: bool,
    },
    /// To let these tubes go, and to go on with the others; with none left, to end.
    Leave {
        /// Those of them that it does not tend are nothing to it.
        tubes: Vec<TubeName>,
        /// Without giving their commands time.
        now: bool,
    },
    /// To give a pool other limits; those that are not named stay.
    Scale {
        /// Its tube.
        tube: TubeName,
        /// Workers kept at the least.
        min: Option<u32>,
        /// Idle workers kept beside the busy ones.
        spare: Option<u32>,
        /// Workers at the most.
        max: Option<u32>,
    },
    /// To read its configuration again and apply what has changed.
    Reload,
    /// To send a word to a worker and back.
    Ping,
    /// What was decided lately about a pool.
    Explain {
        /// Its tube.
        tube: TubeName,
    },
    /// To pass on to a worker that the attempt which it runs is to be cancelled. Its task's row says so already.
    Cancel {
        /// The worker's name.
        worker: String,
        /// The task's id in the store.
        task: i64,
        /// The attempt's number.
        attempt: i64,
        /// Its command is to be killed at once.
        now: bool,
    },
}

/// What a tender answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How everything stands.
    Status(Status),
    /// It ends. The connection stays open until its process is gone.
    Stopping {
        /// In how many milliseconds, unless something is stuck.
        within_ms: u64,
    },
    /// It lets tubes go, and goes on. Each is given up once the tube's last worker is gone.
    Leaving {
        /// In how many milliseconds, unless something is stuck.
        within_ms: u64,
    },
    /// A pool has these limits now.
    Scaled(Limits),
    /// It goes by the configuration as it is now.
    Reloaded {
        /// What is different, in words.
        changed: Vec<String>,
        /// What has changed and takes a restart, in words.
        kept: Vec<String>,
    },
    /// A worker answered.
    Pong {
        /// Its name; none if there is none that is ready, and the tender answered itself.
        worker: Option<String>,
        /// How long that took.
        milliseconds: f64,
    },
    /// What was decided lately, the oldest first.
    Explained {
        /// The decisions.
        decisions: Vec<Decision>,
    },
    /// A word was passed on.
    PassedOn {
        /// To so many workers: those of that name.
        workers: u64,
    },
    /// It will not or cannot, and nothing has changed.
    Refused(Refusal),
}

/// Why a tender will not or cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// What was asked for is wrong, or the configuration is. An earlier version's tender does not say so.
    #[serde(default)]
    pub is_wrong: bool,
}

impl Refusal {
    /// What was asked for is wrong, or the configuration is.
    pub fn wrong(reason: impl Into<String>) -> Refusal {
        Refusal {
            reason: reason.into(),
            is_wrong: true,
        }
    }
}

/// Something failed.
impl From<String> for Refusal {
    fn from(reason: String) -> Refusal {
        Refusal {
            reason,
            is_wrong: false,
        }
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Refusal {
        Refusal::from(reason.to_owned())
    }
}

/// A tender and its pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its process id.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// Seconds since it began.
    pub age: f64,
    /// One a tube.
    pub pools: Vec<Pool>,
}

/// The workers of one tube.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The tube.
    pub tube: String,
    /// `tended`, or on its way out: `draining` or `stopping`.
    pub state: String,
    /// Workers kept at the least.
    pub min: u32,
    /// Idle workers kept beside the busy ones.
    pub spare: u32,
    /// Workers at the most.
    pub max: u32,
    /// How many should be able to take a job; none before the first decision.
    pub target: Option<u32>,
    /// What was decided last: `hold`, `start 2`, `retire 1`.
    pub decision: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Jobs that could be reserved, when that was last asked for and the broker said.
    pub ready: Option<u64>,
    /// The broker said that nothing may be reserved from the tube for now.
    pub paused: bool,
    /// How many workers do what.
    pub census: Census,
    /// What it shares with the pools of other tubes, if it does.
    #[serde(default)]
    pub shared_pool: Option<SharedPool>,
    /// Why no worker, or only one, is started though more are wanted.
    pub back_off: Option<String>,
    /// The same for programs; none also of a tender that is older than this word.
    #[serde(default)]
    pub backing_off: Option<BackingOff>,
    /// Why the last worker could not be started; none if it could.
    #[serde(default)]
    pub lack: Option<String>,
    /// Processes that were started since the tender began.
    pub started: u64,
    /// Those of them that took the place of one that died.
    pub restarts: u64,
    /// The oldest first.
    pub workers: Vec<Worker>,
}

/// A pool of several tubes, and what one of them has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedPool {
    /// What people call it.
    pub name: String,
    /// The most workers that count.
    pub max: u32,
    /// Those that count now, of all its tubes.
    pub workers: u32,
    /// This tube's weight.
    pub weight: u32,
    /// So many of this tube's workers do not count.
    pub outside_max: u32,
}

/// Why a pool waits before it starts workers again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackingOff {
    /// How many failed in a row; those that failed together count once.
    pub failures: u32,
    /// How the last of them ended, or why it could not be started; none if that is not known.
    pub reason: Option<String>,
    /// Seconds since the first of them failed.
    pub since: f64,
    /// Seconds until the next may be started, 0 if that is tried now; none if it takes a reload.
    pub next: Option<f64>,
}

/// The limits of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Its tube.
    pub tube: String,
    /// Workers kept at the least.
    pub min: u32,
    /// Idle workers kept beside the busy ones.
    pub spare: u32,
    /// Workers at the most.
    pub max: u32,
}

/// A decision about a pool's size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Seconds since it fell first.
    pub age: f64,
    /// Seconds since it fell last.
    pub until: f64,
    /// How often it fell, one time after the other.
    pub times: u64,
    /// What to do: `hold`, `start 2`, `retire 1`.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// How many should be able to take a job.
    pub target: u32,
}

/// How many workers of a pool do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Not ready yet.
    pub starting: u32,
    /// Waiting for a job.
    pub idle: u32,
    /// Running a command.
    pub busy: u32,
    /// On their way out.
    pub stopping: u32,
    /// Left draining by an earlier tender; none if they cannot be counted.
    pub before: Option<u32>,
    /// Those of them all that lack what their work takes, and try again.
    pub troubled: u32,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// What logs and lists call it.
    pub name: String,
    /// Its process id; none while there is no process.
    pub pid: Option<u32>,
    /// `spawning`, `starting`, `idle`, `busy`, `stopping` or `killed`.
    pub state: String,
    /// Why it goes, if it does.
    pub reason: Option<String>,
    /// Seconds since it was started.
    pub age: f64,
    /// The task that it runs, by its number in the store.
    pub task: Option<i64>,
    /// It lacks what its work takes, and tries again: it cannot record what became of that task, or start a
    /// command, or end one that is to end.
    pub troubled: bool,
    /// What it lacks, where it said so.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What else is seen of it, in words: that its command is stopped, or that it does not answer.
    #[serde(default)]
    pub notice: Option<String>,
    /// Jobs it has finished.
    pub jobs: u64,
    /// Bytes printed by it and its commands.
    pub output: u64,
    /// Bytes of memory that it holds; none where that cannot be seen.
    pub memory: Option<u64>,
}
