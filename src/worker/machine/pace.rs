//! What the last command was like, and how many jobs to reserve in advance by that.

use std::time::Duration;

/// A command that takes no longer is short.
pub const SHORT: Duration = Duration::from_millis(20);

/// More than that is not little, in bytes. A pipe that nobody reads has room for sixteen times as much, unless its user has
/// too many.
const LITTLE: u64 = 4096;

/// How far a worker reserves in advance: jobs that it should begin within this time, as long as the last one took.
const FAR: Duration = Duration::from_millis(10);

/// The most jobs that are asked for at once.
const MOST: usize = 8;

/// What a worker's last command was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    is_quiet: bool,
}

impl Pace {
    /// That of a command which took so long and printed so many bytes.
    pub fn of(long: Duration, printed: u64) -> Pace {
        Pace {
            is_quiet: long < SHORT && printed <= LITTLE,
        }
    }

    /// The command was short and printed little: the next one need not be listened to from its beginning.
    pub fn is_quiet(self) -> bool {
        self.is_quiet
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
    fn a_quiet_command_is_short_and_prints_little() {
        for (long, printed, quiet) in [
            (Duration::ZERO, 0, true),
            (SHORT, 0, false),
            (Duration::ZERO, LITTLE, true),
            (Duration::ZERO, LITTLE + 1, false),
        ] {
            assert_eq!(
                Pace::of(long, printed).is_quiet(),
                quiet,
                "{long:?} {printed}"
            );
        }
    }
}
