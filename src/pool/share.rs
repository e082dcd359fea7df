//! How tubes that share a pool divide its places: what each has, wants and has used in, how many workers each may
//! have and whose go out. No clock, no processes, no names.
//!
//! A shared pool (`[pools.NAME]`) is several tubes whose workers together are at most so many. Each of these tubes
//! keeps its own limits and its own decision ([`decide`](super::decide)); the share only bounds that decision.
//!
//! - Every process counts, until it is gone. The first [`Part::outside`] of a tube do not.
//! - The `min` of each tube is its own: nobody else grows into that.
//! - What is needed (busy workers and ready jobs) goes before what is only spare. If all of it fits, each tube has it.
//! - If it does not fit, the time of the places is divided by weight, as stride scheduling does: a tube's **account**
//!   is the worker time that it has used, divided by its weight, and the next place goes to the tube whose account
//!   would be the least with that place. So no tube starves that has work.
//! - Nobody is charged while nobody waits, and a tube without work is set forward to the least of those with work: it
//!   saves nothing up.
//! - A place is freed by a worker that has been idle for a moment and that its tube does not need. If there is none,
//!   a busy worker goes after its job, once a tube that waits has fallen behind by more than a [`QUANTUM`].

use std::cmp::Reverse;
use std::time::Duration;

use super::{Census, Reason, TICK, UNCOUNTED};

mod fit;
#[cfg(test)]
mod tests;

pub use fit::{MOST_PLACES, MOST_WEIGHT, Member, Misfit, fits};

/// A busy worker goes for a tube that has fallen behind by more worker time than this. A worker that starts costs
/// little beside that.
pub const QUANTUM: Duration = Duration::from_secs(1);

/// A worker that waits for a job so long is not just between two jobs.
pub const RESTING: Duration = Duration::from_millis(100);

/// So long, workers that were told to go after their jobs are expected to do that, and no others are told in their
/// place.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A tube's part in a shared pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How much of the pool's time is its own where more is needed than there is; at least 1.
    pub weight: u32,
    /// So many of its workers count for nothing in the pool.
    pub outside: u32,
}

impl Part {
    /// Those of so many workers that count.
    fn counted(self, workers: u32) -> u32 {
        workers.saturating_sub(self.outside)
    }
}

/// What one tube has and wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its part in the pool.
    pub part: Part,
    /// The workers that are its own whatever the others want.
    pub min: u32,
    /// The most that it may have by itself.
    pub max: u32,
    /// Its processes.
    pub census: Census,
    /// Of the idle: those that have waited for [`RESTING`]; none while nobody knows how many jobs wait.
    pub resting: u32,
    /// Of the stopping: those that run nothing, and are about to be gone.
    pub going: u32,
    /// Its busy workers and its ready jobs, within its own limits.
    pub needs: u32,
    /// The same with what is to be spare.
    pub wants: u32,
    /// How many could be started now: none by a tube that backs off.
    pub able: u32,
    /// Jobs wait beyond those that its workers will take, whatever its own `max`.
    pub has_backlog: bool,
}

/// How far each tube has got: worker time divided by weight, beyond the least of those that have work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    used: Vec<Duration>,
    /// What is charged since the last time: the places of each, if somebody waited.
    places: Vec<u32>,
    at: Duration,
    /// When busy workers were told last to go after their jobs.
    told: Option<Duration>,
}

/// What one tube may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// So many processes at the most.
    pub most: u32,
    /// So many of its workers go: idle ones first, then busy ones after their jobs.
    pub yields: u32,
    /// The processes that count in the pool.
    pub counted: u32,
    /// The most that there may be of those.
    pub places: u32,
    /// More than that would be left if nobody yielded: the pool's `max` was lowered.
    pub is_above: bool,
}

impl Share {
    /// Why it may start none, where it is the pool that keeps it from that.
    pub(super) fn reason_without_room(&self) -> Reason {
        let (counted, places) = (self.counted, self.places);
        match counted {
            UNCOUNTED => Reason::Uncounted,
            counted if counted >= places => Reason::PoolFull { counted, places },
            _ => Reason::OthersTurn,
        }
    }

    pub(super) fn reason_above(&self) -> Reason {
        Reason::PoolAbove {
            counted: self.counted,
            places: self.places,
        }
    }
}

/// What all of them may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// In the order of the claims.
    pub of: Vec<Share>,
    /// Whose turn it is of those that wait for a place.
    pub turn: Option<usize>,
    /// When to ask again if nothing happens before.
    pub again: Option<Duration>,
}

