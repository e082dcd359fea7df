//! Whether a write-ahead log belongs to the file beside it.
//!
//! SQLite itself does not ask: it replays whatever log stands at the name, and a file that was restored from a backup
//! beside the log of the file before becomes one damaged database of the two. So each log says what it was begun upon.
//! The first to write into a log that has just begun writes a mark after it, in two numbers of the file's first page
//! that SQLite keeps for its users:
//!
//! ```text
//!   user_version     a number made of the log's salts, which are drawn anew each time that it begins
//!   application_id   what user_version was before: the mark of the log before
//! ```
//!
//! A log is a file's own if the file carries the mark that the log was begun upon, or, where a part of the log has been
//! copied back, the log's own. SQLite's tools give each copy that they make another number for its schema, so a copy is
//! told from the file that it was made of; so a log is marked before anything in it changes the schema. What other
//! programs have written into a log that is not marked yet has the file's own marks. A log in which nothing tells is
//! believed, as ever, and so is any that was begun upon a file before files were marked.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// What a file says before anybody has marked it, and after a change of its schema.
const NONE: u32 = 0;

/// The file and its log are read one after the other, and may change between: they are looked at so often.
const LOOKS: u32 = 4;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// What a file's first page says, in the file or in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    schema: u32,
    mark: u32,
    before: u32,
}

impl Page {
    /// By the places that SQLite's file format gives them.
    fn of(bytes: &[u8; 72]) -> Page {
        Page {
            schema: number(bytes, 40),
            mark: number(bytes, 60),
            before: number(bytes, 68),
        }
    }
}

/// A log as far as its header tells.
#[derive(Debug, Clone, Copy)]
struct Log {
    page_size: u64,
    salts: u64,
}

impl Log {
    /// `None` where nothing was written into it yet.
    fn of(log: &File) -> io::Result<Option<Log>> {
        let mut header = [0; 32];
        match log.read_exact_at(&mut header, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let page_size = u64::from(number(&header, 8));
        Ok((page_size >= 512).then(|| Log {
            page_size,
            salts: u64::from(number(&header, 16)) << 32 | u64::from(number(&header, 20)),
        }))
    }

    /// The number that marks what is written into it; never [`NONE`].
    fn mark(self) -> u32 {
        let high = u32::try_from(self.salts >> 32).unwrap_or_default();
        let low = u32::try_from(self.salts & u64::from(u32::MAX)).unwrap_or_default();
        ((high ^ low.rotate_left(16)) & 0x7fff_ffff).max(1)
    }

    /// Whether it may be that of a file whose first page is this one.
    fn is_of(self, log: &File, file: Page) -> io::Result<bool> {
        let own = self.mark();
        let (mut is_marked, mut tells_nothing) = (false, true);
        let mut at = 32;
        loop {
            let mut frame = [0; 24];
            if !is_there(log.read_exact_at(&mut frame, at))? {
                break;
            }
            let salts = u64::from(number(&frame, 8)) << 32 | u64::from(number(&frame, 12));
            if salts != self.salts {
                // What follows is of the log before.
                break;
            }
            let mut bytes = [0; 72];
            if number(&frame, 0) == 1 && is_there(log.read_exact_at(&mut bytes, at + 24))? {
                let page = Page::of(&bytes);
                let is_first = page.mark == own && !std::mem::replace(&mut is_marked, true);
                let is_as_it_was = page.schema == file.schema;
                let is_begun_upon = is_first && page.before == file.mark && is_as_it_was;
                let is_copied = page.mark == own && file.mark == own && is_as_it_was;
                // What somebody writes who knows of no marks is as the file is marked.
                let is_unmarked =
                    !is_marked && (page.mark, page.before) == (file.mark, file.before);
                if is_begun_upon || is_copied {
                    return Ok(true);
                }
                if is_unmarked && (is_as_it_was || file.mark == NONE) {
                    return Ok(true);
                }
                tells_nothing = false;
            }
            at = at.saturating_add(24).saturating_add(self.page_size);
        }
        Ok(tells_nothing)
    }
}

/// Whether something was read; nothing is, beyond the end.
fn is_there(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

/// Whether a log is one of another file than that at the path. Where that cannot be told, it is not.
pub fn is_strange(path: &Path, log: impl Fn() -> io::Result<File>) -> bool {
    let is_own = || -> Option<bool> {
        let file = page(path).ok()?;
        let log = log().ok()?;
        let header = Log::of(&log).ok()??;
        header.is_of(&log, file).ok()
    };
    for look in 0..LOOKS {
        if look > 0 {
            sleep(PAUSE);
        }
        if is_own() != Some(false) {
            return false;
        }
    }
    true
}

/// The first page as it is in the file, whatever its log says of it. SQLite has to be asked: whoever opens the file
/// besides and closes it lets go all locks that this process has on it.
fn page(path: &Path) -> rusqlite::Result<Page> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let file = Connection::open_with_flags(unchanging(path), flags)?;
    let number = |pragma: &str| -> rusqlite::Result<u32> {
        let number: i64 = file.query_row(pragma, [], |row| row.get(0))?;
        Ok(u32::try_from(number & i64::from(u32::MAX)).unwrap_or_default())
    };
    Ok(Page {
        schema: number("PRAGMA schema_version")?,
        mark: number("PRAGMA user_version")?,
        before: number("PRAGMA application_id")?,
    })
}

/// A file's name, with the word for SQLite that it is not to look for a log.
fn unchanging(path: &Path) -> OsString {
    let mut url = b"file:".to_vec();
    for byte in Path::new(".").join(path).as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => url.push(*byte),
            other => url.extend(format!("%{other:02X}").bytes()),
        }
    }
    url.extend(b"?immutable=1");
    OsString::from_vec(url)
}

