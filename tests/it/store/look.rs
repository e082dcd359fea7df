//! How long `status` looks at a large store. The figures are printed; with `TASKQUEUE_TEST_ROWS=2000000` it is the real
//! thing. `ledger/sqlite/plans.rs` has the plans.

use std::time::Instant;

use rusqlite::{Connection, params};

use super::{NOW, OnDisk};

const TUBES: i64 = 200;

/// Of a hundred tasks so many wait and so many have failed; one in ten thousand runs, and the others are done.
fn fill(store: &Connection, rows: i64, waiting: i64, failed: i64) {
    let tasks = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO tasks (uuid, tube, status, due, command, arguments, options, priority, ttr, attempt, spent, created,
            started, finished, owner, worker, reason)
        SELECT unhex(printf('%032x', i)), 'tube-' || (i % ?2), word,
            iif(word = 'waiting', ?3 - i, NULL), 'invoice', json_array('12'), '{}', 0, 60, 1, 1, ?3 - i, ?3 - i,
            iif(word IN ('done', 'failed'), ?3 - i, NULL), iif(word = 'running', 1, NULL), 1,
            iif(word = 'failed', 'exit code 1', NULL)
        FROM (SELECT i, CASE WHEN i / ?2 % 100 < ?4 THEN 'waiting' WHEN i / ?2 % 100 < ?4 + ?5 THEN 'failed'
            WHEN i % 9999 = 0 THEN 'running' ELSE 'done' END AS word FROM n)";
    let ends = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 60 * ?1 - 1)
        INSERT INTO minutes (minute, tube, command, done, failed, retried, waited, ran, waits, runs)
        SELECT ?2 / 60000 - i / ?1, 'tube-' || (i % ?1), 'invoice', 9, 1, 1, 90, 90, x'0509', x'0509' FROM n";
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    store
        .execute(tasks, params![rows, TUBES, NOW, waiting, failed])
        .unwrap();
    store.execute(ends, params![TUBES, NOW]).unwrap();
    store.execute_batch("COMMIT").unwrap();
}

#[test]
fn status_looks_at_what_is_not_done() {
    let rows = std::env::var("TASKQUEUE_TEST_ROWS").map_or(40_000, |rows| rows.parse().unwrap());
    for (name, waiting, failed) in [("nearly all is done", 1, 4), ("all waits", 96, 4)] {
        let store = OnDisk::new();
        let path = store.dir.path().join("t.db");
        fill(&Connection::open(&path).unwrap(), rows, waiting, failed);
        for _ in 0..3 {
            let begun = Instant::now();
            let counts = store.db.counts().unwrap();
            let counted = begun.elapsed();
            let lately = store.db.lately(NOW).unwrap();
            let looked = begun.elapsed() - counted;
            println!("{rows} rows, {name}: how many {counted:?}, lately {looked:?}");
            assert_eq!((counts.len(), lately.tubes.len()), (200, 200));
        }
    }
}
