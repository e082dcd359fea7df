//! Rows that make no sense cannot be written, whoever writes them.

use taskqueue::ledger::Error;

use super::{OnDisk, TaskId, put};

/// Tries statements one by one, each of which must be refused, and must be otherwise well-formed: it
/// is refused by a constraint.
#[track_caller]
fn all_refused(ledger: &OnDisk, statements: &[&str]) {
    let sqlite = ledger.sqlite();
    sqlite.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    for statement in statements {
        let error = match sqlite.execute_batch(statement) {
            Ok(()) => panic!("was taken: {statement}"),
            Err(error) => error.to_string(),
        };
        let by_constraint = ["constraint failed", "cannot store", "malformed JSON"];
        assert!(
            by_constraint.iter().any(|words| error.contains(words)),
            "{statement}: {error}"
        );
    }
}

#[test]
fn no_impossible_task() {
    let mut ledger = OnDisk::new();
    let (waiting, _) = put(&mut ledger.db, super::NOW);
    assert_eq!(waiting, TaskId(1));
    let (_, job) = put(&mut ledger.db, super::NOW);
    let running = ledger.begin(&job);
    assert_eq!(running.id.task.0, 2);
    let (_, job) = put(&mut ledger.db, super::NOW);
    let done = ledger.begin(&job);
    assert_eq!(ledger.done(done), TaskId(3));
    all_refused(
        &ledger,
        &[
            "UPDATE tasks SET due = NULL WHERE id = 1",
            "UPDATE tasks SET owner = 1 WHERE id = 1",
            "UPDATE tasks SET finished = 1 WHERE id = 1",
            "UPDATE tasks SET status = 'done' WHERE id = 1",
            "UPDATE tasks SET status = 'done', due = NULL, finished = 1 WHERE id = 1",
            "UPDATE tasks SET status = 'running', due = NULL, owner = 1 WHERE id = 1",
            "UPDATE tasks SET status = 'stalled' WHERE id = 1",
            "UPDATE tasks SET attempt = 1 WHERE id = 1",
            "UPDATE tasks SET started = 1 WHERE id = 1",
            "UPDATE tasks SET attempt = -1 WHERE id = 1",
            "UPDATE tasks SET spent = -1 WHERE id = 1",
            "UPDATE tasks SET lost = -1 WHERE id = 1",
            "UPDATE tasks SET spent = 1 WHERE id = 1",
            "UPDATE tasks SET spent = 1, lost = 1 WHERE id = 2",
            "UPDATE tasks SET owner = NULL WHERE id = 2",
            "UPDATE tasks SET worker = NULL WHERE id = 2",
            "UPDATE tasks SET due = 1 WHERE id = 2",
            "UPDATE tasks SET finished = 1 WHERE id = 2",
            "UPDATE tasks SET status = 'waiting' WHERE id = 2",
            "UPDATE tasks SET finished = NULL WHERE id = 3",
            "UPDATE tasks SET owner = 1 WHERE id = 3",
            "UPDATE tasks SET due = 1 WHERE id = 3",
            "UPDATE tasks SET status = NULL WHERE id = 3",
            "UPDATE tasks SET uuid = (SELECT uuid FROM tasks WHERE id = 2) WHERE id = 1",
            "UPDATE tasks SET uuid = x'00' WHERE id = 1",
            "UPDATE tasks SET uuid = '0123456789abcdef' WHERE id = 1",
            "UPDATE tasks SET tube = '' WHERE id = 1",
            "UPDATE tasks SET command = NULL WHERE id = 1",
            "UPDATE tasks SET arguments = NULL WHERE id = 1",
            "UPDATE tasks SET arguments = '{}' WHERE id = 1",
            "UPDATE tasks SET arguments = 'x' WHERE id = 1",
            "UPDATE tasks SET options = NULL WHERE id = 1",
            "UPDATE tasks SET options = '[]' WHERE id = 1",
            "UPDATE tasks SET body = x'00' WHERE id = 1",
            "UPDATE tasks SET arguments = NULL, options = NULL WHERE id = 1",
            "UPDATE tasks SET priority = -1 WHERE id = 1",
            "UPDATE tasks SET priority = 4294967296 WHERE id = 1",
            "UPDATE tasks SET priority = 'high' WHERE id = 1",
            "UPDATE tasks SET ttr = 0 WHERE id = 1",
            "UPDATE tasks SET created = NULL WHERE id = 1",
            "UPDATE tasks SET foreign_job = 2 WHERE id = 1",
            "UPDATE tasks SET foreign_job = 1 WHERE id = 1",
            "UPDATE tasks SET job_hash = x'00112233445566778899aabbccddeeff' WHERE id = 1",
            "UPDATE tasks SET job = -1 WHERE id = 1",
            "UPDATE tasks SET job_kicks = -1 WHERE id = 1",
            "UPDATE tasks SET job_gone = 2 WHERE id = 1",
            "UPDATE tasks SET put_generation = -1 WHERE id = 1",
        ],
    );
}

