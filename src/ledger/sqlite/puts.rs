//! The jobs of tasks: puts that have begun, the jobs that are known, and as rows of their own where jobs are kept here.
//!
//! Each row names its broker. The first one's number is 1, and there is no other yet.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::attempts::WAITS_SINCE;
use super::columns::{column, some_text, text};
use super::error::nonsense;
use crate::broker::JobId;
use crate::clock::Moment;
use crate::ledger::error::Failed;
use crate::ledger::rows::{BegunPut, ForeignJob, Held, KeptJob, OldJob, Unsure};
use crate::sqlite::jobs;
use crate::task::Millis;
use crate::task::id::{PutId, TaskId};
use crate::task::state::Status;
use crate::tube::TubeName;

/// Which put of the task ?1 has begun last.
const GENERATION: &str = "coalesce(
    (SELECT generation FROM puts
     WHERE tube = (SELECT tube FROM tasks WHERE id = ?1) AND puts.task = ?1 AND puts.broker = 1),
    (SELECT generation FROM task_jobs WHERE task_jobs.task = ?1 AND task_jobs.broker = 1),
    0)";

pub(super) const HELD: &str = "SELECT uuid, status, tasks.tube,
        task_jobs.job, task_jobs.instance, coalesce(task_jobs.gone, 0),
        foreign_jobs.job, foreign_jobs.instance, foreign_jobs.hash, coalesce(foreign_jobs.gone, 0)
     FROM tasks
     LEFT JOIN foreign_jobs ON foreign_jobs.task = id
     LEFT JOIN task_jobs ON task_jobs.task = id AND task_jobs.broker = 1
     WHERE id = ?1";

pub(super) fn held(look: &Connection, task: TaskId) -> Result<Option<Held>, Failed> {
    let read = |row: &Row<'_>| {
        let status = row.get_ref(1)?.as_str()?.to_owned();
        let job: Option<i64> = row.get(3)?;
        let foreign: Option<i64> = row.get(6)?;
        let (is_gone, foreign_gone): (bool, bool) = (row.get(5)?, row.get(9)?);
        let job = job.filter(|_| !is_gone).map(|job| {
            let instance = text(row, 4)?;
            Ok::<_, rusqlite::Error>(OldJob {
                id: job.unsigned_abs(),
                instance,
            })
        });
        let foreign_job = foreign.filter(|_| !foreign_gone).map(|job| {
            Ok::<_, rusqlite::Error>(Unsure {
                id: task,
                job: job.unsigned_abs(),
                hash: row.get(8)?,
                tube: some_text(row, 2)?,
                instance: some_text(row, 7)?,
            })
        });
        Ok((
            Uuid::from_bytes(row.get(0)?),
            status,
            job.transpose()?,
            foreign_job.transpose()?,
        ))
    };
    let found = look
        .prepare_cached(HELD)?
        .query_row([task], read)
        .optional()?;
    let Some((uuid, status, job, foreign_job)) = found else {
        return Ok(None);
    };
    let unknown = || {
        Failed::row(
            task,
            nonsense(&format!("task {task} has the status '{status}'")),
        )
    };
    Ok(Some(Held {
        uuid,
        status: Status::from_word(&status).ok_or_else(unknown)?,
        job,
        foreign_job,
    }))
}

/// Begins the put number 1 of a task that is new.
pub(super) fn first(
    change: &Connection,
    task: TaskId,
    tube: &TubeName,
    until: Millis,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "INSERT INTO puts (tube, task, broker, generation, until) VALUES (?1, ?2, 1, 1, ?3)",
        )?
        .execute(params![tube.as_str(), task, until])?;
    Ok(())
}

/// Writes by which job a task that is new has come.
pub(super) fn came_by(
    change: &Connection,
    task: TaskId,
    job: JobId,
    foreign: &ForeignJob,
    kicks: u64,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "INSERT INTO foreign_jobs (task, broker, job, instance, hash, birth, kicks)
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            task,
            column(job),
            foreign.instance,
            foreign.hash,
            foreign.birth,
            column(kicks),
        ])?;
    Ok(())
}

