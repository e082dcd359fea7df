//! Rows as they are shown.

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Row, ToSql, params, params_from_iter,
};
use uuid::Uuid;

use super::columns::{some_text, text};
use super::error::nonsense;
use super::reports::{self, REPORT};
use crate::ledger::error::Failed;
use crate::ledger::read::{Attempt, Filter, Key, Task};
use crate::ledger::rows::{Each, Listed};
use crate::task::id::TaskId;
use crate::task::state::Status;

const COLUMNS: &str =
    "id, uuid, tube, command, coalesce(arguments, '[]'), coalesce(options, '{}'), length(body),
    status, due, reason, priority,
    coalesce((SELECT job FROM foreign_jobs WHERE task = tasks.id),
             (SELECT job FROM task_jobs WHERE task = tasks.id AND broker = 1)),
    created, started, finished, owner, attempt,
    iif(status = 'running', coalesce((SELECT name FROM workers WHERE workers.id = worker), CAST(worker AS TEXT)),
        NULL)";

/// The query for those below an id, which is its first value, the newest first; and its other values.
pub(super) fn query(filter: &Filter) -> (String, Vec<&dyn ToSql>) {
    let mut sql = format!("SELECT {COLUMNS}, NULL FROM tasks WHERE id < ?1");
    let mut values: Vec<&dyn ToSql> = Vec::new();
    match filter.recorded().as_slice() {
        [] => {}
        [Status::Done] => sql.push_str(" AND status = 'done'"),
        // In the words of the index that leaves out what is done, or it is not used.
        [other] => sql.push_str(&format!(" AND status = '{other}' AND status <> 'done'")),
        several => {
            let words: Vec<String> = several.iter().map(|status| format!("'{status}'")).collect();
            sql.push_str(&format!(" AND status IN ({})", words.join(", ")));
            if !several.contains(&Status::Done) {
                sql.push_str(" AND status <> 'done'");
            }
        }
    }
    for (column, value) in [("tube", &filter.tube), ("command", &filter.command)] {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {column} = ?{}", values.len() + 1));
        }
    }
    for (compared, value) in [(">=", &filter.since), ("<", &filter.until)] {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND created {compared} ?{}", values.len() + 1));
        }
    }
    sql.push_str(" ORDER BY id DESC");
    (sql, values)
}

pub(super) fn page(
    look: &Connection,
    filter: &Filter,
    below: TaskId,
    most: u32,
    each: &mut Each<'_>,
) -> Result<(), Failed> {
    let (sql, values) = query(filter);
    let mut statement = look.prepare_cached(&sql)?;
    let mut beside = Beside::of(look)?;
    let first: &dyn ToSql = &below;
    let values = std::iter::once(first).chain(values.iter().copied());
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
        "SELECT {COLUMNS}, body FROM tasks WHERE {by} = ?1"
    ))?;
    let mut beside = Beside::of(look)?;
    let read = |row: &Row<'_>| Ok(listed(row, &mut beside, most, true));
    let found = match key {
        Key::Id(id) => statement.query_row([id], read),
        Key::Uuid(uuid) => statement.query_row([uuid.as_bytes()], read),
    };
    found.optional()?.transpose()
}

const ATTEMPTS: &str =
    "SELECT number, worker, started, finished, outcome, exit_code, signal, reason
    FROM attempts WHERE task = ?1 ORDER BY number DESC LIMIT ?2";

/// What else is asked for each task.
struct Beside<'a> {
    attempts: CachedStatement<'a>,
    report: CachedStatement<'a>,
}

impl<'a> Beside<'a> {
    fn of(look: &'a Connection) -> Result<Beside<'a>, Failed> {
        Ok(Beside {
            attempts: look.prepare_cached(ATTEMPTS)?,
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
        body: row.get(18)?,
        body_size: row.get(6)?,
        status: status.into(),
        due: row.get(8)?,
        reason: text(row, 9)?,
        priority: row.get(10)?,
        job: row.get(11)?,
        created: row.get(12)?,
        started: row.get(13)?,
        finished: row.get(14)?,
        // They are counted from 1, and none is ever deleted by itself.
        attempts_total: row.get::<_, i64>(16)?.unsigned_abs(),
        attempts,
        report: reports::of(&mut beside.report, id, whole)?,
    };
    let owner = row.get(15)?;
    Ok(Listed { task, owner })
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
        output: None,
    }))
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
        output: None,
    })
}
