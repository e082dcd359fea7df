//! The table of processes: looking at all of them, and killing one that has been looked at.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// The environment variable with the store's own id. A producer may choose its task's uuid, and so may take one that
/// is at work in another store of the machine.
pub const STORE_VARIABLE: &str = "TASKQUEUE_STORE_ID";
/// The environment variable with the task's uuid.
pub const UUID_VARIABLE: &str = "TASKQUEUE_UUID";
/// The environment variable with the attempt's number.
pub const ATTEMPT_VARIABLE: &str = "TASKQUEUE_ATTEMPT";

/// How long a process may take to become another program. It is a millisecond of work, which may have to wait for its
/// turn and for a disk.
const LONGEST_EXEC: Duration = Duration::from_millis(500);
const EXEC_PAUSE: Duration = Duration::from_millis(1);

/// As much as any environment has, nearly.
const PIECE: usize = 64 * 1024;

/// Where a process belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// 0 where it was begun outside of our pid namespace: any number of them then.
    pub(super) group: i32,
    pub(super) session: i32,
}

/// The attempt that a process says it belongs to: the store's id, the task's uuid and the attempt's number, as they
/// were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Token {
    pub(super) store: Vec<u8>,
    pub(super) uuid: Vec<u8>,
    pub(super) number: Vec<u8>,
}

/// An error where `/proc` is another pid namespace's.
pub(super) fn is_of_our_namespace() -> io::Result<()> {
    match fs::read_link("/proc/self")?.as_os_str() == getpid().to_string().as_str() {
        true => Ok(()),
        false => Err(io::Error::other(
            "/proc is of another pid namespace; mount that of this one",
        )),
    }
}

/// Every process but ourselves. Those that begin meanwhile may be left out. An error where `/proc` is another pid
/// namespace's: a number seen there is somebody else's here.
pub(super) fn all() -> io::Result<impl Iterator<Item = Pid>> {
    is_of_our_namespace()?;
    let own = getpid();
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(move |pid| *pid != own))
}

/// Where it belongs; `None` when it has ended, reaped or not.
pub(super) fn place(pid: Pid) -> Option<Place> {
    place_in(&stat(pid)?)
}

/// Where it belongs and when it was born, in the kernel's ticks since boot; the place is `None` when it has ended and
/// was not reaped.
pub(super) fn life(pid: Pid) -> Option<(Option<Place>, u64)> {
    let stat = stat(pid)?;
    Some((place_in(&stat), born_in(&stat)?))
}

fn stat(pid: Pid) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()
}

/// The letter by which the kernel says what it does (proc(5), "state"); `T` is stopped.
pub(super) fn state(pid: Pid) -> Option<char> {
    fields(&stat(pid)?)?.next()?.chars().next()
}

/// What people know it by: its name and its user's number, as far as they are to be had.
pub(super) fn description(pid: Pid) -> String {
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    let name = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default();
    let user = fs::metadata(&folder).map(|folder| folder.uid());
    let user = user.map_or_else(|_| "?".to_owned(), |user| user.to_string());
    let pid = pid.as_raw_nonzero();
    format!("process {pid} ({}) of user {user}", name.trim_end())
}

/// Whose it is: the real user, which no program can choose for itself. Who owns its folder in `/proc` would not do:
/// that is root's where a program does not let itself be looked at (proc(5)).
pub(super) fn user(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

/// Where we belong.
pub(super) fn own_place() -> Option<Place> {
    place(getpid())
}

/// What comes after the name, which may hold anything (proc(5)): state, parent, group, session …
fn fields(stat: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end..)?.get(1..)?).ok()?;
    Some(rest.split_ascii_whitespace())
}

fn place_in(stat: &[u8]) -> Option<Place> {
    let mut fields = fields(stat)?;
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let mut fields = fields.skip(1).map(str::parse);
    Some(Place {
        group: fields.next()?.ok()?,
        session: fields.next()?.ok()?,
    })
}

