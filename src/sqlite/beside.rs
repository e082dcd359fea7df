//! Files beside the database's own: named after it, private like it, and its owner's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// The path of such a file.
pub fn path(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
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

/// Gives a new one to the database's owner: where root looks at somebody's store. Others own what they make, and may not
/// give it away.
pub fn give(file: &File, database: &Path) {
    if let Ok(database) = fs::metadata(database) {
        let _ = fchown(file, Some(database.uid()), Some(database.gid()));
    }
}
