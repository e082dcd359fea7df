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

/// How long the rest may wait for those who write. They get their turns while it does.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a connection knows of the log's length.
#[derive(Debug)]
pub struct Journal {
    /// In pages, after the connection's last commit.
    pages: Arc<AtomicI32>,
    /// It was shorter after a commit than after the one before.
    anew: Arc<AtomicBool>,
    /// How long it may grow before we try again.
    next_try: i32,
}

impl Journal {
    /// Has a connection count from now on, and copy nothing by itself.
    pub fn of(connection: &mut Connection) -> rusqlite::Result<Journal> {
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
        })
    }

    /// Whether it has begun anew since this was asked last, as far as this connection's commits have shown.
    pub fn has_begun_anew(&self) -> bool {
        self.anew.swap(false, Ordering::Relaxed)
    }

    /// Whether it is time to copy it.
    pub fn is_long(&mut self) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < LONG {
            // It has begun anew since.
            self.next_try = LONG;
        }
        pages >= self.next_try
    }

    /// Copies it. That somebody else is at it, or in the way, is no failure: it is tried again when the log has grown
    /// somewhat.
    pub fn copy(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.next_try = self.pages.load(Ordering::Relaxed).saturating_add(LONG / 8);
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
