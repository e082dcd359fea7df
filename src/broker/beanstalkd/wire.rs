//! The bytes of the protocol, without any I/O: commands out, replies in.
//!
//! What a server says is not trusted. A line and a body have a longest length, nothing is allocated
//! for what a reply merely claims, and whatever does not fit is [`Malformed`]. After that the stream
//! cannot be understood any more and its connection has to go.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::broker::JobId;
use crate::tube::TubeName;

/// The most bytes a reply's line may have. The longest real one, "USING" and a tube's name, has 208.
pub const MAX_LINE: usize = 1024;

/// How many bytes of a nonsensical answer an error repeats.
const EXCERPT: usize = 64;

/// What a client can ask for (protocol 1.12). Durations are in whole seconds.
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
    /// Choose the tube for put, kick and the peeks that take no id.
    Use(&'a TubeName),
    /// Add a tube to those that are reserved from.
    Watch(&'a TubeName),
    /// Take a tube from those that are reserved from.
    Ignore(&'a TubeName),
    /// Wait up to so many seconds for a job.
    Reserve(u32),
    /// Reserve this one.
    ReserveJob(JobId),
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
    /// Show a job.
    Peek(JobId),
    /// Show the job that would be reserved next.
    PeekReady,
    /// Show the job whose delay passes next.
    PeekDelayed,
    /// Show the job that would be kicked next.
    PeekBuried,
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
    /// Name all tubes.
    ListTubes,
    /// Name the tube in use.
    ListTubeUsed,
    /// Name the tubes that are reserved from.
    ListTubesWatched,
    /// Let nobody reserve from a tube for so many seconds.
    PauseTube(&'a TubeName, u32),
    /// End the session.
    Quit,
}

impl Command<'_> {
    /// The command's first word, by which errors name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Use(_) => "use",
            Self::Watch(_) => "watch",
            Self::Ignore(_) => "ignore",
            Self::Reserve(_) => "reserve-with-timeout",
            Self::ReserveJob(_) => "reserve-job",
            Self::Delete(_) => "delete",
            Self::Release { .. } => "release",
            Self::Bury { .. } => "bury",
            Self::Touch(_) => "touch",
            Self::Peek(_) => "peek",
            Self::PeekReady => "peek-ready",
            Self::PeekDelayed => "peek-delayed",
            Self::PeekBuried => "peek-buried",
            Self::Kick(_) => "kick",
            Self::KickJob(_) => "kick-job",
            Self::Stats => "stats",
            Self::StatsJob(_) => "stats-job",
            Self::StatsTube(_) => "stats-tube",
            Self::ListTubes => "list-tubes",
            Self::ListTubeUsed => "list-tube-used",
            Self::ListTubesWatched => "list-tubes-watched",
            Self::PauseTube(..) => "pause-tube",
            Self::Quit => "quit",
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
            Self::ReserveJob(id)
            | Self::Delete(id)
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
            Self::PeekReady
            | Self::PeekDelayed
            | Self::PeekBuried
            | Self::Stats
            | Self::ListTubes
            | Self::ListTubeUsed
            | Self::ListTubesWatched
            | Self::Quit => format!("{name}\r\n"),
        };
        out.put_slice(line.as_bytes());
        if let Self::Put { body, .. } = self {
            out.put_slice(body);
            out.put_slice(b"\r\n");
        }
    }
}

/// A duration as the protocol counts it: whole seconds, rounded up, since half a second of TTR sent as 0
/// would be no TTR at all; what does not fit is the longest that does.
pub fn seconds(duration: Duration) -> u32 {
    let partial = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs().saturating_add(partial)).unwrap_or(u32::MAX)
}

