//! Our folder, which may be removed while we stand in it, and whose name may be that of another by now.

use std::env;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::getcwd;

use crate::file_id::is_same;

/// The name by which we came to our folder.
static NAME: OnceLock<Option<PathBuf>> = OnceLock::new();

/// The name by which whoever started us knows our folder: as `PWD` has it, where symbolic links on the way are left as
/// they are and may lead elsewhere tomorrow, or else as the system has it. Only the first call looks it up, so it is to
/// be made before anything leaves the folder.
pub fn name() -> Option<&'static Path> {
    let name = NAME.get_or_init(|| {
        let named = env::var_os("PWD").map(PathBuf::from);
        named
            .filter(|name| name.is_absolute() && is_same(name, Path::new(".")))
            .or_else(|| env::current_dir().ok())
    });
    name.as_deref()
}

/// The absolute name of a file, seen from the folder that we were started in.
pub fn named(file: &Path) -> PathBuf {
    match name() {
        Some(folder) => folder.join(file),
        None => absolute(file).unwrap_or_else(|_| file.to_owned()),
    }
}

/// Goes to the folder that has the name of ours by now. Where there is none, we stay where we are.
///
/// # Errors
/// When that folder cannot be entered.
pub fn enter() -> io::Result<()> {
    match name().filter(|name| name.is_dir()) {
        Some(name) => enter_by(name),
        None => Ok(()),
    }
}

/// Sees to it that we stand in a folder that is there. If ours was removed, the one that has its name by now is ours.
///
/// # Errors
/// When there is none.
pub fn stand() -> io::Result<()> {
    match getcwd(Vec::new()) {
        Err(Errno::NOENT) => {}
        // Whatever else is wrong with the name, the folder is there.
        Ok(_) | Err(_) => return Ok(()),
    }
    let name = name().ok_or_else(|| io::Error::other("it was removed"))?;
    enter_by(name)?;
    let folder = name.display();
    tracing::info!(%folder, "went to the folder that has the name of the one that was removed");
    Ok(())
}

fn enter_by(name: &Path) -> io::Result<()> {
    let folder = name.display();
    env::set_current_dir(name).map_err(|error| io::Error::other(format!("{folder}: {error}")))
}
