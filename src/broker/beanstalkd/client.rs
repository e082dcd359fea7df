//! Connects when needed, asks, and judges the answers.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{Connection, Failure, Trouble};
use super::settings::Settings;
use super::stats::Dictionary;
use super::wire::{Command, Malformed, Reply};
use crate::broker::{Error, Instance, InstanceId, JobId, Reservation};
use crate::errno;
use crate::thread::OneShot;
use crate::tube::TubeName;

/// The port that beanstalkd listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 11300;

/// Where a server listens; prints as `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

impl Address {
    fn new(host: &str, port: u16) -> Self {
        let inside = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        Self {
            host: inside.unwrap_or(host).to_owned(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a reply is not the one that was hoped for.
#[derive(Debug)]
pub(super) enum Unfit {
    /// A proper refusal; the connection is as good as before.
    Refused(Error),
    /// It made no sense.
    Nonsense(String),
}

impl From<Reply> for Unfit {
    /// The replies that no command hopes for. The server says that it has no memory, or no room on its
    /// disk, after it has read the whole command; everything else leaves open what it has read.
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::OutOfMemory => Self::Refused(Error::OutOfMemory),
            other => Self::Nonsense(other.word().to_owned()),
        }
    }
}

impl From<Malformed> for Unfit {
    fn from(malformed: Malformed) -> Self {
        Self::Nonsense(malformed.0)
    }
}

/// What a command makes of its reply.
pub(super) type Reading<T> = Result<T, Unfit>;

/// What must be so on the connection before a command is carried out.
#[derive(Debug, Clone, Copy)]
pub(super) enum First<'a> {
    /// Nothing.
    Nothing,
    /// This tube is in use.
    Use(&'a TubeName),
}

/// A session with a beanstalkd server, over one connection at a time.
///
/// It connects when first used, and again after an error. The connection remembers which tubes are
/// used and watched; a new one is told again, when a command needs it.
#[derive(Debug)]
pub struct Client {
    address: Address,
    settings: Settings,
    /// `None` before the first use, after an error, and while a call has it.
    connection: Option<Connection>,
    /// How many connections there have been.
    connections: u64,
}

impl Client {
    /// A client that has not connected yet, with the default [`Settings`].
    ///
    /// The host is a name or an address; an IPv6 address may be in brackets.
    pub fn new(host: &str, port: u16) -> Self {
        Self::with_settings(host, port, Settings::default())
    }

    /// A client that has not connected yet.
    pub fn with_settings(host: &str, port: u16, settings: Settings) -> Self {
        Self {
            address: Address::new(host, port),
            settings,
            connection: None,
            connections: 0,
        }
    }

    /// Asks one thing, with the usual patience.
    pub(super) async fn ask<T>(
        &mut self,
        first: First<'_>,
        command: Command<'_>,
        read: impl FnOnce(Reply) -> Reading<T>,
    ) -> Result<T, Error> {
        let connection = self.take_connection().await?;
        let patience = self.settings.answer_timeout;
        self.ask_on(connection, first, command, patience, read)
            .await
    }

    /// Asks one thing on a connection that was taken, and puts it back if all is well with it.
    pub(super) async fn ask_on<T>(
        &mut self,
        mut connection: Connection,
        first: First<'_>,
        command: Command<'_>,
        patience: Duration,
        read: impl FnOnce(Reply) -> Reading<T>,
    ) -> Result<T, Error> {
        let name = command.name();
        match first {
            First::Nothing => {}
            First::Use(tube) => connection.queue_use(tube),
        }
        connection.queue(command);
        let heard = self.hear(&mut connection, name, patience, read).await?;
        self.put_back(connection, name)?;
        heard
    }

    /// Reads the answer to the oldest command that has none. The outer error is the connection's end.
    pub(super) async fn hear<T>(
        &self,
        connection: &mut Connection,
        command: &'static str,
        patience: Duration,
        read: impl FnOnce(Reply) -> Reading<T>,
    ) -> Result<Result<T, Error>, Error> {
        let answer = connection.answer(command, patience).await;
        let reply = answer.map_err(|failure| self.error(failure))?;
        match read(reply) {
            Ok(value) => Ok(Ok(value)),
            Err(Unfit::Refused(error)) => Ok(Err(error)),
            Err(Unfit::Nonsense(said)) => Err(self.nonsense(command, said)),
        }
    }

    /// The connection, or a new one. It is the caller's until [`Client::put_back`].
    pub(super) async fn take_connection(&mut self) -> Result<Connection, Error> {
        // A server that restarted while nothing was asked of it has carried out nothing of what comes
        // now, so the new one can be asked without doubt.
        match self.connection.take().filter(Connection::is_quiet) {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// The connection, or a new one, and the instance of the server at its other end: asked once a connection.
    pub(super) async fn take_known_connection(
        &mut self,
    ) -> Result<(Connection, InstanceId), Error> {
        // A server that has ended must not be named, and the runtime may not have heard of its end yet.
        drop(self.connection.take_if(|current| !current.is_up()));
        let mut connection = self.take_connection().await?;
        if let Some(instance) = &connection.instance {
            let instance = instance.clone();
            return Ok((connection, instance));
        }
        connection.queue(Command::Stats);
        let (name, patience) = (Command::Stats.name(), self.settings.answer_timeout);
        let heard = self.hear(&mut connection, name, patience, about);
        match heard.await? {
            Ok(Instance { id, .. }) => {
                connection.instance = Some(id.clone());
                Ok((connection, id))
            }
            Err(refused) => {
                self.put_back(connection, name)?;
                Err(refused)
            }
        }
    }

    /// The connection that a reservation was made on, if it still is the client's.
    pub(super) fn take_connection_of(
        &mut self,
        id: JobId,
        number: u64,
    ) -> Result<Connection, Error> {
        let current = self.connection.take_if(|current| current.number == number);
        let quiet = current.filter(Connection::is_quiet);
        quiet.ok_or(Error::ReservationLost { id })
    }

    /// Ends a call that all went well with, as far as the connection is concerned.
    pub(super) fn put_back(
        &mut self,
        mut connection: Connection,
        command: &'static str,
    ) -> Result<(), Error> {
        connection
            .finish()
            .map_err(|trouble| self.error(Failure { command, trouble }))?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection, Error> {
        let limit = self.settings.connect_timeout;
        let target = (self.address.host.as_str(), self.address.port);
        let number = self.connections.saturating_add(1);
        let opened = match timeout(limit, connected(target)).await {
            Ok(Ok(stream)) => Connection::new(stream, number, &self.settings),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let reason = format!("no answer within {}s", limit.as_secs_f32());
                return Err(self.unreachable(reason));
            }
        };
        let connection = opened.map_err(|error| self.unreachable(errno::said(&error)))?;
        self.connections = number;
        Ok(connection)
    }

    pub(super) fn answer_timeout(&self) -> Duration {
        self.settings.answer_timeout
    }

    fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable {
            address: self.address.to_string(),
            reason,
        }
    }

    pub(super) fn nonsense(&self, command: &'static str, answer: String) -> Error {
        Error::Nonsense {
            address: self.address.to_string(),
            command,
            answer,
        }
    }

    /// Words for what ended a connection.
    pub(super) fn error(&self, failure: Failure) -> Error {
        let Failure { command, trouble } = failure;
        let address = self.address.to_string();
        match trouble {
            Trouble::Lost(error) => Error::ConnectionLost {
                address,
                command,
                reason: errno::said(&error),
            },
            Trouble::Silence(after) => Error::NoAnswer {
                address,
                command,
                after,
            },
            Trouble::Nonsense(answer) => self.nonsense(command, answer),
            Trouble::OutOfMemory => Error::OutOfMemory,
        }
    }
}

/// A job that was reserved on the connection of that number.
pub(super) fn reservation(connection: u64, (id, body): (JobId, Bytes)) -> Reservation {
    Reservation {
        id,
        body,
        connection,
    }
}

pub(super) fn is_deleted(reply: Reply) -> Reading<()> {
    match reply {
        Reply::Deleted => Ok(()),
        other => Err(not_found_or(other)),
    }
}

pub(super) fn not_found_or(reply: Reply) -> Unfit {
    match reply {
        Reply::NotFound => Unfit::Refused(Error::NotFound),
        other => other.into(),
    }
}

/// What a server says of itself, as far as every broker says it.
pub(super) fn about(reply: Reply) -> Reading<Instance> {
    match reply {
        Reply::Data(data) => Ok(Instance::try_from(&Dictionary::parse(&data)?)?),
        other => Err(other.into()),
    }
}

/// The job in a peek's answer.
pub(super) fn found(reply: Reply) -> Reading<Option<(JobId, Bytes)>> {
    match reply {
        Reply::Found(id, body) => Ok(Some((id, body))),
        Reply::NotFound => Ok(None),
        other => Err(other.into()),
    }
}

/// Connects. A name is looked up on a thread of its own, for that blocks; the runtime's look-up panics where no thread
/// is to be had.
async fn connected((host, port): (&str, u16)) -> io::Result<TcpStream> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return TcpStream::connect((address, port)).await;
    }
    let named = (host.to_owned(), port);
    let thread = OneShot::start("look-up").map_err(io::Error::other)?;
    let found = thread.run(move || named.to_socket_addrs()).await;
    let found: Vec<_> = found.map_err(io::Error::other)??.collect();
    TcpStream::connect(found.as_slice()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_host_and_port() {
        let table = [
            ("localhost", "localhost:1"),
            ("127.0.0.1", "127.0.0.1:1"),
            ("::1", "[::1]:1"),
            ("[::1]", "[::1]:1"),
        ];
        for (host, expected) in table {
            assert_eq!(Address::new(host, 1).to_string(), expected);
        }
    }
}
