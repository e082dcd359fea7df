//! How much of a pool's time each of its tubes has used.

use std::time::Duration;

use super::claim::Claim;
use crate::pool::seen::{Census, UNCOUNTED};

/// How far each tube has got: worker time divided by weight, beyond the least of those that have work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub(super) used: Vec<Duration>,
    /// What is charged since the last time: the places of each, if somebody waited.
    places: Vec<u32>,
    at: Duration,
    /// When busy workers were told last to go after their jobs.
    pub(super) told: Option<Duration>,
}

impl Account {
    /// After the time since it was noted last.
    pub(super) fn charged(&self, claims: &[Claim], now: Duration) -> Self {
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
    pub(super) fn note(&mut self, claims: &[Claim], waits: bool) {
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
