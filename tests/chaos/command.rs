//! What the commands do: this same program, started by a worker as `chaos --task KEY`.
//!
//! Each locks the file of its task for as long as any of its processes lives, and writes into it what it does.
//! Whoever finds the file locked by a living process has found two attempts at once.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, getpid, kill_process, setsid};

use super::journal::{self, Line, Moment, What};
use super::task::{Key, Kind};
use super::world::WORLD_VARIABLE;

/// How long a child lives that a task that is done leaves behind.
pub const STAYS: Duration = Duration::from_secs(3);
/// And one of an attempt that failed: longer than any run would wait for it.
const WOULD_STAY: Duration = Duration::from_secs(600);
/// What should be ended by others first.
const TOO_LONG: Duration = Duration::from_secs(600);

/// Runs a task's command; its exit code. Without a key it is in the first line of what it reads.
pub fn run(key: Option<&str>) -> i32 {
    let key: Key = match key {
        Some(key) => key.parse().unwrap(),
        None => read_key().parse().unwrap(),
    };
    let key = key.of(task());
    let mut run = Run::begin(&key);
    let code = run.work(key.kind);
    run.tell(What::End(code));
    code
}

/// The child that a command left behind, with the task's file open.
pub fn child(descriptor: &str, milliseconds: &str) -> i32 {
    ignore_term();
    let journal = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
    let path = fs::read_link(&journal).unwrap();
    sleep(Duration::from_millis(milliseconds.parse().unwrap()));
    // Through a descriptor of its own: the inherited one is there for its lock.
    let mut run = Run {
        file: OpenOptions::new().append(true).open(path).unwrap(),
    };
    run.tell(What::ChildEnd);
    0
}

/// The task's number in the store, as the command is told.
fn task() -> i64 {
    let number = std::env::var("TASKQUEUE_TASK_ID");
    number.unwrap().parse().unwrap()
}

/// The rest of a body is noise.
fn read_key() -> String {
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body).unwrap();
    let line = body.split(|byte| *byte == b'\n').next().unwrap();
    String::from_utf8(line.to_vec()).unwrap()
}

struct Run {
    /// Locked, and open in every child.
    file: File,
}

impl Run {
    fn begin(key: &Key) -> Run {
        let world = std::env::var_os(WORLD_VARIABLE).unwrap();
        let path = journal::path(Path::new(&world), key);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        let mut run = Run { file };
        // A process that has begun to go closes its files one after the other: the attempt's lock may be free
        // a moment before ours is. It has no files any more when one looks, and that is no overlap.
        let mut told = false;
        while let Err(TryLockError::WouldBlock) = run.file.try_lock() {
            if let Some(holder) = holder(&run.file)
                && !told
            {
                told = true;
                run.tell(What::Overlap(holder));
            }
            if told {
                break;
            }
        }
        run.tell(What::Begin);
        run
    }

    /// One write, so that lines of several processes stay whole.
    fn tell(&mut self, what: What) {
        let variable = |name| std::env::var(name).unwrap().parse().unwrap();
        let line = Line {
            at: Moment::now(),
            pid: std::process::id(),
            task: variable("TASKQUEUE_TASK_ID"),
            attempt: variable("TASKQUEUE_ATTEMPT"),
            what,
        };
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn work(&mut self, kind: Kind) -> i32 {
        match kind {
            Kind::Quick | Kind::Scheduled => 0,
            Kind::Slow => {
                sleep(Duration::from_millis(
                    300 + u64::from(std::process::id()) % 2200,
                ));
                0
            }
            Kind::Flaky => self.fail_twice(),
            Kind::Failing => 65,
            Kind::Leaving => {
                sleep(Duration::from_millis(100));
                self.leave(STAYS);
                0
            }
            Kind::Forking => {
                sleep(Duration::from_millis(100));
                match self.fail_twice() {
                    0 => 0,
                    code => {
                        self.leave(WOULD_STAY);
                        code
                    }
                }
            }
            Kind::Printing => {
                print_much();
                0
            }
            Kind::Stubborn => {
                ignore_term();
                sleep(TOO_LONG);
                0
            }
            Kind::Stopping => {
                kill_process(getpid(), Signal::STOP).unwrap();
                sleep(TOO_LONG);
                0
            }
            Kind::Refused => panic!("there is no such command"),
        }
    }

    /// Attempts that were cut short do not count.
    fn fail_twice(&self) -> i32 {
        let mut text = String::new();
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        File::open(path).unwrap().read_to_string(&mut text).unwrap();
        let ends = text.lines().filter(|line| line.contains(" end ")).count();
        if ends < 2 { 75 } else { 0 }
    }

    /// A child in a session of its own that doesn't hear TERM, with our file and our output open.
    #[expect(clippy::zombie_processes, reason = "it is to outlive us")]
    fn leave(&self, stays: Duration) {
        fcntl_setfd(self.file.as_fd(), FdFlags::empty()).unwrap();
        // By its name there may be another one by now.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("--child")
            .arg(self.file.as_raw_fd().to_string())
            .arg(stays.as_millis().to_string());
        // SAFETY: between fork and exec nothing but one system call is made.
        unsafe {
            command.pre_exec(|| Ok(setsid().map(drop)?));
        }
        command.spawn().unwrap();
    }
}

fn ignore_term() {
    // Whoever registers a handler that does nothing ignores it.
    signal_hook::flag::register(signal_hook::consts::SIGTERM, std::sync::Arc::default()).unwrap();
}

/// More than the first and the last 64 KiB, not all of it text.
fn print_much() {
    let piece: Vec<u8> = (0..8192_u32).map(|n| (n % 251) as u8).collect();
    for _ in 0..12 {
        // Whoever reads may be gone.
        let _ = std::io::stdout().write_all(&piece);
        let _ = std::io::stderr().write_all(&piece);
    }
}

/// A living process that has this file open and is not we.
fn holder(file: &File) -> Option<String> {
    let ours = file.metadata().unwrap();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let Ok(open) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let has = open.flatten().any(|fd| {
            fs::metadata(fd.path()).is_ok_and(|of| (of.dev(), of.ino()) == (ours.dev(), ours.ino()))
        });
        if has {
            let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
            let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let state = stat.rsplit(") ").next().and_then(|s| s.chars().next());
            return Some(format!("process {pid}, state {state:?}: {line}"));
        }
    }
    None
}
