//! The bytes of the protocol, without any I/O: commands out, replies in.
//!
//! What a server says is not trusted. A line and a body have a longest length, nothing is allocated
//! for what a reply merely claims, and whatever does not fit is [`Malformed`]. After that the stream
//! cannot be understood any more and its connection has to go.

mod reply;
#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};

pub use reply::{Decoder, Malformed, Reply};

use crate::broker::JobId;
use crate::tube::TubeName;

/// How many bytes of a nonsensical answer an error repeats.
const EXCERPT: usize = 64;

/// What we ask for (protocol 1.12). Durations are in whole seconds.
#[derive(Debug, Clone, Copy)]
pub enum Command<'a> {
    /// Put a job into the tube in use.
    Put {
        /// 0 is the most urgent.
        priority: u32,
        /// Seconds until it is ready.
        delay: u32,
        /// Seconds that a reservation lasts.
        ttr: u32,
        /// The job's bytes.
        body: &'a [u8],
    },
    /// Choose the tube for put and kick.
    Use(&'a TubeName),
    /// Add a tube to those that are reserved from.
    Watch(&'a TubeName),
    /// Take a tube from those that are reserved from.
    Ignore(&'a TubeName),
    /// Wait up to so many seconds for a job.
    Reserve(u32),
    /// Remove a job for good.
    Delete(JobId),
    /// Give a reserved job back.
    Release {
        /// Which job.
        id: JobId,
        /// Its new priority.
        priority: u32,
        /// Seconds until it is ready.
        delay: u32,
    },
    /// Set a reserved job aside.
    Bury {
        /// Which job.
        id: JobId,
        /// Its new priority.
        priority: u32,
    },
    /// Start a reservation's time anew.
    Touch(JobId),
    /// Show the next job of the tube in use that is ready.
    PeekReady,
    /// Show the next of those that are delayed.
    PeekDelayed,
    /// Show the next of those that are buried.
    PeekBuried,
    /// Show a job.
    Peek(JobId),
    /// Make at most so many jobs of the tube in use ready.
    Kick(u32),
    /// Make this one ready.
    KickJob(JobId),
    /// Describe the server.
    Stats,
    /// Describe a job.
    StatsJob(JobId),
    /// Describe a tube.
    StatsTube(&'a TubeName),
    /// Let nobody reserve from a tube for so many seconds.
    PauseTube(&'a TubeName, u32),
}

impl Command<'_> {
    /// The command's first word, by which errors name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Use(_) => "use",
            Self::Watch(_) => "watch",
            Self::Ignore(_) => "ignore",
            Self::Reserve(_) => "reserve-with-timeout",
            Self::Delete(_) => "delete",
            Self::Release { .. } => "release",
            Self::Bury { .. } => "bury",
            Self::Touch(_) => "touch",
            Self::PeekReady => "peek-ready",
            Self::PeekDelayed => "peek-delayed",
            Self::PeekBuried => "peek-buried",
            Self::Peek(_) => "peek",
            Self::Kick(_) => "kick",
            Self::KickJob(_) => "kick-job",
            Self::Stats => "stats",
            Self::StatsJob(_) => "stats-job",
            Self::StatsTube(_) => "stats-tube",
            Self::PauseTube(..) => "pause-tube",
        }
    }

    /// Appends the command as it goes over the wire.
    pub fn encode(&self, out: &mut BytesMut) {
        let name = self.name();
        let line = match self {
            Self::Put {
                priority,
                delay,
                ttr,
                body,
            } => format!("{name} {priority} {delay} {ttr} {}\r\n", body.len()),
            Self::Use(tube) | Self::Watch(tube) | Self::Ignore(tube) | Self::StatsTube(tube) => {
                format!("{name} {tube}\r\n")
            }
            Self::Delete(id)
            | Self::Touch(id)
            | Self::Peek(id)
            | Self::KickJob(id)
            | Self::StatsJob(id) => format!("{name} {id}\r\n"),
            Self::Reserve(number) | Self::Kick(number) => format!("{name} {number}\r\n"),
            Self::Release {
                id,
                priority,
                delay,
            } => format!("{name} {id} {priority} {delay}\r\n"),
            Self::Bury { id, priority } => format!("{name} {id} {priority}\r\n"),
            Self::PauseTube(tube, seconds) => format!("{name} {tube} {seconds}\r\n"),
            Self::Stats | Self::PeekReady | Self::PeekDelayed | Self::PeekBuried => {
                format!("{name}\r\n")
            }
        };
        out.put_slice(line.as_bytes());
        if let Self::Put { body, .. } = self {
            out.put_slice(body);
            out.put_slice(b"\r\n");
        }
    }
}

/// A number of the protocol: decimal digits and nothing else (`str::parse` alone would take a `+`).
pub fn number(digits: &str) -> Option<u64> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// The first bytes of what a server said, fit for an error's text.
pub fn excerpt(said: &[u8]) -> String {
    match said.get(..EXCERPT) {
        Some(start) if said.len() > EXCERPT => format!("\"{}\"...", start.escape_ascii()),
        Some(_) | None => format!("\"{}\"", said.escape_ascii()),
    }
}
