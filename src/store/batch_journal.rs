//! A worker's batch journal: what it has done with tasks that it claimed together, until that is recorded.
//!
//! It is a file beside the store, so it outlives its worker, but not the machine: it is never flushed, and names the
//! boot it was written in. Whoever finds that a worker is dead reads there which of its tasks have begun and which have
//! ended, where the store can only say that they run.
//!
//! A note is never changed; when all is recorded, the next ones are written over the first. What is left behind them
//! says nothing: a task is looked up by its attempt's number, and that has been recorded.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Millis;
use super::locks::LockFile;
use crate::sqlite::beside;
use crate::sqlite::clock::boot_id;
use crate::task::id::{AttemptId, TaskId, WorkerId};

/// The first of it says whose it is, and is filled up with spaces.
const HEAD: usize = 128;

/// What precedes the output in a note: what it is checked by, and five numbers.
const CHECK: usize = 8;
const FIXED: usize = CHECK + 5 * 8;

/// What stands for no time.
const NEVER: Millis = Millis::MIN;

/// More than that is never read. A round is a few notes, each with little output.
const MOST: u64 = 1 << 20;

/// The batch journal of a worker, as it writes it.
#[derive(Debug)]
pub struct BatchJournal {
    file: File,
    /// Where the next note goes.
    end: u64,
}

/// What is known of an attempt whose worker is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journaled {
    /// Nothing: if it was claimed ahead of its turn, it has not begun.
    Nothing,
    /// It has begun.
    Begun,
    /// It has exited with 0.
    Done(Done),
}

/// An attempt that has exited with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// When it began, if it was claimed ahead of its turn.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Millis,
    /// What it printed.
    pub output: Vec<u8>,
}

impl BatchJournal {
    /// Makes the journal of a worker, with nothing in it.
    ///
    /// # Errors
    /// Also where the system does not tell one boot from another: what is in it could not be believed.
    pub fn make(locks: &LockFile, worker: WorkerId) -> io::Result<BatchJournal> {
        let head = head(locks, worker).ok_or(io::ErrorKind::Unsupported)?;
        let (file, is_new) = beside::open_or_create(&path(locks, worker))?;
        // Nothing of one that was left here, by the worker that had this number in a store put back since, say.
        file.set_len(0)?;
        file.write_all_at(head.as_bytes(), 0)?;
        if is_new {
            beside::give(&file, locks.database());
        }
        let end = HEAD as u64;
        Ok(BatchJournal { file, end })
    }

    /// Notes that an attempt is about to begin.
    pub fn begins(&mut self, attempt: AttemptId, at: Millis) -> io::Result<()> {
        self.note(attempt, Some(at), NEVER, &[])
    }

    /// Notes that an attempt has exited with 0.
    pub fn is_done(&mut self, attempt: AttemptId, done: &Done) -> io::Result<()> {
        self.note(attempt, done.started, done.finished, &done.output)
    }

    /// All that is in it has been recorded.
    pub fn wipe(&mut self) {
        self.end = HEAD as u64;
    }

    fn note(
        &mut self,
        AttemptId {
            task: TaskId(task),
            number,
        }: AttemptId,
        started: Option<Millis>,
        finished: Millis,
        output: &[u8],
    ) -> io::Result<()> {
        let size = i64::try_from(output.len()).map_err(io::Error::other)?;
        let mut rest = Vec::with_capacity(FIXED + output.len());
        for number in [task, number, started.unwrap_or(NEVER), finished, size] {
            rest.extend(number.to_le_bytes());
        }
        rest.extend(output);
        let note = [&check(&rest)[..], &rest].concat();
        self.file.write_all_at(&note, self.end)?;
        // What is written to a file that was deleted, nobody will find. Asked afterwards: what was noted is there then.
        if self.file.metadata()?.nlink() == 0 {
            let deleted = "the batch journal was deleted while it was in use";
            return Err(io::Error::new(io::ErrorKind::NotFound, deleted));
        }
        self.end = self.end.saturating_add(note.len() as u64);
        Ok(())
    }
}

