//! What an attempt's command inherits to be known as alive: a file of the attempt's own, open for reading alone, with a
//! shared lock on it.
//!
//! A command may run as somebody whom nobody trusts, and may hand its descriptors to anybody. With one of the file of
//! all locks it could write there, or lock the bytes of others, and stop every worker. With this one it can do nothing
//! to anybody: the file is empty, no other attempt ever looks at it, and a lock that is shared keeps nobody waiting.
//!
//! The file is there for as long as the command runs, and longer only where something of the attempt is left. Whoever
//! finds one that nobody holds removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::beside;
use crate::ofd;
use crate::task::id::{AttemptId, TaskId};

/// The only byte that is ever locked.
pub(super) const BYTE: i64 = 0;

/// The file of an attempt whose worker lives. Dropping it removes the file, unless a copy of the descriptor is open.
#[derive(Debug)]
pub(super) struct Inherited {
    path: PathBuf,
    /// Gone while the file is looked at for the last time.
    file: Option<File>,
}

impl Inherited {
    /// Makes the file. Whoever calls holds the attempt's byte in the file of all locks.
    pub(super) fn make(store: &Path, attempt: AttemptId) -> io::Result<Inherited> {
        let path = path(store, attempt);
        Inherited::at(&path, store).map_err(|error| {
            let reason = format!("cannot make {}: {error}", path.display());
            io::Error::new(error.kind(), reason)
        })
    }

    fn at(path: &Path, store: &Path) -> io::Result<Inherited> {
        let file = match create(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                beside::make_folder(&beside::attempts(store), store)?;
                create(path)?
            }
            // An attempt of that number was begun before, in a store of which a copy was put back.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !is_held(path)? => {
                remove(path)?;
                create(path)?
            }
            created => created?,
        };
        ofd::lock_shared(&file, BYTE)?;
        if geteuid().is_root() {
            beside::give(&file, store);
        }
        Ok(Inherited {
            path: path.to_owned(),
            file: Some(file),
        })
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        drop(self.file.take());
        // One that cannot be looked at is found again.
        let _ = clear(&self.path);
    }
}

/// Where an attempt's file is.
pub(super) fn path(store: &Path, attempt: AttemptId) -> PathBuf {
    let name = format!("{}-{}", attempt.task, attempt.number);
    beside::attempts(store).join(name)
}

/// Whose file that is, by its name.
fn attempt_of(name: &str) -> Option<AttemptId> {
    let (task, number) = name.split_once('-')?;
    Some(AttemptId {
        task: TaskId(task.parse().ok()?),
        number: number.parse().ok()?,
    })
}

/// The attempts that have files beside a store.
pub(super) fn all(store: &Path) -> io::Result<Vec<AttemptId>> {
    match fs::read_dir(beside::attempts(store)) {
        Ok(entries) => Ok(entries
            .flatten()
            .filter_map(|entry| attempt_of(entry.file_name().to_str()?))
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether anything has the file open with its lock. Removes the file if not: whoever calls has seen that nobody holds
/// the attempt's byte in the file of all locks, so nobody is about to lock this.
pub(super) fn clear(path: &Path) -> io::Result<bool> {
    let held = is_held(path)?;
    if !held {
        // Of a store that is only looked at, it stays.
        let _ = remove(path);
    }
    Ok(held)
}

fn is_held(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => ofd::is_locked(&file, BYTE),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whoever may enter the folder may look at it, as which user it is made.
fn create(path: &Path) -> io::Result<File> {
    let flags = libc::O_CREAT | libc::O_EXCL;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .mode(0o444)
        .custom_flags(flags)
        .open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
