//! The folder that commands run in: ours, which may be removed while we stand in it.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::getcwd;

/// The name by which we came to our folder.
static NAME: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Remembers our folder by its name, so that it can be found anew: as `PWD` has it, where the way leads through links,
/// or else as the system has it. To be called before anything is started; only the first call counts.
pub fn remember() {
    NAME.get_or_init(|| {
        let named = env::var_os("PWD").map(PathBuf::from);
        named
            .filter(|name| name.is_absolute() && is_here(name))
            .or_else(|| env::current_dir().ok())
    });
}

fn is_here(name: &Path) -> bool {
    match (fs::metadata(name), fs::metadata(".")) {
        (Ok(there), Ok(here)) => (there.dev(), there.ino()) == (here.dev(), here.ino()),
        (_, _) => false,
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
    let Some(Some(name)) = NAME.get() else {
        return Err(io::Error::other("it was removed"));
    };
    let folder = name.display();
    env::set_current_dir(name).map_err(|error| io::Error::other(format!("{folder}: {error}")))?;
    tracing::info!(%folder, "went to the folder that has the name of the one that was removed");
    Ok(())
}
