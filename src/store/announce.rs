//! The jobs that announce tasks: put here where the store keeps them, and otherwise noted once they are put.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::put::{NewTask, as_column};
use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;
use crate::clock::Moment;
use crate::sqlite::bell::Bell;
use crate::sqlite::jobs;
use crate::task::id::{PutId, TaskId};
use crate::task::payload::Pointer;
use crate::tube::TubeName;

/// Everything needed to put the job of a task again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Which put of which task it is; [`Db::note_puts`] wants it back.
    pub put: PutId,
    /// The task's identity.
    pub uuid: Uuid,
    /// Where its job will wait.
    pub tube: TubeName,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds.
    pub ttr: u32,
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

/// Whoever has begun a put is left to it for so long, in milliseconds. Then it has died, or been stopped.
pub const PUT_TIME: Millis = 15_000;

/// The TTR of a job that we put for a foreign producer's task, in seconds, where its own was not known.
pub const DEFAULT_TTR: u32 = 60;

impl Db {
    /// Notes what became of puts: their jobs; none where it came to nothing, so that whoever is next need not
    /// wait for it. A note that a power cut takes makes reconciliation put a job too many, so it need not wait for the disk.
    pub fn note_puts(
        &mut self,
        instance: &str,
        puts: &[(PutId, Option<JobId>)],
    ) -> Result<(), Error> {
        self.change_lightly(|change, _| {
            let mut give_up = change.prepare_cached(
                "UPDATE tasks SET put_until = NULL WHERE id = ?1 AND put_generation = ?2",
            )?;
            for (put, job) in puts {
                match job {
                    Some(job) => note_job(change, *put, *job, instance)?,
                    None => drop(give_up.execute(params![put.task, put.generation])?),
                }
            }
            Ok(())
        })
    }

    /// Reserves the right to put the jobs of tasks that wait again, or puts them where the store keeps the jobs, all in one
    /// transaction. Left out are tasks that wait no more, and those that somebody else has put since these puts.
    pub fn put_again(&mut self, puts: &[PutId], now: Millis) -> Result<Vec<Again>, Error> {
        let jobs = self.jobs();
        let all: Vec<Again> = self.change(|change, _| {
            let mut all = Vec::new();
            for put in puts {
                let (task, generation) = (put.task, Some(put.generation));
                all.extend(next_put(change, task, generation, now, jobs.as_ref())?);
            }
            Ok(all)
        })?;
        if !all.is_empty() {
            self.ring();
        }
        Ok(all)
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

/// When a task that waits began to, by the clock of then.
pub(super) const WAITS_SINCE: &str = "max(created, coalesce(
    (SELECT finished FROM attempts WHERE task = tasks.id AND number = tasks.attempt), created))";

pub(super) fn next_put(
    connection: &Connection,
    task: TaskId,
    generation: Option<i64>,
    now: Millis,
    jobs: Option<&Jobs>,
) -> Result<Option<Again>, Failed> {
    // The job that it has now is the old one from here on: `job` names only one that was put. And it waits no longer
    // than it was to, even if the clock was set back since.
    let begin = format!(
        "UPDATE tasks SET put_generation = put_generation + 1, put_until = ?3
         WHERE id = ?1 AND status = 'waiting' AND put_generation = coalesce(?2, put_generation)
         RETURNING uuid, tube, priority, ttr, put_generation, due - max(?4, {WAITS_SINCE}), job, job_instance, job_gone"
    );
    let row = connection
        .prepare_cached(&begin)?
        .query_row(
            params![task, generation, now.saturating_add(PUT_TIME), now],
            |row| {
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
            },
        )
        .optional()?;
    let Some((uuid, tube, priority, ttr, generation, due_in, job, instance, gone)) = row else {
        return Ok(None);
    };
    let again = Again {
        put: PutId { task, generation },
        uuid: Uuid::from_bytes(uuid),
        tube: tube
            .parse()
            .map_err(|e| Failed::Corrupt(format!("task {task}: {e}")))?,
        priority,
        ttr: ttr.unwrap_or(DEFAULT_TTR),
        due_in,
        old_job: job
            .filter(|_| !gone)
            .and_then(|id| JobId::try_from(id).ok())
            .map(|id| OldJob { id, instance }),
        has_job: jobs.is_some(),
    };
    if let Some(jobs) = jobs {
        let announced = Announced {
            put: again.put,
            uuid: again.uuid,
            tube: &again.tube,
            priority: again.priority,
            ttr: again.ttr,
            due_in: again.due_in,
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
    put: PutId,
    uuid: Uuid,
    tube: &'a TubeName,
    priority: u32,
    ttr: u32,
    /// Milliseconds.
    due_in: i64,
}

impl<'a> Announced<'a> {
    /// A task's first put is its put number 1.
    pub fn new(id: TaskId, task: &'a NewTask, now: Millis) -> Announced<'a> {
        Announced {
            put: PutId {
                task: id,
                generation: 1,
            },
            uuid: task.uuid,
            tube: &task.tube,
            priority: task.priority,
            ttr: task.ttr,
            due_in: task.due.saturating_sub(now),
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
        note_job(change, task.put, job.unsigned_abs(), &instance)
    }
}

/// Notes the job of a put, unless there has been another put since. A foreign task's row goes on naming the
/// producer's job as well, which may come round again and is known by nothing else.
fn note_job(
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
        .execute(params![task, generation, as_column(job), instance])?;
    Ok(())
}
