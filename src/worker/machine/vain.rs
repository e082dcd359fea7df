//! A broker that answers at once, and with nothing: asked again at once, it would be asked without end.
//!
//! Nothing is wrong with one such answer, or a few: a job that was given is deleted by somebody in that instant, a
//! paused tube hides what was counted. So the first ones cost no wait.

use std::time::Duration;

use crate::jitter;

/// So many answers in a row are taken as they come.
const FREE: u32 = 3;

/// The wait after the first one more; each after that is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Answers in a row that led to nothing and took no time.
#[derive(Debug, Default)]
pub struct Vain {
    in_a_row: u32,
    is_told: bool,
}

/// What comes of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slower {
    /// How long the broker is not asked, by chance up to half of that less.
    pub wait: Duration,
    /// Whether that is worth a line: once, when the waits are as long as they get.
    pub is_told: bool,
}

/// Whether a reserve that was to wait so long, and has taken so long, came back too early to be true. Brokers count in
/// whole seconds.
pub fn is_early(wait: Duration, took: Duration) -> bool {
    took < wait / 2
}

impl Vain {
    /// There was one more.
    pub fn comes(&mut self, jitter: u8) -> Slower {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let Some(doublings) = self.in_a_row.checked_sub(FREE + 1) else {
            return Slower {
                wait: Duration::ZERO,
                is_told: false,
            };
        };
        let wait = FIRST_WAIT
            .saturating_mul(1 << doublings.min(10))
            .min(LONGEST_WAIT);
        let is_told = wait == LONGEST_WAIT && !std::mem::replace(&mut self.is_told, true);
        Slower {
            wait: jitter::shorten_by(wait, jitter),
            is_told,
        }
    }

    /// The broker has given a job that is there, or has waited.
    pub fn ends(&mut self) {
        *self = Vain::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_ever_more_slowly_and_that_is_told_once() {
        let mut vain = Vain::default();
        let mut seen = || {
            let slower = vain.comes(255);
            (slower.wait.as_millis(), slower.is_told)
        };
        let waits: Vec<(u128, bool)> = (0..12).map(|_| seen()).collect();
        let expected = [0, 0, 0, 49, 99, 199, 399, 798, 1596, 1996, 1996, 1996];
        assert_eq!(
            waits.iter().map(|(wait, _)| *wait).collect::<Vec<_>>(),
            expected
        );
        let told: Vec<usize> = waits
            .iter()
            .enumerate()
            .filter(|(_, (_, told))| *told)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(told, [9]);
        vain.ends();
        assert_eq!(
            vain.comes(255),
            Slower {
                wait: Duration::ZERO,
                is_told: false
            }
        );
    }

    #[test]
    fn early_is_less_than_half_of_what_was_asked_for() {
        let seconds = Duration::from_secs;
        for (wait, took, early) in [
            (30, 0, true),
            (30, 14, true),
            (30, 15, false),
            (30, 30, false),
            (0, 0, false),
        ] {
            assert_eq!(
                is_early(seconds(wait), seconds(took)),
                early,
                "{wait} {took}"
            );
        }
    }
}
