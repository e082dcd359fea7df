//! Other limits out of those that a pool has: by number, and by one worker more or fewer.

use super::{BadLimits, Limits};

impl Limits {
    /// The same limits with other numbers; those that are not named stay.
    ///
    /// # Errors
    /// When the result makes no sense.
    pub fn scaled(
        &self,
        min: Option<u32>,
        spare: Option<u32>,
        max: Option<u32>,
    ) -> Result<Self, BadLimits> {
        let shrink_after = self.shrink_after;
        let limits = Self::new(
            min.unwrap_or(self.min),
            spare.unwrap_or(self.spare),
            max.unwrap_or(self.max),
        )?;
        Ok(limits.with_shrink_after(shrink_after))
    }

    /// One worker more, at rest and at the most.
    #[must_use]
    pub fn raised(self) -> Self {
        let at_rest = self.min.max(self.spare);
        let raise = |n: u32| n.saturating_add(u32::from(n == at_rest));
        Self {
            min: raise(self.min),
            spare: raise(self.spare),
            max: self.max.saturating_add(1),
            ..self
        }
    }

    /// One worker fewer, at rest and at the most. A pool of at most one stays as it is.
    #[must_use]
    pub fn lowered(self) -> Self {
        if self.max <= 1 {
            return self;
        }
        let at_rest = self.min.max(self.spare);
        let lower = |n: u32| n.saturating_sub(u32::from(n == at_rest));
        let max = self.max.saturating_sub(1);
        Self {
            min: lower(self.min).min(max),
            spare: lower(self.spare),
            max,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Census, Demand};
    use super::*;

    fn numbers(limits: Limits) -> (u32, u32, u32) {
        (limits.min, limits.spare, limits.max)
    }

    #[test]
    fn one_more_and_one_fewer() {
        // Limits, raised, lowered.
        let table = [
            ((2, 1, 5), (3, 1, 6), (1, 1, 4)),
            ((1, 1, 4), (2, 2, 5), (0, 0, 3)),
            ((0, 0, 3), (1, 1, 4), (0, 0, 2)),
            ((2, 5, 10), (2, 6, 11), (2, 4, 9)),
            ((3, 0, 3), (4, 0, 4), (2, 0, 2)),
            ((1, 0, 1), (2, 0, 2), (1, 0, 1)),
            ((0, 0, 1), (1, 1, 2), (0, 0, 1)),
        ];
        for ((min, spare, max), raised, lowered) in table {
            let limits = Limits::new(min, spare, max).unwrap();
            assert_eq!(numbers(limits.raised()), raised);
            assert_eq!(numbers(limits.lowered()), lowered);
        }
    }

    #[test]
    fn whatever_they_are_they_make_sense_and_the_pool_at_rest_moves_by_one() {
        let at_rest = |limits: Limits| limits.target(&Census::default(), Demand::Ready(0));
        for max in 1..6 {
            for min in 0..=max {
                for spare in 0..8 {
                    let limits = Limits::new(min, spare, max).unwrap();
                    let (more, fewer) = (limits.raised(), limits.lowered());
                    for changed in [more, fewer] {
                        let (min, spare, max) = numbers(changed);
                        assert!(Limits::new(min, spare, max).is_ok(), "{limits:?}");
                    }
                    assert_eq!(at_rest(more), at_rest(limits) + 1, "{limits:?}");
                    let less = at_rest(limits).saturating_sub(u32::from(max > 1));
                    assert_eq!(at_rest(fewer), less, "{limits:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let limits = Limits::new(2, 1, 5).unwrap();
        let scaled = |min, spare, max| limits.scaled(min, spare, max).map(numbers);
        assert_eq!(scaled(None, None, None), Ok((2, 1, 5)));
        assert_eq!(scaled(Some(4), None, Some(8)), Ok((4, 1, 8)));
        let refused = scaled(Some(6), None, None).unwrap_err().to_string();
        assert!(refused.contains("6") && refused.contains("5"), "{refused}");
        assert!(scaled(None, None, Some(0)).is_err());
    }
}
