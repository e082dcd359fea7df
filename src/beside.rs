//! What stands beside a store's database: files and folders named after it, private like it, and its owner's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// The path of such a file.
pub fn path(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens such a file, or makes it where there is none, as the database owner's.
pub fn open(path: &Path, database: &Path) -> io::Result<File> {
    let (file, is_new) = open_or_create(path)?;
    if is_new {
        give(&file, database);
    }
    Ok(file)
}

/// Opens one, or makes it where there is none; whether it is new, and to be given to the database's owner when it says
/// what it is to say.
pub fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok((options.open(path)?, false)),
        Err(e) => Err(e),
    }
}

/// Makes such a folder where there is none, and the folder that the database is to be in.
pub fn make_folder(path: &Path, database: &Path) -> io::Result<()> {
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
    give(&made, database);
    Ok(())
}

/// Gives a new one to the database's owner: where root looks at somebody's store. Others own what they make, and may
/// not give it away.
pub fn give(file: &File, database: &Path) {
    if let Ok(database) = fs::metadata(database) {
        let _ = fchown(file, Some(database.uid()), Some(database.gid()));
    }
}
