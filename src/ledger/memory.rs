//! A ledger in memory: for tests and for models, which kill whoever uses it between two transactions.
//!
//! The rows outlive those who write them. What a transaction has changed is undone if it fails, and no row is let
//! stand that the CHECKs of `migrations/` would refuse.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::backend::{Backend, Capabilities, Change, Durability, Look, Patience};
use super::batch_journal::Journals;
use super::error::{Error, Failed};
use super::rows::Told;
use super::{Ledger, batch_journal, spool};
use crate::lives::{self, Lives};

mod checks;
mod events;
mod kin;
mod limits;
mod queries;
mod reads;
mod records;
mod tables;
mod writes;

use tables::Tables;

/// The rows of a ledger. Its clones are the same rows.
#[derive(Debug, Clone)]
pub struct Memory {
    id: Uuid,
    is_local: bool,
    shared: Arc<Mutex<Shared>>,
    spools: spool::memory::Memory,
}

#[derive(Debug, Clone, Default)]
struct Shared {
    tables: Tables,
    trouble: Option<Error>,
}

impl Memory {
    /// A ledger with nothing in it, of this id.
    pub fn new(id: Uuid) -> Memory {
        Memory {
            id,
            is_local: true,
            shared: Arc::default(),
            spools: spool::memory::Memory::new(),
        }
    }

    /// The same as one that is far away: no loop runs a transaction where it stands.
    #[must_use]
    pub fn remote(self) -> Memory {
        Memory {
            is_local: false,
            ..self
        }
    }

    /// Another ledger of this id, whose rows are as these are now, and whose workers have spooled nothing.
    pub fn copied(&self) -> Memory {
        let shared = self.shared().clone();
        Memory {
            shared: Arc::new(Mutex::new(shared)),
            spools: spool::memory::Memory::new(),
            ..*self
        }
    }

    /// From now on every transaction fails so, until it is told otherwise.
    pub fn set_trouble(&self, trouble: Option<Error>) {
        self.shared().trouble = trouble;
    }

    /// A connection, as one process has it.
    pub fn open(&self, lives: Arc<dyn Lives>, journals: Arc<dyn Journals>) -> Ledger {
        let backend = self.connect();
        let spools = Arc::new(self.spools.clone());
        Ledger::over(backend, lives, journals, spools, Durability::ProcessDeath)
    }

    /// A connection below the protocol.
    pub fn connect(&self) -> Box<dyn Backend> {
        Box::new(Connection {
            rows: self.clone(),
            told: Told::default(),
        })
    }

    /// A connection with nobody who lives yet, and no batch journals.
    pub fn alone(&self) -> Ledger {
        let lives = Arc::new(lives::memory::Memory::new());
        let journals = Arc::new(batch_journal::memory::Memory::new());
        self.open(lives, journals)
    }

    /// Whoever panicked in a transaction left what is undone before the next one.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transact(
        &self,
        told: &Told,
        run: impl FnOnce(&Transaction<'_>) -> Result<(), Failed>,
    ) -> Result<(), Error> {
        let mut shared = self.shared();
        let Shared { tables, trouble } = &mut *shared;
        if let Some(trouble) = trouble {
            return Err(trouble.clone());
        }
        tables.undo();
        match run(&Transaction(RefCell::new(tables), told)) {
            Ok(()) => {
                tables.commit();
                Ok(())
            }
            Err(failed) => {
                tables.undo();
                Err(self.told(failed))
            }
        }
    }

    fn told(&self, failed: Failed) -> Error {
        match failed {
            Failed::Locked => Error::Locked {
                what: format!("the store {} is locked", self.id),
            },
            Failed::Row { task, what } => Error::Row { task, what },
            Failed::Full => Error::Full {
                what: format!("the store {} is full", self.id),
            },
            Failed::Trouble { what } => {
                Error::trouble(format!("the store {} failed: {what}", self.id))
            }
            Failed::Lives(error) => Error::trouble(error.to_string()),
        }
    }
}

/// The rows, as one transaction sees them, and who is told of what happens in it.
struct Transaction<'a>(RefCell<&'a mut Tables>, &'a Told);

/// A connection to the rows.
#[derive(Debug)]
struct Connection {
    rows: Memory,
    told: Told,
}

impl Backend for Connection {
    fn id(&self) -> Uuid {
        self.rows.id
    }

    fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            keeps_jobs: false,
            is_local: self.rows.is_local,
        }
    }

    fn change(&mut self, _: Durability, _: Patience, change: &mut Change<'_>) -> Result<(), Error> {
        self.rows.transact(&self.told, |rows| change(rows))
    }

    fn look(&self, _: Patience, look: &mut Look<'_>) -> Result<(), Error> {
        self.rows.transact(&self.told, |rows| look(rows))
    }
}
