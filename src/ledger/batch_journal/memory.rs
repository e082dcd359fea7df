//! Batch journals in memory: for tests and models.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BatchJournal, Done, Journal, Journaled, Journals, Trouble};
use crate::task::Millis;
use crate::task::id::{AttemptId, WorkerId};

type Notes = HashMap<AttemptId, Journaled>;

/// The journals of all workers. Its clones are the same journals, which outlive whoever writes them.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    journals: Arc<Mutex<HashMap<WorkerId, Notes>>>,
}

impl Memory {
    /// No worker has a journal.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// The machine is started again: nothing that was noted before is believed.
    pub fn restart(&self) {
        self.journals().clear();
    }

    /// Whoever panicked with it left it whole: each change is one step.
    fn journals(&self) -> MutexGuard<'_, HashMap<WorkerId, Notes>> {
        self.journals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journals for Memory {
    fn make(&self, worker: WorkerId) -> Result<BatchJournal, Trouble> {
        self.journals().insert(worker, Notes::new());
        Ok(BatchJournal::new(Written {
            journals: self.clone(),
            worker,
        }))
    }

    fn read(&self, worker: WorkerId, attempt: AttemptId) -> Option<Journaled> {
        let journals = self.journals();
        let notes = journals.get(&worker)?;
        Some(notes.get(&attempt).cloned().unwrap_or(Journaled::Nothing))
    }

    fn remove(&self, worker: WorkerId) {
        self.journals().remove(&worker);
    }
}

/// A worker's journal, as that worker writes it.
#[derive(Debug)]
struct Written {
    journals: Memory,
    worker: WorkerId,
}

impl Written {
    fn note(&self, attempt: AttemptId, noted: Journaled) -> Result<(), Trouble> {
        match self.journals.journals().get_mut(&self.worker) {
            Some(notes) => {
                notes.insert(attempt, noted);
                Ok(())
            }
            None => Err(Trouble {
                what: format!("the batch journal of worker {} was removed", self.worker),
            }),
        }
    }
}

impl Journal for Written {
    fn begins(&mut self, attempt: AttemptId, _: Millis) -> Result<(), Trouble> {
        self.note(attempt, Journaled::Begun)
    }

    fn is_done(&mut self, attempt: AttemptId, done: &Done) -> Result<(), Trouble> {
        self.note(attempt, Journaled::Done(done.clone()))
    }

    fn wipe(&mut self) {
        if let Some(notes) = self.journals.journals().get_mut(&self.worker) {
            notes.clear();
        }
    }
}
