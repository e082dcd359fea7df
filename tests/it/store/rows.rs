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
            "UPDATE tasks SET ahead = 2 WHERE id = 2",
        ],
    );
    for word in ["done", "failed", "cancelled"] {
        let with = |rest: &str| format!("UPDATE tasks SET status = '{word}', {rest} WHERE id = 3");
        let wrong = ["due = 1", "owner = 1", "finished = NULL"].map(with);
        all_refused(&ledger, &wrong.each_ref().map(String::as_str));
        ledger
            .sqlite()
            .execute_batch(&with("reason = NULL"))
            .unwrap();
    }
}

#[test]
fn no_impossible_job() {
    let mut ledger = OnDisk::new();
    put(&mut ledger.db, super::NOW);
    let foreign = "INSERT INTO foreign_jobs (task, broker, job, instance, hash, birth) VALUES";
    let ours = "INSERT INTO task_jobs (task, broker, generation, job) VALUES";
    let put = "INSERT INTO puts (tube, task, broker, generation) VALUES";
    let job = "(1, 1, 7, 'i', zeroblob(16), 5)";
    let known = format!("{foreign} {job}; {ours} (1, 1, 1, 7)");
    ledger.sqlite().execute_batch(&known).unwrap();
    let others = [
        format!("{foreign} {job}"),
        format!("{foreign} (99, 1, 7, 'i', zeroblob(16), 5)"),
        format!("{ours} (1, 1, 1, 7)"),
        format!("{ours} (99, 1, 1, 7)"),
        format!("{ours} (1, 0, 1, 7)"),
        format!("{put} ('t', 1, 1, 2)"),
        format!("{put} ('u', 1, 2, 1)"),
        format!("{put} ('t', 99, 1, 1)"),
        format!("{put} ('t', 1, 0, 1)"),
    ];
    all_refused(&ledger, &others.each_ref().map(String::as_str));
    all_refused(
        &ledger,
        &[
            "UPDATE foreign_jobs SET broker = 0",
            "UPDATE foreign_jobs SET job = NULL",
            "UPDATE foreign_jobs SET job = -1",
            "UPDATE foreign_jobs SET instance = NULL",
            "UPDATE foreign_jobs SET hash = NULL",
            "UPDATE foreign_jobs SET hash = x'00'",
            "UPDATE foreign_jobs SET birth = NULL",
            "UPDATE foreign_jobs SET kicks = -1",
            "UPDATE foreign_jobs SET gone = 2",
            "UPDATE task_jobs SET generation = -1",
            "UPDATE task_jobs SET generation = NULL",
            "UPDATE task_jobs SET job = -1",
            "UPDATE task_jobs SET kicks = -1",
            "UPDATE task_jobs SET gone = 2",
            "UPDATE puts SET generation = 0",
        ],
    );
}

#[test]
fn a_new_word_is_a_row() {
    let mut ledger = OnDisk::new();
    put(&mut ledger.db, super::NOW);
    let (_, job) = put(&mut ledger.db, super::NOW);
    let done = ledger.begin(&job);
    ledger.done(done);
    let (held, split) = (
        // It waits for something else than a time, was never tried, is owned by nobody, and has not ended.
        "UPDATE tasks SET status = 'held', due = NULL WHERE id = 1",
        "UPDATE attempts SET outcome = 'split', exit_code = NULL WHERE task = 2",
    );
    all_refused(&ledger, &[held, split]);
    let sqlite = ledger.sqlite();
    sqlite.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    sqlite
        .execute_batch(
            "INSERT INTO statuses VALUES ('held'); INSERT INTO outcomes VALUES ('split')",
        )
        .unwrap();
    sqlite.execute_batch(held).unwrap();
    sqlite.execute_batch(split).unwrap();
    // Whatever goes with it: those who bring the word know, and may say so in a table of theirs.
    for also in [
        "due = 5",
        "owner = 1",
        "finished = 5",
        "attempt = 1, started = 1",
    ] {
        let also = format!("UPDATE tasks SET {also} WHERE id = 1");
        sqlite.execute_batch(&also).unwrap();
    }
    // Words that are in use stay.
    all_refused(
        &ledger,
        &[
            "DELETE FROM statuses WHERE word = 'held'",
            "DELETE FROM outcomes WHERE word = 'split'",
            "INSERT INTO statuses VALUES ('held')",
        ],
    );
}

#[test]
fn a_second_broker_is_a_row() {
    let mut ledger = OnDisk::new();
    let (task, job) = put(&mut ledger.db, super::NOW);
    let tube = crate::support::tube("t");
    let read = |ledger: &OnDisk| {
        let missing = ledger
            .db
            .missing(&tube, TaskId(0), 9, i64::MAX - 20_000)
            .unwrap();
        let unverified = ledger.db.unverified(&tube, None, TaskId(0), 9).unwrap();
        let shown = ledger.db.show(task.into()).unwrap();
        format!("{missing:?} {unverified:?} {shown:?}")
    };
    let before = read(&ledger);
    let sqlite = ledger.sqlite();
    sqlite
        .execute_batch(
            "PRAGMA foreign_keys = ON;
             INSERT INTO puts (tube, task, broker, generation, until) VALUES ('t', 1, 2, 8, NULL);
             INSERT INTO task_jobs (task, broker, generation, job, instance, kicks) VALUES (1, 2, 7, 99, 'there', 3)",
        )
        .unwrap();
    assert_eq!(read(&ledger), before);
    let begun = ledger.begin(&job);
    assert_eq!(begun.put.generation, 1);
    ledger.done(begun);
    let of_the_second = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table} WHERE broker = 2");
        sqlite
            .query_row(&sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(["puts", "task_jobs"].map(of_the_second), [1, 1]);
    // A put goes with its task to another tube, as a task does that is regenerated there.
    sqlite.execute_batch("UPDATE tasks SET tube = 'u'").unwrap();
    let tubes = "SELECT group_concat(DISTINCT tube) FROM puts";
    let tubes: String = sqlite.query_row(tubes, [], |row| row.get(0)).unwrap();
    assert_eq!(tubes, "u");
    sqlite.execute_batch("DELETE FROM tasks").unwrap();
    assert_eq!(["puts", "task_jobs"].map(of_the_second), [0, 0]);
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
            "INSERT INTO attempts (task, number, worker, started, finished, outcome)
                VALUES (99, 1, 'w', 1, 1, 'lost')",
            "INSERT INTO attempts (task, number, worker, started, finished, outcome)
                VALUES (1, 1, 'w', 1, 1, 'lost')",
            "INSERT INTO attempts (task, number, worker, started, finished, outcome)
                VALUES (1, 0, 'w', 1, 1, 'lost')",
            "INSERT INTO attempts (task, number, worker, started, finished, outcome)
                VALUES (2, 1, 'w', 1, NULL, NULL)",
            "INSERT INTO attempts (task, number, worker, started, finished, outcome)
                VALUES (2, 1, '', 1, 1, 'lost')",
            "INSERT INTO attempts (task, number, worker, started, finished, outcome)
                VALUES (2, 1, NULL, 1, 1, 'lost')",
            "UPDATE attempts SET outcome = NULL",
            "UPDATE attempts SET user_time = -1",
            "UPDATE attempts SET system_time = -1",
            "UPDATE attempts SET peak_memory = -1",
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
