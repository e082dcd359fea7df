//! The rows of tasks, and the statements by which a task goes from where it stands.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::cleanup::note_newest;
use super::columns::{column, some_text, text};
use super::error::nonsense;
use super::keys;
use super::kin::{KIN, kin};
use super::own;
use super::puts;
use super::tags;
use crate::broker::JobId;
use crate::ledger::error::Failed;
use crate::ledger::rows::{Beginning, Ending, ForeignJob, Kin, NewRow, Origin, Ran, TaskRow, Wish};
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::payload::Call;
use crate::task::retry::Budget;
use crate::task::state::Status;
use crate::tube::TubeName;

const SELECT_TASK: &str =
    "SELECT id, uuid, tasks.tube, status, due, foreign_jobs.task IS NOT NULL, command, arguments, options, body,
    priority, ttr, attempt, spent, lost, owner, started, coalesce(foreign_jobs.kicks, task_jobs.kicks, 0),
    coalesce(puts.generation, task_jobs.generation, 0), worker, ahead,
    status = 'waiting' AND reason IS NOT NULL, deferred, EXISTS (SELECT 1 FROM fires WHERE fires.task = tasks.id),
    own, parents IS NOT NULL
    FROM tasks
    LEFT JOIN foreign_jobs ON foreign_jobs.task = id
    LEFT JOIN task_jobs ON task_jobs.task = id AND task_jobs.broker = 1
    LEFT JOIN puts ON puts.tube = tasks.tube AND puts.task = id AND puts.broker = 1";

pub(super) fn by_uuid() -> String {
    format!("{SELECT_TASK} WHERE uuid = ?1")
}

pub(super) fn by_foreign_job() -> String {
    format!(
        "{SELECT_TASK} WHERE foreign_jobs.broker = 1 AND foreign_jobs.job = ?1 AND foreign_jobs.hash = ?2
            AND (foreign_jobs.instance = ?3 OR abs(foreign_jobs.birth - ?4) <= 2000)
         ORDER BY foreign_jobs.task DESC LIMIT 1"
    )
}

pub(super) fn task(change: &Connection, uuid: &Uuid) -> Result<Option<TaskRow>, Failed> {
    change
        .prepare_cached(&by_uuid())?
        .query_row([uuid.as_bytes()], read)
        .optional()?
        .transpose()
}

pub(super) fn by_id() -> String {
    format!("{SELECT_TASK} WHERE id = ?1")
}

pub(super) fn row(change: &Connection, task: TaskId) -> Result<Option<TaskRow>, Failed> {
    change
        .prepare_cached(&by_id())?
        .query_row([task], read)
        .optional()?
        .transpose()
}

pub(super) fn may_lack(look: &Connection, recorded: Millis) -> Result<bool, Failed> {
    // Whoever records a task may have to wait between giving it its uuid and writing it.
    let sql = "SELECT ?1 >= max(coalesce((SELECT created FROM tasks ORDER BY id DESC LIMIT 1), 0), coalesce(deleted, 0))
            OR coalesce(?1 BETWEEN lacks_from - 60000 AND lacks_until, 0) FROM store";
    let mut statement = look.prepare_cached(sql)?;
    Ok(statement.query_row([recorded], |row| row.get(0))?)
}

pub(super) fn foreign_task(
    change: &Connection,
    job: JobId,
    foreign: &ForeignJob,
) -> Result<Option<TaskRow>, Failed> {
    let ForeignJob {
        hash,
        instance,
        birth,
        ..
    } = foreign;
    change
        .prepare_cached(&by_foreign_job())?
        .query_row(params![column(job), hash, instance, birth], read)
        .optional()?
        .transpose()
}

pub(super) fn same_task(
    change: &Connection,
    uuid: &Uuid,
    content: &Content,
) -> Result<Option<TaskId>, Failed> {
    let columns = Columns::of(content);
    Ok(change
        .prepare_cached(
            "SELECT id FROM tasks WHERE uuid = ?1 AND (arguments IS ?2 OR arguments IS ?6) AND options IS ?3
                AND body IS ?4 AND (body IS NOT NULL OR command IS ?5)",
        )?
        .query_row(
            params![
                uuid.as_bytes(),
                columns.arguments,
                columns.options,
                columns.body,
                columns.command,
                as_texts(content)
            ],
            |row| row.get(0),
        )
        .optional()?)
}

