//! Why there is no configuration.

use std::io;
use std::path::{Path, PathBuf};

use crate::address::StoreUrl;
use crate::errno;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {}{}", path.display(), errno::said(source), not_there(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody may have written the file whom we do not believe.
    #[error(
        "the configuration {} is not read, for it names programs: {reason}",
        path.display()
    )]
    Distrusted {
        /// The file.
        path: PathBuf,
        /// Whom, and what to do.
        reason: String,
    },
    /// The file is no TOML, has a key that does not exist, or a value of the wrong kind.
    #[error("the configuration {} is wrong: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// What is wrong, with the line and a caret under it.
        reason: String,
    },
    /// A value is of the right kind and makes no sense.
    #[error("the configuration {} is wrong: {key}: {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with the tables it is in.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Where the store is cannot be made out.
    #[error("cannot use the store {store}: {}", errno::said(source))]
    Store {
        /// As it was named.
        store: StoreUrl,
        /// Why.
        source: io::Error,
    },
    /// No place for the store can be thought of.
    #[error(
        "there is no place for a store: neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME says where; \
         name one with --store PATH or TASKQUEUE_STORE"
    )]
    NoStore,
}

impl Error {
    /// The file that it is about.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Error::Unreadable { path, .. }
            | Error::Distrusted { path, .. }
            | Error::Syntax { path, .. }
            | Error::Value { path, .. } => Some(path),
            Error::Store { .. } | Error::NoStore => None,
        }
    }
}

/// What to do about a file that is not there, or is none.
fn not_there(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => {
            "; name a file with --config FILE or TASKQUEUE_CONFIG"
        }
        _ => "",
    }
}

/// Makes an error of a key and what is wrong with its value.
pub(super) type Wrong<'a> = dyn Fn(String, String) -> Error + 'a;
