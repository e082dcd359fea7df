//! Which rows are old, and may go.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::some_text;
use crate::ledger::error::Failed;
use crate::ledger::rows::{Old, Unsure};
use crate::task::Millis;
use crate::task::id::TaskId;
use crate::task::refused::{Counted, Keep};
use crate::tube::TubeName;

fn condition(old: &Old) -> String {
    let words: Vec<String> = old
        .statuses
        .iter()
        .filter(|status| status.is_ended())
        .map(|status| format!("'{status}'"))
        .collect();
    format!(
        "finished >= ?1 AND finished < ?2 AND status IN ({})",
        words.join(", ")
    )
}

/// Those that may go: a foreign job that may come round again needs its row, to be known as done; and whoever waits for
/// a task may ask what came of it.
fn may_go(old: &Old) -> String {
    format!(
        "{} AND NOT EXISTS (SELECT 1 FROM foreign_jobs WHERE task = tasks.id AND gone = 0)
            AND (children IS NULL OR NOT EXISTS (SELECT 1 FROM edges CROSS JOIN tasks AS others ON others.id = child
                WHERE parent = tasks.id AND others.finished IS NULL))",
        condition(old)
    )
}

/// The next batch from a time on.
pub(super) fn old_sql(old: &Old) -> String {
    format!(
        "SELECT id, finished FROM tasks WHERE {} ORDER BY finished LIMIT ?3",
        may_go(old)
    )
}

pub(super) fn old(
    look: &Connection,
    old: &Old,
    from: Millis,
    limit: usize,
) -> Result<Vec<(TaskId, Millis)>, Failed> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(look
        .prepare_cached(&old_sql(old))?
        .query_map(params![from, old.before, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?)
}

pub(super) fn delete_sql(old: &Old) -> String {
    format!(
        "DELETE FROM tasks WHERE id = ?3 AND {} RETURNING created",
        may_go(old)
    )
}

pub(super) fn delete(change: &Connection, old: &Old, tasks: &[TaskId]) -> Result<u64, Failed> {
    let mut delete = change.prepare_cached(&delete_sql(old))?;
    let (mut deleted, mut newest) = (0, None);
    for task in tasks {
        let created: Option<Millis> = delete
            .query_row(params![Millis::MIN, old.before, task], |row| row.get(0))
            .optional()?;
        newest = newest.max(created);
        deleted += u64::from(created.is_some());
    }
    if let Some(newest) = newest {
        note_newest(change, newest)?;
    }
    Ok(deleted)
}

/// Notes when the newest was recorded of those that were just deleted.
pub(super) fn note_newest(change: &Connection, created: Millis) -> Result<(), Failed> {
    // A newer one that is there tells as much, and on a full disk each page is one too many.
    let sql = "UPDATE store SET deleted = ?1 WHERE (deleted IS NULL OR deleted < ?1)
        AND ?1 > coalesce((SELECT created FROM tasks ORDER BY id DESC LIMIT 1), 0)";
    change.prepare_cached(sql)?.execute([created])?;
    Ok(())
}

pub(super) fn count(look: &Connection, old: &Old) -> Result<u64, Failed> {
    let sql = format!("SELECT count(*) FROM tasks WHERE {}", may_go(old));
    let count: i64 = look.query_row(&sql, params![Millis::MIN, old.before], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

pub(super) fn unsure_sql(old: &Old) -> String {
    format!(
        "SELECT id, job, hash, tube, instance FROM tasks JOIN foreign_jobs ON task = id
         WHERE {} AND gone = 0 AND id > ?3 ORDER BY +id LIMIT ?4",
        condition(old)
    )
}

pub(super) fn unsure(
    look: &Connection,
    old: &Old,
    after: TaskId,
    limit: usize,
) -> Result<Vec<Unsure>, Failed> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(look
        .prepare_cached(&unsure_sql(old))?
        .query_map(params![Millis::MIN, old.before, after, limit], unsure_of)?
        .collect::<Result<_, _>>()?)
}

/// So many tasks that have failed are looked through for those that were refused, the newest first: a worker asks
/// between two jobs.
const LOOKED_THROUGH: usize = 100_000;

/// Of all that failed, in the order of an index.
pub(super) fn refused_sql() -> String {
    format!(
        "SELECT id, job, hash, tube, instance,
            coalesce(length(body), 0) + coalesce(length(arguments), 0) + coalesce(length(options), 0)
         FROM (SELECT * FROM tasks WHERE status = 'failed' AND later IS NULL AND status <> 'done'
            ORDER BY id DESC LIMIT {LOOKED_THROUGH}) AS newest JOIN foreign_jobs ON foreign_jobs.task = newest.id
         WHERE tube = ?1 AND EXISTS
            (SELECT 1 FROM attempts WHERE task = newest.id AND number = newest.attempt AND outcome = 'refused')"
    )
}

pub(super) fn refused_beyond(
    look: &Connection,
    tube: &TubeName,
    keep: Keep,
    limit: usize,
) -> Result<Vec<Unsure>, Failed> {
    let mut statement = look.prepare_cached(&refused_sql())?;
    let mut rows = statement.query([tube.as_str()])?;
    let (mut counted, mut beyond) = (Counted::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let size = row.get::<_, i64>(5)?.unsigned_abs();
        if keep.has_room(&mut counted, size) {
            continue;
        }
        beyond.push(unsure_of(row)?);
        if beyond.len() == limit {
            break;
        }
    }
    Ok(beyond)
}

fn unsure_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Unsure> {
    Ok(Unsure {
        id: row.get(0)?,
        job: row.get::<_, i64>(1)?.unsigned_abs(),
        hash: row.get(2)?,
        tube: some_text(row, 3)?,
        instance: some_text(row, 4)?,
    })
}

const BEEN_AT: &str = "SELECT 1 FROM
    (SELECT id FROM tasks WHERE tube = ?1 ORDER BY id DESC LIMIT 1000) AS newest
    WHERE EXISTS (SELECT 1 FROM task_jobs WHERE task = newest.id AND broker = 1 AND instance = ?2)
        OR EXISTS (SELECT 1 FROM foreign_jobs WHERE task = newest.id AND instance = ?2)";

pub(super) fn has_been_at(look: &Connection, tube: &str, instance: &str) -> Result<bool, Failed> {
    Ok(look.prepare_cached(BEEN_AT)?.exists([tube, instance])?)
}
