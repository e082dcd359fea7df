//! The batch: jobs that were claimed together, and are run one after the other.
//!
//! ```text
//!              claimed                 ended, quickly and well
//!   recorded ──────────▶ turns wait ◀──────────────────────────┐
//!      ▲                     │ its turn comes                  │
//!      │                     ▼                                 │
//!      │               one has begun ──────────────────────────┘
//!      │                     │ takes long · fails · prints much · 20 ms are over · told to go ·
//!      │                     │ another configuration · no journal
//!      │                     ▼
//!      └──record──── closed: what has ended is settled, what has not begun waits again,
//!                            and what runs is said to run
//! ```
//!
//! As long as each attempt is short and goes well, all outcomes are recorded when the last attempt has ended, in one
//! transaction with the claims of the next batch. Till then the batch journal says which attempts have begun and which
//! are done, to whoever finds the worker dead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Now, ToDelete};
use crate::broker::Reservation;
use crate::ledger::Millis;
use crate::ledger::{Attempt, Entry, Settlement};
use crate::task::id::AttemptId;

/// When the first of a batch has ended so long ago, its outcome does not wait any longer for the others.
const LONGEST: Duration = Duration::from_millis(20);

/// A job whose task is claimed, and whose turn has not come.
#[derive(Debug)]
pub struct Turn {
    /// The job.
    pub reservation: Reservation,
    /// To begin when its turn comes.
    pub attempt: Box<Attempt>,
    /// How often the job was kicked, where that is known.
    pub kicks: Option<u64>,
}

/// Whether there is a batch journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Journal {
    /// No journal was needed yet.
    #[default]
    Unmade,
    /// The journal is there.
    Ready,
    /// No journal is to be had, or the one there is to stay as it is.
    Lost,
}

/// What of a batch is not recorded.
#[derive(Debug, Default)]
pub struct Batch {
    journal: Journal,
    /// Attempts that have ended, and the jobs that are to be deleted once these ends are recorded.
    ended: Vec<(ToDelete, Arc<Settlement>)>,
    /// When the first of these attempts had ended.
    since: Option<Duration>,
    /// The attempt that has begun and was claimed ahead, and when it began.
    begun: Option<(AttemptId, Millis)>,
    turns: VecDeque<Turn>,
    /// Attempts that do not begin. Their locks are free by now, so that whoever claims their tasks next can take them.
    unclaimed: Vec<(Reservation, AttemptId)>,
    /// Turns were claimed by a configuration that was read again since.
    stale: bool,
}

/// What there is to do with jobs of a batch that was recorded.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Jobs of attempts whose end is recorded.
    pub to_delete: Vec<ToDelete>,
    /// Jobs that are to be looked at anew.
    pub next: Vec<Reservation>,
    /// Attempts whose end was not ours to record.
    pub not_ours: Vec<AttemptId>,
}

impl Batch {
    /// Whether nothing of the batch is left to be recorded.
    pub fn is_recorded(&self) -> bool {
        self.ended.is_empty()
            && self.begun.is_none()
            && self.turns.is_empty()
            && self.unclaimed.is_empty()
    }

    /// Whether there is a journal, so that more than one may be claimed at once.
    pub fn journal(&self) -> Journal {
        self.journal
    }

    /// Whether the journal holds nothing that is not recorded.
    pub fn has_clean_journal(&self) -> bool {
        self.journal == Journal::Ready && self.is_recorded()
    }

    /// The journal was to be made, or to be written to. Without it each attempt is recorded by itself from now on.
    pub fn has_journal(&mut self, has: bool) {
        self.journal = match has {
            true => Journal::Ready,
            false => Journal::Lost,
        };
    }

    /// Event `claimed`: a job's task was claimed ahead of its turn.
    pub fn claimed(&mut self, turn: Turn) {
        self.turns.push_back(turn);
    }

    /// Whether any job waits for its turn.
    pub fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The job whose turn it is, if the batch may go on; else the batch is closed.
    pub fn next(&mut self) -> Option<Turn> {
        if self.stale {
            self.close();
        }
        self.turns.pop_front()
    }

    /// Event `began`: an attempt that was claimed ahead begins.
    pub fn began(&mut self, attempt: AttemptId, at: Millis) {
        self.begun = Some((attempt, at));
    }