/// What a server can answer (protocol 1.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The job was put and has this id.
    Inserted(JobId),
    /// The job was put and has this id, but for want of memory it is buried.
    InsertedBuried(JobId),
    /// The job is buried now.
    Buried,
    /// The tube in use.
    Using(String),
    /// How many tubes are reserved from.
    Watching(u64),
    /// The last watched tube cannot be ignored.
    NotIgnored,
    /// A job, reserved.
    Reserved(JobId, Bytes),
    /// A job, to look at.
    Found(JobId, Bytes),
    /// A dictionary or a list, as YAML.
    Data(Bytes),
    /// A reservation of this connection is about to run out.
    DeadlineSoon,
    /// No job within the time given.
    TimedOut,
    /// The job is gone.
    Deleted,
    /// The job was given back.
    Released,
    /// The reservation's time starts anew.
    Touched,
    /// So many jobs were made ready.
    Kicked(u64),
    /// The job was made ready.
    KickedJob,
    /// The tube is paused.
    Paused,
    /// No such job or tube, or not in that state.
    NotFound,
    /// The body is larger than the server takes; the server read and dropped it.
    JobTooBig,
    /// The server takes no new jobs.
    Draining,
    /// The body did not end where it should have.
    ExpectedCrlf,
    /// The server has no memory, or no room on its disk, for that.
    OutOfMemory,
    /// The server has a bug.
    InternalError,
    /// The server could not read the command.
    BadFormat,
    /// The server does not know the command.
    UnknownCommand,
}

impl Reply {
    /// The reply's first word, by which errors repeat it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Inserted(_) => "INSERTED",
            Self::InsertedBuried(_) | Self::Buried => "BURIED",
            Self::Using(_) => "USING",
            Self::Watching(_) => "WATCHING",
            Self::NotIgnored => "NOT_IGNORED",
            Self::Reserved(..) => "RESERVED",
            Self::Found(..) => "FOUND",
            Self::Data(_) => "OK",
            Self::DeadlineSoon => "DEADLINE_SOON",
            Self::TimedOut => "TIMED_OUT",
            Self::Deleted => "DELETED",
            Self::Released => "RELEASED",
            Self::Touched => "TOUCHED",
            Self::Kicked(_) | Self::KickedJob => "KICKED",
            Self::Paused => "PAUSED",
            Self::NotFound => "NOT_FOUND",
            Self::JobTooBig => "JOB_TOO_BIG",
            Self::Draining => "DRAINING",
            Self::ExpectedCrlf => "EXPECTED_CRLF",
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::InternalError => "INTERNAL_ERROR",
            Self::BadFormat => "BAD_FORMAT",
            Self::UnknownCommand => "UNKNOWN_COMMAND",
        }
    }
}

/// Bytes that are no reply; the text says which, cut and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// The first bytes of what a server said, fit for an error's text.
pub fn excerpt(said: &[u8]) -> String {
    match said.get(..EXCERPT) {
        Some(start) if said.len() > EXCERPT => format!("\"{}\"...", start.escape_ascii()),
        Some(_) | None => format!("\"{}\"", said.escape_ascii()),
    }
}

/// Takes replies off a stream of bytes, however the bytes are cut into pieces.
#[derive(Debug)]
pub struct Decoder {
    max_body: usize,
    /// The line of a reply whose body has not arrived completely.
    awaited: Option<Head>,
}

/// The line of a reply with a body, and the body's length without its CRLF.
#[derive(Debug, Clone, Copy)]
struct Head {
    kind: Kind,
    len: usize,
}

/// Which reply a body belongs to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Reserved(JobId),
    Found(JobId),
    Data,
}

/// What a line turned out to be.
enum Line {
    Whole(Reply),
    Head(Kind, u64),
}

impl Decoder {
    /// A decoder at the start of a stream that takes bodies of up to `max_body` bytes.
    pub fn new(max_body: usize) -> Self {
        Self {
            max_body,
            awaited: None,
        }
    }

    /// A reply has begun and is not complete.
    pub fn is_inside_reply(&self) -> bool {
        self.awaited.is_some()
    }

    /// Takes the next reply off the front of `input`, or `None` when it is not complete.
    ///
    /// After [`Malformed`] nothing more can be read from the stream.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, Malformed> {
        loop {
            if let Some(head) = self.awaited {
                let body = take_body(input, head)?;
                if body.is_some() {
                    self.awaited = None;
                }
                return Ok(body);
            }
            let Some(line) = take_line(input)? else {
                return Ok(None);
            };
            match read_line(&line) {
                Some(Line::Whole(reply)) => return Ok(Some(reply)),
                Some(Line::Head(kind, claimed)) => {
                    let allowed = usize::try_from(claimed)
                        .ok()
                        .filter(|&l| l <= self.max_body);
                    let Some(len) = allowed else {
                        return Err(Malformed(format!(
                            "{}, a body longer than the {} bytes that are allowed",
                            excerpt(&line),
                            self.max_body
                        )));
                    };
                    self.awaited = Some(Head { kind, len });
                }
                None => return Err(Malformed(excerpt(&line))),
            }
        }
    }
}

