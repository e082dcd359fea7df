//! The rows of workers.

use rusqlite::{Connection, OptionalExtension, params};

use crate::ledger::error::Failed;
use crate::ledger::rows::{Gone, Known, NewWorker};
use crate::task::Millis;
use crate::task::id::WorkerId;
use crate::tube::TubeName;

pub(super) fn insert(
    change: &Connection,
    worker: &NewWorker,
    boot: &str,
    now: Millis,
) -> Result<WorkerId, Failed> {
    Ok(change.query_row(
        "INSERT INTO workers (name, tube, host, pid, started, boot) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         RETURNING id",
        params![worker.name, worker.tube, worker.host, worker.pid, now, boot],
        |row| row.get(0),
    )?)
}

pub(super) fn set_stopped(
    change: &Connection,
    worker: WorkerId,
    stopped: Option<Millis>,
) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE workers SET stopped = ?2 WHERE id = ?1")?
        .execute(params![worker, stopped])?;
    Ok(())
}

pub(super) fn unended(look: &Connection) -> Result<Vec<WorkerId>, Failed> {
    Ok(look
        .prepare_cached("SELECT id FROM workers WHERE stopped IS NULL ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn end(
    change: &Connection,
    worker: WorkerId,
    now: Millis,
) -> Result<Option<Gone>, Failed> {
    let gone = |row: &rusqlite::Row<'_>| {
        Ok(Gone {
            worker: NewWorker {
                name: row.get(0)?,
                tube: row.get(1)?,
                host: row.get(2)?,
                pid: row.get(3)?,
            },
            was_hung: row.get(4)?,
        })
    };
    Ok(change
        .prepare_cached(
            "UPDATE workers SET stopped = ?2 WHERE id = ?1 AND stopped IS NULL
             RETURNING name, tube, host, pid, hung IS NOT NULL",
        )?
        .query_row(params![worker, now], gone)
        .optional()?)
}

pub(super) fn set_told(change: &Connection, worker: WorkerId, told: Millis) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE workers SET told = ?2 WHERE id = ?1 AND told IS NULL")?
        .execute(params![worker, told])?;
    Ok(())
}

/// No worker of before is meant, whose number another process has by now.
pub(super) fn set_hung(
    change: &Connection,
    name: &str,
    pid: u32,
    at: Millis,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE workers SET hung = ?3
             WHERE id = (SELECT max(id) FROM workers WHERE name = ?1 AND pid = ?2) AND hung IS NULL",
        )?
        .execute(params![name, pid, at])?;
    Ok(())
}

/// Looks at so many rows, whatever tubes they are of: there is no index by tubes, and the newest of many are enough.
pub(super) fn of(
    look: &Connection,
    tube: &TubeName,
    most: usize,
) -> Result<Vec<(WorkerId, Option<Millis>)>, Failed> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    Ok(look
        .prepare_cached(
            "SELECT id, stopped FROM (SELECT id, tube, stopped FROM workers ORDER BY id DESC LIMIT ?2)
             WHERE tube = ?1",
        )?
        .query_map(params![tube.as_str(), most], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn all(look: &Connection) -> Result<Vec<Known>, Failed> {
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
}

const ANSWERS_FOR_NOTHING: &str =
    "NOT EXISTS (SELECT 1 FROM tasks WHERE status = 'running' AND status <> 'done'
                 AND (owner = workers.id OR worker = workers.id))";

/// The newest stays: as long as the machine runs, its row says that somebody may live.
pub(super) fn idle_sql() -> String {
    format!(
        "SELECT id FROM workers WHERE id > ?1 AND id < (SELECT max(id) FROM workers)
            AND {ANSWERS_FOR_NOTHING}
         ORDER BY id LIMIT ?2"
    )
}

pub(super) fn idle(
    look: &Connection,
    after: WorkerId,
    limit: usize,
) -> Result<Vec<WorkerId>, Failed> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(look
        .prepare_cached(&idle_sql())?
        .query_map(params![after, limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn forget(change: &Connection, worker: WorkerId) -> Result<bool, Failed> {
    let sql = format!("DELETE FROM workers WHERE id = ?1 AND {ANSWERS_FOR_NOTHING}");
    Ok(change.prepare_cached(&sql)?.execute([worker])? == 1)
}
