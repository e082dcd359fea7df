//! Room that is free in the file goes back to the disk.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use rusqlite::Connection;
use taskqueue::clock::now;
use taskqueue::ledger::cleanup::Old;
use taskqueue::ledger::put::NewTask;
use taskqueue::ledger::{Durability, Ledger, sqlite};
use taskqueue::task::command::Content;
use taskqueue::task::state::Status;

use super::opening::make_old;
use super::pace::fill;
use super::{NOW, OnDisk, register};
use crate::ledger::after::new_task;
use crate::ledger::{call, put};
use crate::support::{Disk, until};

fn clean_up_all(db: &mut Ledger) -> u64 {
    let all = Old {
        statuses: vec![Status::Done],
        before: now() + 1_000_000_000_000,
    };
    db.cleanup(&all, 1, |_| true).unwrap()
}

fn number(sqlite: &Connection, pragma: &str) -> i64 {
    sqlite.query_row(pragma, [], |row| row.get(0)).unwrap()
}

fn length(path: &std::path::Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Has a store be as one that an earlier version made.
fn make_rigid(ledger: &OnDisk) {
    let rigid = "PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";
    let sqlite = ledger.sqlite();
    for part in rigid.split(';') {
        let _ = sqlite.query_row(part, [], |_| Ok(()));
    }
    assert_eq!(number(&sqlite, "PRAGMA auto_vacuum"), 0);
}

#[test]
fn what_a_cleanup_deletes_is_given_back_to_the_disk() {
    let mut ledger = OnDisk::new();
    let empty = ledger.db.room().unwrap().all;
    fill(&ledger.sqlite(), 5000, NOW);
    let full = length(&ledger.path());
    assert!(full > 2 << 20, "{full}");
    assert_eq!(clean_up_all(&mut ledger.db), 5000);
    let room = ledger.db.room().unwrap();
    assert_eq!((room.free, room.is_rigid), (0, false));
    let rest = length(&ledger.path());
    assert!(rest <= empty + (64 << 10), "{rest} bytes, {empty} when new");
    assert_eq!(
        length(&ledger.dir.path().join("t.db-wal")),
        0,
        "the journal"
    );
    // It is a store still.
    let check = "PRAGMA integrity_check";
    let said: String = ledger
        .sqlite()
        .query_row(check, [], |row| row.get(0))
        .unwrap();
    assert_eq!(said, "ok");
}

#[test]
fn an_earlier_versions_store_is_written_anew_where_nobody_works() {
    let mut ledger = OnDisk::new();
    fill(&ledger.sqlite(), 5000, NOW);
    make_rigid(&ledger);
    let full = length(&ledger.path());
    assert_eq!(clean_up_all(&mut ledger.db), 5000);
    let room = ledger.db.room().unwrap();
    assert!(room.is_rigid && room.free > 2 << 20, "{room:?}");
    assert_eq!(length(&ledger.path()), full);

    let refused = ledger.db.compact().unwrap_err().to_string();
    assert!(refused.contains("workers are at it"), "{refused}");
    let OnDisk {
        mut db,
        dir,
        _alive: alive,
        ..
    } = ledger;
    drop(alive);
    db.compact().unwrap();
    let room = db.room().unwrap();
    assert_eq!((room.free, room.is_rigid), (0, false));
    assert!(length(&dir.path().join("t.db")) < full / 3);
    register(&mut db, "later");
}

#[test]
fn a_small_one_is_written_anew_by_whoever_brings_it_up_to_date() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    drop(make_old(&path, 5));
    let before = Connection::open(&path).unwrap();
    assert_eq!(number(&before, "PRAGMA auto_vacuum"), 0);
    drop(before);
    let db = sqlite::open(&path, Durability::ProcessDeath).unwrap();
    assert!(!db.room().unwrap().is_rigid);
}

/// A store on a disk of its own, with tasks that are done, and nothing left of the disk.
fn on_a_full_disk(disk: &Disk, keeps_reserve: bool) -> Ledger {
    let path = disk.path("t.db");
    let mut db = sqlite::open(&path, Durability::ProcessDeath).unwrap();
    fill(&Connection::open(&path).unwrap(), 8000, NOW);
    if keeps_reserve {
        db.keep_reserve();
        assert!(length(&disk.path("t.db-reserve")) >= 1 << 20);
    }
    disk.fill();
    db
}

#[test]
fn a_cleanup_works_on_a_full_disk_and_gives_the_disk_back() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        return;
    };
    let mut db = on_a_full_disk(&disk, true);
    let full = length(&disk.path("t.db"));
    let attempt = std::panic::catch_unwind(AssertUnwindSafe(|| put(&mut db, NOW)));
    assert!(attempt.is_err(), "there was room");
    assert_eq!(clean_up_all(&mut db), 8000);
    put(&mut db, NOW);
    assert!(length(&disk.path("t.db")) < full / 3);
    assert!(!disk.path("t.db-reserve").exists());
    // There is room again, for the next time too.
    db.keep_reserve();
    assert!(disk.path("t.db-reserve").exists() || full < 8 << 20);
}

/// Whoever never had a tender has no reserve; the journal that is there can be written over.
#[test]
fn a_cleanup_on_a_full_disk_makes_do_with_the_journal_that_is_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        return;
    };
    let path = disk.path("t.db");
    let mut db = sqlite::open(&path, Durability::ProcessDeath).unwrap();
    fill(&Connection::open(&path).unwrap(), 8000, NOW);
    for _ in 0..100 {
        put(&mut db, NOW);
    }
    assert!(length(&disk.path("t.db-wal")) > 100_000);
    disk.fill();
    assert_eq!(clean_up_all(&mut db), 8000);
    put(&mut db, NOW);
}

/// Whoever writes takes what room there is, as soon as there is any. What was kept back would be gone before anything
/// could be deleted with it; and what they have made the file longer by has to find room there, or the journal stays as
/// it is for good.
#[test]
fn a_cleanup_on_a_full_disk_works_beside_those_who_write() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        return;
    };
    let path = disk.path("t.db");
    let mut db = sqlite::open(&path, Durability::ProcessDeath).unwrap();
    fill(&Connection::open(&path).unwrap(), 8000, NOW);
    db.keep_reserve();
    let (refused, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let write = || {
        let mut db = sqlite::open(&path, Durability::ProcessDeath).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            let task = NewTask {
                content: Content::Call(call(&"x".repeat(100_000))),
                ..new_task(None, NOW)
            };
            if let Err(error) = db.add(&[task], NOW) {
                assert!(error.is_full() || error.is_locked(), "{error}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let writers = [scope.spawn(write), scope.spawn(write), scope.spawn(write)];
        until("there is no room", || {
            refused.load(Ordering::Relaxed) > 100 || writers.iter().any(|one| one.is_finished())
        });
        assert!(disk.path("t.db-reserve").exists());
        let deleted = std::panic::catch_unwind(AssertUnwindSafe(|| clean_up_all(&mut db)));
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(deleted.unwrap(), 8000);
    });
    // Others have copied the journal while room was taken.
    let check = "PRAGMA integrity_check";
    let sqlite = Connection::open(&path).unwrap();
    let said: String = sqlite.query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
}
