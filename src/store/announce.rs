//! The jobs that announce tasks: put here where the store keeps them, and otherwise noted once they are put.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::put::{NewTask, as_column};
use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;
use crate::sqlite::bell::Bell;
use crate::sqlite::clock::Moment;
use crate::sqlite::jobs;
use crate::task::payload::Pointer;
use crate::tube::TubeName;

/// Everything needed to put the job of a task again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Its row.
    pub id: i64,
    /// Its identity.
    pub uuid: Uuid,
    /// Where its job will wait.
    pub tube: TubeName,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds.
    pub ttr: u32,
    /// Which put of this task it is; [`Db::note_jobs`] wants it back.
    pub generation: i64,
    /// Milliseconds until it is due; zero or less when it is.
    pub due_in: i64,
    /// The job it had.
    pub old_job: Option<OldJob>,
    /// The store keeps the jobs: it has a new one already, and nobody need put any.
    pub has_job: bool,
}

/// A job that a task had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldJob {
    /// Its number.
    pub id: JobId,
    /// The broker instance that numbered it, if it was known.
    pub instance: Option<String>,
}

/// The TTR of a job that we put for a foreign producer's task, in seconds, where its own was not known.
pub const DEFAULT_TTR: u32 = 60;

impl Db {
    /// Notes which jobs announce tasks: row, put generation, job.
    pub fn note_jobs(
        &mut self,
        instance: Option<&str>,
        jobs: &[(i64, i64, JobId)],
    ) -> Result<(), Error> {
        self.change(|change, _| {
            for (task, generation, job) in jobs {
                note_job(change, *task, *generation, *job, instance)?;
            }
            Ok(())
        })
    }

    /// Tasks of a tube that wait and of whose job nothing is known: the broker could not be reached, or
    /// whoever put it died in between. Each with its put generation.
    pub fn unannounced(&self, tube: &TubeName, limit: u32) -> Result<Vec<(i64, i64)>, Error> {
        self.look(|look, _| {
            Ok(look
                .prepare_cached(UNANNOUNCED)?
                .query_map(params![tube.as_str(), limit], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect::<Result<_, _>>()?)
        })
    }

    /// Reserves the right to put a waiting task's job again, or puts it where the store keeps the jobs; `None` if
    /// the task waits no more, or if somebody else has put it since `generation`.
    pub fn put_again(
        &mut self,
        id: i64,
        generation: i64,
        now: Millis,
    ) -> Result<Option<Again>, Error> {
        let jobs = self.jobs();
        let again =
            self.change(|change, _| next_put(change, id, Some(generation), now, jobs.as_ref()))?;
        if again.is_some() {
            self.ring();
        }
        Ok(again)
    }

    /// How jobs are put, if that is done here.
    pub(super) fn jobs(&self) -> Option<Jobs> {
        self.keeps_jobs.then(|| Jobs { store: self.id() })
    }

    /// Tells those who wait, if their jobs are here.
    pub(super) fn ring(&self) {
        if self.keeps_jobs {
            Bell::beside(self.path()).ring();
        }
    }
}

const UNANNOUNCED: &str = "SELECT id, put_generation FROM tasks
    WHERE tube = ?1 AND status = 'waiting' AND put_noted < put_generation ORDER BY id LIMIT ?2";

pub(super) fn next_put(
    connection: &Connection,
    id: i64,
    generation: Option<i64>,
    now: Millis,
    jobs: Option<&Jobs>,
) -> Result<Option<Again>, Failed> {
    let row = connection
        .prepare_cached(
            // The job that it has now is the old one from here on: `job` names only one that was put.
            "UPDATE tasks SET put_generation = put_generation + 1
             WHERE id = ?1 AND status = 'waiting' AND put_generation = coalesce(?2, put_generation)
             RETURNING uuid, tube, priority, ttr, put_generation, due, job, job_instance, job_gone",
        )?
        .query_row(params![id, generation], |row| {
            Ok((
                row.get::<_, [u8; 16]>(0)?,
                row.get::<_, String>(1)?,
                row.get(2)?,
                row.get::<_, Option<u32>>(3)?,
                row.get(4)?,
                row.get::<_, i64>(5)?,
                row.get::<_, Option<i64>>(6)?,
                row.get(7)?,
                row.get::<_, bool>(8)?,
            ))
        })
        .optional()?;
    let Some((uuid, tube, priority, ttr, generation, due, job, instance, gone)) = row else {
        return Ok(None);
    };
    let again = Again {
        id,
        uuid: Uuid::from_bytes(uuid),
        tube: tube
            .parse()
            .map_err(|e| Failed::Corrupt(format!("task {id}: {e}")))?,
        priority,
        ttr: ttr.unwrap_or(DEFAULT_TTR),
        generation,
        due_in: due.saturating_sub(now),
        old_job: job
            .filter(|_| !gone)
            .and_then(|id| JobId::try_from(id).ok())
            .map(|id| OldJob { id, instance }),
        has_job: jobs.is_some(),
    };
    if let Some(jobs) = jobs {
        let announced = Announced {
            id,
            uuid: again.uuid,
            tube: &again.tube,
            priority: again.priority,
            ttr: again.ttr,
            due_in: again.due_in,
            generation: again.generation,
        };
        jobs.put(connection, &announced)?;
    }
    Ok(Some(again))
}

/// Puts jobs in the transaction that says that they are needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jobs {
    store: Uuid,
}

/// A task whose job is put.
pub(super) struct Announced<'a> {
    id: i64,
    uuid: Uuid,
    tube: &'a TubeName,
    priority: u32,
    ttr: u32,
    /// Milliseconds.
    due_in: i64,
    generation: i64,
}

impl<'a> Announced<'a> {
    /// A task's first put is its put number 1.
    pub fn new(id: i64, task: &'a NewTask, now: Millis) -> Announced<'a> {
        Announced {
            id,
            uuid: task.uuid,
            tube: &task.tube,
            priority: task.priority,
            ttr: task.ttr,
            due_in: task.due.saturating_sub(now),
            generation: 1,
        }
    }
}

impl Jobs {
    pub fn put(&self, change: &Connection, task: &Announced<'_>) -> Result<(), Failed> {
        let pointer = Pointer {
            uuid: task.uuid,
            store: self.store,
        };
        let row = jobs::Row {
            tube: task.tube.as_str(),
            priority: task.priority,
            delay: task.due_in,
            ttr: task.ttr,
            body: &pointer.to_body(),
        };
        let job = jobs::insert(change, &row, Moment::now())?;
        let instance = jobs::instance(self.store);
        note_job(
            change,
            task.id,
            task.generation,
            job.unsigned_abs(),
            Some(&instance),
        )
    }
}

/// Notes the job of a put, unless there has been another put since. Of a foreign task only that there is one: its
/// row goes on naming the producer's job, which may come round again and is known by nothing else.
fn note_job(
    change: &Connection,
    task: i64,
    generation: i64,
    job: JobId,
    instance: Option<&str>,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET put_noted = ?2, job = iif(foreign_job, job, ?3),
                job_instance = iif(foreign_job, job_instance, ?4),
                job_kicks = iif(foreign_job, job_kicks, 0), job_gone = iif(foreign_job, job_gone, 0)
             WHERE id = ?1 AND put_generation = ?2",
        )?
        .execute(params![task, generation, as_column(job), instance])?;
    Ok(())
}
