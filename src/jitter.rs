//! Jitter: chance for those who must not all do something at the same moment. Nothing secret may rest on it.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Any byte, each as likely as the others: every hasher is seeded anew.
pub fn byte() -> u8 {
    let [byte, ..] = RandomState::new().hash_one(0).to_le_bytes();
    byte
}

/// A wait between half of this one and all of it, by chance.
pub fn shorten(wait: Duration) -> Duration {
    shorten_by(wait, byte())
}

/// The same by a byte that was drawn already.
pub fn shorten_by(wait: Duration, byte: u8) -> Duration {
    let share = 256 + u32::from(byte);
    wait.saturating_mul(share) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_their_second_half() {
        let whole = Duration::from_secs(2);
        let drawn: Vec<Duration> = (0..1000).map(|_| shorten(whole)).collect();
        assert!(drawn.iter().all(|wait| (whole / 2..whole).contains(wait)));
        for quarter in 0..4 {
            let from = whole / 2 + whole / 8 * quarter;
            let within = |wait: &&Duration| (from..from + whole / 8).contains(*wait);
            // 250 are expected; fewer than 150 or more than 350 come in one of 10^12 runs.
            let count = drawn.iter().filter(within).count();
            assert!((150..350).contains(&count), "{count} from {from:?} on");
        }
    }
}
