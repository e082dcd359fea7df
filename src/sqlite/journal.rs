//! The write-ahead log: when it is copied back into the file.
//!
//! SQLite's own way is to copy whenever a commit finds a thousand pages in it. Where several processes write, others
//! write on while one copies, the log never begins anew, and from then on nearly every commit copies, with two
//! `fsync`s. So here it is done in two steps: most of it while others write, then the rest while they wait, after which
//! the log begins anew. And it can be left to a thread that may wait for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::patience::patiently;

/// So many pages are copied together, 16 MB: as many as the first part of the log's index has room for.
const LONG: i32 = 4000;

/// So many where there is little room.
const SOME: i32 = 256;

/// How long the rest may wait for those who write. They get their turns while it does.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long those who write may wait for the journal's file to be cut.
const CUTTING: Duration = Duration::from_millis(20);

/// SQLite's own, which nobody changes.
const PAGE: u64 = 4096;

/// A journal's file that was longer is cut to that length when the journal begins anew.
const SHORT: u64 = 8192 * PAGE;

/// What a connection knows of the log's length.
#[derive(Debug)]
pub struct Journal {
    /// In pages, after the connection's last commit.
    pages: Arc<AtomicI32>,
    /// It was shorter after a commit than after the one before.
    anew: Arc<AtomicBool>,
    /// How long it may grow before we try again.
    next_try: i32,
    /// The same where there is little room.
    next_short_try: i32,
    /// There was no room to make it longer.
    is_full: bool,
}

impl Journal {
    /// Has a connection count from now on, and copy nothing by itself.
    pub fn of(connection: &mut Connection) -> rusqlite::Result<Journal> {
        connection.query_row(&format!("PRAGMA journal_size_limit = {SHORT}"), [], |_| {
            Ok(())
        })?;
        let pages = Arc::new(AtomicI32::new(0));
        let anew = Arc::new(AtomicBool::new(false));
        let (counted, begun) = (Arc::clone(&pages), Arc::clone(&anew));
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            if counted.swap(pages, Ordering::Relaxed) > pages {
                begun.store(true, Ordering::Relaxed);
            }
            Ok(())
        }))?;
        Ok(Journal {
            pages,
            anew,
            next_try: LONG,
            next_short_try: SOME,
            is_full: false,
        })
    }

    /// There was no room to make it longer: what it holds already is to be copied, so that it begins anew.
    pub fn note_full(&mut self) {
        self.is_full = true;
    }

    /// Whether it has begun anew since this was asked last, as far as this connection's commits have shown.
    pub fn has_begun_anew(&self) -> bool {
        self.anew.swap(false, Ordering::Relaxed)
    }

    /// Whether it is time to copy it.
    pub fn is_long(&mut self) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < SOME {
            self.next_short_try = SOME;
        }
        if pages < LONG {
            // It has begun anew since.
            self.next_try = LONG;
        }
        self.is_full || pages >= self.next_try
    }

    /// Whether it is time to copy it where there is little room. Asked for now and then only: whoever does looks at the
    /// disk.
    pub fn is_worth_it(&self) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        pages >= SOME && pages >= self.next_short_try
    }

    /// Copies it, and leaves nothing of it, as far as nobody is in the way. How many bytes could not be copied; `None`
    /// where somebody else is at it.
    pub fn cut(&mut self, connection: &Connection) -> rusqlite::Result<Option<u64>> {
        let (log, copied) = step(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        if log == copied {
            // All who write wait meanwhile.
            patiently(CUTTING, || {
                step(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            })?;
        }
        let left = u64::try_from(log.saturating_sub(copied)).unwrap_or(0);
        Ok((log >= 0).then(|| left.saturating_mul(PAGE)))
    }

    /// Copies it. That somebody else is at it, or in the way, is no failure: it is tried again when the log has grown
    /// somewhat.
    pub fn copy(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.is_full = false;
        let pages = self.pages.load(Ordering::Relaxed);
        self.next_try = pages.saturating_add(LONG / 8);
        self.next_short_try = pages.saturating_add(SOME);
        let (log, copied) = step(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        // Where a reader needs an older part of the log, all who write would wait for it.
        if log == copied && log > 0 {
            patiently(PATIENCE, || {
                step(connection, "PRAGMA wal_checkpoint(RESTART)")
            })?;
        }
        Ok(())
    }
}

/// How long the log is, and how much of it has been copied: -1 and -1 where somebody else is at it.
fn step(connection: &Connection, step: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(step, [], |row| Ok((row.get(1)?, row.get(2)?)))
}
