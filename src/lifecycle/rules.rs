//! When and why a worker goes with which nothing is wrong.

use std::time::Duration;

/// How long a worker may take to be ready that has promised to say so. One that loads a framework needs
/// seconds, on a machine that has just booted perhaps many.
pub const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How old a worker becomes, unless told otherwise.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// How many bytes a worker and its commands print before it is replaced, unless told otherwise.
pub const MAX_OUTPUT: u64 = 6_000_000;

/// When a worker is replaced though nothing is wrong with it, and when it is given up. By default, never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// The oldest a worker becomes; zero: any age.
    pub max_age: Duration,
    /// The most bytes that it and its commands may print before it is replaced; zero: any number.
    pub max_output: u64,
    /// The most jobs it may finish before it is replaced; zero: any number.
    pub max_jobs: u64,
    /// The most bytes it may hold in memory between two jobs before it is replaced; zero: any number.
    pub max_memory: u64,
    /// What becomes of one that does not say that it is ready.
    pub unready: Unready,
    /// How long its commands may take between TERM and KILL, at the most; zero: as usual.
    pub kill_after: Duration,
}

/// What becomes of a worker that has not said that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unready {
    /// It may take as long as it likes.
    #[default]
    Waits,
    /// It is killed after so long, and has crashed: it has promised to say so.
    Killed(Duration),
    /// It counts as ready once it has lived for so long: it says nothing, or nothing before its first job.
    Presumed(Duration),
}

impl Rules {
    /// The age at which one worker is replaced: up to a tenth earlier than `max_age`, so that workers
    /// that started together don't all go together.
    pub(super) fn age_limit(&self, jitter: Jitter) -> Option<Duration> {
        let earlier = self.max_age.saturating_mul(u32::from(jitter.0)) / (10 * 256);
        (!self.max_age.is_zero()).then(|| self.max_age.saturating_sub(earlier))
    }
}

/// Chance, drawn by the caller: 0 is no jitter, 255 nearly all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(pub u8);

/// Why a worker goes that did not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There are too many.
    Surplus,
    /// Its place in a pool of several tubes is another tube's.
    Yields,
    /// It reached its age.
    Aged,
    /// It and its commands have printed enough.
    Output,
    /// It has finished enough jobs.
    Jobs,
    /// It holds too much memory.
    Memory,
    /// It was started as another program than would be started now.
    Outdated,
    /// It did not say in time that it is ready.
    NotReady,
    /// It did not answer, and did not keep its command's time.
    Unresponsive,
    /// The tender ends.
    Shutdown,
    /// It closed its end of the link, or is just ending: it can no longer be told anything.
    LinkClosed,
}

impl Why {
    /// It is to be replaced by another.
    pub fn recycled(self) -> bool {
        match self {
            Self::Aged | Self::Output | Self::Jobs | Self::Memory | Self::Outdated => true,
            Self::Surplus | Self::Yields | Self::Shutdown | Self::LinkClosed | Self::NotReady => {
                false
            }
            Self::Unresponsive => false,
        }
    }
}