/// What of a task that waits another put needs to know. The task waits no longer than it was to, even if the clock was
/// set back since; one that is parked is due. Its old job is the producer's own, if it came by one.
pub(super) fn to_put_sql() -> String {
    format!(
        "SELECT uuid, tube, priority, ttr, {GENERATION},
            iif(reason IS NULL, due - max(?3, {WAITS_SINCE}), 0),
            iif(foreign_jobs.task IS NULL, task_jobs.job, foreign_jobs.job),
            iif(foreign_jobs.task IS NULL, task_jobs.instance, foreign_jobs.instance),
            coalesce(foreign_jobs.gone, task_jobs.gone, 0), later IS NOT NULL, command
         FROM tasks
         LEFT JOIN foreign_jobs ON foreign_jobs.task = id
         LEFT JOIN task_jobs ON task_jobs.task = id AND task_jobs.broker = 1
         WHERE id = ?1 AND status = 'waiting' AND (?2 IS NULL OR {GENERATION} = ?2)"
    )
}

pub(super) fn begin(
    change: &Connection,
    task: TaskId,
    generation: Option<i64>,
    until: Millis,
    now: Millis,
) -> Result<Option<BegunPut>, Failed> {
    let row = change
        .prepare_cached(&to_put_sql())?
        .query_row(params![task, generation, now], |row| {
            Ok((
                row.get::<_, [u8; 16]>(0)?,
                some_text(row, 1)?,
                row.get(2)?,
                row.get(3)?,
                row.get::<_, i64>(4)?,
                row.get(5)?,
                row.get::<_, Option<i64>>(6)?,
                text(row, 7)?,
                row.get::<_, bool>(8)?,
                row.get::<_, bool>(9)?,
                text(row, 10)?,
            ))
        })
        .optional()?;
    let Some((uuid, tube, priority, ttr, before, due_in, job, instance, deleted, later, command)) =
        row
    else {
        return Ok(None);
    };
    if later {
        change
            .prepare_cached("UPDATE tasks SET later = NULL WHERE id = ?1")?
            .execute([task])?;
    }
    let generation = before.saturating_add(1);
    change
        .prepare_cached(
            "INSERT INTO puts (tube, task, broker, generation, until) VALUES (?1, ?2, 1, ?3, ?4)
             ON CONFLICT (tube, task, broker) DO UPDATE SET generation = excluded.generation, until = excluded.until",
        )?
        .execute(params![tube, task, generation, until])?;
    let old_job = job
        .filter(|_| !deleted)
        .and_then(|id| JobId::try_from(id).ok());
    Ok(Some(BegunPut {
        put: PutId { task, generation },
        uuid: Uuid::from_bytes(uuid),
        command,
        tube: tube
            .parse()
            .map_err(|e| Failed::row(task, nonsense(&format!("task {task}: {e}"))))?,
        priority,
        ttr,
        due_in,
        old_job: old_job.map(|id| OldJob { id, instance }),
    }))
}

/// A file of an earlier version, which is only put into, cannot say it: there the task has its job at once.
pub(super) fn set_later(change: &Connection, task: TaskId) -> Result<bool, Failed> {
    let has_column = change
        .prepare_cached("SELECT 1 FROM pragma_table_info('tasks') WHERE name = 'later'")?
        .exists([])?;
    if !has_column {
        return Ok(false);
    }
    let waits = change
        .prepare_cached("UPDATE tasks SET later = 1 WHERE id = ?1 AND status = 'waiting'")?
        .execute([task])?;
    if waits == 0 {
        return Ok(false);
    }
    change
        .prepare_cached(
            "DELETE FROM puts WHERE tube = (SELECT tube FROM tasks WHERE id = ?1) AND task = ?1 AND broker = 1",
        )?
        .execute([task])?;
    Ok(true)
}

/// Has a task that waits have no job, and be due at a time that never comes. What was put before is remembered as put,
/// so that whoever notes it late, notes it of that put.
pub(super) fn set_jobless(
    change: &Connection,
    task: TaskId,
    never: Millis,
) -> Result<bool, Failed> {
    let waits = change
        .prepare_cached(
            "UPDATE tasks SET later = 1, due = ?2 WHERE id = ?1 AND status = 'waiting'",
        )?
        .execute(params![task, never])?;
    if waits == 0 {
        return Ok(false);
    }
    let begun: Option<i64> = change
        .prepare_cached(
            "DELETE FROM puts WHERE tube = (SELECT tube FROM tasks WHERE id = ?1) AND task = ?1 AND broker = 1
             RETURNING generation",
        )?
        .query_row([task], |row| row.get(0))
        .optional()?;
    if let Some(generation) = begun {
        change
            .prepare_cached(
                "INSERT INTO task_jobs (task, broker, generation) VALUES (?1, 1, ?2)
                 ON CONFLICT (task, broker) DO UPDATE SET generation = excluded.generation, job = NULL,
                    instance = NULL, gone = 0",
            )?
            .execute(params![task, generation])?;
    }
    Ok(true)
}

