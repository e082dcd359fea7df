//! Pools that several tubes share: which pools of one tube belong together, and that each is told what it may have.
//!
//! A worker has one tube, and a [`Pool`](super::Pool) is the workers of one tube. A [`SharedPool`] has no workers of
//! its own. It only says how many its tubes may have together; who has them, [`share`] says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::{PoolSettings, Tender};
use crate::crew::Number;
use crate::pool::Limits;
use crate::pool::share::{self, Account, Member, Misfit, Part};
use crate::tube::TubeName;

/// Tubes whose workers together are at most so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPool {
    /// What people call it.
    pub name: String,
    /// The most workers that count.
    pub max: u32,
    /// Its tubes, and the part of each.
    pub tubes: BTreeMap<TubeName, Part>,
}

/// Why tubes do not fit into the pool that they share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pool {pool}: {reason}")]
pub struct Unfit {
    /// Its name.
    pub pool: String,
    /// The tube whose `outside_max` is wrong, if it is that.
    pub outside: Option<TubeName>,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// The first shared pool into which its tubes do not fit, as far as they are among these.
pub fn unfit(shared: &[SharedPool], pools: &[PoolSettings]) -> Option<Unfit> {
    let limits = |tube: &TubeName| {
        let mut pools = pools.iter();
        pools
            .find(|pool| pool.tube == *tube)
            .map(|pool| pool.limits)
    };
    shared.iter().find_map(|shared| shared.fits(limits).err())
}

impl SharedPool {
    /// Whether those of its tubes fit that have limits.
    fn fits(&self, limits: impl Fn(&TubeName) -> Option<Limits>) -> Result<(), Unfit> {
        let tended = self.tubes.iter().filter_map(|(tube, part)| {
            let limits = limits(tube)?;
            let member = Member {
                min: limits.min(),
                max: limits.max(),
                outside: part.outside,
            };
            Some((tube, member))
        });
        let (tubes, members): (Vec<&TubeName>, Vec<Member>) = tended.unzip();
        let max = self.max;
        let Err(misfit) = share::fits(max, &members) else {
            return Ok(());
        };
        let tube = |member: usize| tubes.get(member).map(|tube| (*tube).clone());
        let named = |member: usize| tube(member).map_or_else(String::new, |tube| tube.to_string());
        let (outside, reason) = match misfit {
            Misfit::Outside {
                member,
                outside,
                max,
            } => {
                let tube_name = named(member);
                let reason = format!(
                    "outside_max of the tube {tube_name} is {outside}, and its max workers {max}; lower the one or \
                     raise the other"
                );
                (tube(member), reason)
            }
            Misfit::Mins { mins } => {
                let reason = format!(
                    "its tubes always have {mins} workers, and its max is {max}; raise that, or lower min_workers of \
                     a tube, or max_workers of a static one"
                );
                (None, reason)
            }
            Misfit::NoPlace { member } => {
                let tube = named(member);
                let reason = format!(
                    "its other tubes always have all its {max} workers, and {tube} could never have one; raise max, or \
                     lower min_workers of a tube"
                );
                (None, reason)
            }
        };
        Err(Unfit {
            pool: self.name.clone(),
            outside,
            reason,
        })
    }

    /// In the log of a reload.
    fn said(&self) -> String {
        let mut tubes = String::new();
        for (tube, Part { weight, outside }) in &self.tubes {
            let between = if tubes.is_empty() { "" } else { ", " };
            let _ = write!(tubes, "{between}{tube} with {weight}");
            if *outside > 0 {
                let _ = write!(tubes, " and {outside} outside");
            }
        }
        format!("{} workers for {tubes}", self.max)
    }
}

/// One of them, while it is tended.
pub(super) struct Shared {
    pub(super) settings: SharedPool,
    /// The pools of one tube that have a part in it, by their places among the tender's.
    members: Vec<(usize, Part)>,
    account: Account,
    again: Option<Duration>,
    /// Whose turn it is that waits.
    turn: Option<usize>,
}

impl Shared {
    pub(super) fn again(&self) -> Option<Duration> {
        self.again
    }

    /// The part that a pool of one tube has in it.
    pub(super) fn part(&self, pool: usize) -> Option<Part> {
        let mut members = self.members.iter();
        members
            .find(|(member, _)| *member == pool)
            .map(|(_, part)| *part)
    }

