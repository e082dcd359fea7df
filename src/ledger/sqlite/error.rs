//! What SQLite says, in the ledger's words.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::ledger::error::{Error, Failed};
use crate::sqlite;

/// Why a transaction failed, of a ledger in this file.
pub(super) fn told(path: &Path, failed: Failed) -> Error {
    match failed {
        Failed::Locked => sqlite::Error::locked(path).into(),
        Failed::Row { task, what } => Error::Row { task, what },
        Failed::Full => Error::Full {
            what: format!("the store {} failed: {}", path.display(), sqlite::FULL),
        },
        Failed::Trouble { what } => {
            Error::trouble(format!("the store {} failed: {what}", path.display()))
        }
        Failed::Lives(error) => Error::trouble(error.to_string()),
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        let what = error.to_string();
        match error.sqlite_error_code() {
            _ if sqlite::is_for_want_of_room(&error) => Failed::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failed::Locked,
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                Failed::Row {
                    task: None,
                    what: format!("the store refused a row: {what}"),
                }
            }
            Some(_) => Failed::Trouble { what },
            // Not SQLite's own: a value is not what it should be.
            None => Failed::row(None, nonsense(&what)),
        }
    }
}

impl From<sqlite::Failed> for Failed {
    fn from(failed: sqlite::Failed) -> Failed {
        match failed {
            sqlite::Failed::Sqlite(error) => error.into(),
            sqlite::Failed::Locks(error) => Failed::Trouble {
                what: error.to_string(),
            },
            sqlite::Failed::Corrupt(what) => Failed::row(None, nonsense(&what)),
            sqlite::Failed::Stopped => Failed::Trouble {
                what: "a transaction was given up".into(),
            },
        }
    }
}

/// What is said of a row that holds what this program cannot read.
pub(super) fn nonsense(what: &str) -> String {
    format!("the store holds a row that makes no sense: {what}")
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Error {
        let what = error.to_string();
        match error {
            sqlite::Error::Locked { .. } => Error::Locked { what },
            error if error.is_of_one_row() => Error::Row { task: None, what },
            error if error.is_full() => Error::Full { what },
            error => Error::Trouble {
                what,
                next: error.next(),
            },
        }
    }
}
