//! The words between people and a tender that runs: a Unix socket, a line of JSON each way.
//!
//! ```text
//! → "status"                    ← {"status":{"pid":4711,…}}
//! → {"stop":{"now":false}}      ← {"stopping":{"within_ms":37000}}, and the end of the file when the tender is gone
//!                               ← {"refused":{"reason":"…","is_wrong":true}}, to what the tender cannot or will not do
//! ```
//!
//! Where the socket is, the tender says with its right to its tubes ([`ownership`]). It stands in a folder
//! that only its owner may enter, so whoever can connect may ask for anything.
//!
//! [`ownership`]: crate::ownership

use std::io;
use std::path::PathBuf;

use crate::errno;

pub mod client;
pub mod place;
mod server;
#[cfg(test)]
mod tests;
pub mod words;

pub use client::Client;
pub use server::{Call, Server};
pub use words::{Answer, Refusal, Request};

/// The longest question, its end included, in bytes.
pub const MAX_REQUEST: u64 = 4096;

/// The longest answer, its end included, in bytes: some hundred for each of very many workers.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why a tender does not listen, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no folder for the socket that is ours alone.
    #[error("cannot use the folder {} for a control socket: {reason}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The socket cannot be made.
    #[error("cannot listen at {}: {}", socket.display(), errno::said(source))]
    Listen {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody is there.
    #[error("cannot connect to {}: {}", socket.display(), errno::said(source))]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was asked and did not answer in time, or went without a word.
    #[error("no answer came from {}: {reason}", socket.display())]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// What was seen instead.
        reason: String,
    },
    /// Its answer is none that we know.
    #[error("the answer from {} cannot be read: {reason}", socket.display())]
    Nonsense {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
