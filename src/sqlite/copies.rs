//! Copies of a store: one that is made while the store is used, and one that is put in the place of a store.
//!
//! A copy is whole, and says that it is one: by an inode that no file has. So whoever opens it to record notices
//! (`notice`) that tasks may be missing which were recorded since the copy was made, and whose jobs are at the broker.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::open::{look_at_copy, nobody_is_here};
use super::pair::set_mark;
use super::{Database, Error, Failed};
use crate::beside;
use crate::clock;
use crate::file_id::FileId;

/// So many pages are copied together, 1 MB.
const TOGETHER: i32 = 256;

/// The disk is left to others for at least so long after each of these, and for a third of the time that it took.
const PAUSE: Duration = Duration::from_millis(1);

/// No file has it.
const NO_FILE: i64 = -1;

/// What a copy has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its length in bytes.
    pub bytes: u64,
    /// How many tasks are recorded in it.
    pub tasks: u64,
    /// The file that was there before, and was kept under this name.
    pub kept: Option<PathBuf>,
}

/// Hears how many pages are still to be copied, and how many there are in all.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Writes a copy of a store as it is at this moment, for its owner alone, and looks whether the copy is whole. Nobody
/// who records waits for that. `None` if there is no such store.
///
/// # Errors
/// When the store cannot be read, or the copy not be written; when there is a file already that is not to be replaced.
pub fn back_up(
    store: &Path,
    to: &Path,
    replace: bool,
    progress: &mut Progress<'_>,
) -> Result<Option<Copied>, Error> {
    let Some(database) = Database::open_existing(store)? else {
        return Ok(None);
    };
    if !replace && to.symlink_metadata().is_ok() {
        return Err(failed(
            to,
            &"there is such a file already, and it was left alone",
        ));
    }
    if FileId::at(to).is_ok_and(|there| there == database.opened) {
        return Err(failed(to, &"it is the store itself"));
    }
    let part = Part::beside(to)?;
    let tasks = copy(&database.connection, &part.path, progress).map_err(|e| failed(to, &e))?;
    let bytes = part.settle(to, replace).map_err(|e| failed(to, &e))?;
    let kept = None;
    Ok(Some(Copied { bytes, tasks, kept }))
}

/// Puts a copy in the place of a store that nobody uses. What was there is kept beside it.
///
/// # Errors
/// When the copy is none of ours or not whole; when somebody uses the store; when files cannot be written.
pub fn restore(store: &Path, from: &Path, progress: &mut Progress<'_>) -> Result<Copied, Error> {
    let copied = look_at_copy(from)?;
    whole(&copied).map_err(|why| failed(from, &why))?;
    let store = crate::trust::resolved(store).map_err(|e| failed(store, &e))?;
    if crate::file_id::is_same(from, &store) {
        return Err(failed(from, &"it is the store itself"));
    }
    beside::make_around(&store).map_err(|e| failed(&store, &e))?;
    let part = Part::beside(&store)?;
    let tasks = copy(&copied, &part.path, progress).map_err(|e| failed(from, &e))?;
    drop(copied);
    let _turn = nobody_is_here(&store)?;
    let kept = set_aside(&store)?;
    let bytes = part.settle(&store, false).map_err(|e| failed(&store, &e))?;
    Ok(Copied { bytes, tasks, kept })
}

/// Copies page by page what is seen at this moment, whoever writes meanwhile. How many tasks are in it.
fn copy(from: &Connection, to: &Path, progress: &mut Progress<'_>) -> Result<u64, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut copy = Connection::open_with_flags(to, flags).map_err(text)?;
    // As long as it is read, none of what it has in the journal goes.
    let moment = from.unchecked_transaction().map_err(text)?;
    let sql = "SELECT count(*) FROM store";
    let _: i64 = moment.query_row(sql, [], |row| row.get(0)).map_err(text)?;
    {
        let backup = Backup::new(&moment, &mut copy).map_err(text)?;
        loop {
            let begun = Instant::now();
            let step = backup.step(TOGETHER).map_err(text)?;
            let at = backup.progress();
            let pages = |pages: i32| u64::try_from(pages).unwrap_or_default();
            progress(pages(at.remaining), pages(at.pagecount));
            match step {
                StepResult::Done => break,
                StepResult::More | StepResult::Busy | StepResult::Locked => {}
                // The library may learn of others.
                _ => {}
            }
            sleep(PAUSE.max(begun.elapsed() / 3));
        }
    }
    moment.finish().map_err(text)?;
    // Nobody else has it: without a journal of its own it is one file at each moment.
    let set = |pragma: &str| copy.query_row(pragma, [], |_| Ok(())).map_err(text);
    set("PRAGMA journal_mode = DELETE")?;
    whole(&copy)?;
    let sql = "UPDATE store SET inode = ?1";
    match has_inode(&copy).map_err(text)? {
        true => copy.execute(sql, [NO_FILE]).map(drop).map_err(text)?,
        false => {}
    }
    set_mark(&copy, 0).map_err(text)?;
    let sql = "SELECT count(*) FROM tasks";
    let tasks: i64 = copy.query_row(sql, [], |row| row.get(0)).map_err(text)?;
    set("PRAGMA journal_mode = WAL")?;
    copy.close().map_err(|(_, error)| text(error))?;
    Ok(u64::try_from(tasks).unwrap_or_default())
}

