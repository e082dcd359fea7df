//! Where control sockets stand.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::stat;
use sha2::{Digest, Sha256};

use super::Error;
use crate::beside;
use crate::trust::{Found, name};
use crate::tube::TubeName;

/// As whom those are shown who have no number (proc_sys_kernel(5), "overflowuid").
const OVERFLOW_USER: u32 = 65534;

/// The folders in which a tender of a store may listen, the best first: what the unit says (`RUNTIME_DIRECTORY`),
/// `XDG_RUNTIME_DIR`, the user's own in `/run`, one beside the store, which is seen wherever the store is seen, and one
/// in `/tmp`. Which it is, the tender says beside the store, and nobody guesses.
pub fn folders(store: &Path) -> Vec<PathBuf> {
    let user = rustix::process::geteuid();
    let mut folders = Vec::new();
    if let Some(given) = env::var_os("RUNTIME_DIRECTORY") {
        folders.extend(env::split_paths(&given).take(1));
    }
    folders.extend(env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    folders.push(match user.is_root() {
        true => "/run".into(),
        false => format!("/run/user/{}", user.as_raw()).into(),
    });
    folders.retain(|folder| folder.is_absolute() && !is_of_others(folder));
    let mut folders: Vec<PathBuf> = folders.iter().map(|f| f.join("taskqueue")).collect();
    let beside = beside::control(store);
    if beside.parent().is_some_and(|folder| !is_of_others(folder)) {
        folders.push(beside);
    }
    folders.push(format!("/tmp/taskqueue-{}", user.as_raw()).into());
    folders
}

/// Whether a folder is another user's, who is not root either. `su` and `sudo` leave others' in the environment.
fn is_of_others(folder: &Path) -> bool {
    stat(folder).is_ok_and(|found| !Found::from(found).is_ours())
}

/// Makes the folder, or makes sure that it is ours and that nobody else may enter it: others may have made
/// one of that name before us in `/tmp`.
pub(super) fn prepare(folder: &Path) -> Result<(), Error> {
    let wrong = |reason: String| Error::Folder {
        folder: folder.to_owned(),
        reason,
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    match made {
        // What it is instead of a folder is said below.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(wrong(error.to_string()));
        }
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(folder).map_err(|error| wrong(error.to_string()))?;
    let user = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return Err(wrong("it is no folder".to_owned()));
    }
    if found.uid() != user {
        return Err(wrong(format!("it belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        return Err(wrong(format!("others may enter it, its mode is {mode:o}")));
    }
    let whole = fs::canonicalize(folder).map_err(|error| wrong(error.to_string()))?;
    match whole.ancestors().skip(1).find_map(weakness) {
        Some(weakness) => Err(wrong(weakness)),
        None => Ok(()),
    }
}

/// What allows others to put another folder in the place of one in this folder, if anything does. A folder that
/// a group may write to is that group's own affair.
fn weakness(folder: &Path) -> Option<String> {
    let found = match stat(folder) {
        Ok(found) => Found::from(found),
        Err(error) => return Some(format!("{}: {error}", folder.display())),
    };
    if !found.is_ours() && !is_unmapped(found.user) {
        let of = name(found.user);
        return Some(format!(
            "{} belongs to {of}, who may replace it",
            folder.display()
        ));
    }
    // In a sticky folder, only the owner of an entry may replace it.
    if found.is_everybodys() && !found.is_sticky() {
        return Some(format!(
            "anybody may replace it, for anybody may write to {}",
            folder.display()
        ));
    }
    None
}

/// Whether so is shown whoever has no number in our user namespace, as root of the machine may have none
/// (user_namespaces(7), "unmapped user and group IDs").
fn is_unmapped(user: u32) -> bool {
    let all = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    user == OVERFLOW_USER && all.split_ascii_whitespace().next_back() != Some("4294967295")
}

/// What the names of the sockets of a store's tenders begin with: a tender is known by the first of its tubes.
pub(super) fn stem(store: &Path, first: &TubeName) -> String {
    let store = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    let mut hash = Sha256::new();
    hash.update(store.as_os_str().as_encoded_bytes());
    hash.update(b"\0");
    hash.update(first.as_str().as_bytes());
    let hash = hash.finalize();
    let short: Vec<String> = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
    short.concat()
}
