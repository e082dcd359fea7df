//! Durations as queues count them.

use std::time::Duration;

/// Whole seconds, rounded up: half a second of TTR as 0 would be no TTR at all. What does not fit is the longest that
/// does.
pub fn whole_seconds(duration: Duration) -> u32 {
    let partial = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs().saturating_add(partial)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up() {
        let table = [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(999), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(u64::from(u32::MAX)), u32::MAX),
            (Duration::from_secs(u64::from(u32::MAX) + 1), u32::MAX),
            (Duration::MAX, u32::MAX),
        ];
        for (duration, expected) in table {
            assert_eq!(whole_seconds(duration), expected, "{duration:?}");
        }
    }
}
