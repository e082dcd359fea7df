//! In which session the command of a worker runs, or ran last: a note a worker, in a file beside the store.
//!
//! What a command starts as another user can be found by nothing else. Such a process shows us neither its environment
//! nor its descriptors, and `sudo` drops both. The session stays: nobody enters one but by birth, and it cannot be had
//! back by who has left it.
//!
//! The note is written by the command's own process, before that is the command. So whoever finds the worker dead finds
//! the note of whatever the worker has started. Nothing is flushed: a note names its boot.
//!
//! The file does not grow with the number of workers that there ever were.
//!
//! A note says whom to look at, and not who lives. A number may have become another session's: so it comes with the
//! time of the birth, and with the pid namespace in which it is a number at all.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use uuid::Uuid;

use crate::beside::Folder;
use crate::clock::{boot_id, since_boot};
use crate::task::id::{AttemptId, TaskId, WorkerId};

/// A note's room, which no page ends in: so a note is written whole.
const NOTE: usize = 64;

/// As many notes have room: workers whose numbers are so far apart share one. A worker whose note was taken has none,
/// as where no note can be written.
const NOTES: u64 = 16 * 1024;

/// What precedes the session's number in it: boot, pid namespace, task, attempt, birth. The user follows.
const HEAD: usize = 16 + 4 * 8;

/// A session that an attempt's command has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its number, which is that of its first process.
    pub id: i32,
    /// When it began or a moment before, in the kernel's ticks since boot.
    pub since: u64,
    /// As whom its command was started, if that was noted.
    pub user: Option<u32>,
}

/// Where a worker notes the sessions of its commands.
#[derive(Debug)]
pub struct Notes {
    file: File,
    offset: u64,
    /// Boot and namespace.
    place: [u8; 24],
}

/// A note that is about to be written.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    file: BorrowedFd<'a>,
    offset: u64,
    text: [u8; NOTE],
}

impl Notes {
    /// Those of a worker, in that file of a store's folder. What the worker of that number before has noted is gone.
    pub fn open(folder: &Folder, notes: &Path, worker: WorkerId) -> io::Result<Notes> {
        let place = place().ok_or(io::ErrorKind::Unsupported)?;
        let offset = offset(worker).ok_or(io::ErrorKind::InvalidInput)?;
        let file = folder.open_or_make(notes)?;
        // Its room on the disk, too.
        file.write_all_at(&[0; NOTE], offset)?;
        Ok(Notes {
            file,
            offset,
            place,
        })
    }

    /// Of an attempt that is about to begin as this user.
    pub fn of(&self, attempt: AttemptId, user: u32) -> Note<'_> {
        let mut text = [0; NOTE];
        let since = now().to_le_bytes();
        // The session's number comes between.
        let user = (i64::from(user) + 1).to_le_bytes();
        let task = attempt.task.0.to_le_bytes();
        let parts = [
            &self.place[..],
            &task,
            &attempt.number.to_le_bytes(),
            &since,
            &[0; 8],
            &user,
        ];
        let bytes = parts.into_iter().flatten();
        text.iter_mut()
            .zip(bytes)
            .for_each(|(to, byte)| *to = *byte);
        Note {
            file: self.file.as_fd(),
            offset: self.offset,
            text,
        }
    }
}

impl Note<'_> {
    /// Writes it, with the number of the session that has begun. One system call, and nothing is allocated. Where that
    /// fails, there is no note.
    pub fn write(&self, session: i32) {
        let mut text = self.text;
        let number = text.iter_mut().skip(HEAD).zip(session.to_le_bytes());
        number.for_each(|(to, byte)| *to = byte);
        let _ = rustix::io::pwrite(self.file, &text, self.offset);
    }
}

