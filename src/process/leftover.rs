//! Ending what attempts left running.
//!
//! Whom to end is found in `/proc`: first every process whose environment carries an attempt's token, wherever
//! it has gone and whatever it has closed, and with it those of its process group and user that carry none; then
//! whoever is in the session that the attempt's command has begun; then, if an attempt's lock is still held, whoever
//! has the locked descriptor open. Only session and lock can say that nothing is left: they are asked last.
//!
//! What has become another user's shows neither environment nor descriptors, and may not be signalled. It is still in
//! its session: so it is known that the attempt has not ended, and who is to be ended by people.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};
use uuid::Uuid;

pub use super::table::{ATTEMPT_VARIABLE, STORE_VARIABLE, UUID_VARIABLE};

use crate::lives::sessions::{self, Session};
use crate::lives::{self, Trace};
use crate::task::id::AttemptId;

use super::table::{self, Place, Token};

/// The environment variable that marks a worker that is not ours, and whatever it starts.
pub const MARK_VARIABLE: &str = "TASKQUEUE_WORKER_MARK";

/// How long an attempt's processes are given to be gone after a KILL.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long those are waited for that are not ours to end: what they ran for may be gone, and they go too.
const STRANGERS: Duration = Duration::from_millis(500);

/// The first process of a session is born at most so many milliseconds after that was noted.
const LATEST_BIRTH: u64 = 10_000;

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
    /// The session that its command has begun, if that is known.
    pub session: Option<Session>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How many processes were killed.
    pub killed: usize,
    /// The attempts whose processes could not be ended.
    pub left: Vec<Left>,
}

/// An attempt whose processes could not be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub attempt: AttemptId,
    /// One of them that is not ours to end, in words, if it is for that.
    pub stranger: Option<String>,
}

/// What came of an attempt whose processes were to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleared {
    /// Nothing is left.
    Gone,
    /// Something could not be ended, and holds the attempt's lock; or nobody could look.
    Left,
    /// Something that is not ours to end is left: which, in words. Perhaps it holds nothing.
    Stranger(String),
}

impl Cleared {
    /// Why the attempt is not cleared; `None` if it is.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Cleared::Gone => None,
            Cleared::Left => Some("it does not end, or nobody could look"),
            Cleared::Stranger(who) => Some(who),
        }
    }
}

/// What is left of an attempt after a look.
struct Seen {
    remains: Leftover,
    stranger: Option<String>,
}

