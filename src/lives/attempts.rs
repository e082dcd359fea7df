//! What an attempt's command inherits to be known as alive: a file of the attempt's own, open for reading alone, with a
//! shared lock on it.
//!
//! A command may run as somebody whom nobody trusts, and may hand its descriptors to anybody. With one of the file of
//! all locks it could write there, or lock the bytes of others, and stop every worker. With this one it can do nothing
//! to anybody: the file is empty, no other attempt ever looks at it, and a lock that is shared keeps nobody waiting.
//!
//! The file is there for as long as the command runs, and longer only where something of the attempt is left. Whoever
//! finds one that nobody holds removes it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::beside::{self, Folder};
use crate::ofd;
use crate::task::id::{AttemptId, TaskId};

/// The only byte that is ever locked.
pub(super) const BYTE: i64 = 0;

/// The files of the attempts of a store. The folder is held open once it is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts(Arc<OnceLock<Arc<Folder>>>);

impl Attempts {
    /// Makes the file of an attempt. Whoever calls holds the attempt's byte in the file of all locks.
    pub(super) fn make(
        &self,
        around: &Folder,
        store: &Path,
        attempt: AttemptId,
    ) -> io::Result<Inherited> {
        let path = path(store, attempt);
        let made = match self.0.get() {
            Some(folder) => Inherited::make(folder, &path),
            None => self.make_anew(around, store, &path),
        };
        // The folder may have been removed since.
        let made = match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_anew(around, store, &path)
            }
            made => made,
        };
        made.map_err(|error| {
            let reason = format!("cannot make {}: {error}", path.display());
            io::Error::new(error.kind(), reason)
        })
    }

    fn make_anew(&self, around: &Folder, store: &Path, path: &Path) -> io::Result<Inherited> {
        let folder = Arc::new(around.make_folder(&beside::attempts(store))?);
        let made = Inherited::make(&folder, path);
        let _ = self.0.set(folder);
        made
    }

    /// The attempts that have files beside a store.
    pub(super) fn all(around: &Folder, store: &Path) -> io::Result<Vec<AttemptId>> {
        let Some(folder) = folder(around, store)? else {
            return Ok(Vec::new());
        };
        let names = folder.names()?.into_iter();
        Ok(names
            .filter_map(|name| attempt_of(name.to_str()?))
            .collect())
    }

    /// Whether anything of an attempt has its file open with its lock. Removes the file if not: whoever calls has seen
    /// that nobody holds the attempt's byte in the file of all locks, so nobody is about to lock this.
    pub(super) fn is_alive(around: &Folder, store: &Path, attempt: AttemptId) -> io::Result<bool> {
        match folder(around, store)? {
            Some(folder) => clear(&folder, &path(store, attempt)),
            None => Ok(false),
        }
    }
}

/// The file of an attempt whose worker lives. Dropping it removes the file, unless a copy of the descriptor is open.
#[derive(Debug)]
pub(super) struct Inherited {
    folder: Arc<Folder>,
    path: PathBuf,
    /// Gone while the file is looked at for the last time.
    file: Option<File>,
}

impl Inherited {
    fn make(folder: &Arc<Folder>, path: &Path) -> io::Result<Inherited> {
        let file = match folder.create_to_read(path) {
            // An attempt of that number was begun before, in a store of which a copy was put back.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && !is_held(folder, path)? =>
            {
                remove(folder, path)?;
                folder.create_to_read(path)?
            }
            created => created?,
        };
        ofd::lock_shared(&file, BYTE)?;
        Ok(Inherited {
            folder: Arc::clone(folder),
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
        let _ = clear(&self.folder, &self.path);
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

/// The folder of these files, if it is there.
fn folder(around: &Folder, store: &Path) -> io::Result<Option<Folder>> {
    match around.folder(&beside::attempts(store)) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn clear(folder: &Folder, path: &Path) -> io::Result<bool> {
    let held = is_held(folder, path)?;
    if !held {
        // Of a store that is only looked at, it stays.
        let _ = remove(folder, path);
    }
    Ok(held)
}

fn is_held(folder: &Folder, path: &Path) -> io::Result<bool> {
    match folder.read(path) {
        Ok(opened) => ofd::is_locked(&opened.file, BYTE),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove(folder: &Folder, path: &Path) -> io::Result<()> {
    match folder.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