/// Takes a line off the front, without its CRLF.
fn take_line(input: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
    let searched = input.get(..MAX_LINE).unwrap_or(input);
    let Some(end) = searched.iter().position(|&byte| byte == b'\n') else {
        if searched.len() == MAX_LINE {
            return Err(Malformed(format!("a line without end, {}", excerpt(input))));
        }
        return Ok(None);
    };
    let mut line = input.split_to(end.saturating_add(1));
    if !line.ends_with(b"\r\n") {
        return Err(Malformed(excerpt(&line)));
    }
    line.truncate(line.len().saturating_sub(2));
    Ok(Some(line))
}

/// Takes a body and its CRLF off the front.
fn take_body(input: &mut BytesMut, head: Head) -> Result<Option<Reply>, Malformed> {
    if input.len() < head.len.saturating_add(2) {
        return Ok(None);
    }
    let body = input.split_to(head.len).freeze();
    if !input.starts_with(b"\r\n") {
        return Err(Malformed(format!(
            "a body of {} bytes that does not end there",
            head.len
        )));
    }
    input.advance(2);
    Ok(Some(match head.kind {
        Kind::Reserved(id) => Reply::Reserved(id, body),
        Kind::Found(id) => Reply::Found(id, body),
        Kind::Data => Reply::Data(body),
    }))
}

/// Reads a line without its CRLF; `None` if it is none that a server may send.
fn read_line(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split(' ');
    let (first, second, third) = (words.next()?, words.next(), words.next());
    if words.next().is_some() {
        return None;
    }
    let reply = match (first, second, third) {
        ("INSERTED", Some(id), None) => Reply::Inserted(number(id)?),
        ("BURIED", Some(id), None) => Reply::InsertedBuried(number(id)?),
        ("BURIED", None, None) => Reply::Buried,
        ("USING", Some(tube), None) => Reply::Using(tube.to_owned()),
        ("WATCHING", Some(count), None) => Reply::Watching(number(count)?),
        ("NOT_IGNORED", None, None) => Reply::NotIgnored,
        ("RESERVED", Some(id), Some(len)) => {
            return Some(Line::Head(Kind::Reserved(number(id)?), number(len)?));
        }
        ("FOUND", Some(id), Some(len)) => {
            return Some(Line::Head(Kind::Found(number(id)?), number(len)?));
        }
        ("OK", Some(len), None) => return Some(Line::Head(Kind::Data, number(len)?)),
        ("DEADLINE_SOON", None, None) => Reply::DeadlineSoon,
        ("TIMED_OUT", None, None) => Reply::TimedOut,
        ("DELETED", None, None) => Reply::Deleted,
        ("RELEASED", None, None) => Reply::Released,
        ("TOUCHED", None, None) => Reply::Touched,
        ("KICKED", Some(count), None) => Reply::Kicked(number(count)?),
        ("KICKED", None, None) => Reply::KickedJob,
        ("PAUSED", None, None) => Reply::Paused,
        ("NOT_FOUND", None, None) => Reply::NotFound,
        ("JOB_TOO_BIG", None, None) => Reply::JobTooBig,
        ("DRAINING", None, None) => Reply::Draining,
        ("EXPECTED_CRLF", None, None) => Reply::ExpectedCrlf,
        ("OUT_OF_MEMORY", None, None) => Reply::OutOfMemory,
        ("INTERNAL_ERROR", None, None) => Reply::InternalError,
        ("BAD_FORMAT", None, None) => Reply::BadFormat,
        ("UNKNOWN_COMMAND", None, None) => Reply::UnknownCommand,
        // The server's words are an open set.
        _ => return None,
    };
    Some(Line::Whole(reply))
}

/// A number of the protocol: decimal digits and nothing else (`str::parse` alone would take a `+`).
pub fn number(digits: &str) -> Option<u64> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
