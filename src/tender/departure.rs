//! What is logged of a worker that has gone.

use std::time::Duration;

use crate::lifecycle::{Ended, State, Why, Worker};
use crate::tube::TubeName;

/// A worker that has gone.
pub(super) struct Departed<'a> {
    /// Its name.
    pub(super) worker: &'a str,
    /// Its process.
    pub(super) pid: u32,
    /// Its tube.
    pub(super) tube: &'a TubeName,
    /// How it stood before.
    pub(super) known: Option<&'a Worker>,
    /// How its process has ended.
    pub(super) ended: Ended,
}

impl Departed<'_> {
    /// Logs it, in one line. False if it should not have gone.
    pub(super) fn say(&self, now: Duration) -> bool {
        let Departed {
            worker,
            pid,
            tube,
            known,
            ended,
        } = *self;
        let state = known.map_or_else(String::new, ToString::to_string);
        let expected = known.is_none_or(|known| known.state().ends_well(ended));
        match known.and_then(|known| Some((known, retired(known)?))) {
            Some((known, why)) => {
                let (jobs, age_s) = (known.jobs(), now.saturating_sub(known.born()).as_secs());
                let reason = why.to_string();
                tracing::info!(worker, pid, %tube, reason, jobs, age_s, %ended, "worker retired");
            }
            None if expected => {
                tracing::info!(worker, pid, %tube, state, reason = ended.to_string(), "worker ended");
            }
            None => {
                tracing::warn!(worker, pid, %tube, state, reason = ended.to_string(), "worker ended");
            }
        }
        expected
    }
}

/// Why it went, if it was let go in the course of things and went in time.
fn retired(worker: &Worker) -> Option<Why> {
    match worker.state() {
        State::Stopping { why, .. } => match why {
            Why::Surplus
            | Why::Yields
            | Why::Aged
            | Why::Output
            | Why::Jobs
            | Why::Memory
            | Why::Outdated => Some(*why),
            Why::NotReady | Why::Unresponsive | Why::Shutdown | Why::LinkClosed => None,
        },
        State::Spawning
        | State::Starting { .. }
        | State::Idle { .. }
        | State::Busy { .. }
        | State::Killed { .. }
        | State::Gone => None,
    }
}
