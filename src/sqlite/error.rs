//! What can go wrong with the file, in words.

use std::path::{Path, PathBuf};

use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::errno;
use crate::lives;
use crate::lives::locks::LockFile;
use crate::trust::hindrance;

/// Why the file could not be opened, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder cannot be opened or made.
    #[error("cannot open the store {}: {reason}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the system or SQLite said.
        reason: String,
    },
    /// A newer taskqueue has been at it.
    #[error(
        "the store {} has schema version {found}, and this taskqueue knows versions up to {known}; \
         it was left alone: use the newer taskqueue",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// An earlier taskqueue has been at it, and what it has written cannot be read as it is.
    #[error(
        "the store {} has schema version {found}, which is too old to be read as it is by this taskqueue; it was left \
         alone",
        path.display()
    )]
    Older {
        /// The database file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
    },
    /// Workers live that know no later schema than the one it has.
    #[error(
        "cannot bring the schema of the store {} up to date: workers of an earlier version are at it; end them first",
        path.display()
    )]
    Behind {
        /// The database file.
        path: PathBuf,
    },
    /// A database, but not ours.
    #[error("{} is a SQLite database, but not a taskqueue store; it was left alone", path.display())]
    NotOurs {
        /// The database file.
        path: PathBuf,
    },
    /// The schema could not be brought up to date.
    #[error("cannot bring the schema of the store {} up to date: {reason}", path.display())]
    Migrate {
        /// The database file.
        path: PathBuf,
        /// What refinery said.
        reason: String,
    },
    /// The file could not be written anew.
    #[error("cannot write the store {} anew: {reason}", path.display())]
    Compact {
        /// The database file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process has kept it locked for longer than we wait.
    #[error(
        "the store {} stayed locked by another process for {}s; try again, or look for who holds it with: fuser {}",
        path.display(), waited.as_secs(), path.display()
    )]
    Locked {
        /// The database file.
        path: PathBuf,
        /// How long we waited.
        waited: std::time::Duration,
    },
    /// It is not where it was, though we have it open: what we write would be lost.
    #[error(
        "the store {} was deleted, moved or replaced while it was open; put it back, or start again with what is \
         there now",
        path.display()
    )]
    Moved {
        /// The database file.
        path: PathBuf,
    },
    /// The write-ahead log beside it is another file's.
    #[error(
        "the journal {file}-wal is not that of the store {file}, but of another file that was there before; nothing \
         was read, and nothing changed: put back the file that was there, or, to go on with the one that is there, \
         move the journal away: mv {file}-wal {file}-wal.old",
        file = path.display()
    )]
    StrangeJournal {
        /// The database file.
        path: PathBuf,
    },
    /// A copy of a store could not be made, or put in its place.
    #[error("cannot {doing} {}: {reason}", path.display())]
    Copy {
        /// What was to be done with a file.
        doing: &'static str,
        /// The file in question.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody uses it who must not while it is replaced.
    #[error("the store {} is in use: {who}", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
        /// Who uses it.
        who: String,
        /// How to end that.
        next: String,
    },
    /// SQLite refused or failed.
    #[error("the store {} failed: {}", path.display(), said(path, source))]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// It cannot be told who lives.
    #[error(transparent)]
    Lives(lives::Error),
    /// A row holds what this program cannot read.
    #[error("the store holds a row that makes no sense: {what}")]
    Corrupt {
        /// Which and why.
        what: String,
    },
    /// The store's thread has ended; a bug, or the process is on its way out.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Somebody else has it locked, and nothing was done.
    pub fn is_locked(&self) -> bool {
        matches!(self, Error::Locked { .. })
    }

    /// The disk had no room for what was to be written, and nothing was done.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Sqlite { source, .. } if is_for_want_of_room(source))
    }

    /// What to do next, where there is a next step that is not in the words.
    pub fn next(&self) -> Option<String> {
        const NAMED: &str = "with --store PATH or TASKQUEUE_STORE";
        match self {
            Error::Open { path, .. } if path.is_dir() => {
                let file = path.join("tasks.db");
                Some(format!(
                    "name a file in that folder, such as {}, {NAMED}",
                    file.display()
                ))
            }
            Error::Open { reason, .. } if reason == NO_DATABASE => {
                Some(format!("name another store {NAMED}, or put a backup there"))
            }
            Error::Open { .. } => Some(format!("name a store that can be written to {NAMED}")),
            Error::NotOurs { .. } => Some(format!("name another store {NAMED}")),
            Error::InUse { next, .. } => Some(next.clone()),
            Error::Older { .. } => Some(
                "copy it with: taskqueue backup FILE; then start a tender or a worker, which bring it up to date"
                    .into(),
            ),
            Error::Newer { .. }
            | Error::Behind { .. }
            | Error::Migrate { .. }
            | Error::Compact { .. }
            | Error::Locked { .. }
            | Error::Moved { .. }
            | Error::StrangeJournal { .. }
            | Error::Copy { .. }
            | Error::Sqlite { .. }
            | Error::Lives(_)
            | Error::Corrupt { .. }
            | Error::Closed => None,
        }
    }

    /// The row that was asked for is why, and others may well be fine.
    pub fn is_of_one_row(&self) -> bool {
        match self {
            Error::Corrupt { .. } => true,
            Error::Sqlite { source, .. } => is_of_one_row(source),
            Error::Open { .. }
            | Error::Newer { .. }
            | Error::Older { .. }
            | Error::Behind { .. }
            | Error::NotOurs { .. }
            | Error::Migrate { .. }
            | Error::Compact { .. }
            | Error::Locked { .. }
            | Error::Moved { .. }
            | Error::StrangeJournal { .. }
            | Error::Copy { .. }
            | Error::InUse { .. }
            | Error::Lives(_)
            | Error::Closed => false,
        }
    }

    /// Somebody else has the store at this path locked.
    pub(crate) fn locked(path: &std::path::Path) -> Error {
        Error::Locked {
            path: path.into(),
            waited: super::patience::BUSY_WAIT,
        }
    }

    /// What SQLite said, about the store at this path.
    pub(crate) fn sqlite(path: &std::path::Path, error: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::locked(path),
            Some(ErrorCode::NotADatabase | ErrorCode::CannotOpen) => Error::Open {
                path: path.into(),
                reason: said(path, &error),
            },
            _ => Error::Sqlite {
                path: path.into(),
                source: error,
            },
        }
    }
}

