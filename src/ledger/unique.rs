//! Keys that no two tasks have at a time: who has one, and what becomes of a put whose key is taken.
//!
//! Whoever has a key has it by its row alone: an index over the rows in whose status it counts lets no second in.
//! Transactions that write come one after the other, so that who looks here first meets that index only where a task
//! goes back to waiting. Such a task goes on without its key: a retry is never lost, and no settlement fails, for a
//! task that was put meanwhile.

use std::fmt;

use uuid::Uuid;

use super::Millis;
use super::after::waits_for_parents;
use super::announce::{Again, Jobs, next_put};
use super::error::Failed;
use super::limits;
use super::rows::{Awaiting, Rows, TaskRow};
use crate::task::command::Content;
use crate::task::id::TaskId;
use crate::task::own::Own;
use crate::task::state::Status;
use crate::task::tag::Tag;
use crate::task::unique::Key;
use crate::tube::TubeName;

/// The task that has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub status: Status,
}

impl Holder {
    pub(super) fn of(row: &TaskRow) -> Holder {
        Holder {
            id: row.id,
            status: row.status,
        }
    }
}

/// What people are told: "task 9 has this key and waits".
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stands = match self.status {
            Status::Waiting => "and waits",
            Status::Running => "and runs",
            Status::Done => "for some time yet, and is done",
            Status::Failed => "for some time yet, and has failed",
            Status::Cancelled => "for some time yet, and is cancelled",
        };
        write!(f, "task {} has this key {stands}", self.id)
    }
}

/// Why the task that has a key stays as it is, though it was to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReplaced {
    /// Only what waits is replaced.
    #[error("{0}: it stays as it is, for only what waits is replaced")]
    NotWaiting(Holder),
    /// What it is given is in its producer's own body.
    #[error(
        "{0}: it stays as it is, for it came by another producer's job, whose body says what it is given"
    )]
    Foreign(Holder),
    /// It would have to move.
    #[error("{0}: it stays as it is, for it is of another tube")]
    OtherTube(Holder),
}

/// What becomes of a task that is to be made and whose key another has. None is recorded for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The other is as it was.
    Kept {
        /// That task.
        id: TaskId,
        /// Its identity.
        uuid: Uuid,
        /// Why it is as it was, if it was to be replaced.
        because: Option<NotReplaced>,
    },
    /// The other waits, and is given what this one was to be.
    Replaced {
        /// That task.
        id: TaskId,
        /// Its identity.
        uuid: Uuid,
        /// What is to ring for it; none: it waits for others.
        again: Option<Box<Again>>,
    },
    /// This one is refused for that.
    Refused(Holder),
}

/// The row that has a key, if there is one.
pub(super) fn taken(rows: &dyn Rows, key: &Key, now: Millis) -> Result<Option<TaskRow>, Failed> {
    match rows.holder(key, now)? {
        Some(id) => rows.row(id),
        None => Ok(None),
    }
}

/// The same for a task that is there, and is to wait with the key that it has.
pub(super) fn taken_from(
    rows: &dyn Rows,
    task: TaskId,
    now: Millis,
) -> Result<Option<Holder>, Failed> {
    let Some(hold) = rows.hold(task)? else {
        return Ok(None);
    };
    let row = taken(rows, &hold.key, now)?;
    Ok(row.filter(|row| row.id != task).map(|row| Holder::of(&row)))
}

/// Why a task may not be given what a put says, if so.
fn refusal(row: &TaskRow, tube: &TubeName) -> Option<NotReplaced> {
    let holder = Holder::of(row);
    match row.status {
        Status::Waiting => {}
        Status::Running | Status::Done | Status::Failed | Status::Cancelled => {
            return Some(NotReplaced::NotWaiting(holder));
        }
    }
    match (row.foreign, row.tube == *tube) {
        (true, _) => Some(NotReplaced::Foreign(holder)),
        (false, false) => Some(NotReplaced::OtherTube(holder)),
        (false, true) => None,
    }
}

/// What a put says, to be given to a task that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub tube: &'a TubeName,
    pub content: &'a Content,
    pub tags: &'a [Tag],
    pub own: Option<&'a Own>,
    pub priority: Option<u32>,
    pub due: Option<Millis>,
}

/// Gives a task that waits what a put of its key says, and another job. Its identity and its key stay.
pub(super) fn replace(
    rows: &dyn Rows,
    row: &TaskRow,
    given: &Given<'_>,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Result<Option<Again>, NotReplaced>, Failed> {
    match give(rows, row, given)? {
        // It goes on waiting for those that it waits for, and has no job.
        Ok(()) if waits_for_parents(rows, row.id, row.due)?.is_some() => Ok(Ok(None)),
        Ok(()) => next_put(rows, row.id, None, now, jobs).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The same without another job.
pub(super) fn give(
    rows: &dyn Rows,
    row: &TaskRow,
    given: &Given<'_>,
) -> Result<Result<(), NotReplaced>, Failed> {
    if let Some(refusal) = refusal(row, given.tube) {
        return Ok(Err(refusal));
    }
    rows.set_content(row.id, given.content)?;
    if let Content::Call(call) = given.content
        && row.command.as_deref() != Some(call.command.as_str())
    {
        rows.name_command(row.id, call.command.as_str())?;
    }
    rows.set_tags(row.id, given.tags)?;
    // What it was to find in the environment goes with what it was given.
    if row.own.as_deref() != given.own {
        rows.set_own(row.id, given.own)?;
    }
    if let Some(priority) = given.priority {
        rows.set_priority(row.id, priority)?;
    }
    let due = given.due.or(limits::due_of_held(rows, row)?);
    match (due, waits_for_parents(rows, row.id, row.due)?) {
        (Some(due), Some(awaiting)) => rows.set_awaiting(row.id, &Awaiting { due, ..awaiting })?,
        (Some(due), None) => rows.make_due(row.id, due)?,
        (None, _) => {}
    }
    Ok(Ok(()))
}
