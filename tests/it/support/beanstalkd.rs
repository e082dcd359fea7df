//! A real beanstalkd for one test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beanstalkc::Beanstalkc;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use taskqueue::broker::beanstalkd::{Client, Settings};
use tempfile::TempDir;

use super::PATIENCE;

/// A server on the loopback, gone when dropped.
///
/// It also dies with the *thread* that started it, so that a test that is killed leaves nothing
/// behind; start it on the test's own thread.
pub struct Beanstalkd {
    port: u16,
    args: Vec<String>,
    child: Child,
    /// Removed when the server is gone.
    _binlog: Option<TempDir>,
}

impl Beanstalkd {
    /// A server that keeps its jobs in memory.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with more arguments on its command line.
    pub fn start_with(args: &[&str]) -> Self {
        Self::start_in(None, args)
    }

    /// A server with a binlog: its jobs survive [`Beanstalkd::restart`]. It never syncs, which would
    /// only matter if the machine went down.
    pub fn with_binlog() -> Self {
        let binlog = TempDir::new().unwrap();
        let path = binlog.path().to_str().unwrap().to_owned();
        Self::start_in(Some(binlog), &["-b", &path, "-F"])
    }

    fn start_in(binlog: Option<TempDir>, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        // Somebody else may take the port between our looking for it and the server's taking it.
        for _ in 0..20 {
            let port = free_port();
            if let Some(child) = spawn(port, &args) {
                return Self {
                    port,
                    args,
                    child,
                    _binlog: binlog,
                };
            }
        }
        panic!("beanstalkd found no port to listen on");
    }

    /// The port on 127.0.0.1 that it listens on. It stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The broker's address as the command line takes it.
    #[allow(dead_code, reason = "for tests of the command line")]
    pub fn url(&self) -> String {
        format!("beanstalk://127.0.0.1:{}", self.port)
    }

    /// A client of this server that has not connected yet.
    pub fn client(&self) -> Client {
        Client::new("127.0.0.1", self.port)
    }

    /// A client of this server that waits for an answer so long and no longer.
    pub fn client_with(&self, answer_timeout: Duration) -> Client {
        let settings = Settings {
            answer_timeout,
            ..Settings::default()
        };
        Client::with_settings("127.0.0.1", self.port, settings)
    }

    /// A client that is not ours, connected.
    pub fn other(&self) -> Beanstalkc {
        let other = Beanstalkc::new().host("127.0.0.1").port(self.port);
        other.connect().unwrap()
    }

    /// A number that it tells of itself. To ask is a connection and a `stats` more.
    pub fn counts(&self, name: &str) -> u64 {
        self.other().stats().unwrap()[name].parse().unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it. It can be restarted.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it, if it lives, and starts it again on the same port, with its binlog if it has one.
    pub fn restart(&mut self) {
        self.kill();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(child) = spawn(self.port, &self.args) {
                self.child = child;
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("beanstalkd did not get port {} again", self.port);
    }
}

impl Drop for Beanstalkd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a server and waits until it answers; `None` if it ended, as it does without its port.
fn spawn(port: u16, args: &[String]) -> Option<Child> {
    let mut command = Command::new("beanstalkd");
    command
        .args(["-l", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: between fork and exec nothing but one system call is made.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let mut child = command.spawn().expect("beanstalkd is installed");
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        // Asking for its process id: on the same port somebody else's server may answer.
        if pid_of_server(port) == Some(child.id()) {
            return Some(child);
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("beanstalkd on port {port} did not answer");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

fn pid_of_server(port: u16) -> Option<u32> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"stats\r\nquit\r\n").ok()?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok()?;
    let said = String::from_utf8(said).ok()?;
    said.lines()
        .find_map(|line| line.strip_prefix("pid: ")?.parse().ok())
}
