//! How long a worker waits while a great many rows are deleted. The figures are printed; what is asserted
//! leaves room for a machine that does other things. With `TASKQUEUE_TEST_ROWS=1000000` it is the real thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use taskqueue::clock::now;
use taskqueue::ledger::cleanup::Old;
use taskqueue::ledger::{Millis, sqlite};
use taskqueue::task::state::Status;

use super::{NOW, OnDisk, put};

/// Fills a store with tasks of ours that are done, one attempt each, every fourth of which printed something.
/// As with real ones, their uuids and their ends come in nearly the order of their rows.
pub fn fill(sqlite: &Connection, rows: i64, finished: Millis) {
    sqlite
        .execute_batch("PRAGMA synchronous = OFF; BEGIN")
        .unwrap();
    let text = "x".repeat(200);
    sqlite
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
             INSERT INTO tasks (uuid, tube, status, command, arguments, options, priority, ttr, attempt, spent,
                created, started, finished)
             SELECT unhex(printf('%016x', i) || hex(randomblob(8))), 't', 'done', 'work', json_array(?3), '{}', 0,
                60, 1, 1, ?2 - 10, ?2 - 5, ?2 - (?1 - i) / 100 FROM n",
            params![rows, finished, text],
        )
        .unwrap();
    sqlite
        .execute_batch(
            "INSERT INTO task_jobs (task, broker, generation, job, instance)
                SELECT id, 1, 1, id, 'f00dfacef00dface' FROM tasks WHERE status = 'done';
             INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code)
                SELECT id, 1, 'w', started, finished, 'exited', 0 FROM tasks WHERE status = 'done';
             INSERT INTO output (task, number, head, tail, dropped)
                SELECT task, number, zeroblob(300), x'', 0 FROM attempts WHERE task % 4 = 0;
             COMMIT;",
        )
        .unwrap();
    // Or the first that writes afterwards would write all of it back.
    let busy: i64 = sqlite
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(busy, 0);
    std::fs::File::open(sqlite.path().unwrap())
        .and_then(|file| file.sync_all())
        .unwrap();
}

/// Claims and settles until told to stop; how long each write took, the longest last.
fn write(path: &std::path::Path, over: &AtomicBool) -> Vec<Duration> {
    let mut db = sqlite::open(path, taskqueue::ledger::Durability::ProcessDeath).unwrap();
    let mut waits = Vec::new();
    loop {
        let begun = Instant::now();
        put(&mut db, NOW);
        waits.push(begun.elapsed());
        if over.load(Ordering::Relaxed) {
            break;
        }
        // As a worker does: most of its time it writes nothing.
        thread::sleep(Duration::from_millis(1));
    }
    waits.sort();
    waits
}

fn figures(what: &str, rows: i64, took: Duration, waits: &[Duration]) {
    let at = |part: usize| waits[(waits.len() - 1) * part / 1000];
    println!(
        "{what}: {rows} rows in {took:.1?}; of {} writes meanwhile the median waited {:?}, one in a hundred {:?}, \
         {} longer than 50 ms, the longest {:?}",
        waits.len(),
        at(500),
        at(990),
        waits.iter().filter(|wait| wait.as_millis() > 50).count(),
        at(1000),
    );
}

/// What to compare with: how long writes wait on this machine when nobody deletes.
fn alone(ledger: &OnDisk, time: Duration) {
    let (path, over) = (ledger.path(), AtomicBool::new(false));
    let waits = thread::scope(|scope| {
        let writing = scope.spawn(|| write(&path, &over));
        thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    figures("left alone", 0, time, &waits);
}

/// Deletes while another writes; the writer's waits.
fn contend(ledger: &mut OnDisk, what: &str, rows: i64, expected: u64) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let writing = {
        let (path, over) = (ledger.path(), Arc::clone(&over));
        thread::spawn(move || write(&path, &over))
    };
    let begun = Instant::now();
    let old = Old {
        statuses: vec![Status::Done],
        before: now() + 1_000_000_000_000,
    };
    let deleted = ledger.db.cleanup(&old, 1, |_| true).unwrap();
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let waits = writing.join().unwrap();
    figures(what, rows, took, &waits);
    assert_eq!(deleted, expected);
    waits
}

#[test]
fn a_worker_hardly_waits_while_rows_go() {
    let rows = std::env::var("TASKQUEUE_TEST_ROWS")
        .map_or(50_000, |rows| rows.parse().expect("a number of rows"));
    let mut ledger = OnDisk::new();
    fill(&ledger.sqlite(), rows, NOW);
    alone(&ledger, Duration::from_micros(20 * rows.unsigned_abs()));
    let waits = contend(&mut ledger, "deleted", rows, rows.unsigned_abs());
    let wal = std::fs::metadata(ledger.dir.path().join("t.db-wal")).map_or(0, |file| file.len());
    println!("the journal has {} KiB", wal / 1024);
    assert!(waits.last().unwrap() < &Duration::from_secs(2));

    // The same number that must stay: looking for others among them must keep nobody waiting either.
    fill(&ledger.sqlite(), rows, NOW);
    ledger
        .sqlite()
        .execute_batch(
            "INSERT INTO foreign_jobs (task, broker, job, instance, hash, birth)
                SELECT task, broker, job, instance, randomblob(16), 1 FROM task_jobs
                WHERE task IN (SELECT id FROM tasks WHERE status = 'done')",
        )
        .unwrap();
    let waits = contend(&mut ledger, "passed over", rows, 0);
    assert!(
        waits
            .last()
            .is_none_or(|wait| *wait < Duration::from_secs(2))
    );
}
