//! The queue in the store's own SQLite file, for those who want no server.
//!
//! | module | what it knows |
//! |---|---|
//! | `queue` | the rows: one connection, one session's reservations; it blocks, and so lives on a thread |
//! | `bell_watch` | waiting for the bell that whoever puts a job rings |
//! | `session` | [`Embedded`] as a [`Broker`](super::Broker) |
//!
//! A session is a number that is never given out again and a byte of the store's file of locks, held for as long as the
//! session lives. A reservation whose session's byte is free is nobody's: the job is ready again, and whoever looks
//! next says so in its row. Nothing has to run for that, and nothing has to be told: the kernel frees the byte when a
//! process is killed.
//!
//! Time does its part the same way. A delay that has passed, a TTR that ran out and a pause that is over are noticed by
//! those who look; a session that waits knows when the next of them will be, and looks then. It looks when the bell
//! rings, and, while another session holds jobs of its tubes, four times a second at the other's lock. Otherwise it
//! sleeps, but for a look every ten seconds: a process can be killed between its commit and its ring.

use std::path::{Path, PathBuf};

use super::Error;
use crate::sqlite;

mod bell_watch;
mod queue;
mod session;

pub use session::Embedded;

/// What an embedded queue takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest body, in bytes.
    pub max_job_size: usize,
}

impl Default for Settings {
    /// 64 MiB.
    fn default() -> Self {
        Self {
            max_job_size: 64 * 1024 * 1024,
        }
    }
}

/// Where a queue is, and what it takes.
#[derive(Debug, Clone)]
struct Setup {
    store: PathBuf,
    settings: Settings,
}

impl Setup {
    fn at(store: &Path, settings: Settings) -> Self {
        Self {
            store: store.to_owned(),
            settings,
        }
    }
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Error {
        Error::Failed {
            reason: error.to_string(),
        }
    }
}
