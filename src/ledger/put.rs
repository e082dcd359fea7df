//! New tasks, and failed or cancelled ones that are to run again.

use uuid::Uuid;

use super::announce::{Again, Announced, Jobs, LATER, PUT_TIME, next_put};
use super::bulk::{Change, On};
use super::error::{Error, Failed};
use super::rows::{NewRow, Origin, Rows, TaskRow};
use super::unique::{self, Given, Holder, NotReplaced};
use super::{Ledger, Millis, transition};
use crate::task::command::Content;
use crate::task::id::{PutId, TaskId};
use crate::task::made_key;
use crate::task::own::Own;
use crate::task::state::Status;
use crate::task::tag::Tag;
use crate::task::unique::{Hold, IfExists, Unique};
use crate::tube::TubeName;

/// A task to be recorded.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its identity.
    pub uuid: Uuid,
    /// Where its job will wait.
    pub tube: TubeName,
    /// What to run.
    pub content: Content,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds, at least 1.
    pub ttr: u32,
    /// The task may run from then on.
    pub due: Millis,
    /// What its producer calls it: not what makes it another task.
    pub tags: Vec<Tag>,
    /// That it is not to be put while another has its key.
    pub unique: Option<Unique>,
    /// What it says of its own attempts.
    pub own: Option<Box<Own>>,
}

/// What became of a task to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// The task is recorded, and needs a job unless the ledger keeps the jobs.
    New {
        /// Its row.
        id: TaskId,
    },
    /// The task is recorded, and has no job before it is near: whoever reconciles puts it.
    Later {
        /// Its row.
        id: TaskId,
    },
    /// The very same task was recorded before.
    Known {
        /// Its row.
        id: TaskId,
    },
    /// Another task has its uuid.
    UuidTaken,
    /// Another task has its key, and is as it was. No task is recorded.
    Exists {
        /// That task.
        id: TaskId,
        /// That task's identity.
        uuid: Uuid,
        /// Why that task is as it was, if it was to be replaced.
        because: Option<NotReplaced>,
    },
    /// Another task has its key, waits, and is given what this one was to be. No task is recorded.
    Replaced {
        /// That task.
        id: TaskId,
        /// That task's identity.
        uuid: Uuid,
        /// What is to ring for that task.
        again: Option<Box<Again>>,
    },
    /// Another task has its key, and the put is refused for that.
    KeyTaken(Holder),
}

/// Why a task was not regenerated. The words are those of the system that this one succeeds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRegenerated {
    /// There is no such row.
    #[error("No such task :{id}")]
    NoSuchTask {
        /// The id asked for.
        id: TaskId,
    },
    /// Only what failed or was cancelled can be regenerated. The words know of no other than the former.
    #[error(
        "Invalid status for task. Current status: '{status}' must be 'failed' to be able to restart it"
    )]
    NotFailed {
        /// The task's status.
        status: Status,
    },
    /// Another task has got the key that this one had.
    #[error("task {id} cannot wait again: {by}")]
    KeyTaken {
        /// The task.
        id: TaskId,
        /// Who has its key.
        by: Holder,
    },
}

impl Ledger {
    /// Records tasks in one transaction. They are acknowledged once this has returned; unless the ledger
    /// keeps the jobs, these are put afterwards, and [`Ledger::note_puts`] told.
    pub fn add(&mut self, tasks: &[NewTask], now: Millis) -> Result<Vec<Added>, Error> {
        let jobs = self.jobs();
        let added: Vec<Added> = self.change(|rows| {
            let add = |task| {
                let mut added = add(rows, task, now, jobs)?;
                if let Added::New { id } = added
                    && task.due.saturating_sub(now) > LATER
                    && rows.set_later(id)?
                {
                    added = Added::Later { id };
                }
                if let (Added::New { id }, Some(jobs)) = (&added, jobs) {
                    jobs.put(rows, &first_put(*id, task, now))?;
                }
                Ok(added)
            };
            tasks.iter().map(add).collect()
        })?;
        let is_new = |added: &Added| matches!(added, Added::New { .. } | Added::Replaced { .. });
        if jobs.is_some() && added.iter().any(is_new) {
            self.backend.ring();
        }
        Ok(added)
    }

    /// Lets a task wait again that has failed or was cancelled: [`Regenerate`].
    pub fn regenerate(
        &mut self,
        id: TaskId,
        tube: Option<&TubeName>,
        now: Millis,
    ) -> Result<Result<Again, NotRegenerated>, Error> {
        let tube = tube.cloned();
        self.change_one(&Regenerate { tube }, id, now)
    }
}

