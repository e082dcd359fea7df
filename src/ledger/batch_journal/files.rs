//! Batch journals as files beside the store.
//!
//! A file is never flushed, and names the boot it was written in: it outlives its worker, but not the machine.
//!
//! A note is never changed; when all is recorded, the next ones are written over the first. What is left behind them
//! says nothing: a task is looked up by its attempt's number, and that has been recorded.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{BatchJournal, Done, Journal, Journaled, Journals, Trouble};
use crate::beside::{self, Folder};
use crate::ledger::whose;
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId, WorkerId};

/// The first of it says whose it is.
const HEAD: usize = whose::LENGTH;

/// What precedes the output in a note: what it is checked by, and five numbers.
const CHECK: usize = 8;
const FIXED: usize = CHECK + 5 * 8;

/// What stands for no time.
const NEVER: Millis = Millis::MIN;

/// More than that is never read. A batch is a few notes, each with little output.
const MOST: u64 = 1 << 20;

/// The files of a store's workers.
#[derive(Debug, Clone)]
pub struct Files {
    /// The store's folder, in which it was found.
    folder: Arc<Folder>,
    /// Where the store is.
    store: PathBuf,
    /// The store's id, which is to be in each.
    id: Uuid,
}

/// The journal of a worker, as that worker writes it.
#[derive(Debug)]
struct Written {
    file: File,
    /// Where the next note goes.
    end: u64,
}

impl Files {
    /// Those of the store at this path, with this id. Nothing is opened yet.
    pub fn within(folder: Arc<Folder>, store: &Path, id: Uuid) -> Files {
        Files {
            folder,
            store: store.into(),
            id,
        }
    }

    fn path(&self, worker: WorkerId) -> PathBuf {
        beside::batch_journal(&self.store, worker)
    }

    fn text(&self, worker: WorkerId) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = self.folder.read(&self.path(worker))?.file;
        io::Read::read_to_end(&mut io::Read::take(file, MOST), &mut text)?;
        Ok(text)
    }

    fn make_file(&self, worker: WorkerId) -> io::Result<Written> {
        let head = whose::file(self.id, worker).ok_or(io::ErrorKind::Unsupported)?;
        let (file, is_new) = self.folder.open_or_create(&self.path(worker))?;
        // Nothing of one that was left here, by the worker that had this number in a store put back since, say.
        file.set_len(0)?;
        file.write_all_at(head.as_bytes(), 0)?;
        if is_new {
            self.folder.give(&file);
        }
        let end = HEAD as u64;
        Ok(Written { file, end })
    }
}

impl Journals for Files {
    fn make(&self, worker: WorkerId) -> Result<BatchJournal, Trouble> {
        match self.make_file(worker) {
            Ok(written) => Ok(BatchJournal::new(written)),
            Err(error) => Err(Trouble {
                what: format!("{}: {error}", self.path(worker).display()),
            }),
        }
    }

    fn read(&self, worker: WorkerId, attempt: AttemptId) -> Option<Journaled> {
        let text = self.text(worker).ok()?;
        let head = whose::file(self.id, worker)?;
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

    fn remove(&self, worker: WorkerId) {
        // Most have none. One that stays says nothing.
        let _ = self.folder.remove(&self.path(worker));
    }
}

impl Journal for Written {
    fn begins(&mut self, attempt: AttemptId, at: Millis) -> Result<(), Trouble> {
        self.note(attempt, Some(at), NEVER, &[]).map_err(trouble)
    }

    fn is_done(&mut self, attempt: AttemptId, done: &Done) -> Result<(), Trouble> {
        self.note(attempt, done.started, done.finished, &done.output)
            .map_err(trouble)
    }

    fn wipe(&mut self) {
        self.end = HEAD as u64;
    }
}

impl Written {
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

fn trouble(error: io::Error) -> Trouble {
    Trouble {
        what: error.to_string(),
    }
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
    use std::fs;

    use super::*;
    use crate::clock::boot_id;

    const WORKER: WorkerId = WorkerId(7);

    fn attempt(task: i64, number: i64) -> AttemptId {
        let task = TaskId(task);
        AttemptId { task, number }
    }

    fn of(folder: &tempfile::TempDir, id: u128) -> Files {
        let store = folder.path().join("t.db");
        let folder = Folder::of(&store).unwrap();
        Files::within(Arc::new(folder), &store, Uuid::from_u128(id))
    }

    fn files(folder: &tempfile::TempDir) -> Files {
        of(folder, 1)
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
        let files = files(&folder);
        assert_eq!(files.read(WORKER, attempt(1, 1)), None, "no journal");
        let mut journal = files.make(WORKER).unwrap();
        let of = |id| files.read(WORKER, id).unwrap();
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
        files.make(WORKER).unwrap();
        assert_eq!(of(attempt(5, 1)), Journaled::Nothing, "another worker's");
        files.remove(WORKER);
        assert_eq!(files.read(WORKER, attempt(5, 1)), None);
    }

    #[test]
    fn one_that_was_deleted_or_replaced_takes_no_notes() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let mut journal = files.make(WORKER).unwrap();
        journal.begins(attempt(1, 1), 10).unwrap();
        files.remove(WORKER);
        let error = journal
            .is_done(attempt(1, 1), &done(Some(10), b""))
            .unwrap_err();
        assert!(error.to_string().contains("deleted"), "{error}");
        let mut another = files.make(WORKER).unwrap();
        assert!(journal.begins(attempt(2, 1), 20).is_err());
        another.begins(attempt(2, 1), 20).unwrap();
        assert_eq!(files.read(WORKER, attempt(1, 1)), Some(Journaled::Nothing));
    }

    #[test]
    fn none_is_made_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let other = folder.path().join("other");
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, files.path(WORKER)).unwrap();
        let error = files.make(WORKER).unwrap_err();
        assert!(error.what.contains("it is a symbolic link"), "{error:?}");
        assert_eq!(fs::read(&other).unwrap(), b"precious");
        assert_eq!(files.read(WORKER, attempt(1, 1)), None);
        // The link goes, and what it leads to stays.
        files.remove(WORKER);
        files.make(WORKER).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"precious");
    }

    #[test]
    fn what_is_cut_off_or_overwritten_in_part_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let mut journal = files.make(WORKER).unwrap();
        journal
            .is_done(attempt(1, 1), &done(Some(1), b"words"))
            .unwrap();
        let path = files.path(WORKER);
        let whole = fs::read(&path).unwrap();
        for length in HEAD..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(files.read(WORKER, attempt(1, 1)), Some(Journaled::Nothing));
            let mut changed = whole.clone();
            changed[length] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_eq!(files.read(WORKER, attempt(1, 1)), Some(Journaled::Nothing));
        }
    }

    #[test]
    fn another_store_s_worker_s_or_boot_s_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let mut journal = files.make(WORKER).unwrap();
        journal.begins(attempt(1, 1), 10).unwrap();
        let here = files.path(WORKER);
        fs::copy(&here, files.path(WorkerId(8))).unwrap();
        assert_eq!(files.read(WorkerId(8), attempt(1, 1)), None);
        let other = of(&folder, 2);
        assert_eq!(other.read(WORKER, attempt(1, 1)), None);
        let text = fs::read(&here).unwrap();
        let boot = boot_id();
        let at = text
            .windows(boot.len())
            .position(|part| part == boot.as_bytes());
        let mut before = text.clone();
        before[at.unwrap()] ^= 1;
        fs::write(&here, &before).unwrap();
        assert_eq!(files.read(WORKER, attempt(1, 1)), None);
    }
}
