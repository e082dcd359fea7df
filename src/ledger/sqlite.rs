//! A ledger in SQLite: rows of one file, and beside it the files that say who lives, what dead workers have noted,
//! and what commands print.
//!
//! With the embedded broker the jobs are rows of the same file, put in the transaction that says that they are needed.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use uuid::Uuid;

use super::Ledger;
use super::backend::{
    Backend, Capabilities, Change, Durability, Folded, Journal, Look, Patience, Room, Stamp,
};
use super::error::{Error, Failed};
use super::rows::Told;
use super::{batch_journal, spool};
use crate::sqlite::bell::Bell;
use crate::sqlite::boot::begin_boot;
pub use crate::sqlite::copies::{Copied, Progress};
use crate::sqlite::{self, Database, briefly, copies};

mod attempts;
mod cleanup;
mod columns;
mod error;
mod events;
mod filter;
mod keys;
mod kin;
mod limits;
mod minutes;
mod operations;
mod own;
#[cfg(test)]
mod plans;
mod puts;
mod read;
mod recover;
mod reports;
mod schedules;
mod tags;
mod tasks;
mod workers;

/// Opens a ledger, making its file or bringing its schema up to date where needed.
pub fn open(path: &Path, durability: Durability) -> Result<Ledger, Error> {
    let database = Database::open(path, durability.into())?;
    Ok(over(database, durability, false))
}

/// The same for the embedded broker: whatever needs a job gets it in the transaction that records the need, and
/// those who wait hear of it.
pub fn open_keeping_jobs(path: &Path, durability: Durability) -> Result<Ledger, Error> {
    let mut database = Database::open(path, durability.into())?;
    begin_boot(&mut database)?;
    Ok(over(database, durability, true))
}

/// Opens a ledger to record tasks in it, as [`open`] does, or as [`open_keeping_jobs`]: where workers of an earlier
/// version live, its file stays as it is.
pub fn open_to_put(path: &Path, durability: Durability, keeps_jobs: bool) -> Result<Ledger, Error> {
    let mut database = Database::open_to_put(path, durability.into())?;
    if keeps_jobs {
        begin_boot(&mut database)?;
    }
    Ok(over(database, durability, keeps_jobs))
}

/// Opens a ledger to read it, or to change what may come back with a power cut; `None` if there is none yet.
pub fn open_existing(path: &Path) -> Result<Option<Ledger>, Error> {
    let database = Database::open_existing(path)?;
    Ok(database.map(|database| over(database, Durability::ProcessDeath, false)))
}

/// Leaves the file as one file, where nobody uses it any more.
pub fn fold(path: &Path) {
    Database::leave_one_file(path);
}

/// Writes a copy of a store; `None` if there is no store.
pub fn back_up(
    store: &Path,
    to: &Path,
    replace: bool,
    progress: &mut Progress<'_>,
) -> Result<Option<Copied>, Error> {
    Ok(copies::back_up(store, to, replace, progress)?)
}

/// Puts a copy in the place of a store that nobody uses.
pub fn restore(store: &Path, from: &Path, progress: &mut Progress<'_>) -> Result<Copied, Error> {
    Ok(copies::restore(store, from, progress)?)
}

fn over(database: Database, durability: Durability, keeps_jobs: bool) -> Ledger {
    let lives = Arc::new(database.locks().clone());
    let folder = Arc::clone(database.folder());
    let (path, id) = (database.path(), database.id());
    let spools = Arc::new(spool::files::Files::within(Arc::clone(&folder), path, id));
    let journals = Arc::new(batch_journal::files::Files::within(folder, path, id));
    let backend = Sqlite {
        told: Told::of(keeps_jobs.then_some(id)),
        database,
        keeps_jobs,
    };
    Ledger::over(Box::new(backend), lives, journals, spools, durability)
}

/// An open file.
#[derive(Debug)]
struct Sqlite {
    database: Database,
    keeps_jobs: bool,
    told: Told,
}

/// The rows, as one transaction sees them, and who is told of what happens in it.
struct Connected<'a>(&'a Connection, &'a Told, events::Pending);

impl Connected<'_> {
    fn of<'a>(connection: &'a Connection, told: &'a Told) -> Connected<'a> {
        Connected(connection, told, events::Pending::default())
    }
}

