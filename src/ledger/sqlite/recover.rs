//! What waits or runs, and may have come to grief.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::text::{some_text, text};
use crate::ledger::error::Failed;
use crate::ledger::recover::{Fingerprint, UnverifiedJob};
use crate::ledger::rows::{Backlog, Running, Tally};
use crate::task::Millis;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::state::Status;
use crate::tube::TubeName;

const TUBES: &str =
    "SELECT DISTINCT tube FROM tasks WHERE status IN ('waiting', 'running') AND status <> 'done'";

// A plus keeps SQLite from the index by tube, which has all that ever was in it.
const RUNNING: &str = "SELECT id, uuid, attempt, owner, priority, worker, ahead FROM tasks
    WHERE status = 'running' AND status <> 'done' AND (?1 IS NULL OR tube = ?1) ORDER BY id";

const SAME: &str =
    "SELECT 1 FROM tasks WHERE id = ?1 AND attempt = ?2 AND owner = ?3 AND status = 'running'";

pub(super) const MISSING: &str = "SELECT id, put_generation FROM tasks
    WHERE tube = ?1 AND status = 'waiting' AND put_noted < put_generation AND id > ?2
        AND (put_until IS NULL OR put_until <= ?3 OR put_until > ?4)
    ORDER BY id LIMIT ?5";

const UNVERIFIED: &str = "SELECT id, uuid, put_generation, coalesce(pointer_job, job),
        coalesce(pointer_instance, job_instance), foreign_job AND pointer_job IS NULL, job_hash, job_birth
    FROM tasks WHERE status = 'waiting' AND status <> 'done' AND put_noted = put_generation";

fn unverified_sql() -> String {
    format!(
        "{UNVERIFIED} AND +tube = ?1 AND coalesce(pointer_instance, job_instance) IS NOT ?2 AND id > ?3
         ORDER BY id LIMIT ?4"
    )
}

const WAITS: &str =
    "SELECT 1 FROM tasks WHERE status = 'waiting' AND status <> 'done' AND +tube = ?1";

const DUE: &str = "SELECT 1 FROM tasks WHERE status = 'waiting' AND status <> 'done' AND +tube = ?1
    AND due <= ?2 AND put_noted = put_generation";

/// In the words of the index that leaves out what is done, or it is not used.
const AT_REST: &str = "SELECT tube, status = 'failed', count(*) FROM tasks
    WHERE status IN ('waiting', 'failed') AND status <> 'done' GROUP BY tube, status";
const BACKLOG: &str = "SELECT tube,
        CASE WHEN foreign_job = 0 AND arguments IS NOT NULL THEN command END, count(*)
    FROM tasks WHERE status = 'waiting' AND status <> 'done' GROUP BY 1, 2";
const OWNED: &str = "SELECT tube, owner, count(*) FROM tasks
    WHERE status = 'running' AND status <> 'done' GROUP BY tube, owner";

pub(super) fn tubes_in_use(look: &Connection) -> Result<Vec<String>, Failed> {
    Ok(look
        .prepare_cached(TUBES)?
        .query_map([], |row| some_text(row, 0))?
        .collect::<Result<_, _>>()?)
}

pub(super) fn running(look: &Connection, tube: Option<&TubeName>) -> Result<Vec<Running>, Failed> {
    let running = |row: &Row<'_>| {
        Ok(Running {
            id: AttemptId {
                task: row.get(0)?,
                number: row.get(2)?,
            },
            uuid: Uuid::from_bytes(row.get(1)?),
            owner: row.get(3)?,
            priority: row.get(4)?,
            worker: row.get(5)?,
            ahead: row.get(6)?,
        })
    };
    Ok(look
        .prepare_cached(RUNNING)?
        .query_map([tube.map(TubeName::as_str)], running)?
        .collect::<Result<_, _>>()?)
}

pub(super) fn is_running(
    look: &Connection,
    attempt: AttemptId,
    owner: Option<WorkerId>,
) -> Result<bool, Failed> {
    Ok(look
        .prepare_cached(SAME)?
        .exists(params![attempt.task, attempt.number, owner])?)
}

