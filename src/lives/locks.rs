//! Who lives: one byte of a file beside the database for each worker, each attempt and each session of the
//! embedded broker.
//!
//! A lock ([`ofd`]) belongs to a descriptor and every copy of it that a fork or an exec handed on, and the
//! kernel drops it when the last copy is closed. No pid that is used again, no reboot and no other container's
//! pid namespace can confuse that.
//!
//! These descriptors stay with us. A command may run as somebody whom nobody trusts, and may hand its descriptors to
//! anybody: with one of that file it could write there, or lock the bytes of others, and stop every worker. So there is
//! a second file, and of that a command inherits a descriptor that is open for reading alone, with a shared lock on the
//! attempt's byte. The attempt lives for as long as a process has that lock, whoever its parent is by now. Nobody ever
//! waits for a byte of the second file: a command that locks those of other attempts can make them seem alive, and
//! whoever then looks who holds the byte sees that (`process::leftover`).
//!
//! Whoever looks into another file, or at other bytes than those that are held, sees nobody alive. So each file has the
//! id of its store in it, and a number that says which bytes are whose; a file without them is not believed. New
//! files are made only where nobody can hold the old ones any more, because every worker that is known began before the
//! machine was started. A file of an earlier version is made ours only where nobody holds a byte of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::sessions::{self, Notes, Session};
use super::{Alive, Error, Held, Holder, Lives, Trace};
use crate::beside::{self, Folder, Opened};
use crate::clock::boot_id;
use crate::errno;
use crate::file_id::FileId;
use crate::ofd;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::trust::is_distrust;

/// Which bytes are whose, below. It follows the store's id in a file; the first, in which an attempt's byte was the
/// id of its row, had no number; in the second, commands inherited the lock of the one file that there was. Workers
/// have these bytes in all.
const LAYOUT: u32 = 3;

/// Attempts lock the bytes below these, by their task and their number; the others from these on.
const WORKERS: i64 = 1 << 60;
const SESSIONS: i64 = 1 << 61;
const WAITERS: i64 = 1 << 62;

/// Of an attempt's byte, so many bits are of its task's id, and so many of its number. Two that share one are a
/// trillion tasks apart, or a million attempts of one task, of which only the newest can live. Were they to meet, the
/// later would wait.
const TASK_BITS: u32 = 40;
const NUMBER_BITS: u32 = 20;

/// The files of locks beside a store.
#[derive(Debug, Clone)]
pub struct LockFile {
    /// In which we hold bytes.
    held: Named,
    /// Of which commands inherit descriptors.
    inherited: Named,
    /// The store's own file.
    database: PathBuf,
    /// The store's id, which is to be in the file.
    store: Uuid,
    folder: Arc<OnceLock<Arc<Folder>>>,
}

/// A file that names its store.
#[derive(Debug, Clone)]
struct Named {
    path: PathBuf,
    seen: Arc<OnceLock<Seen>>,
}

impl Named {
    fn at(path: PathBuf) -> Named {
        Named {
            path,
            seen: Arc::default(),
        }
    }
}

/// The file that was found to name its store.
#[derive(Debug)]
struct Seen {
    id: FileId,
    /// Open, so that no other file gets its number. No lock is ever taken with it, so all of them are in its way.
    file: File,
}

/// The most of the file that is read.
const NAME: usize = 64;

/// A holder's offset in the file.
pub fn byte(holder: Holder) -> i64 {
    match holder {
        Holder::Worker(WorkerId(id)) => WORKERS.saturating_add(id),
        Holder::Attempt(AttemptId {
            task: TaskId(task),
            number,
        }) => {
            let low = |id: i64, bits: u32| id & ((1 << bits) - 1);
            low(task, TASK_BITS) << NUMBER_BITS | low(number, NUMBER_BITS)
        }
        Holder::Session(number) => SESSIONS.saturating_add(number),
        Holder::Waiter(number) => WAITERS.saturating_add(number),
        Holder::Schema => 0, // ids and numbers begin at 1
    }
}

