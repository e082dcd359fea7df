//! Who is replaced though nothing is wrong with it.

use std::time::Duration;

use super::{Crew, Effect};
use crate::backoff::BackOff;
use crate::lifecycle::{Class, Event, State};
use crate::pool::Demand;

impl Crew {
    /// One at a time, the next only when the one before is gone and its successor is ready; and none
    /// while the pool could not start that successor.
    pub(super) fn may_recycle(&self) -> bool {
        let census = self.census();
        let complete = census.live() >= self.allowed(&census, Demand::Unknown);
        let nobody_recycled = self.workers.values().all(|worker| match worker.state() {
            State::Stopping { why, .. } | State::Killed { why, .. } => !why.recycled(),
            State::Spawning | State::Starting { .. } => false,
            State::Idle { .. } | State::Busy { .. } | State::Gone => true,
        });
        complete && nobody_recycled && self.memory.back_off == BackOff::Calm
    }

    /// When the next of those that wait for a job reaches its age.
    pub(super) fn next_recycling(&self) -> Option<Duration> {
        self.workers
            .values()
            .filter(|worker| worker.class() == Class::Idle)
            .filter_map(|worker| worker.recycle_at(&self.rules))
            .min()
    }

    pub(super) fn recycle(&mut self, now: Duration) -> Vec<Effect> {
        if !self.may_recycle() {
            return vec![];
        }
        let overdue = self
            .workers
            .iter()
            .find_map(|(number, worker)| Some((*number, worker.overdue(&self.rules, now)?)));
        match overdue {
            Some((number, why)) => self
                .step(number, Event::Retire { why }, now)
                .unwrap_or_default(),
            None => vec![],
        }
    }
}
