//! Who takes a place of a limit, who began when, and who waits for a place.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Connected;
use super::columns::{some_text, text};
use super::puts;
use crate::ledger::announce::NEVER;
use crate::ledger::error::Failed;
use crate::ledger::rows::{HeldLine, HeldRow, LATE, LimitReads, LimitRows, Line};
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId};
use crate::task::limit::{Bounds, Key, Rate};
use crate::tube::TubeName;

/// As many starts that count no more are forgotten with each that is noted.
const FORGOTTEN: u32 = 8;

const COLUMNS: &str = "held.task, limit_name, limit_key, label, held.tube, held.priority, since, held.due, let_go, \
     concurrency, allowed, per";

/// Those that a line holds: what was changed since, and waits by a job or for its time, is held no more.
fn is_held() -> String {
    format!(
        "let_go IS NULL AND tasks.status = 'waiting' AND tasks.later IS NOT NULL AND tasks.due = {NEVER}"
    )
}

pub(super) const PLACES: &str = "SELECT limit_slots.task, limit_slots.attempt FROM limit_slots
    CROSS JOIN tasks ON tasks.id = limit_slots.task
    WHERE limit_name = ?1 AND limit_key = ?2 AND status = 'running' AND tasks.attempt = limit_slots.attempt";

pub(super) const STARTS: &str = "SELECT at FROM limit_starts
    WHERE limit_name = ?1 AND limit_key = ?2 AND at > ?3 ORDER BY at DESC LIMIT ?4";

pub(super) fn let_go_sql() -> String {
    format!(
        "SELECT {COLUMNS}, tasks.due FROM held CROSS JOIN tasks ON tasks.id = held.task
         WHERE limit_name = ?1 AND limit_key = ?2 AND let_go IS NOT NULL AND tasks.status = 'waiting'
            AND max(let_go, tasks.due) > ?3 AND let_go <= ?4"
    )
}

pub(super) fn first_held_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM held CROSS JOIN tasks ON tasks.id = held.task
         WHERE limit_name = ?1 AND limit_key = ?2 AND {}
            AND held.tube NOT IN (SELECT gone.tube FROM held AS gone CROSS JOIN tasks ON tasks.id = gone.task
                WHERE gone.limit_name = ?1 AND gone.limit_key = ?2 AND gone.let_go IS NOT NULL
                    AND tasks.status = 'waiting' AND max(gone.let_go, tasks.due) <= ?3
                GROUP BY gone.tube HAVING count(*) >= {LATE})
         ORDER BY held.priority, since, held.task LIMIT 1",
        is_held()
    )
}

/// The next line behind one.
const NEXT_LINE: &str = "SELECT limit_name, limit_key FROM held
    WHERE (limit_name, limit_key) > (?1, ?2) ORDER BY limit_name, limit_key LIMIT 1";
const NEXT_LINE_OF: &str = "SELECT limit_name, limit_key FROM held
    WHERE let_go IS NULL AND tube = ?3 AND (limit_name, limit_key) > (?1, ?2)
    ORDER BY limit_name, limit_key LIMIT 1";

const IN_USE: &str = "SELECT count(*), min(since), max(label), max(concurrency), max(allowed), max(per) FROM (
    SELECT since, label, concurrency, allowed, per FROM held CROSS JOIN tasks ON tasks.id = held.task
    WHERE limit_name = ?1 AND limit_key = ?2 AND status = 'waiting' AND (let_go IS NULL OR tasks.due > held.due)
    LIMIT ?3)";

/// Without the hint it may go through all that the line holds of other tubes.
pub(super) fn holds_any_sql() -> String {
    format!(
        "SELECT 1 FROM held INDEXED BY held_tube CROSS JOIN tasks ON tasks.id = held.task
         WHERE held.tube = ?1 AND limit_name = ?2 AND limit_key = ?3 AND {} LIMIT 1",
        is_held()
    )
}

fn held_of_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM held CROSS JOIN tasks ON tasks.id = held.task
         WHERE limit_name = ?1 AND limit_key = ?2 AND held.tube = ?3 AND {}
         ORDER BY held.priority, since, held.task LIMIT ?4",
        is_held()
    )
}

/// From these three columns.
fn bounds(row: &Row<'_>, first: usize) -> rusqlite::Result<Bounds> {
    let rate = match (row.get(first + 1)?, row.get(first + 2)?) {
        (Some(allowed), Some(per)) => Some(Rate { allowed, per }),
        (_, _) => None,
    };
    Ok(Bounds {
        concurrency: row.get(first)?,
        rate,
    })
}

/// Before all lines, where there is none.
fn place(line: Option<&Line>) -> (&str, &str) {
    line.map_or(("", ""), |line| (&line.limit, line.key.as_str()))
}

