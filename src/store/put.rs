//! New tasks, and the jobs that announce them.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::announce::{Again, Announced, PUT_TIME, next_put};
use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;
use crate::task::command::Content;
use crate::task::id::TaskId;
use crate::task::payload::Call;
use crate::task::state::Status;
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
    /// It may run from then on.
    pub due: Millis,
}

/// What became of a task to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is recorded, and needs a job unless the store keeps the jobs.
    New {
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
}

/// Why a task was not regenerated. The words are those of the system that this one succeeds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRegenerated {
    /// There is no such row.
    #[error("No such task :{id}")]
    NoSuchTask {
        /// The id asked for.
        id: TaskId,
    },
    /// Only what failed can be regenerated.
    #[error(
        "Invalid status for task. Current status: '{status}' must be 'failed' to be able to restart it"
    )]
    NotFailed {
        /// Where it stands.
        status: Status,
    },
}

impl Db {
    /// Records tasks in one transaction. They are acknowledged once this has returned; unless the store
    /// keeps the jobs, these are put afterwards, and [`Db::note_puts`] told.
    pub fn add(&mut self, tasks: &[NewTask], now: Millis) -> Result<Vec<Added>, Error> {
        let jobs = self.jobs();
        let added: Vec<Added> = self.change(|change, _| {
            let add = |task| {
                let added = add(change, task, now)?;
                if let (Added::New { id }, Some(jobs)) = (&added, &jobs) {
                    jobs.put(change, &Announced::new(*id, task, now))?;
                }
                Ok(added)
            };
            tasks.iter().map(add).collect()
        })?;
        if added.iter().any(|added| matches!(added, Added::New { .. })) {
            self.ring();
        }
        Ok(added)
    }

    /// Lets a failed task wait again, with a fresh budget. Its attempts stay.
    pub fn regenerate(
        &mut self,
        id: TaskId,
        tube: Option<&TubeName>,
        now: Millis,
    ) -> Result<Result<Again, NotRegenerated>, Error> {
        let jobs = self.jobs();
        let regenerated = self.change(|change, _| {
            let status: Option<String> = change
                .prepare_cached("SELECT status FROM tasks WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            match status.as_deref().and_then(Status::from_word) {
                None => return Ok(Err(NotRegenerated::NoSuchTask { id })),
                Some(Status::Failed) => {}
                Some(status) => return Ok(Err(NotRegenerated::NotFailed { status })),
            }
            change
                .prepare_cached(
                    "UPDATE tasks SET status = 'waiting', due = min(?2, finished), finished = NULL, reason = NULL,
                        spent = 0, lost = 0, tube = coalesce(?3, tube)
                     WHERE id = ?1 AND status = 'failed'",
                )?
                .execute(params![id, now, tube.map(TubeName::as_str)])?;
            next_put(change, id, None, now, jobs.as_ref())?
                .map(Ok)
                .ok_or_else(|| Failed::Corrupt(format!("task {id} cannot be put")))
        })?;
        self.ring();
        Ok(regenerated)
    }
}

fn add(connection: &Connection, task: &NewTask, now: Millis) -> Result<Added, Failed> {
    let content = Columns::of(&task.content);
    let id = connection
        .prepare_cached(
            "INSERT INTO tasks (uuid, tube, status, due, command, arguments, options, body, priority, ttr,
                                created, foreign_job, put_generation, put_until)
             VALUES (?1, ?2, 'waiting', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 1, ?11)
             ON CONFLICT (uuid) DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                task.uuid.as_bytes(),
                task.tube.as_str(),
                task.due,
                content.command,
                content.arguments,
                content.options,
                content.body,
                task.priority,
                task.ttr,
                now,
                now.saturating_add(PUT_TIME),
            ],
            |row| row.get(0),
        )
        .optional()?;
    match id {
        Some(id) => Ok(Added::New { id }),
        None => Ok(same_task(connection, &task.uuid, &content)?
            .map_or(Added::UuidTaken, |id| Added::Known { id })),
    }
}

/// The task with this uuid, if it asks for the same thing.
pub(super) fn same_task(
    connection: &Connection,
    uuid: &Uuid,
    content: &Columns<'_>,
) -> Result<Option<TaskId>, Failed> {
    Ok(connection
        .prepare_cached(
            "SELECT id FROM tasks WHERE uuid = ?1 AND arguments IS ?2 AND options IS ?3 AND body IS ?4
                AND (body IS NOT NULL OR command IS ?5)",
        )?
        .query_row(
            params![
                uuid.as_bytes(),
                content.arguments,
                content.options,
                content.body,
                content.command
            ],
            |row| row.get(0),
        )
        .optional()?)
}

/// beanstalkd counts up from 1, so that half of the numbers is enough for ever.
pub(super) fn as_column(job: JobId) -> i64 {
    i64::try_from(job).unwrap_or(i64::MAX)
}

/// A content as it stands in a row.
pub(super) struct Columns<'a> {
    pub command: Option<&'a str>,
    pub arguments: Option<String>,
    pub options: Option<String>,
    pub body: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub fn of(content: &'a Content) -> Columns<'a> {
        match content {
            Content::Call(call) => Columns {
                command: Some(call.command.as_str()),
                arguments: Some(call.arguments_json()),
                options: Some(call.options_json()),
                body: None,
            },
            Content::Raw(body) | Content::Unread(body) => Columns {
                command: None,
                arguments: None,
                options: None,
                body: Some(body),
            },
        }
    }
}

/// A row's columns as a content.
pub(super) fn content(
    task: TaskId,
    foreign: bool,
    command: Option<&str>,
    arguments: Option<&str>,
    options: Option<&str>,
    body: Option<Vec<u8>>,
) -> Result<Content, Failed> {
    match (command, arguments, options, body) {
        (Some(command), Some(arguments), Some(options), _) => {
            Call::from_parts(command, arguments, options)
                .map(Content::Call)
                .map_err(|e| Failed::Corrupt(format!("task {task}: {e}")))
        }
        (_, _, _, Some(body)) if foreign => Ok(Content::Unread(body.into())),
        (_, _, _, Some(body)) => Ok(Content::Raw(body.into())),
        (_, _, _, None) => Err(Failed::Corrupt(format!("task {task} asks for nothing"))),
    }
}
