//! Looking who tends what.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::{
    ANNOUNCED, Content, Error, RIGHT, Tended, file_name, folder, is_leaving, of_folder, tube_of,
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

/// Who has ended may be back within this.
pub const ANEW: Duration = Duration::from_secs(10);

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

/// Whether a tube is tended at this moment, or workers of a tender of it still live, whatever their program is; or
/// whether that was so just now: a tender that is started anew is away for an instant.
///
/// # Errors
/// When the folder or the tube's file cannot be read.
pub fn is_served(store: &Path, tube: &TubeName) -> Result<bool, Error> {
    let name = file_name(tube);
    let looked = folder(store).and_then(|folder| {
        let file = folder.read(Path::new(&name))?.file;
        if ofd::is_any_locked(&file, RIGHT, ANNOUNCED)? {
            return Ok(true);
        }
        let changed = file.metadata()?.modified()?;
        Ok(changed.elapsed().is_ok_and(|ago| ago < ANEW))
    });
    match looked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;
    use crate::beside;
    use crate::ownership::Ownership;

    #[test]
    fn a_tube_is_served_by_a_tender_by_its_workers_and_while_a_tender_is_started_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let tubes: Vec<TubeName> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let is_served = |of: usize| is_served(&store, &tubes[of]).unwrap();
        let long_ago = |of: usize| {
            let file = beside::tubes(&store).join(file_name(&tubes[of]));
            let file = File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - ANEW * 2).unwrap();
        };
        assert!(!is_served(0), "there is nothing");
        let mut tender = Ownership::take(&store, &tubes[..1]).unwrap();
        long_ago(0);
        assert!(is_served(0) && !is_served(1));
        let slot = tender.slot(&tubes[0]).unwrap();
        tender.leave().unwrap();
        long_ago(0);
        assert!(is_served(0), "a worker lives");
        drop(slot);
        assert!(!is_served(0));
        drop(Ownership::take(&store, &tubes).unwrap());
        assert!(is_served(0) && is_served(1), "a tender was here just now");
        (0..2).for_each(long_ago);
        assert!(!is_served(0) && !is_served(1));
        // Of what cannot be looked up nothing is said.
        fs::remove_file(beside::tubes(&store).join(file_name(&tubes[0]))).unwrap();
        fs::create_dir(beside::tubes(&store).join(file_name(&tubes[0]))).unwrap();
        assert!(super::is_served(&store, &tubes[0]).is_err());
    }
}
