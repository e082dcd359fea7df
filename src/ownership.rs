//! Who tends which tubes of a store: one tender a tube, for as long as it lives.
//!
//! Beside the store is a folder, `STORE-tubes`, with a file for each tube that was ever tended. A lock on
//! the file's first byte ([`ofd`]) is the right to tend the tube. The lock is never inherited, so that
//! the right ends with the tender's process and not with a worker that is still draining. What the file says of its
//! tender, a line of JSON, counts only while that lock is held, so a stale file stops nobody:
//!
//! ```text
//! {"pid":4711,"host":"box","socket":"/run/user/1000/taskqueue/a1b2.sock"}
//! ```
//!
//! A tender that is told to end gives up the right at once, so that the next tender need not wait until the last
//! command has ended. From then on a file of its own, `UUID.leaving` in the same folder, says where that tender
//! listens and what it tended. The file counts for as long as the tender holds it locked.
//!
//! Each worker holds a byte of its tube's file too, its [`Slot`], which it inherits from its tender and
//! outlives it with. So a tender counts those that an earlier one has left draining, exactly.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::beside::{self, Folder};
use crate::ofd;
use crate::tube::TubeName;

mod files;
mod leaving;
mod look;
mod slots;
mod turn;

pub use files::{Error, Tended, host};
pub use look::{ANEW, is_served, tended};
pub use slots::Slot;
pub use turn::Turn;

use files::{Content, RIGHT, file_name, folder, of_folder, write};
use leaving::Leaving;
use look::who;

/// A tender that is killed while it starts a process seems to live until what it has forked has become that
/// process. How long that may take before it is believed to live.
const FAREWELL: Duration = Duration::from_millis(250);

/// The right to tend some tubes of a store, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Ownership {
    store: PathBuf,
    tubes: Vec<Right>,
    /// Where this process listens, as was said last.
    socket: Option<PathBuf>,
    /// What this process is found by once it has given up its tubes.
    leaving: Option<Leaving>,
}

/// The right to tend one tube. Whoever looks can tell when it was given up: by when the file was changed last.
#[derive(Debug)]
struct Right {
    tube: TubeName,
    file: File,
    /// The slots of workers that an earlier tender left; `None` before they were counted.
    left: Option<BTreeSet<i64>>,
}

impl Ownership {
    /// Takes the right to tend these tubes, all of them or none, and says who has it.
    ///
    /// # Errors
    /// When a tender that lives has one of them, or when the folder cannot be written to.
    pub fn take(store: &Path, tubes: &[TubeName]) -> Result<Ownership, Error> {
        let made = beside::make_around(store).and_then(|()| {
            let around = Folder::of(store)?;
            around.make_folder(&beside::tubes(store))
        });
        let folder = made.map_err(|error| of_folder(store, error))?;
        // Everybody takes them in the same order, so of two that want the same, one gets all it wants.
        let tubes: BTreeSet<&TubeName> = tubes.iter().collect();
        let tubes = tubes
            .into_iter()
            .map(|tube| Right::take(&folder, tube))
            .collect::<Result<_, _>>()?;
        let mut ownership = Ownership {
            store: store.into(),
            tubes,
            socket: None,
            leaving: None,
        };
        ownership.announce(None)?;
        leaving::remove_stale(&folder);
        Ok(ownership)
    }

    /// Takes the right to tend these too, all of them or none.
    ///
    /// # Errors
    /// As [`Ownership::take`]. One that we have already is one that is taken.
    pub fn add(&mut self, tubes: &BTreeSet<TubeName>) -> Result<(), Error> {
        let folder = folder(&self.store).map_err(|error| of_folder(&self.store, error))?;
        let rights = tubes.iter().map(|tube| Right::take(&folder, tube));
        let more: Vec<Right> = rights.collect::<Result<_, _>>()?;
        self.say(&more)?;
        self.tubes.extend(more);
        Ok(())
    }

    /// Lets others tend this one.
    pub fn release(&mut self, tube: &TubeName) {
        self.tubes.retain(|right| right.tube != *tube);
    }

