//! What attempts leave running, and who is to be ended of it.

use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use taskqueue::lives::locks::LockFile;
use taskqueue::lives::{Holder, Lives};
use taskqueue::process::leftover::{self, Leftover};
use taskqueue::task::id::TaskId;
use tempfile::TempDir;
use uuid::Uuid;

use crate::ledger::nth;

/// A process that inherits an attempt's lock and carries no token.
fn holder(locks: &LockFile, attempt: Holder) -> Child {
    let alive = locks.hold(attempt).unwrap();
    let descriptor = alive.inherited().unwrap().as_raw_fd();
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
