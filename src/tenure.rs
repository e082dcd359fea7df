//! Who tends which tubes of a store: one tender a tube, for as long as it lives.
//!
//! Beside the store is a folder, `STORE-tubes`, with a file for each tube that was ever tended. A lock on
//! the file's first byte ([`ofd`]) is the right to tend the tube. It is never inherited, so that it
//! ends with the tender's process and not with a worker that is still draining. What the file says of its
//! tender, a line of JSON, counts only while that lock is held, so a stale file stops nobody:
//!
//! ```text
//! {"pid":4711,"host":"box","socket":"/run/user/1000/taskqueue/a1b2.sock"}
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ofd;
use crate::tube::TubeName;

/// The right to tend the tube.
const RIGHT: i64 = 0;
/// Held while the file's content is its tender's, whole.
const ANNOUNCED: i64 = 1 << 62;

/// The most bytes of a file that are read: a path has at most 4096, each of them six bytes in JSON.
const LONGEST: u64 = 32 * 1024;

/// How long a tender may take from its right to its announcement.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why tubes cannot be tended, or why it is not known who tends them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another tender, which lives, has one of the tubes.
    #[error("{}", taken(tube, tender.as_deref()))]
    Taken {
        /// The first of the tubes that is taken.
        tube: TubeName,
        /// Who has it; `None` if it has not said so yet.
        tender: Option<Box<Tended>>,
    },
    /// The folder or a file in it cannot be used.
    #[error("cannot hold the right to tend tubes in {}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn taken(tube: &TubeName, tender: Option<&Tended>) -> String {
    match tender {
        Some(Tended { pid, host, .. }) => {
            format!("the tube {tube} is tended already, by process {pid} on {host}")
        }
        None => format!("the tube {tube} is tended already, by a tender that just began"),
    }
}

/// A tube and the tender that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tended {
    /// The tube.
    pub tube: TubeName,
    /// The tender's process id, for people and to look it up on its own host.
    pub pid: u32,
    /// The name of the machine that it runs on.
    pub host: String,
    /// Where it listens for orders; `None` if it does not.
    pub socket: Option<PathBuf>,
}

/// What a file says.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    pid: u32,
    host: String,
    socket: Option<PathBuf>,
}

/// The right to tend some tubes of a store, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Tenure {
    folder: PathBuf,
    tubes: Vec<Right>,
}

/// The right to tend one tube.
#[derive(Debug)]
struct Right {
    tube: TubeName,
    file: File,
}

impl Tenure {
    /// Takes the right to tend these tubes, all of them or none, and says who has it.
    ///
    /// # Errors
    /// When a tender that lives has one of them, or when the folder cannot be written to.
    pub fn take(store: &Path, tubes: &[TubeName]) -> Result<Tenure, Error> {
        let folder = folder(store);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| Error::Io {
                path: folder.clone(),
                source,
            })?;
        // Everybody takes them in the same order, so of two that want the same, one gets all it wants.
        let tubes: BTreeSet<&TubeName> = tubes.iter().collect();
        let tubes = tubes
            .into_iter()
            .map(|tube| Right::take(&folder, tube))
            .collect::<Result<_, _>>()?;
        let tenure = Tenure { folder, tubes };
        tenure.announce(None)?;
        Ok(tenure)
    }

    /// Says where this process listens for orders, to whoever looks up who tends these tubes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn announce(&self, socket: Option<&Path>) -> Result<(), Error> {
        let content = Content {
            pid: std::process::id(),
            host: host(),
            socket: socket.map(Into::into),
        };
        let mut line = serde_json::to_vec(&content).map_err(|error| Error::Io {
            path: self.folder.clone(),
            source: error.into(),
        })?;
        line.push(b'\n');
        for Right { tube, file } in &self.tubes {
            write(file, &line).map_err(|source| Error::Io {
                path: self.folder.join(file_name(tube)),
                source,
            })?;
        }
        Ok(())
    }
}

impl Right {
    fn take(folder: &Path, tube: &TubeName) -> Result<Right, Error> {
        let path = folder.join(file_name(tube));
        let taken = open(&path).and_then(|file| ofd::lock(&file, RIGHT).map(|()| file));
        match taken {
            Ok(file) => Ok(Right {
                tube: tube.clone(),
                file,
            }),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(Error::Taken {
                tube: tube.clone(),
                tender: who(&path, tube).ok().flatten().map(Box::new),
            }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }
}

/// The tubes of a store that are tended at this moment, each with its tender.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn tended(store: &Path) -> Result<Vec<Tended>, Error> {
    let folder = folder(store);
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
fn who(path: &Path, tube: &TubeName) -> io::Result<Option<Tended>> {
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

fn write(file: &File, line: &[u8]) -> io::Result<()> {
    ofd::unlock(file, ANNOUNCED)?;
    file.set_len(0)?;
    file.write_all_at(line, 0)?;
    ofd::lock(file, ANNOUNCED)
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn folder(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-tubes");
    name.into()
}

/// No tube's name has a `%` in it.
fn file_name(tube: &TubeName) -> String {
    format!("{}.tube", tube.as_str().replace('/', "%"))
}

fn tube_of(file: &std::ffi::OsStr) -> Option<TubeName> {
    let name = file.to_str()?.strip_suffix(".tube")?;
    name.replace('%', "/").parse().ok()
}

fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tubes(names: &[&str]) -> Vec<TubeName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn names(store: &Path) -> Vec<String> {
        let tended = tended(store).unwrap();
        tended.into_iter().map(|t| t.tube.to_string()).collect()
    }

    #[test]
    fn tubes_are_taken_all_or_none_and_freed_with_their_holder() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("new").join("t.db");
        assert_eq!(names(&store), [""; 0]);
        let first = Tenure::take(&store, &tubes(&["b", "a/b", "b"])).unwrap();
        assert_eq!(names(&store), ["a/b", "b"]);
        match Tenure::take(&store, &tubes(&["c", "b"])) {
            Err(Error::Taken { tube, tender }) => {
                assert_eq!(tube.as_str(), "b");
                assert_eq!(tender.unwrap().pid, std::process::id());
            }
            other => panic!("{other:?}"),
        }
        let second = Tenure::take(&store, &tubes(&["c"])).unwrap();
        drop(first);
        assert_eq!(names(&store), ["c"]);
        assert!(Tenure::take(&store, &tubes(&["a/b", "c"])).is_err());
        drop(second);
        Tenure::take(&store, &tubes(&["c", "b", "a/b"])).unwrap();
        assert_eq!(names(&store), [""; 0]);
    }

    #[test]
    fn where_it_listens_can_be_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let tenure = Tenure::take(&store, &tubes(&["mail", "a"])).unwrap();
        assert_eq!(tended(&store).unwrap()[0].socket, None);
        let long = dir.path().join("x".repeat(200));
        for socket in [long.as_path(), Path::new("/s")] {
            tenure.announce(Some(socket)).unwrap();
            for found in tended(&store).unwrap() {
                assert_eq!(found.socket.as_deref(), Some(socket));
                assert_eq!(found.host, host());
            }
        }
    }

    #[test]
    fn every_tube_has_a_file_of_its_own() {
        let longest = "/".repeat(crate::tube::MAX_LEN);
        for name in ["a", "a/b", "..", ".", "a.tube", "$(x);", &longest] {
            let tube: TubeName = name.parse().unwrap();
            let file = file_name(&tube);
            assert!(!file.contains('/') && file.len() < 255);
            assert_eq!(tube_of(file.as_ref()), Some(tube));
        }
        assert_eq!(tube_of("a".as_ref()), None);
    }
}
