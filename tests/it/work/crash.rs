//! A crash in every gap between two steps: what it leaves is repaired, nothing is lost and nothing runs twice at once.
//!
//! The table in ARCHITECTURE.md says what is left and who repairs it; a test for each row is here.

use std::ops::RangeInclusive;

use rustix::process::Signal;
use serde_json::{Value, json};
use taskqueue::crash::{Point, VARIABLE};

use super::{Queue, block_on, jobs, lines, number, on_both, stats, status, stopped_by};
use crate::support::{Beanstalkd, NOBODY, Running, Taskqueue, job, put, reserve, tube, until};

on_both!(
    put_recorded,
    worker_registered,
    job_reserved,
    attempt_begun,
    command_started,
    progress_kept,
    command_ended,
    outcome_known,
    outcome_noted,
    next_reserved,
    outcome_recorded,
    next_begun,
    outcome_recorded_of_a_failure_to_be_buried,
    outcome_recorded_of_a_failure_to_be_tried_again,
    job_ended,
    job_ended_of_a_foreign_producer,
    taken_over_by_a_claim,
    taken_over_by_a_reconciliation,
    remains_ended_by_a_claim,
    remains_ended_by_a_reconciliation,
    attempt_lost,
    again_begun,
    regenerated,
    old_job_removed,
    foreign_jobs_removed,
    tasks_deleted,
    tasks_edited,
    batch_deleted,
    cancel_recorded,
    call_off_sent,
    withdrawn_ahead,
);

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

/// How many wait where the death of a worker between two of them is looked at.
const TASKS: i64 = 8;

/// Nobody may hold `mutex` but the one that runs, and what it started.
const JOB: &str = r#"exec 9>mutex; flock -n 9 || echo overlap >> log; echo $1 $TASKQUEUE_ATTEMPT >> log;
[ -e slow ] && [ $TASKQUEUE_ATTEMPT = 1 ] && sleep 300; sleep 0.05; [ $1 != bad ] || exit 1
[ $1 != again ] || [ $TASKQUEUE_ATTEMPT = 2 ]"#;

fn configure(taskqueue: &Taskqueue) {
    std::fs::write(taskqueue.path("job"), JOB).unwrap();
    let command = |name: &str, more: &str| {
        format!("[commands.{name}]\nrun = [\"/bin/sh\", \"job\", \"{name}\"]\n{more}\n")
    };
    taskqueue.configure(
        &[
            command("good", ""),
            command("bad", "on_failure = \"bury\""),
            command("again", "max_attempts = 2\nbackoff = { first = 1 }"),
            "[tubes.t]\ncommand = \"good\"".into(),
        ]
        .concat(),
    );
}

fn put_one(taskqueue: &Taskqueue, command: &str) {
    configure(taskqueue);
    taskqueue.run(&["put", "--use-tube", "t", command]).ok();
}

fn starts(taskqueue: &Taskqueue, args: &[&str], point: Point) -> Running {
    let mut command = taskqueue.command(args);
    command.env(VARIABLE, format!("{point:?}"));
    Running::start(command)
}

/// Runs the program until it dies there.
#[track_caller]
fn dies(taskqueue: &Taskqueue, args: &[&str], point: Point) {
    let ran = starts(taskqueue, args, point).wait();
    assert_eq!(ran.code, None, "never came to {point:?}: {ran:?}");
}

/// Whoever had begun a put is not waited for any longer.
fn much_later(taskqueue: &Taskqueue) {
    let past = "UPDATE puts SET until = 1 WHERE until IS NOT NULL";
    taskqueue.sqlite().execute_batch(past).unwrap();
}

/// Lets a worker repair and run what there is; then nothing is left.
#[track_caller]
fn all_end(taskqueue: &Taskqueue, queue: &dyn Queue, buried: u64) {
    let worker = taskqueue.start(&WORKER);
    let open = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
    until("all ended", || number(taskqueue, open) == 0);
    until("nothing else in the tube", || {
        (stats(queue, "t").buried, jobs(queue, "t")) == (buried, buried)
    });
    // Where there was nothing to do, it may not even hear signals yet.
    until("waits", || stats(queue, "t").waiting == 1);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    let log = lines(&taskqueue.path("log"));
    assert!(!log.iter().any(|line| line == "overlap"), "{log:?}");
    // And however one looks, nothing is to be done.
    let idle = json!({ "dry_run": true, "lost": 0, "failed": 0, "stuck": 0, "put": 0 });
    let reconcile = ["reconcile", "--dry-run", "--json"];
    assert_eq!(taskqueue.run(&reconcile).json(), idle);
}

