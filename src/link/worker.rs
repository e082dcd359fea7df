//! The tender's end of the link to a worker.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::slice;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::lines::Lines;
use super::word::{BadLine, Order, Ordered, Report, Ticket};

/// As much as one read takes.
const READ: usize = 1024;

/// A worker, as its tender hears it and speaks to it.
#[derive(Debug)]
pub struct Worker {
    /// What it says.
    pub reports: Reports,
    /// What it is told.
    pub orders: Orders,
}

impl Worker {
    /// A link: our end, and the descriptor for the worker, which is closed on exec until the one who
    /// spawns the worker changes that. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        let worker = Self {
            reports: Reports {
                stream: read,
                lines: Lines::default(),
            },
            orders: Orders {
                stream: write,
                latest: Ticket(0),
            },
        };
        Ok((worker, theirs.into()))
    }
}

/// What a worker says.
#[derive(Debug)]
pub struct Reports {
    stream: OwnedReadHalf,
    lines: Lines,
}

impl Reports {
    /// The next report; `None` once the worker has closed its end. May be cancelled: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Report, BadLine>> {
        loop {
            if let Some(report) = self.taken() {
                return Some(report);
            }
            self.stream.readable().await.ok()?;
            self.read()?;
        }
    }

    /// What has arrived already, without waiting for more: a worker's last words, once it is dead.
    pub fn arrived(&mut self) -> Option<Result<Report, BadLine>> {
        loop {
            if let Some(report) = self.taken() {
                return Some(report);
            }
            if self.read()? == 0 {
                return None;
            }
        }
    }

    fn taken(&mut self) -> Option<Result<Report, BadLine>> {
        let line = self.lines.next_line()?;
        Some(line.and_then(|line| Report::decode(&line)))
    }

    /// How many bytes came; 0 if there are none for now, `None` if there will be none.
    fn read(&mut self) -> Option<usize> {
        let mut bytes = [0; READ];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => None,
            Ok(n) => {
                self.lines.push(bytes.get(..n).unwrap_or_default());
                Some(n)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Some(0),
                // A worker that died with orders unread resets the connection.
                _ => None,
            },
        }
    }
}

/// What a worker is told.
#[derive(Debug)]
pub struct Orders {
    stream: OwnedWriteHalf,
    latest: Ticket,
}

impl Orders {
    /// Writes an order without waiting, and says by which ticket it is answered. A worker gets a handful in its life,
    /// and the socket holds hundreds.
    ///
    /// # Errors
    /// When the worker is gone, or has left so many orders unread that there is no room.
    pub fn send(&mut self, order: Order) -> io::Result<Ticket> {
        self.send_with(order, None)
    }

    /// The same, with a descriptor, of which the worker gets one of its own. Whoever reads lines alone gets none.
    ///
    /// # Errors
    /// As [`Orders::send`].
    pub fn send_with(
        &mut self,
        order: Order,
        handed: Option<BorrowedFd<'_>>,
    ) -> io::Result<Ticket> {
        let ticket = Ticket(self.latest.0.saturating_add(1));
        let line = Ordered {
            order,
            ticket: Some(ticket),
        }
        .encode();
        // Past the runtime: it lets nothing be written before it has once seen the socket ready.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut handing = SendAncillaryBuffer::new(&mut space);
        if let Some(handed) = &handed {
            // There is room for the one.
            handing.push(SendAncillaryMessage::ScmRights(slice::from_ref(handed)));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let words = [IoSlice::new(&line)];
        let sent = sendmsg(self.stream.as_ref(), &words, &mut handing, flags)?;
        // Of a line this short, a socket takes all or nothing.
        if sent != line.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.latest = ticket;
        Ok(ticket)
    }
}
