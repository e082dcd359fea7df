//! What waits or runs, and may have come to grief.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::columns::{column, some_text, text};
use crate::ledger::error::Failed;
use crate::ledger::rows::{Backlog, Fingerprint, Running, Tally, UnverifiedJob, Wants};
use crate::task::Millis;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::state::Status;
use crate::tube::TubeName;

const TUBES: &str =
    "SELECT DISTINCT tube FROM tasks WHERE status IN ('waiting', 'running') AND status <> 'done'";

// A plus keeps SQLite from the index by tube, which has all that ever was in it.
const RUNNING: &str = "SELECT id, uuid, attempt, owner, priority, worker, ahead FROM tasks
    WHERE status = 'running' AND later IS NULL AND status <> 'done' AND (?1 IS NULL OR tube = ?1) ORDER BY id";

const SAME: &str =
    "SELECT 1 FROM tasks WHERE id = ?1 AND attempt = ?2 AND owner = ?3 AND status = 'running'";

pub(super) const MISSING: &str =
    "SELECT puts.task, generation FROM puts CROSS JOIN tasks ON id = puts.task
    WHERE puts.tube = ?1 AND puts.task > ?2 AND broker = 1 AND status = 'waiting'
        AND (until IS NULL OR until <= ?3 OR until > ?4)
    ORDER BY puts.task LIMIT ?5";

pub(super) const NEAR: &str = "SELECT due, id, coalesce(generation, 0) FROM tasks
    LEFT JOIN task_jobs ON task_jobs.task = id AND task_jobs.broker = 1
    WHERE later IS NOT NULL AND tasks.tube = ?1 AND (due, id) > (?2, ?3) AND due <= ?4
    ORDER BY due, id LIMIT ?5";

/// The newest put of a task is noted, or the task was never put.
const ANNOUNCED: &str = "NOT EXISTS (SELECT 1 FROM puts
    WHERE puts.tube = tasks.tube AND puts.task = tasks.id AND puts.broker = 1)";

pub(super) fn unverified_where(which: &str) -> String {
    format!(
        "SELECT id, uuid, coalesce(task_jobs.generation, 0), coalesce(task_jobs.job, foreign_jobs.job),
            coalesce(task_jobs.instance, foreign_jobs.instance),
            foreign_jobs.task IS NOT NULL AND task_jobs.job IS NULL, hash, birth
         FROM tasks
         LEFT JOIN foreign_jobs ON foreign_jobs.task = id
         LEFT JOIN task_jobs ON task_jobs.task = id AND task_jobs.broker = 1
         WHERE status = 'waiting' AND later IS NULL AND status <> 'done' AND {which} AND {ANNOUNCED}"
    )
}

fn unverified_sql() -> String {
    let which =
        "+tube = ?1 AND id > ?3 AND coalesce(task_jobs.instance, foreign_jobs.instance) IS NOT ?2";
    format!("{} ORDER BY id LIMIT ?4", unverified_where(which))
}

const WAITS: &str = "SELECT 1 FROM tasks
    WHERE status = 'waiting' AND tube = ?1 AND later IS NULL AND status <> 'done' AND status <> 'running'";

fn due_sql() -> String {
    format!(
        "SELECT 1 FROM tasks WHERE status = 'waiting' AND tube = ?1 AND later IS NULL AND due <= ?2
            AND status <> 'done' AND status <> 'running' AND {ANNOUNCED}"
    )
}

/// The next tube behind one that has tasks of a status, and when the first of these is due.
const NEXT_AT_REST: &str = "SELECT tube, due FROM tasks
    WHERE status = ?1 AND tube > CAST(?2 AS TEXT) AND status <> 'done' AND status <> 'running'
    ORDER BY tube, later, due LIMIT 1";
/// How many tasks of a status a tube has, so many at most.
const HOW_MANY: &str = "SELECT count(*) FROM (SELECT 1 FROM tasks
    WHERE status = ?1 AND tube = CAST(?2 AS TEXT) AND status <> 'done' AND status <> 'running' LIMIT ?3)";