pub(super) fn status(change: &Connection, task: TaskId) -> Result<Option<Status>, Failed> {
    let word: Option<String> = change
        .prepare_cached("SELECT status FROM tasks WHERE id = ?1")?
        .query_row([task], |row| row.get(0))
        .optional()?;
    Ok(word.as_deref().and_then(Status::from_word))
}

pub(super) fn insert(change: &Connection, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed> {
    let columns = Columns::of(row.content);
    let id: Option<TaskId> = change
        .prepare_cached(
            "INSERT INTO tasks (uuid, tube, status, due, command, arguments, options, body, priority, ttr, created)
             VALUES (?1, ?2, 'waiting', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (uuid) DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                row.uuid.as_bytes(),
                row.tube.as_str(),
                row.due,
                columns.command,
                columns.arguments,
                columns.options,
                columns.body,
                row.priority,
                row.ttr,
                row.created,
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = id else {
        return Ok(None);
    };
    tags::add(change, id, row.tags)?;
    if let Some(hold) = row.hold {
        keys::set(change, id, hold)?;
    }
    if row.own.is_some() {
        own::set(change, id, row.own)?;
    }
    match row.origin {
        Origin::Ours { put_until } => puts::first(change, id, row.tube, put_until)?,
        Origin::Foreign {
            job,
            foreign,
            kicks,
        } => puts::came_by(change, id, job, foreign, kicks)?,
    }
    Ok(Some(id))
}

pub(super) fn begin(change: &Connection, beginning: &Beginning) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET status = 'running', due = NULL, later = NULL, finished = NULL, reason = NULL,
                attempt = ?2, owner = ?3, worker = ?3, started = ?4, spent = ?5, lost = ?6, ahead = ?7,
                deferred = ?8
             WHERE id = ?1",
        )?
        .execute(params![
            beginning.id.task,
            beginning.id.number,
            beginning.worker,
            beginning.started,
            beginning.budget.spent,
            beginning.budget.lost,
            beginning.ahead,
            beginning.budget.deferred,
        ])?;
    Ok(())
}

/// SQLite writes the index by commands anew for a column that is set, though it stays what it was.
pub(super) fn name_command(change: &Connection, task: TaskId, command: &str) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE tasks SET command = ?2 WHERE id = ?1")?
        .execute(params![task, command])?;
    Ok(())
}

/// The end of an attempt of a task for which nobody waits. A task for which others do is asked for with a second
/// statement: what a statement returns costs each task some microseconds.
const END: &str =
    "UPDATE tasks SET status = ?4, due = ?5, reason = ?6, owner = NULL, finished = ?7, spent = ?8, lost = ?9,
        started = coalesce(?10, started), ahead = 0, cancel_asked = NULL, cancel_now = 0, deferred = ?11
     WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3 AND children IS NULL";

const END_OF_PARENT: &str =
    "UPDATE tasks SET status = ?4, due = ?5, reason = ?6, owner = NULL, finished = ?7, spent = ?8, lost = ?9,
        started = coalesce(?10, started), ahead = 0, cancel_asked = NULL, cancel_now = 0, deferred = ?11
     WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3 AND children IS NOT NULL";

/// True if the attempt has ended by it.
fn end_by(change: &Connection, sql: &str, ending: &Ending<'_>) -> Result<bool, Failed> {
    let mut statement = change.prepare_cached(sql)?;
    let end = || {
        statement.execute(params![
            ending.id.task,
            ending.id.number,
            ending.owner,
            ending.status.as_str(),
            ending.due,
            ending.reason,
            ending.finished,
            ending.budget.spent,
            ending.budget.lost,
            ending.started,
            ending.budget.deferred,
        ])
    };
    Ok(keys::with_or_without(change, ending.id.task, end)? == 1)
}

pub(super) fn end(change: &Connection, ending: &Ending<'_>) -> Result<Option<bool>, Failed> {
    let is_parent = match end_by(change, END, ending)? {
        true => false,
        false if end_by(change, END_OF_PARENT, ending)? => true,
        false => return Ok(None),
    };
    if let Some(kicks) = ending.kicks {
        puts::set_kicks(change, ending.id.task, kicks)?;
    }
    Ok(Some(is_parent))
}

pub(super) fn ran(look: &Connection, task: TaskId) -> Result<Ran, Failed> {
    let ran = look
        .prepare_cached("SELECT tube, command, started FROM tasks WHERE id = ?1")?
        .query_row([task], |row| {
            Ok(Ran {
                tube: some_text(row, 0)?,
                command: text(row, 1)?.unwrap_or_default(),
                started: row.get(2)?,
                since: None,
                is_limited: false,
            })
        })?;
    Ok(ran)
}

