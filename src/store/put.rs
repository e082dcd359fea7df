//! New tasks, and the jobs that announce them.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;
use crate::task::command::Content;
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
    /// It is recorded and needs a job.
    New {
        /// Its row.
        id: i64,
    },
    /// The very same task was recorded before.
    Known {
        /// Its row.
        id: i64,
    },
    /// Another task has its uuid.
    UuidTaken,
}

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
}

/// A job that a task had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldJob {
    /// Its number.
    pub id: JobId,
    /// The broker instance that numbered it, if it was known.
    pub instance: Option<String>,
}

/// Why a task was not regenerated. The words are those of the system that this one succeeds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRegenerated {
    /// There is no such row.
    #[error("No such task :{id}")]
    NoSuchTask {
        /// The id asked for.
        id: i64,
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

/// The TTR of a job that we put for a foreign producer's task, in seconds, where its own was not known.
pub const DEFAULT_TTR: u32 = 60;

impl Db {
    /// Records tasks in one transaction. They are acknowledged once this has returned; their jobs
    /// are put afterwards, and [`Db::note_jobs`] told.
    pub fn add(&mut self, tasks: &[NewTask], now: Millis) -> Result<Vec<Added>, Error> {
        self.change(|change, _| tasks.iter().map(|task| add(change, task, now)).collect())
    }

    /// Notes which jobs announce tasks: row, put generation, job. Of a foreign task only that there is one: its
    /// row goes on naming the producer's job, which may come round again and is known by nothing else.
    pub fn note_jobs(
        &mut self,
        instance: Option<&str>,
        jobs: &[(i64, i64, JobId)],
    ) -> Result<(), Error> {
        self.change(|change, _| {
            let mut note = change.prepare_cached(
                "UPDATE tasks SET put_noted = ?2, job = iif(foreign_job, job, ?3),
                    job_instance = iif(foreign_job, job_instance, ?4),
                    job_kicks = iif(foreign_job, job_kicks, 0), job_gone = iif(foreign_job, job_gone, 0)
                 WHERE id = ?1 AND put_generation = ?2",
            )?;
            for (task, generation, job) in jobs {
                note.execute(params![task, generation, as_column(*job), instance])?;
            }
            Ok(())
        })
    }

    /// Lets a failed task wait again, with a fresh budget. Its attempts stay.
    pub fn regenerate(
        &mut self,
        id: i64,
        tube: Option<&TubeName>,
        now: Millis,
    ) -> Result<Result<Again, NotRegenerated>, Error> {
        self.change(|change, _| {
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
                    "UPDATE tasks SET status = 'waiting', due = ?2, finished = NULL, reason = NULL,
                        spent = 0, lost = 0, tube = coalesce(?3, tube)
                     WHERE id = ?1 AND status = 'failed'",
                )?
                .execute(params![id, now, tube.map(TubeName::as_str)])?;
            next_put(change, id, None, now)?
                .map(Ok)
                .ok_or_else(|| Failed::Corrupt(format!("task {id} cannot be put")))
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

    /// Reserves the right to put a waiting task's job again; `None` if the task waits no more, or if
    /// somebody else has put it since `generation`.
    pub fn put_again(
        &mut self,
        id: i64,
        generation: i64,
        now: Millis,
    ) -> Result<Option<Again>, Error> {
        self.change(|change, _| next_put(change, id, Some(generation), now))
    }
}

const UNANNOUNCED: &str = "SELECT id, put_generation FROM tasks
    WHERE tube = ?1 AND status = 'waiting' AND put_noted < put_generation ORDER BY id LIMIT ?2";

fn add(connection: &Connection, task: &NewTask, now: Millis) -> Result<Added, Failed> {
    let content = Columns::of(&task.content);
    let id = connection
        .prepare_cached(
            "INSERT INTO tasks (uuid, tube, status, due, command, arguments, options, body, priority, ttr,
                                created, foreign_job, put_generation)
             VALUES (?1, ?2, 'waiting', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 1)
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
) -> Result<Option<i64>, Failed> {
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

fn next_put(
    connection: &Connection,
    id: i64,
    generation: Option<i64>,
    now: Millis,
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
    Ok(Some(Again {
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
    }))
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
    task: i64,
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