    /// The attempt could not be journaled, and does not begin.
    pub fn not_journaled(&mut self, reservation: Reservation, attempt: AttemptId) {
        self.journal = Journal::Lost;
        self.begun = None;
        self.unclaimed.push((reservation, attempt));
        self.close();
    }

    /// The attempt is to be cancelled, and does not begin. The others may.
    pub fn withdrawn(&mut self, reservation: Reservation, attempt: AttemptId) {
        self.begun.take_if(|(begun, _)| *begun == attempt);
        self.unclaimed.push((reservation, attempt));
    }

    /// The same of one whose turn is to come; false if there is no such.
    pub fn withdraw(&mut self, attempt: AttemptId) -> bool {
        let is_it = |turn: &Turn| turn.attempt.id == attempt;
        let place = self.turns.iter().position(is_it);
        let turn = place.and_then(|place| self.turns.remove(place));
        if let Some(turn) = turn {
            // The attempt's lock goes here.
            self.unclaimed.push((turn.reservation, turn.attempt.id));
            return true;
        }
        false
    }

    /// The attempt's command could not be started, and the attempt is un-claimed. Nothing of the batch begins any more.
    pub fn not_started(&mut self, attempt: AttemptId) {
        self.begun.take_if(|(begun, _)| *begun == attempt);
        self.close();
    }

    /// Whether the outcome of an attempt that has ended quickly and well may wait for others.
    pub fn may_wait(&self, now: Now) -> bool {
        let is_soon = |since: Duration| now.at.saturating_sub(since) < LONGEST;
        self.journal == Journal::Ready
            && !self.stale
            && self.has_turns()
            && self.since.is_none_or(is_soon)
    }

    /// Event `ended`: an attempt has ended. Its end stands in the journal, and is recorded later.
    pub fn ended(&mut self, job: ToDelete, settlement: Arc<Settlement>, now: Now) {
        self.begun = None;
        self.since.get_or_insert(now.at);
        self.ended.push((job, settlement));
    }

    /// The configuration was read again. Turns that were claimed by the one before do not begin.
    pub fn configured(&mut self) {
        self.stale = self.has_turns();
    }

    /// Attempts whose turn has not come do not begin.
    pub fn close(&mut self) {
        let turns = self.turns.drain(..);
        // The locks of the attempts go here.
        let unclaimed = turns.map(|turn| (turn.reservation, turn.attempt.id));
        self.unclaimed.extend(unclaimed);
    }

    /// Closes the batch, and says all that is to be recorded, with the end of the attempt that ran last, if that has
    /// ended.
    pub fn record(&mut self, last: Option<&Arc<Settlement>>, entry: &mut Entry) {
        self.close();
        let ended = self.ended.iter().map(|(_, settlement)| settlement);
        entry.settle = ended.chain(last).cloned().collect();
        entry.begun = self.begun.filter(|_| last.is_none());
        entry.unclaim = self.unclaimed.iter().map(|(_, attempt)| *attempt).collect();
    }

    /// The batch was recorded. `ours` says for each attempt that had ended whether the attempt was ours to record.
    pub fn recorded(&mut self, ours: &[bool]) -> Recorded {
        let mut recorded = Recorded::default();
        for ((job, settlement), is_ours) in self.ended.drain(..).zip(ours) {
            match is_ours {
                true => recorded.to_delete.push(job),
                false => {
                    recorded.not_ours.push(settlement.id);
                    recorded.next.push(job.reservation);
                }
            }
        }
        self.forget(&mut recorded.next);
        recorded
    }

    /// Leaves the batch to be recorded by others, who will read the journal. Returns its jobs.
    pub fn abandon(&mut self) -> Vec<Reservation> {
        self.journal = Journal::Lost;
        self.close();
        let mut jobs = self
            .ended
            .drain(..)
            .map(|(job, _)| job.reservation)
            .collect();
        self.forget(&mut jobs);
        jobs
    }

    fn forget(&mut self, jobs: &mut Vec<Reservation>) {
        (self.begun, self.since, self.stale) = (None, None, false);
        let unclaimed = self.unclaimed.drain(..);
        jobs.extend(unclaimed.map(|(reservation, _)| reservation));
    }
}
