//! A round: jobs that were claimed together, and are run one after the other.
//!
//! As long as each is short and goes well, all of them are recorded when the last has ended, in one transaction with the
//! claim of the next round. Till then the worker's batch journal says which have begun and which are done, to whoever finds the
//! worker dead. Whatever else happens ends the round: what has ended is recorded, and tasks whose turn has not come wait
//! again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ahead::Over;
use crate::broker::Reservation;
use crate::ledger::Millis;
use crate::ledger::batch_journal::{BatchJournal, Done, Journals, Trouble};
use crate::ledger::{Attempt, Entry, Settlement};
use crate::task::id::{AttemptId, WorkerId};

/// When the first of a round has ended so long ago, the others do not wait any longer.
const LONGEST: Duration = Duration::from_millis(20);

/// A job that is claimed, and whose turn has not come.
#[derive(Debug)]
pub struct Turn {
    /// Its job.
    pub reservation: Reservation,
    /// To begin when it is its turn.
    pub attempt: Box<Attempt>,
}

/// What of a round is not recorded.
#[derive(Debug, Default)]
pub struct Round {
    journal: Option<BatchJournal>,
    /// There is no batch journal to be had, or it is to stay as it is.
    has_no_journal: bool,
    ended: Vec<(Over, Arc<Settlement>)>,
    /// When the first of them had ended.
    since: Option<Instant>,
    /// One claimed ahead of its turn that has begun, and when.
    begun: Option<(AttemptId, Millis)>,
    turns: VecDeque<Turn>,
}

impl Round {
    /// Whether all of it is recorded.
    pub fn is_over(&self) -> bool {
        self.ended.is_empty() && self.begun.is_none() && self.turns.is_empty()
    }

    /// Whether more than one may be claimed at once. Makes the batch journal if there is none.
    pub fn is_possible(&mut self, journals: &dyn Journals, worker: WorkerId) -> bool {
        if self.journal.is_none() && !self.has_no_journal {
            match journals.make(worker) {
                Ok(journal) => self.journal = Some(journal),
                Err(error) => self.lose_journal(&error),
            }
        }
        self.journal.is_some()
    }

    fn lose_journal(&mut self, error: &Trouble) {
        tracing::warn!(%error, "has no batch journal; claims each task by itself from now on");
        self.journal = None;
        self.has_no_journal = true;
    }

    /// Adds a job that was claimed ahead of its turn.
    pub fn add(&mut self, turn: Turn) {
        self.turns.push_back(turn);
    }

    /// Whose turn it is.
    pub fn next(&mut self) -> Option<Turn> {
        self.turns.pop_front()
    }

    /// It was not its turn after all.
    pub fn put_back(&mut self, turn: Turn) {
        self.turns.push_front(turn);
    }

    /// Whether others wait for their turn.
    pub fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether those that have ended may wait for another to end.
    pub fn may_wait(&self) -> bool {
        let is_soon = |since: Instant| since.elapsed() < LONGEST;
        self.has_turns() && self.since.is_none_or(is_soon)
    }

    /// Notes that an attempt is about to begin that was claimed ahead of its turn. False if it must not.
    pub fn begins(&mut self, attempt: &Attempt, at: Millis) -> bool {
        let key = attempt.id;
        match self.journal.as_mut().map(|journal| journal.begins(key, at)) {
            Some(Ok(())) => self.begun = Some((key, at)),
            Some(Err(error)) => self.lose_journal(&error),
            None => {}
        }
        self.journal.is_some()
    }

    /// Notes that an attempt is done, which is recorded later. False if it has to be recorded now.
    pub fn defers(&mut self, settlement: &Settlement) -> bool {
        let key = settlement.id;
        let done = Done {
            started: settlement.started,
            finished: settlement.finished,
            output: settlement.output.head.clone(),
        };
        if let Some(Err(error)) = self
            .journal
            .as_mut()
            .map(|journal| journal.is_done(key, &done))
        {
            self.lose_journal(&error);
        }
        self.journal.is_some()
    }

    /// One that was deferred.
    pub fn ended(&mut self, over: Over, settlement: Arc<Settlement>) {
        self.begun = None;
        self.since.get_or_insert_with(Instant::now);
        self.ended.push((over, settlement));
    }

    /// All there is to be recorded, with the end of one more.
    pub fn entry(&self, last: Option<&Arc<Settlement>>) -> Entry {
        let ended = self.ended.iter().map(|(_, settlement)| settlement);
        let key = |turn: &Turn| turn.attempt.id;
        Entry {
            settle: ended.chain(last).cloned().collect(),
            begun: self.begun.filter(|_| last.is_none()),
            unclaim: self.turns.iter().map(key).collect(),
            ..Entry::default()
        }
    }

    /// It was recorded, and of each that had ended whether it was ours. What is to be deleted, and what is to be looked at
    /// when its turn comes.
    pub fn recorded(&mut self, ours: &[bool]) -> (Vec<Over>, Vec<Reservation>) {
        let (mut over, mut next) = (Vec::new(), self.turns());
        for ((one, _), is_ours) in self.ended.drain(..).zip(ours) {
            match is_ours {
                true => over.push(one),
                false => next.push(one.reservation),
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.wipe();
        }
        (over, next)
    }

    /// It is left to others to record it, who will look at the batch journal. The jobs.
    pub fn abandon(&mut self) -> Vec<Reservation> {
        self.journal = None;
        self.has_no_journal = true;
        let mut next = self.turns();
        next.extend(self.ended.drain(..).map(|(over, _)| over.reservation));
        next
    }

    fn turns(&mut self) -> Vec<Reservation> {
        (self.begun, self.since) = (None, None);
        self.turns.drain(..).map(|turn| turn.reservation).collect()
    }

    /// Whether it has a batch journal in which is nothing that is not recorded.
    pub fn has_clean_journal(&self) -> bool {
        self.journal.is_some() && self.is_over()
    }
}