/// A copy of an earlier version has none.
fn has_inode(store: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pragma_table_info('store') WHERE name = 'inode'";
    store.prepare(sql)?.exists([])
}

fn whole(file: &Connection) -> Result<(), String> {
    let check = "PRAGMA integrity_check(1)";
    let said: rusqlite::Result<String> = file.query_row(check, [], |row| row.get(0));
    match said {
        Ok(said) if said == "ok" => Ok(()),
        Ok(said) => Err(format!("it is damaged: {said}")),
        Err(error) => Err(format!("it is damaged: {error}")),
    }
}

/// A file that becomes another's when it is whole, and goes if it does not.
struct Part {
    path: PathBuf,
}

impl Part {
    fn beside(file: &Path) -> Result<Part, Error> {
        let path = beside::named(file, &format!(".{}.part", std::process::id()));
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        made.map_err(|e| failed(&path, &e))?;
        Ok(Part { path })
    }

    /// Gives it its name, when it is on the disk. Its length.
    fn settle(self, file: &Path, replace: bool) -> io::Result<u64> {
        let part = File::open(&self.path)?;
        part.sync_all()?;
        match replace {
            true => fs::rename(&self.path, file)?,
            // Somebody may have made one meanwhile.
            false => fs::hard_link(&self.path, file)?,
        }
        if let Some(folder) = file.parent() {
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            File::open(folder)?.sync_all()?;
        }
        Ok(part.metadata()?.len())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside::named(&self.path, suffix));
        }
    }
}

/// Keeps what is at a store's name under another: the file, its journals, and what dead workers have noted of attempts,
/// whose numbers will be given out again.
fn set_aside(store: &Path) -> Result<Option<PathBuf>, Error> {
    if store.symlink_metadata().is_err() {
        return Ok(None);
    }
    let now = clock::written(clock::now()).replace([':', '-'], "");
    let aside = beside::named(store, &format!(".before-{now}"));
    if aside.symlink_metadata().is_ok() {
        return Err(failed(&aside, &"there is such a file already"));
    }
    let moved = |suffix: &str| {
        let (from, to) = (beside::named(store, suffix), beside::named(&aside, suffix));
        match fs::rename(&from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&from, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    for suffix in noted(store).iter().map(String::as_str) {
        moved(suffix)?;
    }
    // The journal first: without its file it is nobody's.
    for suffix in ["-wal", "-shm", "-journal", ""] {
        moved(suffix)?;
    }
    Ok(Some(aside))
}

/// How the batch journals are called after the store's name.
fn noted(store: &Path) -> Vec<String> {
    let (Some(folder), Some(name)) = (store.parent(), store.file_name()) else {
        return Vec::new();
    };
    let mut begins: OsString = name.to_owned();
    begins.push("-batch-");
    let begins = begins.to_string_lossy().into_owned();
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let suffix = |entry: fs::DirEntry| {
        let found = entry.file_name().to_string_lossy().into_owned();
        let worker = found.strip_prefix(&begins)?;
        Some(format!("-batch-{worker}"))
    };
    names.filter_map(suffix).collect()
}

fn failed(file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Copy {
        path: file.into(),
        reason: why.to_string(),
    }
}

/// Notes which file the store is. Where that is another than it was, tasks may be missing that were recorded after the
/// newest that it has, until now: whoever finds a job of one is to keep the job.
pub(super) fn notice(database: &mut Database) -> Result<(), Error> {
    let now = clock::now();
    let inode = database.opened.inode().cast_signed();
    let known = |look: &Connection| -> Result<Option<i64>, Failed> {
        let sql = "SELECT inode FROM store";
        Ok(look.query_row(sql, [], |row| row.get(0))?)
    };
    if database.look(|look, _| known(look))? == Some(inode) {
        return Ok(());
    }
    let path = database.path.clone();
    let noticed = |change: &Connection| -> Result<bool, Failed> {
        let before = known(change)?;
        if before == Some(inode) {
            return Ok(false);
        }
        change.execute("UPDATE store SET inode = ?1", [inode])?;
        if before.is_none() {
            return Ok(false);
        }
        let sql = "UPDATE store SET lacks_until = ?1, lacks_from = min(coalesce(lacks_from, ?1), coalesce(
                (SELECT created FROM tasks ORDER BY id DESC LIMIT 1), 0))";
        change.execute(sql, [now])?;
        Ok(true)
    };
    if database.change(|change, _| noticed(change))? {
        tracing::warn!(
            store = %path.display(),
            "the store is another file than it was: restored, copied or moved; jobs of tasks that were recorded since \
             and are missing in it will be buried, not deleted"
        );
    }
    Ok(())
}

/// Takes the store at a path for itself, as long as what comes back is there: nobody else has it open.
pub(super) fn alone(path: &Path, mut store: Connection) -> Result<(), Error> {
    let sqlite = |e| Error::sqlite(path, e);
    store
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .map_err(sqlite)?;
    let begun = store.transaction_with_behavior(TransactionBehavior::Immediate);
    begun.map_err(sqlite)?.commit().map_err(sqlite)?;
    let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
    store.query_row(fold, [], |_| Ok(())).map_err(sqlite)?;
    store.close().map_err(|(_, e)| sqlite(e))
}
