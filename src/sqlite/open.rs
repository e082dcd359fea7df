//! Opening a store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use uuid::Uuid;

use super::journal::Journal;
use super::noticed::notice;
use super::place::{Place, create_private, keep_journal, open_error, standing};
use super::schema::{FILLABLE, NEWEST, migrate, version};
use super::{Database, Durability, Error, Failed};
use crate::beside;
use crate::clock::boot_id;
use crate::file_id::FileId;
use crate::lives::locks::LockFile;

/// How long it is tried to fold a journal back that others may need.
const FOLDING: Duration = Duration::from_secs(2);

impl Database {
    /// Opens the store, making it or bringing its schema up to date where needed.
    pub fn open(path: &Path, durability: Durability) -> Result<Database, Error> {
        let open = || {
            let made = create_private(path).map_err(|e| open_error(path, &e))?;
            Database::open_made(made, durability)
        };
        let mut database = match open() {
            // Another was just put in its place.
            Err(Error::Moved { .. }) => open()?,
            opened => opened?,
        };
        notice(&mut database)?;
        Ok(database)
    }

    fn open_made(file: Place, durability: Durability) -> Result<Database, Error> {
        let mut connection = file.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        migrate(&file, &mut connection)?;
        Database::new(file, connection, durability)
    }

    /// Opens a store to read it, or to change what may come back with a power cut; `None` if there is none yet. Its
    /// schema stays what it is, and is the newest.
    pub fn open_existing(path: &Path) -> Result<Option<Database>, Error> {
        Database::open_as_it_is(path, NEWEST)
    }

    /// Opens a store that has this version of the schema or a later one.
    fn open_as_it_is(path: &Path, oldest: i64) -> Result<Option<Database>, Error> {
        let file = match standing(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(e) => return Err(open_error(path, &e)),
        };
        // A reader of a WAL database writes to its shared memory: read-only would fail where nobody has it open.
        let connection = match file.connect(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            Ok(connection) => connection,
            Err(Error::Open { .. }) => file.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            Err(other) => return Err(other),
        };
        match version(&file.path, &connection)? {
            None => Ok(None),
            Some(found) if found < oldest => {
                let path = file.path;
                Err(Error::Older { path, found })
            }
            Some(_) => Database::new(file, connection, Durability::ProcessDeath).map(Some),
        }
    }

    /// Opens the store as [`Database::open`] does, to record tasks and no more: where workers of an earlier version
    /// live, it stays as it is for as long.
    pub fn open_to_put(path: &Path, durability: Durability) -> Result<Database, Error> {
        match Database::open(path, durability) {
            Err(behind @ Error::Behind { .. }) => match Database::open_as_it_is(path, FILLABLE) {
                Ok(Some(mut database)) => {
                    database.durability = durability;
                    Ok(database)
                }
                Ok(None) | Err(_) => Err(behind),
            },
            opened => opened,
        }
    }

    /// Copies back what is left of the journal, where whoever used the store has just gone: of two who close it in one
    /// moment, SQLite lets neither copy, and one who had no time to may have ended.
    pub fn leave_one_file(path: &Path) {
        let until = Instant::now() + FOLDING;
        loop {
            let has_journal = |file: Place| file.look_at_journals().unwrap_or(false);
            if !standing(path).ok().flatten().is_some_and(has_journal) {
                return;
            }
            // To open it and to close it does it, as long as nobody else has it open.
            let opened = Database::open_existing(path);
            if opened.is_err() || Instant::now() >= until {
                return;
            }
            drop(opened);
            std::thread::sleep(Duration::from_millis(
                5 + u64::from(std::process::id() % 20),
            ));
        }
    }

    fn new(
        file: Place,
        mut connection: Connection,
        durability: Durability,
    ) -> Result<Database, Error> {
        let Place {
            path,
            folder,
            found,
        } = file;
        keep_journal(&connection, false).map_err(|e| Error::sqlite(&path, e))?;
        // Room for every statement of a worker's loop, so that none is prepared twice. Nor is any for the values that
        // it gets: a plan that went by those of one row would be made anew for the next.
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(|e| Error::sqlite(&path, e))?;
        let id: [u8; 16] = connection
            .query_row("SELECT id FROM store", [], |row| row.get(0))
            .map_err(|e| Error::sqlite(&path, e))?;
        let locks = LockFile::within(Arc::clone(&folder), &path, Uuid::from_bytes(id));
        locks.is_trusted().map_err(Error::Lives)?;
        // Whoever then asks it for anything is told that it could not be made.
        let _ = make_where_nobody_lives(&locks, &mut connection);
        let journal_opened = FileId::at(&beside::named(&path, "-wal")).ok();
        let journal = Journal::of(&mut connection).map_err(|e| Error::sqlite(&path, e))?;
        Ok(Database {
            connection,
            journal,
            is_marked: false,
            durability,
            survives: None,
            copies_journal: true,
            path,
            id: Uuid::from_bytes(id),
            locks,
            opened: found.id,
            // SQLite has opened it by now.
            journal_opened,
            folder,
        })
    }
}

/// Makes the file of locks where there is none, or one that is not to be believed, and nobody can hold another one.
fn make_where_nobody_lives(locks: &LockFile, connection: &mut Connection) -> Result<(), Failed> {
    let is_to_be_made = |look: &Connection| {
        Ok::<_, Failed>(locks.is_missing() && (locks.is_left_behind() || !is_somebody_here(look)?))
    };
    if !is_to_be_made(connection)? {
        return Ok(());
    }
    // One at a time, and no worker can become known meanwhile.
    let turn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_to_be_made(&turn)? {
        locks.make().map_err(Failed::Locks)?;
    }
    Ok(())
}

/// Whether any worker is known that may have begun since the machine was started. Of the others nothing is left.
fn is_somebody_here(look: &Connection) -> Result<bool, Failed> {
    let boot = boot_id();
    // Where the system does not tell, all boots are one.
    let sql = "SELECT 1 FROM workers WHERE ?1 = '' OR boot IN (?1, '')";
    Ok(look.prepare_cached(sql)?.exists([boot])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_may_call_nothing_that_does_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        for _ in 0..2 {
            let database = Database::open(&path, Durability::ProcessDeath).unwrap();
            let sql = "PRAGMA trusted_schema";
            let trusted: i64 = database
                .connection
                .query_row(sql, [], |row| row.get(0))
                .unwrap();
            assert_eq!(trusted, 0);
        }
    }
}