/// All end, and these are the attempts of task 1.
#[track_caller]
fn ends_as(taskqueue: &Taskqueue, queue: &dyn Queue, outcomes: &[&str], buried: u64) {
    all_end(taskqueue, queue, buried);
    let attempts = taskqueue.show("1")["attempts"].clone();
    let found = |attempt: &Value| attempt["outcome"].clone();
    let found: Vec<Value> = attempts.as_array().unwrap().iter().map(found).collect();
    assert_eq!(json!(found), json!(outcomes));
}

/// A worker dies there with a task in its hands, and another does the rest.
#[track_caller]
fn a_life(taskqueue: &Taskqueue, queue: &dyn Queue, point: Point, outcomes: &[&str]) {
    put_one(taskqueue, "good");
    dies(taskqueue, &WORKER, point);
    ends_as(taskqueue, queue, outcomes, 0);
    assert_eq!(status(taskqueue, "1"), "done");
}

/// Nothing was acknowledged: the task waits, and gets another job.
fn foreign_jobs_removed(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let body = r#"{"taskqueue":1,"command":"again"}"#;
    block_on(async { put(queue.session().as_mut(), &tube("t"), job(body)).await }).unwrap();
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "1"), "waiting");
    dies(taskqueue, &["delete", "1"], Point::ForeignJobsRemoved);
    assert_eq!(jobs(queue, "t"), 0);
    let ran = taskqueue.run(&["reconcile"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("puts jobs again"), "{ran:?}");
    assert_eq!(jobs(queue, "t"), 1);
    ends_as(taskqueue, queue, &["exited", "exited"], 0);
    assert_eq!(status(taskqueue, "1"), "done");
}

/// A job is left that leads to nothing: whoever reserves it deletes it.
fn tasks_deleted(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put_one(taskqueue, "good");
    dies(taskqueue, &["delete", "1"], Point::TasksDeleted);
    assert_eq!(
        (jobs(queue, "t"), taskqueue.run(&["show", "1"]).code),
        (1, Some(1))
    );
    all_end(taskqueue, queue, 0);
    assert!(lines(&taskqueue.path("log")).is_empty());
}

/// It is due, and its job comes in an hour: reconciliation puts another.
fn tasks_edited(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    taskqueue
        .run(&["put", "--use-tube", "t", "good", "--delay", "1h"])
        .ok();
    dies(taskqueue, &["run-now", "1"], Point::TasksEdited);
    much_later(taskqueue);
    let worker = taskqueue.start(&WORKER);
    until("done", || status(taskqueue, "1") == "done");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    // Its old job is one too many, and goes when its time has come.
    assert!(jobs(queue, "t") <= 1);
    assert_eq!(lines(&taskqueue.path("log")), ["good 1"]);
}

fn put_recorded(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let put = ["put", "--use-tube", "t", "good"];
    dies(taskqueue, &put, Point::PutRecorded);
    much_later(taskqueue);
    ends_as(taskqueue, queue, &["exited"], 0);
}

#[test]
fn put_announced() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    let put = ["put", "--use-tube", "t", "good"];
    dies(&taskqueue, &put, Point::PutAnnounced);
    // Nobody knows of its job, so there will be two.
    much_later(&taskqueue);
    taskqueue.run(&["reconcile"]).ok();
    assert_eq!(jobs(&server, "t"), 2);
    ends_as(&taskqueue, &server, &["exited"], 0);
}

/// Whoever waits looks now and then without having heard anything.
#[test]
fn bell_not_rung() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue);
    let worker = taskqueue.start(&WORKER);
    until("waits", || stats(&taskqueue, "t").waiting == 1);
    let put = ["put", "--use-tube", "t", "good"];
    dies(&taskqueue, &put, Point::BellNotRung);
    until("done", || status(&taskqueue, "1") == "done");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    ends_as(&taskqueue, &taskqueue, &["exited"], 0);
}