/// What a dead worker has noted of an attempt; `None` if it had no journal, or it was in another boot.
pub fn read(locks: &LockFile, worker: WorkerId, attempt: AttemptId) -> Option<Journaled> {
    let text = text(locks, worker).ok()?;
    let head = head(locks, worker)?;
    let mut notes = text.strip_prefix(head.as_bytes())?;
    let mut found = Journaled::Nothing;
    while let Some((id, journaled, rest)) = first(notes) {
        if id == attempt {
            found = journaled;
        }
        notes = rest;
    }
    Some(found)
}

/// Removes the journal of a worker for which there is nothing to be recorded any more.
pub fn remove(locks: &LockFile, worker: WorkerId) {
    // Most have none. One that stays says nothing.
    let _ = fs::remove_file(path(locks, worker));
}

fn path(locks: &LockFile, worker: WorkerId) -> PathBuf {
    beside::path(locks.database(), &format!("-slate-{worker}"))
}

/// What it begins with; `None` where the system does not tell which boot this is.
fn head(locks: &LockFile, worker: WorkerId) -> Option<String> {
    let boot = boot_id();
    let whose = format!("{} {worker} {boot}", locks.store());
    (!boot.is_empty()).then(|| format!("{whose:<width$}\n", width = HEAD - 1))
}

fn text(locks: &LockFile, worker: WorkerId) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(path(locks, worker))?;
    io::Read::read_to_end(&mut io::Read::take(file, MOST), &mut text)?;
    Ok(text)
}

