//! Free room in the file, and how the file gives it back to the disk.
//!
//! A file that was made so (`auto_vacuum = INCREMENTAL`) becomes shorter page by page: the last page that is in use is
//! moved to a free one, in transactions so short that whoever writes hardly waits. A file of an earlier version cannot.
//! It is written anew once, which nobody may write beside: by [`Database::compact`], or at once by whoever brings the
//! schema up to date, where the file is small.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::turn::wait_for_turn;
use super::{Database, Durability, Error, Failed};

/// Moving pages takes the write lock for no longer than that, but for the commit.
const TIME: Duration = Duration::from_millis(3);

/// As many pages are moved in one transaction: each takes others with it into the journal.
const STEP: u32 = 128;

/// A file with so many bytes in use is written anew by the way: it takes about a second.
const SMALL: u64 = 64 << 20;

/// How long the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All bytes of the file, once its journal is copied back.
    pub all: u64,
    /// Those of them that hold nothing.
    pub free: u64,
    /// Whether the file can give these back bit by bit.
    pub is_flexible: bool,
}

impl Room {
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Room> {
        let number = |pragma: &str| -> rusqlite::Result<u64> {
            let number = connection
                .prepare_cached(pragma)?
                .query_row([], |row| row.get::<_, i64>(0))?;
            Ok(number.unsigned_abs())
        };
        let page = number("PRAGMA page_size")?;
        Ok(Room {
            all: number("PRAGMA page_count")?.saturating_mul(page),
            free: number("PRAGMA freelist_count")?.saturating_mul(page),
            is_flexible: number("PRAGMA auto_vacuum")? == INCREMENTAL,
        })
    }

    fn used(self) -> u64 {
        self.all.saturating_sub(self.free)
    }
}

/// SQLite's number for it.
const INCREMENTAL: u64 = 2;

/// Has a file that is still empty give room back later.
pub(super) fn make_flexible(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")
}

/// Writes a file of an earlier version anew, if it is small. Nobody works, and nobody is to begin meanwhile.
pub(super) fn make_flexible_if_small(connection: &Connection) {
    let is_due = |room: Room| !room.is_flexible && room.used() <= SMALL;
    if Room::of(connection).is_ok_and(is_due) {
        // Where there is no room for it, it stays as it was, which a cleanup says.
        let _ = write_anew(connection);
    }
}

fn write_anew(connection: &Connection) -> rusqlite::Result<()> {
    make_flexible(connection)?;
    connection.execute_batch("VACUUM")
}

impl Database {
    /// How long the file is.
    pub(crate) fn room(&self) -> Result<Room, Error> {
        self.look(|connection, _| Ok(Room::of(connection)?))
    }

    /// Gives some free room back to the disk, unless no more than so many bytes are free. Whether there is more to
    /// give.
    pub(crate) fn give_back(&mut self, spare: u64) -> Result<bool, Error> {
        let is_due = |room: Room| room.is_flexible && room.free > spare;
        if !is_due(self.room()?) {
            return Ok(false);
        }
        // What a power cut brings back is free again.
        self.change_surviving(Durability::ProcessDeath, |connection, _| {
            let since = Instant::now();
            let mut moved = 0;
            while is_due(Room::of(connection)?) {
                if moved == STEP || since.elapsed() >= TIME {
                    return Ok(true);
                }
                move_one(connection)?;
                moved += 1;
            }
            Ok(false)
        })
    }

    /// Copies the journal back and makes its file empty, as far as nobody is in the way.
    pub(crate) fn fold(&mut self) {
        // As with any copying.
        let _ = self.journal.cut(&self.connection);
    }

    /// Writes the whole file anew, without what is free, so that it can give room back from then on. Whoever wants to
    /// write meanwhile waits, and in vain where that takes long: so no worker may live.
    ///
    /// # Errors
    /// When a worker lives, and where there is no room for a second file.
    pub(crate) fn compact(&mut self) -> Result<(), Error> {
        let turn = wait_for_turn(&self.path)?;
        let refused = |reason: String| Error::Compact {
            path: self.path.clone(),
            reason,
        };
        match turn.is_any_worker_here() {
            Ok(false) => {}
            Ok(true) => {
                let reason = "workers are at it, which could not write meanwhile; end them and their tender first";
                return Err(refused(reason.into()));
            }
            Err(error) => return Err(refused(error.to_string())),
        }
        let (needed, left) = (self.room()?.used(), self.left_on_disk());
        if let Some(left) = left.filter(|left| *left < needed) {
            let mb = |bytes: u64| bytes.div_ceil(1 << 20);
            let (needed, left) = (mb(needed), mb(left));
            return Err(refused(format!(
                "it takes {needed} MB beside the store, where {left} MB are free"
            )));
        }
        self.begin_journal()?;
        let run = |connection: &Connection| -> Result<(), Failed> { Ok(write_anew(connection)?) };
        run(&self.connection).map_err(|failed| failed.at(&self.path, &self.locks))?;
        self.fold();
        Ok(())
    }
}

/// The page at the end goes, or changes places with a free one before.
fn move_one(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("PRAGMA incremental_vacuum(1)")?;
    let mut rows = statement.query([])?;
    // It is done as it is asked for the next.
    while rows.next()?.is_some() {}
    Ok(())
}
