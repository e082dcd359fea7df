//! What one tube has and wants of a pool that it shares.

use std::time::Duration;

use crate::pool::seen::Census;

/// A busy worker goes for a tube that has fallen behind by more worker time than this. A worker that starts costs
/// little beside that.
pub const QUANTUM: Duration = Duration::from_secs(1);

/// A worker that waits for a job so long is not just between two jobs.
pub const RESTING: Duration = Duration::from_millis(100);

/// A tube's part in a shared pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How much of the pool's time is its own where more is needed than there is; at least 1.
    pub weight: u32,
    /// So many of its workers count for nothing in the pool.
    pub outside: u32,
}

impl Part {
    /// Those of so many workers that count.
    pub(super) fn counted(self, workers: u32) -> u32 {
        workers.saturating_sub(self.outside)
    }
}

/// What one tube has and wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its part in the pool.
    pub part: Part,
    /// The workers that are its own whatever the others want.
    pub min: u32,
    /// The most that it may have by itself.
    pub max: u32,
    /// Its processes.
    pub census: Census,
    /// Of the idle: those that have waited for [`RESTING`]; none while nobody knows how many jobs wait.
    pub resting: u32,
    /// Of the stopping: those that run nothing, and are about to be gone.
    pub going: u32,
    /// Its busy workers and its ready jobs, within its own limits.
    pub needs: u32,
    /// The same with what is to be spare.
    pub wants: u32,
    /// How many could be started now: none by a tube that backs off.
    pub able: u32,
    /// Jobs wait beyond those that its workers will take, whatever its own `max`.
    pub has_backlog: bool,
}

impl Claim {
    /// As many as it could have soon.
    pub(super) fn within_reach(&self) -> u32 {
        self.census.live().saturating_add(self.able)
    }

    /// How many of those that live would free a place beyond so many, and beyond what is its own.
    pub(super) fn beyond(&self, right: u32) -> u32 {
        let own = right.max(self.min).max(self.part.outside);
        self.census.live().saturating_sub(own)
    }
}
