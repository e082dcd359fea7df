//! A store that is another file than it was: restored, copied or moved.

use rusqlite::Connection;

use super::{Database, Error, Failed};
use crate::clock;

/// Notes which file the store is. Where that is another than it was, tasks may be missing that were recorded after the
/// newest that it has, until now: whoever finds a job of one is to keep the job.
pub(super) fn notice(database: &mut Database) -> Result<(), Error> {
    let now = clock::now();
    let inode = database.opened.inode().cast_signed();
    let known = |look: &Connection| -> Result<Option<i64>, Failed> {
        let sql = "SELECT inode FROM store";
        Ok(look.query_row(sql, [], |row| row.get(0))?)
    };
    if database.look(|look, _| known(look))? == Some(inode) {
        return Ok(());
    }
    let path = database.path.clone();
    let noticed = |change: &Connection| -> Result<bool, Failed> {
        let before = known(change)?;
        if before == Some(inode) {
            return Ok(false);
        }
        change.execute("UPDATE store SET inode = ?1", [inode])?;
        if before.is_none() {
            return Ok(false);
        }
        let sql = "UPDATE store SET lacks_until = ?1, lacks_from = min(coalesce(lacks_from, ?1), coalesce(
                (SELECT created FROM tasks ORDER BY id DESC LIMIT 1), 0))";
        change.execute(sql, [now])?;
        Ok(true)
    };
    if database.change(|change, _| noticed(change))? {
        tracing::warn!(
            store = %path.display(),
            "the store is another file than it was: restored, copied or moved; jobs of tasks that were recorded since \
             and are missing in it will be buried, not deleted"
        );
    }
    Ok(())
}
