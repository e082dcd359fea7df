//! A server that does what it is told, and nothing that a real one would.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use taskqueue::broker::beanstalkd::{Client, Settings};

/// How one connection goes: what the server does, step by step. Then it hangs up.
#[derive(Default)]
pub struct Session(Vec<Step>);

enum Step {
    Expect(String),
    Swallow(usize),
    Send(Vec<u8>),
    Trickle(Vec<u8>),
    Pause(Duration),
    Hang,
}

impl Session {
    /// A connection on which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a line, which must be this one.
    pub fn expect(self, line: &str) -> Self {
        self.then(Step::Expect(format!("{line}\r\n")))
    }

    /// Reads so many bytes, whatever they are.
    pub fn swallow(self, count: usize) -> Self {
        self.then(Step::Swallow(count))
    }

    /// Sends these bytes.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends these bytes, each in a packet of its own.
    pub fn trickle(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Trickle(bytes.as_ref().to_vec()))
    }

    /// Does nothing for a while.
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Does nothing more until the client hangs up.
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    fn play(self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for step in self.0 {
            play_step(step, &mut reader, &stream);
        }
    }
}

fn play_step(step: Step, reader: &mut BufReader<TcpStream>, mut stream: &TcpStream) {
    match step {
        Step::Expect(expected) => {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, expected, "the client said something else");
        }
        Step::Swallow(count) => {
            let mut swallowed = vec![0; count];
            reader.read_exact(&mut swallowed).unwrap();
        }
        Step::Send(bytes) => may_be_cut(stream.write_all(&bytes)),
        Step::Trickle(bytes) => {
            for byte in bytes {
                may_be_cut(stream.write_all(&[byte]));
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Step::Pause(time) => std::thread::sleep(time),
        Step::Hang => may_be_cut(reader.read_to_end(&mut Vec::new()).map(drop)),
    }
}

/// A client that has heard enough hangs up in the middle.
fn may_be_cut(result: std::io::Result<()>) {
    let cut = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    if let Err(error) = result {
        assert!(cut.contains(&error.kind()), "{error}");
    }
}

/// Plays one [`Session`] a connection, in order.
pub struct FakeServer {
    port: u16,
    thread: std::thread::JoinHandle<()>,
}

impl FakeServer {
    /// Listens. After the last session it accepts nobody.
    pub fn start(sessions: Vec<Session>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            for session in sessions {
                let (stream, _) = listener.accept().unwrap();
                session.play(stream);
            }
        });
        Self { port, thread }
    }

    /// A client of this server; it waits `answer_timeout` for an answer and takes 1,000 bytes of body.
    pub fn client(&self, answer_timeout: Duration) -> Client {
        let settings = Settings {
            answer_timeout,
            max_reply_body: 1000,
            ..Settings::default()
        };
        Client::with_settings("127.0.0.1", self.port, settings)
    }

    /// Its address, as errors name it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until every session was played, and says what went wrong in them.
    pub fn finish(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
