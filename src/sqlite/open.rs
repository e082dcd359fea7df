//! Opening the file: who may read it, SQLite's settings, the schema.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::process::geteuid;
use uuid::Uuid;

use super::error::said;
use super::journal::Journal;
use super::patience::wait_for_lock;
use super::room::{make_flexible, make_flexible_if_small};
use super::turn::{no_turn, wait_for_turn};
use super::{Database, Durability, Error, Failed};
use crate::beside::{self, Folder};
use crate::clock::boot_id;
use crate::file_id::FileId;
use crate::lives::locks::LockFile;
use crate::trust::{Distrust, Found, resolved};

mod embedded {
    refinery::embed_migrations!("migrations");
}

impl Database {
    /// Opens the store, making it or bringing its schema up to date where needed.
    pub fn open(path: &Path, durability: Durability) -> Result<Database, Error> {
        let made = create_private(path).map_err(|e| open_error(path, &e))?;
        Database::open_made(made, durability)
    }

    fn open_made(file: Standing, durability: Durability) -> Result<Database, Error> {
        let mut connection = file.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        migrate(&file.path, &mut connection)?;
        Database::new(file, connection, durability)
    }

    /// Opens a store to read it, or to change what may come back with a power cut; `None` if there is none yet.
    pub fn open_existing(path: &Path) -> Result<Option<Database>, Error> {
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
        if is_current(&file.path, &connection)? {
            return Database::new(file, connection, Durability::ProcessDeath).map(Some);
        }
        match version(&file.path, &connection)? {
            None => Ok(None),
            Some(_) => Database::open_made(file, Durability::ProcessDeath).map(Some),
        }
    }

