//! The write-ahead log, and what a loop waits for.

use std::thread;
use std::time::Duration;

use taskqueue::ledger::Store;
use tokio::time::interval;

use super::busy::hold;
use super::{NOW, OnDisk, TaskId, put};

#[test]
fn the_journal_begins_anew_while_several_write() {
    const EACH: usize = 2000;
    let ledger = OnDisk::new();
    thread::scope(|scope| {
        for _ in 0..3 {
            let mut db = ledger.another();
            scope.spawn(move || {
                (0..EACH).for_each(|_| drop(put(&mut db, NOW)));
            });
        }
    });
    assert_eq!(ledger.count("tasks"), 3 * EACH as i64);
    // All of it would be four times as much.
    let journal = std::fs::metadata(ledger.dir.path().join("t.db-wal")).unwrap();
    assert!(journal.len() < 60 << 20, "{} bytes", journal.len());
}

#[test]
fn a_loop_goes_on_while_its_store_waits_for_a_lock() {
    let ledger = OnDisk::new();
    let (release, holding) = hold(&ledger);
    let store = Store::over(ledger.another()).unwrap();
    let releasing = thread::spawn(move || {
        thread::sleep(Duration::from_secs(2));
        release.send(()).unwrap();
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ticks = runtime.block_on(async {
        let writing = store.soon(|db| db.note_deleted(&[TaskId(1)]));
        tokio::pin!(writing);
        let (mut tick, mut ticks) = (interval(Duration::from_millis(20)), 0);
        loop {
            tokio::select! {
                written = &mut writing => break written.map(|()| ticks),
                _ = tick.tick() => ticks += 1,
            }
        }
    });
    // A hundred, where nothing else keeps the machine busy.
    assert!(ticks.unwrap() > 20);
    releasing.join().unwrap();
    holding.join().unwrap();
}
