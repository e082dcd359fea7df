//! How long a task waits before it is tried again.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::Attempts;
use crate::task::id::AttemptId;

/// So many waits a list has at the most.
pub const MOST_WAITS: usize = 100;

/// No wait of a list is longer: a year.
pub const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// So many attempts with the last of them again and again are many.
const MANY: u32 = 100;

/// The shortest wait that is repeated that often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Waits one after the other: the last is also that of all attempts after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits(Arc<[Duration]>);

/// What is called a list of waits, and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWaits {
    /// It has none.
    #[error("a list of waits has at least one: \"5m\"")]
    None,
    /// It has too many.
    #[error("{0} waits, and a list has {MOST_WAITS} at most; the last of them is repeated anyway")]
    TooMany(usize),
    /// One of them is too long.
    #[error("a wait has 366 days at most")]
    TooLong,
}

impl Waits {
    /// These waits.
    ///
    /// # Errors
    /// When there are none, too many, or one is too long.
    pub fn new(waits: &[Duration]) -> Result<Waits, BadWaits> {
        if waits.is_empty() {
            return Err(BadWaits::None);
        }
        if waits.len() > MOST_WAITS {
            return Err(BadWaits::TooMany(waits.len()));
        }
        if waits.iter().any(|wait| *wait > LONGEST_WAIT) {
            return Err(BadWaits::TooLong);
        }
        Ok(Waits(waits.into()))
    }

    /// The wait after that many failed attempts, counted from 1.
    pub fn after(&self, failed: u32) -> Duration {
        let place = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self.0.get(place).or_else(|| self.0.last());
        wait.copied().unwrap_or_default()
    }

    /// One after the other.
    pub fn all(&self) -> &[Duration] {
        &self.0
    }

    /// As many attempts as use each of the waits once.
    pub fn attempts(&self) -> u32 {
        u32::try_from(self.0.len()).map_or(u32::MAX, |waits| waits.saturating_add(1))
    }

    /// Whether their last is a pause, for what is tried so often: a task that is tried without end, or very often,
    /// would else keep a worker busy with nothing.
    pub fn pause(&self, attempts: Attempts) -> bool {
        let few = Attempts::Most(self.attempts().saturating_add(MANY));
        attempts <= few || self.0.last().is_some_and(|last| *last >= SHORTEST_PAUSE)
    }
}

/// By how much a wait may be longer than it is said, so that tasks which failed together are not tried together again.
/// In thousandths of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u16);

impl Default for Jitter {
    fn default() -> Jitter {
        Jitter(200)
    }
}

impl Jitter {
    /// None: waits are as long as they are said.
    pub const NONE: Jitter = Jitter(0);

    /// A share of the wait, from 0 to 1, to the thousandth; `None`: it is no such share.
    pub fn of(share: f64) -> Option<Jitter> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        // Between 0 and 1000.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(Jitter((share * 1000.0).round() as u16))
    }

    /// A wait, never shorter than it is said: what is said may be what somebody else asks for. How much longer, the
    /// attempt's numbers say, so that the same attempt always waits as long.
    pub fn spread(self, wait: Duration, attempt: AttemptId) -> Duration {
        let most = wait.saturating_mul(self.0.into()) / 1000;
        // Of each part as many are drawn as of any other.
        let part = u32::from(draw(attempt));
        wait.saturating_add(most.saturating_mul(part) / u32::from(u16::MAX))
    }
}

/// A number that looks drawn, always the same for an attempt (the finaliser of splitmix64).
fn draw(attempt: AttemptId) -> u16 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let task = attempt.task.0.unsigned_abs().wrapping_mul(GOLDEN);
    let mut mixed = task
        .wrapping_add(attempt.number.unsigned_abs())
        .wrapping_add(1)
        .wrapping_mul(GOLDEN);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let [low, high, ..] = (mixed ^ (mixed >> 31)).to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::id::TaskId;

    fn attempt(task: i64, number: i64) -> AttemptId {
        AttemptId {
            task: TaskId(task),
            number,
        }
    }

    fn minutes(minutes: &[u64]) -> Vec<Duration> {
        let waits = minutes.iter().map(|m| Duration::from_secs(m * 60));
        waits.collect()
    }

    #[test]
    fn the_last_wait_of_a_list_is_repeated() {
        let waits = Waits::new(&minutes(&[5, 10, 20, 30, 50])).unwrap();
        let table = [
            (0, 5),
            (1, 5),
            (2, 10),
            (3, 20),
            (4, 30),
            (5, 50),
            (6, 50),
            (100, 50),
            (u32::MAX, 50),
        ];
        for (failed, expected) in table {
            let expected = Duration::from_secs(expected * 60);
            assert_eq!(waits.after(failed), expected, "after {failed}");
        }
        assert_eq!(waits.attempts(), 6);
        assert_eq!(Waits::new(&minutes(&[1])).unwrap().attempts(), 2);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(Waits::new(&[]), Err(BadWaits::None));
        assert!(Waits::new(&minutes(&[1; MOST_WAITS])).is_ok());
        let many = minutes(&[1; MOST_WAITS + 1]);
        assert_eq!(Waits::new(&many), Err(BadWaits::TooMany(101)));
        let long = [LONGEST_WAIT + Duration::from_nanos(1)];
        assert_eq!(Waits::new(&long), Err(BadWaits::TooLong));
        for (waits, attempts, expected) in [
            (&[0, 1][..], Attempts::Endless, true),
            (&[1, 0], Attempts::Endless, false),
            (&[1, 0], Attempts::Most(103), true),
            (&[1, 0], Attempts::Most(104), false),
            (&[0, 1], Attempts::Most(u32::MAX), true),
        ] {
            let waits = Waits::new(&minutes(waits)).unwrap();
            assert_eq!(waits.pause(attempts), expected, "{waits:?} {attempts}");
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        let table = [
            (0.0, Some(0)),
            (0.2, Some(200)),
            (1.0, Some(1000)),
            (0.0004, Some(0)),
            (-0.1, None),
            (1.1, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ];
        for (share, expected) in table {
            assert_eq!(Jitter::of(share), expected.map(Jitter), "{share}");
        }
        assert_eq!(Jitter::of(0.2), Some(Jitter::default()));
    }

    #[test]
    fn those_who_failed_together_are_spread_over_the_jitter_and_never_early() {
        let wait = Duration::from_secs(100);
        let jitter = Jitter::default();
        let mut tenths = [0u32; 10];
        for task in 1..=10_000 {
            let waits = jitter.spread(wait, attempt(task, 1));
            assert_eq!(waits, jitter.spread(wait, attempt(task, 1)), "{task}");
            let late = waits - wait;
            assert!(late <= Duration::from_secs(20), "{task} waits {waits:?}");
            let tenth = usize::try_from(late.as_millis() / 2000).unwrap().min(9);
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
        // Those of one attempt are not those of the next.
        let same = (1..=1000).filter(|task| {
            jitter.spread(wait, attempt(*task, 1)) == jitter.spread(wait, attempt(*task, 2))
        });
        assert!(same.count() < 5);
        assert_eq!(Jitter::NONE.spread(wait, attempt(7, 3)), wait);
        let all = Jitter::default().spread(Duration::MAX, attempt(i64::MAX, i64::MAX));
        assert_eq!(all, Duration::MAX);
        assert_eq!(jitter.spread(Duration::ZERO, attempt(1, 1)), Duration::ZERO);
    }
}
