//! The schema: which version a file has, and bringing it up to date.

use std::error::Error as _;
use std::path::Path;

use rusqlite::Connection;

use super::error::said;
use super::place::{Place, set_foreign_keys};
use super::room::{make_flexible, make_flexible_if_small};
use super::transaction::Transaction;
use super::turn::{no_turn, wait_for_turn};
use super::{Error, pair};
use crate::beside;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The newest version of the schema that there is a migration for. Said here, since refinery knows it only after it has
/// compiled a regular expression, which every process would make at its start and keep: 430 KB.
pub(super) const NEWEST: i64 = 23;

/// The oldest version that can be put into as it is: all that later ones have added may be left empty.
pub(super) const FILLABLE: i64 = 6;

/// The schema's version; `None` for an empty database.
///
/// # Errors
/// When it is ahead of us, or is not a store's.
pub(super) fn version(path: &Path, connection: &Connection) -> Result<Option<i64>, Error> {
    let sqlite = |e| Error::sqlite(path, e);
    // Somebody may be making the store: its history may be seen before the tables or with them, and not in between.
    let _one_moment = Transaction::begin_to_look(connection).map_err(sqlite)?;
    let tables = "SELECT count(*), count(*) FILTER (WHERE name = 'refinery_schema_history'),
                         count(*) FILTER (WHERE name = 'store')
                  FROM sqlite_schema";
    let (tables, histories, stores): (i64, i64, i64) = connection
        .query_row(tables, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(sqlite)?;
    if tables == 0 {
        return Ok(None);
    }
    if histories == 0 {
        return Err(Error::NotOurs { path: path.into() });
    }
    let newest = "SELECT max(version) FROM refinery_schema_history";
    let found: Option<i64> = connection
        .query_row(newest, [], |row| row.get(0))
        .map_err(sqlite)?;
    match found {
        Some(_) if stores == 0 => Err(Error::NotOurs { path: path.into() }),
        Some(found) if found > NEWEST => Err(Error::Newer {
            path: path.into(),
            found,
            known: NEWEST,
        }),
        found => Ok(found),
    }
}

/// Brings the schema up to date. refinery looks and applies in two transactions, so two processes
/// could both find it old: one at a time, then, and look again.
pub(super) fn migrate(place: &Place, connection: &mut Connection) -> Result<(), Error> {
    let path: &Path = &place.path;
    if version(path, connection)? == Some(NEWEST) {
        return Ok(());
    }
    let turn = wait_for_turn(path)?;
    let before = version(path, connection)?;
    if before == Some(NEWEST) {
        return Ok(());
    }
    let migrate_error = |reason: String| Error::Migrate {
        path: path.into(),
        reason,
    };
    // They could not record any more how what they run has ended.
    match turn.is_any_worker_here() {
        Ok(false) => {}
        Ok(true) => return Err(Error::Behind { path: path.into() }),
        Err(source) => {
            return Err(no_turn(path, &source));
        }
    }
    // The first is heeded only before anything is in the file.
    make_flexible(connection)
        .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
        .map_err(|e| Error::sqlite(path, e))?;
    // The journal is to tell whose it is by the schema from which on it was written.
    pair::begin(connection)
        .and_then(|()| match place.folder.read(&beside::named(path, "-wal")) {
            Ok(log) => pair::mark(connection, &log.file).map(drop),
            Err(_) => Ok(()),
        })
        .map_err(|e| Error::sqlite(path, e))?;
    // A table that is made anew is dropped before, and no row that refers to it may go with it.
    set_foreign_keys(path, connection, false)?;
    // Together: what a migration makes, and that it was made, are two transactions otherwise, and whoever is killed
    // between them leaves a store that nobody can bring up to date.
    let migrated = embedded::migrations::runner()
        .set_grouped(true)
        .run(connection)
        .map(drop)
        .map_err(|e| migrate_error(cause(path, &e)));
    set_foreign_keys(path, connection, true)?;
    migrated?;
    make_flexible_if_small(connection);
    let store = path.display();
    match before {
        None => tracing::info!(%store, "made a new store, for there was none"),
        Some(before) => {
            tracing::info!(%store, before, now = NEWEST, "brought the store's schema up to date");
        }
    }
    Ok(())
}

/// Why a migration failed: what SQLite said, and not who asked.
fn cause(path: &Path, error: &refinery::Error) -> String {
    let mut why = error.source();
    while let Some(error) = why {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
            return said(path, error);
        }
        why = error.source();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use rusqlite::hooks::{AuthAction, Authorization};

    use super::*;

    /// The history of migrations is there a moment before what they make.
    #[test]
    fn a_store_that_is_being_made_is_none_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let mut maker = Connection::open(&path).unwrap();
        maker.pragma_update(None, "journal_mode", "WAL").unwrap();
        maker.pragma_update(None, "foreign_keys", false).unwrap();
        let none = refinery::Target::Version(0);
        let run = |connection: &mut Connection, target| {
            let runner = embedded::migrations::runner().set_target(target);
            runner.set_grouped(true).run(connection).map(drop).unwrap();
        };
        run(&mut maker, none);
        let mut look = Connection::open(&path).unwrap();
        let mut maker = Some(maker);
        look.authorizer(Some(move |asked: rusqlite::hooks::AuthContext<'_>| {
            // It is made between the two looks that the version takes.
            let is_history = matches!(asked.action, AuthAction::Read { table_name, .. } if table_name == HISTORY);
            if let Some(mut maker) = maker.take_if(|_| is_history) {
                run(&mut maker, refinery::Target::Latest);
            }
            Authorization::Allow
        }))
        .unwrap();
        assert_eq!(version(&path, &look).unwrap(), None);
        assert_eq!(version(&path, &look).unwrap(), Some(NEWEST));
    }

    const HISTORY: &str = "refinery_schema_history";

    #[test]
    fn the_newest_version_is_that_of_the_newest_migration() {
        let runner = embedded::migrations::runner();
        let versions = runner.get_migrations().iter().map(|m| m.version());
        assert_eq!(versions.max().map(i64::from), Some(NEWEST));
    }
}
