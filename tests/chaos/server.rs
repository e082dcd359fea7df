//! A beanstalkd with a binlog that it may lose.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// How long it may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    port: u16,
    binlog: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// On a port of its own, with its binlog in this folder.
    pub fn start(folder: &Path) -> Server {
        let binlog = folder.join("binlog");
        fs::create_dir(&binlog).unwrap();
        let mut server = Server {
            port: free_port(),
            binlog,
            log: folder.join("log").join("beanstalkd"),
            child: None,
        };
        server.start_again();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_up(&self) -> bool {
        self.child.is_some()
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Loses all jobs. Only while it is down.
    pub fn forget(&mut self) {
        fs::remove_dir_all(&self.binlog).unwrap();
        fs::create_dir(&self.binlog).unwrap();
    }

    /// Starts it on its port and waits for its first answer.
    pub fn start_again(&mut self) {
        let begun = Instant::now();
        while self.child.is_none() {
            assert!(begun.elapsed() < PATIENCE, "beanstalkd does not start");
            self.child = self.spawn();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// None if it ended, as it does without its port. Syncing would matter only if the machine went down.
    fn spawn(&self) -> Option<Child> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log);
        let mut command = Command::new("beanstalkd");
        command
            .args(["-l", "127.0.0.1", "-p", &self.port.to_string(), "-F", "-b"])
            .arg(&self.binlog)
            .stdin(Stdio::null())
            .stderr(log.unwrap());
        // SAFETY: between fork and exec nothing but one system call is made.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let mut child = command.spawn().expect("beanstalkd is installed");
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if self.pid() == Some(child.id()) {
                return Some(child);
            }
            assert!(begun.elapsed() < PATIENCE, "beanstalkd does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Its own word for who it is: somebody else's server may have the port.
    fn pid(&self) -> Option<u32> {
        let said = self.ask("stats")?;
        said.lines()
            .find_map(|line| line.strip_prefix("pid: ")?.parse().ok())
    }

    /// How many jobs are buried.
    pub fn buried(&self) -> u64 {
        let said = self.ask("stats").expect("beanstalkd answers");
        let of = |line: &str| line.strip_prefix("current-jobs-buried: ")?.parse().ok();
        said.lines().find_map(of).expect("stats tells it")
    }

    /// One question on a connection of its own.
    pub fn ask(&self, question: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let lines = format!("{question}\r\nquit\r\n");
        stream.write_all(lines.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
