//! Why there is no configuration.

use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no TOML, has a key that does not exist, or a value of the wrong kind.
    #[error("the configuration {} is wrong:\n{reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
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
    /// No place for the store can be thought of.
    #[error(
        "there is no place for a store: neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME says where; \
         name one with --store PATH or TASKQUEUE_STORE"
    )]
    NoStore,
}

/// Makes an error of a key and what is wrong with its value.
pub(super) type Wrong<'a> = dyn Fn(String, String) -> Error + 'a;