/// Ends every process of these attempts, all at once. An attempt is ended once its lock is free, its session empty, and
/// nobody carries its token. Blocks for as long as `patience`, or more briefly where nothing is left but what is not
/// ours to end.
pub fn end(
    remains: Vec<Leftover>,
    patience: Duration,
    lives: impl Fn(&Leftover) -> Result<bool, lives::Error>,
) -> io::Result<Ended> {
    let (begun, until) = (Instant::now(), Instant::now() + patience);
    let unseen = |remains| Seen {
        remains,
        stranger: None,
    };
    let mut left: Vec<Seen> = remains.into_iter().map(unseen).collect();
    let mut total = 0;
    // Where there was somebody to end.
    let mut groups = BTreeSet::new();
    // Attempts whose locks are held by who is no part of them.
    let mut others = 0;
    let mut pause = SHORTEST_PAUSE;
    while !left.is_empty() {
        let tokens: HashMap<Token, Option<Session>> = left
            .iter()
            .map(|one| (token(&one.remains), one.remains.session))
            .collect();
        let by_token = |pid: Pid| {
            let session = table::token(pid).and_then(|token| tokens.get(&token).copied());
            session.is_some_and(|session| may_be_of(pid, session))
        };
        // Who forks while we look is found in the next round; who has dropped the token is found by the lock.
        let killed = kill_all(&by_token, &mut groups)? + kill_company(&mut groups)?;
        total += killed;
        let mut is_hopeless = false;
        if killed == 0 {
            let (found, killed) = look_at_sessions(left)?;
            total += killed;
            let mut held = Vec::new();
            left = Vec::new();
            for (one, is_in_session) in found {
                match lives(&one.remains).map_err(io::Error::other)? {
                    true => held.push(one),
                    false if is_in_session => left.push(one),
                    false => {}
                }
            }
            let by_lock = |pid: Pid| {
                held.iter()
                    .any(|one| may_be_of(pid, one.remains.session) && holds(pid, one))
            };
            let killed = killed + kill_all(&by_lock, &mut groups)?;
            total += killed;
            for one in held {
                match killed == 0 && is_held_by_others_alone(&one)? {
                    true => others += 1,
                    false => left.push(one),
                }
            }
            is_hopeless = killed == 0 && left.iter().all(|one| one.stranger.is_some());
        }
        let now = Instant::now();
        if now >= until || is_hopeless && now >= begun + STRANGERS {
            break;
        }
        if !left.is_empty() {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    if others > 0 {
        tracing::warn!(
            attempts = others,
            "processes that are no part of an attempt hold its lock; it has ended"
        );
    }
    let left = left.into_iter().map(|one| Left {
        attempt: one.remains.attempt,
        stranger: one.stranger,
    });
    Ok(Ended {
        killed: total,
        left: left.collect(),
    })
}

/// Somebody who is part of an attempt, in words: by the token, the session or the lock. Nobody is ended.
///
/// # Errors
/// When the processes cannot be looked at.
pub fn find(remains: &Leftover) -> io::Result<Option<String>> {
    let wanted = token(remains);
    let seen = Seen {
        remains: remains.clone(),
        stranger: None,
    };
    let session = remains.session.filter(|one| !is_anothers(*one));
    let is_of_it = |pid: &Pid| {
        let is_known = table::token(*pid).is_some_and(|token| token == wanted)
            || session.is_some_and(|session| is_member(*pid, session))
            || holds(*pid, &seen);
        is_known && may_be_of(*pid, session)
    };
    let found = table::all()?.into_iter().find(is_of_it);
    Ok(found.map(table::description))
}

/// Kills whoever is in a session of these attempts; how many. Says of each attempt whether there was anybody, and who
/// it was if not ours to kill. One look at all processes, and none where no session is known.
fn look_at_sessions(left: Vec<Seen>) -> io::Result<(Vec<(Seen, bool)>, usize)> {
    let sessions = left.iter().filter_map(|one| one.remains.session);
    let sessions: Vec<Session> = sessions.filter(|one| !is_anothers(*one)).collect();
    let mut members: Vec<(Pid, Session)> = Vec::new();
    if !sessions.is_empty() {
        for pid in table::all()? {
            let of = sessions.iter().find(|session| is_member(pid, **session));
            members.extend(of.map(|session| (pid, *session)));
        }
    }
    let (mut found, mut killed) = (Vec::new(), 0);
    for mut one in left {
        one.stranger = None;
        let mut is_populated = false;
        let session = one.remains.session.filter(|one| sessions.contains(one));
        if let Some(session) = session {
            for (pid, _) in members.iter().filter(|(_, of)| *of == session) {
                is_populated = true;
                match table::try_kill(*pid, |pid| is_member(pid, session)) {
                    Ok(did) => killed += usize::from(did),
                    Err(_) => one.stranger = Some(table::description(*pid)),
                }
            }
            // One that `/proc` does not show us (proc(5), "hidepid"): its group is there, and is not ours to signal.
            let group = Pid::from_raw(session.id).filter(|_| !is_populated);
            if group.map(test_kill_process_group) == Some(Err(Errno::PERM)) {
                is_populated = true;
                let who = format!("somebody in session {} whom /proc hides", session.id);
                one.stranger = Some(who);
            }
        }
        found.push((one, is_populated));
    }
    Ok((found, killed))
}

/// Whether a process that lives is in a session, and was born in it.
fn is_member(pid: Pid, session: Session) -> bool {
    table::life(pid).is_some_and(|(place, born)| {
        born >= session.since && place.is_some_and(|place| place.session == session.id)
    })
}

/// Whether the session's number is another one's by now: its first process was born too late.
fn is_anothers(session: Session) -> bool {
    let first = Pid::from_raw(session.id).and_then(table::life);
    let latest = session.since.saturating_add(sessions::ticks(LATEST_BIRTH));
    first.is_some_and(|(_, born)| !(session.since..=latest).contains(&born))
}

/// What people know a process by.
pub fn description(pid: i32) -> String {
    Pid::from_raw(pid).map_or_else(String::new, table::description)
}

/// The letter by which the kernel says what a process does (proc(5), "state"); `T` is stopped.
pub fn state(pid: u32) -> Option<char> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    table::state(pid)
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

/// A group in which there was somebody to end, and whose that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    place: Place,
    user: u32,
}

/// The group of a process that lives, as its user's.
fn group(pid: Pid) -> Option<Group> {
    let place = table::place(pid)?;
    let user = table::user(pid)?;
    Some(Group { place, user })
}

/// Kills every process that `chosen` chooses, and notes their groups; how many.
fn kill_all(chosen: &dyn Fn(Pid) -> bool, groups: &mut BTreeSet<Group>) -> io::Result<usize> {
    let mut killed = 0;
    for pid in table::all()?.filter(|pid| chosen(*pid)) {
        let group = group(pid);
        if table::kill(pid, chosen) {
            groups.extend(group);
            killed += 1;
        }
    }
    Ok(killed)
}

/// Kills those in these groups that carry no token at all: started by the same command, with another environment
/// and without its descriptors. A program may write into its own environment what it likes, and so must not have
/// anybody killed whom its user could not kill. A group in which nobody is left is forgotten, for its number may become
/// another's.
fn kill_company(groups: &mut BTreeSet<Group>) -> io::Result<usize> {
    let own = table::own_place().map(|own| own.group);
    groups.retain(|group| group.place.group != 0 && Some(group.place.group) != own);
    if groups.is_empty() {
        return Ok(0);
    }
    let (mut killed, mut met) = (0, BTreeSet::new());
    for pid in table::all()? {
        let place = table::place(pid);
        if !groups.iter().any(|group| Some(group.place) == place) {
            continue;
        }
        let Some(found) = group(pid).filter(|found| groups.contains(found)) else {
            continue;
        };
        met.insert(found);
        let is_company = |pid| group(pid) == Some(found) && table::token(pid).is_none();
        if table::kill(pid, is_company) {
            killed += 1;
        }
    }
    *groups = met;
    Ok(killed)
}

/// Whether a process can be a part of an attempt: it was born after the attempt's command, and is its user's. Of what
/// root's command starts, anything may be. Descriptors travel, and a program can write another's marks into its own
/// environment: so root's worker could be had to kill root's processes.
fn may_be_of(pid: Pid, session: Option<Session>) -> bool {
    let Some(session) = session else {
        return true;
    };
    let is_younger = || table::life(pid).is_none_or(|(_, born)| born >= session.since);
    match session.user {
        None | Some(0) => is_younger(),
        user @ Some(_) => is_younger() && table::user(pid) == user,
    }
}

/// Whether an attempt's lock is held, and by nobody who can be a part of it. Somebody whom `/proc` does not show may
/// be.
fn is_held_by_others_alone(one: &Seen) -> io::Result<bool> {
    let session = one.remains.session;
    let mut holders = table::all()?.filter(|pid| holds(*pid, one)).peekable();
    Ok(holders.peek().is_some() && holders.all(|pid| !may_be_of(pid, session)))
}

/// Whether a process has a descriptor open that holds an attempt's byte locked (proc(5), "fdinfo"). The
/// byte alone would not do: every store has such a file, and counts from 1.
fn holds(pid: Pid, one: &Seen) -> bool {
    let of = |folder: &str| PathBuf::from(format!("/proc/{}/{folder}", pid.as_raw_nonzero()));
    let (Some(trace), Ok(entries)) = (&one.remains.trace, fs::read_dir(of("fdinfo"))) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if !locks_byte(&text, trace.byte) {
            return false;
        }
        // A file system may show other device numbers in the line itself than to whoever opens the file.
        let opened = fs::metadata(of("fd").join(entry.file_name()));
        let locks = fs::metadata(&trace.file);
        opened.is_ok_and(|file| {
            locks.is_ok_and(|locks| (file.dev(), file.ino()) == (locks.dev(), locks.ino()))
        })
    })
}

