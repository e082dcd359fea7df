//! The workers' own rows and locks.

use rusqlite::{Connection, params};

use super::locks::{Holder, Lock};
use super::{Db, Error, Failed, Millis};

/// A worker as it introduces itself.
#[derive(Debug, Clone)]
pub struct NewWorker {
    /// What people call it.
    pub name: String,
    /// The tube it works for.
    pub tube: String,
    /// The machine's host name.
    pub host: String,
    /// Its process id, for people: whether it lives is asked of its lock.
    pub pid: u32,
}

/// A worker that is known to the store and lives as long as its lock.
#[derive(Debug)]
pub struct Registered {
    /// Its row's id.
    pub id: i64,
    /// Held until the process ends; not inherited by commands.
    pub lock: Lock,
}

impl Db {
    /// Makes a worker known. Its lock is held before anybody can see its row.
    pub fn register(&mut self, worker: &NewWorker, now: Millis) -> Result<Registered, Error> {
        self.change(|change, locks| {
            let id = change.query_row(
                "INSERT INTO workers (name, tube, host, pid, started) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
                params![worker.name, worker.tube, worker.host, worker.pid, now],
                |row| row.get(0),
            )?;
            let lock = locks.take(Holder::Worker(id)).map_err(Failed::Locks)?;
            Ok(Registered { id, lock })
        })
    }

    /// Records that a worker ends, and of which tasks it knows that their jobs are gone.
    pub fn sign_off(&mut self, worker: i64, gone: &[i64], now: Millis) -> Result<(), Error> {
        self.change(|change, _| {
            note_gone(change, gone)?;
            change.execute(
                "UPDATE workers SET stopped = ?2 WHERE id = ?1",
                params![worker, now],
            )?;
            Ok(())
        })
    }

    /// Records of which tasks it is known that their jobs are gone.
    pub fn note_gone(&mut self, gone: &[i64]) -> Result<(), Error> {
        self.change(|change, _| note_gone(change, gone))
    }
}

/// A foreign task's row may go only when its job has gone: the row is what tells a redelivery apart.
pub(super) fn note_gone(connection: &Connection, gone: &[i64]) -> Result<(), Failed> {
    let mut note = connection.prepare_cached("UPDATE tasks SET job_gone = 1 WHERE id = ?1")?;
    for task in gone {
        note.execute([task])?;
    }
    Ok(())
}
