//! A store of the fifth version, with a row of every kind, is brought up to date: the ledger reads what was there.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use taskqueue::ledger::backend::Patience;
use taskqueue::ledger::cleanup::Old;
use taskqueue::ledger::read::Key;
use taskqueue::ledger::recover::Fingerprint;
use taskqueue::ledger::rows::Rows;
use taskqueue::ledger::{Durability, Failed, Ledger, sqlite};
use taskqueue::task::id::TaskId;
use taskqueue::task::state::Status;
use tempfile::TempDir;
use uuid::Uuid;

use super::opening::{make_old, migrations};
use crate::support::tube;

/// Every kind of task that the fifth version knew. `#1` is the id 1, and a uuid that ends with it.
const TASKS: &str = "
    INSERT INTO workers (name, tube, host, pid, started, boot) VALUES
        ('first', 't', 'h', 1, 1, 'before'), ('second', 't', 'h', 2, 1, 'before');

    -- Ours: put and noted, begun by somebody who is left to it, given up, put again and not noted, of another tube.
    INSERT INTO tasks (id, uuid, tube, status, due, command, arguments, options, priority, ttr, created, foreign_job,
                       job, job_instance, put_generation, put_noted, put_until, attempt, started) VALUES
        (#1, 't', 'waiting', 50, 'c', '[\"a\"]', '{\"o\":1}', 7, 60, 5, 0, 11, 'i', 1, 1, NULL, 0, NULL),
        (#2, 't', 'waiting', 51, 'c', '[]', '{}', 0, 60, 5, 0, NULL, NULL, 1, 0, 900, 0, NULL),
        (#3, 't', 'waiting', 52, 'c', '[]', '{}', 0, 60, 5, 0, NULL, NULL, 1, 0, NULL, 0, NULL),
        (#4, 't', 'waiting', 53, 'c', '[]', '{}', 0, 60, 5, 0, 14, 'i', 3, 2, 950, 1, 6),
        (#5, 'u', 'waiting', 54, 'c', '[]', '{}', 0, 60, 5, 0, NULL, NULL, 2, 0, NULL, 0, NULL);

    -- Running: at first hand, taken over, ahead of its turn, and before its put was noted.
    INSERT INTO tasks (id, uuid, tube, status, owner, worker, ahead, body, priority, ttr, created, foreign_job,
                       job, job_instance, put_generation, put_noted, put_until, attempt, started, spent, lost) VALUES
        (#6, 't', 'running', 1, 1, 0, x'00ff', 0, 60, 5, 0, 16, 'i', 1, 1, NULL, 1, 7, 0, 0),
        (#7, 't', 'running', 2, 1, 0, x'', 0, 60, 5, 0, 17, 'i', 1, 1, NULL, 3, 7, 1, 1),
        (#8, 't', 'running', 1, 1, 1, x'', 0, 60, 5, 0, 18, 'i', 1, 1, NULL, 1, 7, 0, 0),
        (#9, 't', 'running', 1, 1, 0, x'', 0, 60, 5, 0, NULL, NULL, 1, 0, 900, 1, 7, 0, 0);

    -- Ended: done, failed and kicked, failed before its put was noted and kicked, failed and its job gone, called off.
    INSERT INTO tasks (id, uuid, tube, status, finished, reason, body, priority, ttr, created, foreign_job,
                       job, job_instance, put_generation, put_noted, attempt, started, spent, job_kicks, job_gone)
    VALUES
        (#10, 't', 'done', 60, NULL, x'', 0, 60, 5, 0, 20, 'i', 1, 1, 2, 7, 1, 0, 0),
        (#11, 't', 'failed', 61, 'why', x'', 0, 60, 5, 0, 21, 'i', 1, 1, 1, 7, 1, 4, 0),
        (#12, 't', 'failed', 62, 'why', x'', 0, 60, 5, 0, NULL, NULL, 1, 0, 1, 7, 1, 5, 0),
        (#13, 't', 'failed', 63, 'why', x'', 0, 60, 5, 0, 23, 'i', 1, 1, 1, 7, 1, 0, 1),
        (#14, 't', 'cancelled', 64, NULL, x'', 0, 60, 5, 0, 24, 'i', 1, 1, 0, NULL, 0, 0, 0);

    -- By others' jobs: done, with its job there and gone; failed and kicked; to be tried again; with a job of ours that
    -- rings for it, with one that is not noted.
    INSERT INTO tasks (id, uuid, tube, status, due, finished, body, priority, ttr, created, foreign_job, job,
                       job_instance, job_hash, job_birth, job_kicks, job_gone, put_generation, put_noted, put_until,
                       pointer_job, pointer_instance, attempt, started, spent) VALUES
        (#15, 't', 'done', NULL, 70, x'', 0, 60, 5, 1, 35, 'i', randomblob(16), 3, 0, 0, 0, 0, NULL, NULL,
            NULL, 1, 7, 1),
        (#16, 't', 'done', NULL, 71, x'', 0, NULL, 5, 1, 36, 'i', randomblob(16), 3, 0, 1, 0, 0, NULL, NULL,
            NULL, 1, 7, 1),
        (#17, 't', 'failed', NULL, 72, x'', 0, 60, 5, 1, 37, 'i', randomblob(16), 3, 2, 0, 0, 0, NULL, NULL,
            NULL, 1, 7, 1),
        (#18, 't', 'waiting', 73, NULL, x'', 0, 60, 5, 1, 38, 'i', randomblob(16), 3, 0, 0, 0, 0, NULL, NULL,
            NULL, 1, 7, 1),
        (#19, 't', 'waiting', 74, NULL, x'', 0, 60, 5, 1, 39, 'i', randomblob(16), 3, 1, 0, 2, 2, NULL, 99,
            'j', 1, 7, 1),
        (#20, 't', 'waiting', 75, NULL, x'', 0, 60, 5, 1, 40, 'i', randomblob(16), 3, 0, 1, 1, 0, 900, NULL,
            NULL, 1, 7, 1),
        (#21, 't', 'waiting', 76, NULL, x'', 0, 60, 5, 1, 41, 'i', randomblob(16), 3, 0, 1, 2, 1, NULL, 98,
            'j', 1, 7, 1);

    INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code, signal, reason) VALUES
        (4, 1, 'first', 6, 7, 'interrupted', NULL, 15, NULL), (7, 1, 'gone', 2, 3, 'lost', NULL, NULL, 'why'),
        (7, 2, 'first', 4, 5, 'exited', 75, NULL, NULL), (10, 1, 'first', 2, 3, 'timed_out', NULL, 9, NULL),
        (10, 2, 'first', 7, 60, 'exited', 0, NULL, NULL), (11, 1, 'first', 7, 61, 'signalled', NULL, 9, NULL),
        (12, 1, 'first', 7, 62, 'refused', NULL, NULL, 'no'), (13, 1, 'first', 7, 63, 'could_not_start', NULL,
            NULL, 'no'),
        (15, 1, 'first', 7, 70, 'cancelled', 1, NULL, NULL);
    INSERT INTO output (task, number, head, tail, dropped) VALUES
        (7, 2, x'6f6b', x'', 0), (10, 2, zeroblob(65536), zeroblob(65536), 5);
    -- The newest of all was deleted, and its id is not to be given out again.
    INSERT INTO tasks (id, uuid, tube, status, due, body, priority, ttr, created, foreign_job)
        VALUES (40, randomblob(16), 't', 'waiting', 1, x'', 0, 60, 1, 0);
    DELETE FROM tasks WHERE id = 40;";

const EVERY: i64 = 21;

fn fill(store: &Connection) {
    let with_uuids = (1..=EVERY).fold(TASKS.to_owned(), |sql, id| {
        sql.replace(&format!("(#{id},"), &format!("({id}, unhex('{id:032x}'),"))
    });
    store.execute_batch(&with_uuids).unwrap();
}

/// What is known of a task: what a claim reads, the job that is shown, what there is to do about its put.
type Known = BTreeMap<(i64, &'static str), String>;

fn text(row: &Row<'_>, from: usize, to: usize) -> rusqlite::Result<String> {
    let columns = (from..to).map(|n| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(n)?)));
    Ok(columns.collect::<rusqlite::Result<Vec<_>>>()?.join(" "))
}

/// By the statements of the fifth version.
fn known_before(store: &Connection) -> Known {
    let mut known = Known::new();
    let mut ask = |what, sql: &str| {
        let mut select = store.prepare(sql).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            known.insert((row.get(0).unwrap(), what), text(row, 1, columns).unwrap());
        }
    };
    ask(
        "row",
        "SELECT id, tube, status, due, foreign_job, command, priority, ttr, attempt, spent, lost, owner, worker,
            ahead, started, job_kicks, put_generation FROM tasks",
    );
    ask(
        "shown",
        "SELECT id, coalesce(pointer_job, job), created, finished, reason, coalesce(arguments, '[]'),
            coalesce(options, '{}') FROM tasks",
    );
    ask("body", "SELECT id, body FROM tasks WHERE body IS NOT NULL");
    ask(
        "missing",
        "SELECT id, put_generation FROM tasks
         WHERE status = 'waiting' AND put_noted < put_generation AND (put_until IS NULL OR put_until <= 920)",
    );
    ask(
        "unverified",
        "SELECT id, put_generation, coalesce(pointer_job, job), coalesce(pointer_instance, job_instance),
            iif(pointer_job IS NULL, job_hash, NULL), iif(pointer_job IS NULL, job_birth, NULL)
         FROM tasks WHERE status = 'waiting' AND put_noted = put_generation",
    );
    ask(
        "unsure",
        "SELECT id, job, job_hash, tube, job_instance FROM tasks
         WHERE status IN ('done', 'failed') AND foreign_job = 1 AND job_gone = 0",
    );
    ask(
        "again",
        "SELECT id, put_generation + 1, iif(job_gone, NULL, job), iif(job_gone OR job IS NULL, NULL, job_instance)
         FROM tasks WHERE status = 'waiting'",
    );
    known
}

fn values<const N: usize>(values: [rusqlite::types::Value; N]) -> String {
    values.map(|value| format!("{value:?}")).join(" ")
}

macro_rules! values {
    ($($value:expr),* $(,)?) => { values([$($value.into()),*]) };
}

fn number(job: u64) -> i64 {
    i64::try_from(job).unwrap()
}

fn inside(db: &mut Ledger, mut inside: impl FnMut(&dyn Rows) -> Result<(), Failed>) {
    let backend = db.backend();
    backend
        .change(Durability::ProcessDeath, Patience::Long, &mut inside)
        .unwrap();
}

/// By the ledger of today.
fn known_now(path: &Path) -> Known {
    let mut db = sqlite::open(path, Durability::ProcessDeath).unwrap();
    let mut known = Known::new();
    for id in 1..=EVERY {
        let task = db.show(Key::from(id)).unwrap().unwrap();
        let job = task.job;
        let shown = values!(
            job,
            task.created,
            task.finished,
            task.reason,
            task.arguments,
            task.options
        );
        known.insert((id, "shown"), shown);
        if let Some(body) = task.body {
            known.insert((id, "body"), values!(body));
        }
    }
    let old = Old {
        statuses: vec![Status::Done, Status::Failed],
        before: 1000,
    };
    for unsure in db.unsure(&old, TaskId(0)).unwrap() {
        let (hash, job) = (unsure.hash.to_vec(), number(unsure.job));
        let row = values!(job, hash, unsure.tube, unsure.instance);
        known.insert((unsure.id.0, "unsure"), row);
    }
    inside(&mut db, |rows| {
        for id in 1..=EVERY {
            let row = rows
                .task(&Uuid::from_u128(u128::try_from(id).unwrap()))?
                .unwrap();
            assert_eq!(row.id.0, id);
            let (owner, worker) = (row.owner.map(|w| w.0), row.worker.map(|w| w.0));
            let line = values!(
                row.tube.to_string(),
                row.status.to_string(),
                row.due,
                row.foreign,
                row.command,
                row.priority,
                row.ttr,
                row.attempt,
                row.budget.spent,
                row.budget.lost,
                owner,
                worker,
                row.ahead,
                row.started,
                row.kicks,
                row.generation,
            );
            known.insert((id, "row"), line);
        }
        for name in ["t", "u"] {
            for put in rows.missing(&tube(name), TaskId(0), 920, i64::MAX, 100)? {
                known.insert((put.task.0, "missing"), values!(put.generation));
            }
            for found in rows.unverified(&tube(name), None, TaskId(0), 100)? {
                assert_eq!(rows.unverified_of(found.put.task)?.as_ref(), Some(&found));
                let (hash, birth) = match found.fingerprint {
                    Fingerprint::Pointer => (None, None),
                    Fingerprint::Foreign { hash, birth } => (Some(hash.to_vec()), Some(birth)),
                };
                let job = found.job.map(number);
                let line = values!(found.put.generation, job, found.instance, hash, birth);
                known.insert((found.put.task.0, "unverified"), line);
            }
        }
        Ok(())
    });
    // This changes them, and so comes last.
    inside(&mut db, |rows| {
        for id in (1..=EVERY).map(TaskId) {
            if let Some(begun) = rows.begin_put(id, None, 2000, 100)? {
                let (job, instance) = begun
                    .old_job
                    .map_or((None, None), |old| (Some(number(old.id)), old.instance));
                let line = values!(begun.put.generation, job, instance);
                known.insert((id.0, "again"), line);
            }
        }
        Ok(())
    });
    known
}

#[test]
fn a_store_of_the_fifth_version_is_kept_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let old = make_old(&path, 5);
    fill(&old);
    let rest = |store: &Connection| -> Vec<String> {
        let mut lines = Vec::new();
        for table in [
            "only_row, id FROM store",
            "id, name, tube, host, pid, started, stopped, boot FROM workers",
            "task, number, worker, started, finished, outcome, exit_code, signal, reason FROM attempts
                ORDER BY task, number",
            "* FROM output ORDER BY task, number",
        ] {
            let mut all = store.prepare(&format!("SELECT {table}")).unwrap();
            let columns = all.column_count();
            let rows = all.query_map([], |row| text(row, 0, columns)).unwrap();
            lines.extend(rows.map(Result::unwrap));
        }
        lines
    };
    let (before, beside) = (known_before(&old), rest(&old));
    drop(old);

    let now = known_now(&path);
    for (key, line) in &before {
        assert_eq!(now.get(key), Some(line), "{key:?}");
    }
    assert_eq!(now.len(), before.len());
    let store = Connection::open(&path).unwrap();
    assert_eq!(rest(&store), beside);
    let none = |sql: &str| assert!(!store.prepare(sql).unwrap().exists([]).unwrap(), "{sql}");
    none("PRAGMA foreign_key_check");
    none("SELECT 1 FROM pragma_integrity_check WHERE integrity_check <> 'ok'");
    none("SELECT 1 FROM sqlite_schema WHERE name LIKE '%next%' OR sql LIKE '%next\"%'");
    let sequence: i64 = store
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = 'tasks'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(sequence, 40);
    let mut db = sqlite::open(&path, Durability::ProcessDeath).unwrap();
    assert_eq!(super::put(&mut db, super::NOW).0, TaskId(41));
    // What is deleted takes along what refers to it, as it did.
    store
        .execute_batch("PRAGMA foreign_keys = ON; DELETE FROM tasks")
        .unwrap();
    for table in ["attempts", "output", "task_jobs", "foreign_jobs", "puts"] {
        none(&format!("SELECT 1 FROM {table}"));
    }
}

#[test]
fn the_sixth_version_is_not_made_where_rows_would_be_lost() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let mut store = make_old(&path, 5);
    fill(&store);
    store.pragma_update(None, "foreign_keys", true).unwrap();
    let refused = migrations::migrations::runner().run(&mut store);
    let why = format!("{:?}", refused.unwrap_err());
    assert!(
        why.contains("CHECK constraint failed: foreign_keys = 0"),
        "{why}"
    );
    let count = |sql: &str| -> i64 { store.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM output"), 2);
    assert_eq!(count("SELECT max(version) FROM refinery_schema_history"), 5);
}

/// A kill, or a full disk, after what a migration has made and before it is written that it was: whoever opened the
/// store then had it made once more, which fails.
#[test]
fn a_migration_is_made_and_recorded_at_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let store = make_old(&path, 5);
    fill(&store);
    let before = known_before(&store);
    let full = "CREATE TRIGGER no_more BEFORE INSERT ON refinery_schema_history
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    store.execute_batch(full).unwrap();
    let failed = sqlite::open(&path, Durability::ProcessDeath).unwrap_err();
    assert!(failed.to_string().contains("the disk is full"), "{failed}");
    store.execute_batch("DROP TRIGGER no_more").unwrap();
    assert_eq!(known_before(&store), before);
    assert_eq!(known_now(&path), before);
}

#[test]
fn a_migration_that_is_killed_leaves_the_old_store() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.db");
    let mut store = make_old(&path, 5);
    fill(&store);
    store.pragma_update(None, "foreign_keys", false).unwrap();
    let sql = migrations::migrations::runner()
        .get_migrations()
        .iter()
        .find(|migration| migration.version() == 6)
        .and_then(|migration| migration.sql().map(str::to_owned))
        .unwrap();
    let copied = TempDir::new().unwrap();
    let transaction = store.transaction().unwrap();
    // So that most of what the migration writes is in the journal before its end.
    transaction.pragma_update(None, "cache_size", 10).unwrap();
    let journal = dir.path().join("t.db-wal");
    let length = journal.metadata().unwrap().len();
    transaction.execute_batch(&sql).unwrap();
    assert!(journal.metadata().unwrap().len() > length);
    for name in ["t.db", "t.db-wal"] {
        std::fs::copy(dir.path().join(name), copied.path().join(name)).unwrap();
    }
    let version: Option<i64> = transaction
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE name = 'puts'",
            [],
            |row| row.get(0),
        )
        .optional()
        .unwrap();
    assert_eq!(version, Some(1));
    let copy = copied.path().join("t.db");
    let before = known_before(&Connection::open(&copy).unwrap());
    assert_eq!(known_now(&copy), before);
}
