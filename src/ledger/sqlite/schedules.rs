//! Schedules, and the tasks that came of them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{some_text, text};
use crate::ledger::error::Failed;
use crate::ledger::rows::{FireRow, NewFire, ScheduleRow, Scheduled};
use crate::task::Millis;
use crate::task::id::TaskId;

const COLUMNS: &str = "name, source, timing, rules, task, nominal, held, paused, made";

pub(super) const OF: &str = "SELECT task, nominal, finished IS NULL, finished FROM fires
    CROSS JOIN tasks ON id = task WHERE schedule = ?1 ORDER BY task DESC LIMIT ?2";

pub(super) const BY_TASK: &str =
    "SELECT schedule, scheduled_for, backfilled FROM fires WHERE task = ?1";

pub(super) const HAS_FIRED: &str = "SELECT 1 FROM fires WHERE schedule = ?1 AND nominal = ?2";

fn read(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    Ok(ScheduleRow {
        name: some_text(row, 0)?,
        source: text(row, 1)?,
        timing: some_text(row, 2)?,
        rules: some_text(row, 3)?,
        template: some_text(row, 4)?,
        nominal: row.get(5)?,
        held: row.get(6)?,
        paused: row.get(7)?,
        made: row.get(8)?,
    })
}

pub(super) fn all(look: &Connection) -> Result<Vec<ScheduleRow>, Failed> {
    let sql = format!("SELECT {COLUMNS} FROM schedules ORDER BY name");
    Ok(look
        .prepare_cached(&sql)?
        .query_map([], read)?
        .collect::<Result<_, _>>()?)
}

pub(super) fn one(look: &Connection, name: &str) -> Result<Option<ScheduleRow>, Failed> {
    let sql = format!("SELECT {COLUMNS} FROM schedules WHERE name = ?1");
    Ok(look
        .prepare_cached(&sql)?
        .query_row([name], read)
        .optional()?)
}

pub(super) fn fires(look: &Connection, name: &str, limit: u32) -> Result<Vec<FireRow>, Failed> {
    let fire = |row: &Row<'_>| {
        Ok(FireRow {
            task: row.get(0)?,
            nominal: row.get(1)?,
            is_open: row.get(2)?,
            finished: row.get(3)?,
        })
    };
    Ok(look
        .prepare_cached(OF)?
        .query_map(params![name, limit], fire)?
        .collect::<Result<_, _>>()?)
}

pub(super) fn has_fired(look: &Connection, name: &str, nominal: Millis) -> Result<bool, Failed> {
    Ok(look
        .prepare_cached(HAS_FIRED)?
        .exists(params![name, nominal])?)
}

pub(super) fn of_task(look: &Connection, task: TaskId) -> Result<Option<Scheduled>, Failed> {
    let scheduled = |row: &Row<'_>| {
        Ok(Scheduled {
            schedule: some_text(row, 0)?,
            scheduled_for: text(row, 1)?,
            backfilled: row.get(2)?,
        })
    };
    Ok(look
        .prepare_cached(BY_TASK)?
        .query_row([task], scheduled)
        .optional()?)
}

pub(super) fn write(change: &Connection, row: &ScheduleRow) -> Result<(), Failed> {
    let sql = format!(
        "INSERT OR REPLACE INTO schedules ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    );
    change.prepare_cached(&sql)?.execute(params![
        row.name,
        row.source,
        row.timing,
        row.rules,
        row.template,
        row.nominal,
        row.held,
        row.paused,
        row.made,
    ])?;
    Ok(())
}

pub(super) fn delete(change: &Connection, name: &str) -> Result<bool, Failed> {
    let deleted = change
        .prepare_cached("DELETE FROM schedules WHERE name = ?1")?
        .execute([name])?;
    Ok(deleted == 1)
}

pub(super) fn set_fire(change: &Connection, fire: &NewFire<'_>) -> Result<(), Failed> {
    change
        .prepare_cached(
            "INSERT INTO fires (task, schedule, nominal, scheduled_for, backfilled) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (task) DO UPDATE SET schedule = ?2, nominal = ?3, scheduled_for = ?4, backfilled = ?5",
        )?
        .execute(params![
            fire.task,
            fire.schedule,
            fire.nominal,
            fire.scheduled_for,
            fire.backfilled
        ])?;
    Ok(())
}