/// A put whose job is known is no longer one that has only begun.
pub(super) const NOTED: &str = "DELETE FROM puts
    WHERE tube = (SELECT tube FROM tasks WHERE id = ?1) AND task = ?1 AND broker = 1 AND generation = ?2";

pub(super) fn note(
    change: &Connection,
    PutId { task, generation }: PutId,
    job: JobId,
    instance: &str,
) -> Result<(), Failed> {
    let begun = change
        .prepare_cached(NOTED)?
        .execute(params![task, generation])?;
    if begun == 0 && !is_newest(change, task, generation)? {
        return Ok(());
    }
    change
        .prepare_cached(
            "INSERT INTO task_jobs (task, broker, generation, job, instance) VALUES (?1, 1, ?2, ?3, ?4)
             ON CONFLICT (task, broker) DO UPDATE SET generation = excluded.generation, job = excluded.job,
                instance = excluded.instance, kicks = 0, gone = 0",
        )?
        .execute(params![task, generation, column(job), instance])?;
    Ok(())
}

/// Whether no put of a task has begun since that one.
fn is_newest(change: &Connection, task: TaskId, generation: i64) -> Result<bool, Failed> {
    let sql = format!("SELECT 1 FROM tasks WHERE id = ?1 AND {GENERATION} = ?2");
    Ok(change
        .prepare_cached(&sql)?
        .exists(params![task, generation])?)
}

pub(super) fn give_up(change: &Connection, put: PutId) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE puts SET until = NULL
             WHERE tube = (SELECT tube FROM tasks WHERE id = ?1) AND task = ?1 AND broker = 1 AND generation = ?2",
        )?
        .execute(params![put.task, put.generation])?;
    Ok(())
}

pub(super) fn note_found(change: &Connection, put: PutId, instance: &str) -> Result<(), Failed> {
    if !is_newest(change, put.task, put.generation)? {
        return Ok(());
    }
    // What rings for a foreign task is its own job, until another is put for it.
    let ours = change
        .prepare_cached(
            "UPDATE task_jobs SET instance = ?2 WHERE task = ?1 AND broker = 1 AND job IS NOT NULL",
        )?
        .execute(params![put.task, instance])?;
    if ours == 0 {
        change
            .prepare_cached("UPDATE foreign_jobs SET instance = ?2 WHERE task = ?1")?
            .execute(params![put.task, instance])?;
    }
    Ok(())
}

pub(super) fn note_deleted(change: &Connection, task: TaskId) -> Result<(), Failed> {
    let foreign = change
        .prepare_cached("UPDATE foreign_jobs SET gone = 1 WHERE task = ?1")?
        .execute([task])?;
    if foreign == 0 {
        change
            .prepare_cached("UPDATE task_jobs SET gone = 1 WHERE task = ?1 AND broker = 1")?
            .execute([task])?;
    }
    Ok(())
}

pub(super) fn set_kicks(change: &Connection, task: TaskId, kicks: u64) -> Result<(), Failed> {
    let foreign = change
        .prepare_cached("UPDATE foreign_jobs SET kicks = ?2 WHERE task = ?1")?
        .execute(params![task, column(kicks)])?;
    if foreign == 0 {
        // Also of a job whose put is not noted.
        change
            .prepare_cached(
                "INSERT INTO task_jobs (task, broker, generation, kicks) VALUES (?1, 1, 0, ?2)
                 ON CONFLICT (task, broker) DO UPDATE SET kicks = excluded.kicks",
            )?
            .execute(params![task, column(kicks)])?;
    }
    Ok(())
}

pub(super) fn raise_kicks(
    change: &Connection,
    task: TaskId,
    status: Status,
    kicks: u64,
) -> Result<(), Failed> {
    let known: Option<i64> = change
        .prepare_cached(
            "SELECT coalesce((SELECT kicks FROM foreign_jobs WHERE task = ?1),
                             (SELECT kicks FROM task_jobs WHERE task = ?1 AND broker = 1), 0)
             FROM tasks WHERE id = ?1 AND status = ?2",
        )?
        .query_row(params![task, status.as_str()], |row| row.get(0))
        .optional()?;
    match known {
        Some(known) if known < column(kicks) => set_kicks(change, task, kicks),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn put_job(change: &Connection, job: &KeptJob<'_>) -> Result<JobId, Failed> {
    let row = jobs::Row {
        tube: job.tube.as_str(),
        priority: job.priority,
        delay: job.delay,
        ttr: job.ttr,
        body: job.body,
    };
    let job = jobs::insert(change, &row, Moment::now())?;
    Ok(job.unsigned_abs())
}