/// The twenty-second field (proc(5), "starttime").
fn born_in(stat: &[u8]) -> Option<u64> {
    fields(stat)?.nth(19)?.parse().ok()
}

/// What its environment said when it was started.
pub(super) fn token(pid: Pid) -> Option<Token> {
    token_in(&environment(pid)?)
}

/// Whether its environment said this when it was started.
pub(super) fn carries(pid: Pid, variable: &str, value: &[u8]) -> bool {
    environment(pid).is_some_and(|environment| value_in(&environment, variable) == Some(value))
}

/// All that its environment said when it was started. A process that is becoming another program shows nothing till
/// the program is there, and would be taken for one without a mark: it is waited for.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let until = Instant::now() + LONGEST_EXEC;
    loop {
        let environment = at_once(&path).ok()?;
        if !environment.is_empty() || !may_show_more(pid) || Instant::now() >= until {
            return Some(environment);
        }
        thread::sleep(EXEC_PAUSE);
    }
}

/// What is in a file of `/proc`, read in one piece, unless it is very long. Of an environment that is read piece by
/// piece, the rest is missing if the process becomes another program in between.
fn at_once(path: &str) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut content = Vec::with_capacity(PIECE);
    loop {
        let read = || rustix::io::read(&file, spare_capacity(&mut content));
        if rustix::io::retry_on_intr(read)? == 0 {
            return Ok(content);
        }
        if content.len() == content.capacity() {
            content.reserve(PIECE);
        }
    }
}

/// Whether one whose environment was found empty may have another in a moment.
fn may_show_more(pid: Pid) -> bool {
    let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| may_show_more_by(&stat).unwrap_or(false))
}

/// By the size of its memory, of which kernel threads and the dead have none, by where its code begins, and by where
/// its environment begins and ends (proc(5): 23, 26, 50, 51). A process that becomes another program has no code till
/// the environment is in place: before, that may be nowhere, or at one place with nothing in it yet.
fn may_show_more_by(stat: &[u8]) -> Option<bool> {
    let mut fields = fields(stat)?;
    let size = fields.nth(20)?;
    let code = fields.nth(2)?;
    let begin = fields.nth(23)?;
    let end = fields.next()?;
    Some(size != "0" && (code == "0" || begin != end))
}

fn token_in(environment: &[u8]) -> Option<Token> {
    let value = |variable| value_in(environment, variable).map(<[u8]>::to_vec);
    Some(Token {
        store: value(STORE_VARIABLE)?,
        uuid: value(UUID_VARIABLE)?,
        number: value(ATTEMPT_VARIABLE)?,
    })
}

fn value_in<'a>(environment: &'a [u8], variable: &str) -> Option<&'a [u8]> {
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let rest = entry.strip_prefix(variable.as_bytes())?;
        rest.strip_prefix(b"=")
    })
}

/// Kills a process if it is `chosen`.
pub(super) fn kill(pid: Pid, chosen: impl Fn(Pid) -> bool) -> bool {
    chosen(pid) && try_kill(pid, chosen) == Ok(true)
}

