//! What others may have put where this program looks: beside a store, at its name, and where a configuration is found.

mod beside;
mod configuration;
mod names;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::process::geteuid;

use crate::support::{Ran, Running, Taskqueue};

/// Nobody's number, on nearly every system.
const THEM: u32 = 65_534;

/// Whether the test can be somebody else too; says so where it cannot.
fn can_be_others(what: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("not run as root: {what} was not tested");
    }
    is_root
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn give_to(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
}

/// Runs it in that folder.
fn run_in(taskqueue: &Taskqueue, folder: &Path, args: &[&str]) -> Ran {
    let mut command = taskqueue.command(args);
    command.current_dir(folder);
    Running::start(command).wait()
}

/// A file of which nothing may be lost: its owner, its mode and what is in it.
fn all_of(file: &Path) -> (u32, u32, Vec<u8>) {
    let found = fs::metadata(file).unwrap();
    (found.uid(), found.mode(), fs::read(file).unwrap())
}
