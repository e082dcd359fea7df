//! The one SQLite file that the ledger in SQLite and the embedded broker share.
//!
//! [`Database`] is a connection, used where it is. What both sides have to agree on is here as well: how the file is
//! opened and brought up to date, and how a job is put.
//!
//! Every change is one transaction that takes the write lock first (`BEGIN IMMEDIATE`): a transaction
//! that reads and then wants to write could otherwise fail in the middle, with nothing to wait for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use uuid::Uuid;

use crate::beside::{self, Folder};
use crate::file_id::FileId;
use crate::lives::locks::LockFile;

pub mod bell;
pub mod boot;
pub mod copies;
mod durability;
mod error;
mod ids;
pub mod jobs;
mod journal;
mod length;
mod noticed;
mod open;
mod pair;
mod patience;
mod place;
mod reserve;
mod room;
mod schema;
mod transaction;
mod turn;
mod watch;

pub use durability::Durability;
pub use error::Error;
pub(crate) use error::{FULL, Failed, is_for_want_of_room};
pub use patience::briefly;
pub use room::Room;
pub use watch::{Folded, Standing};

use journal::Journal;
use length::{length, take_room};
use transaction::Transaction;
pub(crate) use transaction::part;

/// An open connection to the file, whose schema is up to date.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: PathBuf,
    id: Uuid,
    locks: LockFile,
    /// What changes have to survive unless they say otherwise.
    durability: Durability,
    /// What commits survive now, as far as SQLite was told.
    survives: Option<Durability>,
    journal: Journal,
    /// The log that is written into says which file's it is.
    is_marked: bool,
    /// Where it is left to others, [`Database::copy_journal`] has to be called.
    copies_journal: bool,
    /// The file that is open, whatever is to be found at its path.
    opened: FileId,
    /// The journal that SQLite opened with it.
    journal_opened: Option<FileId>,
    /// The folder that it was found in.
    folder: Arc<Folder>,
}

impl Database {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's own id, made with it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The folder that it was found in.
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// The file of locks beside it.
    pub fn locks(&self) -> &LockFile {
        &self.locks
    }

    /// Leaves copying the journal back into the file, which waits for the disk, to whoever calls
    /// [`Database::copy_journal`].
    pub(crate) fn leave_journal(&mut self) {
        self.copies_journal = false;
    }

    /// Whether the journal is so long that it should be copied.
    pub(crate) fn has_long_journal(&mut self) -> bool {
        self.journal.is_long() || (self.journal.is_worth_it() && self.is_short_of_room())
    }

    /// Copies the journal back into the file, as far as nobody is in the way.
    pub(crate) fn copy_journal(&mut self) {
        // What was committed is committed. A disk that fails here fails the next commit too, which says so.
        let _ = self.journal.copy(&self.connection);
    }

    /// There was no room in the journal: copies it, so that it begins anew, or leaves that to whoever does. Whether it
    /// was done.
    pub(crate) fn make_room_in_journal(&mut self) -> bool {
        match self.copies_journal {
            true => self.copy_journal(),
            false => self.journal.note_full(),
        }
        self.copies_journal
    }

    /// For tests that ask SQLite how it would go about a query.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs one transaction; it is rolled back if `change` fails.
    pub(crate) fn change<R>(
        &mut self,
        change: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let changed = self.change_surviving(self.durability, change);
        if let Err(error) = &changed
            && error.is_full()
        {
            // Whoever tries again finds some.
            self.make_room_in_journal();
        }
        changed
    }

    /// The same with a durability of its own.
    pub(crate) fn change_surviving<R>(
        &mut self,
        durability: Durability,
        change: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let is_short = self.is_short_of_room();
        let Database {
            connection,
            path,
            locks,
            opened,
            survives,
            ..
        } = self;
        // SQLite goes on writing into a file that was deleted, and tells nobody.
        if FileId::at(path).ok() != Some(*opened) {
            return Err(Error::Moved { path: path.clone() });
        }
        let run = || -> Result<R, Failed> {
            if *survives != Some(durability) {
                connection.execute_batch(durability.pragma())?;
                *survives = Some(durability);
            }
            let transaction = Transaction::begin(connection)?;
            let before = is_short.then(|| length(connection)).transpose()?;
            let result = change(connection, locks)?;
            if let Some(before) = before
                && length(connection)? > before
            {
                take_room(connection, path, *opened)?;
            }
            transaction.commit()?;
            Ok(result)
        };
        let changed = run().map_err(|failed| failed.at(path, locks));
        let changed = changed?;
        self.mark_journal();
        if self.copies_journal && self.has_long_journal() {
            self.copy_journal();
        }
        Ok(changed)
    }

