//! The folder that all happens in, and every process that belongs to it.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};

use super::task::Kind;

/// Every process of a world has its folder in this variable.
pub const WORLD_VARIABLE: &str = "TASKQUEUE_CHAOS";

/// The tube of called commands, and that of raw bodies.
pub const CALLS: &str = "calls";
pub const RAW: &str = "raw";

pub struct World {
    folder: PathBuf,
    broker: String,
}

/// What a process of the world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Tender,
    Worker,
    /// Whoever ends the commands of a tender and workers that were killed together.
    Guard,
    Put,
    Command,
    /// One that a command left behind.
    Child,
    Other,
}

/// A process of the world, as it was a moment ago.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: Pid,
    pub parent: i32,
    pub role: Role,
    pub line: String,
    handle: Arc<OwnedFd>,
}

impl Process {
    /// Sends it a signal; false if it is gone. Nobody else can have its number: the handle is of this one.
    pub fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.handle, signal).is_ok()
    }
}

impl World {
    /// In an empty folder.
    pub fn new(folder: &Path, broker: String) -> World {
        for name in ["log", "runs", "disk"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let world = World {
            folder: folder.into(),
            broker,
        };
        fs::write(folder.join("taskqueue.toml"), world.configuration()).unwrap();
        world
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn store(&self) -> PathBuf {
        self.folder.join("disk").join("t.db")
    }

    fn configuration(&self) -> String {
        let ourselves = std::env::current_exe().unwrap();
        let run = |more: &str| format!("run = [{ourselves:?}, \"--task\"{more}]\n");
        let mut text = format!("[tubes.{RAW}]\ncommand = \"raw\"\n");
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Refused) {
            let name = kind.command();
            text += &format!("[commands.{name:?}]\n{}{}", run(""), kind.settings());
        }
        text += &format!("[commands.raw]\n{}{}", run(""), Kind::Quick.settings());
        text
    }

    /// The program with these arguments, about to run, with nothing of our environment but `PATH`.
    pub fn taskqueue(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taskqueue"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &self.folder)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env(WORLD_VARIABLE, &self.folder)
            .env("TASKQUEUE_BROKER", &self.broker)
            .env("TASKQUEUE_STORE", self.store())
            .env("TASKQUEUE_LOG", "debug")
            .env("TASKQUEUE_LOG_FORMAT", "json")
            .stdin(Stdio::null());
        // Should we be killed, all that we started ends as it would at a TERM.
        // SAFETY: between fork and exec nothing but one system call is made.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
        }
        command
    }

    /// Starts the program with what it says appended to a log.
    pub fn start(&self, log: &str, arguments: &[&str]) -> Child {
        let mut command = self.taskqueue(arguments);
        command.stdout(self.log(log)).stderr(self.log(log));
        command.spawn().unwrap()
    }

    pub fn log(&self, name: &str) -> File {
        let path = self.folder.join("log").join(name);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
    }

    /// Every living process that carries the world's name.
    pub fn processes(&self) -> Vec<Process> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Pid::from_raw)
            .filter(|pid| self.has(*pid))
            .filter_map(|pid| {
                let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
                // Still ours, now that the handle keeps its number from being another's.
                self.has(pid).then(|| process(pid, handle))?
            })
            .collect()
    }

    fn has(&self, pid: Pid) -> bool {
        let folder = self.folder.as_os_str().as_bytes();
        let mark = [WORLD_VARIABLE.as_bytes(), b"=", folder].concat();
        read(pid, "environ")
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark)
    }

    /// Those of a role.
    pub fn all(&self, role: Role) -> Vec<Process> {
        let mut all = self.processes();
        all.retain(|process| process.role == role);
        all
    }

    /// Waits until nobody is left, and returns who is.
    pub fn wait_for_end(&self, patience: Duration) -> Vec<Process> {
        let begun = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() || begun.elapsed() > patience {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whatever happened, nothing is left running.
impl Drop for World {
    fn drop(&mut self) {
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for process in left {
                process.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read(pid: Pid, file: &str) -> Vec<u8> {
    fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero())).unwrap_or_default()
}

/// None for one that is no more than a number waiting to be reaped.
fn process(pid: Pid, handle: OwnedFd) -> Option<Process> {
    let stat = String::from_utf8_lossy(&read(pid, "stat")).into_owned();
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let line = String::from_utf8_lossy(&read(pid, "cmdline")).into_owned();
    let mut words = line.split('\0');
    let role = match (words.next(), words.next()) {
        (Some(taskqueue::guard::NAME), _) => Role::Guard,
        (_, word) => role(word),
    };
    (state != "Z" && state != "X").then(|| Process {
        pid,
        parent,
        role,
        line: line.replace('\0', " "),
        handle: Arc::new(handle),
    })
}

fn role(subcommand: Option<&str>) -> Role {
    match subcommand {
        Some("tender") => Role::Tender,
        Some("worker") => Role::Worker,
        Some("put") => Role::Put,
        Some("--task") => Role::Command,
        Some("--child") => Role::Child,
        Some(_) | None => Role::Other,
    }
}
