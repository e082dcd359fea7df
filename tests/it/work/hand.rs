//! A task in hand: deleted, changed, made due; and a tube that is emptied.

use std::time::Duration;

use serde_json::{Value, json};
use taskqueue::broker::NewJob;

use super::{Queue, block_on, jobs, lines, number, on_both, stats};
use crate::support::{Beanstalkd, NOBODY, Taskqueue, job, put, tube, until};

on_both!(
    what_does_not_run_is_deleted,
    another_producers_task_is_deleted_with_its_job,
    what_waits_is_changed,
    what_waits_is_due_now,
    a_tube_is_emptied_whoever_put_there,
);

const COMMANDS: &str = "[commands.no]\nrun = ['/bin/false']\n[commands.ok]\nrun = ['/bin/true']\n\
     [commands.say]\nrun = ['/bin/sh', '-c', 'echo \"$@\" >> said', '-']\noptions = 'any'\n\
     [commands.long]\nrun = ['/bin/sleep', '300']\n\
     [commands.again]\nrun = ['/bin/sh', '-c', 'exit 75']\nmax_attempts = 2\nbackoff = { first = '1h' }\n\
     [tubes.raw]\ncommand = 'ok'\n";

fn put_one(taskqueue: &Taskqueue, args: &[&str]) {
    taskqueue
        .run(&[&["put", "--use-tube", "t"], args].concat())
        .ok();
}

fn is_gone(taskqueue: &Taskqueue, id: &str) -> bool {
    taskqueue.run(&["show", id]).stdout == "gone\n"
}

fn what_does_not_run_is_deleted(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    put_one(taskqueue, &["long"]);
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    until("it runs", || taskqueue.show("1")["status"] == "running");
    put_one(taskqueue, &["ok", "--tag", "k=v"]);
    put_one(taskqueue, &["ok", "--delay", "1h"]);
    let ran = taskqueue.run(&["delete", "1,2", "99"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(1), "task 2 was deleted\n")
    );
    let running = "taskqueue: task 1 is running, and what runs is not deleted; wait for its end, or end it first\n";
    assert!(ran.stderr.starts_with(running), "{ran:?}");
    assert!(
        ran.stderr
            .contains("\ntaskqueue: No such task :99 in the store "),
        "{ran:?}"
    );
    assert!(is_gone(taskqueue, "2"));
    // The job of the one that runs, and of the one that is delayed.
    assert_eq!(jobs(queue, "t"), 2);
    let said = taskqueue
        .run(&["delete", "--status", "running", "--yes"])
        .failed(2);
    assert!(said.contains("what runs is not deleted"), "{said}");
    let deleted = taskqueue.run(&["delete", "--all", "--yes", "--json"]);
    let counts: Value = serde_json::from_str(&deleted.stdout).unwrap();
    assert_eq!(
        counts,
        json!({ "changed": 1, "dry_run": false, "matched": 1, "refused": 0 })
    );
    assert_eq!(jobs(queue, "t"), 1);
    drop(worker);
    for (table, left) in [("tasks", 1), ("tags", 0), ("puts", 0), ("task_jobs", 1)] {
        assert_eq!(
            number(taskqueue, &format!("SELECT count(*) FROM {table}")),
            left,
            "{table}"
        );
    }
}

fn put_theirs(queue: &dyn Queue, name: &str, job: NewJob) {
    block_on(async { put(queue.session().as_mut(), &tube(name), job).await }).unwrap();
}

