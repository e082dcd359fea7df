//! What may be done to a job, and to a tube.

use rusqlite::{Connection, OptionalExtension, params};

use super::survey::pause;
use super::{Queue, column};
use crate::broker::{Error, JobId};
use crate::clock::{Moment, since_boot};
use crate::lives::Holder;
use crate::lives::locks::LockFile;
use crate::sqlite::Failed;
use crate::tube::TubeName;

/// Where a job that is held goes.
const NOT_HELD: &str = "session = NULL, due_at = NULL";

/// Held by this session, and still its own.
const OURS: &str = "id = ?1 AND state = 'reserved' AND session = ?2 AND due_at > ?3";

impl Queue {
    /// The session's number; 0, which no session has, before it has begun.
    fn number(&self) -> i64 {
        self.session.as_ref().map_or(0, |session| session.number)
    }

    /// Starts a TTR anew.
    pub(in super::super) fn touch(&mut self, id: JobId) -> Result<(), Error> {
        let (id, session) = (column(id), self.number());
        let due_at: Option<i64> = self.database.change(|change, _| {
            Ok(change
                .prepare_cached(&format!(
                    "UPDATE jobs SET due_at = ?3 + 1000 * ttr WHERE {OURS} RETURNING due_at"
                ))?
                .query_row([id, session, since_boot()], |row| row.get(0))
                .optional()?)
        })?;
        let due_at = due_at.ok_or(Error::NotFound)?;
        self.held.insert(id, due_at);
        Ok(())
    }

    /// Deletes a job that nobody else holds.
    pub(in super::super) fn delete(&mut self, id: JobId) -> Result<(), Error> {
        let (id, session) = (column(id), self.number());
        let deleted = self
            .database
            .change(|change, locks| delete(change, locks, id, session))?;
        self.held.remove(&id);
        deleted.then_some(()).ok_or(Error::NotFound)
    }

    /// Deletes those of the jobs that nobody else holds. Which were, in their order.
    pub(in super::super) fn delete_all(&mut self, ids: &[JobId]) -> Result<Vec<bool>, Error> {
        let session = self.number();
        let deleted = self.database.change(|change, locks| {
            let mut deleted = Vec::with_capacity(ids.len());
            for id in ids {
                deleted.push(delete(change, locks, column(*id), session)?);
            }
            Ok(deleted)
        })?;
        for id in ids {
            self.held.remove(&column(*id));
        }
        Ok(deleted)
    }

    /// Gives a job back, to be ready after so many seconds.
    pub(in super::super) fn release(
        &mut self,
        id: JobId,
        priority: u32,
        delay: u32,
    ) -> Result<(), Error> {
        let (id, session) = (column(id), self.number());
        let delay = (delay > 0).then_some(i64::from(delay) * 1000);
        let released = self.database.change(|change, _| {
            let now = Moment::now();
            let ready = delay.map(|delay| now.after(delay));
            Ok(change
                .prepare_cached(&format!(
                    "UPDATE jobs SET state = iif(?5 IS NULL, 'ready', 'delayed'), priority = ?4,
                        delay = ?5, ready_at = ?6, ready_wall = ?7, {NOT_HELD}, releases = releases + 1
                     WHERE {OURS}"
                ))?
                .execute(params![
                    id,
                    session,
                    now.boot,
                    priority,
                    delay,
                    ready.map(|at| at.boot),
                    ready.map(|at| at.wall),
                ])?)
        })?;
        self.held.remove(&id);
        self.done(released)
    }

