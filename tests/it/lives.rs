//! One suite that everything passes that says who lives.

use taskqueue::lives::locks::LockFile;
use taskqueue::lives::memory::Memory;
use taskqueue::lives::{Error, Holder, Lives};
use taskqueue::task::id::{AttemptId, TaskId, WorkerId};
use tempfile::TempDir;
use uuid::Uuid;

fn worker(id: i64) -> Holder {
    Holder::Worker(WorkerId(id))
}

fn attempt(task: i64, number: i64) -> Holder {
    let task = TaskId(task);
    Holder::Attempt(AttemptId { task, number })
}

fn everybody() -> Vec<Holder> {
    let sessions = [Holder::Session(1), Holder::Waiter(1), Holder::Schema];
    let attempts = [attempt(1, 1), attempt(1, 2), attempt(2, 1)];
    [worker(1), worker(2)]
        .into_iter()
        .chain(attempts)
        .chain(sessions)
        .collect()
}

fn who_holds_lives_until_it_lets_go(lives: &dyn Lives) {
    for holder in everybody() {
        assert_eq!(lives.is_held(holder), Ok(false), "{holder}");
        let alive = lives.hold(holder).unwrap();
        for other in everybody() {
            assert_eq!(lives.is_held(other), Ok(other == holder), "{other}");
        }
        assert_eq!(lives.hold(holder).unwrap_err(), Error::Taken(holder));
        drop(alive);
        assert_eq!(lives.is_held(holder), Ok(false), "{holder}");
    }
}

fn several_live_at_once(lives: &dyn Lives) {
    let mut all: Vec<_> = everybody()
        .into_iter()
        .map(|holder| (holder, lives.hold(holder).unwrap()))
        .collect();
    while let Some((holder, alive)) = all.pop() {
        drop(alive);
        assert_eq!(lives.is_held(holder), Ok(false));
        for (other, _) in &all {
            assert_eq!(lives.is_held(*other), Ok(true));
        }
    }
}

fn what_a_command_inherits_keeps_it_alive(lives: &dyn Lives) {
    let alive = lives.hold(attempt(7, 1)).unwrap();
    let Some(inherited) = alive.inherited().unwrap() else {
        return;
    };
    let copy = inherited.try_clone_to_owned().unwrap();
    drop(alive);
    assert_eq!(lives.is_held(attempt(7, 1)), Ok(true));
    assert!(lives.trace(attempt(7, 1)).is_some());
    drop(copy);
    assert_eq!(lives.is_held(attempt(7, 1)), Ok(false));
}

fn a_boot_stays_the_same(lives: &dyn Lives) {
    assert_eq!(lives.boot(), lives.boot());
}

macro_rules! suite {
    ($name:ident, $make:expr, $($case:ident),+) => {
        mod $name {
            $(
                #[test]
                fn $case() {
                    let (lives, _kept) = $make;
                    super::$case(&lives);
                }
            )+
        }
    };
    ($name:ident, $make:expr) => {
        suite!(
            $name,
            $make,
            who_holds_lives_until_it_lets_go,
            several_live_at_once,
            what_a_command_inherits_keeps_it_alive,
            a_boot_stays_the_same
        );
    };
}

suite!(locks, super::locks());
suite!(memory, (super::Memory::new(), ()));

fn locks() -> (LockFile, TempDir) {
    let dir = TempDir::new().unwrap();
    let locks = LockFile::of(&dir.path().join("t.db"), Uuid::now_v7());
    locks.make().unwrap();
    (locks, dir)
}

#[test]
fn who_is_killed_in_memory_lives_no_more_and_lets_nobody_else_go() {
    let lives = Memory::new();
    let first = lives.hold(worker(1)).unwrap();
    assert!(lives.kill(worker(1)));
    assert!(!lives.kill(worker(1)));
    let second = lives.hold(worker(1)).unwrap();
    drop(first);
    assert_eq!(lives.living(), [worker(1)]);
    let boot = lives.boot();
    lives.restart();
    assert_eq!(lives.living(), []);
    assert_ne!(lives.boot(), boot);
    drop(second);
}