/// Lets a task wait again that has failed or was cancelled, with a fresh budget. Its attempts stay.
#[derive(Debug, Clone)]
pub struct Regenerate {
    /// In another tube than before.
    pub tube: Option<TubeName>,
}

impl Change for Regenerate {
    type Done = Again;
    type Refused = NotRegenerated;

    fn change(&self, on: &On<'_>, id: TaskId) -> Result<Result<Again, NotRegenerated>, Failed> {
        match on.rows.status(id)? {
            None => return Ok(Err(NotRegenerated::NoSuchTask { id })),
            Some(Status::Failed | Status::Cancelled) => {}
            Some(status @ (Status::Waiting | Status::Running | Status::Done)) => {
                return Ok(Err(NotRegenerated::NotFailed { status }));
            }
        }
        if let Some(by) = unique::taken_from(on.rows, id, on.now)? {
            return Ok(Err(NotRegenerated::KeyTaken { id, by }));
        }
        transition::renew(on.rows, id, on.now, self.tube.as_ref())?;
        next_put(on.rows, id, None, on.now, on.jobs)?
            .map(Ok)
            .ok_or_else(|| Failed::row(id, format!("task {id} cannot be put")))
    }

    fn puts_jobs(&self) -> bool {
        true
    }
}

/// A task's first put is its put number 1.
pub(super) fn first_put(task: TaskId, new: &NewTask, now: Millis) -> Announced<'_> {
    Announced {
        put: PutId {
            task,
            generation: 1,
        },
        uuid: new.uuid,
        tube: &new.tube,
        priority: new.priority,
        ttr: new.ttr,
        due_in: new.due.saturating_sub(now),
    }
}

/// Records a task of ours, whose job is put by whoever records it; `None` where its uuid is another's.
pub(super) fn record(
    rows: &dyn Rows,
    task: &NewTask,
    hold: Option<&Hold>,
    now: Millis,
) -> Result<Option<TaskId>, Failed> {
    let row = NewRow {
        uuid: task.uuid,
        tube: &task.tube,
        content: &task.content,
        priority: task.priority,
        ttr: task.ttr,
        due: task.due,
        created: now,
        tags: &task.tags,
        hold,
        own: task.own.as_deref(),
        origin: Origin::Ours {
            put_until: now.saturating_add(PUT_TIME),
        },
    };
    transition::record(rows, &row)
}

fn add(rows: &dyn Rows, task: &NewTask, now: Millis, jobs: Option<Jobs>) -> Result<Added, Failed> {
    let hold = task.unique.as_ref().map(|unique| {
        (
            unique.if_exists,
            made_key::hold(unique, &task.content, task.own.as_deref(), &task.tube, now),
        )
    });
    if let Some((if_exists, hold)) = &hold
        && let Some(row) = unique::taken(rows, &hold.key, now)?
    {
        // The task that is put again is the task that has the key.
        return match row.uuid == task.uuid {
            true => known(rows, task),
            false => exists(rows, &row, task, *if_exists, now, jobs),
        };
    }
    match record(rows, task, hold.as_ref().map(|(_, hold)| hold), now)? {
        Some(id) => Ok(Added::New { id }),
        None => known(rows, task),
    }
}

/// What is answered to a put whose uuid a task has.
fn known(rows: &dyn Rows, task: &NewTask) -> Result<Added, Failed> {
    Ok(rows
        .same_task(&task.uuid, &task.content)?
        .map_or(Added::UuidTaken, |id| Added::Known { id }))
}

/// What becomes of a put whose key another task has.
fn exists(
    rows: &dyn Rows,
    row: &TaskRow,
    task: &NewTask,
    if_exists: IfExists,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Added, Failed> {
    let TaskRow { id, uuid, .. } = *row;
    let given = Given {
        tube: &task.tube,
        content: &task.content,
        tags: &task.tags,
        own: task.own.as_deref(),
        priority: Some(task.priority),
        due: Some(task.due),
    };
    let kept = |because| Added::Exists { id, uuid, because };
    Ok(match if_exists {
        IfExists::Keep => kept(None),
        IfExists::Refuse => Added::KeyTaken(Holder::of(row)),
        IfExists::Replace => match unique::replace(rows, row, &given, now, jobs)? {
            Ok(again) => Added::Replaced {
                id,
                uuid,
                again: again.map(Box::new),
            },
            Err(refusal) => kept(Some(refusal)),
        },
    })
}
