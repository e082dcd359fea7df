//! The jobs that announce tasks: put here where the store keeps them, and otherwise noted once they are put.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::put::{NewTask, as_column};
use super::{Db, Error, Failed, Millis, some_text, text};
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
    /// Which put of this task it is; [`Db::note_puts`] wants it back.
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

/// Whoever has begun a put is left to it for so long, in milliseconds. Then it has died, or been stopped.
pub const PUT_TIME: Millis = 15_000;

/// The TTR of a job that we put for a foreign producer's task, in seconds, where its own was not known.
pub const DEFAULT_TTR: u32 = 60;

impl Db {
    /// Notes what became of puts: row, put generation, job; none where it came to nothing, so that whoever is next need
    /// not wait for it. A note that a power cut takes makes reconciliation put a job too many, so it need not wait for
    /// the disk.
    pub fn note_puts(
        &mut self,
        instance: &str,
        puts: &[(i64, i64, Option<JobId>)],
    ) -> Result<(), Error> {
        self.change_lightly(|change, _| {
            let mut give_up = change.prepare_cached(
                "UPDATE tasks SET put_until = NULL WHERE id = ?1 AND put_generation = ?2",
            )?;
            for (task, generation, job) in puts {
                match job {
                    Some(job) => note_job(change, *task, *generation, *job, instance)?,
                    None => drop(give_up.execute([task, generation])?),
                }
            }
            Ok(())
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
        Ok(self.put_all_again(&[(id, generation)], now)?.pop())
    }

    /// The same for many, in one transaction.
    pub fn put_all_again(
        &mut self,
        tasks: &[(i64, i64)],
        now: Millis,
    ) -> Result<Vec<Again>, Error> {
        let jobs = self.jobs();
        let all: Vec<Again> = self.change(|change, _| {
            let mut all = Vec::new();
            for (id, generation) in tasks {
                match next_put(change, *id, Some(*generation), now, jobs.as_ref()) {
                    Ok(again) => all.extend(again),
                    // It keeps none of the others from being put.
                    Err(Failed::Corrupt(what)) => {
                        tracing::error!(task = id, what, "could not put a task's job again");
                    }
                    Err(failed) => return Err(failed),
                }
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
    id: i64,
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
            params![id, generation, now.saturating_add(PUT_TIME), now],
            |row| {
                Ok((
                    row.get::<_, [u8; 16]>(0)?,
                    some_text(row, 1)?,
                    row.get(2)?,
                    row.get::<_, Option<u32>>(3)?,
                    row.get(4)?,
                    row.get::<_, i64>(5)?,
                    row.get::<_, Option<i64>>(6)?,
                    text(row, 7)?,
                    row.get::<_, bool>(8)?,
                ))
            },
        )
        .optional()?;
    let Some((uuid, tube, priority, ttr, generation, due_in, job, instance, gone)) = row else {
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
        due_in,
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
            &instance,
        )
    }
}

/// Notes the job of a put, unless there has been another put since. A foreign task's row goes on naming the
/// producer's job as well, which may come round again and is known by nothing else.
fn note_job(
    change: &Connection,
    task: i64,
    generation: i64,
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
