//! The end of whoever asks. It blocks, with limits.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::{Answer, Error, MAX_ANSWER, Request};
use crate::errno;

/// How long a tender may take to answer. Its loop never waits, so one that takes longer is stopped or stuck.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries to connect where too many wait to be let in.
const PAUSE: Duration = Duration::from_millis(20);

/// Connects to a socket. Where too many wait there to be let in, the system would wait for ever (unix(7)); this does so
/// for as long as `patience`, and then says `WouldBlock`.
pub(super) fn connect_within(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let begun = Instant::now();
    let address = SocketAddrUnix::new(socket)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let opened = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match connect(&opened, &address) {
            Ok(()) => break,
            Err(Errno::AGAIN) if begun.elapsed() < patience => thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(opened);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A connection to a tender.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    patience: Duration,
}

impl Client {
    /// Connects to a tender that may take so long to answer; [`PATIENCE`] is enough for one that is well.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(socket: &Path, patience: Duration) -> Result<Client, Error> {
        match connect_within(socket, patience) {
            Ok(stream) => Ok(Client {
                socket: socket.to_owned(),
                stream: BufReader::new(stream),
                patience,
            }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::NoAnswer {
                socket: socket.to_owned(),
                reason: late(patience),
            }),
            Err(source) => Err(Error::Connect {
                socket: socket.to_owned(),
                source,
            }),
        }
    }

    /// Asks the one question of this connection.
    ///
    /// # Errors
    /// When no answer comes, or one that we do not know.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, Error> {
        let line = self.exchange(request).map_err(|error| Error::NoAnswer {
            socket: self.socket.clone(),
            reason: match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(self.patience),
                io::ErrorKind::UnexpectedEof => "it went away".to_owned(),
                _ => errno::said(&error),
            },
        })?;
        serde_json::from_slice(&line).map_err(|error| Error::Nonsense {
            socket: self.socket.clone(),
            reason: error.to_string(),
        })
    }

    /// The whole of it takes no longer than the patience, however slowly the answer drips.
    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let begun = Instant::now();
        let patience = self.patience;
        let left = || Some(patience.saturating_sub(begun.elapsed())).filter(|left| !left.is_zero());
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_ref().set_write_timeout(Some(patience))?;
        self.stream.get_mut().write_all(&line)?;
        let mut answer = Vec::new();
        loop {
            let left = left().ok_or(io::ErrorKind::TimedOut)?;
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let some = match self.stream.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(some) => some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = some.iter().position(|byte| *byte == b'\n');
            let piece = end.map_or(some.len(), |end| end.saturating_add(1));
            answer.extend(some.iter().take(piece));
            self.stream.consume(piece);
            if end.is_some() {
                return Ok(answer);
            }
            if answer.len() >= MAX_ANSWER {
                let reason = format!("no line of at most {MAX_ANSWER} bytes came");
                return Err(io::Error::other(reason));
            }
        }
    }

    /// Waits, after [`Answer::Stopping`], until the tender's process is gone. False if it is not by then; without
    /// `until` it waits however long that takes.
    pub fn wait_for_end(&mut self, until: Option<Instant>) -> bool {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero())
                || self.stream.get_ref().set_read_timeout(left).is_err()
            {
                return false;
            }
            match self.stream.fill_buf() {
                Ok([]) => return true,
                Ok(some) => {
                    let n = some.len();
                    self.stream.consume(n);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut => {}
                    // One that dies with something unread resets the connection.
                    _ => return true,
                },
            }
        }
    }
}

fn late(patience: Duration) -> String {
    format!("none within {}s; is it stopped?", patience.as_secs())
}
