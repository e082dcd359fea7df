//! How long tasks stay recorded once they have ended.

use std::time::Duration;

use super::state::Status;

/// As often what is too old is looked for, or more often where something is to stay for a short while only.
const EVERY: Duration = Duration::from_secs(300);

/// How long tasks stay recorded once they have ended. Of those of which nothing is said none goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Those that are done.
    pub done: Option<Duration>,
    /// Those that have failed.
    pub failed: Option<Duration>,
    /// Those that were called off.
    pub cancelled: Option<Duration>,
}

impl Retention {
    /// Each status of which something is said.
    pub fn each(self) -> impl Iterator<Item = (Status, Duration)> {
        let all = [
            (Status::Done, self.done),
            (Status::Failed, self.failed),
            (Status::Cancelled, self.cancelled),
        ];
        all.into_iter()
            .filter_map(|(status, age)| Some((status, age?)))
    }

    /// How often what is too old is looked for; `None`: nothing ever is.
    pub fn every(self) -> Option<Duration> {
        let shortest = self.each().map(|(_, age)| age).min()?;
        Some((shortest / 10).clamp(Duration::from_secs(1), EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_shortly_is_looked_for_often() {
        let of = |done: Option<u64>, failed: Option<u64>| Retention {
            done: done.map(Duration::from_secs),
            failed: failed.map(Duration::from_secs),
            cancelled: None,
        };
        let every = |done, failed| of(done, failed).every().map(|every| every.as_secs());
        assert_eq!(every(None, None), None);
        assert_eq!(every(Some(86_400), None), Some(300));
        assert_eq!(every(Some(86_400), Some(600)), Some(60));
        assert_eq!(every(Some(2), None), Some(1));
        let each: Vec<_> = of(Some(1), Some(2)).each().collect();
        let second = Duration::from_secs;
        assert_eq!(
            each,
            [(Status::Done, second(1)), (Status::Failed, second(2))]
        );
    }
}
