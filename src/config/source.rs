//! Reading the configuration's file, if its owner is somebody whom we may believe: it names programs.
//!
//! A file that nobody named is found in the folder that a person happens to stand in, and may have been put there for
//! that person to find. So it is to be root's or ours, and so is its folder, or a group's that we are of. Whoever names
//! a file knows whose it is. What everybody may write to is nobody's word, also when it is named.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat, lstat, open, stat};

use super::error::Error;
use super::written::{MOST, Written};
use crate::process::folder;
use crate::trust::{Found, is_our_group, name};

/// Where a file is looked for that nobody named.
const PLACES: [&str; 2] = ["taskqueue.toml", "/etc/taskqueue/taskqueue.toml"];

/// What stands in the file that is named, or else in the first that exists, whatever is wrong with it. A file may have
/// been found before, and be named by that only.
///
/// # Errors
/// When it cannot be read, and when it is not to be believed.
pub fn read(named: Option<&Path>, found: bool) -> Result<Written, Error> {
    let (file, is_named) = match named {
        Some(named) => (Some(named.to_owned()), !found),
        None => {
            let mut places = PLACES.iter().map(PathBuf::from);
            (places.find(|path| path.exists()), false)
        }
    };
    let text = match &file {
        Some(path) => text_of(path, is_named).map_err(|why| match why {
            Unread::Trouble(source) => Error::Unreadable {
                path: path.clone(),
                source,
            },
            Unread::Distrust(reason) => Error::Distrusted {
                path: folder::named(path),
                reason,
            },
        })?,
        None => String::new(),
    };
    Ok(Written { file, text })
}

/// Why a file was not read.
enum Unread {
    Trouble(io::Error),
    Distrust(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Unread {
        Unread::Trouble(error)
    }
}

impl From<rustix::io::Errno> for Unread {
    fn from(error: rustix::io::Errno) -> Unread {
        Unread::Trouble(error.into())
    }
}

fn text_of(path: &Path, is_named: bool) -> Result<String, Unread> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let flags = match is_named {
        true => flags,
        // Nobody waits for a FIFO that was put there.
        false => flags | OFlags::NONBLOCK,
    };
    let descriptor = open(path, flags, Mode::empty())?;
    let found = Found::from(fstat(&descriptor)?);
    if found.is_regular() && found.is_everybodys() {
        return Err(Unread::Distrust(everybodys(path)));
    }
    if !is_named {
        is_believed(path, &found)?;
    }
    let mut bytes = Vec::new();
    File::from(descriptor)
        .take(MOST.saturating_add(1))
        .read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(at);
        let line = before.filter(|byte| **byte == b'\n').count().saturating_add(1);
        io::Error::other(format!(
            "line {line} is not UTF-8, as a TOML file must be; save it as UTF-8, or take that line out"
        ))
    })?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MOST) {
        return Err(io::Error::other(format!("it has more than {MOST} bytes")).into());
    }
    Ok(text)
}

/// Whether a file that nobody named may be gone by.
fn is_believed(path: &Path, found: &Found) -> Result<(), Unread> {
    let (around, at) = folder_of(path)?;
    if !found.is_regular() {
        let named = named(path);
        let reason = format!("it is {found}, and no file; remove it, or {named}");
        return Err(Unread::Distrust(reason));
    }
    is_safe(&around, &at, path)?;
    is_of_ours(found, &around, path)?;
    if found.is_its_groups() && !is_our_group(found.group) {
        let reason = format!(
            "group {} may write to it, which you are not in; take that away with: chmod g-w {}, or {}",
            found.group,
            path.display(),
            named(path)
        );
        return Err(Unread::Distrust(reason));
    }
    let itself = Found::from(lstat(path)?);
    if !itself.is_link() {
        return Ok(());
    }
    is_of_ours(&itself, &around, path)?;
    let (around, at) = folder_of(&fs::canonicalize(path)?)?;
    is_safe(&around, &at, path)
}

/// The folder around it, and where that is.
fn folder_of(path: &Path) -> io::Result<(Found, PathBuf)> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    // By its name, without a dot.
    let at = folder::named(path).parent().map(Path::to_owned);
    Ok((Found::from(stat(folder)?), at.unwrap_or_default()))
}

/// Whether whoever may put something else in its folder is root, or us, or of a group of ours.
fn is_safe(around: &Found, at: &Path, path: &Path) -> Result<(), Unread> {
    let folder = at.display();
    if around.is_everybodys() && !around.is_sticky() {
        let reason = format!(
            "everybody may write to its folder {folder} and put something else there; take that away with: \
             chmod o-w {folder}, or {}",
            named(path)
        );
        return Err(Unread::Distrust(reason));
    }
    match around.is_ours() || is_of_our_group(around) {
        true => Ok(()),
        false => {
            let whose = format!("its folder {folder} belongs");
            Err(Unread::Distrust(strangers(&whose, around, path)))
        }
    }
}

fn is_of_ours(found: &Found, around: &Found, path: &Path) -> Result<(), Unread> {
    let is_of_the_group = || found.group == around.group && is_of_our_group(around);
    match found.is_ours() || is_of_the_group() {
        true => Ok(()),
        false => Err(Unread::Distrust(strangers("it belongs", found, path))),
    }
}

/// Whether it is a folder in which a group of ours may put files.
fn is_of_our_group(folder: &Found) -> bool {
    folder.is_its_groups() && is_our_group(folder.group)
}

fn strangers(whose: &str, found: &Found, path: &Path) -> String {
    let user = name(found.user);
    format!(
        "{whose} to {user}, who is neither root nor you; if you trust that user, {}",
        named(path)
    )
}

fn everybodys(path: &Path) -> String {
    format!(
        "everybody may write to it; take that away with: chmod o-w {}",
        path.display()
    )
}

/// How to say that one knows.
fn named(path: &Path) -> String {
    format!(
        "name it with --config {} or TASKQUEUE_CONFIG",
        path.display()
    )
}
