//! What tasks are called.

use rusqlite::{Connection, params};

use super::columns::{some_text, text};
use crate::ledger::error::Failed;
use crate::task::id::TaskId;
use crate::task::tag::Tag;

/// A task that is new is called so.
pub(super) fn add(change: &Connection, task: TaskId, tags: &[Tag]) -> Result<(), Failed> {
    for tag in tags {
        change
            .prepare_cached("INSERT INTO tags (task, name, value) VALUES (?1, ?2, ?3)")?
            .execute(params![task, tag.name(), tag.value()])?;
    }
    Ok(())
}

pub(super) fn set(change: &Connection, task: TaskId, tags: &[Tag]) -> Result<(), Failed> {
    change
        .prepare_cached("DELETE FROM tags WHERE task = ?1")?
        .execute([task])?;
    add(change, task, tags)
}

pub(super) fn of(look: &Connection, task: TaskId) -> Result<Vec<Tag>, Failed> {
    Ok(look
        .prepare_cached("SELECT name, value FROM tags WHERE task = ?1 ORDER BY name")?
        .query_map([task], |row| {
            Ok(Tag::from_row(some_text(row, 0)?, text(row, 1)?))
        })?
        .collect::<Result<_, _>>()?)
}
