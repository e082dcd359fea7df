//! What the last command was like, and how many jobs to reserve in advance by that.

use std::time::Duration;

/// A command that takes no longer is short.
pub const SHORT: Duration = Duration::from_millis(20);

/// More than that is not little, in bytes. Little output stands in the batch journal until it is recorded.
const LITTLE: u64 = 32 * 1024;

/// How far a worker reserves in advance: jobs that it should begin within this time, as long as the last one took.
const FAR: Duration = Duration::from_millis(10);

/// The most jobs that are asked for at once.
const MOST: usize = 8;

/// What a worker's last command was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    is_short: bool,
    is_quiet: bool,
    is_done: bool,
}

impl Pace {
    /// That of a command which took so long, printed so many bytes, and went well or not.
    pub fn of(long: Duration, printed: u64, is_done: bool) -> Pace {
        Pace {
            is_short: long < SHORT,
            is_quiet: printed <= LITTLE,
            is_done,
        }
    }

    /// The command was short: the next one need not be listened to from its beginning.
    pub fn is_short(self) -> bool {
        self.is_short
    }

    /// The command was short, printed little and went well: one like it can be recorded with others.
    pub fn fits_a_batch(self) -> bool {
        self.is_short && self.is_quiet && self.is_done
    }
}

/// How many jobs to ask for at once: of a tube that gave as many as were asked for, more the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefetchSize(usize);

impl Default for PrefetchSize {
    fn default() -> PrefetchSize {
        PrefetchSize(1)
    }
}

impl PrefetchSize {
    /// Where the last command took that long.
    pub fn where_each_takes(self, long: Duration) -> usize {
        let soon = FAR.as_micros() / long.as_micros().max(1);
        usize::try_from(soon).unwrap_or(MOST).clamp(1, self.0)
    }

    /// When so many jobs had been asked for, and so many came.
    pub fn after(self, asked: usize, came: usize) -> PrefetchSize {
        match came < asked {
            true => PrefetchSize::default(),
            false => PrefetchSize(asked.saturating_mul(2).clamp(1, MOST)),
        }
    }
}

/// The most jobs that are sifted together. Each takes the ledger some 100 us, and others wait meanwhile.
const MOST_SIFTED: usize = 32;

/// How many jobs to look at together behind one that a limit holds: the more were held, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sift(usize);

impl Sift {
    /// When all of the last ones were held.
    pub fn more(self) -> Sift {
        Sift(self.0.saturating_mul(2).clamp(2, MOST_SIFTED))
    }

    /// How many; 0: the last one was not held.
    pub fn most(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_tube_is_asked_for_more_and_one_that_is_not_for_one() {
        let (short, long) = (Duration::from_micros(900), Duration::from_millis(4));
        let mut size = PrefetchSize::default();
        // How long each takes, how many are asked for then, how many come.
        for (takes, asked, came) in [
            (short, 1, 1),
            (short, 2, 2),
            (short, 4, 4),
            (short, 8, 8),
            (short, 8, 8),
            (long, 2, 2),
            (Duration::from_secs(1), 1, 1),
            (Duration::ZERO, 2, 2),
            (short, 4, 3),
            (short, 1, 0),
            (short, 1, 1),
        ] {
            assert_eq!(size.where_each_takes(takes), asked);
            size = size.after(asked, came);
        }
    }

    #[test]
    fn the_more_are_held_the_more_are_looked_at_together() {
        let mut sift = Sift::default();
        assert_eq!(sift.most(), 0);
        for most in [2, 4, 8, 16, 32, 32] {
            sift = sift.more();
            assert_eq!(sift.most(), most);
        }
    }

    #[test]
    fn a_batch_is_of_short_and_quiet_commands_that_go_well() {
        for (long, printed, is_done, is_short, fits) in [
            (Duration::ZERO, 0, true, true, true),
            (SHORT, 0, true, false, false),
            (Duration::ZERO, LITTLE, true, true, true),
            (Duration::ZERO, LITTLE + 1, true, true, false),
            (Duration::ZERO, 0, false, true, false),
        ] {
            let pace = Pace::of(long, printed, is_done);
            let found = (pace.is_short(), pace.fits_a_batch());
            assert_eq!(found, (is_short, fits), "{pace:?}");
        }
    }
}
