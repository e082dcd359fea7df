//! The files that say who tends: where they are, which of their bytes are locked, and what is in them.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::tube::TubeName;

/// The right to tend the tube.
pub(super) const RIGHT: i64 = 0;
/// Held while the file's content is its tender's, whole.
pub(super) const ANNOUNCED: i64 = 1 << 62;

/// Why tubes cannot be tended, or why it is not known who tends them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another tender, which lives, has one of the tubes.
    #[error("{}", taken(tube, tender.as_deref()))]
    Taken {
        /// The first of the tubes that is taken.
        tube: TubeName,
        /// Who has it; `None` if it has not said so yet.
        tender: Option<Box<Tended>>,
    },
    /// The folder or a file in it cannot be used.
    #[error("cannot hold the right to tend tubes in {}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn taken(tube: &TubeName, tender: Option<&Tended>) -> String {
    match tender {
        Some(Tended { pid, host, .. }) => {
            format!("the tube {tube} is tended already, by process {pid} on {host}")
        }
        None => format!("the tube {tube} is tended already, by a tender that just began"),
    }
}

/// A tube and the tender that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tended {
    /// The tube.
    pub tube: TubeName,
    /// The tender's process id, for people and to look it up on its own host.
    pub pid: u32,
    /// The name of the machine that it runs on.
    pub host: String,
    /// Where it listens for orders; `None` if it does not.
    pub socket: Option<PathBuf>,
}

impl Tended {
    /// Whether the tender is this process. In containers all tenders may have one number.
    pub fn is_by_us(&self) -> bool {
        self.pid == std::process::id() && self.host == host()
    }
}

/// The name of this machine.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// What a file says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) pid: u32,
    pub(super) host: String,
    pub(super) socket: Option<PathBuf>,
}

/// No tube's name has a `%` in it.
pub(super) fn file_name(tube: &TubeName) -> String {
    format!("{}.tube", tube.as_str().replace('/', "%"))
}

/// The tube whose file it is, if it is one's.
pub(super) fn tube_of(file: &std::ffi::OsStr) -> Option<TubeName> {
    let name = file.to_str()?.strip_suffix(".tube")?;
    name.replace('%', "/").parse().ok()
}
