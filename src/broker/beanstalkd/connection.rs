//! One TCP connection, and what the server remembers of it.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::Settings;
use super::wire::{Command, Decoder, Reply, excerpt};
use crate::broker::InstanceId;
use crate::tube::TubeName;

/// How much room is made before each read.
const READ_CHUNK: usize = 16 * 1024;

/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_BUFFER: usize = 1024 * 1024;

/// Why a connection is of no more use.
#[derive(Debug)]
pub enum Trouble {
    /// The system said so, or the server hung up.
    Lost(io::Error),
    /// Nothing came or went for that long.
    Silence(Duration),
    /// What came made no sense; cut and escaped.
    Nonsense(String),
    /// The server has no memory for what goes before the command.
    OutOfMemory,
}

/// A [`Trouble`] and the command it happened to.
#[derive(Debug)]
pub struct Failure {
    /// The command's first word.
    pub command: &'static str,
    /// What happened.
    pub trouble: Trouble,
}

/// One connection. Every error leaves it useless: the owner drops it.
#[derive(Debug)]
pub struct Connection {
    /// Counted from 1 within a client: reservations carry it.
    pub number: u64,
    /// The instance of the server at its other end, once that was asked.
    pub instance: Option<InstanceId>,
    stream: TcpStream,
    decoder: Decoder,
    /// Read and not yet decoded.
    input: BytesMut,
    /// Queued and not yet written.
    output: BytesMut,
    /// Answers that come before the one to the next command.
    owed: VecDeque<&'static str>,
    used: TubeName,
    watched: BTreeSet<TubeName>,
    answer_timeout: Duration,
}

impl Connection {
    /// Wraps a stream that was just connected.
    pub fn new(stream: TcpStream, number: u64, settings: &Settings) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            number,
            instance: None,
            stream,
            decoder: Decoder::new(settings.max_reply_body),
            input: BytesMut::new(),
            output: BytesMut::new(),
            owed: VecDeque::new(),
            // What every new connection uses and watches (protocol, "Job Lifecycle").
            used: TubeName::default(),
            watched: BTreeSet::from([TubeName::default()]),
            answer_timeout: settings.answer_timeout,
        })
    }

    /// Nothing came while nothing was asked: neither the end of the stream nor words out of turn.
    ///
    /// Only what the runtime has noticed counts, so this may be wrong about a connection that broke
    /// this instant.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        self.input.is_empty() && read.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same asked of the kernel, which knows of a server's end before the runtime has looked.
    pub fn is_up(&self) -> bool {
        let mut stream = [PollFd::new(&self.stream, PollFlags::IN)];
        let now = Some(&rustix::time::Timespec::default());
        self.is_quiet() && poll(&mut stream, now) == Ok(0)
    }

    /// Queues a command; its answer is read with [`Connection::answer`].
    pub fn queue(&mut self, command: Command<'_>) {
        command.encode(&mut self.output);
    }

    /// Queues what makes `tube` the one in use, if it is not.
    pub fn queue_use(&mut self, tube: &TubeName) {
        if self.used != *tube {
            self.queue_before(Command::Use(tube));
            self.used.clone_from(tube);
        }
    }

    /// Queues what makes `tubes` the ones that are reserved from, as far as they are not.
    pub fn queue_watch(&mut self, tubes: &[TubeName]) {
        // Watch first: the last watched tube cannot be ignored.
        for tube in tubes {
            if !self.watched.contains(tube) {
                self.queue_before(Command::Watch(tube));
                self.watched.insert(tube.clone());
            }
        }
        let is_surplus = |tube: &&TubeName| !tubes.contains(tube);
        let surplus: Vec<TubeName> = self.watched.iter().filter(is_surplus).cloned().collect();
        for tube in &surplus {
            self.queue_before(Command::Ignore(tube));
            self.watched.remove(tube);
        }
    }

    fn queue_before(&mut self, command: Command<'_>) {
        self.owed.push_back(command.name());
        self.queue(command);
    }

    /// Writes what is queued and reads the answer to the oldest command that has none, after the
    /// answers to what was queued before it. The server may take `patience` to begin with it.
    pub async fn answer(
        &mut self,
        command: &'static str,
        patience: Duration,
    ) -> Result<Reply, Failure> {
        while let Some(command) = self.owed.pop_front() {
            let fail = |trouble| Failure { command, trouble };
            let reply = self.next_reply(self.answer_timeout).await.map_err(fail)?;
            match reply {
                Reply::Using(_) | Reply::Watching(_) => {}
                Reply::OutOfMemory => return Err(fail(Trouble::OutOfMemory)),
                other => return Err(fail(Trouble::Nonsense(other.word().to_owned()))),
            }
        }
        let fail = |trouble| Failure { command, trouble };
        self.next_reply(patience).await.map_err(fail)
    }

    /// Everything that was asked has been answered: nothing may be left over.
    pub fn finish(&mut self) -> Result<(), Trouble> {
        if !self.input.is_empty() {
            let said = excerpt(&self.input);
            return Err(Trouble::Nonsense(format!("{said} after its answer")));
        }
        for buffer in [&mut self.input, &mut self.output] {
            if buffer.capacity() > KEPT_BUFFER {
                *buffer = BytesMut::new();
            }
        }
        Ok(())
    }

    /// Reads a reply, and writes meanwhile: if both sides only wrote, both would wait for ever as
    /// soon as the sockets' buffers are full.
    async fn next_reply(&mut self, patience: Duration) -> Result<Reply, Trouble> {
        loop {
            let decoded = self.decoder.decode(&mut self.input);
            if let Some(reply) = decoded.map_err(|malformed| Trouble::Nonsense(malformed.0))? {
                return Ok(reply);
            }
            let begun = self.decoder.is_inside_reply() || !self.input.is_empty();
            let limit = if begun { self.answer_timeout } else { patience };
            match timeout(limit, self.progress()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Trouble::Lost(error)),
                Err(_) => return Err(Trouble::Silence(limit)),
            }
        }
    }

    /// Waits until at least a byte has come or gone.
    async fn progress(&mut self) -> io::Result<()> {
        self.input.reserve(READ_CHUNK);
        let (mut reader, mut writer) = self.stream.split();
        tokio::select! {
            // Reading first: what the server said before it hung up is heard, although nothing can be
            // written to it any more.
            biased;
            read = reader.read_buf(&mut self.input) => match read? {
                0 => Err(hung_up()),
                _ => Ok(()),
            },
            written = writer.write(&self.output), if !self.output.is_empty() => {
                self.output.advance(written?);
                Ok(())
            }
        }
    }
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the broker hung up")
}
