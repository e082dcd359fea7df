//! Stores that do not take what they are told: no outcome is thrown away.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Queue, jobs, lines, on_both, stats, status};
use crate::support::{Disk, Running, Taskqueue, until};

on_both!(
    an_outcome_outlasts_a_locked_store,
    an_outcome_outlasts_a_full_disk,
    an_outcome_outlasts_a_folder_that_is_gone_for_a_while,
    an_outcome_outlasts_a_corrupt_file,
    who_is_stopped_before_he_could_record_leaves_the_job,
    a_tender_hears_of_a_worker_that_cannot_record,
    a_row_that_makes_no_sense_harms_itself_alone,
);

/// One command waits for a file `go`, says a lot, and logs when it begins and ends.
fn configure(taskqueue: &Taskqueue) {
    taskqueue.configure(
        r#"
        [commands.job]
        run = ["/bin/sh", "-c", "echo begin >> log; while ! [ -e go ]; do sleep 0.05; done; head -c 100000 /dev/zero; echo end >> log"]
        [commands.ok]
        run = ["/bin/true"]
        "#,
    );
}

/// A worker with the long command, which runs, and a short one that waits. What it logs is in `said`.
fn begin(taskqueue: &Taskqueue, more: &[&str]) -> Running {
    configure(taskqueue);
    // A TTR that runs out meanwhile, unless the job is touched.
    let put = ["put", "--use-tube", "t", "--ttr", "3", "job"];
    taskqueue.run(&put).ok();
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    let worker = worker(taskqueue, more);
    until("begun", || log(taskqueue).len() == 1);
    worker
}

fn worker(taskqueue: &Taskqueue, more: &[&str]) -> Running {
    let mut command = taskqueue.command(&[&["worker", "--use-tube", "t"], more].concat());
    command.stderr(File::create(taskqueue.path("said")).unwrap());
    Running::start(command)
}

/// Lets the long command end.
fn end(taskqueue: &Taskqueue) {
    fs::write(taskqueue.path("go"), "").unwrap();
    until("ended", || log(taskqueue).len() == 2);
}

fn log(taskqueue: &Taskqueue) -> Vec<String> {
    lines(&taskqueue.path("log"))
}

/// How often a worker has said that it could not record.
fn complaints(taskqueue: &Taskqueue) -> usize {
    let said = lines(&taskqueue.path("said"));
    let complains = |line: &&String| line.contains("could not record an outcome");
    said.iter().filter(complains).count()
}

fn complains(taskqueue: &Taskqueue) {
    until("said so", || complaints(taskqueue) == 1);
}

