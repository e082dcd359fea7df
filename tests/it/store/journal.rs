//! The write-ahead log, and what a loop waits for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use taskqueue::store::Store;
use tokio::time::interval;

use super::busy::hold;
use super::{Ledger, NOW, TaskId, put};

/// It does while all of them write, not only when one is left. How long it grows meanwhile is a matter of the disk: one
/// copies, and the others write on.
#[test]
fn the_journal_begins_anew_while_several_write() {
    const TIMES: u32 = 3;
    // Enough for ten times where a disk is fast, and for four where it needs a second.
    const MOST_EACH: usize = 5000;
    let ledger = Ledger::new();
    let journal = ledger.dir.path().join("t.db-wal");
    let (written, times_seen) = (AtomicUsize::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            let (mut db, journal, written, times_seen) =
                (ledger.another(), &journal, &written, &times_seen);
            scope.spawn(move || {
                for _ in 0..MOST_EACH {
                    drop(put(&mut db, NOW));
                    written.fetch_add(1, Ordering::Relaxed);
                    let times = times_seen.fetch_max(times_begun_anew(journal), Ordering::Relaxed);
                    if times >= TIMES {
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(ledger.count("tasks"), written.into_inner() as i64);
    let times = times_seen.into_inner();
    assert!(times >= TIMES, "only {times} times");
}

/// As its header says ("checkpoint sequence number" in SQLite's file format).
fn times_begun_anew(journal: &Path) -> u32 {
    let mut number = [0; 4];
    let journal = File::open(journal).unwrap();
    journal.read_exact_at(&mut number, 12).unwrap();
    u32::from_be_bytes(number)
}

#[test]
fn a_loop_goes_on_while_its_store_waits_for_a_lock() {
    let ledger = Ledger::new();
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