    /// Has the log say which file's it is before anything else is written into it.
    fn begin_journal(&mut self) -> Result<(), Error> {
        pair::begin(&mut self.connection).map_err(|e| Error::sqlite(&self.path, e))?;
        self.is_marked = false;
        self.mark_journal();
        Ok(())
    }

    /// Has the log say which file's it is, once each time that it has begun.
    fn mark_journal(&mut self) {
        if self.journal.has_begun_anew() {
            self.is_marked = false;
        }
        if self.is_marked {
            return;
        }
        let Database {
            connection, path, ..
        } = self;
        let Ok(log) = self.folder.read(&beside::named(path, "-wal")) else {
            return;
        };
        // What it says is lost with nothing else than the file: no disk is waited for, nor anybody's lock for long.
        let light = Durability::ProcessDeath;
        if self.survives != Some(light) && connection.execute_batch(light.pragma()).is_err() {
            return;
        }
        self.survives = Some(light);
        // One that could not be marked now is after the next change.
        let marked = briefly(|| pair::mark(connection, &log.file));
        self.is_marked = marked.unwrap_or(false);
    }

    /// What is another whenever somebody else has changed the file since, and whenever we have.
    pub fn stamp(&self) -> Result<(i64, i64), Error> {
        let ask = |what: &str| -> Result<i64, Failed> {
            let mut statement = self.connection.prepare_cached(what)?;
            Ok(statement.query_row([], |row| row.get(0))?)
        };
        let both = || Ok((ask("PRAGMA data_version")?, ask("SELECT total_changes()")?));
        both().map_err(|failed: Failed| failed.at(&self.path, &self.locks))
    }

    /// Runs queries that see one moment of the file.
    pub(crate) fn look<R>(
        &self,
        look: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let run = || -> Result<R, Failed> {
            let transaction = Transaction::begin_to_look(&self.connection)?;
            let result = look(&self.connection, &self.locks)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|failed| failed.at(&self.path, &self.locks))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_change_survives_what_it_has_to_whatever_was_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.db");
        use Durability::{PowerCut, ProcessDeath};
        for own in [PowerCut, ProcessDeath] {
            let mut database = Database::open(&path, own).unwrap();
            // SQLite's numbers: FULL and NORMAL.
            let number = |durability| match durability {
                PowerCut => 2,
                ProcessDeath => 1,
            };
            let synchronous = |change: &Connection, _: &LockFile| -> Result<i64, Failed> {
                Ok(change.query_row("PRAGMA synchronous", [], |row| row.get(0))?)
            };
            for other in [PowerCut, ProcessDeath, PowerCut] {
                assert_eq!(database.change(synchronous).unwrap(), number(own));
                let lightly = database.change_surviving(other, synchronous);
                assert_eq!(lightly.unwrap(), number(other));
            }
        }
    }

    /// With SQLite's own way it would not, as long as the other writes.
    #[test]
    fn a_journal_that_is_copied_while_another_writes_begins_anew() {
        const TIMES: u32 = 3;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.db");
        let open = || Database::open(&path, Durability::ProcessDeath).unwrap();
        let (mut ours, mut theirs) = (open(), open());
        let run = |database: &mut Database, sql: &str| {
            let run = |change: &Connection, _: &LockFile| Ok(change.execute_batch(sql)?);
            database.change(run).unwrap();
        };
        run(
            &mut ours,
            "CREATE TABLE own (n); INSERT INTO own VALUES (0)",
        );
        theirs.leave_journal();
        // SQLite's file format calls it the checkpoint sequence number.
        let times_begun_anew = || {
            let journal = std::fs::read(folder.path().join("d.db-wal")).unwrap();
            u32::from_be_bytes(journal[12..16].try_into().unwrap())
        };
        let is_over = AtomicBool::new(false);
        let begun = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    run(&mut theirs, "UPDATE own SET n = n + 1");
                }
            });
            // Not each time: whoever writes may need the older part just then, or may not give way in time.
            let begun = (0..40).any(|_| {
                thread::sleep(Duration::from_millis(20));
                ours.copy_journal();
                times_begun_anew() >= TIMES
            });
            is_over.store(true, Ordering::Relaxed);
            begun
        });
        assert!(begun, "only {} times", times_begun_anew());
    }
}
