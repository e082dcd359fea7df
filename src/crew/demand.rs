//! How many jobs wait: when a crew asks, and when it only listens.
//!
//! A crew without workers that needs none sleeps: it asks no more, and is woken by the first job.

use std::time::Duration;

use super::asking::{ASK_EVERY, Asking};
use super::{Crew, Effect};
use crate::pool::{Census, Demand};

impl Crew {
    /// Takes in the broker's answer to [`Effect::Ask`].
    pub fn demanded(&mut self, demand: Demand, now: Duration) {
        self.demand = demand;
        self.decide_at = Some(now);
        let asked_at = match self.asking {
            Asking::Since(at) | Asking::NotBefore(at) => at,
            Asking::Listening => return,
        };
        self.asking = Asking::NotBefore(asked_at.saturating_add(ASK_EVERY).max(now));
    }

    /// Takes in the answer to [`Effect::Listen`]: a job is ready, or nobody could listen.
    pub fn heard(&mut self, job: bool, now: Duration) {
        self.decide_at = Some(now);
        self.demand = match (job, self.demand) {
            (true, Demand::Ready(jobs)) => Demand::Ready(jobs.max(1)),
            (true, Demand::Unknown | Demand::Paused) => Demand::Ready(1),
            (false, _) => Demand::Unknown,
        };
        if self.asking == Asking::Listening {
            let wait = if job { Duration::ZERO } else { ASK_EVERY };
            self.asking = Asking::NotBefore(now.saturating_add(wait));
        }
    }

    /// When the broker is to be asked next.
    pub(super) fn ask_at(&self) -> Option<Duration> {
        let census = self.census();
        match self.asking {
            Asking::NotBefore(at) if self.asks(&census) => Some(at),
            Asking::Listening if !self.asleep(&census) => Some(Duration::ZERO),
            Asking::NotBefore(_) | Asking::Since(_) | Asking::Listening => None,
        }
    }

    /// An answer that is no longer asked for grows stale, so it is forgotten.
    pub(super) fn ask(&mut self, now: Duration) -> Option<Effect> {
        let census = self.census();
        if !self.asks(&census) {
            self.demand = Demand::Unknown;
            return None;
        }
        let asleep = self.asleep(&census);
        match self.asking {
            Asking::NotBefore(_) if asleep => {
                self.asking = Asking::Listening;
                Some(Effect::Listen)
            }
            Asking::NotBefore(at) if now < at => None,
            Asking::Listening if asleep => None,
            Asking::NotBefore(_) | Asking::Listening => {
                self.asking = Asking::Since(now);
                Some(Effect::Ask)
            }
            Asking::Since(_) => None,
        }
    }

    /// Whether the answer could matter. Of a tube that shares a pool, others could have a worker whom it does not need.
    fn asks(&self, census: &Census) -> bool {
        let varies = self.limits.min() < self.limits.max();
        self.limits.asks(census) || self.share.is_some() && varies
    }

    /// Nobody can take a job, nobody should, and the broker said that none waits.
    fn asleep(&self, census: &Census) -> bool {
        let none = match self.demand {
            Demand::Ready(0) | Demand::Paused => true,
            Demand::Ready(_) | Demand::Unknown => false,
        };
        none && census.live() == 0 && self.allowed(census, self.demand) == 0
    }
}
