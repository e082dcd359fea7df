//! A beanstalkd that keeps its jobs in memory, and a connection to it that is not our client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Gone when dropped.
pub struct Server {
    port: u16,
    child: Child,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        Server {
            port,
            child: serve(port),
        }
    }

    /// Ends it, and starts another in its place that knows of nothing.
    pub fn forget(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = serve(self.port);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("beanstalk://127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> Session {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Session(BufReader::new(stream))
    }
}

/// Starts one, and waits until it answers.
fn serve(port: u16) -> Child {
    let child = Command::new("beanstalkd")
        .args(["-l", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .expect("beanstalkd is installed");
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "beanstalkd does not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Session(BufReader<TcpStream>);

impl Session {
    fn say(&mut self, words: &str) -> String {
        self.0.get_mut().write_all(words.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    pub fn use_tube(&mut self, tube: &str) {
        assert!(self.say(&format!("use {tube}\r\n")).starts_with("USING"));
    }

    pub fn put(&mut self, body: &str) {
        let said = self.say(&format!("put 1024 0 60 {}\r\n{body}\r\n", body.len()));
        assert!(said.starts_with("INSERTED"), "{said}");
    }

    /// Numbers of the server's, or of a tube's. None if there is no such tube.
    fn numbers<const N: usize>(&mut self, command: &str, names: [&str; N]) -> Option<[u64; N]> {
        let said = self.say(&format!("{command}\r\n"));
        let length: usize = said.strip_prefix("OK ")?.trim_end().parse().unwrap();
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap().parse().unwrap()
        };
        Some(names.map(value))
    }

    /// Clients that wait for a job of a tube.
    pub fn waiting(&mut self, tube: &str) -> u64 {
        let waiting = self.numbers(&format!("stats-tube {tube}"), ["current-waiting"]);
        waiting.map_or(0, |[waiting]| waiting)
    }

    /// How often anybody has asked for a job, since it was started.
    pub fn reserves(&mut self) -> u64 {
        let asked = self.numbers("stats", ["cmd-reserve-with-timeout"]);
        asked.map_or(0, |[asked]| asked)
    }

    /// Jobs that are in a tube, wherever they stand.
    pub fn jobs(&mut self, tube: &str) -> u64 {
        self.jobs_in(tube, ["ready", "reserved", "delayed", "buried"])
    }

    /// The same without those that were set aside.
    pub fn jobs_left(&mut self, tube: &str) -> u64 {
        self.jobs_in(tube, ["ready", "reserved", "delayed"])
    }

    fn jobs_in<const N: usize>(&mut self, tube: &str, states: [&str; N]) -> u64 {
        let names = states.map(|state| format!("current-jobs-{state}"));
        let counts = self.numbers(
            &format!("stats-tube {tube}"),
            names.each_ref().map(String::as_str),
        );
        counts.map_or(0, |counts| counts.iter().sum())
    }
}
