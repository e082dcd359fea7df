//! The ledger: what every task is and what became of it, in SQLite.
//!
//! [`Db`] is a connection, used where it is. [`Store`] is a thread that owns one, for the loops that must
//! not wait for a disk: closures in, answers out. Short transactions a loop runs itself ([`Store::soon`]), as long as
//! nobody holds the lock: handing one over and hearing of it takes as long as the transaction.
//!
//! Every change is one transaction that takes the write lock first (`BEGIN IMMEDIATE`): a transaction
//! that reads and then wants to write could otherwise fail in the middle, with nothing to wait for.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use uuid::Uuid;

use crate::sqlite::boot::begin_boot;
use crate::sqlite::{Closed, Database, Failed, Thread, briefly};

pub mod announce;
pub mod batch_journal;
pub mod cleanup;
pub mod counts;
pub mod ledger;
#[cfg(test)]
mod plans;
pub mod put;
pub mod read;
pub mod reconcile;
pub mod worker;

pub use crate::clock::{Millis, now};
pub use crate::sqlite::{Durability, Error};

use crate::lives::Lives;
use crate::lives::locks::LockFile;
use batch_journal::Journals;
use batch_journal::files::Files;

/// An open store.
#[derive(Debug)]
pub struct Db {
    database: Database,
    /// Jobs are rows beside the tasks, put in the same transaction.
    keeps_jobs: bool,
}

impl Db {
    /// Opens the store, making it or bringing its schema up to date where needed.
    pub fn open(path: &Path, durability: Durability) -> Result<Db, Error> {
        Database::open(path, durability).map(Db::over)
    }

    /// Opens a store to read it, or to change what may come back with a power cut; `None` if there is none yet.
    pub fn open_existing(path: &Path) -> Result<Option<Db>, Error> {
        Ok(Database::open_existing(path)?.map(Db::over))
    }

    fn over(database: Database) -> Db {
        Db {
            database,
            keeps_jobs: false,
        }
    }

    /// For the embedded broker: whatever needs a job gets it in the transaction that records the need, and
    /// those who wait hear of it.
    pub fn keeping_jobs(mut self) -> Result<Db, Error> {
        begin_boot(&mut self.database)?;
        self.keeps_jobs = true;
        Ok(self)
    }

    /// Whether a task's job is put together with it, so that nobody has to put one.
    pub fn keeps_jobs(&self) -> bool {
        self.keeps_jobs
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.database.path()
    }

    /// The store's own id, which pointers name.
    pub fn id(&self) -> Uuid {
        self.database.id()
    }

    /// Who lives, of its workers and attempts.
    pub fn lives(&self) -> Arc<dyn Lives> {
        Arc::new(self.database.locks().clone())
    }

    /// Runs one transaction; it is rolled back if `change` fails.
    fn change<R>(
        &mut self,
        change: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        self.database.change(change)
    }

    /// The same for what is found out anew if a power cut takes it.
    fn change_lightly<R>(
        &mut self,
        change: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        self.database
            .change_surviving(Durability::ProcessDeath, change)
    }

    /// Runs queries that see one moment of the store.
    fn look<R>(
        &self,
        look: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        self.database.look(look)
    }
}

/// A store whose connection has a thread of its own.
#[derive(Debug, Clone)]
pub struct Store {
    thread: Thread<Db>,
    id: Uuid,
    journals: Arc<dyn Journals>,
    lives: Arc<dyn Lives>,
}

impl Store {
    /// Opens a store on a new thread, which ends with the last clone of this handle.
    pub fn open(path: &Path, durability: Durability) -> Result<Store, Error> {
        Store::over(Db::open(path, durability)?)
    }

    /// Gives an open store a thread of its own.
    pub fn over(mut db: Db) -> Result<Store, Error> {
        db.database.leave_journal();
        let (path, id, lives) = (db.path().to_owned(), db.id(), db.lives());
        let journals = Arc::new(Files::beside(&path, id));
        let thread = Thread::start("store", db).map_err(|e| Error::no_thread(&path, &e))?;
        Ok(Store {
            thread,
            id,
            journals,
            lives,
        })
    }

    /// The store's own id, which pointers name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Who lives, of its workers and attempts.
    pub fn lives(&self) -> &Arc<dyn Lives> {
        &self.lives
    }

    /// The batch journals of its workers.
    pub fn journals(&self) -> &dyn Journals {
        &*self.journals
    }

    /// Runs `f` on the store's thread. Dropping the future does not undo what has begun.
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let called = self.thread.call(f).await.map_err(|Closed| Error::Closed)?;
        self.look_after_journal();
        called
    }

    /// Runs a transaction that takes a fraction of a millisecond: here, unless it would have to wait for somebody else's
    /// lock. Then it is tried again on the store's thread.
    pub async fn soon<R: Send + 'static>(
        &self,
        mut f: impl FnMut(&mut Db) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        match self.at_once(&mut f) {
            None => self.call(f).await,
            Some(Err(error)) if error.is_locked() => self.call(f).await,
            Some(done) => done,
        }
    }

    /// Runs such a transaction here or not at all: `None` if the store's thread is at work, an error that
    /// [`Error::is_locked`] if somebody else holds a lock for longer than a moment.
    pub fn at_once<R>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<R, Error>,
    ) -> Option<Result<R, Error>> {
        let done = self.thread.here(|db| briefly(|| f(db)))?;
        self.look_after_journal();
        Some(done)
    }

    /// Has the journal copied back where it is long. On the thread, for that waits for the disk.
    fn look_after_journal(&self) {
        let is_long = |db: &mut Db| db.database.has_long_journal();
        if self.thread.here(is_long).unwrap_or(false) {
            // If there is so much to do, it is looked after another time.
            self.thread.post(|db| db.database.copy_journal());
        }
    }
}
