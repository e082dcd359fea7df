//! What stands beside a store: files and folders that are named after the store, as private as the store, and its
//! owner's, whoever makes them. In a folder that is a group's, they are the group's too. Whoever needs one
//! asks here for it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::task::id::WorkerId;

/// The file of locks, which says who lives.
pub fn locks(store: &Path) -> PathBuf {
    named(store, "-locks")
}

/// In which sessions its workers' commands run.
pub fn sessions(store: &Path) -> PathBuf {
    named(store, "-sessions")
}

/// The folder with a file for each attempt that runs.
pub fn attempts(store: &Path) -> PathBuf {
    named(store, "-attempts")
}

/// The bell of the embedded queue.
pub fn bell(store: &Path) -> PathBuf {
    named(store, "-bell")
}

/// The batch journal of a worker.
pub fn batch_journal(store: &Path, worker: WorkerId) -> PathBuf {
    named(store, &format!("-batch-{worker}"))
}

/// The folder with a file for each tube that is tended.
pub fn tubes(store: &Path) -> PathBuf {
    named(store, "-tubes")
}

/// The folder in which its tenders listen, where there is no better one.
pub fn control(store: &Path) -> PathBuf {
    named(store, "-run")
}

fn named(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens such a file, or makes it where there is none, as the store owner's.
pub fn open(path: &Path, store: &Path) -> io::Result<File> {
    let (file, is_new) = open_or_create(path)?;
    if is_new {
        give(&file, store);
    }
    Ok(file)
}

/// Opens one, or makes it where there is none; whether it is new, and to be given to the store's owner when it says
/// what it is to say.
pub fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            share(&file, path)?;
            Ok((file, true))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok((options.open(path)?, false)),
        Err(e) => Err(e),
    }
}

/// Makes such a folder where there is none, and the folder that the store is to be in.
pub fn make_folder(path: &Path, store: &Path) -> io::Result<()> {
    let private = |recursive| {
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(recursive);
        private
    };
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        private(true).create(parent)?;
    }
    match private(false).create(path) {
        Ok(()) => {}
        // Something else of that name is found out by whoever opens a file in it.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) => return Err(e),
    }
    // Whoever owns the folder around it may have put something else there since.
    let made = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)?;
    if is_shared(path) {
        made.set_permissions(Permissions::from_mode(0o2770))?;
    }
    give(&made, store);
    Ok(())
}

/// Lets the group of the folder around it read and write a new one, where the folder is made for that.
pub fn share(file: &File, path: &Path) -> io::Result<()> {
    match is_shared(path) {
        true => file.set_permissions(Permissions::from_mode(0o660)),
        false => Ok(()),
    }
}

/// Whether the folder around it is a group's: it hands its group on (setgid), and the group may write to it.
fn is_shared(path: &Path) -> bool {
    const OF_A_GROUP: u32 = 0o2020;
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    fs::metadata(folder).is_ok_and(|found| found.mode() & OF_A_GROUP == OF_A_GROUP)
}

/// Whether such a file or folder is there to be written to, or could be made. Makes nothing.
///
/// # Errors
/// What the system says of it, or of the first folder around it that is there.
pub fn could_be_written(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("."));
    let way = match there.is_dir() {
        true => Access::WRITE_OK | Access::EXEC_OK,
        false => Access::WRITE_OK,
    };
    Ok(access(there, way)?)
}

/// Gives a new one to the store's owner: where root looks at somebody's store. Others own what they make, and may
/// not give it away.
pub fn give(file: &File, store: &Path) {
    if let Ok(store) = fs::metadata(store) {
        let _ = fchown(file, Some(store.uid()), Some(store.gid()));
    }
}