#[test]
fn no_impossible_attempt_or_output() {
    let mut ledger = OnDisk::new();
    let (_, job) = put(&mut ledger.db, super::NOW);
    let done = ledger.begin(&job);
    ledger.done(done);
    let (_, job) = put(&mut ledger.db, super::NOW);
    let _running = ledger.begin(&job);
    all_refused(
        &ledger,
        &[
            "INSERT INTO attempts VALUES (99, 1, 'w', 1, 1, 'lost', NULL, NULL, NULL)",
            "INSERT INTO attempts VALUES (1, 1, 'w', 1, 1, 'lost', NULL, NULL, NULL)",
            "INSERT INTO attempts VALUES (1, 0, 'w', 1, 1, 'lost', NULL, NULL, NULL)",
            "INSERT INTO attempts VALUES (2, 1, 'w', 1, NULL, NULL, NULL, NULL, NULL)",
            "INSERT INTO attempts VALUES (2, 1, '', 1, 1, 'lost', NULL, NULL, NULL)",
            "INSERT INTO attempts VALUES (2, 1, NULL, 1, 1, 'lost', NULL, NULL, NULL)",
            "UPDATE attempts SET outcome = NULL",
            "UPDATE attempts SET finished = NULL",
            "UPDATE attempts SET outcome = 'vanished'",
            "UPDATE attempts SET exit_code = NULL",
            "UPDATE attempts SET exit_code = 256",
            "UPDATE attempts SET exit_code = -1",
            "UPDATE attempts SET signal = 9",
            "UPDATE attempts SET outcome = 'signalled'",
            "UPDATE attempts SET outcome = 'lost'",
            "UPDATE attempts SET outcome = 'refused'",
            "UPDATE attempts SET outcome = 'could_not_start'",
            "UPDATE attempts SET exit_code = NULL, signal = 0, outcome = 'signalled'",
            "INSERT INTO output VALUES (99, 1, x'', x'', 0)",
            "INSERT INTO output VALUES (2, 1, x'', x'', 0)",
            "INSERT INTO output VALUES (1, 1, x'', x'', 0)",
            "UPDATE output SET head = zeroblob(65537)",
            "UPDATE output SET head = zeroblob(65536), tail = zeroblob(65537)",
            "UPDATE output SET head = zeroblob(65536), tail = zeroblob(65536), dropped = -1",
            "UPDATE output SET dropped = 1",
            "UPDATE output SET tail = x'00'",
            "UPDATE output SET head = zeroblob(65536), tail = zeroblob(65535), dropped = 1",
            "INSERT INTO store (only_row, id) VALUES (2, zeroblob(16))",
            "UPDATE store SET id = x'00'",
            "INSERT INTO workers (name, tube, host, pid, started) VALUES ('', 't', 'h', 1, 1)",
            "INSERT INTO workers (name, tube, host, pid, started) VALUES ('w', 't', 'h', 0, 1)",
        ],
    );
}

#[test]
fn a_task_takes_its_attempts_and_output_along() {
    let mut ledger = OnDisk::new();
    let (_, job) = put(&mut ledger.db, super::NOW);
    let attempt = ledger.begin(&job);
    ledger.done(attempt);
    assert_eq!((ledger.count("attempts"), ledger.count("output")), (1, 1));
    let sqlite = ledger.sqlite();
    sqlite
        .execute_batch("PRAGMA foreign_keys = ON; DELETE FROM tasks")
        .unwrap();
    assert_eq!((ledger.count("attempts"), ledger.count("output")), (0, 0));
}

#[test]
fn a_row_that_makes_no_sense_is_named() {
    let mut store = OnDisk::new();
    let (task, job) = put(&mut store.db, super::NOW);
    let nonsense = "UPDATE tasks SET arguments = '[{}]'";
    store.sqlite().execute(nonsense, []).unwrap();
    let claimed = super::claim(&mut store.db, &store.me, &store.commands, &job, super::NOW);
    match claimed {
        Err(Error::Row { task: named, what }) => {
            assert_eq!(named, Some(task));
            assert!(what.contains("task 1: "), "{what}");
        }
        other => panic!("{other:?}"),
    }
}
