//! The latest decisions about a pool, for whoever asks why it is as big as it is.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pool::Decision;

/// The most that are kept.
pub const MOST: usize = 50;

/// A decision, and when it fell. The same one, again and again, is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// What was decided, the last time.
    pub decision: Decision,
    /// When it fell first.
    pub first: Duration,
    /// When it fell last.
    pub last: Duration,
    /// How often.
    pub times: u64,
}

/// The latest decisions, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    decided: VecDeque<Decided>,
}

impl History {
    /// Adds one; the oldest goes when there are too many.
    pub(super) fn add(&mut self, decision: Decision, now: Duration) {
        if let Some(latest) = self.decided.back_mut()
            && (latest.decision.action, latest.decision.reason)
                == (decision.action, decision.reason)
            && latest.decision.target == decision.target
        {
            latest.decision = decision;
            latest.last = now;
            latest.times = latest.times.saturating_add(1);
            return;
        }
        if self.decided.len() >= MOST {
            self.decided.pop_front();
        }
        self.decided.push_back(Decided {
            decision,
            first: now,
            last: now,
            times: 1,
        });
    }

    /// Them all, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Decided> {
        self.decided.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Action, Reason};

    fn decision(target: u32) -> Decision {
        Decision {
            action: Action::Hold,
            reason: Reason::Enough,
            target,
            again: None,
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_same_again_is_one() {
        let mut history = History::default();
        for (target, at) in [(1, 0), (1, 3), (2, 4), (1, 5)] {
            history.add(decision(target), s(at));
        }
        let kept: Vec<_> = history
            .iter()
            .map(|d| (d.decision.target, d.first, d.last, d.times))
            .collect();
        let expected = [(1, s(0), s(3), 2), (2, s(4), s(4), 1), (1, s(5), s(5), 1)];
        assert_eq!(kept, expected);
    }

    #[test]
    fn it_forgets_the_oldest() {
        let mut history = History::default();
        for n in 0..1000 {
            history.add(decision(n), s(u64::from(n)));
        }
        let targets: Vec<_> = history.iter().map(|d| d.decision.target).collect();
        assert_eq!(targets, (950..1000).collect::<Vec<_>>());
    }
}
