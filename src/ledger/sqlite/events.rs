//! What has happened, in rows.

use std::cell::RefCell;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::columns::text;
use crate::ledger::error::Failed;
use crate::ledger::rows::{About, EventFilter, EventRow, NewEvent};
use crate::task::Millis;
use crate::task::event::What;
use crate::task::id::TaskId;

macro_rules! insert_into {
    () => {
        "INSERT INTO events (at, what, task, attempt, detail) VALUES "
    };
}

macro_rules! row {
    () => {
        "(?, ?, ?, ?, ?)"
    };
}

macro_rules! more {
    () => {
        ", (?, ?, ?, ?, ?)"
    };
}

/// Whether the store is of a version that keeps events.
fn are_kept(connection: &Connection) -> Result<bool, Failed> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'events'")?
        .exists([])?)
}

/// So many are written by one statement, where there are so many: what one costs is mostly to begin and to end it.
const SIZES: [usize; 4] = [8, 4, 2, 1];

/// What has happened in a transaction, and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Pending(RefCell<Vec<Event>>);

#[derive(Debug)]
struct Event {
    at: Millis,
    what: i64,
    about: About,
    detail: Option<String>,
}

impl Pending {
    pub fn add(&self, event: &NewEvent<'_>) {
        self.0.borrow_mut().push(Event {
            at: event.at,
            what: event.what.number(),
            about: event.about,
            detail: event.detail.map(str::to_owned),
        });
    }

    /// It has not happened.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    /// Writes all of it, in its order.
    pub fn write(&self, change: &Connection) -> Result<(), Failed> {
        let events = self.0.take();
        let mut left = events.as_slice();
        for size in SIZES {
            while let Some((some, rest)) = left.split_at_checked(size) {
                if !insert(change, some)? {
                    return Ok(());
                }
                left = rest;
            }
        }
        Ok(())
    }
}

/// False where the store is of an earlier version, whose workers live: that keeps none.
fn insert(change: &Connection, events: &[Event]) -> Result<bool, Failed> {
    let sql = match events.len() {
        8 => concat!(
            insert_into!(),
            row!(),
            more!(),
            more!(),
            more!(),
            more!(),
            more!(),
            more!(),
            more!()
        ),
        4 => concat!(insert_into!(), row!(), more!(), more!(), more!()),
        2 => concat!(insert_into!(), row!(), more!()),
        _ => concat!(insert_into!(), row!()),
    };
    let mut insert = match change.prepare_cached(sql) {
        Ok(insert) => insert,
        Err(error) => {
            return match are_kept(change)? {
                true => Err(error.into()),
                false => Ok(false),
            };
        }
    };
    let values = events.iter().flat_map(|event| {
        let values: [&dyn ToSql; 5] = [
            &event.at,
            &event.what,
            &event.about.task,
            &event.about.attempt,
            &event.detail,
        ];
        values
    });
    insert.execute(params_from_iter(values))?;
    Ok(true)
}

/// The number of the event that was written last.
pub(super) fn last(change: &Connection) -> Result<Option<i64>, Failed> {
    Ok(kept(change)?.map(|(_, newest)| newest))
}

/// What rows say of a task and an attempt.
const OF: &str = "tasks.uuid, tasks.tube, tasks.command, attempts.outcome, attempts.exit_code, attempts.signal,
    coalesce(attempts.reason, CASE WHEN status IN ('failed', 'cancelled') THEN tasks.reason END), attempts.worker";

fn of(row: &Row<'_>, at: usize, event: EventRow) -> Result<EventRow, rusqlite::Error> {
    let uuid: Option<Vec<u8>> = row.get(at)?;
    Ok(EventRow {
        uuid: uuid.and_then(|bytes| uuid::Uuid::from_slice(&bytes).ok()),
        tube: text(row, at + 1)?,
        command: text(row, at + 2)?,
        outcome: text(row, at + 3)?,
        exit_code: row.get(at + 4)?,
        signal: row.get(at + 5)?,
        reason: text(row, at + 6)?,
        worker: text(row, at + 7)?,
        schedule: text(row, at + 8)?,
        ..event
    })
}

pub(super) fn of_task(
    look: &Connection,
    task: TaskId,
    attempt: Option<i64>,
) -> Result<Option<EventRow>, Failed> {
    let sql = format!(
        "SELECT {OF}, fires.schedule FROM tasks
         LEFT JOIN attempts ON attempts.task = tasks.id AND attempts.number = ?2
         LEFT JOIN fires ON fires.task = tasks.id
         WHERE tasks.id = ?1"
    );
    Ok(look
        .prepare_cached(&sql)?
        .query_row(params![task, attempt], |row| {
            of(row, 0, EventRow::default())
        })
        .optional()?)
}

/// A number is a bit of the fourth parameter.
pub(super) fn select(newest_first: bool) -> String {
    let order = if newest_first { "DESC" } else { "ASC" };
    format!(
        "SELECT events.number, events.at, events.what, events.task, events.attempt, events.detail,
            {OF}, fires.schedule
         FROM events
         LEFT JOIN tasks ON tasks.id = events.task
         LEFT JOIN attempts ON attempts.task = events.task AND attempts.number = events.attempt
         LEFT JOIN fires ON fires.task = events.task
         WHERE events.number > ?1 AND (?2 IS NULL OR events.task = ?2)
            AND (?3 IS NULL OR coalesce(tasks.tube,
                CASE WHEN json_valid(events.detail) THEN events.detail ->> 'tube' END) = ?3)
            AND (?4 IS NULL OR (?4 >> events.what) & 1)
         ORDER BY events.number {order} LIMIT ?5"
    )
}

pub(super) fn some(
    look: &Connection,
    after: i64,
    filter: &EventFilter,
    newest_first: bool,
    limit: u32,
) -> Result<Vec<EventRow>, Failed> {
    if !are_kept(look)? {
        return Ok(Vec::new());
    }
    let bits = filter.what.iter().map(|what: &What| 1i64 << what.number());
    let bits = (!filter.what.is_empty()).then(|| bits.fold(0, |all, bit| all | bit));
    let mut statement = look.prepare_cached(&select(newest_first))?;
    let read = |row: &Row<'_>| {
        let event = EventRow {
            number: row.get(0)?,
            at: row.get(1)?,
            what: row.get(2)?,
            task: row.get(3)?,
            attempt: row.get(4)?,
            detail: text(row, 5)?,
            ..EventRow::default()
        };
        of(row, 6, event)
    };
    let rows = statement.query_map(params![after, filter.task, filter.tube, bits, limit], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn kept(look: &Connection) -> Result<Option<(i64, i64)>, Failed> {
    if !are_kept(look)? {
        return Ok(None);
    }
    let end = |sql: &str| -> Result<Option<i64>, Failed> {
        Ok(look.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    };
    // Each alone is one look into the tree.
    let oldest = end("SELECT min(number) FROM events")?;
    let newest = end("SELECT max(number) FROM events")?;
    Ok(oldest.zip(newest))
}

pub(super) fn oldest(look: &Connection, limit: u32) -> Result<Vec<(i64, Millis)>, Failed> {
    let mut statement =
        look.prepare_cached("SELECT number, at FROM events ORDER BY number LIMIT ?1")?;
    let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn forget(change: &Connection, up_to: i64) -> Result<u64, Failed> {
    let deleted = change
        .prepare_cached("DELETE FROM events WHERE number <= ?1")?
        .execute([up_to])?;
    Ok(deleted as u64)
}
