//! Our own program, for a process that is to be another one of it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use rustix::fs::{Access, access};

/// What is at this name now, a newer version maybe. While there is nothing that can be started, it is the file that
/// this process was started from, which the system keeps for it.
pub fn found(name: &OsStr) -> OsString {
    let can_be_run = Path::new(name).is_file() && access(name, Access::EXEC_OK).is_ok();
    match can_be_run {
        true => name.to_owned(),
        false => "/proc/self/exe".into(),
    }
}