    /// Says where this process listens for orders, to whoever looks up who tends these tubes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn announce(&mut self, socket: Option<&Path>) -> Result<(), Error> {
        self.socket = socket.map(Into::into);
        match self.leaving.as_ref().map(Leaving::tubes) {
            Some(tubes) => self.leaving = Some(self.say_leaving(tubes)?),
            None => self.say(&self.tubes)?,
        }
        Ok(())
    }

    /// Lets others tend all tubes, and goes on saying where this process listens, as one that ends. Once the tubes are
    /// given up, this does nothing.
    ///
    /// # Errors
    /// When that cannot be said; the tubes are kept then.
    pub fn leave(&mut self) -> Result<(), Error> {
        if self.tubes.is_empty() {
            return Ok(());
        }
        let tubes = self.tubes.iter().map(|right| right.tube.clone());
        // Said before the tubes are given up: whoever looks finds this process twice for an instant, and never not
        // at all.
        self.leaving = Some(self.say_leaving(tubes.collect())?);
        self.tubes.clear();
        Ok(())
    }

    fn say_leaving(&self, tubes: Vec<TubeName>) -> Result<Leaving, Error> {
        let content = Content::ours(self.socket.clone(), tubes);
        Leaving::say(&self.store, content)
    }

    fn say(&self, rights: &[Right]) -> Result<(), Error> {
        let content = Content::ours(self.socket.clone(), Vec::new());
        for Right { tube, file, .. } in rights {
            write(file, &content).map_err(|source| Error::Io {
                path: beside::tubes(&self.store).join(file_name(tube)),
                source,
            })?;
        }
        Ok(())
    }
}

/// Whether whoever asks could have the right to tend these tubes, for all that the folder says. Makes nothing.
///
/// # Errors
/// When the folder, or a file in it, could not be written to.
pub fn could_take(store: &Path, tubes: &[TubeName]) -> Result<(), Error> {
    let around = beside::tubes(store);
    let files = tubes.iter().map(|tube| around.join(file_name(tube)));
    files.chain([around.clone()]).try_for_each(|path| {
        beside::could_be_written(&path).map_err(|source| Error::Io { path, source })
    })?;
    let there = match folder(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|error| of_folder(store, error))?,
    };
    tubes.iter().try_for_each(|tube| {
        let path = around.join(file_name(tube));
        let found = there.look(&path).and_then(|found| match found {
            Some(found) => Ok(there.trust(&found)?),
            None => Ok(()),
        });
        found.map_err(|source| Error::Io { path, source })
    })
}

impl Drop for Right {
    fn drop(&mut self) {
        // Else it is only not known.
        let _ = self.file.set_modified(SystemTime::now());
    }
}