fn read_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        limit: some_text(row, 0)?,
        key: Key::from_row(some_text(row, 1)?),
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<HeldRow> {
    Ok(HeldRow {
        task: row.get(0)?,
        line: Line {
            limit: some_text(row, 1)?,
            key: Key::from_row(some_text(row, 2)?),
        },
        label: text(row, 3)?,
        tube: some_text(row, 4)?,
        priority: row.get(5)?,
        since: row.get(6)?,
        due: row.get(7)?,
        let_go: row.get(8)?,
        bounds: bounds(row, 9)?,
    })
}

/// With when its task is due by now.
fn read_let_go(row: &Row<'_>) -> rusqlite::Result<HeldRow> {
    Ok(HeldRow {
        due: row.get(12)?,
        ..read(row)?
    })
}

impl LimitReads for Connected<'_> {
    fn places(&self, line: &Line) -> Result<Vec<AttemptId>, Failed> {
        let place = |row: &Row<'_>| {
            Ok(AttemptId {
                task: row.get(0)?,
                number: row.get(1)?,
            })
        };
        Ok(self
            .0
            .prepare_cached(PLACES)?
            .query_map([&line.limit, line.key.as_str()], place)?
            .collect::<Result<_, _>>()?)
    }

    fn starts(&self, line: &Line, since: Millis, most: u32) -> Result<Vec<Millis>, Failed> {
        Ok(self
            .0
            .prepare_cached(STARTS)?
            .query_map(params![line.limit, line.key.as_str(), since, most], |row| {
                row.get(0)
            })?
            .collect::<Result<_, _>>()?)
    }

    fn let_go(&self, line: &Line, since: Millis, until: Millis) -> Result<Vec<HeldRow>, Failed> {
        Ok(self
            .0
            .prepare_cached(&let_go_sql())?
            .query_map(
                params![line.limit, line.key.as_str(), since, until],
                read_let_go,
            )?
            .collect::<Result<_, _>>()?)
    }

    fn first_held(&self, line: &Line, since: Millis) -> Result<Option<HeldRow>, Failed> {
        Ok(self
            .0
            .prepare_cached(&first_held_sql())?
            .query_row(params![line.limit, line.key.as_str(), since], read)
            .optional()?)
    }

    fn held_by(&self, task: TaskId) -> Result<Option<HeldRow>, Failed> {
        let sql = format!("SELECT {COLUMNS} FROM held WHERE task = ?1");
        Ok(self
            .0
            .prepare_cached(&sql)?
            .query_row([task], read)
            .optional()?)
    }

    fn lines(&self, tube: &TubeName, after: Option<&Line>, most: u32) -> Result<Vec<Line>, Failed> {
        let mut next = self.0.prepare_cached(NEXT_LINE_OF)?;
        let mut lines = Vec::new();
        let mut last = after.cloned();
        while lines.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            let (name, key) = place(last.as_ref());
            let found = next.query_row(params![name, key, tube.as_str()], read_line);
            let Some(found) = found.optional()? else {
                break;
            };
            lines.push(found.clone());
            last = Some(found);
        }
        Ok(lines)
    }

    fn lines_in_use(&self, most: u32, counted: u32) -> Result<Vec<HeldLine>, Failed> {
        let mut next = self.0.prepare_cached(NEXT_LINE)?;
        let mut in_use = self.0.prepare_cached(IN_USE)?;
        let mut lines = Vec::new();
        let mut last: Option<Line> = None;
        while lines.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            let (name, key) = place(last.as_ref());
            let Some(found) = next.query_row([name, key], read_line).optional()? else {
                break;
            };
            let line = found.clone();
            let read = |row: &Row<'_>| {
                let held: i64 = row.get(0)?;
                if held == 0 {
                    return Ok(None);
                }
                Ok(Some(HeldLine {
                    line,
                    held: held.unsigned_abs(),
                    since: row.get(1)?,
                    label: text(row, 2)?,
                    bounds: bounds(row, 3)?,
                }))
            };
            let counted = params![found.limit, found.key.as_str(), counted];
            lines.extend(in_use.query_row(counted, read)?);
            last = Some(found);
        }
        Ok(lines)
    }

    fn keeps_limits(&self) -> Result<bool, Failed> {
        Ok(self
            .0
            .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'held'")?
            .exists([])?)
    }

    fn holds_any(&self, tube: &TubeName, line: &Line) -> Result<bool, Failed> {
        Ok(self.0.prepare_cached(&holds_any_sql())?.exists([
            tube.as_str(),
            &line.limit,
            line.key.as_str(),
        ])?)
    }

    fn held_of(&self, tube: &TubeName, line: &Line, most: u32) -> Result<Vec<HeldRow>, Failed> {
        Ok(self
            .0
            .prepare_cached(&held_of_sql())?
            .query_map(
                params![line.limit, line.key.as_str(), tube.as_str(), most],
                read,
            )?
            .collect::<Result<_, _>>()?)
    }
}

