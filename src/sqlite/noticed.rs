//! A store that is another file than it was: restored, copied or moved.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rusqlite::{Connection, Row, params};

use super::{Database, Error, Failed};
use crate::clock;
use crate::file_id::FileId;

/// Which file the store is, as its own row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noted {
    /// The file's number in its file system; `None` where nobody has recorded in the store yet.
    inode: Option<i64>,
    /// When the file was born, in nanoseconds since 1970, if that is known: the number may be given to another file.
    born: Option<i64>,
}

impl Noted {
    fn read(look: &Connection) -> Result<Noted, Failed> {
        let read = |row: &Row<'_>| {
            let (inode, born) = (row.get(0)?, row.get(1)?);
            Ok(Noted { inode, born })
        };
        Ok(look.query_row("SELECT inode, born FROM store", [], read)?)
    }

    /// Whether this file is another than the noted one.
    fn is_another(self, this: Noted) -> bool {
        let differ = |noted: Option<i64>, this: Option<i64>| match (noted, this) {
            (Some(noted), Some(this)) => noted != this,
            (Some(_) | None, Some(_) | None) => false,
        };
        differ(self.inode, this.inode) || differ(self.born, this.born)
    }
}

/// When the store's file was born, by the file system.
fn born(path: &Path, opened: FileId) -> Option<i64> {
    let metadata = fs::metadata(path).ok();
    let metadata = metadata.filter(|metadata| FileId::of(metadata) == opened)?;
    let born = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(born.as_nanos()).ok()
}

/// Notes which file the store is. Where that is another than it was, tasks may be missing that were recorded after the
/// newest that it has, until now: whoever finds a job of one is to keep the job.
pub(super) fn notice(database: &mut Database) -> Result<(), Error> {
    let now = clock::now();
    let path = database.path.clone();
    let this = Noted {
        inode: Some(database.opened.inode().cast_signed()),
        born: born(&path, database.opened),
    };
    if database.look(|look, _| Noted::read(look))? == this {
        return Ok(());
    }
    let noticed = |change: &Connection| -> Result<bool, Failed> {
        let before = Noted::read(change)?;
        let sql = "UPDATE store SET inode = ?1, born = ?2";
        change.execute(sql, params![this.inode, this.born])?;
        if !before.is_another(this) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_another_by_its_number_and_its_birth() {
        let noted = |inode, born| Noted { inode, born };
        let table = [
            (noted(None, None), noted(Some(1), Some(5)), false),
            (noted(Some(1), None), noted(Some(1), Some(5)), false),
            (noted(Some(1), Some(5)), noted(Some(1), None), false),
            (noted(Some(1), Some(5)), noted(Some(1), Some(5)), false),
            (noted(Some(1), Some(5)), noted(Some(1), Some(6)), true),
            (noted(Some(1), Some(5)), noted(Some(2), Some(5)), true),
            (noted(Some(1), None), noted(Some(2), None), true),
        ];
        for (before, this, is_another) in table {
            assert_eq!(before.is_another(this), is_another, "{before:?} {this:?}");
        }
    }
}