/// The first note, what it says, and what follows it; `None` where there is none, or not all of it.
fn first(notes: &[u8]) -> Option<(AttemptId, Journaled, &[u8])> {
    let number = |at: usize| {
        let bytes = notes.get(CHECK + at * 8..CHECK + (at + 1) * 8)?;
        Some(i64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (task, attempt) = (TaskId(number(0)?), number(1)?);
    let (started, finished) = (number(2)?, number(3)?);
    let end = FIXED.checked_add(usize::try_from(number(4)?).ok()?)?;
    let (note, rest) = notes.split_at_checked(end)?;
    let (checked, text) = note.split_at_checked(CHECK)?;
    if checked != check(text) {
        return None;
    }
    let journaled = match finished {
        NEVER => Journaled::Begun,
        finished => Journaled::Done(Done {
            started: (started != NEVER).then_some(started),
            finished,
            output: note.get(FIXED..)?.to_vec(),
        }),
    };
    let id = AttemptId {
        task,
        number: attempt,
    };
    Some((id, journaled, rest))
}

fn check(text: &[u8]) -> [u8; CHECK] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut check = [0; CHECK];
    check.iter_mut().zip(digest).for_each(|(c, d)| *c = d);
    check
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const WORKER: WorkerId = WorkerId(7);

    fn attempt(task: i64, number: i64) -> AttemptId {
        let task = TaskId(task);
        AttemptId { task, number }
    }

    fn locks(folder: &tempfile::TempDir) -> LockFile {
        LockFile::of(&folder.path().join("t.db"), Uuid::from_u128(1))
    }

    fn done(started: Option<Millis>, output: &[u8]) -> Done {
        Done {
            started,
            finished: 20,
            output: output.into(),
        }
    }

    #[test]
    fn what_was_noted_is_found_until_it_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let locks = locks(&folder);
        assert_eq!(read(&locks, WORKER, attempt(1, 1)), None, "no journal");
        let mut journal = BatchJournal::make(&locks, WORKER).unwrap();
        let of = |id| read(&locks, WORKER, id).unwrap();
        assert_eq!(of(attempt(1, 1)), Journaled::Nothing);
        // The first of several is not claimed ahead.
        journal.is_done(attempt(1, 1), &done(None, b"")).unwrap();
        journal.begins(attempt(2, 1), 10).unwrap();
        assert_eq!(of(attempt(2, 1)), Journaled::Begun);
        journal
            .is_done(attempt(2, 1), &done(Some(10), b"said"))
            .unwrap();
        journal.begins(attempt(3, 2), 30).unwrap();
        assert_eq!(of(attempt(1, 1)), Journaled::Done(done(None, b"")));
        assert_eq!(of(attempt(2, 1)), Journaled::Done(done(Some(10), b"said")));
        assert_eq!(of(attempt(3, 2)), Journaled::Begun);
        for (task, number) in [(3, 1), (2, 2), (4, 1)] {
            assert_eq!(of(attempt(task, number)), Journaled::Nothing);
        }
        journal.wipe();
        journal.begins(attempt(5, 1), 40).unwrap();
        assert_eq!(of(attempt(5, 1)), Journaled::Begun);
        assert_eq!(of(attempt(1, 1)), Journaled::Nothing, "written over");
        BatchJournal::make(&locks, WORKER).unwrap();
        assert_eq!(of(attempt(5, 1)), Journaled::Nothing, "another worker's");
        remove(&locks, WORKER);
        assert_eq!(read(&locks, WORKER, attempt(5, 1)), None);
    }

    #[test]
    fn one_that_was_deleted_or_replaced_takes_no_notes() {
        let folder = tempfile::tempdir().unwrap();
        let locks = locks(&folder);
        let mut journal = BatchJournal::make(&locks, WORKER).unwrap();
        journal.begins(attempt(1, 1), 10).unwrap();
        remove(&locks, WORKER);
        let error = journal
            .is_done(attempt(1, 1), &done(Some(10), b""))
            .unwrap_err();
        assert!(error.to_string().contains("deleted"), "{error}");
        let mut another = BatchJournal::make(&locks, WORKER).unwrap();
        assert!(journal.begins(attempt(2, 1), 20).is_err());
        another.begins(attempt(2, 1), 20).unwrap();
        assert_eq!(
            read(&locks, WORKER, attempt(1, 1)),
            Some(Journaled::Nothing)
        );
    }

    #[test]
    fn what_is_cut_off_or_overwritten_in_part_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let locks = locks(&folder);
        let mut journal = BatchJournal::make(&locks, WORKER).unwrap();
        journal
            .is_done(attempt(1, 1), &done(Some(1), b"words"))
            .unwrap();
        let path = path(&locks, WORKER);
        let whole = fs::read(&path).unwrap();
        for length in HEAD..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(
                read(&locks, WORKER, attempt(1, 1)),
                Some(Journaled::Nothing)
            );
            let mut changed = whole.clone();
            changed[length] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_eq!(
                read(&locks, WORKER, attempt(1, 1)),
                Some(Journaled::Nothing)
            );
        }
    }

    #[test]
    fn another_store_s_worker_s_or_boot_s_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let locks = locks(&folder);
        let mut journal = BatchJournal::make(&locks, WORKER).unwrap();
        journal.begins(attempt(1, 1), 10).unwrap();
        let here = path(&locks, WORKER);
        fs::copy(&here, path(&locks, WorkerId(8))).unwrap();
        assert_eq!(read(&locks, WorkerId(8), attempt(1, 1)), None);
        let other = LockFile::of(&folder.path().join("t.db"), Uuid::from_u128(2));
        assert_eq!(read(&other, WORKER, attempt(1, 1)), None);
        let text = fs::read(&here).unwrap();
        let boot = boot_id();
        let at = text
            .windows(boot.len())
            .position(|part| part == boot.as_bytes());
        let mut before = text.clone();
        before[at.unwrap()] ^= 1;
        fs::write(&here, &before).unwrap();
        assert_eq!(read(&locks, WORKER, attempt(1, 1)), None);
    }
}