impl LimitRows for Connected<'_> {
    fn set_held(&self, row: &HeldRow) -> Result<bool, Failed> {
        if !puts::set_jobless(self.0, row.task, NEVER)? {
            return Ok(false);
        }
        write(self.0, row)?;
        Ok(true)
    }

    fn expect(&self, row: &HeldRow) -> Result<(), Failed> {
        write(self.0, row)
    }

    fn release(&self, task: TaskId, at: Millis, due: Millis) -> Result<(), Failed> {
        self.0
            .prepare_cached("UPDATE held SET let_go = ?2 WHERE task = ?1")?
            .execute(params![task, at])?;
        self.0
            .prepare_cached(
                "UPDATE tasks SET due = ?2 WHERE id = ?1 AND status = 'waiting' AND later IS NOT NULL AND due = ?3",
            )?
            .execute(params![task, due, NEVER])?;
        Ok(())
    }

    fn forget_held(&self, task: TaskId) -> Result<Option<Line>, Failed> {
        forget(self.0, task)
    }

    fn take_place(
        &self,
        line: &Line,
        attempt: AttemptId,
        start: Option<(Millis, Millis)>,
    ) -> Result<(), Failed> {
        let AttemptId { task, number } = attempt;
        self.0
            .prepare_cached(
                "INSERT INTO limit_slots (limit_name, limit_key, task, attempt) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET attempt = excluded.attempt",
            )?
            .execute(params![line.limit, line.key.as_str(), task, number])?;
        let Some((at, until)) = start else {
            return Ok(());
        };
        self.0
            .prepare_cached(
                "DELETE FROM limit_starts WHERE (limit_name, limit_key, at, task, attempt) IN (
                    SELECT limit_name, limit_key, at, task, attempt FROM limit_starts WHERE until <= ?1
                    ORDER BY until LIMIT ?2)",
            )?
            .execute(params![at, FORGOTTEN])?;
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO limit_starts (limit_name, limit_key, at, task, attempt, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                line.limit,
                line.key.as_str(),
                at,
                task,
                number,
                until
            ])?;
        Ok(())
    }

    fn free_places(&self, task: TaskId, began: bool) -> Result<Vec<Line>, Failed> {
        let freed = self
            .0
            .prepare_cached(
                "DELETE FROM limit_slots WHERE task = ?1 RETURNING limit_name, limit_key, attempt",
            )?
            .query_map([task], |row| Ok((read_line(row)?, row.get(2)?)))?
            .collect::<Result<Vec<(Line, i64)>, _>>()?;
        if !began {
            for (line, attempt) in &freed {
                self.0
                    .prepare_cached(
                        "DELETE FROM limit_starts WHERE limit_name = ?1 AND limit_key = ?2 AND task = ?3
                            AND attempt = ?4",
                    )?
                    .execute(params![line.limit, line.key.as_str(), task, attempt])?;
            }
        }
        Ok(freed.into_iter().map(|(line, _)| line).collect())
    }
}

/// Whoever was held before waits since then.
fn write(change: &Connection, row: &HeldRow) -> Result<(), Failed> {
    let (rate, concurrency) = (row.bounds.rate, row.bounds.concurrency);
    change
        .prepare_cached(
            "INSERT INTO held (task, limit_name, limit_key, label, tube, priority, since, due, let_go, concurrency,
                allowed, per)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (task) DO UPDATE SET limit_name = excluded.limit_name, limit_key = excluded.limit_key,
                label = excluded.label, tube = excluded.tube, priority = excluded.priority,
                due = min(due, excluded.due), let_go = excluded.let_go, concurrency = excluded.concurrency,
                allowed = excluded.allowed, per = excluded.per",
        )?
        .execute(params![
            row.task,
            row.line.limit,
            row.line.key.as_str(),
            row.label,
            row.tube,
            row.priority,
            row.since,
            row.due,
            row.let_go,
            concurrency,
            rate.map(|rate| rate.allowed),
            rate.map(|rate| rate.per),
        ])?;
    Ok(())
}

fn forget(change: &Connection, task: TaskId) -> Result<Option<Line>, Failed> {
    Ok(change
        .prepare_cached("DELETE FROM held WHERE task = ?1 RETURNING limit_name, limit_key")?
        .query_row([task], read_line)
        .optional()?)
}
