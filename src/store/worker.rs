//! The workers' own rows and locks.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{Db, Error, Failed, Millis};
use crate::clock::boot_id;
use crate::lives::{Alive, Holder, Lives};
use crate::task::id::{TaskId, WorkerId};

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

/// Who claims and settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// The worker.
    pub id: WorkerId,
    /// The name, with which its attempts are recorded.
    pub name: Arc<str>,
}

/// A worker that is known to the store, and lives.
#[derive(Debug)]
pub struct Registered {
    /// Who that is.
    pub me: Me,
    /// Held until the process ends; not inherited by commands.
    pub alive: Alive,
}

impl Db {
    /// Makes a worker known. Its lock is held before anybody can see its row.
    pub fn register(&mut self, worker: &NewWorker, now: Millis) -> Result<Registered, Error> {
        let boot = boot_id();
        self.change(|change, locks| {
            let id: WorkerId = change.query_row(
                "INSERT INTO workers (name, tube, host, pid, started, boot) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 RETURNING id",
                params![worker.name, worker.tube, worker.host, worker.pid, now, boot],
                |row| row.get(0),
            )?;
            let alive = locks.hold(Holder::Worker(id)).map_err(Failed::Lives)?;
            let name = worker.name.as_str().into();
            Ok(Registered {
                me: Me { id, name },
                alive,
            })
        })
    }

    /// Writes a worker's row as it is and looks at its lock, to see whether the store takes anything.
    pub fn prove(&mut self, worker: WorkerId) -> Result<(), Error> {
        self.change(|change, locks| {
            locks
                .is_held(Holder::Worker(worker))
                .map_err(Failed::Locks)?;
            change
                .prepare_cached("UPDATE workers SET stopped = NULL WHERE id = ?1")?
                .execute([worker])?;
            Ok(())
        })
    }

    /// Records that a worker ends, and of which tasks it knows that their producers' own jobs are deleted.
    pub fn sign_off(
        &mut self,
        worker: WorkerId,
        deleted: &[TaskId],
        now: Millis,
    ) -> Result<(), Error> {
        self.change(|change, _| {
            note_deleted(change, deleted)?;
            change.execute(
                "UPDATE workers SET stopped = ?2 WHERE id = ?1",
                params![worker, now],
            )?;
            Ok(())
        })
    }

    /// Records of which tasks it is known that their producers' own jobs are deleted.
    pub fn note_deleted(&mut self, deleted: &[TaskId]) -> Result<(), Error> {
        self.change(|change, _| note_deleted(change, deleted))
    }
}

/// A worker as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What people call it.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// How many attempts of its name have ended well, and how many otherwise.
    pub ended: (u64, u64),
    /// The task that it runs.
    pub task: Option<TaskId>,
}

impl Db {
    /// Every worker that has a row, the oldest first. Looks at every attempt for each.
    pub fn workers(&self) -> Result<Vec<Known>, Error> {
        self.look(|look, _| {
            let mut select = look.prepare_cached(
                "SELECT name, pid,
                    (SELECT count(*) FROM attempts WHERE worker = name AND exit_code IS 0),
                    (SELECT count(*) FROM attempts WHERE worker = name AND exit_code IS NOT 0),
                    (SELECT max(id) FROM tasks WHERE status = 'running' AND status <> 'done' AND worker = workers.id
                        AND ahead = 0)
                 FROM workers ORDER BY id",
            )?;
            let known = |row: &rusqlite::Row<'_>| {
                let count = |n: i64| n.unsigned_abs();
                Ok(Known {
                    name: row.get(0)?,
                    pid: row.get(1)?,
                    ended: (count(row.get(2)?), count(row.get(3)?)),
                    task: row.get(4)?,
                })
            };
            Ok(select.query_map([], known)?.collect::<Result<_, _>>()?)
        })
    }
}

/// A foreign task's row may go only when its job has gone: the row is what tells a redelivery apart.
pub(super) fn note_deleted(connection: &Connection, deleted: &[TaskId]) -> Result<(), Failed> {
    if deleted.is_empty() {
        return Ok(());
    }
    let mut note = connection.prepare_cached("UPDATE tasks SET job_gone = 1 WHERE id = ?1")?;
    for task in deleted {
        note.execute([task])?;
    }
    Ok(())
}
