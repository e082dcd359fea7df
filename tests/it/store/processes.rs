//! What attempts leave running, and who is to be ended of it.

use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use taskqueue::lives::locks::LockFile;
use taskqueue::lives::sessions::Session;
use taskqueue::lives::{Holder, Lives, Trace};
use taskqueue::process::leftover::{self, Leftover};
use taskqueue::task::id::TaskId;
use tempfile::TempDir;
use uuid::Uuid;

use crate::ledger::nth;

/// A process that inherits an attempt's lock and carries no token.
fn holder(locks: &LockFile, attempt: Holder) -> Child {
    let alive = locks.hold(attempt).unwrap();
    let descriptor = alive.inherited().unwrap().unwrap().as_raw_fd();
    let mut command = Command::new("sleep");
    // SAFETY: between fork and exec nothing but one system call is made, on a descriptor that is open.
    unsafe {
        // In the child alone: what other tests start in this instant must not inherit it.
        command.pre_exec(move || {
            let inherited = rustix::fd::BorrowedFd::borrow_raw(descriptor);
            Ok(rustix::io::fcntl_setfd(
                inherited,
                rustix::io::FdFlags::empty(),
            )?)
        });
    }
    command.arg("60").spawn().unwrap()
}

#[test]
fn who_holds_the_same_byte_for_another_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let attempt = Holder::Attempt(nth(TaskId(7), 1));
    let [ours, theirs] = ["ours", "theirs"].map(|name| {
        let locks = LockFile::of(&dir.path().join(name), Uuid::now_v7());
        locks.make().unwrap();
        locks
    });
    let mut spared = holder(&theirs, attempt);
    let mut left = holder(&ours, attempt);
    let remains = Leftover {
        store: Uuid::now_v7(),
        uuid: Uuid::now_v7(),
        attempt: nth(TaskId(7), 1),
        trace: ours.trace(attempt),
        session: None,
    };
    let ended = leftover::end(vec![remains], leftover::PATIENCE, |_| {
        Lives::is_held(&ours, attempt)
    })
    .unwrap();
    assert!(ended.left.is_empty());
    kill_process(Pid::from_child(&spared), Signal::TERM).unwrap();
    // Whatever came first ended it.
    let ended_by = |child: &mut Child| child.wait().unwrap().signal();
    assert_eq!(ended_by(&mut spared), Some(Signal::TERM.as_raw()));
    assert_eq!(ended_by(&mut left), Some(Signal::KILL.as_raw()));
}

/// A process that has begun a session, and carries neither token nor lock.
fn leader() -> Child {
    let mut command = Command::new("sleep");
    // SAFETY: between fork and exec nothing but one system call is made.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    command.arg("60").spawn().unwrap()
}

/// In the kernel's ticks since boot.
fn born(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let rest = stat.rsplit_once(')').unwrap().1;
    rest.split_whitespace().nth(19).unwrap().parse().unwrap()
}

/// What comes of an attempt that has left this session, and whose lock is held as long as `lives` says.
fn end_session(id: u32, since: u64, trace: Option<Trace>, held: bool) -> leftover::Ended {
    let remains = Leftover {
        store: Uuid::now_v7(),
        uuid: Uuid::now_v7(),
        attempt: nth(TaskId(7), 1),
        trace,
        session: Some(Session {
            id: id.try_into().unwrap(),
            since,
            user: None,
        }),
    };
    leftover::end(vec![remains], Duration::from_millis(300), |_| Ok(held)).unwrap()
}

#[test]
fn who_is_in_the_session_of_an_attempt_is_ended() {
    let mut left = leader();
    let ended = end_session(left.id(), born(&left), None, false);
    assert!(ended.killed > 0 && ended.left.is_empty(), "{ended:?}");
    assert_eq!(left.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_session_that_has_the_number_of_an_earlier_one_is_left_alone() {
    let mut spared = leader();
    let born = born(&spared);
    // Born long after the note was written, and before that.
    for since in [0, born + 1] {
        let ended = end_session(spared.id(), since, None, false);
        assert_eq!((ended.killed, ended.left), (0, vec![]), "{since}");
    }
    assert!(spared.try_wait().unwrap().is_none());
    spared.kill().unwrap();
    spared.wait().unwrap();
}

/// An attempt can hand its descriptors to anybody.
#[test]
fn who_can_be_no_part_of_an_attempt_is_not_killed_for_its_lock() {
    let dir = TempDir::new().unwrap();
    let locks = LockFile::of(&dir.path().join("t.db"), Uuid::now_v7());
    locks.make().unwrap();
    let attempt = Holder::Attempt(nth(TaskId(7), 1));
    let us = rustix::process::geteuid().as_raw();
    let begun_after = |child: &Child| born(child) + 1;
    // Of root's command, anybody's processes may be a part.
    let somebody = us + 65_534;
    for (since, user, is_killed) in [
        (begun_after as fn(&Child) -> u64, None, false),
        (begun_after, Some(us), false),
        (born, Some(somebody), false),
        (born, Some(us), true),
        (born, None, true),
    ] {
        let mut other = holder(&locks, attempt);
        let mut session = leader();
        let id = i32::try_from(session.id()).unwrap();
        session.kill().unwrap();
        session.wait().unwrap();
        let remains = Leftover {
            store: Uuid::now_v7(),
            uuid: Uuid::now_v7(),
            attempt: nth(TaskId(7), 1),
            trace: locks.trace(attempt),
            session: Some(Session {
                id,
                since: since(&other),
                user,
            }),
        };
        let ended = leftover::end(vec![remains], Duration::from_secs(5), |_| {
            Lives::is_held(&locks, attempt)
        })
        .unwrap();
        assert_eq!(ended.left, vec![], "{user:?}");
        assert_eq!(ended.killed == 1, is_killed, "{user:?}");
        assert_eq!(other.try_wait().unwrap().is_some(), is_killed, "{user:?}");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

/// A program may write the marks of an attempt into its own environment, in whatever group it is.
#[test]
fn nobody_is_killed_for_being_in_a_group_with_another_users_process() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run as root: whether other users' processes are spared was not tested");
        return;
    }
    let (store, uuid) = (Uuid::now_v7(), Uuid::now_v7());
    let sleep = |group: i32| {
        let mut command = Command::new("sleep");
        command.arg("60").env_clear().process_group(group);
        command
    };
    let mut first = sleep(0).spawn().unwrap();
    let group = i32::try_from(first.id()).unwrap();
    let mark = |command: &mut Command| {
        command
            .env("TASKQUEUE_STORE_ID", store.to_string())
            .env("TASKQUEUE_UUID", uuid.to_string())
            .env("TASKQUEUE_ATTEMPT", "1")
            .spawn()
            .unwrap()
    };
    let mut marked = mark(sleep(group).uid(65534));
    let mut theirs = sleep(group).uid(65534).spawn().unwrap();
    let remains = Leftover {
        store,
        uuid,
        attempt: nth(TaskId(7), 1),
        trace: None,
        session: None,
    };
    let ended = leftover::end(vec![remains], leftover::PATIENCE, |_| Ok(false)).unwrap();
    assert_eq!((ended.killed, ended.left), (2, vec![]));
    for child in [&mut marked, &mut theirs] {
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    assert!(first.try_wait().unwrap().is_none(), "it was root's");
    first.kill().unwrap();
    first.wait().unwrap();
}
