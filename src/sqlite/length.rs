//! Taking the room that the file is going to need, before the journal is copied. What of it the file does not need is
//! given back when that is done.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ffi};
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, fallocate, openat};
use rustix::io::Errno;

use crate::file_id::FileId;

/// SQLite's own, which nobody changes.
const PAGE: u64 = 4096;

/// Files that stay open for good. Whoever closes a file drops all locks that his process has on it, and SQLite has some
/// (fcntl(2), "Advisory record locking"). So there is one for each store that this process has found short of room.
static OPENED: Mutex<Vec<(FileId, File)>> = Mutex::new(Vec::new());

/// So many bytes the file has, once the journal is copied.
pub(super) fn length(connection: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = connection
        .prepare_cached("PRAGMA page_count")?
        .query_row([], |row| row.get(0))?;
    Ok(pages.unsigned_abs().saturating_mul(PAGE))
}

/// Takes the room that the file needs once the journal is copied, as far as there is any. Whoever commits without it
/// leaves a journal that cannot be copied, and so never begins anew. Nothing is written: others may copy meanwhile.
///
/// # Errors
/// When there is not enough. A file system that keeps no room free for a file says nothing.
pub(super) fn take_room(connection: &Connection, path: &Path, id: FileId) -> rusqlite::Result<()> {
    let bytes = length(connection)?;
    match take(path, id, bytes).map_err(|error| Errno::from_io_error(&error)) {
        Err(Some(Errno::NOSPC | Errno::DQUOT)) => {
            let full = ffi::Error::new(ffi::SQLITE_FULL);
            Err(rusqlite::Error::SqliteFailure(full, None))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn take(path: &Path, id: FileId, bytes: u64) -> io::Result<()> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = opened.iter().position(|(of, _)| *of == id);
    let place = match known {
        Some(place) => place,
        None => {
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = File::from(openat(CWD, path, flags, Mode::empty())?);
            let found = file.metadata().map(|file| FileId::of(&file));
            // Kept, whichever file it is.
            opened.push((found.unwrap_or(id), file));
            opened.len().saturating_sub(1)
        }
    };
    let Some((of, file)) = opened.get(place) else {
        return Ok(());
    };
    let there = file.metadata()?.len();
    // If another file stands there by now, the next transaction says so.
    if *of == id && bytes > there {
        fallocate(
            file,
            FallocateFlags::KEEP_SIZE,
            there,
            bytes.saturating_sub(there),
        )?;
    }
    Ok(())
}
