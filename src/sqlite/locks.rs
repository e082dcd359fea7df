//! Who lives: one byte of a file beside the database for each worker, each attempt and each session of the
//! embedded broker.
//!
//! A lock ([`ofd`]) belongs to a descriptor and every copy of it that a fork or an exec handed on, and the
//! kernel drops it when the last copy is closed. So an attempt's lock is held for as long as a process of
//! that attempt exists, whoever its parent is by now, and it cannot be confused by a pid that is used again,
//! a reboot, or another container's pid namespace.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::FileId;
use crate::ofd;

/// Attempts lock the bytes from 1 on, by their row's id; the others from these on.
const WORKERS: i64 = 1 << 60;
const SESSIONS: i64 = 1 << 61;
const WAITERS: i64 = 1 << 62;

/// The file of locks beside a store.
#[derive(Debug, Clone)]
pub struct LockFile {
    path: PathBuf,
    /// The file that we have seen there. In another one nobody seems to live.
    seen: Arc<OnceLock<FileId>>,
}

/// A byte of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A worker, by its id in the store.
    Worker(i64),
    /// An attempt, by its id in the store.
    Attempt(i64),
    /// A session of the embedded broker, by its number.
    Session(i64),
    /// The same session while it waits for a job.
    Waiter(i64),
    /// Whoever brings the schema up to date.
    Schema,
}

impl Holder {
    /// Its offset in the file.
    pub fn byte(self) -> i64 {
        match self {
            Holder::Worker(id) => WORKERS.saturating_add(id),
            Holder::Attempt(id) => id,
            Holder::Session(number) => SESSIONS.saturating_add(number),
            Holder::Waiter(number) => WAITERS.saturating_add(number),
            Holder::Schema => 0, // ids begin at 1
        }
    }
}

/// A lock that is held as long as this, or any inherited copy of its descriptor, is open.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Takes another byte with the same descriptor. Fails with `WouldBlock` when somebody else holds it.
    pub fn take_too(&self, holder: Holder) -> io::Result<()> {
        ofd::lock(&self.file, holder.byte())
    }

    /// Lets one of its bytes go.
    pub fn let_go(&self, holder: Holder) -> io::Result<()> {
        ofd::unlock(&self.file, holder.byte())
    }

    /// Whether anybody holds a byte but through this descriptor.
    pub fn is_held_elsewhere(&self, holder: Holder) -> io::Result<bool> {
        ofd::is_locked(&self.file, holder.byte())
    }
}

impl LockFile {
    /// The lock file of the store at this path. Nothing is opened yet.
    pub fn beside(store: &Path) -> LockFile {
        let mut name = store.as_os_str().to_owned();
        name.push("-locks");
        LockFile {
            path: name.into(),
            seen: Arc::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a byte for as long as the returned lock, or a copy of its descriptor, is open. Fails with
    /// `WouldBlock` when somebody else holds it.
    pub fn take(&self, holder: Holder) -> io::Result<Lock> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(self.seen.get().is_none())
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        self.is_the_same(&file)?;
        ofd::lock(&file, holder.byte())?;
        Ok(Lock { file })
    }

    /// Whether anybody holds a byte. Where there is no file, nobody holds anything.
    pub fn is_held(&self, holder: Holder) -> io::Result<bool> {
        match File::open(&self.path) {
            Ok(file) => {
                self.is_the_same(&file)?;
                ofd::is_locked(&file, holder.byte())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.seen.get().is_none() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn is_the_same(&self, file: &File) -> io::Result<()> {
        let id = FileId::of(&file.metadata()?);
        if *self.seen.get_or_init(|| id) == id {
            return Ok(());
        }
        Err(io::Error::other(
            "it was deleted or replaced while it was in use: nobody can tell who lives; end every worker and start again",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_held_until_its_last_descriptor_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFile::beside(&dir.path().join("t.db"));
        let attempt = Holder::Attempt(7);
        assert!(!locks.is_held(attempt).unwrap(), "no file yet");

        let first = locks.take(attempt).unwrap();
        assert!(locks.is_held(attempt).unwrap());
        assert!(!locks.is_held(Holder::Attempt(8)).unwrap());
        assert!(!locks.is_held(Holder::Worker(7)).unwrap());
        assert_eq!(
            locks.take(attempt).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        let copy = first.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        assert!(locks.is_held(attempt).unwrap(), "a copy is open");
        drop(copy);
        assert!(!locks.is_held(attempt).unwrap());
    }

    #[test]
    fn who_lives_is_not_asked_of_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFile::beside(&dir.path().join("t.db"));
        let held = locks.take(Holder::Worker(1)).unwrap();
        std::fs::remove_file(locks.path()).unwrap();
        assert!(locks.is_held(Holder::Worker(1)).is_err());
        assert!(locks.take(Holder::Worker(2)).is_err());
        assert!(!locks.path().exists());
        File::create(locks.path()).unwrap();
        assert!(locks.is_held(Holder::Worker(1)).is_err());
        drop(held);
    }

    #[test]
    fn one_descriptor_may_hold_several_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFile::beside(&dir.path().join("t.db"));
        let (session, waiter) = (Holder::Session(3), Holder::Waiter(3));
        let lock = locks.take(session).unwrap();
        lock.take_too(waiter).unwrap();
        assert!(locks.is_held(waiter).unwrap());
        assert!(!lock.is_held_elsewhere(waiter).unwrap(), "it is its own");
        let other = locks.take(Holder::Session(4)).unwrap();
        assert!(lock.is_held_elsewhere(Holder::Session(4)).unwrap());
        assert!(other.take_too(waiter).is_err());
        lock.let_go(waiter).unwrap();
        assert!(!locks.is_held(waiter).unwrap());
        assert!(locks.is_held(session).unwrap());
        drop(lock);
        assert!(!locks.is_held(session).unwrap());
    }
}
