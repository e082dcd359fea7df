//! A store that is to be replaced: nobody may be at it, nor come to it meanwhile.
//!
//! Whoever has a database open that has a write-ahead log keeps a shared lock on some bytes of its file, which SQLite's
//! file format names. So whoever has these locked is alone, and whoever opens the file meanwhile waits, and then sees
//! that another file is at the path (`Place::connect`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::beside;
use crate::clock;
use crate::file_id::FileId;
use crate::harmless::one_line;
use crate::lives::Holder;
use crate::lives::locks::Lock;
use crate::ofd;
use crate::sqlite::Error;
use crate::sqlite::error::{copy_failed, file_failed};
use crate::sqlite::patience::briefly;
use crate::sqlite::place::{Place, keep_journal, open_error, standing};
use crate::sqlite::turn::{no_turn, wait_for_turn};
use crate::task::id::WorkerId;

/// SQLite's file format: where the bytes begin that are locked, and how many there are.
const FIRST: i64 = 0x4000_0000;
const BYTES: i64 = 512;

/// For so long those may go who only look.
const PATIENCE: Duration = Duration::from_secs(1);

/// As long as this is there, nobody is at the store.
#[derive(Debug)]
pub(super) struct Alone {
    _turn: Lock,
    _file: File,
}

/// Makes sure that nobody is at a store, whose journal is then folded back. `None` if there is no store.
///
/// # Errors
/// Who is.
pub(super) fn alone(path: &Path) -> Result<Option<Alone>, Error> {
    let Some(place) = standing(path).map_err(|e| open_error(path, &e))? else {
        return Ok(None);
    };
    let turn = wait_for_turn(path)?;
    // One that is damaged, or no store at all, is kept as it is.
    let store = match briefly(|| place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)) {
        Err(error) if error.is_locked() => return Err(in_use(&place)),
        opened => opened.ok(),
    };
    match turn.is_any_worker_here() {
        Ok(false) => {}
        Ok(true) => return Err(workers_are_here(path, store.as_ref(), &turn)),
        Err(error) => return Err(no_turn(path, &error)),
    }
    if let Some(store) = store {
        // The last one who closes it folds the journal.
        let _ = keep_journal(&store, false);
    }
    let since = Instant::now();
    loop {
        // Closed again, a file takes SQLite's locks of this process with it: there are none.
        let file = place
            .folder
            .open(path)
            .map_err(|e| file_failed(path, &e))?
            .file;
        match ofd::lock_range(&file, FIRST, BYTES) {
            Ok(()) => {
                return Ok(Some(Alone {
                    _turn: turn,
                    _file: file,
                }));
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(file_failed(path, &error));
            }
            Err(_) if since.elapsed() >= PATIENCE => return Err(in_use(&place)),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn workers_are_here(path: &Path, store: Option<&Connection>, turn: &Lock) -> Error {
    let named = |store: &Connection| -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT id, name, pid, host FROM workers WHERE stopped IS NULL";
        let mut known = store.prepare(sql)?;
        let mut rows = known.query([])?;
        let mut alive = Vec::new();
        while let Some(row) = rows.next()? {
            let holder = Holder::Worker(WorkerId(row.get(0)?));
            if turn.is_held_elsewhere(holder).unwrap_or(false) {
                let (name, pid, host) = (
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, String>(3)?,
                );
                let (name, host) = (one_line(&name), one_line(&host));
                alive.push(format!("{name} (process {pid} on {host})"));
            }
        }
        Ok(alive)
    };
    let alive = store
        .and_then(|store| named(store).ok())
        .unwrap_or_default();
    let who = match alive.is_empty() {
        true => "workers of it live".into(),
        false => format!("workers of it live: {}", alive.join(", ")),
    };
    Error::InUse {
        path: path.into(),
        who,
        next: "end them first with: taskqueue stop".into(),
    }
}

fn in_use(place: &Place) -> Error {
    let path = place.path.clone();
    let who = holders(place.found.id);
    let (who, next) = match who.is_empty() {
        true => (
            "another process has it open".to_owned(),
            format!("look who, as root: fuser {}", path.display()),
        ),
        false => (
            format!("{} has it open", who.join(", ")),
            "let that end first".to_owned(),
        ),
    };
    Error::InUse { path, who, next }
}

/// The other processes that have a file open, as far as the system tells us.
fn holders(of: FileId) -> Vec<String> {
    let has_it = |process: &Path| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten();
        open.flatten()
            .any(|fd| FileId::at(&fd.path()).is_ok_and(|id| id == of))
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = |process: PathBuf| {
        let pid: u32 = process.file_name()?.to_str()?.parse().ok()?;
        if pid == std::process::id() || !has_it(&process) {
            return None;
        }
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        Some(format!("{} (process {pid})", one_line(name.trim_end())))
    };
    all.filter_map(|entry| named(entry.path())).collect()
}

/// How what was at a store's name is called from now on.
pub(super) fn name_aside(store: &Path) -> Result<PathBuf, Error> {
    let now = clock::written(clock::now()).replace([':', '-'], "");
    let aside = beside::named(store, &format!(".before-{now}"));
    match aside.symlink_metadata() {
        Ok(_) => Err(copy_failed(
            &aside,
            &"there is such a file already; try again in a second",
        )),
        Err(_) => Ok(aside),
    }
}

/// Moves what belongs to the file that had a store's name: `before` it is moved, journals that could not be folded;
/// afterwards, what workers had noted of their attempts.
pub(super) fn follow(store: &Path, aside: &Path, suffixes: &[String]) -> Result<(), Error> {
    for suffix in suffixes {
        let (from, to) = (beside::named(store, suffix), beside::named(aside, suffix));
        match fs::rename(&from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_failed(&from, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// A store's journals, after its name.
pub(super) fn journals() -> [String; 3] {
    ["-wal", "-shm", "-journal"].map(str::to_owned)
}

/// How the batch journals are called after the store's name.
pub(super) fn noted(store: &Path) -> Vec<String> {
    let (Some(folder), Some(name)) = (store.parent(), store.file_name()) else {
        return Vec::new();
    };
    let mut begins = name.to_owned();
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
