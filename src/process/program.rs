//! Our own program, for a process that is to be another one of it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Access, access};

use super::folder;
use crate::file_id::is_same;

/// The file that this process was started from, which the system keeps for it, whatever becomes of the name.
const ITSELF: &str = "/proc/self/exe";

static NAME: OnceLock<PathBuf> = OnceLock::new();

/// The name by which whoever started us knows our program, where symbolic links on the way are left as they are; or
/// else the one that the system has. Only the first call looks it up, so it is to be made before anything leaves the
/// folder, and before another program has that name.
pub fn name() -> &'static Path {
    NAME.get_or_init(|| {
        let started_by = env::args_os().next().and_then(|name| {
            let mut names = candidates(name).into_iter();
            names.find(|name| is_same(name, Path::new(ITSELF)))
        });
        started_by
            .or_else(|| env::current_exe().ok())
            .unwrap_or_else(|| ITSELF.into())
    })
}

/// The names by which a program may have been started that was called so.
fn candidates(name: OsString) -> Vec<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return vec![folder::named(Path::new(&name))];
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(&name)).collect()
}

/// What is at this name now, a newer version maybe. While there is nothing that can be started, it is the file that
/// this process was started from.
pub fn found(name: &OsStr) -> OsString {
    match can_be_run(Path::new(name)) {
        true => name.to_owned(),
        false => ITSELF.into(),
    }
}

/// Whether it is a file that may be executed.
pub(super) fn can_be_run(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
