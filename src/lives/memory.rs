//! Who lives, in memory: for tests and models, which kill whom they like.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sessions::{Notes, Session};
use super::{Alive, Error, Held, Holder, Lives, Trace};
use crate::task::id::{AttemptId, WorkerId};

/// A table of who lives. Its clones are one table.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with a number of its own: who takes the place of somebody who was killed is another.
    held: HashMap<Holder, u64>,
    holds: u64,
    boots: u64,
}

impl Memory {
    /// Nobody lives.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Kills somebody, who may not have noticed yet. True if they lived.
    pub fn kill(&self, holder: Holder) -> bool {
        self.state().held.remove(&holder).is_some()
    }

    /// Kills everybody: the machine is started again.
    pub fn restart(&self) {
        let mut state = self.state();
        state.held.clear();
        state.boots += 1;
    }

    /// Everybody who lives, in order.
    pub fn living(&self) -> Vec<Holder> {
        let mut living: Vec<Holder> = self.state().held.keys().copied().collect();
        living.sort();
        living
    }

    /// Whoever panicked with it left it whole: each change is one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lives for Memory {
    fn hold(&self, holder: Holder) -> Result<Alive, Error> {
        let mut state = self.state();
        if state.held.contains_key(&holder) {
            return Err(Error::Taken(holder));
        }
        state.holds += 1;
        let number = state.holds;
        state.held.insert(holder, number);
        Ok(Alive::new(Entry {
            lives: self.clone(),
            holder,
            number,
        }))
    }

    fn is_held(&self, holder: Holder) -> Result<bool, Error> {
        Ok(self.state().held.contains_key(&holder))
    }

    fn boot(&self) -> String {
        format!("boot-{}", self.state().boots)
    }

    fn trace(&self, _: Holder) -> Option<Trace> {
        None
    }

    fn notes(&self, _: WorkerId) -> Result<Option<Notes>, Error> {
        Ok(None)
    }

    fn session(&self, _: WorkerId, _: AttemptId) -> Option<Session> {
        None
    }
}

/// An entry of the table.
#[derive(Debug)]
struct Entry {
    lives: Memory,
    holder: Holder,
    number: u64,
}

impl Held for Entry {
    fn inherited(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        Ok(None)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.lives.state();
        if state.held.get(&self.holder) == Some(&self.number) {
            state.held.remove(&self.holder);
        }
    }
}