fn another_producers_task_is_deleted_with_its_job(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    let body = |command: &str| job(format!(r#"{{"taskqueue":1,"command":"{command}"}}"#));
    // It waits for its next attempt: its job is delayed. And one that was refused: its job is buried.
    put_theirs(queue, "t", body("again"));
    taskqueue.work("t", 1);
    put_theirs(queue, "t", body("unknown"));
    taskqueue.work("t", 1);
    put_theirs(queue, "t", body("ok"));
    taskqueue.work("t", 1);
    assert_eq!(
        (stats(queue, "t").delayed, stats(queue, "t").buried),
        (1, 1)
    );
    let changed = taskqueue.run(&["edit", "1", "--option", "x=1"]).failed(1);
    assert!(
        changed.contains("whose body says what it is given"),
        "{changed}"
    );
    let ran = taskqueue.run(&["delete", "1,2,3"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(jobs(queue, "t"), 0);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM tasks"), 0);
}

#[test]
fn without_a_broker_another_producers_task_stays() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    put_theirs(&server, "t", job(r#"{"taskqueue":1,"command":"unknown"}"#));
    taskqueue.work("t", 1);
    put_one(&taskqueue, &["ok"]);
    server.kill();
    let ran = taskqueue.run(&["delete", "1,2"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(1), "task 2 was deleted\n")
    );
    assert!(
        ran.stderr.contains("task 1 came by another producer's job"),
        "{}",
        ran.stderr
    );
    assert_eq!(taskqueue.show("1")["status"], "failed");
}

fn what_waits_is_changed(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    put_one(
        taskqueue,
        &[
            "say", "a", "--option", "x=1", "--option", "y", "--tag", "k=v", "--delay", "1h",
        ],
    );
    taskqueue
        .run_with(&["put", "--use-tube", "raw", "--stdin"], b"bytes")
        .ok();
    let edit = |args: &[&str]| taskqueue.run(&[&["edit"], args].concat());
    assert_eq!(
        edit(&["1", "--argument", "b", "--argument", "c"]).ok(),
        "task 1 was edited\n"
    );
    edit(&[
        "1",
        "--option",
        "x=2",
        "--option",
        "z=3",
        "--set-tag",
        "k=w",
        "--set-tag",
        "l",
    ])
    .ok();
    let task = taskqueue.show("1");
    assert_eq!(task["arguments"], json!(["b", "c"]));
    assert_eq!(task["options"].to_string(), r#"{"x":"2","y":true,"z":"3"}"#);
    assert_eq!(task["tags"], json!(["k=w", "l"]));
    let due = task["due"].clone();
    // None of that is its job's affair.
    assert_eq!((stats(queue, "t").delayed, jobs(queue, "t")), (1, 1));
    edit(&[
        "--tag",
        "l",
        "--clear",
        "options,tags",
        "--set-tag",
        "m",
        "--yes",
    ]);
    let task = taskqueue.show("1");
    assert_eq!(
        (&task["options"], &task["tags"], &task["due"]),
        (&json!({}), &json!(["m"]), &due)
    );
    edit(&["1", "--priority", "7"]).ok();
    let task = taskqueue.show("1");
    assert_eq!((&task["priority"], &task["due"]), (&json!(7), &due));
    // There is one job, of the new priority, and as late as the old one was.
    assert_eq!((stats(queue, "t").delayed, jobs(queue, "t")), (1, 1));
    let id = task["job"].as_u64().unwrap();
    let known = block_on(async { queue.session().stats_job(id).await })
        .unwrap()
        .unwrap();
    assert_eq!(known.priority, 7);
    assert!(known.time_left > Duration::from_secs(3000), "{known:?}");
    edit(&["1", "--at", "2100-01-01T00:00:00+01:00"]).ok();
    assert_eq!(taskqueue.show("1")["due"], "2099-12-31T23:00:00.000Z");
    edit(&["1", "--delay", "0"]).ok();
    assert_eq!((stats(queue, "t").ready, jobs(queue, "t")), (1, 1));
    taskqueue.work("t", 1);
    assert_eq!(lines(&taskqueue.path("said")), ["b c"]);

    for (args, code, said) in [
        (
            &["1", "--priority", "1"][..],
            1,
            "Current status: 'done' must be 'waiting'",
        ),
        (&["2", "--argument", "x"], 1, "task 2 is a raw body"),
        (&["9", "--priority", "1"], 1, "No such task :9"),
        (&["2"], 2, "was not told what is to be otherwise"),
        (
            &["--status", "running", "--priority", "1"],
            2,
            "A task can not be marked as \"running\"",
        ),
        (
            &["--status", "done", "--priority", "1"],
            2,
            "only what waits is edited",
        ),
        (&["2", "--at", "tomorrow"], 2, "'tomorrow' is no time"),
        (&["2", "--option=-x"], 2, "option name"),
    ] {
        let ran = edit(args).failed(code);
        assert!(ran.contains(said), "{args:?}: {ran}");
    }
}

fn what_waits_is_due_now(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    put_one(taskqueue, &["ok", "--delay", "1h"]);
    put_one(taskqueue, &["again"]);
    put_one(taskqueue, &["no"]);
    taskqueue.work("t", 2);
    assert_eq!(
        (
            taskqueue.show("2")["status"].as_str(),
            stats(queue, "t").delayed
        ),
        (Some("waiting"), 2)
    );
    let ran = taskqueue.run(&["run-now", "1,2,3", "--json"]);
    let answers: Value = serde_json::from_str(&ran.stdout).unwrap();
    let done: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["made due"])
        .collect();
    assert_eq!(done, [true, true, false]);
    assert!(
        ran.stderr
            .contains("to let it wait again: taskqueue regenerate"),
        "{}",
        ran.stderr
    );
    assert_eq!((stats(queue, "t").ready, jobs(queue, "t")), (2, 2));
    taskqueue.work("t", 2);
    assert_eq!(taskqueue.show("1")["status"], "done");
    assert_eq!(taskqueue.show("2")["attempts"].as_array().unwrap().len(), 2);
}

fn a_tube_is_emptied_whoever_put_there(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    put_theirs(queue, "t", job(r#"{"taskqueue":1,"command":"unknown"}"#));
    put_theirs(queue, "t", job(r#"{"taskqueue":1,"command":"again"}"#));
    taskqueue.work("t", 2);
    for _ in 0..3 {
        put_theirs(queue, "t", job("theirs"));
    }
    let later = NewJob {
        delay: Duration::from_secs(3600),
        ..job("later")
    };
    put_theirs(queue, "t", later);
    put_one(taskqueue, &["ok"]);
    put_one(taskqueue, &["ok", "--delay", "1h"]);
    taskqueue.run(&["put", "--use-tube", "u", "ok"]).ok();
    let flush = |args: &[&str]| taskqueue.run(&[&["flush", "--use-tube", "t"], args].concat());
    let said = flush(&[]).failed(2);
    assert!(
        said.contains("3 tasks are to be deleted, and nobody can be asked"),
        "{said}"
    );
    assert_eq!(flush(&["--dry-run"]).ok(), "would have deleted 3 tasks\n");
    let ran = flush(&["--yes"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "deleted 3 tasks\n")
    );
    assert!(
        ran.stderr
            .contains("4 other jobs of the tube t were deleted"),
        "{}",
        ran.stderr
    );
    // The one that failed stays, with its job.
    assert_eq!(
        (stats(queue, "t").buried, jobs(queue, "t"), jobs(queue, "u")),
        (1, 1, 1)
    );
    assert_eq!(
        number(taskqueue, "SELECT count(*) FROM tasks WHERE tube = 't'"),
        1
    );
    let again = flush(&["--yes"]);
    assert_eq!(again.stdout, "deleted 0 tasks\n");
}

/// What is changed while nobody answers is so all the same.
#[test]
fn without_a_broker_what_waits_is_changed() {
    let taskqueue = Taskqueue::alone();
    taskqueue.configure(COMMANDS);
    let ran = taskqueue.run(&["put", "--use-tube", "t", "ok", "--delay", "1h"]);
    assert!(
        ran.stderr.contains(&NOBODY["beanstalk://".len()..]),
        "{}",
        ran.stderr
    );
    let ran = taskqueue.run(&["run-now", "1"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "task 1 was made due\n")
    );
    assert!(
        ran.stderr.contains("task 1 is recorded and will be put"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        number(&taskqueue, "SELECT count(*) FROM puts WHERE until IS NULL"),
        1
    );
}