/// A lock that is held as long as this, or any inherited copy of its descriptor, is open.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Takes another byte with the same descriptor. Fails with `WouldBlock` when somebody else holds it.
    pub fn take_too(&self, holder: Holder) -> io::Result<()> {
        ofd::lock(&self.file, byte(holder))
    }

    /// Lets one of its bytes go.
    pub fn let_go(&self, holder: Holder) -> io::Result<()> {
        ofd::unlock(&self.file, byte(holder))
    }

    /// Whether anybody holds a byte but through this descriptor.
    pub fn is_held_elsewhere(&self, holder: Holder) -> io::Result<bool> {
        ofd::is_locked(&self.file, byte(holder))
    }

    /// Whether any worker lives, by whichever layout.
    pub(crate) fn is_any_worker_here(&self) -> io::Result<bool> {
        ofd::is_any_locked(&self.file, WORKERS, SESSIONS)
    }
}

impl LockFile {
    /// The lock file of the store at this path, with this id. Nothing is opened yet.
    pub fn of(path: &Path, store: Uuid) -> LockFile {
        LockFile {
            held: Named::at(beside::locks(path)),
            inherited: Named::at(beside::commands(path)),
            database: path.into(),
            store,
            folder: Arc::default(),
        }
    }

    /// The same in the folder in which the store was found.
    pub fn within(folder: Arc<Folder>, path: &Path, store: Uuid) -> LockFile {
        LockFile {
            folder: Arc::new(OnceLock::from(folder)),
            ..LockFile::of(path, store)
        }
    }

    fn folder(&self) -> io::Result<&Folder> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let found = Folder::of(&self.database)?;
        Ok(self.folder.get_or_init(|| Arc::new(found)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.held.path
    }

    /// The store's own file, which it is beside.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The store's id.
    pub fn store(&self) -> Uuid {
        self.store
    }

    /// Takes a byte for as long as the returned lock, or a copy of its descriptor, is open. Fails with
    /// `WouldBlock` when somebody else holds it.
    pub fn take(&self, holder: Holder) -> io::Result<Lock> {
        let seen = self.seen(&self.held)?;
        let opened = self.folder()?.open(&self.held.path);
        let Opened { file, id } = opened.map_err(|e| self.missing(&self.held, e))?;
        is_the_same(seen, id)?;
        ofd::lock(&file, byte(holder))?;
        Ok(Lock { file })
    }

    /// What an attempt's command is to inherit. Whoever calls holds the attempt's byte.
    fn take_to_inherit(&self, attempt: AttemptId) -> io::Result<File> {
        let seen = self.seen(&self.inherited)?;
        let opened = self.folder()?.read(&self.inherited.path);
        let Opened { file, id } = opened.map_err(|e| self.missing(&self.inherited, e))?;
        is_the_same(seen, id)?;
        ofd::lock_shared(&file, byte(Holder::Attempt(attempt)))?;
        Ok(file)
    }

    /// Whether anybody holds a byte, or has inherited what says that an attempt lives.
    pub fn is_held(&self, holder: Holder) -> io::Result<bool> {
        Ok(self.is_locked(&self.held, holder)?
            || matches!(holder, Holder::Attempt(_)) && self.is_locked(&self.inherited, holder)?)
    }

    fn is_locked(&self, in_file: &Named, holder: Holder) -> io::Result<bool> {
        let seen = self.seen(in_file)?;
        let there = self
            .folder()?
            .look(&in_file.path)?
            .ok_or_else(|| self.lost(in_file))?;
        is_the_same(seen, there.id)?;
        ofd::is_locked(&seen.file, byte(holder))
    }

    /// Makes the files, or names the store in those that are there.
    pub fn make(&self) -> io::Result<()> {
        let folder = self.folder()?;
        for to_make in self.both() {
            let (file, is_new) = folder.open_or_create(&to_make.path)?;
            let name = format!("{}\n", self.name());
            // Whoever dies between the two leaves a file that still names the store.
            file.write_all_at(name.as_bytes(), 0)?;
            file.set_len(name.len() as u64)?;
            if is_new {
                folder.give(&file);
            }
        }
        Ok(())
    }

    fn both(&self) -> [&Named; 2] {
        [&self.held, &self.inherited]
    }

    /// That no stranger has put something else in a file's place. What else is wrong with a file is said when it
    /// is needed.
    pub(crate) fn is_trusted(&self) -> Result<(), Error> {
        self.both()
            .into_iter()
            .try_for_each(|one| match self.seen(one) {
                Err(error) if is_distrust(&error) => Err(trouble(&one.path, &error)),
                Ok(_) | Err(_) => Ok(()),
            })
    }

    /// Whether a file is not there, or is not to be believed.
    pub(crate) fn is_missing(&self) -> bool {
        self.both().into_iter().any(|one| self.seen(one).is_err())
    }

    /// What is said of an error.
    pub(crate) fn trouble(&self, error: &io::Error) -> Error {
        trouble(&self.held.path, error)
    }

    fn seen<'a>(&self, named: &'a Named) -> io::Result<&'a Seen> {
        if let Some(seen) = named.seen.get() {
            return Ok(seen);
        }
        let opened = self.folder()?.read(&named.path);
        let Opened { file, id } = opened.map_err(|e| self.missing(named, e))?;
        if !says(&file, &self.name())? {
            return Err(self.lost(named));
        }
        Ok(named.seen.get_or_init(|| Seen { id, file }))
    }

    /// What is to be in a file.
    fn name(&self) -> String {
        format!("{} {LAYOUT}", self.store)
    }

    /// Whether any worker lives, or any session of the embedded broker.
    pub(crate) fn is_anybody_here(&self) -> io::Result<bool> {
        ofd::is_any_locked(&self.seen(&self.held)?.file, WORKERS, WAITERS)
    }

    /// Whether the file is this store's, of a layout before, and nobody holds any byte of that.
    pub(crate) fn is_left_behind(&self) -> bool {
        let is_free = || -> io::Result<bool> {
            let file = self.folder()?.read(&self.held.path)?.file;
            let before = [self.store.to_string(), format!("{} 2", self.store)];
            let mut is_one_before = false;
            for name in before {
                is_one_before |= says(&file, &name)?;
            }
            Ok(is_one_before && !ofd::is_any_locked(&file, 1, SESSIONS)?)
        };
        is_free().unwrap_or(false)
    }

    fn missing(&self, named: &Named, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::NotFound => self.lost(named),
            _ => error,
        }
    }

    fn lost(&self, named: &Named) -> io::Error {
        io::Error::other(format!(
            "{} was deleted or replaced, or is of an earlier version, so nobody can tell who lives; end every worker \
             of this store and all that they started, and make it anew: (umask 077; echo {} > {}); or start the \
             machine again",
            named.path.display(),
            self.name(),
            named.path.display()
        ))
    }
}

