//! The jobs of tasks, as the tasks' rows know them, and as rows of their own where they are kept here.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::attempts::WAITS_SINCE;
use super::error::nonsense;
use super::tasks::column;
use super::text::{some_text, text};
use crate::broker::JobId;
use crate::clock::Moment;
use crate::ledger::error::Failed;
use crate::ledger::rows::{BegunPut, KeptJob, OldJob};
use crate::sqlite::jobs;
use crate::task::Millis;
use crate::task::id::{PutId, TaskId};

pub(super) fn begin(
    change: &Connection,
    task: TaskId,
    generation: Option<i64>,
    until: Millis,
    now: Millis,
) -> Result<Option<BegunPut>, Failed> {
    // It waits no longer than it was to, even if the clock was set back since.
    let begin = format!(
        "UPDATE tasks SET put_generation = put_generation + 1, put_until = ?3
         WHERE id = ?1 AND status = 'waiting' AND put_generation = coalesce(?2, put_generation)
         RETURNING uuid, tube, priority, ttr, put_generation, due - max(?4, {WAITS_SINCE}), job, job_instance, job_gone"
    );
    let row = change
        .prepare_cached(&begin)?
        .query_row(params![task, generation, until, now], |row| {
            Ok((
                row.get::<_, [u8; 16]>(0)?,
                some_text(row, 1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get::<_, Option<i64>>(6)?,
                text(row, 7)?,
                row.get::<_, bool>(8)?,
            ))
        })
        .optional()?;
    let Some((uuid, tube, priority, ttr, generation, due_in, job, instance, deleted)) = row else {
        return Ok(None);
    };
    let old_job = job
        .filter(|_| !deleted)
        .and_then(|id| JobId::try_from(id).ok());
    Ok(Some(BegunPut {
        put: PutId { task, generation },
        uuid: Uuid::from_bytes(uuid),
        tube: tube
            .parse()
            .map_err(|e| Failed::row(task, nonsense(&format!("task {task}: {e}"))))?,
        priority,
        ttr,
        due_in,
        old_job: old_job.map(|id| OldJob { id, instance }),
    }))
}

pub(super) fn note(
    change: &Connection,
    PutId { task, generation }: PutId,
    job: JobId,
    instance: &str,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET put_noted = ?2, put_until = NULL, job = iif(foreign_job, job, ?3),
                job_instance = iif(foreign_job, job_instance, ?4),
                pointer_job = iif(foreign_job, ?3, NULL), pointer_instance = iif(foreign_job, ?4, NULL),
                job_kicks = iif(foreign_job, job_kicks, 0), job_gone = iif(foreign_job, job_gone, 0)
             WHERE id = ?1 AND put_generation = ?2",
        )?
        .execute(params![task, generation, column(job), instance])?;
    Ok(())
}

pub(super) fn give_up(change: &Connection, put: PutId) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE tasks SET put_until = NULL WHERE id = ?1 AND put_generation = ?2")?
        .execute(params![put.task, put.generation])?;
    Ok(())
}

pub(super) fn note_found(change: &Connection, put: PutId, instance: &str) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET job_instance = iif(pointer_job IS NULL, ?3, job_instance),
                pointer_instance = iif(pointer_job IS NULL, NULL, ?3)
             WHERE id = ?1 AND put_generation = ?2",
        )?
        .execute(params![put.task, put.generation, instance])?;
    Ok(())
}

pub(super) fn note_deleted(change: &Connection, task: TaskId) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE tasks SET job_gone = 1 WHERE id = ?1")?
        .execute([task])?;
    Ok(())
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
