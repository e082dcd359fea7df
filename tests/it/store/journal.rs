//! The write-ahead log, and what a loop waits for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use taskqueue::ledger::{Entry, Settlement, Store};
use taskqueue::task::output::Captured;
use taskqueue::task::retry::Next;
use taskqueue::task::state::Outcome;
use tokio::time::interval;

use super::busy::hold;
use super::{NOW, OnDisk, TaskId, begun, put, settlement};
use crate::ledger::nth_put;

/// It does while all of them write, not only when one is left. How long it grows meanwhile is a matter of the disk: one
/// copies, and the others write on.
#[test]
fn the_journal_begins_anew_while_several_write() {
    const TIMES: u32 = 3;
    // Enough for ten times where a disk is fast, and for four where it needs a second.
    const MOST_EACH: usize = 5000;
    let ledger = OnDisk::new();
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

/// A worker in a full tube, whose commands print nothing: each transaction settles a task and claims the next.
#[test]
fn a_job_costs_five_pages() {
    const JOBS: u64 = 300;
    let mut store = OnDisk::new();
    let (tasks, jobs): (Vec<_>, Vec<_>) = (0..=JOBS).map(|_| put(&mut store.db, NOW)).unzip();
    // As they are once their jobs are put.
    let puts: Vec<_> = tasks
        .into_iter()
        .map(|task| (nth_put(task, 1), Some(1)))
        .collect();
    store.db.note_puts("one", &puts).unwrap();
    let mut attempt = store.begin(&jobs[0]);
    let wal = store.dir.path().join("t.db-wal");
    let pages = || std::fs::metadata(&wal).unwrap().len() / (4096 + 24);
    let before = pages();
    for job in &jobs[1..] {
        let entry = Entry {
            settle: vec![
                Settlement {
                    output: Captured::default(),
                    ..settlement(&attempt, Outcome::Exited(0), Next::Done)
                }
                .into(),
            ],
            claim: Some(job.clone()),
            ..Entry::default()
        };
        let entered = store.db.enter(&entry, &store.commands, &store.me, NOW);
        attempt = begun(entered.unwrap().claim.unwrap());
    }
    let each = (pages() - before) as f64 / JOBS as f64;
    println!("{each} pages a job");
    // Now and then a tree grows.
    assert!(each < 5.5, "{each} pages");
}

#[test]
fn a_loop_goes_on_while_its_store_waits_for_a_lock() {
    let ledger = OnDisk::new();
    let (release, holding) = hold(&ledger);
    let store = Store::over(ledger.another());
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
