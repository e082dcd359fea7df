//! The end of whoever asks. It blocks, with limits.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Answer, Error, MAX_ANSWER, Request};

/// How long a tender may take to answer. Its loop never waits, so one that takes longer is stopped or stuck.
pub const PATIENCE: Duration = Duration::from_secs(10);

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
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Client {
                socket: socket.to_owned(),
                stream: BufReader::new(stream),
                patience,
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
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    format!("none within {}s; is it stopped?", self.patience.as_secs())
                }
                io::ErrorKind::UnexpectedEof => "it went away".to_owned(),
                _ => error.to_string(),
            },
        })?;
        serde_json::from_slice(&line).map_err(|error| Error::Nonsense {
            socket: self.socket.clone(),
            reason: error.to_string(),
        })
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        self.stream
            .get_ref()
            .set_read_timeout(Some(self.patience))?;
        let mut answer = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_ANSWER);
        limited.read_until(b'\n', &mut answer)?;
        match answer.last() {
            Some(b'\n') => Ok(answer),
            Some(_) | None => Err(io::ErrorKind::UnexpectedEof.into()),
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
