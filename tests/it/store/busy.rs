//! Many at once: who waits, how long, and what is said when it takes too long.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use taskqueue::ledger::{Durability, Error, sqlite};

use super::{NOW, OnDisk, TaskId, put, register};

/// Holds the write lock from when it returns until it hears from, or loses, its sender.
pub fn hold(ledger: &OnDisk) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let sqlite = ledger.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (release, released) = mpsc::channel();
    let holding = thread::spawn(move || {
        let _ = released.recv();
        sqlite.execute_batch("COMMIT").unwrap();
    });
    (release, holding)
}

#[test]
fn a_lock_that_is_let_go_is_waited_for() {
    let mut ledger = OnDisk::new();
    let (release, holding) = hold(&ledger);
    let begun = Instant::now();
    let releasing = thread::spawn(move || {
        thread::sleep(Duration::from_secs(2));
        release.send(()).unwrap();
    });
    put(&mut ledger.db, NOW);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    releasing.join().unwrap();
    holding.join().unwrap();
}

#[test]
fn a_lock_that_is_never_let_go_is_an_error_that_names_the_store() {
    let mut ledger = OnDisk::new();
    let (release, holding) = hold(&ledger);
    let begun = Instant::now();
    let error = ledger.db.note_deleted(&[TaskId(1)]).unwrap_err();
    let waited = begun.elapsed();
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
    assert!(
        error.to_string().contains(ledger.path().to_str().unwrap()),
        "{error}"
    );
    // The upper limit leaves room for a machine that is busy.
    let limits = Duration::from_secs(10)..Duration::from_secs(14);
    assert!(limits.contains(&waited), "{waited:?}");
    // Reading goes on meanwhile, and writing after.
    let filter = taskqueue::ledger::read::Filter::default();
    ledger.db.list(&filter, 1, |_| true).unwrap();
    release.send(()).unwrap();
    holding.join().unwrap();
    ledger.db.note_deleted(&[TaskId(1)]).unwrap();
}

#[test]
fn of_four_that_write_none_is_starved() {
    const EACH: usize = 300;
    let ledger = OnDisk::new();
    let start = Arc::new(Barrier::new(4));
    let writers: Vec<_> = (0..4)
        .map(|number: u8| {
            let (path, start) = (ledger.path(), Arc::clone(&start));
            thread::spawn(move || {
                // One that acknowledges to producers among those that do not.
                let durability = match number {
                    0 => Durability::PowerCut,
                    _ => Durability::ProcessDeath,
                };
                let mut db = sqlite::open(&path, durability).unwrap();
                let _me = register(&mut db, "writer");
                start.wait();
                let wait = |_| {
                    let begun = Instant::now();
                    put(&mut db, NOW);
                    begun.elapsed()
                };
                (0..EACH).map(wait).max().unwrap()
            })
        })
        .collect();
    let worst: Vec<Duration> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    println!("the worst wait of each of four writers: {worst:?}");
    assert_eq!(ledger.count("tasks"), 4 * EACH as i64);
    // What SQLite's own handler lets happen is one of them waiting for seconds.
    assert!(
        worst.iter().all(|wait| *wait < Duration::from_secs(5)),
        "{worst:?}"
    );
}
