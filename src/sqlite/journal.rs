//! The write-ahead log: when it is copied back into the file.
//!
//! SQLite's own way is to copy whenever a commit finds a thousand pages in it. Where several processes write, others
//! write on while one copies, the log never begins anew, and from then on nearly every commit copies, with two
//! `fsync`s. So here it is done in two steps: most of it while others write, then the rest while they wait, after which
//! the log begins anew. And it can be left to a thread that may wait for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::Connection;

use super::patience::briefly;

/// So many pages are copied together, 16 MB: as many as the first part of the log's index has room for.
const LONG: i32 = 4000;

/// What a connection knows of the log's length.
#[derive(Debug)]
pub struct Journal {
    /// In pages, after the connection's last commit.
    pages: Arc<AtomicI32>,
    /// How long it was when we last tried to copy it.
    tried_at: i32,
}

impl Journal {
    /// Has a connection count from now on, and copy nothing by itself.
    pub fn of(connection: &mut Connection) -> rusqlite::Result<Journal> {
        let pages = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Journal { pages, tried_at: 0 })
    }

    /// Whether it is time to copy it.
    pub fn is_long(&mut self) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.tried_at {
            // It has begun anew since.
            self.tried_at = 0;
        }
        pages.saturating_sub(self.tried_at) >= LONG
    }

    /// Copies it. That somebody else is at it, or that a reader is in the way, is no failure: it is tried again when
    /// the log has grown as much again.
    pub fn copy(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.tried_at = self.pages.load(Ordering::Relaxed);
        let step = |mode| connection.query_row(mode, [], |row| row.get::<_, bool>(0));
        let somebody_else = step("PRAGMA wal_checkpoint(PASSIVE)")?;
        if !somebody_else {
            briefly(|| step("PRAGMA wal_checkpoint(RESTART)"))?;
        }
        Ok(())
    }
}
