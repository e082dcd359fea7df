//! The rows of what commands have said of their attempts.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::columns::text;
use crate::ledger::error::Failed;
use crate::ledger::read::Report;
use crate::ledger::rows::Said;
use crate::task::id::TaskId;

pub(super) fn set(change: &Connection, said: &Said<'_>) -> Result<(), Failed> {
    change
        .prepare_cached(
            "INSERT OR REPLACE INTO reports (task, number, at, progress, message, result)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            said.id.task,
            said.id.number,
            said.at,
            said.progress.percent,
            said.progress.message,
            said.result,
        ])?;
    Ok(())
}

/// The second value says whether results are asked for, which are long.
pub(super) const REPORT: &str =
    "SELECT number, at, progress, message, iif(?2, result, NULL), result IS NOT NULL
    FROM reports WHERE task = ?1";

pub(super) fn one(look: &Connection, task: TaskId) -> Result<Option<Report>, Failed> {
    of(&mut look.prepare_cached(REPORT)?, task, false)
}

pub(super) fn of(
    statement: &mut CachedStatement<'_>,
    task: TaskId,
    whole: bool,
) -> Result<Option<Report>, Failed> {
    let report = |row: &Row<'_>| {
        Ok(Report {
            attempt: row.get(0)?,
            at: row.get(1)?,
            percent: row.get(2)?,
            message: text(row, 3)?,
            result: text(row, 4)?,
            has_result: row.get(5)?,
        })
    };
    Ok(statement
        .query_row(params![task, whole], report)
        .optional()?)
}