fn trouble(path: &Path, error: &io::Error) -> Error {
    Error::Trouble {
        what: format!(
            "the file of locks {} failed: {}",
            path.display(),
            errno::said(error)
        ),
    }
}

fn is_the_same(seen: &Seen, there: FileId) -> io::Result<()> {
    if seen.id == there {
        return Ok(());
    }
    Err(io::Error::other(
        "it was replaced while it was in use: nobody can tell who lives; end every worker and start again",
    ))
}

/// Whether that is all a file says.
fn says(file: &File, what: &str) -> io::Result<bool> {
    let mut bytes = [0; NAME];
    let length = file.read_at(&mut bytes, 0)?;
    let found = bytes.get(..length).map(str::from_utf8);
    Ok(found.is_some_and(|found| found.is_ok_and(|found| found.trim() == what)))
}

/// A lock for whoever makes or changes the schema of the store at this path, of which nothing is known yet.
pub(crate) fn take_turn(store: &Path) -> io::Result<Lock> {
    let file = beside::open(&beside::locks(store), store)?;
    ofd::lock(&file, byte(Holder::Schema))?;
    Ok(Lock { file })
}

impl Lives for LockFile {
    fn hold(&self, holder: Holder) -> Result<Alive, Error> {
        match self.take(holder) {
            Ok(lock) => Ok(Alive::new(Living {
                inherited: OnceLock::new(),
                locks: self.clone(),
                holder,
                _lock: lock,
            })),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(Error::Taken(holder)),
            Err(error) => Err(self.trouble(&error)),
        }
    }

