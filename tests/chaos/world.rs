//! The folder that all happens in, and every process that belongs to it.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};

use super::configuration::Settings;
use super::somebody::Somebody;

/// Every process of a world has its folder in this variable.
pub const WORLD_VARIABLE: &str = "TASKQUEUE_CHAOS";

/// The tube of called commands, and that of raw bodies.
pub const CALLS: &str = "calls";
pub const RAW: &str = "raw";
/// Another tube of raw bodies, which is not always tended.
pub const SPARE: &str = "spare";

/// The program, and that of the commands, in a world's folder.
const PROGRAM: &str = "bin/taskqueue";
const COMMANDS: &str = "bin/chaos";

pub struct World {
    folder: PathBuf,
    broker: String,
    /// Whose all processes of the world are.
    pub owner: Somebody,
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

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.pid, self.line)
    }
}

impl World {
    /// In an empty folder.
    pub fn new(folder: &Path, broker: String) -> World {
        let world = World {
            folder: folder.into(),
            broker,
            owner: Somebody::new(),
        };
        world.owner.owns(folder).unwrap();
        for name in ["log", "runs", "disk", "logs", "bin"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).unwrap();
            world.owner.owns(&folder).unwrap();
        }
        // Small ones are soon replaced.
        let originals = [
            (env!("CARGO_BIN_EXE_taskqueue").into(), PROGRAM),
            (std::env::current_exe().unwrap(), COMMANDS),
        ];
        for (original, copy) in originals {
            let copy = folder.join(copy);
            let is_copied =
                copied("strip", &["-o"], &copy, &original) || copied("cp", &[], &original, &copy);
            assert!(is_copied, "{} cannot be copied", original.display());
        }
        world.configure(&Settings::usual());
        world
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn store(&self) -> PathBuf {
        self.folder.join("disk").join("t.db")
    }

    /// Files of log that are on a disk of their own.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Where the sockets of tenders are.
    pub fn sockets(&self) -> PathBuf {
        self.folder.join("taskqueue")
    }

    /// Saves the configuration. Nobody finds half of one.
    pub fn configure(&self, settings: &Settings) {
        let command = self.folder.join(COMMANDS);
        for (name, text) in [
            ("taskqueue.toml", settings.calls(&command)),
            ("raw.toml", settings.raw(&command)),
        ] {
            let new = self.folder.join("new.toml");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.folder.join(name)).unwrap();
        }
    }

    /// Has other files where the programs were; the ones before go on without a name.
    pub fn replace_programs(&self) {
        for name in [PROGRAM, COMMANDS] {
            let (old, new) = (self.folder.join(name), self.folder.join("bin/new"));
            assert!(copied("cp", &[], &old, &new), "{name} cannot be copied");
            fs::rename(new, old).unwrap();
        }
    }

    /// The program with these arguments, about to run, with nothing of our environment but `PATH`.
    pub fn taskqueue(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join(PROGRAM));
        self.owner.becomes(&mut command);
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
            // Still ours, now that the handle keeps its number from being another's.
            .filter_map(|pid| self.process(pid))
            .collect()
    }

    /// One of them.
    pub fn process(&self, pid: Pid) -> Option<Process> {
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.has(pid).then(|| process(pid, handle))?
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

/// By another process: where we had the copy open to write to, whoever is just being forked would have it too, and who
/// is written to cannot be started.
fn copied(program: &str, flags: &[&str], first: &Path, second: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(flags).args([first, second]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
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
