//! New tasks, and failed or cancelled ones that are to run again.

use std::sync::Arc;

use uuid::Uuid;

use super::announce::{Again, Announced, Jobs, LATER, PUT_TIME, next_put};
use super::bulk::{Change, On};
use super::error::{Error, Failed};
use super::in_line::{Lines, Newcomer};
use super::rows::{NewRow, Origin, Rows, TaskRow};
use super::unique::{self, Given, Holder, Taken};
use super::{Ledger, Millis, after, transition};
use crate::task::after::{After, Terms, ordered};
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
    /// That it is to wait for others.
    pub after: Option<WaitsFor>,
}

/// Which tasks a task is to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitsFor {
    /// Those that are recorded.
    pub ids: Vec<TaskId>,
    /// Those that are recorded with it, by their places.
    pub beside: Vec<usize>,
    /// On what terms.
    pub terms: Terms,
}

/// What became of a task to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// The task is recorded, and needs a job unless the ledger keeps the jobs.
    New {
        /// Its row.
        id: TaskId,
    },
    /// The task is recorded, and has no job yet: it is due much later, waits for others, or is held by a limit.
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
    /// Another task has its key. No task is recorded.
    Taken(Taken),
    /// It cannot wait for what it is to wait for. No task is recorded.
    NotAfter(NotAfter),
}

impl Added {
    /// The task that is there now.
    fn id(&self) -> Option<TaskId> {
        match self {
            Added::New { id }
            | Added::Later { id }
            | Added::Known { id }
            | Added::Taken(Taken::Kept { id, .. } | Taken::Replaced { id, .. }) => Some(*id),
            Added::UuidTaken | Added::Taken(Taken::Refused(_)) | Added::NotAfter(_) => None,
        }
    }
}

/// Why a task cannot wait for others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAfter {
    /// One of them is not there.
    #[error("there is no task {parent} that it could wait for; it may have been cleaned up")]
    NoParent {
        /// Which.
        parent: TaskId,
    },
    /// One of them was to be recorded with it, and is not.
    #[error("what it is to wait for was not recorded")]
    ParentRefused,
    /// It is one of several that wait for each other, of which one is to wait for what is not there.
    #[error(
        "it is put with others that wait for each other, of which one cannot wait for task {parent}, for there is none"
    )]
    OtherRefused {
        /// What that is.
        parent: TaskId,
    },
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
        let (lives, holding) = (Arc::clone(&self.lives), self.holding.clone());
        let added: Vec<Added> = self.change(|rows| {
            let lines = Lines::of(rows, &*lives, holding.as_ref(), now)?;
            let add = |task: &NewTask, after: Option<&After>| {
                let mut added = add(rows, task, now, jobs)?;
                if let (Added::New { id }, Some(after)) = (&added, after)
                    && !after::begin_to_wait(rows, *id, task.due, after, now)?
                {
                    added = Added::Later { id: *id };
                }
                if let Added::New { id } = added
                    && task.due.saturating_sub(now) > LATER
                    && rows.set_later(id)?
                {
                    added = Added::Later { id };
                }
                if let (Added::New { id }, Some(lines)) = (&added, &lines)
                    && lines.take_in(&newcomer(*id, task))?
                {
                    added = Added::Later { id: *id };
                }
                if let (Added::New { id }, Some(jobs)) = (&added, jobs) {
                    jobs.put(rows, &first_put(*id, task, now))?;
                }
                Ok(added)
            };
            match tasks.iter().any(|task| task.after.is_some()) {
                false => tasks.iter().map(|task| add(task, None)).collect(),
                true => add_in_order(rows, tasks, add),
            }
        })?;
        let is_new = |added: &Added| {
            matches!(
                added,
                Added::New { .. } | Added::Taken(Taken::Replaced { .. })
            )
        };
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
        let kin = transition::renew(on.rows, id, on.now, self.tube.as_ref())?;
        after::note_children(on.rows, id, kin)?;
        if kin.has_parents {
            after::decided(on.rows, id)?;
        }
        next_put(on.rows, id, None, on.now, on.jobs)?
            .map(Ok)
            .ok_or_else(|| Failed::row(id, format!("task {id} cannot be put")))
    }

    fn puts_jobs(&self) -> bool {
        true
    }
}

