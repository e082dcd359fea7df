//! What is seen of a pool: its processes, and the jobs that wait for them.

/// [`Census::before`] when they could not be counted: too many for any limit.
pub const UNCOUNTED: u32 = u32::MAX;

/// The processes of a pool, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Not ready yet.
    pub starting: u32,
    /// Waiting for a job.
    pub idle: u32,
    /// Running a command.
    pub busy: u32,
    /// Told to go, or found to be going.
    pub stopping: u32,
    /// Left draining by an earlier tender; [`UNCOUNTED`] when that is not known.
    pub before: u32,
    /// Of starting, idle and busy: those that have not yet shown that they can work.
    pub unproven: u32,
    /// Of all: those that lack what their work takes.
    pub troubled: u32,
}

impl Census {
    /// Those that can take a job, now or soon.
    pub fn live(&self) -> u32 {
        self.starting
            .saturating_add(self.idle)
            .saturating_add(self.busy)
    }

    /// Every process.
    pub fn total(&self) -> u32 {
        self.live()
            .saturating_add(self.stopping)
            .saturating_add(self.before)
    }
}

/// How many jobs wait for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Demand {
    /// The broker has not said, or not lately.
    #[default]
    Unknown,
    /// So many could be reserved at once.
    Ready(u64),
    /// Whatever waits may not be reserved.
    Paused,
}

impl Demand {
    /// The jobs that are surely there.
    pub(super) fn ready(self) -> u64 {
        match self {
            Self::Ready(jobs) => jobs,
            Self::Unknown | Self::Paused => 0,
        }
    }

    /// More jobs wait than there are workers that are about to take one.
    pub fn exceeds(self, census: &Census) -> bool {
        self.ready() > u64::from(census.starting.saturating_add(census.idle))
    }

    /// The demand after a worker has taken a job: an answer grows stale as workers act on it, and a
    /// job must not be counted as ready and as somebody's task.
    #[must_use]
    pub fn less_one(self) -> Self {
        match self {
            Self::Ready(jobs) => Self::Ready(jobs.saturating_sub(1)),
            Self::Unknown | Self::Paused => self,
        }
    }
}
