//! The ledger: what every task is and what became of it, in SQLite.
//!
//! [`Db`] is a connection, used where it is. [`Store`] is a thread that owns one, for the loops that must
//! not wait for a disk: closures in, answers out.
//!
//! Every change is one transaction that takes the write lock first (`BEGIN IMMEDIATE`): a transaction
//! that reads and then wants to write could otherwise fail in the middle, with nothing to wait for.

use std::path::{Path, PathBuf};
use std::thread;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub mod cleanup;
mod error;
pub mod ledger;
pub mod locks;
mod open;
#[cfg(test)]
mod plans;
pub mod put;
pub mod read;
pub mod worker;

pub use error::Error;
pub use open::Durability;

use locks::LockFile;

/// Milliseconds since 1970, by the machine's clock.
pub type Millis = i64;

/// The clock that rows are stamped with.
pub fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

/// An open store.
#[derive(Debug)]
pub struct Db {
    connection: Connection,
    path: PathBuf,
    id: Uuid,
    locks: LockFile,
}

impl Db {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's own id, which pointers name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The locks of its workers and attempts.
    pub fn locks(&self) -> &LockFile {
        &self.locks
    }

    /// Runs one transaction; it is rolled back if `change` fails.
    fn change<R>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let Db {
            connection,
            path,
            locks,
            ..
        } = self;
        let run = || -> Result<R, Failed> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&transaction, locks)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|failed| failed.at(path, locks))
    }

    /// Runs queries that see one moment of the store.
    fn look<R>(
        &self,
        look: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let run = || -> Result<R, Failed> {
            let transaction = self.connection.unchecked_transaction()?;
            let result = look(&transaction, &self.locks)?;
            transaction.finish()?;
            Ok(result)
        };
        run().map_err(|failed| failed.at(&self.path, &self.locks))
    }
}

/// What can fail inside a transaction, before it is known where that was.
#[derive(Debug)]
enum Failed {
    Sqlite(rusqlite::Error),
    Locks(std::io::Error),
    Corrupt(String),
}

impl Failed {
    fn at(self, path: &Path, locks: &LockFile) -> Error {
        match self {
            Failed::Sqlite(e) => Error::sqlite(path, e),
            Failed::Locks(source) => Error::Locks {
                path: locks.path().into(),
                source,
            },
            Failed::Corrupt(what) => Error::Corrupt { what },
        }
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        Failed::Sqlite(error)
    }
}

type Work = Box<dyn FnOnce(&mut Db) + Send>;

/// A store whose connection has a thread of its own.
#[derive(Debug, Clone)]
pub struct Store {
    work: mpsc::Sender<Work>,
    id: Uuid,
    locks: LockFile,
}

/// More than one piece of work waits only where a loop has several calls under way.
const QUEUE: usize = 16;

impl Store {
    /// Opens a store on a new thread, which ends with the last clone of this handle.
    pub fn open(path: &Path, durability: Durability) -> Result<Store, Error> {
        let mut db = Db::open(path, durability)?;
        let (id, locks) = (db.id(), db.locks().clone());
        let (work, mut todo) = mpsc::channel::<Work>(QUEUE);
        thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                while let Some(piece) = todo.blocking_recv() {
                    piece(&mut db);
                }
            })
            .map_err(|e| Error::Open {
                path: path.into(),
                reason: format!("no thread for it: {e}"),
            })?;
        Ok(Store { work, id, locks })
    }

    /// The store's own id, which pointers name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The locks of its workers and attempts.
    pub fn locks(&self) -> &LockFile {
        &self.locks
    }

    /// Runs `f` on the store's thread. Dropping the future does not undo what has begun.
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let (answer, answered) = oneshot::channel();
        let piece: Work = Box::new(move |db| {
            // Nobody may be left to hear it.
            let _ = answer.send(f(db));
        });
        self.work.send(piece).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}
