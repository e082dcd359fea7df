//! A look at the journal's file: whether it is the one that is open, how long it is, and who keeps it from being copied
//! back.
//!
//! A transaction that reads has the journal kept from where it began, however long it lasts. SQLite shows that as a
//! lock on one of five bytes of the shared memory's file, and `/proc/locks` tells which process has which.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{major, minor};

use super::{Database, Error};
use crate::beside;
use crate::file_id::FileId;

/// SQLite's file format: the bytes of the shared memory's file that readers lock.
const READERS: std::ops::RangeInclusive<u64> = 123..=127;

/// Whoever has one at each of so many looks reads for long. A worker's transactions take less than a millisecond.
const LOOKS: u32 = 5;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(30);

/// The journal's file, as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How long it is.
    pub bytes: u64,
    /// It is not the one that is open: somebody has deleted that, or put another in its place.
    pub is_another: bool,
}

/// What came of copying the journal back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// So many bytes could not be copied; nothing is known where somebody else is at it.
    pub left: Option<u64>,
    /// Who reads for long, if there is anything left.
    pub readers: Vec<String>,
}

impl Database {
    fn journal_file(&self) -> PathBuf {
        beside::named(&self.path, "-wal")
    }

    /// How the journal's file stands. SQLite deletes none that anybody has open.
    pub(crate) fn look_at_journal(&self) -> Standing {
        let found = fs::metadata(self.journal_file()).ok();
        let id = found.as_ref().map(FileId::of);
        Standing {
            bytes: found.map_or(0, |found| found.len()),
            is_another: self.journal_opened.is_some() && id != self.journal_opened,
        }
    }

    /// Copies the journal back, into the file that is open, and says who is in the way. The file is cut afterwards.
    pub(crate) fn fold_long_journal(&mut self) -> Result<Folded, Error> {
        let left = self
            .journal
            .cut(&self.connection)
            .map_err(|error| Error::sqlite(&self.path, error))?;
        let readers = match left {
            None | Some(0) => Vec::new(),
            Some(_) => self.long_readers(),
        };
        Ok(Folded { left, readers })
    }

    /// The processes that have read for a while, by name and number.
    fn long_readers(&self) -> Vec<String> {
        let Ok(shared) = fs::metadata(beside::named(&self.path, "-shm")) else {
            return Vec::new();
        };
        let look = || {
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            readers(&locks, shared.dev(), shared.ino())
        };
        let mut long = look();
        for _ in 1..LOOKS {
            std::thread::sleep(PAUSE);
            let now = look();
            long.retain(|pid| now.contains(pid));
        }
        long.remove(&std::process::id());
        long.into_iter().map(named).collect()
    }
}

/// The processes that have any of the readers' bytes of a file locked, by what the system says of all locks.
fn readers(locks: &str, device: u64, inode: u64) -> BTreeSet<u32> {
    let of_line = |line: &str| {
        let mut words = line
            .split_ascii_whitespace()
            .skip_while(|word| *word != "POSIX");
        let (_, _, _, pid, file) = (
            words.next()?,
            words.next()?,
            words.next()?,
            words.next()?.parse::<u32>().ok()?,
            words.next()?,
        );
        let (first, last) = (words.next()?.parse().ok()?, words.next()?.parse::<u64>());
        let mut id = file.split(':');
        let mut number = |base| u64::from_str_radix(id.next()?, base).ok();
        let (of_major, of_minor, of_inode) = (number(16)?, number(16)?, number(10)?);
        // A file system of many devices tells one number here and another one there.
        let is_there = (of_major, of_minor) == (u64::from(major(device)), u64::from(minor(device)));
        let is_it = of_inode == inode && (is_there || of_major == 0);
        let is_readers = READERS.contains(&first) && last.is_ok_and(|last| READERS.contains(&last));
        (is_it && is_readers).then_some(pid)
    };
    locks.lines().filter_map(of_line).collect()
}

fn named(pid: u32) -> String {
    if pid == 0 {
        return "a process that is not seen from here, perhaps of another container".into();
    }
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (process {pid})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_told_by_the_systems_locks() {
        let locks = "\
1: POSIX  ADVISORY  READ  11 fd:01:77 124 124
1: -> POSIX  ADVISORY  READ  12 fd:01:77 127 127
2: POSIX  ADVISORY  WRITE 13 fd:01:77 120 120
3: POSIX  ADVISORY  READ  14 fd:01:77 128 128
4: POSIX  ADVISORY  READ  15 fd:01:78 124 124
5: OFDLCK ADVISORY  READ  16 fd:01:77 124 124
6: FLOCK  ADVISORY  WRITE 17 fd:01:77 0 EOF
7: POSIX  ADVISORY  READ  18 fd:02:77 124 124
8: POSIX  ADVISORY  READ  19 fd:01:77 0 EOF
9: POSIX
";
        let device = rustix::fs::makedev(0xfd, 1);
        assert_eq!(
            readers(locks, device, 77).into_iter().collect::<Vec<_>>(),
            [11, 12]
        );
        assert_eq!(readers("", device, 77), BTreeSet::new());
    }
}
