//! A year of tasks with retention on: how long the file becomes, and how long a worker waits meanwhile. The figures are
//! printed; with `TASKQUEUE_TEST_ROWS=1000000` it is the real thing.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use taskqueue::ledger::cleanup::{Old, SoFar, Spare};
use taskqueue::ledger::{Durability, Ledger, Millis, sqlite};
use taskqueue::task::state::Status;

use super::{NOW, OnDisk, put};

const DAY: Millis = 86_400_000;

/// Tasks that were done that day, one attempt each, that printed so many bytes.
fn fill(sqlite: &Connection, day: Millis, rows: i64, printed: i64) {
    let before: i64 = sqlite
        .query_row("SELECT coalesce(max(id), 0) FROM tasks", [], |row| {
            row.get(0)
        })
        .unwrap();
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO tasks (uuid, tube, status, command, arguments, options, priority, ttr, attempt, spent, created,
            started, finished)
        SELECT unhex(printf('%016x', ?2 + i) || hex(randomblob(8))), 't', 'done', 'work', json_array('12'), '{}', 0, 60,
            1, 1, ?3 - 10, ?3 - 5, ?3 + i FROM n";
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    sqlite
        .execute(sql, params![rows, before + DAY, day])
        .unwrap();
    for sql in [
        "INSERT INTO task_jobs (task, broker, generation, job, instance)
            SELECT id, 1, 1, id, 'f00dfacef00dface' FROM tasks WHERE id > ?1 AND ?2 >= 0",
        "INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code)
            SELECT id, 1, 'w', started, finished, 'exited', 0 FROM tasks WHERE id > ?1 AND ?2 >= 0",
        "INSERT INTO output (task, number, head, tail, dropped)
            SELECT id, 1, zeroblob(?2), x'', 0 FROM tasks WHERE id > ?1",
    ] {
        sqlite.execute(sql, [before, printed]).unwrap();
    }
    sqlite.execute_batch("COMMIT").unwrap();
}

/// As a tender does it.
fn retain(db: &mut Ledger, before: Millis) {
    let old = Old {
        statuses: vec![Status::Done],
        before,
    };
    let mut so_far = SoFar::leaving(Spare::Tenth);
    while !so_far.is_over() {
        so_far = db.clean_up_some(&old, so_far, 1).unwrap();
        if let Some(pause) = so_far.pause() {
            thread::sleep(pause);
        }
    }
}

/// What a worker's writes waited, until the other end is closed.
fn write(path: &Path, deleting: &Mutex<bool>, waits: &mut Vec<Duration>) {
    let mut db = sqlite::open(path, Durability::ProcessDeath).unwrap();
    while !*deleting.lock().unwrap() {
        let begun = Instant::now();
        put(&mut db, NOW);
        waits.push(begun.elapsed());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_file_stays_as_long_as_it_is_after_the_first_weeks() {
    let rows: i64 = std::env::var("TASKQUEUE_TEST_ROWS")
        .map_or(10_000, |rows| rows.parse().expect("a number of rows"));
    let printed = if rows > 100_000 { 100 } else { 6000 };
    let mut ledger = OnDisk::new();
    let path = ledger.path();
    let filler = ledger.sqlite();
    filler.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let (mut lengths, mut waits) = (Vec::new(), Vec::new());
    for day in 1..=365 {
        fill(&filler, day * DAY, rows / 365, printed);
        let is_over = Mutex::new(false);
        thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let mut waits = Vec::new();
                write(&path, &is_over, &mut waits);
                waits
            });
            retain(&mut ledger.db, (day - 30) * DAY);
            *is_over.lock().unwrap() = true;
            waits.extend(writing.join().unwrap());
        });
        // What the worker put is not what is looked at.
        let waiting = "DELETE FROM tasks WHERE status = 'waiting' AND status <> 'done'";
        filler.execute_batch(waiting).unwrap();
        ledger.db.fold().unwrap();
        lengths.push(std::fs::metadata(&path).unwrap().len());
    }
    waits.sort();
    let at = |part: usize| waits[(waits.len() - 1) * part / 1000];
    let steady = lengths[60];
    let longest = *lengths[60..].iter().max().unwrap();
    println!(
        "{rows} rows in a year: {} KiB after 60 days, {} KiB at the most since; of {} writes while rows went the median \
         waited {:?}, one in a thousand {:?}, the longest {:?}",
        steady / 1024,
        longest / 1024,
        waits.len(),
        at(500),
        at(999),
        at(1000),
    );
    assert!(
        longest * 10 <= steady * 12,
        "{steady} bytes after 60 days, then {longest}"
    );
    assert!(at(1000) < Duration::from_secs(2));
}