fn worker_registered(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_life(taskqueue, queue, Point::WorkerRegistered, &["exited"]);
    taskqueue.run(&["cleanup", "--period", "0"]).ok();
    let killed = "SELECT count(*) FROM workers WHERE stopped IS NULL";
    assert_eq!(number(taskqueue, killed), 0);
}

fn job_reserved(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_life(taskqueue, queue, Point::JobReserved, &["exited"]);
}

fn attempt_begun(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let outcomes = ["lost", "exited"];
    a_life(taskqueue, queue, Point::AttemptBegun, &outcomes);
}

fn command_started(taskqueue: &Taskqueue, queue: &dyn Queue) {
    std::fs::write(taskqueue.path("slow"), "").unwrap();
    let outcomes = ["lost", "exited"];
    a_life(taskqueue, queue, Point::CommandStarted, &outcomes);
}

fn progress_kept(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let says = r#"[ $TASKQUEUE_ATTEMPT = 1 ] || exit 0; echo '{"progress":7}' >&$TASKQUEUE_REPORT_FD; exec sleep 300"#;
    std::fs::write(taskqueue.path("says"), says).unwrap();
    taskqueue.configure("[commands.says]\nrun = ['/bin/sh', 'says']\n");
    taskqueue.run(&["put", "--use-tube", "t", "says"]).ok();
    dies(taskqueue, &WORKER, Point::ProgressKept);
    ends_as(taskqueue, queue, &["lost", "exited"], 0);
    let said = taskqueue.show("1")["report"].clone();
    assert_eq!(
        (&said["attempt"], &said["progress"]),
        (&json!(1), &json!(7))
    );
}

fn command_ended(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let outcomes = ["lost", "exited"];
    a_life(taskqueue, queue, Point::CommandEnded, &outcomes);
}

fn outcome_known(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let outcomes = ["lost", "exited"];
    a_life(taskqueue, queue, Point::OutcomeKnown, &outcomes);
}

fn outcome_recorded(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_life(taskqueue, queue, Point::OutcomeRecorded, &["exited"]);
}

/// Several tasks wait, and a worker dies between two of them: so many attempts are lost.
#[track_caller]
fn between_two(taskqueue: &Taskqueue, queue: &dyn Queue, point: Point, lost: RangeInclusive<i64>) {
    for _ in 0..TASKS {
        put_one(taskqueue, "good");
    }
    dies(taskqueue, &WORKER, point);
    all_end(taskqueue, queue, 0);
    let done = number(
        taskqueue,
        "SELECT count(*) FROM tasks WHERE status = 'done'",
    );
    assert_eq!(done, TASKS);
    let found = "SELECT count(*) FROM attempts WHERE outcome = 'lost'";
    let found = number(taskqueue, found);
    assert!(lost.contains(&found), "{found} attempts were lost");
    let exited = "SELECT count(*) FROM attempts WHERE outcome = 'exited'";
    assert_eq!(number(taskqueue, exited), TASKS);
}

/// What was in its batch journal is recorded as it was, and what had not begun is begun by another: none runs twice.
fn outcome_noted(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    std::fs::write(
        taskqueue.path("quick"),
        "echo $TASKQUEUE_TASK_ID >> ran; echo said",
    )
    .unwrap();
    taskqueue.configure("[commands.quick]\nrun = ['/bin/sh', 'quick']");
    let tasks = "{\"taskqueue\":1,\"command\":\"quick\"}\n".repeat(16);
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    taskqueue.run_with(&put, tasks.as_bytes()).ok();
    dies(taskqueue, &WORKER, Point::OutcomeNoted);
    let count = |of: &str| number(taskqueue, &format!("SELECT count(*) FROM {of}"));
    let (ended, running) = (
        lines(&taskqueue.path("ran")).len(),
        "tasks WHERE status = 'running'",
    );
    assert!(count(running) >= 2, "nothing was claimed ahead");
    assert!(count("tasks WHERE status = 'done'") < ended as i64);
    all_end(taskqueue, queue, 0);
    let mut ran = lines(&taskqueue.path("ran"));
    ran.sort_by_key(|id| id.parse::<i64>().unwrap());
    let each: Vec<String> = (1..=16).map(|id| id.to_string()).collect();
    assert_eq!(ran, each, "each ran once");
    assert_eq!(
        count("attempts WHERE outcome = 'exited' AND number = 1"),
        16
    );
    assert_eq!(count("attempts"), 16);
    assert_eq!(
        count("output WHERE CAST(head AS TEXT) = 'said' || char(10)"),
        16
    );
    assert_eq!(count("attempts WHERE started > finished"), 0);
}

