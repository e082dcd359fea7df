//! Replies: what a server can say, and how it is taken off a stream.

use bytes::{Buf, Bytes, BytesMut};

use super::{excerpt, number};
use crate::broker::JobId;

/// The most bytes a reply's line may have. The longest real one, "USING" and a tube's name, has 208.
pub const MAX_LINE: usize = 1024;

/// The longest body that a server can be told to take (beanstalkd(1), `-z`).
const LONGEST_BODY: usize = 1 << 30;

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
    /// A job, reserved, and how long its body is, which was passed over: it is longer than the decoder takes.
    ReservedTooBig(JobId, usize),
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
            Self::Reserved(..) | Self::ReservedTooBig(..) => "RESERVED",
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

/// Takes replies off a stream of bytes, however the bytes are cut into pieces.
#[derive(Debug)]
pub struct Decoder {
    max_body: usize,
    /// The line of a reply whose body has not arrived completely.
    awaited: Option<Head>,
}

/// The line of a reply with a body, and the length of what is to come of the body without its CRLF.
#[derive(Debug, Clone, Copy)]
struct Head {
    kind: Kind,
    len: usize,
}

/// Which reply a body belongs to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Reserved(JobId),
    /// Of which nothing is kept but its length.
    TooBig(JobId, usize),
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
            if let Some(head) = &mut self.awaited {
                if let Kind::TooBig(..) = head.kind {
                    let come = head.len.min(input.len());
                    input.advance(come);
                    head.len = head.len.saturating_sub(come);
                }
                let body = take_body(input, *head)?;
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
                    let head = usize::try_from(claimed)
                        .ok()
                        .and_then(|len| self.head(kind, len));
                    let Some(head) = head else {
                        return Err(Malformed(format!(
                            "{}, a body longer than the {} bytes that are allowed",
                            excerpt(&line),
                            self.max_body
                        )));
                    };
                    self.awaited = Some(head);
                }
                None => return Err(Malformed(excerpt(&line))),
            }
        }
    }

    /// What is to come after a line, if it may be so long. A job that is reserved is not refused for its length: it
    /// would only be reserved again.
    fn head(&self, kind: Kind, len: usize) -> Option<Head> {
        match kind {
            _ if len <= self.max_body => Some(Head { kind, len }),
            Kind::Reserved(id) if len <= LONGEST_BODY => Some(Head {
                kind: Kind::TooBig(id, len),
                len,
            }),
            Kind::Reserved(_) | Kind::TooBig(..) | Kind::Found(_) | Kind::Data => None,
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

/// A body that takes less to be copied than a buffer takes to be made, in bytes.
const SHORT: usize = 4096;

/// Takes a body and its CRLF off the front.
fn take_body(input: &mut BytesMut, head: Head) -> Result<Option<Reply>, Malformed> {
    if input.len() < head.len.saturating_add(2) {
        return Ok(None);
    }
    let body = input.split_to(head.len);
    // A short one must not keep the whole buffer, or each read needs another.
    let body = match head.len {
        ..=SHORT => Bytes::copy_from_slice(&body),
        _ => body.freeze(),
    };
    if !input.starts_with(b"\r\n") {
        return Err(Malformed(format!(
            "a body of {} bytes that does not end there",
            head.len
        )));
    }
    input.advance(2);
    Ok(Some(match head.kind {
        Kind::Reserved(id) => Reply::Reserved(id, body),
        Kind::TooBig(id, size) => Reply::ReservedTooBig(id, size),
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
