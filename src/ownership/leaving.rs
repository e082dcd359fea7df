//! What a tender that ends is found by, once it has given up its tubes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::files::{ANNOUNCED, Content, Error, LEAVING, folder, is_leaving, write};
use crate::beside::{self, Folder};
use crate::ofd;
use crate::tube::TubeName;

/// How long after its last change a file that is not locked may still be one whose tender is about to lock it.
const STALE: Duration = Duration::from_secs(10);

/// The file of a tender that ends. Dropping this removes the file.
#[derive(Debug)]
pub(super) struct Leaving {
    folder: Folder,
    path: PathBuf,
    /// Held locked.
    file: File,
    /// What the tender tended.
    tubes: Vec<TubeName>,
}

impl Leaving {
    /// Makes a file that says it. Each time another file: so what is locked is whole, and never changes.
    pub(super) fn say(store: &Path, content: Content) -> Result<Leaving, Error> {
        let path = beside::tubes(store).join(format!("{}{LEAVING}", Uuid::now_v7()));
        let said = folder(store).and_then(|folder| {
            let file = folder.open_or_make(&path)?;
            // From here on a file that cannot be written is removed.
            let leaving = Leaving {
                folder,
                path: path.clone(),
                file,
                tubes: content.tubes.clone(),
            };
            write(&leaving.file, &content)?;
            Ok(leaving)
        });
        said.map_err(|source| Error::Io { path, source })
    }

    pub(super) fn tubes(&self) -> Vec<TubeName> {
        self.tubes.clone()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // A file that stays counts for nothing, and is removed by a tender to come.
        let _ = self.folder.remove(&self.path);
    }
}

/// Removes the files of tenders that were killed while they ended.
pub(super) fn remove_stale(folder: &Folder) {
    let names = folder.names().unwrap_or_default();
    for name in names.iter().filter(|name| is_leaving(name)) {
        let name = Path::new(name);
        let is_stale = || {
            let file = folder.read(name)?.file;
            let modified = file.metadata()?.modified()?;
            let is_old = modified.elapsed().is_ok_and(|age| age > STALE);
            Ok::<_, io::Error>(is_old && !ofd::is_locked(&file, ANNOUNCED)?)
        };
        if is_stale().unwrap_or(false) {
            let _ = folder.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;
    use crate::ownership::{Ownership, tended};

    fn tubes(names: &[&str]) -> Vec<TubeName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// Who is found: the tube, where its tender listens, and whether that leaves.
    fn found(store: &Path) -> Vec<(String, Option<PathBuf>, bool)> {
        let all = tended(store).unwrap().into_iter();
        let named = all.map(|one| (one.tube.to_string(), one.socket, one.leaving));
        named.collect()
    }

    fn files(store: &Path) -> usize {
        let entries = fs::read_dir(beside::tubes(store)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.filter(|name| is_leaving(name)).count()
    }

    #[test]
    fn a_tender_that_ends_gives_up_its_tubes_and_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let both = tubes(&["a", "b"]);
        let mut old = Ownership::take(&store, &both).unwrap();
        old.announce(Some(Path::new("/old"))).unwrap();
        let slot = old.slot(&both[0]).unwrap();
        old.leave().unwrap();
        let leaves = |tube: &str| (tube.to_owned(), Some("/old".into()), true);
        assert_eq!(found(&store), [leaves("a"), leaves("b")]);
        let mut new = Ownership::take(&store, &both[..1]).unwrap();
        // Workers that still drain count.
        assert_eq!(new.left(&both[0]).unwrap(), 1);
        drop(slot);
        assert_eq!(new.left(&both[0]).unwrap(), 0);
        let tends = ("a".to_owned(), None, false);
        let all = [tends.clone(), leaves("a"), leaves("b")];
        assert_eq!(found(&store), all);
        // Told a second time.
        old.leave().unwrap();
        assert_eq!(found(&store), all);
        drop(old);
        assert_eq!(found(&store), [tends]);
        assert_eq!(files(&store), 0);
    }

    #[test]
    fn a_tender_that_ends_says_where_it_listens_after_its_socket_was_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let mut old = Ownership::take(&store, &tubes(&["a"])).unwrap();
        old.leave().unwrap();
        assert_eq!(found(&store), [("a".to_owned(), None, true)]);
        for socket in ["/first", "/second"] {
            old.announce(Some(Path::new(socket))).unwrap();
            assert_eq!(found(&store), [("a".to_owned(), Some(socket.into()), true)]);
        }
        assert_eq!(files(&store), 1);
        // Its tubes are not taken back by that.
        Ownership::take(&store, &tubes(&["a"])).unwrap();
    }

    #[test]
    fn a_tender_of_many_tubes_that_ends_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let long = "x".repeat(crate::tube::MAX_LEN - 4);
        let many = (0..300).map(|n| format!("{long}{n}").parse().unwrap());
        let many: Vec<TubeName> = many.collect();
        let mut old = Ownership::take(&store, &many).unwrap();
        old.leave().unwrap();
        assert_eq!(found(&store).len(), many.len());
    }

    #[test]
    fn what_a_killed_one_left_counts_for_nothing_and_goes_with_the_next_tender() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let mut old = Ownership::take(&store, &tubes(&["a"])).unwrap();
        old.leave().unwrap();
        let folder = beside::tubes(&store);
        let alive = fs::read_dir(&folder).unwrap().flatten();
        let alive = alive
            .map(|entry| entry.path())
            .find(|path| is_leaving(path.file_name().unwrap()));
        let age = |path: &Path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - STALE * 2).unwrap();
        };
        age(&alive.unwrap());
        for (name, is_old) in [("old.leaving", true), ("new.leaving", false)] {
            let said = r#"{"pid":1,"host":"h","socket":null,"tubes":["c"]}"#;
            fs::write(folder.join(name), said).unwrap();
            if is_old {
                age(&folder.join(name));
            }
        }
        assert_eq!(found(&store), [("a".to_owned(), None, true)]);
        let _new = Ownership::take(&store, &tubes(&["b"])).unwrap();
        assert!(!folder.join("old.leaving").exists());
        // It might be about to be locked.
        assert!(folder.join("new.leaving").exists());
        assert_eq!(found(&store).len(), 2);
    }
}