    /// Sets a job aside.
    pub(in super::super) fn bury(&mut self, id: JobId, priority: u32) -> Result<(), Error> {
        let (id, session) = (column(id), self.number());
        let buried = self.database.change(|change, _| {
            Ok(change
                .prepare_cached(&format!(
                    "UPDATE jobs SET state = 'buried', priority = ?4, {NOT_HELD}, buries = buries + 1,
                        burial = (SELECT coalesce(max(burial), 0) + 1 FROM jobs AS other
                                  WHERE other.tube = jobs.tube AND other.state = 'buried')
                     WHERE {OURS}"
                ))?
                .execute(params![id, session, since_boot(), priority])?)
        })?;
        self.held.remove(&id);
        match buried {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    /// Makes a buried or delayed job ready.
    pub(in super::super) fn kick_job(&mut self, id: JobId) -> Result<(), Error> {
        let kicked = self.database.change(|change, _| {
            // One whose delay has passed is ready, whatever its row says.
            Ok(change
                .prepare_cached(&format!(
                    "UPDATE jobs SET {KICKED} WHERE id = ?1
                        AND (state = 'buried' OR (state = 'delayed' AND ready_at > ?2))"
                ))?
                .execute([column(id), since_boot()])?)
        })?;
        self.done(kicked)
    }

    /// Makes buried jobs of a tube ready, or delayed ones if none is buried. Returns how many.
    pub(in super::super) fn kick(&mut self, tube: &TubeName, bound: u32) -> Result<u64, Error> {
        let kicked = self.database.change(|change, _| {
            let tube = tube.as_str();
            let any_buried = change
                .prepare_cached("SELECT 1 FROM jobs WHERE tube = ?1 AND state = 'buried'")?
                .exists([tube])?;
            let which = if any_buried {
                "SELECT id FROM jobs WHERE tube = ?1 AND state = 'buried' AND ?3 IS NOT NULL
                 ORDER BY burial LIMIT ?2"
            } else {
                "SELECT id FROM jobs WHERE tube = ?1 AND state = 'delayed' AND ready_at > ?3
                 ORDER BY ready_at LIMIT ?2"
            };
            Ok(change
                .prepare_cached(&format!("UPDATE jobs SET {KICKED} WHERE id IN ({which})"))?
                .execute(params![tube, bound, since_boot()])?)
        })?;
        if kicked > 0 {
            self.bell.ring();
        }
        Ok(kicked as u64)
    }

    /// Lets nobody reserve from a tube for so many seconds; none: ends a pause.
    pub(in super::super) fn pause(&mut self, tube: &TubeName, seconds: u32) -> Result<(), Error> {
        let paused = self.database.change(|change, locks| {
            let (tube, now) = (tube.as_str(), Moment::now());
            if !exists(change, locks, tube, now.boot)? {
                return Ok(0);
            }
            if seconds == 0 {
                change.execute("DELETE FROM pauses WHERE tube = ?1", [tube])?;
                return Ok(1);
            }
            let length = i64::from(seconds) * 1000;
            let until = now.after(length);
            Ok(change.execute(
                "INSERT OR REPLACE INTO pauses (tube, length, until_at, until_wall)
                 VALUES (?1, ?2, ?3, ?4)",
                params![tube, length, until.boot, until.wall],
            )?)
        })?;
        // A shorter pause than before, or none: those who wait count on the longer one.
        self.done(paused)
    }

    /// Something was done after which somebody who waits may have something to do, or nothing was.
    fn done(&self, rows: usize) -> Result<(), Error> {
        if rows == 0 {
            return Err(Error::NotFound);
        }
        self.bell.ring();
        Ok(())
    }
}

/// What a kick makes of a row.
const KICKED: &str =
    "state = 'ready', delay = NULL, ready_at = NULL, ready_wall = NULL, burial = NULL,
    kicks = kicks + 1";

/// Deletes a job unless another session holds it. Whether it was there.
pub(super) fn delete(
    change: &Connection,
    locks: &LockFile,
    id: i64,
    session: i64,
) -> Result<bool, Failed> {
    if !is_free(change, locks, id, session)? {
        return Ok(false);
    }
    let mut delete = change.prepare_cached("DELETE FROM jobs WHERE id = ?1")?;
    Ok(delete.execute([id])? > 0)
}

/// Whether no other session holds a job. One that does not exist is free.
fn is_free(look: &Connection, locks: &LockFile, id: i64, session: i64) -> Result<bool, Failed> {
    let holder: Option<i64> = look
        .prepare_cached(
            "SELECT session FROM jobs
             WHERE id = ?1 AND state = 'reserved' AND session <> ?2 AND due_at > ?3",
        )?
        .query_row([id, session, since_boot()], |row| row.get(0))
        .optional()?;
    match holder {
        Some(holder) => locks
            .is_held(Holder::Session(holder))
            .map(|held| !held)
            .map_err(Failed::Locks),
        None => Ok(true),
    }
}

/// Whether a tube holds anything, is paused, or is waited for.
pub(super) fn exists(
    look: &Connection,
    locks: &LockFile,
    tube: &str,
    now: i64,
) -> Result<bool, Failed> {
    for state in ["ready", "delayed", "reserved", "buried"] {
        // Each state has an index of its own.
        let sql = format!("SELECT 1 FROM jobs WHERE tube = ?1 AND state = '{state}'");
        if look.prepare_cached(&sql)?.exists([tube])? {
            return Ok(true);
        }
    }
    Ok(pause(look, tube, now)?.is_some() || waiting(look, locks, tube)? > 0)
}

/// How many sessions wait for a tube's jobs at this moment.
pub(super) fn waiting(look: &Connection, locks: &LockFile, tube: &str) -> Result<u64, Failed> {
    let mut sessions = look.prepare_cached("SELECT session FROM watches WHERE tube = ?1")?;
    let mut rows = sessions.query([tube])?;
    let mut waiting = 0;
    while let Some(row) = rows.next()? {
        let held = locks.is_held(Holder::Waiter(row.get(0)?));
        waiting += u64::from(held.map_err(Failed::Locks)?);
    }
    Ok(waiting)
}
