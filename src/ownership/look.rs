//! Looking who tends what.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::{ANNOUNCED, Content, Error, RIGHT, Tended, is_leaving, tube_of};
use crate::beside;
use crate::ofd;
use crate::tube::TubeName;

/// The most bytes of a file that are read: a path has at most 4096, each of them six bytes in JSON.
const LONGEST: u64 = 32 * 1024;

/// How long a tender may take from its right to its announcement.
const PATIENCE: Duration = Duration::from_millis(500);

/// The tubes of a store that are tended at this moment, each with its tender.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn tended(store: &Path) -> Result<Vec<Tended>, Error> {
    let folder = beside::tubes(store);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(source) => {
            return Err(Error::Io {
                path: folder,
                source,
            });
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        let looked = entry.and_then(|entry| match tube_of(&entry.file_name()) {
            Some(tube) => Ok(who(&entry.path(), &tube)?.into_iter().collect()),
            None if is_leaving(&entry.file_name()) => who_leaves(&entry.path()),
            None => Ok(Vec::new()),
        });
        found.extend(looked.map_err(|source| Error::Io {
            path: folder.clone(),
            source,
        })?);
    }
    found.sort_by(|a, b| a.tube.cmp(&b.tube));
    Ok(found)
}

/// The tender of a tube; `None` if nobody has it, or has only just taken it and not said so yet.
pub(super) fn who(path: &Path, tube: &TubeName) -> io::Result<Option<Tended>> {
    let until = Instant::now() + PATIENCE;
    let file = File::open(path)?;
    while ofd::is_locked(&file, RIGHT)? {
        // What is read while its tender is writing may be of the one before.
        if ofd::is_locked(&file, ANNOUNCED)?
            && let Some(content) = read(path)?
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

/// What a tender had that ends; nothing if it has ended.
fn who_leaves(path: &Path) -> io::Result<Vec<Tended>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !ofd::is_locked(&file, ANNOUNCED)? {
        return Ok(Vec::new());
    }
    let Some(content) = read(path)? else {
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

fn read(path: &Path) -> io::Result<Option<Content>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}
