//! Copies of a store: one that is made while the store is used, and one that is put in the place of a store.
//!
//! A copy is whole, and says that it is one: by an inode that no file has. So whoever opens it to record notices
//! (`notice`) that tasks may be missing which were recorded since the copy was made, and whose jobs are at the broker.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::Error;
use super::error::{copy_failed, file_failed, not_restored, said};
use super::pair::set_mark;
use super::place::{open_error, standing};
use super::schema::version;
use crate::beside::{self, Folder};
use crate::errno;
use crate::file_id::is_same;

mod alone;
mod part;

use alone::{alone, follow, journals, name_aside, noted};
use part::Part;

/// So many pages are copied together, 1 MB.
const TOGETHER: i32 = 256;

/// The disk is left to others for at least so long after each of these, and for a third of the time that it took.
const PAUSE: Duration = Duration::from_millis(1);

/// After so many of these the disk is to keep what was written, so that it need not at once in the end.
const KEPT: u32 = 16;

/// Numbers of workers that were given out since a copy was made are not given out again by it: what workers have noted
/// beside the store goes by them.
const SKIPPED: i64 = 1_000_000;

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
    let Some(database) = look(store)? else {
        return Ok(None);
    };
    if !replace && to.symlink_metadata().is_ok() {
        return Err(copy_failed(to, &THERE));
    }
    if is_same(to, store) {
        return Err(copy_failed(
            to,
            &"it is the store itself; name another file",
        ));
    }
    if to.is_dir() {
        return Err(copy_failed(to, &"it is a folder; name a file in it"));
    }
    match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            return Err(copy_failed(to, &"its folder is not there; make it first"));
        }
        Some(_) | None => {}
    }
    let part = Part::beside(to)?;
    let tasks = copy(&database, &part, progress).map_err(|e| copy_failed(to, &e))?;
    drop(database);
    let settled = part.settle(to, replace);
    let bytes = settled.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => copy_failed(to, &THERE),
        _ => file_failed(to, &e),
    })?;
    let kept = None;
    Ok(Some(Copied { bytes, tasks, kept }))
}

const THERE: &str = "there is such a file already, and it was left alone";

/// Puts a copy in the place of a store that nobody uses. What was there is kept beside it.
///
/// # Errors
/// When the copy is none of ours or not whole; when somebody uses the store; when files cannot be written.
pub fn restore(store: &Path, from: &Path, progress: &mut Progress<'_>) -> Result<Copied, Error> {
    let copied = match look(from) {
        Ok(Some(copied)) => copied,
        Ok(None) => {
            return Err(not_restored(
                from,
                &"there is no such file, or nothing in it",
            ));
        }
        Err(Error::Open { reason, .. }) => return Err(not_restored(from, &reason)),
        Err(other) => return Err(other),
    };
    let store = crate::trust::resolved(store).map_err(|e| file_failed(store, &e))?;
    if is_same(from, &store) {
        return Err(not_restored(
            from,
            &"it is the store itself; name a backup of it",
        ));
    }
    // Before all the work.
    drop(alone(&store)?);
    whole(&copied).map_err(|why| not_restored(from, &why))?;
    beside::make_around(&store).map_err(|e| file_failed(&store, &e))?;
    let folder = Folder::of(&store).map_err(|e| file_failed(&store, &e))?;
    let part = Part::of_store(&store, &folder)?;
    let tasks = copy(&copied, &part, progress).map_err(|e| not_restored(from, &e))?;
    drop(copied);
    let Some(_alone) = alone(&store)? else {
        let bytes = part
            .settle(&store, false)
            .map_err(|e| file_failed(&store, &e))?;
        let kept = None;
        return Ok(Copied { bytes, tasks, kept });
    };
    let aside = name_aside(&store)?;
    // Those that could not be folded. Beside the copy they would be another file's.
    follow(&store, &aside, &journals())?;
    let bytes = part
        .exchange(&store, &aside)
        .map_err(|e| file_failed(&store, &e))?;
    follow(&store, &aside, &noted(&store))?;
    let kept = Some(aside);
    Ok(Copied { bytes, tasks, kept })
}

/// Opens a store of whatever version to read it; `None` if there is none.
///
/// # Errors
/// When the file is no store, or a newer version's.
fn look(path: &Path) -> Result<Option<Connection>, Error> {
    let Some(place) = standing(path).map_err(|e| open_error(path, &e))? else {
        return Ok(None);
    };
    let store = match place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        Err(Error::Open { .. }) => place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        opened => opened?,
    };
    Ok(version(path, &store)?.map(|_| store))
}

/// Copies page by page what is seen at this moment, whoever writes meanwhile. How many tasks are in it.
fn copy(from: &Connection, to: &Part, progress: &mut Progress<'_>) -> Result<u64, String> {
    let text = |error: rusqlite::Error| said(to.path(), &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut copy = Connection::open_with_flags(to.path(), flags).map_err(text)?;
    // Whoever is killed leaves nothing that anybody would believe.
    let set =
        |copy: &Connection, pragma: &str| copy.query_row(pragma, [], |_| Ok(())).map_err(text);
    set(&copy, "PRAGMA journal_mode = OFF")?;
    copy.execute_batch("PRAGMA synchronous = OFF")
        .map_err(text)?;
    // As long as it is read, none of what it has in the journal goes.
    let moment = from.unchecked_transaction().map_err(text)?;
    let sql = "SELECT count(*) FROM store";
    let _: i64 = moment.query_row(sql, [], |row| row.get(0)).map_err(text)?;
    {
        let backup = Backup::new(&moment, &mut copy).map_err(text)?;
        for steps in 1_u32.. {
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
            if steps.is_multiple_of(KEPT) {
                to.sync().map_err(|error| errno::said(&error))?;
            }
            sleep(PAUSE.max(begun.elapsed() / 3));
        }
    }
    moment.finish().map_err(text)?;
    // Nobody else has it: without a journal of its own it is one file at each moment.
    set(&copy, "PRAGMA journal_mode = OFF")?;
    whole(&copy)?;
    if has(&copy, "store", "inode").map_err(text)? {
        let sql = "UPDATE store SET inode = ?1";
        copy.execute(sql, [NO_FILE]).map_err(text)?;
    }
    begin_numbers_anew(&copy).map_err(text)?;
    set_mark(&copy, its_own()).map_err(text)?;
    let sql = "SELECT count(*) FROM tasks";
    let tasks: i64 = copy.query_row(sql, [], |row| row.get(0)).map_err(text)?;
    set(&copy, "PRAGMA journal_mode = WAL")?;
    copy.close().map_err(|(_, error)| text(error))?;
    Ok(u64::try_from(tasks).unwrap_or_default())
}

/// A mark that no journal of another file was begun upon.
fn its_own() -> i64 {
    let (_, random) = Uuid::now_v7().as_u64_pair();
    i64::try_from(random & 0x7fff_ffff)
        .unwrap_or_default()
        .max(1)
}

/// Has nobody be alive by the rows of a copy, and no worker be taken for one of the store that it is put in the place
/// of.
fn begin_numbers_anew(copy: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'workers'";
    copy.execute(sql, [SKIPPED])?;
    if has(copy, "workers", "boot")? {
        copy.execute("UPDATE workers SET boot = 'before the copy'", [])?;
    }
    Ok(())
}

/// Whether a table has a column: one of an earlier version may not.
fn has(store: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
    store.prepare(sql)?.exists([table, column])
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