    fn is_held(&self, holder: Holder) -> Result<bool, Error> {
        LockFile::is_held(self, holder).map_err(|error| self.trouble(&error))
    }

    fn boot(&self) -> String {
        boot_id()
    }

    fn trace(&self, holder: Holder) -> Option<Trace> {
        match holder {
            Holder::Attempt(_) => Some(Trace {
                file: self.inherited.path.clone(),
                byte: byte(holder),
            }),
            Holder::Worker(_) | Holder::Session(_) | Holder::Waiter(_) | Holder::Schema => None,
        }
    }

    fn notes(&self, worker: WorkerId) -> Result<Option<Notes>, Error> {
        let notes = beside::sessions(&self.database);
        let opened = self
            .folder()
            .and_then(|folder| Notes::open(folder, &notes, worker));
        opened.map(Some).map_err(|error| Error::Trouble {
            what: format!(
                "cannot write to {}: {}",
                notes.display(),
                errno::said(&error)
            ),
        })
    }

    fn session(&self, worker: WorkerId, attempt: AttemptId) -> Option<Session> {
        let notes = beside::sessions(&self.database);
        sessions::find(self.folder().ok()?, &notes, worker, attempt)
    }
}

/// Somebody who lives.
#[derive(Debug)]
struct Living {
    inherited: OnceLock<File>,
    locks: LockFile,
    holder: Holder,
    _lock: Lock,
}