/// The same of one that was found to be chosen; false where it is not any more. The descriptor pins it: looked at again
/// through that, its number cannot have become another's. `PERM` where it is not ours to kill.
pub(super) fn try_kill(pid: Pid, chosen: impl Fn(Pid) -> bool) -> Result<bool, Errno> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) if chosen(pid) => pidfd_send_signal(&process, Signal::KILL).map(|()| true),
        // It has ended since.
        Ok(_) | Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Its marks are there at whatever moment it is looked at.
    #[test]
    fn one_that_becomes_another_program_again_and_again_keeps_its_mark() {
        let script = "exec /bin/sh -c \"$0\" \"$0\"";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script, script])
            .env("SOME_MARK", "some value")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let unseen = (0..5000).filter(|_| !carries(pid, "SOME_MARK", b"some value"));
        let unseen = unseen.count();
        let running = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((unseen, running), (0, None));
    }

    /// Nothing is waited for that does not come.
    #[test]
    fn one_without_an_environment_has_none() {
        let mut child = Command::new("/bin/sleep")
            .arg("60")
            .env_clear()
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let begin = Instant::now();
        let looks = (0..100).filter(|_| environment(pid).is_some_and(|it| it.is_empty()));
        let looks = looks.count();
        child.kill().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while place(pid).is_some() && Instant::now() < until {
            thread::sleep(EXEC_PAUSE);
        }
        let dead = may_show_more(pid);
        child.wait().unwrap();
        assert_eq!((looks, dead), (100, false));
        assert!(begin.elapsed() < LONGEST_EXEC * 50);
    }

    #[test]
    fn an_environment_is_waited_for_until_the_program_is_there() {
        let may_show_more = |size: u64, code: u64, begin: u64, end: u64| {
            let stat = format!(
                "7 (a) b) R 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 90 {size} 1 99 {code} 1 600 \
                 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 1 1 800 801 {begin} {end} 0"
            );
            may_show_more_by(stat.as_bytes())
        };
        let table = [
            (
                "a kernel's thread, or one that is dead",
                (0, 0, 0, 0),
                false,
            ),
            ("a memory that is new", (4096, 0, 0, 0), true),
            (
                "variables that are being laid out",
                (4096, 0, 900, 900),
                true,
            ),
            (
                "variables that are there, and a program that is not yet",
                (4096, 0, 900, 950),
                true,
            ),
            (
                "a program, by now with variables",
                (4096, 700, 900, 950),
                true,
            ),
            (
                "a program without any variable",
                (4096, 700, 900, 900),
                false,
            ),
        ];
        for (what, (size, code, begin, end), expected) in table {
            let found = may_show_more(size, code, begin, end);
            assert_eq!(found, Some(expected), "{what}");
        }
    }

    #[test]
    fn a_place_is_read_whatever_the_name() {
        let place = |stat: &str| place_in(stat.as_bytes());
        let here = Place {
            group: 70,
            session: 9,
        };
        assert_eq!(place("71 (sh) S 1 70 9 0 -1 4"), Some(here));
        assert_eq!(place("71 (a) Z 1 (b) R 1 70 9 0"), Some(here));
        assert_eq!(place("71 (sh) Z 1 70 9 0 -1 4"), None);
        assert_eq!(place("71 (sh) X 1 70 9 0 -1 4"), None);
        assert_eq!(place("71 (sh) S 1"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn a_birth_is_the_twenty_second_field() {
        let ours = life(getpid()).unwrap();
        assert_eq!(ours.0, own_place());
        let stat = "71 (a) b) S 1 70 9 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 4096 1";
        assert_eq!(born_in(stat.as_bytes()), Some(4711));
        assert_eq!(born_in(b"71 (sh) S 1"), None);
    }

    #[test]
    fn a_token_is_all_three_variables() {
        let token = |text: &str| token_in(text.as_bytes());
        let found = token("A=1\0TASKQUEUE_ATTEMPT=2\0TASKQUEUE_STORE_ID=s\0TASKQUEUE_UUID=u=v\0");
        let all = Token {
            store: b"s".to_vec(),
            uuid: b"u=v".to_vec(),
            number: b"2".to_vec(),
        };
        assert_eq!(found, Some(all));
        for text in [
            "TASKQUEUE_UUID=u\0",
            "TASKQUEUE_UUID=u\0TASKQUEUE_ATTEMPT=2\0",
            "TASKQUEUE_STORE_ID=s\0TASKQUEUE_ATTEMPT=2\0",
            "TASKQUEUE_STORE_ID=s\0XTASKQUEUE_UUID=u\0TASKQUEUE_ATTEMPT=2",
            "TASKQUEUE_STORE_ID=s\0TASKQUEUE_UUIDX=u\0TASKQUEUE_ATTEMPT=2",
        ] {
            assert_eq!(token(text), None, "{text}");
        }
    }
}
