//! Ending what an attempt left running.
//!
//! Whether something is left is asked of the attempt's lock. Whom to end is found in `/proc`: first
//! every process whose environment carries the attempt's token, wherever it has gone; then, if the
//! lock is still held, whoever has the locked descriptor open.

use std::fs;
use std::io;
use std::path::Path;
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

/// An attempt whose processes are to go.
#[derive(Debug, Clone)]
pub struct Remains {
    /// The task's uuid.
    pub uuid: Uuid,
    /// The attempt's number.
    pub number: i64,
    /// Its byte in the file of locks.
    pub byte: i64,
}

/// Ends every process of an attempt. True once its lock is free. Blocks for up to 5 s.
pub fn end(remains: &Remains, lock_held: impl Fn() -> io::Result<bool>) -> io::Result<bool> {
    let until = Instant::now() + PATIENCE;
    let token = [
        format!("{UUID_VARIABLE}={}", remains.uuid),
        format!("{ATTEMPT_VARIABLE}={}", remains.number),
    ];
    let mut asked_locks = false;
    while lock_held()? {
        if Instant::now() >= until {
            return Ok(false);
        }
        let by_token = |pid: Pid| carries(pid, &token);
        let by_lock = |pid: Pid| holds(pid, remains.byte);
        let killed = if asked_locks {
            kill_all(&by_lock)?
        } else {
            kill_all(&by_token)?
        };
        // Who forks while we look is found in the next round; who has dropped the token is found by the lock.
        asked_locks = killed == 0 && !asked_locks;
        thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
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

/// Whether a process has a descriptor open that holds this byte locked, and no worker's byte (proc(5),
/// "fdinfo").
fn holds(pid: Pid, byte: i64) -> bool {
    let folder = format!("/proc/{}/fdinfo", pid.as_raw_nonzero());
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| locks_byte(&entry.path(), byte))
}

fn locks_byte(fdinfo: &Path, byte: i64) -> bool {
    let text = fs::read_to_string(fdinfo).unwrap_or_default();
    let range = format!("{byte} {byte}");
    text.lines()
        .filter(|line| line.starts_with("lock:") && line.contains("OFDLCK"))
        .any(|line| line.ends_with(&format!(" {range}")))
}
