//! The keys of tasks that no two have at a time.

use rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::some_text;
use super::error::nonsense;
use crate::ledger::error::Failed;
use crate::task::Millis;
use crate::task::id::TaskId;
use crate::task::unique::{Hold, Key, Span};

/// As the index `tasks_unique` has it, which is found by these words.
pub(super) const HOLDER: &str = "SELECT id FROM tasks WHERE unique_key = ?1
    AND (status = 'waiting' OR (status = 'running' AND unique_while = 'unfinished') OR unique_while = 'until')";

pub(super) const LAPSED: &str =
    "UPDATE tasks SET unique_key = NULL, unique_while = NULL, unique_until = NULL
     WHERE unique_key = ?1 AND unique_until <= ?2
        AND (status = 'waiting' OR (status = 'running' AND unique_while = 'unfinished') OR unique_while = 'until')";

/// A file of an earlier version, which is only put into, cannot say it, or has no column for all that is read of who
/// has a key.
fn has_keys(look: &Connection) -> Result<(), Failed> {
    let has_column = look
        .prepare_cached("SELECT 1 FROM pragma_table_info('tasks') WHERE name = 'own'")?
        .exists([])?;
    match has_column {
        true => Ok(()),
        false => Err(Failed::Trouble {
            what: "it is of an earlier version, and --unique needs it up to date: what is started next without that a \
                   worker of the earlier version lives brings it up to date"
                .into(),
        }),
    }
}

pub(super) fn holder(
    change: &Connection,
    key: &Key,
    now: Millis,
) -> Result<Option<TaskId>, Failed> {
    has_keys(change)?;
    change
        .prepare_cached(LAPSED)?
        .execute(params![key.as_str(), now])?;
    Ok(change
        .prepare_cached(HOLDER)?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()?)
}

/// The same for who only looks.
pub(super) fn seen_holder(
    look: &Connection,
    key: &Key,
    now: Millis,
) -> Result<Option<TaskId>, Failed> {
    has_keys(look)?;
    let found = look
        .prepare_cached(HOLDER)?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()?;
    let Some(task) = found else {
        return Ok(None);
    };
    let until = of(look, task)?.and_then(|hold| hold.span.until());
    Ok(until.is_none_or(|until| until > now).then_some(task))
}

pub(super) fn of(look: &Connection, task: TaskId) -> Result<Option<Hold>, Failed> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok((
            some_text(row, 0)?,
            some_text(row, 1)?,
            row.get::<_, Option<Millis>>(2)?,
        ))
    };
    let found = look
        .prepare_cached(
            "SELECT unique_key, unique_while, unique_until FROM tasks WHERE id = ?1 AND unique_key IS NOT NULL",
        )?
        .query_row([task], read)
        .optional()?;
    let Some((key, word, until)) = found else {
        return Ok(None);
    };
    let wrong = |what: String| Failed::row(task, nonsense(&format!("task {task}: {what}")));
    let span = match (word.as_str(), until) {
        ("waiting", None) => Span::Waiting,
        ("unfinished", None) => Span::Unfinished,
        ("until", Some(until)) => Span::Until(until),
        _ => return Err(wrong(format!("it has its key while '{word}'"))),
    };
    let key = key.parse().map_err(|why| wrong(format!("{why}")))?;
    Ok(Some(Hold { key, span }))
}

pub(super) fn set(change: &Connection, task: TaskId, hold: &Hold) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET unique_key = ?2, unique_while = ?3, unique_until = ?4 WHERE id = ?1",
        )?
        .execute(params![
            task,
            hold.key.as_str(),
            hold.span.word(),
            hold.span.until()
        ])?;
    Ok(())
}

/// Runs the statement after which a task waits again. If another has got the task's key meanwhile, the task goes on
/// without.
pub(super) fn with_or_without<R>(
    change: &Connection,
    task: TaskId,
    mut run: impl FnMut() -> rusqlite::Result<R>,
) -> Result<R, Failed> {
    match run() {
        Err(rusqlite::Error::SqliteFailure(why, _))
            if why.extended_code == SQLITE_CONSTRAINT_UNIQUE =>
        {
            tracing::warn!(%task, "another task has got its key meanwhile: it waits again without the key");
            change
                .prepare_cached(
                    "UPDATE tasks SET unique_key = NULL, unique_while = NULL, unique_until = NULL WHERE id = ?1",
                )?
                .execute([task])?;
            Ok(run()?)
        }
        ran => Ok(ran?),
    }
}
