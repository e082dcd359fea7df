//! Ending what an attempt left running.
//!
//! Whom to end is found in `/proc`: first every process whose environment carries the attempt's token,
//! wherever it has gone and whatever it has closed; then, if the attempt's lock is still held, whoever has
//! the locked descriptor open. Only the lock can say that nothing is left: it is asked last.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use uuid::Uuid;

/// The environment variable with the task's uuid.
pub const UUID_VARIABLE: &str = "TASKQUEUE_UUID";
/// The environment variable with the attempt's number.
pub const ATTEMPT_VARIABLE: &str = "TASKQUEUE_ATTEMPT";

/// How long an attempt's processes are given to be gone after a KILL.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at all processes: most are gone after the first, and what cannot be ended must not cost
/// a core meanwhile.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// An attempt whose processes are to go.
#[derive(Debug, Clone)]
pub struct Remains {
    /// The task's uuid.
    pub uuid: Uuid,
    /// The attempt's number.
    pub number: i64,
    /// The file of locks.
    pub locks: PathBuf,
    /// Its byte in that file.
    pub byte: i64,
}

/// Ends every process of an attempt. True once its lock is free and nobody carries its token. Blocks for
/// up to 5 s.
pub fn end(remains: &Remains, lock_held: impl Fn() -> io::Result<bool>) -> io::Result<bool> {
    let until = Instant::now() + PATIENCE;
    let token = [
        format!("{UUID_VARIABLE}={}", remains.uuid),
        format!("{ATTEMPT_VARIABLE}={}", remains.number),
    ];
    let by_token = |pid: Pid| carries(pid, &token);
    let by_lock = |pid: Pid| holds(pid, remains);
    let mut pause = SHORTEST_PAUSE;
    loop {
        // Who forks while we look is found in the next round; who has dropped the token is found by the lock.
        if kill_all(&by_token)? == 0 {
            if !lock_held()? {
                return Ok(true);
            }
            kill_all(&by_lock)?;
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Kills every process that `chosen` chooses; how many.
fn kill_all(chosen: &dyn Fn(Pid) -> bool) -> io::Result<usize> {
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| *pid != getpid()) else {
            continue;
        };
        if !chosen(pid) {
            continue;
        }
        // The descriptor pins the process: looked at again through it, a pid cannot have become another's.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if chosen(pid) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
            killed += 1;
        }
    }
    Ok(killed)
}

/// Whether a process has every variable in the environment that it was started with.
fn carries(pid: Pid, token: &[String]) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let environment = fs::read(path).unwrap_or_default();
    token.iter().all(|variable| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == variable.as_bytes())
    })
}

/// Whether a process has a descriptor open that holds the attempt's byte locked (proc(5), "fdinfo"). The
/// byte alone would not do: every store has a file of locks, and counts from 1.
fn holds(pid: Pid, remains: &Remains) -> bool {
    let of = |folder: &str| PathBuf::from(format!("/proc/{}/{folder}", pid.as_raw_nonzero()));
    let (Ok(locks), Ok(entries)) = (fs::metadata(&remains.locks), fs::read_dir(of("fdinfo")))
    else {
        return false;
    };
    entries.flatten().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        // A file system may show other device numbers in the line itself than to whoever opens the file.
        locks_byte(&text, remains.byte)
            && fs::metadata(of("fd").join(entry.file_name()))
                .is_ok_and(|file| (file.dev(), file.ino()) == (locks.dev(), locks.ino()))
    })
}

fn locks_byte(fdinfo: &str, byte: i64) -> bool {
    let range = format!(" {byte} {byte}");
    fdinfo
        .lines()
        .filter(|line| line.starts_with("lock:") && line.contains("OFDLCK"))
        .any(|line| line.ends_with(&range))
}
