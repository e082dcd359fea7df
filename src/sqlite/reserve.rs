//! A disk that is full, and what is kept back for that day.
//!
//! To delete rows takes room too: in the journal first, and where that is copied back, in the file, if rows are in the
//! journal that made the file longer. So a file beside the store, `STORE-reserve`, holds some room that is given up
//! then. And where little is left, the journal is copied back early, so that it is short when there is nothing left.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::length::take_room;
use super::{Database, Durability, Error, Failed};
use crate::beside;
use crate::lives::locks::LockFile;

/// As much is kept back: what a long journal may take when it is copied, and some for what is deleted.
const MOST: u64 = 24 << 20;

/// But no more than this part of what is left.
const PART: u64 = 4;

/// Less than that is not worth a file.
const LEAST: u64 = 2 << 20;

/// Where less is left, the journal is kept short.
const SHORT: u64 = 64 << 20;

impl Database {
    fn reserve(&self) -> PathBuf {
        beside::named(&self.path, "-reserve")
    }

    /// What of the disk is left for us.
    pub(super) fn left_on_disk(&self) -> Option<u64> {
        let disk = statvfs(&self.path).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether there is little left.
    pub(super) fn is_short_of_room(&self) -> bool {
        self.left_on_disk().is_some_and(|left| left < SHORT)
    }

    /// Keeps some room back, unless that is done.
    pub(crate) fn keep_reserve(&self) {
        let path = self.reserve();
        if path.exists() {
            return;
        }
        let size = self.left_on_disk().unwrap_or(0) / PART;
        if size < LEAST {
            return;
        }
        let kept = self.folder.open_or_make(&path).and_then(|file| {
            fallocate(&file, FallocateFlags::empty(), 0, size.min(MOST))?;
            Ok(())
        });
        if kept.is_err() {
            // Nobody is the worse off for it than before.
            let _ = self.folder.remove(&path);
        }
    }

    /// Runs a transaction that deletes, where there was no room for one: with what was kept back.
    ///
    /// Whoever writes takes what room there is, and so would have taken this before it could be used. So it is given up
    /// once nobody else can write. If the disk was filled faster than anybody saw, what is in the journal needs a part
    /// of it to be copied. The journal may have the rest.
    pub(crate) fn change_in_need<R>(
        &mut self,
        durability: Durability,
        change: impl FnOnce(&Connection, &LockFile) -> Result<R, Failed>,
    ) -> Result<R, Error> {
        let (folder, reserve) = (Arc::clone(&self.folder), self.reserve());
        let (path, opened) = (self.path.clone(), self.opened);
        let changed = self.change_surviving(durability, |connection, locks| {
            // Somebody else may have given it up.
            let _ = folder.remove(&reserve);
            let _ = take_room(connection, &path, opened);
            change(connection, locks)
        });
        self.copy_journal();
        changed
    }
}
