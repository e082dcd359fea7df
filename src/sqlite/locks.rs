//! Who lives: one byte of a file beside the database for each worker, each attempt and each session of the
//! embedded broker.
//!
//! A lock ([`ofd`]) belongs to a descriptor and every copy of it that a fork or an exec handed on, and the
//! kernel drops it when the last copy is closed. So an attempt's lock is held for as long as a process of
//! that attempt exists, whoever its parent is by now, and it cannot be confused by a pid that is used again,
//! a reboot, or another container's pid namespace.
//!
//! In another file nobody seems to live. So the file has the id of its store in it, and one that has not is not
//! believed; a new one is made only where nobody can hold the old one any more, because every worker that is known
//! began before the machine was started.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use super::clock::boot_id;
use super::{Failed, FileId};
use crate::ofd;

/// Attempts lock the bytes from 1 on, by their row's id; the others from these on.
const WORKERS: i64 = 1 << 60;
const SESSIONS: i64 = 1 << 61;
const WAITERS: i64 = 1 << 62;

/// The file of locks beside a store.
#[derive(Debug, Clone)]
pub struct LockFile {
    path: PathBuf,
    /// The store's file.
    beside: PathBuf,
    /// The store's id, which is to be in it.
    store: Uuid,
    seen: Arc<OnceLock<Seen>>,
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

/// A byte of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A worker, by its id in the store.
    Worker(i64),
    /// An attempt, by its id in the store.
    Attempt(i64),
    /// A session of the embedded broker, by its number.
    Session(i64),
    /// The same session while it waits for a job.
    Waiter(i64),
    /// Whoever brings the schema up to date.
    Schema,
}

impl Holder {
    /// Its offset in the file.
    pub fn byte(self) -> i64 {
        match self {
            Holder::Worker(id) => WORKERS.saturating_add(id),
            Holder::Attempt(id) => id,
            Holder::Session(number) => SESSIONS.saturating_add(number),
            Holder::Waiter(number) => WAITERS.saturating_add(number),
            Holder::Schema => 0, // ids begin at 1
        }
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
        ofd::lock(&self.file, holder.byte())
    }

    /// Lets one of its bytes go.
    pub fn let_go(&self, holder: Holder) -> io::Result<()> {
        ofd::unlock(&self.file, holder.byte())
    }

    /// Whether anybody holds a byte but through this descriptor.
    pub fn is_held_elsewhere(&self, holder: Holder) -> io::Result<bool> {
        ofd::is_locked(&self.file, holder.byte())
    }
}