const BACKLOG: &str =
    "SELECT tube, iif(arguments IS NULL, NULL, command), foreign_jobs.task IS NOT NULL, count(*)
    FROM tasks LEFT JOIN foreign_jobs ON foreign_jobs.task = id
    WHERE status = 'waiting' AND status <> 'done' GROUP BY 1, 2, 3";
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

pub(super) fn near(
    look: &Connection,
    tube: &TubeName,
    (due, task): (Millis, TaskId),
    until: Millis,
    limit: u32,
) -> Result<Vec<(Millis, PutId)>, Failed> {
    let near = |row: &Row<'_>| {
        let put = PutId {
            task: row.get(1)?,
            generation: row.get(2)?,
        };
        Ok((row.get(0)?, put))
    };
    Ok(look
        .prepare_cached(NEAR)?
        .query_map(params![tube.as_str(), due, task, until, limit], near)?
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
        .prepare_cached(&unverified_where("id = ?1"))?
        .query_row([task], unverified_job)
        .optional()?)
}

pub(super) fn waits(look: &Connection, tube: &TubeName) -> Result<bool, Failed> {
    Ok(look.prepare_cached(WAITS)?.exists([tube.as_str()])?)
}

pub(super) fn is_due(look: &Connection, tube: &TubeName, now: Millis) -> Result<bool, Failed> {
    Ok(look
        .prepare_cached(&due_sql())?
        .exists(params![tube.as_str(), now])?)
}

pub(super) fn backlog(look: &Connection) -> Result<Vec<Backlog>, Failed> {
    let mut statement = look.prepare_cached(BACKLOG)?;
    let mut rows = statement.query([])?;
    let mut backlog = Vec::new();
    while let Some(row) = rows.next()? {
        let wants = match (row.get(2)?, text(row, 1)?) {
            (true, _) => Wants::Unknown,
            (false, Some(command)) => Wants::Command(command),
            (false, None) => Wants::RawCommand,
        };
        backlog.push(Backlog {
            tube: some_text(row, 0)?,
            wants,
            count: row.get::<_, i64>(3)?.unsigned_abs(),
        });
    }
    Ok(backlog)
}

/// A tube after the other, and no row of it but those that are counted: of millions that wait, `most`.
pub(super) fn tallies(look: &Connection, most: u64) -> Result<Vec<Tally>, Failed> {
    let mut tallies = Vec::new();
    let mut next = look.prepare_cached(NEXT_AT_REST)?;
    let mut how_many = look.prepare_cached(HOW_MANY)?;
    for status in [Status::Waiting, Status::Failed, Status::Cancelled] {
        let word = status.as_str();
        // The very bytes: a name that is no text would come again and again behind what is shown for it.
        let mut tube = Vec::new();
        loop {
            let read = |row: &Row<'_>| {
                let name = row.get_ref(0)?.as_bytes()?.to_vec();
                Ok((name, some_text(row, 0)?, row.get(1)?))
            };
            let found = next.query_row(params![word, tube], read).optional()?;
            let Some((bytes, name, due)) = found else {
                break;
            };
            let counted = params![word, bytes, column(most)];
            let count: i64 = how_many.query_row(counted, |row| row.get(0))?;
            tallies.push(Tally {
                tube: name,
                status,
                owner: None,
                due,
                count: count.unsigned_abs(),
            });
            tube = bytes;
        }
    }
    let mut owned = look.prepare_cached(OWNED)?;
    let mut rows = owned.query([])?;
    while let Some(row) = rows.next()? {
        tallies.push(Tally {
            tube: some_text(row, 0)?,
            status: Status::Running,
            owner: row.get(1)?,
            due: None,
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

/// For the tests of query plans: those that go by what is at rest.
#[cfg(test)]
pub(super) fn at_rest() -> [String; 4] {
    [
        WAITS.into(),
        due_sql(),
        NEXT_AT_REST.into(),
        HOW_MANY.into(),
    ]
}

/// And the others.
#[cfg(test)]
pub(super) fn queries() -> [String; 5] {
    [
        RUNNING.into(),
        unverified_sql(),
        TUBES.into(),
        OWNED.into(),
        BACKLOG.into(),
    ]
}