/// Adds tasks of which some wait for others: each after those that it waits for.
fn add_in_order(
    rows: &dyn Rows,
    tasks: &[NewTask],
    mut add: impl FnMut(&NewTask, Option<&After>) -> Result<Added, Failed>,
) -> Result<Vec<Added>, Failed> {
    let graph: Vec<Vec<usize>> = tasks.iter().map(beside).collect();
    let order = ordered(&graph).map_err(|_| Failed::Trouble {
        what: "tasks that are put together wait for each other in a circle".into(),
    })?;
    let missing = tasks.iter().map(|task| match &task.after {
        Some(after) => after::no_parent(rows, &after.ids),
        None => Ok(None),
    });
    let missing = missing.collect::<Result<Vec<_>, _>>()?;
    // Of what waits for each other all is recorded, or nothing.
    let first = missing.iter().flatten().next().copied();
    let of_all = first.filter(|_| graph.iter().any(|beside| !beside.is_empty()));
    let mut added: Vec<Option<Added>> = vec![None; tasks.len()];
    for place in order {
        let (Some(task), Some(missing)) = (tasks.get(place), missing.get(place)) else {
            continue;
        };
        let refused = match (missing, of_all) {
            (Some(parent), _) => Some(NotAfter::NoParent { parent: *parent }),
            (None, Some(parent)) => Some(NotAfter::OtherRefused { parent }),
            (None, None) => None,
        };
        let one = match (refused, &task.after) {
            (Some(refused), _) => Added::NotAfter(refused),
            (None, None) => add(task, None)?,
            (None, Some(after)) => match parents(after, &added) {
                Some(after) => add(task, Some(&after))?,
                None => Added::NotAfter(NotAfter::ParentRefused),
            },
        };
        if let Some(answer) = added.get_mut(place) {
            *answer = Some(one);
        }
    }
    Ok(added.into_iter().flatten().collect())
}

fn beside(task: &NewTask) -> Vec<usize> {
    let after = task.after.as_ref();
    after.map_or_else(Vec::new, |after| after.beside.clone())
}

/// Whom a task waits for, if all of those are there.
fn parents(after: &WaitsFor, added: &[Option<Added>]) -> Option<After> {
    let mut parents = after.ids.clone();
    for place in &after.beside {
        parents.push(added.get(*place)?.as_ref()?.id()?);
    }
    Some(After {
        parents,
        terms: after.terms,
    })
}

fn newcomer(id: TaskId, task: &NewTask) -> Newcomer<'_> {
    Newcomer {
        id,
        uuid: task.uuid,
        tube: &task.tube,
        content: &task.content,
        own: task.own.as_deref(),
        priority: task.priority,
        due: task.due,
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
fn record(
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

/// Records a task whose job is put by whoever asks, unless another has its key.
pub(super) fn add(
    rows: &dyn Rows,
    task: &NewTask,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Added, Failed> {
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
            false => Ok(Added::Taken(taken(
                rows, &row, task, *if_exists, now, jobs,
            )?)),
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
fn taken(
    rows: &dyn Rows,
    row: &TaskRow,
    task: &NewTask,
    if_exists: IfExists,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Taken, Failed> {
    let TaskRow { id, uuid, .. } = *row;
    let given = Given {
        tube: &task.tube,
        content: &task.content,
        tags: &task.tags,
        own: task.own.as_deref(),
        priority: Some(task.priority),
        due: Some(task.due),
    };
    let kept = |because| Taken::Kept { id, uuid, because };
    Ok(match if_exists {
        IfExists::Keep => kept(None),
        IfExists::Refuse => Taken::Refused(Holder::of(row)),
        IfExists::Replace => match unique::replace(rows, row, &given, now, jobs)? {
            Ok(again) => Taken::Replaced {
                id,
                uuid,
                again: again.map(Box::new),
            },
            Err(refusal) => kept(Some(refusal)),
        },
    })
}