pub(super) fn unclaim(
    change: &Connection,
    attempt: AttemptId,
    owner: WorkerId,
) -> Result<bool, Failed> {
    let mut statement = change
        .prepare_cached(
            "UPDATE tasks SET status = 'waiting', owner = NULL, worker = NULL, attempt = attempt - 1, ahead = 0,
                cancel_asked = NULL, cancel_now = 0,
                due = coalesce((SELECT finished FROM attempts WHERE task = ?1 AND number = ?2 - 1), created),
                started = (SELECT started FROM attempts WHERE task = ?1 AND number = ?2 - 1)
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
        )?;
    let unclaim = || statement.execute(params![attempt.task, attempt.number, owner]);
    Ok(keys::with_or_without(change, attempt.task, unclaim)? == 1)
}

pub(super) fn wish(look: &Connection, task: TaskId) -> Result<Option<Wish>, Failed> {
    let read = |row: &Row<'_>| {
        Ok(Wish {
            attempt: AttemptId {
                task,
                number: row.get(0)?,
            },
            asked: row.get(1)?,
            now: row.get(2)?,
            reason: text(row, 3)?,
            budget: Budget {
                spent: row.get(4)?,
                lost: row.get(5)?,
                deferred: row.get(6)?,
            },
        })
    };
    Ok(look
        .prepare_cached(
            "SELECT attempt, cancel_asked, cancel_now, reason, spent, lost, deferred FROM tasks
             WHERE id = ?1 AND cancel_asked IS NOT NULL",
        )?
        .query_row([task], read)
        .optional()?)
}

pub(super) fn cancel(
    change: &Connection,
    task: TaskId,
    at: Millis,
    reason: Option<&str>,
) -> Result<Option<Kin>, Failed> {
    let mut cancel = change
        .prepare_cached(&format!(
            "UPDATE tasks SET status = 'cancelled', due = NULL, later = NULL, finished = ?2, reason = ?3
             WHERE id = ?1 AND status = 'waiting' RETURNING {KIN}",
        ))?;
    let cancelled = cancel.query_row(params![task, at, reason], |row| kin(row, 0));
    Ok(cancelled.optional()?)
}

pub(super) fn ask_to_cancel(
    change: &Connection,
    task: TaskId,
    asked: Millis,
    now: bool,
    reason: Option<&str>,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET cancel_asked = coalesce(cancel_asked, ?2), cancel_now = max(cancel_now, ?3),
                reason = coalesce(?4, reason)
             WHERE id = ?1 AND status = 'running'",
        )?
        .execute(params![task, asked, now, reason])?;
    Ok(())
}

pub(super) fn renew(
    change: &Connection,
    task: TaskId,
    now: Millis,
    tube: Option<&TubeName>,
) -> Result<Kin, Failed> {
    let mut statement = change.prepare_cached(&format!(
        "UPDATE tasks SET status = 'waiting', due = min(?2, finished), finished = NULL, reason = NULL,
                spent = 0, lost = 0, deferred = 0, tube = coalesce(?3, tube)
             WHERE id = ?1 AND status IN ('failed', 'cancelled') RETURNING {KIN}",
    ))?;
    let renew = || {
        let given = params![task, now, tube.map(TubeName::as_str)];
        statement.query_row(given, |row| kin(row, 0)).optional()
    };
    Ok(keys::with_or_without(change, task, renew)?.unwrap_or_default())
}

pub(super) fn take_over(
    change: &Connection,
    attempt: AttemptId,
    from: Option<WorkerId>,
    to: WorkerId,
) -> Result<bool, Failed> {
    let taken = change
        .prepare_cached(
            "UPDATE tasks SET owner = ?4
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
        )?
        .execute(params![attempt.task, attempt.number, from, to])?;
    Ok(taken == 1)
}

pub(super) fn note_begun(
    change: &Connection,
    attempt: AttemptId,
    owner: WorkerId,
    started: Millis,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET ahead = 0, started = ?4
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
        )?
        .execute(params![attempt.task, attempt.number, owner, started])?;
    Ok(())
}

pub(super) fn set_due(change: &Connection, task: TaskId, due: Millis) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE tasks SET due = ?2 WHERE id = ?1")?
        .execute(params![task, due])?;
    Ok(())
}

/// Why it was not run is not known to hold any more.
pub(super) fn make_due(change: &Connection, task: TaskId, due: Millis) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET due = ?2, reason = NULL WHERE id = ?1 AND status = 'waiting'",
        )?
        .execute(params![task, due])?;
    Ok(())
}

