//! Ending what attempts left running.
//!
//! Whom to end is found in `/proc`: first every process whose environment carries an attempt's token, wherever
//! it has gone and whatever it has closed, and with it those of its process group that carry none; then, if an
//! attempt's lock is still held, whoever has the locked descriptor open. Only the lock can say that nothing is
//! left: it is asked last.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use uuid::Uuid;

pub use super::table::{ATTEMPT_VARIABLE, STORE_VARIABLE, UUID_VARIABLE};

use crate::lives::{self, Trace};
use crate::task::id::AttemptId;

use super::table::{self, Place, Token};

/// The environment variable that marks a worker that is not ours, and whatever it starts.
pub const MARK_VARIABLE: &str = "TASKQUEUE_WORKER_MARK";

/// How long an attempt's processes are given to be gone after a KILL.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at all processes: most are gone after the first, and what cannot be ended must not cost
/// a core meanwhile.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// An attempt whose processes are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The store's own id.
    pub store: Uuid,
    /// The task's uuid.
    pub uuid: Uuid,
    /// Which attempt.
    pub attempt: AttemptId,
    /// Where those of its processes can be found that do not carry its token.
    pub trace: Option<Trace>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How many processes were killed.
    pub killed: usize,
    /// The attempts whose processes could not be ended.
    pub left: Vec<Leftover>,
}

/// Ends every process of these attempts, all at once. An attempt is ended once its lock is free and nobody carries
/// its token. Blocks for as long as `patience`.
pub fn end(
    remains: Vec<Leftover>,
    patience: Duration,
    lives: impl Fn(&Leftover) -> Result<bool, lives::Error>,
) -> io::Result<Ended> {
    let until = Instant::now() + patience;
    let mut ended = Ended {
        killed: 0,
        left: remains,
    };
    // Groups in which there was somebody to end.
    let mut groups = BTreeSet::new();
    let mut pause = SHORTEST_PAUSE;
    while !ended.left.is_empty() {
        let tokens: HashSet<Token> = ended.left.iter().map(token).collect();
        let by_token = |pid: Pid| table::token(pid).is_some_and(|token| tokens.contains(&token));
        // Who forks while we look is found in the next round; who has dropped the token is found by the lock.
        let killed = kill_all(&by_token, &mut groups)? + kill_company(&mut groups)?;
        ended.killed += killed;
        if killed == 0 {
            let mut held = Vec::new();
            for one in ended.left {
                if lives(&one).map_err(io::Error::other)? {
                    held.push(one);
                }
            }
            ended.left = held;
            let by_lock = |pid: Pid| holds_any(pid, &ended.left);
            ended.killed += kill_all(&by_lock, &mut groups)?;
        }
        if Instant::now() >= until {
            break;
        }
        if !ended.left.is_empty() {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(ended)
}

/// Ends every process that carries a mark in its environment, and those of their groups that carry no attempt's token;
/// how many there were. Blocks until none is left, or for [`PATIENCE`].
pub fn end_marked(mark: &str) -> io::Result<usize> {
    let until = Instant::now() + PATIENCE;
    let is_marked = |pid: Pid| table::carries(pid, MARK_VARIABLE, mark.as_bytes());
    let (mut groups, mut killed) = (BTreeSet::new(), 0);
    loop {
        // Who forks while we look is found in the next round.
        let now = kill_all(&is_marked, &mut groups)? + kill_company(&mut groups)?;
        killed += now;
        if now == 0 || Instant::now() >= until {
            return Ok(killed);
        }
        thread::sleep(SHORTEST_PAUSE);
    }
}

fn token(remains: &Leftover) -> Token {
    Token {
        store: remains.store.to_string().into(),
        uuid: remains.uuid.to_string().into(),
        number: remains.attempt.number.to_string().into(),
    }
}

/// Kills every process that `chosen` chooses, and notes their groups; how many.
fn kill_all(chosen: &dyn Fn(Pid) -> bool, groups: &mut BTreeSet<Place>) -> io::Result<usize> {
    let mut killed = 0;
    for pid in table::all()?.filter(|pid| chosen(*pid)) {
        let place = table::place(pid);
        if table::kill(pid, chosen) {
            groups.extend(place);
            killed += 1;
        }
    }
    Ok(killed)
}

/// Kills those in these groups that carry no token at all: started by the same command, with another environment
/// and without its descriptors. A group in which nobody is left is forgotten, for its number may become another's.
fn kill_company(groups: &mut BTreeSet<Place>) -> io::Result<usize> {
    let own = table::own_place();
    groups.retain(|place| place.group != 0 && Some(place.group) != own.map(|own| own.group));
    if groups.is_empty() {
        return Ok(0);
    }
    let (mut killed, mut met) = (0, BTreeSet::new());
    for pid in table::all()? {
        let Some(place) = table::place(pid).filter(|place| groups.contains(place)) else {
            continue;
        };
        met.insert(place);
        let is_company = |pid| table::place(pid) == Some(place) && table::token(pid).is_none();
        if table::kill(pid, is_company) {
            killed += 1;
        }
    }
    *groups = met;
    Ok(killed)
}

/// Whether a process has a descriptor open that holds an attempt's byte locked (proc(5), "fdinfo"). The
/// byte alone would not do: every store has a file of locks, and counts from 1.
fn holds_any(pid: Pid, remains: &[Leftover]) -> bool {
    let of = |folder: &str| PathBuf::from(format!("/proc/{}/{folder}", pid.as_raw_nonzero()));
    let Ok(entries) = fs::read_dir(of("fdinfo")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let traces = remains.iter().filter_map(|one| one.trace.as_ref());
        let mut named = traces.filter(|trace| locks_byte(&text, trace.byte));
        // A file system may show other device numbers in the line itself than to whoever opens the file.
        named.any(|trace| {
            let opened = fs::metadata(of("fd").join(entry.file_name()));
            let locks = fs::metadata(&trace.file);
            opened.is_ok_and(|file| {
                locks.is_ok_and(|locks| (file.dev(), file.ino()) == (locks.dev(), locks.ino()))
            })
        })
    })
}

fn locks_byte(fdinfo: &str, byte: i64) -> bool {
    let range = format!(" {byte} {byte}");
    fdinfo
        .lines()
        .filter(|line| line.starts_with("lock:") && line.contains("OFDLCK"))
        .any(|line| line.ends_with(&range))
}