/// The session of an attempt that a worker has begun; `None` if the worker has noted another since, or none.
pub fn find(
    folder: &Folder,
    notes: &Path,
    worker: WorkerId,
    attempt: AttemptId,
) -> Option<Session> {
    let mut text = [0; NOTE];
    let file = folder.read(notes).ok()?.file;
    file.read_exact_at(&mut text, offset(worker)?).ok()?;
    let (here, rest) = text.split_at_checked(24)?;
    let mut numbers = rest.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().unwrap_or_default();
        i64::from_le_bytes(bytes)
    });
    let noted = AttemptId {
        task: TaskId(numbers.next()?),
        number: numbers.next()?,
    };
    let since = numbers.next()?.unsigned_abs();
    let id = i32::try_from(numbers.next()?).ok()?;
    let user = u32::try_from(numbers.next()?.saturating_sub(1)).ok();
    let session = Session { id, since, user };
    (here == place()? && noted == attempt && id > 1).then_some(session)
}

/// Ticks since boot, as the kernel counts births (proc(5), "starttime").
fn now() -> u64 {
    ticks(since_boot().unsigned_abs())
}

/// So many milliseconds in the kernel's ticks.
pub fn ticks(millis: u64) -> u64 {
    millis.saturating_mul(rustix::param::clock_ticks_per_second()) / 1000
}

/// Ids begin at 1.
fn offset(worker: WorkerId) -> Option<u64> {
    let number = u64::try_from(worker.0).ok()?;
    Some(number % NOTES * NOTE as u64)
}

/// Where a session's number means something: this boot, and our pid namespace.
fn place() -> Option<[u8; 24]> {
    let boot = Uuid::try_parse(&boot_id()).ok()?;
    let namespace = fs::metadata("/proc/self/ns/pid").ok()?.ino();
    let mut place = [0; 24];
    let bytes = boot.into_bytes().into_iter().chain(namespace.to_le_bytes());
    place
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, byte)| *to = byte);
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside;

    #[test]
    fn a_note_is_found_by_worker_and_attempt_until_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("t.db");
        let (place, notes_at) = (Folder::of(&store).unwrap(), beside::sessions(&store));
        let attempt = |task, number| AttemptId {
            task: TaskId(task),
            number,
        };
        let (first, second) = (WorkerId(1), WorkerId(65));
        assert_eq!(find(&place, &notes_at, first, attempt(7, 1)), None);
        let notes = Notes::open(&place, &notes_at, second).unwrap();
        let before = now();
        notes.of(attempt(7, 1), 33).write(4711);
        let found = find(&place, &notes_at, second, attempt(7, 1)).unwrap();
        assert_eq!((found.id, found.user), (4711, Some(33)));
        assert!((before..=now()).contains(&found.since));
        for (worker, other) in [
            (second, attempt(7, 2)),
            (second, attempt(8, 1)),
            (first, attempt(7, 1)),
        ] {
            assert_eq!(find(&place, &notes_at, worker, other), None);
        }
        notes.of(attempt(8, 3), 33).write(i32::MAX);
        assert_eq!(find(&place, &notes_at, second, attempt(7, 1)), None);
        let found = find(&place, &notes_at, second, attempt(8, 3));
        assert_eq!(found.map(|it| it.id), Some(i32::MAX));
        // Another worker by that number, in a store that was put back.
        let notes = Notes::open(&place, &notes_at, second).unwrap();
        assert_eq!(find(&place, &notes_at, second, attempt(8, 3)), None);
        // However many workers there were.
        let last = WorkerId(i64::MAX);
        Notes::open(&place, &notes_at, last)
            .unwrap()
            .of(attempt(9, 1), 33)
            .write(12);
        assert_eq!(
            find(&place, &notes_at, last, attempt(9, 1)).map(|it| it.id),
            Some(12)
        );
        let length = fs::metadata(&notes_at).unwrap().len();
        assert!(length <= NOTES * NOTE as u64, "{length}");
        // A number that is none of ours.
        notes.of(attempt(0, 0), 33).write(0);
        assert_eq!(find(&place, &notes_at, second, attempt(0, 0)), None);
    }
}
