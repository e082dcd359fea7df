//! Looking who tends what.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::{ANNOUNCED, Content, Error, RIGHT, Tended, tube_of};
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
            Some(tube) => who(&entry.path(), &tube),
            None => Ok(None),
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
            let Content { pid, host, socket } = content;
            return Ok(Some(Tended {
                tube: tube.clone(),
                pid,
                host,
                socket,
            }));
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

fn read(path: &Path) -> io::Result<Option<Content>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}