/// None is lost where the broker took so long that the outcome was recorded without it.
fn next_reserved(taskqueue: &Taskqueue, queue: &dyn Queue) {
    between_two(taskqueue, queue, Point::NextReserved, 0..=1);
}

fn next_begun(taskqueue: &Taskqueue, queue: &dyn Queue) {
    between_two(taskqueue, queue, Point::NextBegun, 1..=1);
}

fn outcome_recorded_of_a_failure_to_be_buried(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put_one(taskqueue, "bad");
    dies(taskqueue, &WORKER, Point::OutcomeRecorded);
    ends_as(taskqueue, queue, &["exited"], 1);
}

fn outcome_recorded_of_a_failure_to_be_tried_again(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put_one(taskqueue, "again");
    dies(taskqueue, &WORKER, Point::OutcomeRecorded);
    ends_as(taskqueue, queue, &["exited", "exited"], 0);
    assert_eq!(status(taskqueue, "1"), "done");
}

fn job_ended(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_life(taskqueue, queue, Point::JobEnded, &["exited"]);
}

/// Nobody noted that its job has gone: cleanup asks.
fn job_ended_of_a_foreign_producer(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    block_on(async { put(queue.session().as_mut(), &tube("t"), job("raw")).await }).unwrap();
    dies(taskqueue, &WORKER, Point::JobEnded);
    ends_as(taskqueue, queue, &["exited"], 0);
    let cleanup = ["cleanup", "--period", "0"];
    assert_eq!(taskqueue.run(&cleanup).ok(), "deleted 1 task\n");
}

/// A task whose worker is killed while its command runs; by then another worker waits that dies there.
#[track_caller]
fn a_claim_dies(taskqueue: &Taskqueue, queue: &dyn Queue, point: Point) {
    std::fs::write(taskqueue.path("slow"), "").unwrap();
    put_one(taskqueue, "good");
    let first = taskqueue.start(&WORKER);
    until("begun", || !lines(&taskqueue.path("log")).is_empty());
    let second = starts(taskqueue, &WORKER, point);
    until("waits", || stats(queue, "t").waiting == 1);
    first.signal(Signal::KILL);
    first.wait();
    let ran = second.wait();
    assert_eq!(ran.code, None, "never came to {point:?}: {ran:?}");
    ends_as(taskqueue, queue, &["lost", "exited"], 0);
}

/// The same by somebody who only looks through the rows.
#[track_caller]
fn a_reconciliation_dies(taskqueue: &Taskqueue, queue: &dyn Queue, point: Point) {
    std::fs::write(taskqueue.path("slow"), "").unwrap();
    put_one(taskqueue, "good");
    dies(taskqueue, &WORKER, Point::CommandStarted);
    dies(taskqueue, &["reconcile"], point);
    ends_as(taskqueue, queue, &["lost", "exited"], 0);
}

fn taken_over_by_a_claim(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_claim_dies(taskqueue, queue, Point::TakenOver);
}

fn taken_over_by_a_reconciliation(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_reconciliation_dies(taskqueue, queue, Point::TakenOver);
}

fn remains_ended_by_a_claim(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_claim_dies(taskqueue, queue, Point::RemainsEnded);
}

fn remains_ended_by_a_reconciliation(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_reconciliation_dies(taskqueue, queue, Point::RemainsEnded);
}

fn attempt_lost(taskqueue: &Taskqueue, queue: &dyn Queue) {
    a_reconciliation_dies(taskqueue, queue, Point::AttemptLost);
}

