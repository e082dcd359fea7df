//! How many workers a pool should have: limits, census, demand, memory and `now` in, a decision and
//! the next memory out. No clock, no processes.
//!
//! The target is `clamp(busy + max(spare, ready jobs), min, max)`, held against the workers that can
//! still take a job (starting, idle, busy). Those that are leaving, and those that an earlier tender
//! left draining, can take none, but they are processes: all of the census counts against `max`.
//!
//! - Below `min`, all that are missing are started at once. Beyond it, growth is paced: 1, 2, 4 … 32
//!   workers a [`TICK`], from 1 again after a [`CALM`] without growth.
//! - Shrinking waits until the pool has been too big for [`Limits::shrink_after`] without a break, and
//!   then takes away only what was not needed at any moment of that time.
//! - Unknown demand is not none: `busy + spare` is what is surely wanted, so a pool grows to that,
//!   but nothing is retired before the broker has said how many jobs wait.
//! - A pool with a worker that is in trouble (it lacks what its work takes) is kept at `min` but not grown
//!   beyond: more workers would be in the same trouble.
//! - A pool that may start no more workers, ever ([`Memory::allowance`]), keeps those that it has.
//! - A pool whose workers crash starts what its [`BackOff`] allows, whatever is missing.
//! - A tube that shares places with others ([`share`]) has at most what its [`Share`] says, and yields what that says.

use std::time::Duration;

use crate::backoff::{BackOff, Permit};
use share::Share;

mod decision;
mod limits;
mod resize;
mod seen;
pub mod share;

pub use decision::{Action, Decision, Reason};
pub use limits::{BadLimits, Limits, Mode, SHRINK_AFTER};
pub use seen::{Census, Demand, UNCOUNTED};

#[cfg(test)]
mod tests;

/// Growth beyond `min` happens at most this often.
pub const TICK: Duration = Duration::from_millis(100);

/// After this long without growth, growth begins with one worker again.
pub const CALM: Duration = Duration::from_secs(1);

/// The most workers started beyond `min` in one [`TICK`].
pub const LARGEST_STEP: u32 = 32;

/// What one decision leaves for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// How the latest starts went.
    pub back_off: BackOff,
    /// How many may be started from now on; any number if there is none.
    pub allowance: Option<u32>,
    growth: Option<Growth>,
    surplus: Option<Surplus>,
    last: Option<Decision>,
}

/// The latest growth beyond `min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Growth {
    at: Duration,
    /// How many may come with the next one.
    step: u32,
}

/// A pool that is too big.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Surplus {
    since: Duration,
    /// The highest target of any moment since then.
    most: u32,
}

impl Memory {
    /// What was decided last.
    pub fn last(&self) -> Option<&Decision> {
        self.last.as_ref()
    }

    /// How many workers could be started now, whatever is wanted.
    pub fn able(&self, limits: &Limits, census: &Census, now: Duration) -> u32 {
        let least = limits.min.saturating_sub(census.live());
        let most = match census.troubled {
            0 => u32::MAX,
            _ => least,
        };
        let permitted = match self.back_off.permit(now) {
            Permit::Any => u32::MAX,
            Permit::One => u32::from(census.unproven == 0),
            Permit::NotBefore(_) | Permit::Never => 0,
        };
        most.min(permitted).min(self.allowance.unwrap_or(u32::MAX))
    }

    /// How many may be started beyond `min`, or when to ask again.
    fn step(&self, now: Duration) -> Result<u32, Duration> {
        match self.growth {
            Some(Growth { at, .. }) if now < at.saturating_add(TICK) => {
                Err(at.saturating_add(TICK))
            }
            Some(Growth { at, step }) if now < at.saturating_add(CALM) => Ok(step),
            Some(Growth { .. }) | None => Ok(1),
        }
    }
}

/// Decides. To be asked after everything that changes the census, the demand or the memory, and at
/// [`Decision::again`].
pub fn decide(
    limits: &Limits,
    census: &Census,
    demand: Demand,
    share: Option<&Share>,
    memory: &Memory,
    now: Duration,
) -> (Decision, Memory) {
    let target = limits.target(census, demand);
    let live = census.live();
    let mut next = *memory;
    let yields = share.map_or(0, |share| share.yields);
    let (action, reason, again) = if yields > 0 {
        next.surplus = None;
        let reason = match share {
            Some(share) if share.is_above => share.reason_above(),
            Some(_) | None => Reason::Yields,
        };
        (Action::Yield { n: yields }, reason, None)
    } else if live < target {
        next.surplus = None;
        grow(limits, census, demand, share, &mut next, now)
    } else if live > limits.max {
        next.surplus = None;
        cut(limits, census)
    } else if live > target && demand == Demand::Unknown {
        next.surplus = None;
        (Action::Hold, Reason::DemandUnknown, None)
    } else {
        shrink(limits, census, target, &mut next, now)
    };
    let decision = Decision {
        action,
        reason,
        target,
        again,
    };
    next.last = Some(decision);
    (decision, next)
}