impl Backend for Sqlite {
    fn id(&self) -> Uuid {
        self.database.id()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            keeps_jobs: self.keeps_jobs,
            is_local: true,
        }
    }

    fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    fn change(
        &mut self,
        durability: Durability,
        patience: Patience,
        change: &mut Change<'_>,
    ) -> Result<(), Error> {
        match self.try_to_change(durability, patience, change) {
            // What the journal holds already needs no room in it once it is copied.
            Err(error) if error.is_full() && self.database.make_room_in_journal() => {
                self.try_to_change(durability, patience, change)
            }
            changed => changed,
        }
    }

    fn change_in_need(
        &mut self,
        durability: Durability,
        change: &mut Change<'_>,
    ) -> Result<(), Error> {
        let Sqlite { database, told, .. } = self;
        let mut why = None;
        let changed = database.change_in_need(durability.into(), |connection, _| {
            written(connection, told, change).map_err(|failed| stopped(&mut why, failed))
        });
        self.in_words(changed, why)
    }

    fn look(&self, patience: Patience, look: &mut Look<'_>) -> Result<(), Error> {
        let mut why = None;
        let mut run = || {
            self.database.look(|connection, _| {
                look(&Connected::of(connection, &self.told))
                    .map_err(|failed| stopped(&mut why, failed))
            })
        };
        let looked = match patience {
            Patience::Long => run(),
            Patience::Brief => briefly(run),
        };
        self.in_words(looked, why)
    }

    fn stamp(&self) -> Result<Option<Stamp>, Error> {
        let (others, ours) = self.database.stamp()?;
        Ok(Some(Stamp(others, ours)))
    }

    fn ring(&self) {
        if self.keeps_jobs {
            Bell::of(&self.database).ring();
        }
    }

    fn leave_upkeep(&mut self) {
        self.database.leave_journal();
    }

    fn is_to_be_kept_up(&mut self) -> bool {
        self.database.has_long_journal()
    }

    fn keep_up(&mut self) {
        self.database.copy_journal();
    }

    fn room(&self) -> Result<Room, Error> {
        let sqlite::Room {
            all,
            free,
            is_flexible,
        } = self.database.room()?;
        Ok(Room {
            all,
            free,
            is_rigid: !is_flexible,
        })
    }

    fn give_back(&mut self, spare: u64) -> Result<bool, Error> {
        Ok(self.database.give_back(spare)?)
    }

    fn settle(&mut self) {
        self.database.fold();
    }

    fn keep_reserve(&mut self) {
        self.database.keep_reserve();
    }

    fn journal(&self) -> Journal {
        let sqlite::Standing { bytes, is_another } = self.database.look_at_journal();
        Journal { bytes, is_another }
    }

    fn fold(&mut self) -> Result<Folded, Error> {
        let sqlite::Folded { left, readers } = self.database.fold_long_journal()?;
        Ok(Folded { left, readers })
    }

    fn compact(&mut self) -> Result<(), Error> {
        Ok(self.database.compact()?)
    }
}

/// Changes rows, and writes the events that come of it.
fn written(connection: &Connection, told: &Told, change: &mut Change<'_>) -> Result<(), Failed> {
    let rows = Connected::of(connection, told);
    change(&rows)?;
    rows.2.write(connection)
}

/// Has a transaction rolled back by one who knows why.
fn stopped(why: &mut Option<Failed>, failed: Failed) -> sqlite::Failed {
    *why = Some(failed);
    sqlite::Failed::Stopped
}

impl Sqlite {
    fn try_to_change(
        &mut self,
        durability: Durability,
        patience: Patience,
        change: &mut Change<'_>,
    ) -> Result<(), Error> {
        let Sqlite { database, told, .. } = self;
        let mut why = None;
        let mut run = || {
            database.change_surviving(durability.into(), |connection, _| {
                written(connection, told, change).map_err(|failed| stopped(&mut why, failed))
            })
        };
        let changed = match patience {
            Patience::Long => run(),
            Patience::Brief => briefly(run),
        };
        self.in_words(changed, why)
    }

    /// What came of a transaction, in the ledger's words.
    fn in_words(&self, done: Result<(), sqlite::Error>, why: Option<Failed>) -> Result<(), Error> {
        match (done, why) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(failed)) => Err(error::told(self.database.path(), failed)),
            (Err(error), None) => Err(error.into()),
        }
    }
}

impl From<Durability> for sqlite::Durability {
    fn from(durability: Durability) -> sqlite::Durability {
        match durability {
            Durability::PowerCut => sqlite::Durability::PowerCut,
            Durability::ProcessDeath => sqlite::Durability::ProcessDeath,
        }
    }
}
