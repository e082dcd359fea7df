//! The rows of attempts that have ended, and what they printed.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::column;
use crate::ledger::error::Failed;
use crate::ledger::rows::{EndedAttempt, RanBy, Recorded};
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId};
use crate::task::output::Captured;

pub(super) fn add(change: &Connection, ended: &EndedAttempt<'_>) -> Result<(), Failed> {
    let outcome = ended.outcome;
    change
        .prepare_cached(
            "INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code, signal, reason,
                 user_time, system_time, peak_memory)
             SELECT id, attempt, ?2, started, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM tasks WHERE id = ?1",
        )?
        .execute(params![
            ended.id.task,
            ended.worker,
            ended.finished,
            outcome.word(),
            outcome.exit_code(),
            outcome.signal(),
            outcome.reason(),
            ended.took.map(|took| micros(took.user)),
            ended.took.map(|took| micros(took.system)),
            ended.took.map(|took| column(took.peak_memory)),
        ])?;
    Ok(())
}

/// What they printed goes with them.
pub(super) fn forget(change: &Connection, last: AttemptId) -> Result<(), Failed> {
    change
        .prepare_cached("DELETE FROM attempts WHERE task = ?1 AND number <= ?2")?
        .execute(params![last.task, last.number])?;
    Ok(())
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn add_output(
    change: &Connection,
    attempt: AttemptId,
    output: &Captured,
) -> Result<(), Failed> {
    change
        .prepare_cached(
            "INSERT INTO output (task, number, head, tail, dropped) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            attempt.task,
            attempt.number,
            output.head,
            output.tail,
            column(output.dropped),
        ])?;
    Ok(())
}

pub(super) fn outcome(change: &Connection, attempt: AttemptId) -> Result<Option<Recorded>, Failed> {
    let recorded = |row: &rusqlite::Row<'_>| {
        Ok(Recorded {
            outcome: row.get(0)?,
            exit_code: row.get(1)?,
            has_reason: row.get(2)?,
        })
    };
    Ok(change
        .prepare_cached("SELECT outcome, exit_code, reason IS NOT NULL FROM attempts WHERE task = ?1 AND number = ?2",
        )?
        .query_row(params![attempt.task, attempt.number], recorded)
        .optional()?)
}

pub(super) fn output(look: &Connection, attempt: AttemptId) -> Result<Option<Captured>, Failed> {
    let captured = |row: &rusqlite::Row<'_>| {
        Ok(Captured {
            head: row.get(0)?,
            tail: row.get(1)?,
            dropped: row.get::<_, i64>(2)?.unsigned_abs(),
        })
    };
    Ok(look
        .prepare_cached("SELECT head, tail, dropped FROM output WHERE task = ?1 AND number = ?2")?
        .query_row(params![attempt.task, attempt.number], captured)
        .optional()?)
}

pub(super) fn interrupted_in_a_row(look: &Connection, task: TaskId) -> Result<u32, Failed> {
    Ok(look
        .prepare_cached(
            "SELECT count(*) FROM attempts WHERE task = ?1 AND number > coalesce(
                (SELECT max(number) FROM attempts WHERE task = ?1 AND outcome <> 'interrupted'), 0)",
        )?
        .query_row([task], |row| row.get(0))?)
}

pub(super) fn ran_by(change: &Connection, task: TaskId) -> Result<RanBy, Failed> {
    let ran_by = |row: &rusqlite::Row<'_>| {
        Ok(RanBy {
            worker: row.get(0)?,
            name: row.get(1)?,
            boot: row.get(2)?,
            was_told: row.get(3)?,
            was_hung: row.get(4)?,
        })
    };
    Ok(change
        .prepare_cached(
            "SELECT worker, coalesce(name, CAST(worker AS TEXT), ''), boot, told IS NOT NULL,
                hung IS NOT NULL
             FROM tasks LEFT JOIN workers ON workers.id = worker WHERE tasks.id = ?1",
        )?
        .query_row([task], ran_by)?)
}

/// When a task that waits began to, by the clock of then.
pub(super) const WAITS_SINCE: &str = "max(created, coalesce(
    (SELECT finished FROM attempts WHERE task = tasks.id AND number = tasks.attempt), created))";

pub(super) fn waits_since(change: &Connection, task: TaskId) -> Result<Millis, Failed> {
    let since = format!("SELECT {WAITS_SINCE} FROM tasks WHERE id = ?1");
    Ok(change
        .prepare_cached(&since)?
        .query_row([task], |row| row.get(0))?)
}
