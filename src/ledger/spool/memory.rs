//! Spools in memory: for tests and models.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Medium, Spools, Trouble};
use crate::task::id::WorkerId;

/// The spools of all workers. Its clones are the same spools, which outlive whoever writes them.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    spools: Arc<Mutex<HashMap<WorkerId, Bytes>>>,
}

/// What is in one of them.
#[derive(Debug, Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// No worker has a spool.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// The machine is started again: nothing that was spooled before is believed.
    pub fn restart(&self) {
        held(&self.spools).clear();
    }
}

impl Spools for Memory {
    fn make(&self, worker: WorkerId) -> Result<Box<dyn Medium>, Trouble> {
        let mut spools = held(&self.spools);
        Ok(Box::new(spools.entry(worker).or_default().clone()))
    }

    fn open(&self, worker: WorkerId) -> Option<Box<dyn Medium>> {
        let bytes = held(&self.spools).get(&worker)?.clone();
        Some(Box::new(bytes))
    }

    fn remove(&self, worker: WorkerId) {
        held(&self.spools).remove(&worker);
    }
}

impl Medium for Bytes {
    fn read_at(&self, room: &mut [u8], at: u64) -> Result<usize, Trouble> {
        let bytes = held(&self.0);
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let there = bytes.get(at..).unwrap_or_default();
        let read = room.iter_mut().zip(there);
        Ok(read.map(|(room, byte)| *room = *byte).count())
    }

    fn write_at(&mut self, new: &[u8], at: u64) -> Result<(), Trouble> {
        let mut bytes = held(&self.0);
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let end = at.saturating_add(new.len());
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(old) = bytes.get_mut(at..end) {
            old.copy_from_slice(new);
        }
        Ok(())
    }
}

/// Whoever panicked with it left it whole: each change is one step.
fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
