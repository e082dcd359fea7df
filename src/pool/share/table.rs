//! Dividing places: to whom the next one goes, and who goes for it.

use std::cmp::Reverse;
use std::time::Duration;

use super::claim::{Claim, QUANTUM};

/// All that the division rests on.
pub(super) struct Table<'a> {
    pub(super) places: u32,
    pub(super) claims: &'a [Claim],
    pub(super) used: &'a [Duration],
}

/// What [`Table::next`] compares, the least first: the account with one place more, then who does without a change,
/// then the first.
type Rank = (Duration, bool, usize);

impl Table<'_> {
    /// Every process that counts.
    pub(super) fn counted(&self) -> u64 {
        let counted = |claim: &Claim| u64::from(claim.part.counted(claim.census.total()));
        self.claims.iter().map(counted).sum()
    }

    /// Those of them that nobody has told to go.
    pub(super) fn live_counted(&self) -> u64 {
        let counted = |claim: &Claim| u64::from(claim.part.counted(claim.census.live()));
        self.claims.iter().map(counted).sum()
    }

    /// Those that were told to go and are still at their jobs.
    pub(super) fn finishing(&self) -> u64 {
        let finishing = |claim: &Claim| {
            let running = claim.census.stopping.saturating_sub(claim.going);
            u64::from(running.min(claim.part.counted(claim.census.total())))
        };
        self.claims.iter().map(finishing).sum()
    }

    /// A tube's account once it has had so many places for a quantum of the whole pool's time.
    fn projected(&self, index: usize, places: u32) -> Duration {
        let weight = self.claims.get(index).map_or(1, |claim| claim.part.weight);
        let time = QUANTUM.saturating_mul(self.places.saturating_mul(places));
        let used = self.used.get(index).copied().unwrap_or_default();
        used.saturating_add(time / weight.max(1))
    }

    /// How many workers of each tube are its by right: of what is needed, and of what is wanted beside that.
    pub(super) fn entitled(&self) -> (Vec<u32>, Vec<u32>) {
        let mut left = u64::from(self.places);
        let mut all = vec![0; self.claims.len()];
        self.raise(&mut all, &mut left, |claim| claim.min);
        self.raise(&mut all, &mut left, |claim| {
            claim.needs.min(claim.within_reach())
        });
        let needed = all.clone();
        self.raise(&mut all, &mut left, |claim| {
            claim.wants.min(claim.within_reach())
        });
        (needed, all)
    }

    /// Raises each to its goal, or as far as there are places.
    fn raise(&self, all: &mut [u32], left: &mut u64, goal: impl Fn(&Claim) -> u32) {
        let mut missing = 0_u64;
        for (has, claim) in all.iter_mut().zip(self.claims) {
            let goal = goal(claim).max(*has);
            *has = goal.min(claim.part.outside).max(*has);
            missing = missing.saturating_add(u64::from(goal.saturating_sub(*has)));
        }
        if missing <= *left {
            *left = left.saturating_sub(missing);
            for (has, claim) in all.iter_mut().zip(self.claims) {
                *has = goal(claim).max(*has);
            }
            return;
        }
        while *left > 0 {
            let next = self.next(|index, claim| {
                let has = all.get(index).copied().unwrap_or_default();
                let place = claim.part.counted(has).saturating_add(1);
                (has < goal(claim)).then_some((place, has < claim.census.live()))
            });
            let Some(has) = next.and_then(|index| all.get_mut(index)) else {
                return;
            };
            *has = has.saturating_add(1);
            *left = left.saturating_sub(1);
        }
    }

    /// Whose the next place is, of those that want it: the place that it would be to them, and whether they have it
    /// already.
    fn next(&self, wants: impl Fn(usize, &Claim) -> Option<(u32, bool)>) -> Option<usize> {
        let ranked = self.claims.iter().enumerate().filter_map(|(index, claim)| {
            let (place, has_it) = wants(index, claim)?;
            let rank: Rank = (self.projected(index, place), !has_it, index);
            Some(rank)
        });
        ranked.min().map(|(_, _, index)| index)
    }

    /// How many each may start now.
    pub(super) fn granted(&self, needed: &[u32], wanted: &[u32]) -> Vec<u32> {
        let mut room = u64::from(self.places).saturating_sub(self.counted());
        let mut granted = vec![0; self.claims.len()];
        let least: Vec<u32> = self.claims.iter().map(|claim| claim.min).collect();
        for goals in [&least, needed, wanted] {
            let lacks = |granted: &[u32], index: usize, claim: &Claim| {
                let more = granted.get(index).copied().unwrap_or_default();
                let goal = goals.get(index).copied().unwrap_or_default();
                let (live, total) = (claim.census.live(), claim.census.total());
                let may = total.saturating_add(more) < claim.max;
                (may && live.saturating_add(more) < goal).then_some(more)
            };
            for (index, claim) in self.claims.iter().enumerate() {
                while let Some(more) = lacks(&granted, index, claim)
                    && claim.census.total().saturating_add(more) < claim.part.outside
                    && let Some(granted) = granted.get_mut(index)
                {
                    *granted = more.saturating_add(1);
                }
            }
            while room > 0 {
                let next = self.next(|index, claim| {
                    let more = lacks(&granted, index, claim)?;
                    let has = claim.census.live().saturating_add(more);
                    Some((claim.part.counted(has).saturating_add(1), false))
                });
                let Some(granted) = next.and_then(|index| granted.get_mut(index)) else {
                    break;
                };
                *granted = granted.saturating_add(1);
                room = room.saturating_sub(1);
            }
        }
        granted
    }

    /// How many places each lacks of those that are its by right, and whether anybody needs more than there is.
    pub(super) fn short(&self, needed: &[u32], granted: &[u32]) -> (Vec<u32>, bool) {
        let mut waits = false;
        let lacking = self.claims.iter().zip(needed.iter().zip(granted));
        let short = lacking.map(|(claim, (needed, granted))| {
            let has = claim.census.live().saturating_add(*granted);
            let own = claim
                .max
                .saturating_sub(claim.census.total())
                .saturating_sub(*granted);
            let needs = claim.needs.min(claim.within_reach()).saturating_sub(has);
            waits |= needs.min(own) > 0;
            let is_able = claim.able > 0;
            needed
                .saturating_sub(has)
                .min(own)
                .min(if is_able { u32::MAX } else { 0 })
        });
        (short.collect(), waits)
    }

    pub(super) fn turn(&self, short: &[u32], granted: &[u32]) -> Option<usize> {
        self.next(|index, claim| {
            let more = granted.get(index).copied().unwrap_or_default();
            let has = claim.census.live().saturating_add(more);
            let place = claim.part.counted(has).saturating_add(1);
            (short.get(index).copied().unwrap_or_default() > 0).then_some((place, false))
        })
    }

    /// There are too many: whoever has more than is its by right lets that go.
    pub(super) fn give_back(&self, mut excess: u64, wanted: &[u32], yields: &mut [u32]) {
        for index in self.ahead() {
            let Some(claim) = self.claims.get(index) else {
                continue;
            };
            let right = wanted.get(index).copied().unwrap_or_default();
            let over = u64::from(claim.beyond(right)).min(excess);
            excess = excess.saturating_sub(over);
            if let Some(yields) = yields.get_mut(index) {
                *yields = u32::try_from(over).unwrap_or(u32::MAX);
            }
        }
    }

    /// Lets those go that rest and are not needed; how many places are missing after that.
    pub(super) fn rest(&self, missing: u64, yields: &mut [u32]) -> u64 {
        let going = self
            .claims
            .iter()
            .map(|claim| u64::from(claim.going.min(claim.part.counted(claim.census.total()))));
        let mut missing = missing.saturating_sub(going.sum());
        let surplus = |claim: &Claim| claim.beyond(claim.needs).min(claim.resting);
        let mut order: Vec<(Reverse<u32>, usize)> = self
            .claims
            .iter()
            .map(surplus)
            .map(Reverse)
            .zip(0..)
            .collect();
        order.sort();
        for (Reverse(surplus), index) in order {
            let goes = u64::from(surplus).min(missing);
            missing = missing.saturating_sub(goes);
            if let Some(yields) = yields.get_mut(index) {
                *yields = u32::try_from(goes).unwrap_or(u32::MAX);
            }
        }
        missing
    }

    /// Lets busy workers go after their jobs, of the tubes that are ahead, for those that have fallen behind. Whether
    /// any goes.
    pub(super) fn finish(
        &self,
        mut missing: u64,
        needed: &[u32],
        short: &[u32],
        yields: &mut [u32],
    ) -> bool {
        let mut any = false;
        let waiting = short.iter().enumerate().filter(|(_, short)| **short > 0);
        let mut waiting: Vec<(usize, u32)> =
            waiting.map(|(index, short)| (index, *short)).collect();
        waiting.sort_by_key(|(index, _)| (self.used.get(*index).copied(), *index));
        let ahead = self.ahead();
        for (behind, mut short) in waiting {
            for index in &ahead {
                let (Some(claim), Some(yields)) = (self.claims.get(*index), yields.get_mut(*index))
                else {
                    continue;
                };
                if !self.is_behind(behind, *index) {
                    break;
                }
                let right = needed.get(*index).copied().unwrap_or_default();
                let over = claim.beyond(right).saturating_sub(*yields).min(short);
                let goes = u64::from(over).min(missing);
                missing = missing.saturating_sub(goes);
                let goes = u32::try_from(goes).unwrap_or(u32::MAX);
                short = short.saturating_sub(goes);
                *yields = yields.saturating_add(goes);
                any |= goes > 0;
            }
        }
        any
    }

    /// The tubes, whoever has used most first.
    fn ahead(&self) -> Vec<usize> {
        let mut ahead: Vec<usize> = (0..self.claims.len()).collect();
        ahead.sort_by_key(|index| (Reverse(self.used.get(*index).copied()), *index));
        ahead
    }

    /// Whether the one has fallen behind the other by more than a quantum of its worker time.
    fn is_behind(&self, behind: usize, ahead: usize) -> bool {
        let used = |index: usize| self.used.get(index).copied().unwrap_or_default();
        let weight = self.claims.get(behind).map_or(1, |claim| claim.part.weight);
        used(ahead)
            .saturating_sub(used(behind))
            .saturating_mul(weight)
            > QUANTUM
    }
}
