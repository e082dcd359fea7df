//! A crew whose tube shares a pool with others: what it claims of that, and what it gives up.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Crew, Effect, Number};
use crate::lifecycle::{Class, Event, State, Why};
use crate::pool::share::{Claim, Part, RESTING, Share};
use crate::pool::{Census, Demand};

/// Who goes first: by what it does, then who has waited longest, then who has begun last.
type Rank = (u8, Duration, Reverse<Duration>);

impl Crew {
    /// What it has and wants of a pool in which it has this part.
    pub fn claim(&self, part: Part, now: Duration) -> Claim {
        let census = self.census();
        let (limits, demand) = (&self.limits, self.demand);
        let closes = self.closing.is_some();
        let unless_closing = |n: u32| if closes { 0 } else { n };
        let rested = |since: Duration| now.saturating_sub(since) >= RESTING;
        let is_resting = |state: &State| matches!(state, State::Idle { since } if rested(*since));
        let resting = self
            .workers
            .values()
            .filter(|worker| is_resting(worker.state()));
        let going = self.workers.values().filter(|worker| {
            worker.class() == Class::Stopping && worker.running().is_none() && !worker.silent()
        });
        let is_known = demand != Demand::Unknown;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Claim {
            part,
            min: unless_closing(limits.min()),
            max: limits.max(),
            resting: if is_known { number(resting.count()) } else { 0 },
            going: number(going.count()),
            needs: unless_closing(limits.needed(&census, demand)),
            wants: unless_closing(limits.target(&census, demand)),
            able: unless_closing(self.memory.able(limits, &census, now)),
            has_backlog: !closes && demand.exceeds(&census),
            census,
        }
    }

    /// Says what it may have of the pool that it shares, to be said before each [`Crew::tend`]; `None` if it shares
    /// none. Whether that is something else than before.
    pub fn set_share(&mut self, share: Option<Share>) -> bool {
        let has_changed = self.share != share;
        self.share = share;
        has_changed
    }

    /// What it may have of the pool that it shares.
    pub fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// How many should be able to take a job, as far as the pool that it shares lets it have them.
    pub(super) fn allowed(&self, census: &Census, demand: Demand) -> u32 {
        let target = self.limits.target(census, demand);
        let most = self.share.map_or(u32::MAX, |share| {
            let more = share.most.saturating_sub(census.total());
            census.live().saturating_add(more)
        });
        target.min(most)
    }

    /// Lets so many go: those that have waited longest for a job, then those that have just begun one, then those that
    /// are not ready yet. Whoever has begun lately has more likely a short job than a long one, and so goes soon.
    pub(super) fn give_up(&mut self, n: u32, now: Duration) -> Vec<Effect> {
        if let Some(share) = &mut self.share {
            share.yields = 0;
        }
        let mut ranked: Vec<(Rank, Number)> = Vec::new();
        for (number, worker) in &self.workers {
            let rank = match *worker.state() {
                State::Idle { since } => (0, since, Reverse(now)),
                State::Busy { since, .. } => (1, now, Reverse(since)),
                State::Starting { .. } => (2, now, Reverse(worker.born())),
                State::Spawning | State::Stopping { .. } | State::Killed { .. } | State::Gone => {
                    continue;
                }
            };
            ranked.push((rank, *number));
        }
        ranked.sort();
        let why = Why::Yields;
        let first = ranked
            .into_iter()
            .take(usize::try_from(n).unwrap_or(usize::MAX));
        first
            .filter_map(|(_, number)| self.step(number, Event::Retire { why }, now).ok())
            .flatten()
            .collect()
    }
}
