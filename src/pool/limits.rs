//! The sizes that a pool may have, and php-fpm's three words for choosing them.

use std::time::Duration;

use super::{Census, Demand};

/// How long a pool must have been too big before it shrinks, unless told otherwise.
pub const SHRINK_AFTER: Duration = Duration::from_secs(10);

/// The sizes a pool may have; `min <= max` and `max > 0` once it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(super) min: u32,
    pub(super) spare: u32,
    pub(super) max: u32,
    pub(super) shrink_after: Duration,
}

/// Why limits were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLimits {
    /// The least is more than the most.
    #[error("min workers {min} is more than max workers {max}; lower the one or raise the other")]
    MinAboveMax {
        /// The least number of workers, as given.
        min: u32,
        /// The greatest number of workers, as given.
        max: u32,
    },
    /// A pool that could never have a worker.
    #[error(
        "max workers is {max}: a pool needs at least one worker to run anything; name 1 or more"
    )]
    MaxZero {
        /// The least number of workers, as given.
        min: u32,
        /// Zero.
        max: u32,
    },
}

/// Which of the sizes are one's own to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// All of them.
    #[default]
    Dynamic,
    /// The most, and there are always that many.
    Static,
    /// The most, and there is none without a job.
    Ondemand,
}

impl Mode {
    /// The limits; `min` and `spare` are heeded only by [`Mode::Dynamic`], as php-fpm does.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn limits(self, min: u32, spare: u32, max: u32) -> Result<Limits, BadLimits> {
        match self {
            Self::Dynamic => Limits::new(min, spare, max),
            Self::Static => Limits::new(max, 0, max),
            Self::Ondemand => Limits::new(0, 0, max),
        }
    }
}

impl Limits {
    /// Checks the limits. `spare` may be anything: what it asks for beyond `max` is not started.
    pub fn new(min: u32, spare: u32, max: u32) -> Result<Self, BadLimits> {
        if max == 0 {
            return Err(BadLimits::MaxZero { min, max });
        }
        if min > max {
            return Err(BadLimits::MinAboveMax { min, max });
        }
        Ok(Self {
            min,
            spare,
            max,
            shrink_after: SHRINK_AFTER,
        })
    }

    /// The same limits with another patience before a pool shrinks.
    #[must_use]
    pub fn with_shrink_after(mut self, shrink_after: Duration) -> Self {
        self.shrink_after = shrink_after;
        self
    }

    /// Never fewer workers than this, if they can be started.
    pub fn min(&self) -> u32 {
        self.min
    }

    /// How many should wait for a job beside those that have one.
    pub fn spare(&self) -> u32 {
        self.spare
    }

    /// Never more processes than this.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// How long a pool must have been too big before it shrinks.
    pub fn shrink_after(&self) -> Duration {
        self.shrink_after
    }

    /// How many workers should be able to take a job.
    pub fn target(&self, census: &Census, demand: Demand) -> u32 {
        let extra = demand.ready().max(u64::from(self.spare));
        self.clamped(census, extra)
    }

    /// The same without those that are only spare.
    pub fn needed(&self, census: &Census, demand: Demand) -> u32 {
        self.clamped(census, demand.ready())
    }

    fn clamped(&self, census: &Census, extra: u64) -> u32 {
        let wanted = u64::from(census.busy).saturating_add(extra);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        wanted.clamp(self.min, self.max)
    }

    /// Whether knowing the demand could change what is decided: the pool has room to grow, or has
    /// more workers than are busy and spare. A pool with `min` = `max` never needs to ask.
    pub fn asks(&self, census: &Census) -> bool {
        census.total() < self.max || census.live() > self.target(census, Demand::Unknown)
    }
}
