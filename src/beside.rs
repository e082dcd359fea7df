//! The files beside a store: named after it, private like it, and its owner's. Who needs one asks here for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::task::id::WorkerId;

/// The file of locks, which says who lives.
pub fn locks(store: &Path) -> PathBuf {
    named(store, "-locks")
}

/// The bell of the embedded queue.
pub fn bell(store: &Path) -> PathBuf {
    named(store, "-bell")
}

/// The batch journal of a worker.
pub fn batch_journal(store: &Path, worker: WorkerId) -> PathBuf {
    named(store, &format!("-slate-{worker}"))
}

/// The folder with a file for each tube that is tended.
pub fn tubes(store: &Path) -> PathBuf {
    named(store, "-tubes")
}

fn named(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens one, or makes it where there is none; whether it is new.
pub fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok((options.open(path)?, false)),
        Err(e) => Err(e),
    }
}

/// Gives a new one to the database's owner: where root looks at somebody's store. Others own what they make, and may
/// not give it away.
pub fn give(file: &File, database: &Path) {
    if let Ok(database) = fs::metadata(database) {
        let _ = fchown(file, Some(database.uid()), Some(database.gid()));
    }
}

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// That of the file which is at this path now.
    pub fn at(path: &Path) -> io::Result<FileId> {
        Ok(FileId::of(&fs::metadata(path)?))
    }

    /// That of an open file.
    pub fn of(file: &fs::Metadata) -> FileId {
        FileId {
            device: file.dev(),
            inode: file.ino(),
        }
    }
}