pub(super) fn set_priority(change: &Connection, task: TaskId, priority: u32) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE tasks SET priority = ?2 WHERE id = ?1")?
        .execute(params![task, priority])?;
    Ok(())
}

pub(super) fn set_content(
    change: &Connection,
    task: TaskId,
    content: &Content,
) -> Result<(), Failed> {
    let columns = Columns::of(content);
    change
        .prepare_cached("UPDATE tasks SET arguments = ?2, options = ?3, body = ?4 WHERE id = ?1")?
        .execute(params![
            task,
            columns.arguments,
            columns.options,
            columns.body
        ])?;
    Ok(())
}

pub(super) fn delete(change: &Connection, task: TaskId) -> Result<Kin, Failed> {
    let mut delete = change.prepare_cached(&format!(
        "DELETE FROM tasks WHERE id = ?1 RETURNING created, {KIN}"
    ))?;
    let deleted = delete
        .query_row([task], |row| Ok((row.get(0)?, kin(row, 1)?)))
        .optional()?;
    match deleted {
        Some((created, kin)) => note_newest(change, created).map(|()| kin),
        None => Ok(Kin::default()),
    }
}

pub(super) fn set_reason(change: &Connection, task: TaskId, reason: &str) -> Result<(), Failed> {
    change
        .prepare_cached("UPDATE tasks SET reason = ?2 WHERE id = ?1 AND status = 'waiting'")?
        .execute(params![task, reason])?;
    Ok(())
}

/// The outer error is SQLite's, the inner one is about what the row holds.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<TaskRow, Failed>> {
    let id = row.get(0)?;
    let uuid = Uuid::from_bytes(row.get(1)?);
    let tube = row.get_ref(2)?.as_str()?.parse::<TubeName>();
    let status = Status::from_word(row.get_ref(3)?.as_str()?);
    let content = content(
        id,
        row.get(5)?,
        row.get_ref(6)?.as_str_or_null()?,
        row.get_ref(7)?.as_str_or_null()?,
        row.get_ref(8)?.as_str_or_null()?,
        row.get(9)?,
    );
    let foreign = row.get(5)?;
    let command = row.get(6)?;
    let corrupt = |what: String| Failed::row(id, nonsense(&format!("task {id}: {what}")));
    let budget = Budget {
        spent: row.get(13)?,
        lost: row.get(14)?,
        deferred: row.get(22)?,
    };
    let (due, priority, ttr, attempt) = (row.get(4)?, row.get(10)?, row.get(11)?, row.get(12)?);
    let (owner, started, kicks, generation) =
        (row.get(15)?, row.get(16)?, row.get(17)?, row.get(18)?);
    let (worker, ahead, is_parked) = (row.get(19)?, row.get(20)?, row.get(21)?);
    let scheduled = row.get(23)?;
    let own = own::of(id, row.get_ref(24)?.as_str_or_null()?);
    let has_parents = row.get(25)?;
    let read = || {
        Ok(TaskRow {
            id,
            uuid,
            tube: tube.map_err(|e| corrupt(e.to_string()))?,
            status: status.ok_or_else(|| corrupt("unknown status".into()))?,
            due,
            is_parked,
            command,
            content: content?,
            priority,
            ttr,
            attempt,
            budget,
            owner,
            worker,
            ahead,
            started,
            kicks,
            generation,
            foreign,
            scheduled,
            own: own?,
            has_parents,
        })
    };
    Ok(read())
}

/// A content as it stands in a row.
struct Columns<'a> {
    command: Option<&'a str>,
    arguments: Option<String>,
    options: Option<String>,
    body: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(content: &'a Content) -> Columns<'a> {
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

/// A call's arguments as an earlier version has recorded them, to which a number below zero was a text.
fn as_texts(content: &Content) -> Option<String> {
    match content {
        Content::Call(call) => Some(call.arguments_as_texts()),
        Content::Raw(_) | Content::Unread(_) => None,
    }
}

/// A row's columns as a content.
fn content(
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
                .map_err(|e| Failed::row(task, nonsense(&format!("task {task}: {e}"))))
        }
        (_, _, _, Some(body)) if foreign => Ok(Content::Unread(body.into())),
        (_, _, _, Some(body)) => Ok(Content::Raw(body.into())),
        (_, _, _, None) => Err(Failed::row(
            task,
            nonsense(&format!("task {task} asks for nothing")),
        )),
    }
}