impl LockFile {
    /// The lock file of the store at this path, with this id. Nothing is opened yet.
    pub fn of(path: &Path, store: Uuid) -> LockFile {
        LockFile {
            path: beside(path),
            beside: path.into(),
            store,
            seen: Arc::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a byte for as long as the returned lock, or a copy of its descriptor, is open. Fails with
    /// `WouldBlock` when somebody else holds it.
    pub fn take(&self, holder: Holder) -> io::Result<Lock> {
        let seen = self.seen()?;
        let opened = OpenOptions::new().read(true).write(true).open(&self.path);
        let file = opened.map_err(|e| self.missing(e))?;
        self.is_the_same(seen, &file.metadata()?)?;
        ofd::lock(&file, holder.byte())?;
        Ok(Lock { file })
    }

    /// Whether anybody holds a byte.
    pub fn is_held(&self, holder: Holder) -> io::Result<bool> {
        let seen = self.seen()?;
        let there = fs::metadata(&self.path).map_err(|e| self.missing(e))?;
        self.is_the_same(seen, &there)?;
        ofd::is_locked(&seen.file, holder.byte())
    }

    /// Makes the file, or names the store in the one that is there.
    pub fn make(&self) -> io::Result<()> {
        let (file, is_new) = open_or_create(&self.path)?;
        file.set_len(0)?;
        file.write_all_at(format!("{}\n", self.store).as_bytes(), 0)?;
        if is_new && let Ok(store) = fs::metadata(&self.beside) {
            // Where root looks at somebody's store. Others own what they make, and may not give it away.
            let _ = fchown(&file, Some(store.uid()), Some(store.gid()));
        }
        Ok(())
    }

    /// Makes the file where there is none, or one that names no store, and nobody can hold another one.
    pub(super) fn make_where_nobody_lives(
        &self,
        connection: &mut Connection,
    ) -> Result<(), Failed> {
        let is_to_be_made =
            |look: &Connection| Ok::<_, Failed>(self.seen().is_err() && !is_somebody_here(look)?);
        if !is_to_be_made(connection)? {
            return Ok(());
        }
        // One at a time, and no worker can become known meanwhile.
        let turn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_to_be_made(&turn)? {
            self.make().map_err(Failed::Locks)?;
        }
        Ok(())
    }

    fn seen(&self) -> io::Result<&Seen> {
        if let Some(seen) = self.seen.get() {
            return Ok(seen);
        }
        let file = File::open(&self.path).map_err(|e| self.missing(e))?;
        let mut name = [0; NAME];
        let length = file.read_at(&mut name, 0)?;
        let name = name.get(..length).map(str::from_utf8);
        let named = name.and_then(|name| name.ok()?.trim().parse::<Uuid>().ok());
        if named != Some(self.store) {
            return Err(self.lost());
        }
        let id = FileId::of(&file.metadata()?);
        Ok(self.seen.get_or_init(|| Seen { id, file }))
    }

    fn is_the_same(&self, seen: &Seen, there: &fs::Metadata) -> io::Result<()> {
        if seen.id == FileId::of(there) {
            return Ok(());
        }
        Err(io::Error::other(
            "it was replaced while it was in use: nobody can tell who lives; end every worker and start again",
        ))
    }

    fn missing(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::NotFound => self.lost(),
            _ => error,
        }
    }

    fn lost(&self) -> io::Error {
        io::Error::other(format!(
            "it was deleted or replaced, so nobody can tell who lives; end every worker of this store and all that they \
             started, and make it anew: (umask 077; echo {} > {}); or start the machine again",
            self.store,
            self.path.display()
        ))
    }
}

/// Whether any worker is known that may have begun since the machine was started. Of the others nothing is left.
fn is_somebody_here(look: &Connection) -> Result<bool, Failed> {
    let boot = boot_id();
    // Where the system does not tell, all boots are one.
    let sql = "SELECT 1 FROM workers WHERE ?1 = '' OR boot IN (?1, '')";
    Ok(look.prepare_cached(sql)?.exists([boot])?)
}

/// A lock for whoever makes or changes the schema of the store at this path, of which nothing is known yet.
pub(super) fn take_turn(store: &Path) -> io::Result<Lock> {
    let (file, _) = open_or_create(&beside(store))?;
    ofd::lock(&file, Holder::Schema.byte())?;
    Ok(Lock { file })
}

/// The file of locks of the store at this path.
pub(super) fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-locks");
    name.into()
}

fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok((options.open(path)?, false)),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
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
        let attempt = Holder::Attempt(7);
        assert!(!locks.is_held(attempt).unwrap());

        let first = locks.take(attempt).unwrap();
        assert!(locks.is_held(attempt).unwrap());
        assert!(!locks.is_held(Holder::Attempt(8)).unwrap());
        assert!(!locks.is_held(Holder::Worker(7)).unwrap());
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
    fn who_lives_is_not_asked_of_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let locks = made(&dir);
        let _held = locks.take(Holder::Worker(1)).unwrap();
        let is_refused = || {
            // To whoever comes, as to whoever has seen the old one.
            let comes = LockFile::of(&dir.path().join("t.db"), locks.store);
            for locks in [&locks, &comes] {
                assert!(locks.is_held(Holder::Worker(1)).is_err());
                assert!(locks.take(Holder::Worker(2)).is_err());
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
        fs::write(locks.path(), format!("{}\n", locks.store)).unwrap();
        assert!(locks.is_held(Holder::Worker(1)).is_err());
        let comes = LockFile::of(&dir.path().join("t.db"), locks.store);
        assert!(!comes.is_held(Holder::Worker(1)).unwrap());
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
