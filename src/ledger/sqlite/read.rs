//! Rows as they are shown.

use std::ops::Range;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use super::columns::{some_text, text};
use super::error::nonsense;
use super::filter::{self, Query};
use super::reports::{self, REPORT};
use crate::ledger::error::Failed;
use crate::ledger::read::{Attempt, Filter, Key, Task};
use crate::ledger::rows::{Each, Listed, Newest};
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId};
use crate::task::own::Own;
use crate::task::resources::Resources;
use crate::task::state::Status;
use crate::task::tag::Tag;

/// What is shown of a task, but for its id and its body.
const COLUMNS: &str =
    "uuid, tube, command, coalesce(arguments, '[]'), coalesce(options, '{}'), length(body),
    status, due, reason, priority,
    coalesce((SELECT job FROM task_jobs WHERE task = tasks.id AND broker = 1),
             (SELECT job FROM foreign_jobs WHERE task = tasks.id)),
    created, started, finished, owner, attempt,
    iif(status = 'running', coalesce((SELECT name FROM workers WHERE workers.id = worker), CAST(worker AS TEXT)),
        NULL),
    (SELECT json_group_array(json_array(name, value)) FROM
        (SELECT name, value FROM tags WHERE task = tasks.id ORDER BY name)),
    cancel_asked, unique_key, (SELECT schedule FROM fires WHERE task = tasks.id), own";