    fn new(
        file: Standing,
        mut connection: Connection,
        durability: Durability,
    ) -> Result<Database, Error> {
        let Standing {
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

/// A store's file that is there and may be opened, as it was looked at.
struct Standing {
    /// Without symbolic links: all that is beside the store is named after this.
    path: PathBuf,
    folder: Arc<Folder>,
    found: Found,
}

/// What stands at that path; `None` if nothing does.
fn standing(path: &Path) -> io::Result<Option<Standing>> {
    let path = resolved(path)?;
    match Folder::of(&path) {
        Ok(folder) => Ok(folder.store().copied().map(|found| Standing {
            path,
            folder: Arc::new(folder),
            found,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the file and its folder where they are not, for their owner only; the file for the group too whose folder it
/// is.
fn create_private(path: &Path) -> io::Result<Standing> {
    if let Some(file) = standing(path)? {
        return Ok(file);
    }
    let path = resolved(path)?;
    beside::make_around(&path)?;
    Folder::of(&path)?.open_or_create(&path)?;
    standing(&path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

fn open_error(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::Open {
        path: path.into(),
        reason: reason.to_string(),
    }
}

impl Standing {
    /// Opens it. SQLite follows no link to any of its files, but it opens whatever else stands there, and gives to the
    /// store's owner what root opens: so that is looked at before.
    fn connect(&self, access: OpenFlags) -> Result<Connection, Error> {
        let Standing { path, .. } = self;
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let journal = self
            .look_at_journals()
            .map_err(|error| open_error(path, &error))?;
        // SQLite gives names such as `:memory:` a meaning of their own. In a folder they have none.
        let mut connection = Connection::open_with_flags(Path::new(".").join(path), flags)
            .map_err(|e| open_error(path, &e))?;
        connection
            .busy_handler(Some(wait_for_lock))
            // What turns out not to be ours is left as it is, its journal too.
            .and_then(|()| keep_journal(&connection, journal))
            // Its schema may be a stranger's work, and have views and triggers that call what is not harmless.
            .and_then(|()| {
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
            })
            .map_err(|e| Error::sqlite(path, e))?;
        set_foreign_keys(path, &connection, true)?;
        Ok(connection)
    }

    /// Whether there is a write-ahead log with something in it.
    fn look_at_journals(&self) -> io::Result<bool> {
        let mut is_in_use = false;
        for suffix in ["-wal", "-shm", "-journal"] {
            let file = beside::named(&self.path, suffix);
            if let Some(found) = self.look_at(&file)? {
                is_in_use |= suffix == "-wal" && found.length > 0;
            }
        }
        Ok(is_in_use)
    }

    /// One that root has just made is root's for a moment, before SQLite gives it away.
    fn look_at(&self, file: &Path) -> io::Result<Option<Found>> {
        let mut patience = 20;
        loop {
            let Some(found) = self.folder.look(file)? else {
                return Ok(None);
            };
            let is_being_made = found.user == 0 && self.found.user != 0 && geteuid().is_root();
            match self.folder.trust(&found) {
                Ok(()) if !is_being_made => return Ok(Some(found)),
                Ok(()) if patience > 0 => {
                    patience -= 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(()) => {
                    let (user, owner) = (found.user, self.found.user);
                    return Err(Distrust::Strangers { user, owner }.of(file).into());
                }
                Err(why) => return Err(why.of(file).into()),
            }
        }
    }
}

fn set_foreign_keys(path: &Path, connection: &Connection, on: bool) -> Result<(), Error> {
    connection
        .pragma_update(None, "foreign_keys", on)
        .map_err(|e| Error::sqlite(path, e))
}

/// Whether closing the last connection leaves the journal where it is.
fn keep_journal(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

/// The newest version of the schema that there is a migration for. Said here, since refinery knows it only after it has
/// compiled a regular expression, which every process would make at its start and keep: 430 KB.
const NEWEST: i64 = 9;

/// The schema's version; `None` for an empty database.
fn version(path: &Path, connection: &Connection) -> Result<Option<i64>, Error> {
    let has_table = |name: &str| {
        connection
            .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = ?1")?
            .exists([name])
    };
    let sqlite = |e| Error::sqlite(path, e);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if tables == 0 {
        return Ok(None);
    }
    if !has_table("refinery_schema_history").map_err(sqlite)? {
        return Err(Error::NotOurs { path: path.into() });
    }
    let newest: Option<i64> = connection
        .query_row(
            "SELECT max(version) FROM refinery_schema_history",
            [],
            |row| row.get(0),
        )
        .map_err(sqlite)?;
    if newest.is_some() && !has_table("store").map_err(sqlite)? {
        return Err(Error::NotOurs { path: path.into() });
    }
    Ok(newest)
}

/// Whether the schema is up to date; an error if it is ahead of us.
fn is_current(path: &Path, connection: &Connection) -> Result<bool, Error> {
    match version(path, connection)? {
        Some(found) if found > NEWEST => Err(Error::Newer {
            path: path.into(),
            found,
            known: NEWEST,
        }),
        found => Ok(found == Some(NEWEST)),
    }
}

/// Brings the schema up to date. refinery looks and applies in two transactions, so two processes
/// could both find it old: one at a time, then, and look again.
fn migrate(path: &Path, connection: &mut Connection) -> Result<(), Error> {
    if is_current(path, connection)? {
        return Ok(());
    }
    let turn = wait_for_turn(path)?;
    if is_current(path, connection)? {
        return Ok(());
    }
    let migrate_error = |reason: String| Error::Migrate {
        path: path.into(),
        reason,
    };
    // They could not record any more how what they run has ended.
    match turn.is_any_worker_here() {
        Ok(false) => {}
        Ok(true) => {
            let reason = "workers of an earlier version are at it; end them first";
            return Err(migrate_error(reason.into()));
        }
        Err(source) => {
            return Err(no_turn(path, &source));
        }
    }
    // The first is heeded only before anything is in the file.
    make_flexible(connection)
        .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
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

    #[test]
    fn the_newest_version_is_that_of_the_newest_migration() {
        let runner = embedded::migrations::runner();
        let versions = runner.get_migrations().iter().map(|m| m.version());
        assert_eq!(versions.max().map(i64::from), Some(NEWEST));
    }
}