/// Said where the disk has no room left.
pub(crate) const FULL: &str = "its disk is full; make room there";

/// Said of a file that is something else.
const NO_DATABASE: &str = "what is there is no SQLite database; it was left alone";

/// Why a copy could not be made, or put in its place.
pub(super) fn copy_failed(file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Copy {
        doing: "write the copy",
        path: file.into(),
        reason: why.to_string(),
    }
}

/// The same, where the system refused something.
pub(super) fn file_failed(file: &Path, error: &std::io::Error) -> Error {
    copy_failed(file, &errno::said(error))
}

/// Why a copy cannot be put in a store's place.
pub(super) fn not_restored(copy: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Copy {
        doing: "restore a store from",
        path: copy.into(),
        reason: why.to_string(),
    }
}

/// What SQLite said of the file at this path, in our words, where ours say more.
pub(crate) fn said(path: &Path, error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode;
    let kept_from = || hindrance(path).map(|why| format!("it cannot be written to: {why}"));
    let ours = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Some(NO_DATABASE.into()),
        Some(ErrorCode::CannotOpen) => kept_from()
            .or_else(|| Some("a file beside it, or its folder, cannot be opened or made".into())),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => kept_from(),
        _ if is_for_want_of_room(error) => Some(FULL.into()),
        Some(ErrorCode::SystemIoFailure) => Some(kept_from().unwrap_or_else(|| {
            "its disk could not be read or written; look into the machine's log: dmesg".into()
        })),
        Some(ErrorCode::DatabaseCorrupt) => Some(
            "the file is damaged; move it and the files beside it away, and put a backup there"
                .into(),
        ),
        Some(_) | None => None,
    };
    match ours {
        Some(ours) => ours,
        None => error.to_string(),
    }
}

/// The disk had no room for what was to be written.
pub(crate) fn is_for_want_of_room(error: &rusqlite::Error) -> bool {
    // The file of the journal's index is made longer by a function of its own, which does not say why it failed.
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || error.sqlite_extended_error_code() == Some(SQLITE_IOERR_SHMSIZE)
}

/// A row is why, and others may well be fine.
fn is_of_one_row(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => true,
        Some(_) => false,
        // Not SQLite's own: a value is not what it should be.
        None => true,
    }
}

/// What can fail inside a transaction, before it is known where that was.
#[derive(Debug)]
pub(crate) enum Failed {
    Sqlite(rusqlite::Error),
    Locks(std::io::Error),
    Corrupt(String),
    /// Whoever asked knows why.
    Stopped,
}

impl Failed {
    /// The database is at that path, and those are its locks.
    pub(super) fn at(self, path: &Path, locks: &LockFile) -> Error {
        match self {
            Failed::Sqlite(e) => Error::sqlite(path, e),
            Failed::Locks(error) => Error::Lives(locks.trouble(&error)),
            Failed::Corrupt(what) => Error::Corrupt { what },
            Failed::Stopped => Error::Closed,
        }
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        Failed::Sqlite(error)
    }
}