pub(super) fn page(
    look: &Connection,
    filter: &Filter,
    within: Range<TaskId>,
    most: u32,
    each: &mut Each<'_>,
) -> Result<(), Failed> {
    let Query { sql, values } = filter::newest(&format!("{COLUMNS}, NULL"), filter, &within);
    let mut statement = look.prepare_cached(&sql)?;
    let mut beside = Beside::of(look)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if !each(listed(row, &mut beside, most, false)?)? {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) fn shown(look: &Connection, key: Key, most: u32) -> Result<Option<Listed>, Failed> {
    let by = match key {
        Key::Id(_) => "id",
        Key::Uuid(_) => "uuid",
    };
    let mut statement = look.prepare_cached(&format!(
        "SELECT id, {COLUMNS}, body FROM tasks WHERE {by} = ?1"
    ))?;
    let mut beside = Beside::of(look)?;
    let read = |row: &Row<'_>| Ok(listed(row, &mut beside, most, true));
    let found = match key {
        Key::Id(id) => statement.query_row([id], read),
        Key::Uuid(uuid) => statement.query_row([uuid.as_bytes()], read),
    };
    found.optional()?.transpose()
}

/// By the rows' own order.
pub(super) const RECORDED_FROM: &str =
    "SELECT id, created FROM tasks WHERE id >= ?1 ORDER BY id LIMIT 1";

pub(super) fn recorded_from(
    look: &Connection,
    from: TaskId,
) -> Result<Option<(TaskId, Millis)>, Failed> {
    let mut select = look.prepare_cached(RECORDED_FROM)?;
    let found = select.query_row([from], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// What is asked of an attempt that has ended, of which attempts of the task ?1.
fn attempts_sql(which: &str) -> String {
    format!(
        "SELECT number, worker, started, finished, outcome, exit_code, signal, reason,
            user_time, system_time, peak_memory
        FROM attempts WHERE task = ?1 {which}"
    )
}

const NEWEST: &str = "ORDER BY number DESC LIMIT ?2";

/// The query for where a task stands, by its number or its uuid.
pub(super) fn newest_sql(by: &str) -> String {
    format!("SELECT id, status, due, attempt, worker, owner FROM tasks WHERE {by} = ?1")
}

pub(super) fn newest(look: &Connection, key: Key) -> Result<Option<Newest>, Failed> {
    let read = |row: &Row<'_>| {
        let (task, word) = (row.get(0)?, text(row, 1)?.unwrap_or_default());
        let status = Status::from_word(&word).ok_or_else(|| {
            Failed::row(task, nonsense(&format!("a task with the status '{word}'")))
        });
        let (due, attempt) = (row.get(2)?, row.get(3)?);
        let (worker, owner) = (row.get(4)?, row.get(5)?);
        Ok(status.map(|status| Newest {
            task,
            status,
            due,
            attempt,
            worker,
            owner,
        }))
    };
    let found = match key {
        Key::Id(id) => look
            .prepare_cached(&newest_sql("id"))?
            .query_row([id], read),
        Key::Uuid(uuid) => look
            .prepare_cached(&newest_sql("uuid"))?
            .query_row([uuid.as_bytes()], read),
    };
    found.optional()?.transpose()
}

pub(super) fn attempt(look: &Connection, attempt: AttemptId) -> Result<Option<Attempt>, Failed> {
    let found = look
        .prepare_cached(&attempts_sql("AND number = ?2"))?
        .query_row(params![attempt.task, attempt.number], ended);
    Ok(found.optional()?)
}

/// What else is asked for each task.
struct Beside<'a> {
    attempts: CachedStatement<'a>,
    report: CachedStatement<'a>,
}

impl<'a> Beside<'a> {
    fn of(look: &'a Connection) -> Result<Beside<'a>, Failed> {
        Ok(Beside {
            attempts: look.prepare_cached(&attempts_sql(NEWEST))?,
            report: look.prepare_cached(REPORT)?,
        })
    }
}

fn listed(
    row: &Row<'_>,
    beside: &mut Beside<'_>,
    most: u32,
    whole: bool,
) -> Result<Listed, Failed> {
    let id: TaskId = row.get(0)?;
    let running = running(row)?;
    let most = most.saturating_sub(running.is_some().into());
    let before = beside.attempts.query_map(params![id, most], ended)?;
    let mut attempts: Vec<Attempt> = before.collect::<Result<_, _>>()?;
    attempts.reverse();
    attempts.extend(running);
    let word = row.get_ref(7)?.as_str().map_err(rusqlite::Error::from)?;
    let status = Status::from_word(word)
        .ok_or_else(|| Failed::row(id, nonsense(&format!("a task with the status '{word}'"))))?;
    let task = Task {
        id,
        uuid: Uuid::from_bytes(row.get(1)?),
        tube: some_text(row, 2)?,
        command: text(row, 3)?,
        arguments: some_text(row, 4)?,
        options: some_text(row, 5)?,
        body: row.get(23)?,
        body_size: row.get(6)?,
        tags: tags(row, 18)?,
        key: text(row, 20)?,
        schedule: text(row, 21)?,
        status: status.into(),
        due: row.get(8)?,
        reason: text(row, 9)?,
        cancel_asked: row.get(19)?,
        // What makes no sense keeps no task from being shown: whoever claims the task refuses it for that.
        own: text(row, 22)?.and_then(|own| Own::read(&own).ok().map(Box::new)),
        priority: row.get(10)?,
        job: row.get(11)?,
        created: row.get(12)?,
        started: row.get(13)?,
        finished: row.get(14)?,
        // They are counted from 1, also those that were forgotten.
        attempts_total: row.get::<_, i64>(16)?.unsigned_abs(),
        attempts,
        report: reports::of(&mut beside.report, id, whole)?,
        waits_for: None,
        kin: None,
        held: None,
    };
    let owner = row.get(15)?;
    Ok(Listed { task, owner })
}

/// What stands there as an array of pairs.
fn tags(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Tag>> {
    let pairs = text(row, column)?.filter(|pairs| pairs != "[]");
    let pairs: Vec<(String, Option<String>)> = match pairs {
        // What is no text must have been put there by hand.
        Some(pairs) => serde_json::from_str(&pairs).unwrap_or_default(),
        None => Vec::new(),
    };
    Ok(pairs
        .into_iter()
        .map(|(name, value)| Tag::from_row(name, value))
        .collect())
}

/// The attempt that a task's row speaks of, if that has not ended.
fn running(row: &Row<'_>) -> rusqlite::Result<Option<Attempt>> {
    let Some(worker) = text(row, 17)? else {
        return Ok(None);
    };
    Ok(Some(Attempt {
        number: row.get(16)?,
        worker,
        started: row.get(13)?,
        finished: None,
        outcome: None,
        exit_code: None,
        signal: None,
        reason: None,
        took: None,
        output: None,
    }))
}

/// What an attempt took, where all of that is known.
fn took(row: &Row<'_>) -> rusqlite::Result<Option<Resources>> {
    let number = |at: usize| -> rusqlite::Result<_> {
        Ok(row.get::<_, Option<i64>>(at)?.map(i64::unsigned_abs))
    };
    Ok(match (number(8)?, number(9)?, number(10)?) {
        (Some(user), Some(system), Some(peak_memory)) => Some(Resources {
            user: Duration::from_micros(user),
            system: Duration::from_micros(system),
            peak_memory,
        }),
        (_, _, _) => None,
    })
}

fn ended(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get(0)?,
        worker: some_text(row, 1)?,
        started: row.get(2)?,
        finished: row.get(3)?,
        outcome: text(row, 4)?,
        exit_code: row.get(5)?,
        signal: row.get(6)?,
        reason: text(row, 7)?,
        took: took(row)?,
        output: None,
    })
}
