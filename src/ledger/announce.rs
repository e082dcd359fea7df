//! The jobs that announce tasks: put here where the ledger keeps them, and otherwise noted once they are put.

use uuid::Uuid;

use super::error::{Error, Failed};
pub use super::rows::OldJob;
use super::rows::{BegunPut, KeptJob, Rows, part};
use super::{Ledger, Millis};
use crate::broker::JobId;
use crate::task::id::{PutId, TaskId};
use crate::task::payload::{About, Pointer};
use crate::tube::TubeName;

/// Everything needed to put the job of a task again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Which put of which task it is; [`Ledger::note_puts`] wants it back.
    pub put: PutId,
    /// The task's identity.
    pub uuid: Uuid,
    /// What its job says to people.
    pub about: Option<About>,
    /// Where its job will wait.
    pub tube: TubeName,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds.
    pub ttr: u32,
    /// Milliseconds until the task is due; zero or less when it is.
    pub due_in: i64,
    /// The job that the task had.
    pub old_job: Option<OldJob>,
    /// Nobody need put a job: the ledger keeps the jobs, and the task has a new one already; or it is due much later,
    /// and is to have none before it is near.
    pub has_job: bool,
}

impl From<BegunPut> for Again {
    fn from(begun: BegunPut) -> Again {
        let BegunPut {
            put,
            uuid,
            command,
            tube,
            priority,
            ttr,
            due_in,
            old_job,
        } = begun;
        Again {
            put,
            uuid,
            about: command.as_deref().map(About::command),
            tube,
            priority,
            ttr: ttr.unwrap_or(DEFAULT_TTR),
            due_in,
            old_job,
            has_job: false,
        }
    }
}

/// For so long, in milliseconds, a put is left to whoever has begun it. After that whoever it was is taken to have
/// died, or to be stopped.
pub const PUT_TIME: Millis = 15_000;

/// What is due later than that, in milliseconds, has no job yet.
pub const LATER: Millis = 3_600_000;

/// What waits for something else than a time is due then, and has no job: what it waits for, and when it is truly due,
/// stands elsewhere. The year 9999.
pub const NEVER: Millis = 253_370_764_800_000;

/// The TTR of a job that we put for a foreign producer's task, in seconds, where its own was not known.
pub const DEFAULT_TTR: u32 = 60;

impl Ledger {
    /// Notes what became of puts: their jobs, or none where a put came to nothing, so that whoever is next need not
    /// wait for that put. A note need not wait for the disk: one that a power cut takes makes reconciliation put a job
    /// too many.
    pub fn note_puts(
        &mut self,
        instance: &str,
        puts: &[(PutId, Option<JobId>)],
    ) -> Result<(), Error> {
        self.change_lightly(|rows| {
            for (put, job) in puts {
                match job {
                    Some(job) => rows.note_put(*put, *job, instance)?,
                    None => rows.give_up_put(*put)?,
                }
            }
            Ok(())
        })
    }

    /// Reserves the right to put the jobs of tasks that wait again, or puts them where the ledger keeps the jobs, all
    /// in one transaction. Left out are tasks that wait no more, and those that somebody else has put since these
    /// puts.
    pub fn put_again(&mut self, puts: &[PutId], now: Millis) -> Result<Vec<Again>, Error> {
        let jobs = self.jobs();
        let all = self.change(|rows| next_puts(rows, puts, now, jobs))?;
        if jobs.is_some() && !all.is_empty() {
            self.backend.ring();
        }
        Ok(all)
    }

    /// How jobs are put, if that is done here.
    pub(super) fn jobs(&self) -> Option<Jobs> {
        self.keeps_jobs().then(|| Jobs { store: self.id() })
    }
}

/// [`next_put`] of several tasks, as far as their rows make sense. A row that makes none keeps no other task from
/// being put.
pub(super) fn next_puts(
    rows: &dyn Rows,
    puts: &[PutId],
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Vec<Again>, Failed> {
    let mut all = Vec::with_capacity(puts.len());
    for put in puts {
        let task = put.task;
        let next = || next_put(rows, task, Some(put.generation), now, jobs);
        match part(rows, next) {
            Ok(again) => all.extend(again),
            Err(failed) => {
                let wrong = failed.of_one_row()?;
                tracing::error!(%task, wrong, "could not put a task's job again");
            }
        }
    }
    Ok(all)
}

/// Begins another put of a task that waits. The job that it has now is the old one from here on.
pub(super) fn next_put(
    rows: &dyn Rows,
    task: TaskId,
    generation: Option<i64>,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Option<Again>, Failed> {
    put(rows, task, generation, now, jobs, |priority| priority)
}

/// The same of a task that has stood in its tube before: its job goes before those of its priority.
pub(super) fn put_ahead(
    rows: &dyn Rows,
    task: TaskId,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Option<Again>, Failed> {
    put(rows, task, None, now, jobs, |priority| {
        priority.saturating_sub(1)
    })
}

fn put(
    rows: &dyn Rows,
    task: TaskId,
    generation: Option<i64>,
    now: Millis,
    jobs: Option<Jobs>,
    priority_of: impl Fn(u32) -> u32,
) -> Result<Option<Again>, Failed> {
    let until = now.saturating_add(PUT_TIME);
    let Some(begun) = rows.begin_put(task, generation, until, now)? else {
        return Ok(None);
    };
    let mut again = Again {
        has_job: jobs.is_some(),
        ..Again::from(begun)
    };
    again.priority = priority_of(again.priority);
    let (put, uuid, priority, due_in) = (again.put, again.uuid, again.priority, again.due_in);
    if due_in > LATER && rows.set_later(task)? {
        return Ok(Some(Again {
            has_job: true,
            ..again
        }));
    }
    if let Some(jobs) = jobs {
        let announced = Announced {
            put,
            uuid,
            tube: &again.tube,
            priority,
            ttr: again.ttr,
            due_in,
        };
        jobs.put(rows, &announced)?;
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
    pub put: PutId,
    pub uuid: Uuid,
    pub tube: &'a TubeName,
    pub priority: u32,
    pub ttr: u32,
    /// Milliseconds.
    pub due_in: i64,
}

impl Jobs {
    /// Those of a store that keeps jobs.
    pub fn of(store: Uuid) -> Jobs {
        Jobs { store }
    }

    pub fn put(self, rows: &dyn Rows, task: &Announced<'_>) -> Result<(), Failed> {
        let pointer = Pointer {
            uuid: task.uuid,
            store: self.store,
        };
        let job = rows.put_job(&KeptJob {
            tube: task.tube,
            priority: task.priority,
            delay: task.due_in,
            ttr: task.ttr,
            // Nobody looks here with a console.
            body: &pointer.to_body(None),
        })?;
        // As a broker, a ledger is known by its id: its job numbers are never given out again.
        rows.note_put(task.put, job, &self.store.to_string())
    }
}