/// A task that waits without a job.
fn without_a_job(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put_one(taskqueue, "good");
    block_on(async {
        let mut session = queue.session();
        let reservation = reserve(session.as_mut(), &tube("t")).await;
        session.delete(reservation).await.unwrap();
    });
}

fn again_begun(taskqueue: &Taskqueue, queue: &dyn Queue) {
    without_a_job(taskqueue, queue);
    dies(taskqueue, &["reconcile"], Point::AgainBegun);
    much_later(taskqueue);
    ends_as(taskqueue, queue, &["exited"], 0);
}

#[test]
fn again_announced() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    let put = ["put", "--use-tube", "t", "good", "--broker", NOBODY];
    assert_eq!(taskqueue.run(&put).code, Some(0));
    dies(&taskqueue, &["reconcile"], Point::AgainAnnounced);
    much_later(&taskqueue);
    ends_as(&taskqueue, &server, &["exited"], 0);
}

#[test]
fn jobs_found() {
    let mut server = Beanstalkd::with_binlog();
    let taskqueue = Taskqueue::with(&server);
    put_one(&taskqueue, "good");
    server.restart();
    dies(&taskqueue, &["reconcile"], Point::JobsFound);
    assert_eq!(jobs(&server, "t"), 1);
    ends_as(&taskqueue, &server, &["exited"], 0);
}

/// A task that has failed, and whose job is buried.
fn failed(taskqueue: &Taskqueue) {
    put_one(taskqueue, "bad");
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "1"), "failed");
}

fn regenerated(taskqueue: &Taskqueue, queue: &dyn Queue) {
    failed(taskqueue);
    dies(taskqueue, &["regenerate", "--id", "1"], Point::Regenerated);
    much_later(taskqueue);
    // The old job is where it was, and the new one has failed as well.
    ends_as(taskqueue, queue, &["exited", "exited"], 2);
}

fn old_job_removed(taskqueue: &Taskqueue, queue: &dyn Queue) {
    failed(taskqueue);
    dies(
        taskqueue,
        &["regenerate", "--id", "1"],
        Point::OldJobRemoved,
    );
    much_later(taskqueue);
    ends_as(taskqueue, queue, &["exited", "exited"], 1);
}

fn batch_deleted(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    let lines = "{\"taskqueue\":1,\"command\":\"good\"}\n".repeat(600);
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    taskqueue.run_with(&put, lines.as_bytes()).ok();
    let done =
        "UPDATE tasks SET status = 'done', due = NULL, started = 1, finished = 1, attempt = 1";
    taskqueue.sqlite().execute_batch(done).unwrap();
    let cleanup = ["cleanup", "--period", "0"];
    dies(taskqueue, &cleanup, Point::BatchDeleted);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM tasks"), 100);
    assert_eq!(taskqueue.run(&cleanup).ok(), "deleted 100 tasks\n");
}

/// What waited is cancelled, and the worker of what runs sees it without having been told.
fn cancel_recorded(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put_one(taskqueue, "good");
    std::fs::write(taskqueue.path("slow"), "").unwrap();
    let worker = taskqueue.start(&WORKER);
    until("it runs", || lines(&taskqueue.path("log")).len() == 1);
    taskqueue.run(&["put", "--use-tube", "t", "good"]).ok();
    dies(taskqueue, &["cancel", "2"], Point::CancelRecorded);
    dies(taskqueue, &["cancel", "1"], Point::CancelRecorded);
    assert_eq!(status(taskqueue, "2"), "cancelled");
    until("it is cancelled", || status(taskqueue, "1") == "cancelled");
    worker.signal(Signal::TERM);
    worker.wait();
    ends_as(taskqueue, queue, &["cancelled"], 0);
    assert_eq!(lines(&taskqueue.path("log")), ["good 1"]);
}

/// Its command goes with its worker, as ever, and the row says that nothing follows.
fn call_off_sent(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put_one(taskqueue, "again");
    std::fs::write(taskqueue.path("slow"), "").unwrap();
    let worker = starts(taskqueue, &WORKER, Point::CallOffSent);
    until("it runs", || lines(&taskqueue.path("log")).len() == 1);
    taskqueue.run(&["cancel", "1", "--reason", "no"]).ok();
    assert_eq!(worker.wait().code, None);
    assert_eq!(status(taskqueue, "1"), "stalled");
    ends_as(taskqueue, queue, &["lost"], 0);
    let task = taskqueue.show("1");
    assert_eq!([&task["status"], &task["reason"]], ["cancelled", "no"]);
    assert_eq!(lines(&taskqueue.path("log")), ["again 1"]);
}