/// Marks a log, unless that is done. True if it is marked now.
pub fn mark(connection: &mut Connection, log: &File) -> rusqlite::Result<bool> {
    let Ok(Some(header)) = Log::of(log) else {
        return Ok(false);
    };
    let own = i64::from(header.mark());
    if user_version(connection)? == own {
        return Ok(true);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = user_version(&transaction)?;
    if before != own {
        transaction.pragma_update(None, "application_id", before)?;
        set_mark(&transaction, own)?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Begins a log, unless there is one, with what tells that it is the file's; then it is to be marked.
pub fn begin(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mark = user_version(&transaction)?;
    set_mark(&transaction, mark)?;
    transaction.commit()
}

fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Writes a file's mark. A copy gets its own, which no log was begun upon.
pub fn set_mark(connection: &Connection, mark: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", mark)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::beside::named;
    use crate::sqlite::{Database, Durability, Error};

    const LOGS: usize = 4;

    fn run(database: &mut Database, sql: &str) {
        let run = |change: &Connection, _: &_| Ok(change.execute_batch(sql)?);
        database.change(run).unwrap();
    }

    fn log(path: &Path) -> PathBuf {
        named(path, "-wal")
    }

    /// A store as it is after each of several logs, before that is copied back: the file, its log, and a copy that
    /// SQLite makes of both.
    fn lived(folder: &Path) -> Vec<(PathBuf, PathBuf, PathBuf)> {
        let path = folder.join("t.db");
        let mut database = Database::open(&path, Durability::ProcessDeath).unwrap();
        run(&mut database, "CREATE TABLE own (n, filler)");
        let mut taken = Vec::new();
        for at in 0..LOGS {
            for _ in 0..20 {
                run(&mut database, "INSERT INTO own VALUES (1, zeroblob(1000))");
            }
            run(&mut database, "DELETE FROM own WHERE rowid % 3 = 0");
            let name = |what: &str| folder.join(format!("{what}{at}"));
            let (file, journal, copy) = (name("file"), name("log"), name("copy"));
            fs::copy(&path, &file).unwrap();
            fs::copy(log(&path), &journal).unwrap();
            let into = format!("VACUUM INTO '{}'", copy.display());
            database.connection().execute_batch(&into).unwrap();
            taken.push((file, journal, copy));
            let all = "PRAGMA wal_checkpoint(RESTART)";
            database
                .connection()
                .query_row(all, [], |_| Ok(()))
                .unwrap();
        }
        taken
    }

    /// Whether a file and a log are taken for one store, after a crash.
    fn is_one(folder: &Path, file: &Path, journal: &Path) -> bool {
        let path = folder.join("both.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(named(&path, suffix));
        }
        fs::copy(file, &path).unwrap();
        fs::copy(journal, log(&path)).unwrap();
        let before = (fs::read(&path).unwrap(), fs::read(log(&path)).unwrap());
        match Database::open_existing(&path) {
            Ok(Some(database)) => {
                let sql = "PRAGMA integrity_check";
                let whole: String = database
                    .connection()
                    .query_row(sql, [], |row| row.get(0))
                    .unwrap();
                assert_eq!(whole, "ok", "{} {}", file.display(), journal.display());
                true
            }
            Err(Error::StrangeJournal { .. }) => {
                let after = (fs::read(&path).unwrap(), fs::read(log(&path)).unwrap());
                assert!(before == after, "something was changed");
                false
            }
            other => panic!("{other:?}"),
        }
    }

    /// What a kill leaves is replayed; what somebody has put together of two stores, or of two states of one, is not.
    #[test]
    fn a_log_is_told_from_that_of_another_file() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, theirs) = (lived(folder.path()), lived(other.path()));
        for (at, (file, _, copy)) in ours.iter().enumerate() {
            for (of, (_, journal, _)) in ours.iter().enumerate() {
                // The file is what the log before has made of it, so that one does it no harm.
                let is_own = of == at || of + 1 == at;
                assert_eq!(is_one(folder.path(), file, journal), is_own, "{at} {of}");
                assert!(!is_one(folder.path(), copy, journal), "copy {at}, log {of}");
            }
            let (_, journal, _) = &theirs[at];
            // Of a store that is being made, nothing is in the file yet.
            if at > 0 {
                assert!(
                    !is_one(folder.path(), file, journal),
                    "another store's {at}"
                );
            }
        }
    }

    #[test]
    fn a_log_that_is_copied_back_in_part_is_the_files_own() {
        let folder = tempfile::tempdir().unwrap();
        let taken = lived(folder.path());
        let (file, journal, _) = &taken[2];
        let (pages, log) = (fs::read(file).unwrap(), fs::read(journal).unwrap());
        let size = 4096 + 24;
        // As many of its frames as were written before the power went.
        for frames in [1, 2, 5, usize::MAX] {
            let mut pages = pages.clone();
            let own = log[32..].chunks_exact(size).take(frames);
            for frame in own.take_while(|frame| frame[8..16] == log[16..24]) {
                let at = (number(frame, 0) as usize - 1) * 4096;
                pages.resize(pages.len().max(at + 4096), 0);
                pages[at..at + 4096].copy_from_slice(&frame[24..]);
            }
            let partly = folder.path().join("partly");
            fs::write(&partly, pages).unwrap();
            assert!(is_one(folder.path(), &partly, journal), "{frames} frames");
        }
    }

    #[test]
    fn a_name_with_signs_is_a_name_for_sqlite_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a?b#c%41 é.db");
        drop(Database::open(&path, Durability::ProcessDeath).unwrap());
        assert!(page(&path).unwrap().schema > 0);
    }
}
