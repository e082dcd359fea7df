//! A worker's batch journal: what the worker has done with tasks that it claimed together, until that is recorded.
//!
//! A journal outlives its worker, but not the machine. Whoever finds that a worker is dead reads in its journal which
//! of its tasks have begun and which have ended, where the ledger can only say that they run.

use std::fmt;

use crate::task::Millis;
use crate::task::id::{AttemptId, WorkerId};

pub mod files;
pub mod memory;

/// What is known of an attempt whose worker is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journaled {
    /// Nothing: if the attempt was claimed ahead of its turn, it has not begun.
    Nothing,
    /// The attempt has begun.
    Begun,
    /// The attempt has exited with 0.
    Done(Done),
}

/// An attempt that has exited with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// When it began, if it was claimed ahead of its turn.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Millis,
    /// What it printed.
    pub output: Vec<u8>,
}

/// A journal could not be made, or not be written to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// What failed, and why.
    pub what: String,
}

/// The batch journals of a ledger's workers.
pub trait Journals: Send + Sync + fmt::Debug {
    /// Makes the journal of a worker, with nothing in it.
    ///
    /// # Errors
    /// Also where whoever finds the worker dead could not believe what is in the journal.
    fn make(&self, worker: WorkerId) -> Result<BatchJournal, Trouble>;

    /// What a dead worker has noted of an attempt; `None` if the worker had no journal that can be believed.
    fn read(&self, worker: WorkerId, attempt: AttemptId) -> Option<Journaled>;

    /// Removes the journal of a worker for which there is nothing to be recorded any more.
    fn remove(&self, worker: WorkerId);
}

/// The batch journal of a worker, as that worker writes it.
#[derive(Debug)]
pub struct BatchJournal(Box<dyn Journal>);

/// A journal, as an adapter has it.
pub trait Journal: Send + Sync + fmt::Debug {
    /// As of [`BatchJournal::begins`].
    fn begins(&mut self, attempt: AttemptId, at: Millis) -> Result<(), Trouble>;

    /// As of [`BatchJournal::is_done`].
    fn is_done(&mut self, attempt: AttemptId, done: &Done) -> Result<(), Trouble>;

    /// As of [`BatchJournal::wipe`].
    fn wipe(&mut self);
}

impl BatchJournal {
    /// As an adapter has it.
    pub fn new(journal: impl Journal + 'static) -> BatchJournal {
        BatchJournal(Box::new(journal))
    }

    /// Notes that an attempt is about to begin.
    pub fn begins(&mut self, attempt: AttemptId, at: Millis) -> Result<(), Trouble> {
        self.0.begins(attempt, at)
    }

    /// Notes that an attempt has exited with 0.
    pub fn is_done(&mut self, attempt: AttemptId, done: &Done) -> Result<(), Trouble> {
        self.0.is_done(attempt, done)
    }

    /// All that is in the journal has been recorded.
    pub fn wipe(&mut self) {
        self.0.wipe();
    }
}
