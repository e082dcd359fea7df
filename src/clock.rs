//! What time it is, for waits that no step of the machine's clock may change.
//!
//! Delays, pauses and TTRs end at a time of the clock that counts from boot, suspensions included: somebody may set
//! the machine's clock an hour forward or back, and a job still waits the time that was asked for. That
//! clock begins anew with a boot; so what outlives one (delays and pauses) is also kept by the machine's clock, and
//! with the length asked for, and is worked out again by [`Moment`]s of the new boot: never longer than was asked.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

pub use crate::task::Millis;

/// The clock that rows are stamped with: the machine's.
pub fn now() -> Millis {
    let now = jiff::Timestamp::now().as_millisecond();
    now.saturating_add(step())
}

/// A time of that clock for people, in UTC, to the second.
pub fn written(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(
        |_| at.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// An instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since boot.
    pub boot: i64,
    /// Milliseconds since 1970, by the machine's clock.
    pub wall: Millis,
}

impl Moment {
    /// This instant.
    pub fn now() -> Moment {
        Moment {
            boot: since_boot(),
            wall: now(),
        }
    }

    /// The instant so many milliseconds later.
    pub fn after(self, millis: i64) -> Moment {
        Moment {
            boot: self.boot.saturating_add(millis),
            wall: self.wall.saturating_add(millis),
        }
    }
}

/// Milliseconds since boot.
pub fn since_boot() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec
        .saturating_mul(1000)
        .saturating_add(time.tv_nsec / 1_000_000)
}

/// The environment variable that names a file with the milliseconds by which [`now`] is wrong, also while it runs: so
/// tests step a clock that is not the machine's. Only with the feature `crash-points`.
pub const STEP_VARIABLE: &str = "TASKQUEUE_CLOCK_STEP";

#[cfg(feature = "crash-points")]
fn step() -> Millis {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os(STEP_VARIABLE).map(PathBuf::from));
    let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// None: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
fn step() -> Millis {
    0
}

/// Which boot this is. Where the system does not tell, all are one.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
