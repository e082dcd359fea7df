//! What tasks say of their own attempts.

use rusqlite::{Connection, params};

use super::error::nonsense;
use crate::ledger::error::Failed;
use crate::task::id::TaskId;
use crate::task::own::Own;

/// A file of an earlier version, which is only put into, cannot say it.
fn has_own(look: &Connection) -> Result<(), Failed> {
    let has_column = look
        .prepare_cached("SELECT 1 FROM pragma_table_info('tasks') WHERE name = 'own'")?
        .exists([])?;
    match has_column {
        true => Ok(()),
        false => Err(Failed::Trouble {
            what: "it is of an earlier version, in which no task says how often it is tried, how long it may run or \
                   what is in its environment: what is started next without that a worker of the earlier version \
                   lives brings it up to date"
                .into(),
        }),
    }
}

pub(super) fn set(change: &Connection, task: TaskId, own: Option<&Own>) -> Result<(), Failed> {
    has_own(change)?;
    change
        .prepare_cached("UPDATE tasks SET own = ?2 WHERE id = ?1")?
        .execute(params![task, own.map(Own::written)])?;
    Ok(())
}

/// What stands in a row. Of nearly all tasks that is nothing.
pub(super) fn of(task: TaskId, written: Option<&str>) -> Result<Option<Box<Own>>, Failed> {
    let Some(written) = written else {
        return Ok(None);
    };
    match Own::read(written) {
        Ok(own) => Ok(Some(Box::new(own))),
        Err(why) => Err(Failed::row(
            task,
            nonsense(&format!(
                "task {task}: what it says of its own attempts: {why}"
            )),
        )),
    }
}
