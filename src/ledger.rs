//! The ledger: what every task is and what became of it.
//!
//! ```text
//! [`Store`]     a thread that owns a ledger, or the place where the caller stands if the ledger is local
//! [`Ledger`]    the protocol, once: claim, lose, settle, put, recover, announce, clean up
//! [`Rows`]      what one transaction may read and write: operations on rows, and nothing of what they are for
//! [`sqlite`]    [`memory`]     adapters, each of which passes one suite (`tests/it/ledger/`)
//! ```
//!
//! Beside the rows a ledger asks who [`lives`](crate::lives), what dead workers have noted in their
//! [batch journals](batch_journal), and what their commands had printed, which is in their [spools](spool). The
//! protocol knows no clock, no file and no machine: the time is an argument.
//!
//! Every change is one transaction that holds the write lock from its beginning: a transaction that reads and then
//! wants to write could otherwise fail in the middle, with nothing to wait for.

use std::sync::Arc;

use uuid::Uuid;

use crate::lives::Lives;
use crate::task::command::Commands;

pub mod after;
pub mod announce;
pub mod backend;
pub mod batch_journal;
pub mod bulk;
pub mod cancel;
mod claim;
pub mod cleanup;
pub mod counts;
pub mod delete;
pub mod durations;
pub mod edit;
mod enter;
mod entry;
mod error;
pub mod events;
pub mod filter;
mod in_line;
mod limited;
pub mod limits;
mod loss;
pub mod memory;
pub mod minutes;
mod of_job;
pub mod pace;
pub mod put;
pub mod read;
pub mod recover;
pub mod rows;
pub mod schedules;
mod settled;
pub mod spool;
pub mod sqlite;
mod store;
mod transition;
pub mod unique;
mod whose;
pub mod why;
pub mod worker;

pub use crate::task::Millis;
pub use backend::{Backend, Capabilities, Durability, Folded, Journal, Room, Stamp};
pub use entry::{
    AfterLoss, Attempt, Claim, DeadAttempt, Entered, Entry, ForeignJob, JobRef, Jobless, Remains,
    Settlement, TaskRef,
};
pub use error::{Error, Failed};
pub use rows::{Reads, Rows};
pub use store::Store;

use backend::Patience;
use batch_journal::Journals;
use spool::Spools;

/// Opens a ledger that is there already; `None` if there is none.
pub type Open = Arc<dyn Fn() -> Result<Option<Ledger>, Error> + Send + Sync>;

/// A ledger, used where it is.
#[derive(Debug)]
pub struct Ledger {
    backend: Box<dyn Backend>,
    lives: Arc<dyn Lives>,
    journals: Arc<dyn Journals>,
    spools: Arc<dyn Spools>,
    /// What changes have to survive unless they say otherwise.
    durability: Durability,
    patience: Patience,
    /// There is no room for what it deletes, but what is kept back.
    is_in_need: bool,
    /// By whose limits tasks that are added are held.
    holding: Option<Arc<Commands>>,
}

impl Ledger {
    /// A ledger whose rows are there, and of whose workers and attempts it is known there whether they live.
    pub fn over(
        backend: Box<dyn Backend>,
        lives: Arc<dyn Lives>,
        journals: Arc<dyn Journals>,
        spools: Arc<dyn Spools>,
        durability: Durability,
    ) -> Ledger {
        Ledger {
            backend,
            lives,
            journals,
            spools,
            durability,
            patience: Patience::Long,
            is_in_need: false,
            holding: None,
        }
    }

    /// The same ledger, whose changes have to survive that from now on, unless they say otherwise.
    #[must_use]
    pub fn surviving(self, durability: Durability) -> Ledger {
        Ledger { durability, ..self }
    }

    /// The ledger's own id, which pointers name.
    pub fn id(&self) -> Uuid {
        self.backend.id()
    }

    /// Whether a task's job is put together with it, so that nobody has to put one.
    pub fn keeps_jobs(&self) -> bool {
        self.backend.capabilities().keeps_jobs
    }

    /// Who lives, of its workers and attempts.
    pub fn lives(&self) -> &Arc<dyn Lives> {
        &self.lives
    }

    /// The batch journals of its workers.
    pub fn journals(&self) -> &Arc<dyn Journals> {
        &self.journals
    }

    /// What the commands of its workers print.
    pub fn spools(&self) -> &Arc<dyn Spools> {
        &self.spools
    }

    /// What keeps the rows: for those who look below the protocol.
    pub fn backend(&mut self) -> &mut dyn Backend {
        &mut *self.backend
    }

    /// Does `f`, which waits for nobody's lock for longer than a loop can spare.
    fn briefly<R>(&mut self, f: impl FnOnce(&mut Ledger) -> R) -> R {
        let before = std::mem::replace(&mut self.patience, Patience::Brief);
        let done = f(self);
        self.patience = before;
        done
    }

    /// Runs one transaction; nothing of it is left if `change` fails.
    fn change<R>(
        &mut self,
        change: impl FnMut(&dyn Rows) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        self.change_surviving(self.durability, change)
    }

    /// The same for what is found out anew if a power cut takes it.
    fn change_lightly<R>(
        &mut self,
        change: impl FnMut(&dyn Rows) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        self.change_surviving(Durability::ProcessDeath, change)
    }

    fn change_surviving<R>(
        &mut self,
        durability: Durability,
        mut change: impl FnMut(&dyn Rows) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let mut done = None;
        let before = self.backend.told().fired.get_mut().len();
        let mut change = |rows: &dyn Rows| {
            // What is run more than once counts once.
            rows.told().fired.borrow_mut().truncate(before);
            done = Some(change(rows)?);
            Ok(())
        };
        let changed = match self.is_in_need {
            false => self.backend.change(durability, self.patience, &mut change),
            true => self.backend.change_in_need(durability, &mut change),
        };
        let told = self.backend.told();
        let fired = told.fired.get_mut();
        if changed.is_err() {
            fired.truncate(before);
        }
        if fired.len() > before && told.keeps_jobs_of.is_some() {
            fired.truncate(before);
            self.backend.ring();
        }
        changed?;
        // The backend said that it was run.
        done.ok_or_else(Error::closed)
    }

    /// Runs queries that see one moment of the rows.
    fn look<R>(&self, mut look: impl FnMut(&dyn Reads) -> Result<R, Failed>) -> Result<R, Error> {
        let mut done = None;
        self.backend.look(self.patience, &mut |rows| {
            done = Some(look(rows)?);
            Ok(())
        })?;
        done.ok_or_else(Error::closed)
    }
}
