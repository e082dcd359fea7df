//! What ended in each minute.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{column, some_text};
use crate::ledger::durations::Durations;
use crate::ledger::error::Failed;
use crate::ledger::rows::{Ends, Of};

pub(super) const ENDS: &str =
    "SELECT done, failed, retried, waited, ran, waits, runs, cpu, memory, minute, tube, command
    FROM minutes WHERE minute BETWEEN ?1 AND ?2";

pub(super) const OF: &str = "SELECT done, failed, retried, waited, ran, waits, runs, cpu, memory
    FROM minutes WHERE minute = ?1 AND tube = ?2 AND command = ?3";

const INSERT: &str =
    "INSERT INTO minutes (minute, tube, command, done, failed, retried, waited, ran, waits, runs, cpu, memory)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

pub(super) const UPDATE: &str =
    "UPDATE minutes SET done = ?4, failed = ?5, retried = ?6, waited = ?7, ran = ?8, waits = ?9, runs = ?10,
        cpu = ?11, memory = ?12
    WHERE minute = ?1 AND tube = ?2 AND command = ?3";

/// Whether a tube has more commands than so many in a minute.
pub(super) const COMMANDS: &str =
    "SELECT 1 FROM minutes WHERE minute = ?1 AND tube = ?2 LIMIT 1 OFFSET ?3";

/// The oldest minute, if that is too old.
pub(super) const FORGET: &str =
    "DELETE FROM minutes WHERE minute = (SELECT min(minute) FROM minutes) AND minute < ?1";

/// The newest minute, if a clock has made that was wrong.
pub(super) const FORGET_TO_COME: &str =
    "DELETE FROM minutes WHERE minute = (SELECT max(minute) FROM minutes) AND minute > ?1";

pub(super) fn ends(look: &Connection, from: i64, to: i64) -> Result<Vec<(Of, Ends)>, Failed> {
    let mut statement = look.prepare_cached(ENDS)?;
    let mut rows = statement.query([from, to])?;
    let mut ends = Vec::new();
    while let Some(row) = rows.next()? {
        let of = Of {
            minute: row.get(9)?,
            tube: some_text(row, 10)?,
            command: some_text(row, 11)?,
        };
        // What makes no sense, and somebody must have written by hand, hides nothing of the others.
        ends.extend(read(row)?.map(|counted| (of, counted)));
    }
    Ok(ends)
}

pub(super) fn add(
    change: &Connection,
    of: &Of,
    more: &Ends,
    kept: &RangeInclusive<i64>,
    commands: usize,
) -> Result<(), Failed> {
    let before = change
        .prepare_cached(OF)?
        .query_row(params![of.minute, of.tube, of.command], read)
        .optional()?;
    let is_new = before.is_none();
    if is_new && !of.command.is_empty() {
        let last = i64::try_from(commands.saturating_sub(1)).unwrap_or(i64::MAX);
        let mut too_many = change.prepare_cached(COMMANDS)?;
        if too_many.exists(params![of.minute, of.tube, last])? {
            return add(change, &of.nameless(), more, kept, commands);
        }
    }
    // No task's end is kept from being recorded by a count that makes no sense.
    let mut ends = before.flatten().unwrap_or_default();
    ends.add(more);
    // In place where there is one, which is quicker than to replace the row.
    let write = if is_new { INSERT } else { UPDATE };
    change.prepare_cached(write)?.execute(params![
        of.minute,
        of.tube,
        of.command,
        column(ends.done),
        column(ends.failed),
        column(ends.retried),
        column(ends.waited.total()),
        column(ends.ran.total()),
        ends.waited.keep(),
        ends.ran.keep(),
        column(ends.cpu),
        column(ends.memory),
    ])?;
    if is_new {
        for (sql, limit) in [(FORGET, kept.start()), (FORGET_TO_COME, kept.end())] {
            change.prepare_cached(sql)?.execute([limit])?;
        }
    }
    Ok(())
}

/// `None` if that is nothing that was written here.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Ends>> {
    let number = |at| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.unsigned_abs());
    let durations = |total, steps| {
        let kept = row.get_ref(steps)?.as_bytes()?;
        Ok::<_, rusqlite::Error>(Durations::kept(number(total)?, kept))
    };
    let (Some(waited), Some(ran)) = (durations(3, 5)?, durations(4, 6)?) else {
        return Ok(None);
    };
    Ok(Some(Ends {
        done: number(0)?,
        failed: number(1)?,
        retried: number(2)?,
        waited,
        ran,
        cpu: number(7)?,
        memory: number(8)?,
    }))
}
