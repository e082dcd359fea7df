//! How fast many rows are changed beside those who work: a short transaction, and a pause after it.

use std::time::Duration;

/// Between two transactions: without it whoever changes many rows wins the lock again and again.
pub const PAUSE: Duration = Duration::from_millis(5);

/// The most tasks that are changed in one transaction.
pub const MOST: usize = 1000;

/// And the least: where each of so few takes long, it is not for their number.
const LEAST: usize = 20;

/// What a transaction may take. A worker that has to record something waits for as long.
const LENGTH: Duration = Duration::from_millis(8);

/// How many tasks the next transaction changes, by how long the last one took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    most: usize,
}

impl Default for Pace {
    /// With few: how long they take is not known yet.
    fn default() -> Pace {
        Pace { most: 100 }
    }
}

impl Pace {
    /// As many as the next transaction may change.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A transaction that changed so many held the lock for that long.
    #[must_use]
    pub fn after(self, tasks: usize, held: Duration) -> Pace {
        if tasks == 0 {
            return self;
        }
        let fit = LENGTH.as_micros().saturating_mul(tasks as u128) / held.as_micros().max(1);
        let fit = usize::try_from(fit).unwrap_or(MOST);
        // A disk that was slow once may be fast again, and the other way round.
        let most = fit.clamp(self.most / 2, self.most.saturating_mul(2));
        Pace {
            most: most.clamp(LEAST, MOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_takes_as_many_as_fit() {
        let mut pace = Pace::default();
        let each = |micros: u64, tasks: usize| Duration::from_micros(micros * tasks as u64);
        let mut sizes = Vec::new();
        for micros in [
            10, 10, 10, 10, 40, 40, 40, 5000, 5000, 5000, 5000, 5000, 5000,
        ] {
            pace = pace.after(pace.most(), each(micros, pace.most()));
            sizes.push(pace.most());
        }
        assert_eq!(
            sizes,
            [200, 400, 800, 800, 400, 200, 200, 100, 50, 25, 20, 20, 20]
        );
        assert_eq!(pace.after(0, Duration::ZERO), pace);
        assert_eq!(pace.after(20, Duration::ZERO).most(), 40);
    }
}
