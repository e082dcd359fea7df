//! A worker's end of the link to its tender.

use std::collections::VecDeque;
use std::env;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg as receive_message,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::lines::Lines;
use super::word::{BadLine, Ordered, Report};
use super::{Error, FD_VARIABLE};
use crate::fd;

/// As much as one read takes.
const READ: usize = 1024;

/// The most answers that wait for room in the socket. A tender that does not read gives few orders: its own end of the
/// socket is full then.
const ANSWERS: usize = 64;

/// The tender, as its worker hears it and speaks to it.
///
/// A report never waits: a tender that is stopped (SIGSTOP, a debugger) must not stop its workers.
/// When the socket is full, the latest report is kept and written as soon as there is room; those
/// between are dropped, for only the last tells what the worker does now. Answers to orders are all kept, up to 64:
/// each is awaited.
#[derive(Debug)]
pub struct Tender {
    stream: UnixStream,
    lines: Lines,
    /// Descriptors that have come with lines that were not taken yet.
    handed: VecDeque<Handed>,
    /// The rest of a line of which the socket took a part.
    begun: Vec<u8>,
    /// The latest report, if it was not written yet.
    waiting: Option<Report>,
    /// Lines of answers that were not written yet.
    answers: VecDeque<Vec<u8>>,
    /// An answer was left out since all were written last, which was said.
    left_out: bool,
    /// The other end is closed.
    gone: bool,
}

/// A descriptor, and up to which byte was read when the descriptor came: in the line of that byte, or at its end.
#[derive(Debug)]
struct Handed {
    descriptor: OwnedFd,
    until: u64,
}

impl Tender {
    /// The tender that started this process; `None` if it was started without one. To be called once,
    /// within a tokio runtime, before anything is spawned: only from then on is the descriptor
    /// closed on exec.
    pub fn from_env() -> Option<Result<Self, Error>> {
        let descriptor = inherited(FD_VARIABLE)?;
        Some(descriptor.and_then(Self::over))
    }

    fn over(descriptor: OwnedFd) -> Result<Self, Error> {
        let value = descriptor.as_raw_fd().to_string();
        let stream = StdUnixStream::from(descriptor);
        stream.local_addr().map_err(|error| Error::BadVariable {
            variable: FD_VARIABLE,
            value,
            reason: format!("which is not a Unix socket: {error}"),
        })?;
        Ok(Self::from_stream(stream)?)
    }

    /// The same over any stream.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn from_stream(stream: StdUnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            lines: Lines::default(),
            handed: VecDeque::new(),
            begun: Vec::new(),
            waiting: None,
            answers: VecDeque::new(),
            left_out: false,
            gone: false,
        })
    }

    /// Tells the tender. Never waits and never fails: see [`Tender`].
    pub fn report(&mut self, report: Report) {
        match report {
            Report::Answered { .. } => self.answer(&report),
            Report::Ready | Report::Busy { .. } | Report::Troubled { .. } | Report::Idle { .. } => {
                self.waiting = Some(report);
            }
        }
        // Past the runtime: it lets nothing be written before it has once seen the socket ready.
        self.write(|stream, line| Ok(rustix::io::write(stream, line)?));
    }

    fn answer(&mut self, report: &Report) {
        if self.answers.len() < ANSWERS {
            self.answers.push_back(report.encode());
        } else if !std::mem::replace(&mut self.left_out, true) {
            tracing::warn!(
                most = ANSWERS,
                ?report,
                "left out answers: the tender reads none"
            );
        }
    }

    /// The next order, and the descriptor that came with it; `None` once the tender is gone. May be cancelled: nothing
    /// is lost. Reports that found no room are written while this waits.
    ///
    /// A line that is no order is passed over: it comes from a newer tender, which counts on that.
    pub async fn order(&mut self) -> Option<(Ordered, Option<OwnedFd>)> {
        loop {
            let line = self.lines.next_line();
            let handed = self.handed();
            match line {
                Some(Ok(line)) => match Ordered::decode(&line) {
                    Ok(order) => return Some((order, handed)),
                    Err(error) => passed_over(&error),
                },
                Some(Err(error)) => passed_over(&error),
                None if self.gone => return None,
                None => self.wait().await,
            }
        }
    }

    /// What came with the line that was taken last: the last descriptor, if there are several.
    fn handed(&mut self) -> Option<OwnedFd> {
        let taken = self.lines.taken();
        let mut handed = None;
        while self.handed.front().is_some_and(|next| next.until <= taken) {
            handed = self.handed.pop_front().map(|next| next.descriptor);
        }
        handed
    }

    async fn wait(&mut self) {
        let unwritten =
            !self.begun.is_empty() || self.waiting.is_some() || !self.answers.is_empty();
        tokio::select! {
            _ = self.stream.readable() => self.read(),
            _ = self.stream.writable(), if unwritten => self.write(UnixStream::try_write),
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; READ];
        let stream = &self.stream;
        let received = stream.try_io(Interest::READABLE, || receive(stream, &mut bytes));
        match received {
            Ok((0, _)) => self.gone = true,
            Ok((n, descriptor)) => {
                self.lines.push(bytes.get(..n).unwrap_or_default());
                // The system ends a read where what was sent with a descriptor ends.
                let until = self.lines.pushed();
                self.handed
                    .extend(descriptor.map(|descriptor| Handed { descriptor, until }));
            }
            Err(error) => self.gone = !to_be_tried_again(&error),
        }
    }

    /// Writes what waits, as far as there is room, with a write that never blocks.
    fn write(&mut self, write: impl Fn(&UnixStream, &[u8]) -> io::Result<usize>) {
        loop {
            if self.begun.is_empty() {
                // An answer is not kept waiting.
                let answer = self.answers.pop_front();
                self.left_out &= answer.is_some();
                let latest = || self.waiting.take().map(|report| report.encode());
                let Some(line) = answer.or_else(latest) else {
                    return;
                };
                self.begun = line;
            }
            match write(&self.stream, &self.begun) {
                Ok(n) => drop(self.begun.drain(..n.min(self.begun.len()))),
                Err(error) if to_be_tried_again(&error) => return,
                // It is gone; that is noticed where it is read from, after its last orders.
                Err(_) => return self.begun.clear(),
            }
        }
    }
}

/// Reads what is there, without waiting, and the last of the descriptors that came with it. They are closed on exec.
/// One for which this process has no room does not come.
fn receive(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut handed = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = receive_message(stream, &mut [IoSliceMut::new(bytes)], &mut handed, flags)?;
    let descriptors = handed.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.last(),
        _ => None,
    });
    Ok((received.bytes, descriptors.last()))
}

/// The descriptor that this process was given, and whose number is in an environment variable; `None`
/// without the variable. To be called once, before anything is spawned: only from then on is the descriptor
/// closed on exec.
pub fn inherited(variable: &'static str) -> Option<Result<OwnedFd, Error>> {
    let value = env::var_os(variable)?;
    let value = value.to_string_lossy().into_owned();
    Some(owned(variable, &value))
}

fn owned(variable: &'static str, value: &str) -> Result<OwnedFd, Error> {
    let bad = |reason: String| Error::BadVariable {
        variable,
        value: value.to_owned(),
        reason,
    };
    let number: RawFd = value
        .parse()
        .ok()
        .filter(|number| *number > 2)
        .ok_or_else(|| bad("which is not the number of a descriptor above 2".to_owned()))?;
    fd::take_inherited(number).map_err(|error| bad(format!("which cannot be used: {error}")))
}

fn passed_over(error: &BadLine) {
    tracing::warn!(reason = error.to_string(), "order passed over");
}

fn to_be_tried_again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
