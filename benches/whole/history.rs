//! Stores in which much has happened: as many tasks as are wanted, made up at once.

use std::fs::File;
use std::path::PathBuf;

use rusqlite::{Connection, params};
use tempfile::TempDir;

use taskqueue::clock::now;
use taskqueue::ledger::{Durability, Millis, sqlite};

use super::world::TUBE;

/// They ended in the thirty days that ended ten days ago.
const DAY: Millis = 24 * 60 * 60 * 1000;
const FROM: Millis = 40 * DAY;
const TO: Millis = 10 * DAY;

/// Workers that are long dead.
const WORKERS: usize = 100;

/// A store with a past.
pub struct History {
    folder: TempDir,
    /// When its first task began to be.
    first: Millis,
}

impl History {
    /// One task in a hundred failed, one in ten was a foreign producer's, one in ten of another tube, one in twenty
    /// printed something.
    pub fn of(rows: usize) -> History {
        let folder = tempfile::tempdir().unwrap();
        let first = now() - FROM;
        let history = History { folder, first };
        drop(sqlite::open(&history.store(), Durability::ProcessDeath).unwrap());
        let store = Connection::open(history.store()).unwrap();
        // In one go, and nobody needs it if it comes to nothing.
        store
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
            .unwrap();
        let counted = params![rows as i64, first, FROM - TO, TUBE, WORKERS as i64];
        for statement in [WORKED, TASKS, FOREIGN, OURS, ATTEMPTS, OUTPUT] {
            let mut statement = store.prepare(statement).unwrap();
            let needed = statement.parameter_count();
            statement.execute(&counted[..needed]).unwrap();
        }
        store
            .execute_batch("COMMIT; PRAGMA journal_mode = WAL")
            .unwrap();
        // Or the first who has something to sync waits for all of it.
        File::open(history.store()).unwrap().sync_all().unwrap();
        history
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    /// How many seconds ago half of it had ended.
    pub fn half(&self) -> u64 {
        let half = self.first + (FROM - TO) / 2;
        ((now() - half) / 1000).unsigned_abs()
    }
}

/// ?1 rows from ?2 on, over ?3 milliseconds, most of them in the tube ?4, by ?5 workers.
const WORKED: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?5)
    INSERT INTO workers (name, tube, host, pid, started, stopped, boot)
    SELECT 'past-' || n, ?4, 'here', 1000 + n, ?2, ?2 + ?3, 'an old one' FROM numbers WHERE ?1 >= 0";

const TASKS: &str = "
    WITH RECURSIVE numbers (n, at) AS (
        SELECT 1, ?2 UNION ALL SELECT n + 1, ?2 + ?3 * n / ?1 FROM numbers WHERE n < ?1
    )
    INSERT INTO tasks (uuid, tube, status, command, arguments, options, priority, ttr, attempt, spent, reason,
                       created, started, finished)
    SELECT CAST(unhex(printf('%012x', at)) || randomblob(10) AS BLOB), iif(n % 10 = 7, 'other', ?4),
           iif(n % 100 = 50, 'failed', 'done'), iif(n % 3 = 0, 'invoice:send', 'mail:send'),
           '[\"' || n || '\",\"what such a task is about, in words or in numbers\"]', '{\"format\":\"pdf\"}', 1024, 60, 1, 1,
           iif(n % 100 = 50, 'exited with 1', NULL), at - 2000, at - 1000, at
    FROM numbers";

const FOREIGN: &str = "
    INSERT INTO foreign_jobs (task, broker, job, instance, hash, birth, gone)
    SELECT id, 1, id, 'f00dfacef00dface', randomblob(16), created, 1 FROM tasks WHERE id % 10 = 3";

const OURS: &str = "
    INSERT INTO task_jobs (task, broker, generation, job, instance)
    SELECT id, 1, 1, id, 'f00dfacef00dface' FROM tasks WHERE id % 10 <> 3";

/// Four workers at a time, one four after the other.
const ATTEMPTS: &str = "
    INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code)
    SELECT id, 1, 'past-' || (1 + (id * (?5 / 4 - 1) / ?1) * 4 + id % 4), started, finished, 'exited', status = 'failed'
    FROM tasks WHERE ?2 + ?3 > 0 AND ?4 <> ''";

const OUTPUT: &str = "
    INSERT INTO output (task, number, head, tail, dropped)
    SELECT task, number, CAST(printf('%.*c', 200, 'x') AS BLOB), x'', 0 FROM attempts WHERE task % 20 = 0";