impl Held for Living {
    fn inherited(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        let Holder::Attempt(id) = self.holder else {
            return Ok(None);
        };
        let inherited = match self.inherited.get() {
            Some(inherited) => inherited,
            None => {
                let taken = self.locks.take_to_inherit(id)?;
                self.inherited.get_or_init(|| taken)
            }
        };
        Ok(Some(inherited.as_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    fn made(dir: &tempfile::TempDir) -> LockFile {
        let locks = LockFile::of(&dir.path().join("t.db"), Uuid::now_v7());
        locks.make().unwrap();
        locks
    }

    #[test]
    fn a_byte_is_held_until_its_last_descriptor_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let locks = made(&dir);
        let of = |task, number| {
            Holder::Attempt(AttemptId {
                task: TaskId(task),
                number,
            })
        };
        let attempt = of(7, 1);
        assert!(!locks.is_held(attempt).unwrap());

        let first = locks.take(attempt).unwrap();
        assert!(locks.is_held(attempt).unwrap());
        for (task, number) in [(8, 1), (6, 1), (7, 2)] {
            assert!(!locks.is_held(of(task, number)).unwrap());
        }
        assert!(!locks.is_held(Holder::Worker(WorkerId(7))).unwrap());
        assert_eq!(
            locks.take(attempt).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        let copy = first.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        assert!(locks.is_held(attempt).unwrap(), "a copy is open");
        drop(copy);
        assert!(!locks.is_held(attempt).unwrap());
    }

    #[test]
    fn a_command_can_turn_what_it_inherits_against_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let locks = made(&dir);
        let of = |task, number| {
            Holder::Attempt(AttemptId {
                task: TaskId(task),
                number,
            })
        };
        let alive = locks.hold(of(7, 1)).unwrap();
        let inherited = alive.inherited().unwrap().unwrap();
        let inherited = File::from(inherited.try_clone_to_owned().unwrap());
        assert!(inherited.write_all_at(b"x", 0).is_err() && inherited.set_len(1 << 40).is_err());
        // No lock that keeps others waiting, and of those that do not: all.
        assert!(ofd::lock(&inherited, 1).is_err());
        let bytes = [
            0,
            1,
            byte(of(7, 2)),
            byte(of(8, 1)),
            byte(Holder::Worker(WorkerId(1))),
        ];
        for byte in bytes {
            ofd::lock_shared(&inherited, byte).unwrap();
        }
        drop(alive);
        assert!(locks.is_held(of(7, 1)).unwrap());
        assert!(!locks.is_held(Holder::Worker(WorkerId(1))).unwrap());
        for other in [of(7, 2), of(8, 1), Holder::Worker(WorkerId(1))] {
            let alive = locks.hold(other).unwrap();
            assert!(alive.inherited().is_ok());
        }
        // To whoever has only the byte to go by.
        assert!(locks.is_held(of(8, 1)).unwrap());
        drop(inherited);
        assert!(!locks.is_held(of(8, 1)).unwrap());
    }

    #[test]
    fn who_lives_is_not_asked_of_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let locks = made(&dir);
        let _held = locks.take(Holder::Worker(WorkerId(1))).unwrap();
        let is_refused = || {
            // To whoever comes, as to whoever has seen the old one.
            let comes = LockFile::of(&dir.path().join("t.db"), locks.store);
            for locks in [&locks, &comes] {
                assert!(locks.is_held(Holder::Worker(WorkerId(1))).is_err());
                assert!(locks.take(Holder::Worker(WorkerId(2))).is_err());
            }
        };
        fs::remove_file(locks.path()).unwrap();
        is_refused();
        assert!(!locks.path().exists());
        File::create(locks.path()).unwrap();
        is_refused();
        LockFile::of(&dir.path().join("t.db"), Uuid::now_v7())
            .make()
            .unwrap();
        is_refused();
        // By hand. Who has seen the old one still tells nobody that its holders are dead.
        fs::write(locks.path(), format!("{}\n", locks.name())).unwrap();
        assert!(locks.is_held(Holder::Worker(WorkerId(1))).is_err());
        let comes = LockFile::of(&dir.path().join("t.db"), locks.store);
        assert!(!comes.is_held(Holder::Worker(WorkerId(1))).unwrap());
    }

    #[test]
    fn no_two_that_can_live_at_once_have_one_byte() {
        let mut bytes = HashSet::new();
        let mut all = vec![Holder::Schema];
        for id in [1, 2, 3, 1 << 20, (1 << 40) - 1] {
            let attempt = |number| {
                Holder::Attempt(AttemptId {
                    task: TaskId(id),
                    number,
                })
            };
            all.extend([1, 2, 3, (1 << 20) - 1].map(attempt));
            all.extend([
                Holder::Worker(WorkerId(id)),
                Holder::Session(id),
                Holder::Waiter(id),
            ]);
        }
        for holder in all {
            let byte = byte(holder);
            assert!(byte >= 0 && bytes.insert(byte), "{holder:?}: {byte}");
        }
    }

    #[test]
    fn a_file_of_the_layout_before_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFile::of(&dir.path().join("t.db"), Uuid::now_v7());
        fs::write(locks.path(), format!("{}\n", locks.store)).unwrap();
        let error = locks
            .is_held(Holder::Worker(WorkerId(1)))
            .unwrap_err()
            .to_string();
        let by_hand = format!("echo {} 3 > {}", locks.store, locks.path().display());
        assert!(error.contains(&by_hand), "{error}");
        // Whether anybody of then lives can be seen, but not which attempt is whose.
        assert!(locks.is_left_behind());
        for byte in [1, WORKERS + 1] {
            let file = File::options().write(true).open(locks.path()).unwrap();
            ofd::lock(&file, byte).unwrap();
            assert!(!locks.is_left_behind(), "{byte}");
        }
        fs::write(locks.path(), format!("{}\n", Uuid::now_v7())).unwrap();
        assert!(!locks.is_left_behind(), "it is another store's");
    }

    #[test]
    fn one_descriptor_may_hold_several_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let locks = made(&dir);
        let (session, waiter) = (Holder::Session(3), Holder::Waiter(3));
        let lock = locks.take(session).unwrap();
        lock.take_too(waiter).unwrap();
        assert!(locks.is_held(waiter).unwrap());
        assert!(!lock.is_held_elsewhere(waiter).unwrap(), "it is its own");
        let other = locks.take(Holder::Session(4)).unwrap();
        assert!(lock.is_held_elsewhere(Holder::Session(4)).unwrap());
        assert!(other.take_too(waiter).is_err());
        lock.let_go(waiter).unwrap();
        assert!(!locks.is_held(waiter).unwrap());
        assert!(locks.is_held(session).unwrap());
        drop(lock);
        assert!(!locks.is_held(session).unwrap());
    }
}