    /// How many more workers than its `max` there may be.
    pub(super) fn outside(&self) -> u32 {
        let outside = self.members.iter().map(|(_, part)| part.outside);
        outside.fold(0, u32::saturating_add)
    }
}

impl Tender {
    /// Goes by these shared pools from now on, and by no others; what is different, in words. A tube that is left
    /// stays in its pool until its last worker is gone.
    pub(super) fn share_as(&mut self, shared: Vec<SharedPool>) -> Vec<String> {
        let mut changed = Vec::new();
        for new in &shared {
            let name = &new.name;
            match self.shared.iter().find(|old| old.settings.name == *name) {
                None => changed.push(format!("the pool {name} has {}", new.said())),
                Some(old) if old.settings != *new => {
                    let (to, from) = (new.said(), old.settings.said());
                    changed.push(format!("the pool {name} has {to}, no longer {from}"));
                }
                Some(_) => {}
            }
        }
        let before = std::mem::take(&mut self.shared);
        for old in &before {
            let name = &old.settings.name;
            if shared.iter().all(|new| new.name != *name) {
                changed.push(format!("the pool {name} is no more"));
            }
        }
        for pool in &mut self.pools {
            pool.shared = None;
        }
        for (at, settings) in shared.into_iter().enumerate() {
            let old = before.iter().find(|old| old.settings.name == settings.name);
            let mut members = Vec::new();
            for (index, pool) in self.pools.iter_mut().enumerate() {
                let tube = &pool.settings.tube;
                let leaves = pool.crew.closing().is_some();
                let part = match settings.tubes.get(tube) {
                    Some(part) => Some(*part),
                    None if leaves => old.and_then(|old| old.part(index)),
                    None => None,
                };
                if let Some(part) = part.filter(|_| pool.shared.is_none()) {
                    pool.shared = Some(at);
                    members.push((index, part));
                }
            }
            let same = old.filter(|old| old.settings == settings && old.members == members);
            let account = same.map(|same| same.account.clone()).unwrap_or_default();
            self.shared.push(Shared {
                settings,
                members,
                account,
                again: None,
                turn: None,
            });
        }
        let now = self.now();
        for pool in self.pools.iter_mut().filter(|pool| pool.shared.is_none()) {
            if pool.crew.set_share(None) {
                pool.crew.look_again(now);
            }
        }
        changed
    }

    /// Divides what a shared pool has, and lets each of its tubes do what is due: this one, those that may have
    /// something else than before, and all if none is named.
    pub(super) fn tend_shared(&mut self, shared: usize, concerned: Option<usize>) {
        let now = self.now();
        let Some(one) = self.shared.get_mut(shared) else {
            return;
        };
        let mut claims = Vec::with_capacity(one.members.len());
        for (index, part) in &one.members {
            if let Some(pool) = self.pools.get_mut(*index) {
                pool.crew.allow(self.left);
                claims.push(pool.crew.claim(*part, now));
            }
        }
        let (shares, account) = share::share(one.settings.max, &claims, &one.account, now);
        one.account = account;
        one.again = shares.again;
        let turn = shares.turn.and_then(|at| one.members.get(at));
        one.turn = turn.map(|(index, _)| *index);
        let mut due = Vec::new();
        for ((index, _), share) in one.members.iter().zip(shares.of) {
            if let Some(pool) = self.pools.get_mut(*index)
                && (pool.crew.set_share(Some(share)) || concerned.is_none_or(|one| one == *index))
            {
                due.push(*index);
            }
        }
        for index in due {
            self.tend_one(index);
        }
    }

    /// The shared pool in which a pool of one tube has a part.
    pub(super) fn shared_of(&self, pool: usize) -> Option<&Shared> {
        self.shared.get(self.pools.get(pool)?.shared?)
    }

    /// Whether a pool of one tube may have these limits beside the others of its shared pool.
    pub(super) fn fits(&self, pool: usize, limits: Limits) -> Result<(), Unfit> {
        let Some(shared) = self.shared_of(pool) else {
            return Ok(());
        };
        shared.settings.fits(|tube| {
            let index = self.find(tube).ok()?;
            let other = self.pools.get(index)?;
            match (index == pool, other.crew.closing()) {
                (true, _) => Some(limits),
                (false, None) => Some(other.crew.limits()),
                (false, Some(_)) => None,
            }
        })
    }

    /// Tells of a worker whose place in the shared pool is another tube's.
    pub(super) fn say_yields(&self, pool: usize, worker: Number) {
        let Some(shared) = self.shared_of(pool) else {
            return;
        };
        let whose = shared.turn.and_then(|index| self.pools.get(index));
        let whose = whose.map(|pool| pool.settings.tube.to_string());
        let Some(pool) = self.pools.get(pool) else {
            return;
        };
        let tube = &pool.settings.tube;
        let Some(child) = pool.children.get(&worker) else {
            return;
        };
        let known = pool.crew.worker(worker);
        let is_busy = known.is_some_and(|worker| worker.running().is_some());
        let when = if is_busy { "after its job" } else { "at once" };
        let (worker, pid, shared) = (child.name(), child.pid(), shared.settings.name.as_str());
        match whose {
            Some(whose) => {
                tracing::info!(worker, pid, %tube, pool = shared, whose, when, "worker makes room for another tube");
            }
            None => {
                let reason = "the pool has more than its max";
                tracing::info!(worker, pid, %tube, pool = shared, when, reason, "worker makes room");
            }
        }
    }
}