/// Once the store is as it was: the outcome is recorded, by the first attempt, and work goes on.
fn outlasted(taskqueue: &Taskqueue, queue: &dyn Queue, worker: Running) {
    until("recorded", || status(taskqueue, "1") == "done");
    until("the next", || status(taskqueue, "2") == "done");
    until("an empty tube", || jobs(queue, "t") == 0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(complaints(taskqueue), 1, "once, and not once a try");
    let ends = attempts(taskqueue, "1");
    assert_eq!(ends, [json!(["exited", 0])]);
    assert_eq!(log(taskqueue), ["begin", "end"]);
}

/// Outcome and exit code of each.
fn attempts(taskqueue: &Taskqueue, id: &str) -> Vec<Value> {
    let attempts = taskqueue.show(id)["attempts"].clone();
    let ends = |attempt: &Value| json!([attempt["outcome"], attempt["exit_code"]]);
    attempts.as_array().unwrap().iter().map(ends).collect()
}

/// Longer than anybody waits for a lock, and than the job's TTR.
fn an_outcome_outlasts_a_locked_store(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let worker = begin(taskqueue, &[]);
    let sqlite = taskqueue.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    end(taskqueue);
    complains(taskqueue);
    // Its TTR is over long since. Where the store is the queue, nothing can be touched either.
    if taskqueue.broker() != "embedded" {
        assert_eq!(stats(queue, "t").reserved, 1);
    }
    sqlite.execute_batch("COMMIT").unwrap();
    outlasted(taskqueue, queue, worker);
}

fn an_outcome_outlasts_a_full_disk(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let Some(disk) = Disk::mount(&taskqueue.path("")) else {
        return;
    };
    taskqueue.keep_store_at(disk.path("t.db"));
    let worker = begin(taskqueue, &[]);
    disk.fill();
    end(taskqueue);
    complains(taskqueue);
    disk.free();
    outlasted(taskqueue, queue, worker);
}

fn an_outcome_outlasts_a_folder_that_is_gone_for_a_while(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let (here, away) = (taskqueue.path("state"), taskqueue.path("away"));
    taskqueue.keep_store_at(here.join("t.db"));
    let worker = begin(taskqueue, &[]);
    fs::rename(&here, &away).unwrap();
    end(taskqueue);
    complains(taskqueue);
    assert!(!here.exists(), "it made another store");
    fs::rename(&away, &here).unwrap();
    outlasted(taskqueue, queue, worker);
}

fn an_outcome_outlasts_a_corrupt_file(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let worker = begin(taskqueue, &[]);
    // All of it in the file itself, and nothing in the worker's memory.
    let sqlite = taskqueue.sqlite();
    let all_in_file = || {
        sqlite
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
    };
    sqlite
        .execute_batch("UPDATE workers SET host = 'there'")
        .unwrap();
    until("nobody in the way", || all_in_file() == 0);
    let sound = fs::read(taskqueue.store()).unwrap();
    let store = File::options().write(true).open(taskqueue.store()).unwrap();
    let overwrite = |bytes: &[u8]| {
        use std::os::unix::fs::FileExt;
        store.write_all_at(bytes, 0).unwrap();
    };
    overwrite(&vec![b'x'; sound.len()]);
    end(taskqueue);
    complains(taskqueue);
    overwrite(&sound);
    // What was read wrong is read again once somebody has written.
    let somebody_writes = "UPDATE workers SET host = 'elsewhere'";
    sqlite.execute_batch(somebody_writes).unwrap();
    outlasted(taskqueue, queue, worker);
}

/// The truth is that nobody knows how it ended.
fn who_is_stopped_before_he_could_record_leaves_the_job(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let first = begin(taskqueue, &["--grace-period", "1"]);
    let sqlite = taskqueue.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    end(taskqueue);
    complains(taskqueue);
    // It keeps the one (where it can: the embedded broker is in the store), and not the other, which another may have.
    assert!(stats(queue, "t").reserved <= 1, "it holds the next");
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code, Some(0));
    sqlite.execute_batch("COMMIT").unwrap();
    assert_eq!(status(taskqueue, "1"), "stalled");
    assert_eq!(status(taskqueue, "2"), "waiting", "it took another");

    let second = worker(taskqueue, &[]);
    until("run again", || status(taskqueue, "1") == "done");
    until("an empty tube", || jobs(queue, "t") == 0);
    second.signal(Signal::TERM);
    assert_eq!(second.wait().code, Some(0));
    let ends = attempts(taskqueue, "1");
    assert_eq!(ends, [json!(["lost", null]), json!(["exited", 0])]);
}

fn a_tender_hears_of_a_worker_that_cannot_record(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let mut command = taskqueue.command(&["worker", "--use-tube", "t"]);
    command.stderr(File::create(taskqueue.path("said")).unwrap());
    let (worker, link) = Running::start_tended(command);
    let mut reports = BufReader::new(link).lines();
    let mut hears = |report: &str| {
        let line = reports.next().unwrap().unwrap();
        assert!(line.contains(&format!(r#""report":"{report}""#)), "{line}");
    };
    hears("ready");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    hears("busy");
    let sqlite = taskqueue.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    end(taskqueue);
    hears("troubled");
    sqlite.execute_batch("COMMIT").unwrap();
    hears("idle");
    until("an empty tube", || jobs(queue, "t") == 0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn a_row_that_makes_no_sense_harms_itself_alone(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    }
    let nonsense = "UPDATE tasks SET tube = 'no tube' WHERE id = 1";
    taskqueue.sqlite().execute_batch(nonsense).unwrap();
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "2"), "done");
    assert_eq!((stats(queue, "t").buried, jobs(queue, "t")), (1, 1));
}

#[test]
fn a_read_only_store_can_be_read_and_loses_nothing() {
    let taskqueue = Taskqueue::embedded();
    let Some(disk) = Disk::mount(&taskqueue.path("")) else {
        return;
    };
    configure(&taskqueue);
    taskqueue.keep_store_at(disk.path("t.db"));
    let put = ["put", "--use-tube", "t", "ok"];
    taskqueue.run(&put).ok();
    disk.make_read_only();
    for args in [&put[..], &["worker", "--use-tube", "t"]] {
        let said = taskqueue.run(args).failed(1);
        let store = taskqueue.store();
        assert!(said.contains(store.to_str().unwrap()), "{said}");
    }
    disk.make_writable();
    assert_eq!(
        taskqueue.run(&put).ok(),
        "2\n",
        "what was refused is not there"
    );
    taskqueue.work("t", 2);
    for id in ["1", "2"] {
        assert_eq!(status(&taskqueue, id), "done");
    }
}
