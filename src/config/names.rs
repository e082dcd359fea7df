//! Files and folders by their names, as whoever started this process knows them: symbolic links on the way are left as
//! they are, and may lead elsewhere tomorrow.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::OnceLock;

use rustix::fs::{Access, access};

use crate::beside::FileId;

/// What this process was started with, once it was looked up.
static STARTED: OnceLock<Started> = OnceLock::new();

#[derive(Debug)]
struct Started {
    /// The working folder.
    folder: Option<PathBuf>,
    /// The program, if the name that it was started by is its own.
    program: Option<PathBuf>,
}

fn started() -> &'static Started {
    STARTED.get_or_init(|| {
        let folder = env::var_os("PWD").map(PathBuf::from);
        let folder = folder.filter(|name| name.is_absolute() && is_same(name, Path::new(".")));
        let program = env::args_os().next().and_then(|name| {
            let itself = Path::new("/proc/self/exe");
            let mut names = candidates(name, folder.as_deref()).into_iter();
            names.find(|name| is_same(name, itself))
        });
        Started { folder, program }
    })
}

/// The names by which a program may have been started that was called so.
fn candidates(name: OsString, folder: Option<&Path>) -> Vec<PathBuf> {
    let name = PathBuf::from(name);
    if name.as_os_str().as_bytes().contains(&b'/') {
        return vec![match folder {
            Some(folder) => folder.join(name),
            None => absolute(&name).unwrap_or(name),
        }];
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(&name)).collect()
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (FileId::at(one), FileId::at(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// The folder that this process was started in, by the name that whoever started it went by; `None` where no such name
/// is known.
pub fn folder() -> Option<&'static Path> {
    started().folder.as_deref()
}

/// The absolute name of a file, seen from the folder that this process was started in.
pub fn named(file: &Path) -> PathBuf {
    match folder() {
        Some(folder) => folder.join(file),
        None => absolute(file).unwrap_or_else(|_| file.to_owned()),
    }
}

/// The name of this program, for starting another process of it.
pub fn program() -> PathBuf {
    if let Some(name) = &started().program {
        return name.clone();
    }
    match env::current_exe() {
        Ok(file) if file.exists() => file,
        // It was removed since; the process still is one of it.
        Ok(_) | Err(_) => PathBuf::from("/proc/self/exe"),
    }
}

/// Whether a program can be started by that name: a path, or a name that is looked for in `PATH`.
///
/// # Errors
/// Why not, in words.
pub fn can_be_run(program: &str, folder: Option<&Path>) -> Result<(), String> {
    let is_runnable = |path: &Path| match fs::metadata(path) {
        Err(error) => Err(error.to_string()),
        Ok(found) if found.is_dir() => Err("it is a folder".to_owned()),
        Ok(_) => access(path, Access::EXEC_OK).map_err(|error| error.to_string()),
    };
    if program.contains('/') {
        let path = folder.map_or_else(|| program.into(), |folder| folder.join(program));
        return is_runnable(&path);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut found = None;
    for folder in env::split_paths(&path) {
        match is_runnable(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(reason) if folder.join(program).exists() => found = Some(reason),
            Err(_) => {}
        }
    }
    Err(found.unwrap_or_else(|| "no folder of PATH has it".to_owned()))
}
