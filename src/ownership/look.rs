//! Looking who tends what.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::{
    ANNOUNCED, Content, Error, RIGHT, Tended, folder, is_leaving, of_folder, tube_of,
};
use crate::beside::Folder;
use crate::ofd;
use crate::tube::TubeName;

/// The most bytes of a file that are read: a path has at most 4096, each of them six bytes in JSON.
const LONGEST: u64 = 32 * 1024;

/// The same of the file of a tender that ends, which names its tubes.
const LONGEST_LEAVING: u64 = 4 * 1024 * 1024;

/// How long a tender may take from its right to its announcement.
const PATIENCE: Duration = Duration::from_millis(500);

/// The tubes of a store that are tended at this moment, each with its tender, and those of tenders that end. A tender
/// that is just giving up a tube may be found as both.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn tended(store: &Path) -> Result<Vec<Tended>, Error> {
    match folder(store).and_then(|folder| look(&folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        looked => looked.map_err(|error| of_folder(store, error)),
    }
}

fn look(folder: &Folder) -> io::Result<Vec<Tended>> {
    let mut found = Vec::new();
    for name in folder.names()? {
        if let Some(tube) = tube_of(&name) {
            found.extend(who(folder, Path::new(&name), &tube)?);
        }
    }
    // After the tubes, and listed anew: whoever gave up a tube before that was looked at had made this file before.
    for name in folder.names()? {
        if is_leaving(&name) {
            found.extend(who_leaves(folder, Path::new(&name))?);
        }
    }
    found.sort_by(|a, b| a.tube.cmp(&b.tube));
    Ok(found)
}

/// The tender of a tube; `None` if nobody has it, or has only just taken it and not said so yet.
pub(super) fn who(folder: &Folder, path: &Path, tube: &TubeName) -> io::Result<Option<Tended>> {
    let until = Instant::now() + PATIENCE;
    let file = folder.read(path)?.file;
    while ofd::is_locked(&file, RIGHT)? {
        // What is read while its tender is writing may be of the one before.
        if ofd::is_locked(&file, ANNOUNCED)?
            && let Some(content) = read(&file, LONGEST)?
            && ofd::is_locked(&file, ANNOUNCED)?
        {
            return Ok(Some(tended_by(content, tube.clone(), false)));
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// What a tender tended that ends; nothing if it has ended.
fn who_leaves(folder: &Folder, path: &Path) -> io::Result<Vec<Tended>> {
    let file = match folder.read(path) {
        Ok(opened) => opened.file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !ofd::is_locked(&file, ANNOUNCED)? {
        return Ok(Vec::new());
    }
    let Some(content) = read(&file, LONGEST_LEAVING)? else {
        return Ok(Vec::new());
    };
    let tubes = content.tubes.clone();
    let of_tube = tubes
        .into_iter()
        .map(|tube| tended_by(content.clone(), tube, true));
    Ok(of_tube.collect())
}

fn tended_by(content: Content, tube: TubeName, leaving: bool) -> Tended {
    let Content {
        pid, host, socket, ..
    } = content;
    Tended {
        tube,
        pid,
        host,
        socket,
        leaving,
    }
}

/// By the descriptor: a file may be removed meanwhile.
fn read(mut file: &File, longest: u64) -> io::Result<Option<Content>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(longest).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}
