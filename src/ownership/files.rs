//! The files that say who tends: where they are, which of their bytes are locked, and what is in them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::beside::{self, Folder};
use crate::errno;
use crate::ofd;
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
    #[error("cannot hold the right to tend tubes in {}: {}", path.display(), errno::said(source))]
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

/// A tube and the tender that has it, or had it and still ends.
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
    /// It ends, and has given up the tube: another tender may have that too.
    pub leaving: bool,
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

/// The folder of a store's tubes, which is there.
pub(super) fn folder(store: &Path) -> io::Result<Folder> {
    Folder::of(store)?.folder(&beside::tubes(store))
}

/// That the folder cannot be used.
pub(super) fn of_folder(store: &Path, source: io::Error) -> Error {
    let path = beside::tubes(store);
    Error::Io { path, source }
}

/// What a file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) pid: u32,
    pub(super) host: String,
    pub(super) socket: Option<PathBuf>,
    /// Of a tender that ends: what it tended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tubes: Vec<TubeName>,
}

impl Content {
    /// What is said of this process.
    pub(super) fn ours(socket: Option<PathBuf>, tubes: Vec<TubeName>) -> Content {
        Content {
            pid: std::process::id(),
            host: host(),
            socket,
            tubes,
        }
    }
}

/// Has a file say this. Whoever looks meanwhile knows that it does not yet.
pub(super) fn write(file: &File, content: &Content) -> io::Result<()> {
    let mut line = serde_json::to_vec(content)?;
    line.push(b'\n');
    ofd::unlock(file, ANNOUNCED)?;
    file.set_len(0)?;
    file.write_all_at(&line, 0)?;
    ofd::lock(file, ANNOUNCED)
}

/// What the name of the file of a tender that ends has at its end.
pub(super) const LEAVING: &str = ".leaving";

/// Whether it is the file of a tender that ends.
pub(super) fn is_leaving(file: &std::ffi::OsStr) -> bool {
    file.to_str().is_some_and(|name| name.ends_with(LEAVING))
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