type Verdict = (Action, Reason, Option<Duration>);

/// There are fewer than the target.
fn grow(
    limits: &Limits,
    census: &Census,
    demand: Demand,
    share: Option<&Share>,
    memory: &mut Memory,
    now: Duration,
) -> Verdict {
    let (live, total) = (census.live(), census.total());
    let target = limits.target(census, demand);
    let own = limits.max.saturating_sub(total);
    let room = own.min(share.map_or(u32::MAX, |share| share.most.saturating_sub(total)));
    if room == 0 {
        let max = limits.max;
        let reason = match (census.before, share) {
            (UNCOUNTED, _) => Reason::Uncounted,
            (_, Some(share)) if own > 0 => share.reason_without_room(),
            (_, _) => Reason::AtMax { total, max },
        };
        return (Action::Hold, reason, None);
    }
    let room = match memory.allowance {
        Some(0) => return (Action::Hold, Reason::Spent, None),
        Some(left) => room.min(left),
        None => room,
    };
    match memory.back_off.permit(now) {
        Permit::Any => {}
        Permit::One if census.unproven > 0 => return (Action::Hold, Reason::Trying, None),
        Permit::One => return (Action::Start { n: 1 }, Reason::Trying, None),
        Permit::NotBefore(until) => {
            let failures = match memory.back_off {
                BackOff::Waiting { failures, .. } => failures,
                BackOff::Calm | BackOff::Refused { .. } => 0,
            };
            return (Action::Hold, Reason::BackingOff { failures }, Some(until));
        }
        Permit::Never => return (Action::Hold, Reason::Refused, None),
    }
    let missing = limits.min.saturating_sub(live);
    let wanted = target.saturating_sub(live.max(limits.min));
    if missing == 0 && census.troubled > 0 {
        let workers = census.troubled;
        return (Action::Hold, Reason::Troubled { workers }, None);
    }
    let (step, paced_until) = match memory.step(now) {
        Ok(_) if census.troubled > 0 => (0, None),
        Ok(step) => (step, None),
        Err(at) => (0, Some(at)),
    };
    let n = missing.saturating_add(wanted.min(step)).min(room);
    if n > missing {
        memory.growth = Some(Growth {
            at: now,
            step: step.saturating_mul(2).min(LARGEST_STEP),
        });
    }
    let reason = if missing > 0 {
        Reason::BelowMin {
            live,
            min: limits.min,
        }
    } else if n == 0 {
        Reason::Paced
    } else {
        Reason::Wanted {
            busy: census.busy,
            extra: demand.ready().max(u64::from(limits.spare)),
        }
    };
    let more = n < missing.saturating_add(wanted) && n < room;
    let again = more.then(|| paced_until.unwrap_or(now.saturating_add(TICK)));
    let action = if n == 0 {
        Action::Hold
    } else {
        Action::Start { n }
    };
    (action, reason, again)
}

/// There are more than `max`, because it was lowered: no patience, but only idle ones go.
fn cut(limits: &Limits, census: &Census) -> Verdict {
    let live = census.live();
    let n = live.saturating_sub(limits.max).min(census.idle);
    let action = if n == 0 {
        Action::Hold
    } else {
        Action::Retire { n }
    };
    let max = limits.max;
    (action, Reason::AboveMax { live, max }, None)
}

/// There are enough, perhaps too many.
fn shrink(
    limits: &Limits,
    census: &Census,
    target: u32,
    memory: &mut Memory,
    now: Duration,
) -> Verdict {
    let live = census.live();
    let surplus = live.saturating_sub(target).min(census.idle);
    if surplus == 0 {
        memory.surplus = None;
        return (Action::Hold, Reason::Enough, None);
    }
    let (since, most) = match memory.surplus {
        Some(Surplus { since, most }) => (since, most.max(target)),
        None => (now, target),
    };
    let due = since.saturating_add(limits.shrink_after);
    if now < due {
        memory.surplus = Some(Surplus { since, most });
        return (Action::Hold, Reason::Lingering { surplus }, Some(due));
    }
    let n = live.saturating_sub(most).min(census.idle);
    let rest = surplus.saturating_sub(n);
    // What was needed at some moment of this wait may go after the next one.
    memory.surplus = (rest > 0).then_some(Surplus {
        since: now,
        most: target,
    });
    let again = (rest > 0).then(|| now.saturating_add(limits.shrink_after));
    if n == 0 {
        return (Action::Hold, Reason::Lingering { surplus }, again);
    }
    let lasted = now.saturating_sub(since);
    (Action::Retire { n }, Reason::Surplus { lasted }, again)
}