impl Right {
    fn take(folder: &Folder, tube: &TubeName) -> Result<Right, Error> {
        let path = folder.path().join(file_name(tube));
        let opened = folder.open_or_make(&path);
        let taken = opened.and_then(|file| take_right(&file).map(|()| file));
        match taken {
            Ok(file) => Ok(Right {
                tube: tube.clone(),
                file,
                left: None,
            }),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(Error::Taken {
                tube: tube.clone(),
                tender: who(folder, &path, tube).ok().flatten().map(Box::new),
            }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }
}

fn take_right(file: &File) -> io::Result<()> {
    let until = Instant::now() + FAREWELL;
    loop {
        match ofd::lock(file, RIGHT) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::files::tube_of;
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
        let first = Ownership::take(&store, &tubes(&["b", "a/b", "b"])).unwrap();
        assert_eq!(names(&store), ["a/b", "b"]);
        match Ownership::take(&store, &tubes(&["c", "b"])) {
            Err(Error::Taken { tube, tender }) => {
                assert_eq!(tube.as_str(), "b");
                assert_eq!(tender.unwrap().pid, std::process::id());
            }
            other => panic!("{other:?}"),
        }
        let second = Ownership::take(&store, &tubes(&["c"])).unwrap();
        drop(first);
        assert_eq!(names(&store), ["c"]);
        assert!(Ownership::take(&store, &tubes(&["a/b", "c"])).is_err());
        drop(second);
        Ownership::take(&store, &tubes(&["c", "b", "a/b"])).unwrap();
        assert_eq!(names(&store), [""; 0]);
    }

    #[test]
    fn one_that_is_just_dying_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let dying = Ownership::take(&store, &tubes(&["mail"])).unwrap();
        let (asked, asking) = std::sync::mpsc::channel();
        let next = std::thread::spawn(move || {
            asked.send(()).unwrap();
            Ownership::take(&store, &tubes(&["mail"])).map(drop)
        });
        asking.recv().unwrap();
        std::thread::sleep(FAREWELL / 10);
        drop(dying);
        next.join().unwrap().unwrap();
    }

    #[test]
    fn where_it_listens_can_be_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let mut ownership = Ownership::take(&store, &tubes(&["mail", "a"])).unwrap();
        assert_eq!(tended(&store).unwrap()[0].socket, None);
        let long = dir.path().join("x".repeat(200));
        for socket in [long.as_path(), Path::new("/s")] {
            ownership.announce(Some(socket)).unwrap();
            for found in tended(&store).unwrap() {
                assert_eq!(found.socket.as_deref(), Some(socket));
                assert_eq!(found.host, host());
                assert!(found.is_by_us());
            }
        }
    }

    #[test]
    fn a_tender_of_our_number_on_another_host_is_another() {
        let ours = Tended {
            tube: "mail".parse().unwrap(),
            pid: std::process::id(),
            host: host(),
            socket: None,
            leaving: false,
        };
        let host = "elsewhere".to_owned();
        assert!(ours.is_by_us() && !Tended { host, ..ours }.is_by_us());
    }

    #[test]
    fn tubes_can_be_added_and_released() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let mut ownership = Ownership::take(&store, &tubes(&["a"])).unwrap();
        ownership.announce(Some(Path::new("/s"))).unwrap();
        let other = Ownership::take(&store, &tubes(&["c"])).unwrap();
        let add = |ownership: &mut Ownership, names: &[&str]| {
            ownership.add(&tubes(names).into_iter().collect())
        };
        assert!(add(&mut ownership, &["b", "c"]).is_err());
        assert_eq!(names(&store), ["a", "c"], "all or none");
        drop(other);
        add(&mut ownership, &["b", "c"]).unwrap();
        assert_eq!(names(&store), ["a", "b", "c"]);
        for found in tended(&store).unwrap() {
            assert_eq!(found.socket.as_deref(), Some(Path::new("/s")));
        }
        ownership.release(&tubes(&["b"])[0]);
        assert_eq!(names(&store), ["a", "c"]);
        assert!(ownership.slot(&tubes(&["b"])[0]).is_err());
    }

    #[test]
    fn workers_that_were_left_are_counted_until_they_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let (mail, other): (TubeName, TubeName) = ("mail".parse().unwrap(), "o".parse().unwrap());
        let mut first = Ownership::take(&store, &tubes(&["mail"])).unwrap();
        assert_eq!(first.left(&mail).unwrap(), 0);
        let mut slots: Vec<Slot> = (0..4).map(|_| first.slot(&mail).unwrap()).collect();
        assert_eq!(first.left(&mail).unwrap(), 0, "its own are not left");
        assert!(first.slot(&other).is_err());
        drop(first);

        let mut second = Ownership::take(&store, &tubes(&["mail", "o"])).unwrap();
        assert_eq!(second.left(&mail).unwrap(), 4);
        assert_eq!(second.left(&other).unwrap(), 0);
        drop(slots.remove(1));
        assert_eq!(second.left(&mail).unwrap(), 3);
        drop(slots.remove(0));
        // Its own worker gets what has become free, before anybody has looked again.
        let own = [second.slot(&mail).unwrap(), second.slot(&mail).unwrap()];
        assert_eq!(second.left(&mail).unwrap(), 2);
        drop(slots);
        assert_eq!(second.left(&mail).unwrap(), 0);
        drop(own);
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
