//! A broker that is out of reach: when it is tried again, and what is worth a line.

use std::time::Duration;

use crate::broker::Error;
use crate::jitter;

/// The longest wait before a broker is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Connections that are cut no more often than this are cut for their silence, as proxies and firewalls do it. The next
/// try makes another connection, nothing was missed, and nothing is told.
const CUT_AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// How a worker stands with its broker.
#[derive(Debug, Default)]
pub struct Outage {
    /// Tries that failed one after the other.
    failures: u32,
    is_told: bool,
    /// When the connection was cut last.
    cut_at: Option<Duration>,
}

impl Outage {
    /// Whether the last try failed.
    pub fn lasts(&self) -> bool {
        self.failures > 0
    }

    /// A try has failed at `now`. Whether that is to be told: once an outage, and not once a try.
    pub fn fails(&mut self, error: &Error, now: Duration) -> bool {
        let is_first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        let is_cut = error.is_of_a_cut_connection();
        let last = is_cut.then(|| self.cut_at.replace(now)).flatten();
        let is_rare = last.is_none_or(|last| now.saturating_sub(last) >= CUT_AT_MOST_EVERY);
        if self.is_told || (is_first && is_cut && is_rare) {
            return false;
        }
        self.is_told = true;
        true
    }

    /// How long to wait before the next try: 0.1 to 2 s, workers apart from each other by chance.
    pub fn wait(&self, jitter: u8) -> Duration {
        let doubled = Duration::from_millis(100).saturating_mul(1 << self.failures.min(5));
        jitter::shorten_by(doubled.min(LONGEST_WAIT), jitter)
    }

    /// The broker has answered. Whether that is to be told: after an outage that was.
    pub fn ends(&mut self) -> bool {
        self.failures = 0;
        std::mem::take(&mut self.is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut() -> Error {
        Error::ConnectionLost {
            address: "a:1".into(),
            command: "reserve-with-timeout",
            reason: "the broker hung up".into(),
        }
    }

    fn unreachable() -> Error {
        Error::Unreachable {
            address: "a:1".into(),
            reason: "refused".into(),
        }
    }

    /// What is told of failures at these seconds; the broker answers after each `None`.
    fn told(tries: &[(u64, Option<Error>)]) -> Vec<(bool, bool)> {
        let mut outage = Outage::default();
        let told = tries.iter().map(|(at, error)| match error {
            Some(error) => (outage.fails(error, Duration::from_secs(*at)), false),
            None => (false, outage.ends()),
        });
        told.collect()
    }

    #[test]
    fn an_outage_is_told_once_and_its_end_too() {
        let tries = [
            (0, Some(unreachable())),
            (1, Some(unreachable())),
            (2, Some(cut())),
            (3, None),
            (4, None),
            (5, Some(unreachable())),
        ];
        let (failed, back, nothing) = ((true, false), (false, true), (false, false));
        let expected = [failed, nothing, nothing, back, nothing, failed];
        assert_eq!(told(&tries), expected);
    }

    #[test]
    fn a_silent_connection_that_is_cut_now_and_then_is_nothing_to_tell() {
        let tries = (0..10).flat_map(|n| [(n * 10, Some(cut())), (n * 10 + 1, None)]);
        let tries: Vec<_> = tries.collect();
        assert!(told(&tries).iter().all(|told| *told == (false, false)));
    }

    #[test]
    fn one_that_is_cut_again_at_once_is() {
        let again = [(0, Some(cut())), (1, Some(cut())), (2, None)];
        let nothing = (false, false);
        assert_eq!(told(&again), [nothing, (true, false), (false, true)]);
        let often = [(0, Some(cut())), (1, None), (2, Some(cut())), (3, None)];
        assert_eq!(
            told(&often),
            [nothing, nothing, (true, false), (false, true)]
        );
    }

    #[test]
    fn tries_come_ever_more_slowly() {
        let mut outage = Outage::default();
        let waits = (0..6).map(|_| {
            outage.fails(&unreachable(), Duration::ZERO);
            outage.wait(0).as_millis()
        });
        assert_eq!(waits.collect::<Vec<_>>(), [100, 200, 400, 800, 1000, 1000]);
    }
}
