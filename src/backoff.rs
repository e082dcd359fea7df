//! When a pool whose workers cannot start may try again: `now` in, permission out.
//!
//! ```text
//!         crashed                       crashed by one started since: the wait doubles
//!  calm ──────────▶ waiting ──until──▶ one at a time ──┐
//!    ▲                 ▲                    │          │
//!    │                 └────────────────────┼──────────┘
//!    └──────── one started since proved itself
//!                           exit 125 of one that was ready ──▶ refused, until the pool is told anew
//! ```
//!
//! The back-off is the pool's and not each worker's: what keeps one worker from starting (a broken
//! program, a full disk) keeps its neighbours from it too, and a hundred workers that each wait on
//! their own are still a hundred crashes at a time. Workers that crash together are one failure: a
//! crash doubles the wait only when the worker was started after the last crash.

use std::fmt;
use std::time::Duration;

/// How long the first wait is; each one after it is twice as long.
pub const FIRST: Duration = Duration::from_secs(1);

/// No wait is longer than this.
pub const LONGEST: Duration = Duration::from_secs(60);

/// How the latest starts of a pool went. Times are monotonic, since the tender's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackOff {
    /// Nothing is known against starting workers.
    #[default]
    Calm,
    /// The latest worker crashed; after `until` one at a time may be tried.
    Waiting {
        /// Crashes in a row, neighbours of the same batch counted as one.
        failures: u32,
        /// When the first of them happened.
        since: Duration,
        /// When the last of them happened.
        crashed_at: Duration,
        /// Nothing is started before this.
        until: Duration,
    },
    /// A worker said "never again" (exit code 125).
    Refused {
        /// When it did.
        since: Duration,
    },
}

/// What a [`BackOff`] lets a pool do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Start as many as are wanted.
    Any,
    /// Start one, once no other is yet to prove itself.
    One,
    /// Start none before this time.
    NotBefore(Duration),
    /// Start none.
    Never,
}

impl BackOff {
    /// What may be started now.
    pub fn permit(&self, now: Duration) -> Permit {
        match *self {
            Self::Calm => Permit::Any,
            Self::Waiting { until, .. } if now < until => Permit::NotBefore(until),
            Self::Waiting { .. } => Permit::One,
            Self::Refused { .. } => Permit::Never,
        }
    }

    /// A worker that was started at `born` crashed.
    #[must_use]
    pub fn crashed(self, born: Duration, now: Duration) -> Self {
        let (failures, since) = match self {
            Self::Calm => (1, now),
            Self::Waiting { crashed_at, .. } if born <= crashed_at => return self,
            Self::Waiting {
                failures, since, ..
            } => (failures.saturating_add(1), since),
            Self::Refused { .. } => return self,
        };
        Self::Waiting {
            failures,
            since,
            crashed_at: now,
            until: now.saturating_add(wait_after(failures, LONGEST)),
        }
    }

    /// A worker that was started at `born` works. One that was started before the last crash says
    /// nothing about what would happen to the next.
    #[must_use]
    pub fn proved(self, born: Duration) -> Self {
        match self {
            Self::Waiting { crashed_at, .. } if born > crashed_at => Self::Calm,
            Self::Calm | Self::Waiting { .. } | Self::Refused { .. } => self,
        }
    }
}

/// The wait after so many failures in a row, from [`FIRST`] to the longest, which is a minute at most.
pub fn wait_after(failures: u32, longest: Duration) -> Duration {
    // 2^6 s is past a minute already, so the shift is bounded with it.
    let doublings = failures.saturating_sub(1).min(6);
    FIRST.saturating_mul(1 << doublings).min(longest)
}

impl fmt::Display for BackOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calm => f.write_str("calm"),
            Self::Waiting { failures, .. } => {
                write!(
                    f,
                    "{failures} failed in a row, tries again after {:?}",
                    wait_after(*failures, LONGEST)
                )
            }
            Self::Refused { .. } => f.write_str("exit code 125: starts none again until a reload"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_wait_doubles_from_a_second_to_a_minute() {
        let mut back_off = BackOff::Calm;
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..9 {
            back_off = back_off.crashed(now, now);
            let Permit::NotBefore(until) = back_off.permit(now) else {
                panic!("no wait after a crash: {back_off}");
            };
            waits.push((until - now).as_secs());
            assert_eq!(back_off.permit(until), Permit::One);
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn those_who_crash_together_are_one_failure() {
        let one = BackOff::Calm.crashed(s(0), s(5));
        assert_eq!(one.crashed(s(0), s(5)).crashed(s(4), s(6)), one);
    }

    #[test]
    fn only_a_later_start_proves_anything() {
        let waiting = BackOff::Calm.crashed(s(0), s(5));
        assert_eq!(waiting.proved(s(4)), waiting);
        assert_eq!(waiting.proved(s(6)), BackOff::Calm);
        let refused = BackOff::Refused { since: s(5) };
        assert_eq!(refused.proved(s(6)), refused);
        assert_eq!(refused.crashed(s(6), s(7)), refused);
        assert_eq!(refused.permit(s(1000)), Permit::Never);
    }

    #[test]
    fn since_when_is_since_the_first_failure() {
        let since = |back_off| match back_off {
            BackOff::Calm => None,
            BackOff::Waiting { since, .. } | BackOff::Refused { since } => Some(since),
        };
        let twice = BackOff::Calm.crashed(s(0), s(5)).crashed(s(6), s(7));
        assert_eq!(since(twice), Some(s(5)));
        assert_eq!(since(twice.proved(s(8)).crashed(s(8), s(9))), Some(s(9)));
    }
}