/// Whether one of the locks of a descriptor has this byte in it. Who locks more than one, locks those of others too.
fn locks_byte(fdinfo: &str, byte: i64) -> bool {
    let locks = fdinfo
        .lines()
        .filter(|line| line.starts_with("lock:") && line.contains("OFDLCK"));
    let mut ranges = locks.filter_map(|line| {
        let mut words = line.split_ascii_whitespace().rev();
        let last = words.next()?;
        Some((words.next()?.parse::<i64>().ok()?, last))
    });
    ranges.any(|(first, last)| {
        first <= byte && (last == "EOF" || last.parse::<i64>().is_ok_and(|last| byte <= last))
    })
}

#[cfg(test)]
mod tests {
    use super::locks_byte;

    #[test]
    fn a_byte_is_locked_alone_and_in_a_range() {
        let line = |range: &str| {
            format!("pos:\t0\nlock:\t1: OFDLCK ADVISORY  READ -1 fe:00:4711 {range}\n")
        };
        for (range, byte, expected) in [
            ("7 7", 7, true),
            ("7 7", 77, false),
            ("0 EOF", 7, true),
            ("8 EOF", 7, false),
            ("5 9", 7, true),
            ("5 6", 7, false),
            ("x 9", 7, false),
        ] {
            assert_eq!(locks_byte(&line(range), byte), expected, "{range}");
        }
        assert!(!locks_byte(
            "lock:\t1: POSIX  ADVISORY  READ 12 fe:00:4711 7 7\n",
            7
        ));
    }
}