/// What its batch journal calls done is done, and what had not begun is cancelled.
fn withdrawn_ahead(taskqueue: &Taskqueue, queue: &dyn Queue) {
    std::fs::write(taskqueue.path("quick"), "echo $TASKQUEUE_TASK_ID >> ran").unwrap();
    taskqueue.configure("[commands.quick]\nrun = ['/bin/sh', 'quick']");
    let tasks = "{\"taskqueue\":1,\"command\":\"quick\"}\n".repeat(16);
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    taskqueue.run_with(&put, tasks.as_bytes()).ok();
    let mut command = taskqueue.command(&WORKER);
    command.env(VARIABLE, format!("{:?}", Point::WithdrawnAhead));
    let worker = stopped_by(command, Point::OutcomeNoted);
    let ids = "SELECT group_concat(id) FROM tasks WHERE status = 'running'";
    let ids: String = taskqueue
        .sqlite()
        .query_row(ids, [], |row| row.get(0))
        .unwrap();
    let claimed = ids.split(',').count();
    let ran = lines(&taskqueue.path("ran"));
    let of_them = |id: &&str| ran.iter().any(|one| one == id);
    let done = ids.split(',').filter(of_them).count();
    assert!(done >= 1 && claimed > done, "{ids} {ran:?}");
    taskqueue.run(&["cancel", &ids]).ok();
    // What was claimed less than 50 ms ago would begin without a look.
    let claimed_at = "SELECT max(started) FROM tasks WHERE worker IS NOT NULL";
    let claimed_at = number(taskqueue, claimed_at);
    until("it looks", || taskqueue::clock::now() > claimed_at + 50);
    worker.signal(Signal::CONT);
    assert_eq!(worker.wait().code, None, "never came to the point");
    assert_eq!(lines(&taskqueue.path("ran")), ran, "nothing more began");
    all_end(taskqueue, queue, 0);
    let count = |of: &str| number(taskqueue, &format!("SELECT count(*) FROM {of}"));
    let cancelled = i64::try_from(claimed - done).unwrap();
    assert_eq!(
        count("tasks WHERE status = 'cancelled' AND attempt = 0"),
        cancelled
    );
    assert_eq!(count("tasks WHERE status = 'done'"), 16 - cancelled);
    assert_eq!(count("attempts"), 16 - cancelled);
}

#[test]
fn every_point_is_in_the_code_in_the_tests_and_in_the_table() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("crash.rs") {
                code += &std::fs::read_to_string(&path).unwrap();
            }
        }
    }
    let tests = [
        include_str!("crash.rs"),
        include_str!("../backup/crash.rs"),
        include_str!("../schedule/fires.rs"),
    ]
    .concat();
    let table = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let word = |text: &str, word: &str| {
        text.split(|c: char| !c.is_alphanumeric())
            .any(|w| w == word)
    };
    for point in Point::ALL {
        let name = format!("{point:?}");
        assert!(
            code.contains(&format!("crash::here(Point::{name})"))
                || code.contains(&format!("gap(Point::{name})")),
            "{name} is nowhere in src"
        );
        assert!(
            tests.contains(&format!("Point::{name}")),
            "{name} is hit by no test"
        );
        assert!(word(&table, &name), "{name} is not in ARCHITECTURE.md");
    }
}

/// What the tests switch on must not be on by itself.
#[test]
fn a_release_has_no_crash_points() {
    let manifest = include_str!("../../../Cargo.toml");
    let features = manifest.split("[features]").nth(1).unwrap();
    let features = features.split("\n[").next().unwrap();
    let by_itself = ["default = ", "cli = "].map(|name| {
        let (_, list) = features.split_once(name).unwrap();
        list.split_once(']').unwrap().0
    });
    assert_eq!(by_itself[0], "[\"cli\"");
    assert!(!by_itself[1].contains("crash"), "{features}");
}