pub(super) fn missing(
    look: &Connection,
    tube: &TubeName,
    after: TaskId,
    now: Millis,
    latest: Millis,
    limit: u32,
) -> Result<Vec<PutId>, Failed> {
    Ok(look
        .prepare_cached(MISSING)?
        .query_map(params![tube.as_str(), after, now, latest, limit], |row| {
            Ok(PutId {
                task: row.get(0)?,
                generation: row.get(1)?,
            })
        })?
        .collect::<Result<_, _>>()?)
}

pub(super) fn unverified(
    look: &Connection,
    tube: &TubeName,
    instance: Option<&str>,
    after: TaskId,
    limit: u32,
) -> Result<Vec<UnverifiedJob>, Failed> {
    Ok(look
        .prepare_cached(&unverified_sql())?
        .query_map(
            params![tube.as_str(), instance, after, limit],
            unverified_job,
        )?
        .collect::<Result<_, _>>()?)
}

pub(super) fn unverified_of(
    look: &Connection,
    task: TaskId,
) -> Result<Option<UnverifiedJob>, Failed> {
    Ok(look
        .prepare_cached(&format!("{UNVERIFIED} AND id = ?1"))?
        .query_row([task], unverified_job)
        .optional()?)
}

pub(super) fn waits(look: &Connection, tube: &TubeName) -> Result<bool, Failed> {
    Ok(look.prepare_cached(WAITS)?.exists([tube.as_str()])?)
}

pub(super) fn is_due(look: &Connection, tube: &TubeName, now: Millis) -> Result<bool, Failed> {
    Ok(look
        .prepare_cached(DUE)?
        .exists(params![tube.as_str(), now])?)
}

pub(super) fn backlog(look: &Connection) -> Result<Vec<Backlog>, Failed> {
    let mut statement = look.prepare_cached(BACKLOG)?;
    let mut rows = statement.query([])?;
    let mut backlog = Vec::new();
    while let Some(row) = rows.next()? {
        backlog.push(Backlog {
            tube: some_text(row, 0)?,
            command: text(row, 1)?,
            count: row.get::<_, i64>(2)?.unsigned_abs(),
        });
    }
    Ok(backlog)
}

pub(super) fn tallies(look: &Connection) -> Result<Vec<Tally>, Failed> {
    let mut tallies = Vec::new();
    let mut at_rest = look.prepare_cached(AT_REST)?;
    let mut rows = at_rest.query([])?;
    while let Some(row) = rows.next()? {
        tallies.push(Tally {
            tube: some_text(row, 0)?,
            status: match row.get(1)? {
                true => Status::Failed,
                false => Status::Waiting,
            },
            owner: None,
            count: row.get::<_, i64>(2)?.unsigned_abs(),
        });
    }
    let mut owned = look.prepare_cached(OWNED)?;
    let mut rows = owned.query([])?;
    while let Some(row) = rows.next()? {
        tallies.push(Tally {
            tube: some_text(row, 0)?,
            status: Status::Running,
            owner: row.get(1)?,
            count: row.get::<_, i64>(2)?.unsigned_abs(),
        });
    }
    Ok(tallies)
}

fn unverified_job(row: &Row<'_>) -> rusqlite::Result<UnverifiedJob> {
    let fingerprint = if row.get(5)? {
        Fingerprint::Foreign {
            hash: row.get(6)?,
            birth: row.get(7)?,
        }
    } else {
        Fingerprint::Pointer
    };
    Ok(UnverifiedJob {
        put: PutId {
            task: row.get(0)?,
            generation: row.get(2)?,
        },
        uuid: Uuid::from_bytes(row.get(1)?),
        job: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
        instance: text(row, 4)?,
        fingerprint,
    })
}

/// For the tests of query plans.
#[cfg(test)]
pub(super) fn queries() -> [String; 7] {
    [
        WAITS.into(),
        RUNNING.into(),
        unverified_sql(),
        DUE.into(),
        TUBES.into(),
        AT_REST.into(),
        OWNED.into(),
    ]
}