/// Divides the places. To be asked after everything that changes a claim, and at [`Shares::again`]. The claims stand
/// in the same order each time, or the account is a new one.
pub fn share(places: u32, claims: &[Claim], account: &Account, now: Duration) -> (Shares, Account) {
    let mut account = account.charged(claims, now);
    let table = Table {
        places,
        claims,
        used: &account.used,
    };
    let (needed, wanted) = table.entitled();
    let granted = table.granted(&needed, &wanted);
    let (short, waits) = table.short(&needed, &granted);
    let excess = table.live_counted().saturating_sub(u64::from(places));
    let turn = table.turn(&short, &granted);
    let mut yields = vec![0; claims.len()];
    if excess > 0 {
        table.give_back(excess, &wanted, &mut yields);
    } else {
        let missing: u64 = short.iter().copied().map(u64::from).sum();
        let missing = table.rest(missing, &mut yields);
        let missing = missing.saturating_sub(match account.told {
            Some(told) if now < told.saturating_add(PATIENCE) => table.finishing(),
            Some(_) | None => 0,
        });
        if table.finish(missing, &needed, &short, &mut yields) {
            account.told = Some(now);
        }
    }
    let again = match (turn, waits) {
        (Some(_), _) => Some(TICK),
        (None, true) => Some(QUANTUM / 2),
        (None, false) => None,
    };
    let counted = u32::try_from(table.counted()).unwrap_or(u32::MAX);
    let of = claims.iter().zip(&granted).zip(&yields);
    let of = of.map(|((claim, granted), yields)| Share {
        most: claim.census.total().saturating_add(*granted),
        yields: *yields,
        counted,
        places,
        is_above: excess > 0,
    });
    let shares = Shares {
        of: of.collect(),
        turn,
        again: again.map(|wait| now.saturating_add(wait)),
    };
    account.note(claims, waits);
    (shares, account)
}

impl Account {
    /// After the time since it was noted last.
    fn charged(&self, claims: &[Claim], now: Duration) -> Self {
        let passed = now.saturating_sub(self.at);
        let mut used = self.used.clone();
        used.resize(claims.len(), Duration::ZERO);
        for ((used, places), claim) in used.iter_mut().zip(&self.places).zip(claims) {
            let time = passed.saturating_mul(*places) / claim.part.weight.max(1);
            *used = used.saturating_add(time);
        }
        let has_work = |claim: &&Claim| claim.has_backlog && claim.able > 0;
        let at_work = used.iter().zip(claims).filter(|(_, claim)| has_work(claim));
        let least = at_work.map(|(used, _)| *used).min();
        // Counted from the least of those with work on: who is before that has no work, and is set forward.
        for used in &mut used {
            *used = match least {
                None => Duration::ZERO,
                Some(least) => used.saturating_sub(least),
            };
        }
        Self {
            used,
            places: Vec::new(),
            at: now,
            told: self.told,
        }
    }

    /// What is charged until the next time. While nobody waits, nobody owes anybody anything.
    fn note(&mut self, claims: &[Claim], waits: bool) {
        if !waits {
            *self = Self {
                at: self.at,
                ..Self::default()
            };
            return;
        }
        let places = claims.iter().map(|claim| {
            let Census {
                starting,
                busy,
                stopping,
                before,
                ..
            } = claim.census;
            let before = if before == UNCOUNTED { 0 } else { before };
            let all = [starting, busy, stopping, before];
            let all = all.into_iter().fold(0, u32::saturating_add);
            claim.part.counted(all)
        });
        self.places = places.collect();
    }
}

/// All that the division rests on.
struct Table<'a> {
    places: u32,
    claims: &'a [Claim],
    used: &'a [Duration],
}

/// What [`Table::next`] compares, the least first: the account with one place more, then who does without a change,
/// then the first.
type Rank = (Duration, bool, usize);

impl Table<'_> {
    /// Every process that counts.
    fn counted(&self) -> u64 {
        let counted = |claim: &Claim| u64::from(claim.part.counted(claim.census.total()));
        self.claims.iter().map(counted).sum()
    }

    /// Those of them that nobody has told to go.
    fn live_counted(&self) -> u64 {
        let counted = |claim: &Claim| u64::from(claim.part.counted(claim.census.live()));
        self.claims.iter().map(counted).sum()
    }

    /// Those that were told to go and are still at their jobs.
    fn finishing(&self) -> u64 {
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
    fn entitled(&self) -> (Vec<u32>, Vec<u32>) {
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
    fn granted(&self, needed: &[u32], wanted: &[u32]) -> Vec<u32> {
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
    fn short(&self, needed: &[u32], granted: &[u32]) -> (Vec<u32>, bool) {
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

    fn turn(&self, short: &[u32], granted: &[u32]) -> Option<usize> {
        self.next(|index, claim| {
            let more = granted.get(index).copied().unwrap_or_default();
            let has = claim.census.live().saturating_add(more);
            let place = claim.part.counted(has).saturating_add(1);
            (short.get(index).copied().unwrap_or_default() > 0).then_some((place, false))
        })
    }

    /// There are too many: whoever has more than is its by right lets that go.
    fn give_back(&self, mut excess: u64, wanted: &[u32], yields: &mut [u32]) {
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
    fn rest(&self, missing: u64, yields: &mut [u32]) -> u64 {
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
    fn finish(&self, mut missing: u64, needed: &[u32], short: &[u32], yields: &mut [u32]) -> bool {
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

impl Claim {
    /// As many as it could have soon.
    fn within_reach(&self) -> u32 {
        self.census.live().saturating_add(self.able)
    }

    /// How many of those that live would free a place beyond so many, and beyond what is its own.
    fn beyond(&self, right: u32) -> u32 {
        let own = right.max(self.min).max(self.part.outside);
        self.census.live().saturating_sub(own)
    }
}
