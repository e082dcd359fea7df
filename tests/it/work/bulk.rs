//! What is done to many tasks: which are meant, who is asked, and what becomes of them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::{Queue, number, on_both, stats};
use crate::support::{Beanstalkd, Taskqueue, until};

on_both!(
    a_filter_says_which_run_again,
    a_filter_says_which_are_called_off,
    numbers_come_from_standard_input,
    what_fails_while_it_is_asked_for_is_not_meant,
);

/// So many tasks `no` in the tube t that have failed, and one of each other kind.
fn some(taskqueue: &Taskqueue, failed: usize) {
    taskqueue.configure(
        "[commands.no]\nrun = ['/bin/false']\n[commands.ok]\nrun = ['/bin/true']\n\
         [commands.three]\nrun = ['/bin/sh', '-c', 'exit 3']\n\
         [commands.again]\nrun = ['/bin/sh', '-c', 'exit 75']\nmax_attempts = 9\nbackoff = { first = 600 }\n[commands.long]\nrun = ['/bin/sleep', '600']",
    );
    let no = "{\"taskqueue\":1,\"command\":\"no\"}\n".repeat(failed);
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    taskqueue.run_with(&put, no.as_bytes()).ok();
    taskqueue.run(&["put", "--use-tube", "t", "three"]).ok();
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    taskqueue.work("t", failed + 2);
    taskqueue.run(&["put", "--use-tube", "u", "no"]).ok();
    taskqueue.work("u", 1);
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
}

fn waiting(taskqueue: &Taskqueue) -> i64 {
    number(
        taskqueue,
        "SELECT count(*) FROM tasks WHERE status = 'waiting'",
    )
}

fn a_filter_says_which_run_again(taskqueue: &Taskqueue, queue: &dyn Queue) {
    some(taskqueue, 5);
    let run = |args: &[&str]| taskqueue.run(&[&["regenerate"], args].concat());
    // Nobody can be asked here.
    let said = run(&["--status", "failed"]).failed(2);
    assert!(
        said.contains("7 tasks are to be regenerated, and nobody can be asked"),
        "{said}"
    );
    let said = run(&[]).failed(2);
    assert!(
        said.contains("was not told which tasks are meant"),
        "{said}"
    );
    let said = run(&["--status", "failed,done", "--yes"]).failed(2);
    assert!(
        said.contains("--status done: only tasks that failed or were cancelled are"),
        "{said}"
    );
    run(&["--all", "--use-tube", "t", "--yes"]).failed(2);
    for (args, count) in [
        (&["--all"][..], 7),
        (&["--status", "failed"], 7),
        (&["--use-tube", "t"], 6),
        (&["--use-tube", "u"], 1),
        (&["--command", "three"], 1),
        (&["--reason", "code 3"], 1),
        (&["--reason", "code %"], 0),
        (&["--since", "1h"], 7),
        (&["--until", "1h"], 0),
        (&["1,2", "7", "99", "--command", "no"], 2),
    ] {
        let dry = run(&[args, &["--dry-run", "--json"]].concat()).json();
        let expected = json!({ "changed": 0, "dry_run": true, "matched": count, "refused": 0 });
        assert_eq!(dry, expected, "{args:?}");
    }
    assert_eq!(waiting(taskqueue), 1);
    let ran = run(&["--use-tube", "t", "--yes"]);
    assert_eq!(ran.stderr, "6 tasks are to be regenerated\n");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "regenerated 6 tasks\n")
    );
    assert_eq!(waiting(taskqueue), 7);
    assert_eq!(stats(queue, "t").ready, 7);
    // Named by their numbers, each has its answer, and nobody is asked.
    let named = run(&["1", "8", "8"]);
    assert_eq!(
        (named.code, named.stdout.as_str()),
        (Some(1), "task 8 was regenerated\n")
    );
    assert!(
        named.stderr.contains("'waiting' must be 'failed'"),
        "{}",
        named.stderr
    );
    taskqueue.work("t", 7);
    let moved = run(&["1", "2", "--to-tube", "v"]).ok();
    assert_eq!(moved, "task 1 was regenerated\ntask 2 was regenerated\n");
    assert_eq!(
        (
            taskqueue.show("1")["tube"].as_str(),
            stats(queue, "v").ready
        ),
        (Some("v"), 2)
    );
    let none = run(&["--command", "nosuch", "--yes"]).ok();
    assert_eq!(none, "regenerated 0 tasks\n");
}

fn a_filter_says_which_are_called_off(taskqueue: &Taskqueue, _: &dyn Queue) {
    some(taskqueue, 2);
    let put = |tube: &str, args: &[&str]| {
        taskqueue
            .run(&[&["put", "--use-tube", tube], args].concat())
            .ok();
    };
    let runs = |id: &str| until("it runs", || taskqueue.show(id)["status"] == "running");
    // Beside the task 6, which waits: one that runs, one that is delayed, one that backs off.
    let worker = taskqueue.start(&["worker", "--use-tube", "v", "--log", "error"]);
    put("v", &["long", "--tag", "k=1"]);
    put("t", &["ok", "--tag", "k=2", "--delay", "600"]);
    put("w", &["again"]);
    taskqueue.work("w", 1);
    let reason = "UPDATE tasks SET reason = 'exit code 75' WHERE id = 9";
    taskqueue.sqlite().execute(reason, []).unwrap();
    runs("7");
    let run = |args: &[&str]| taskqueue.run(&[&["cancel"], args].concat());
    for (args, what) in [
        (&[][..], "was not told which tasks are meant"),
        (&["--all", "6"], "--all means all tasks"),
        (
            &["--status", "failed", "--yes"],
            "--status failed: only what waits or runs is cancelled",
        ),
        (
            &["--tag", "k"],
            "2 tasks are to be cancelled, and nobody can be asked",
        ),
    ] {
        let said = run(args).failed(2);
        assert!(said.contains(what), "{said}");
    }
    for (args, count) in [
        (&["--all"][..], 4),
        (&["--tag", "k"], 2),
        (&["--tag", "k=2"], 1),
        (&["--use-tube", "t"], 2),
        (&["--command", "ok"], 2),
        (&["--status", "running"], 1),
        (&["--status", "waiting,running"], 4),
        (&["--reason-has", "code 75"], 1),
        (&["--reason-has", "code 7_"], 0),
        (&["--since", "1h", "--reason", "no"], 4),
        (&["--until", "1h"], 0),
        (&["4,6", "7", "99", "--command", "ok"], 1),
    ] {
        let dry = run(&[args, &["--dry-run", "--json"]].concat()).json();
        let expected = json!({ "changed": 0, "dry_run": true, "matched": count, "refused": 0 });
        assert_eq!(dry, expected, "{args:?}");
    }
    let ran = run(&["--reason-has", "code 75", "--reason", "gone", "--yes"]);
    assert_eq!(ran.stderr, "1 task is to be cancelled\n");
    assert_eq!(ran.stdout, "cancelled 1 task\n");
    assert_eq!(taskqueue.show("9")["reason"], "gone");
    let ran = run(&["--tag", "k", "--yes", "--json"]);
    let counts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected =
        json!({ "asked": 1, "changed": 2, "dry_run": false, "matched": 2, "refused": 0 });
    assert_eq!((ran.code, counts), (Some(0), expected));
    let ended = taskqueue.run(&["wait", "7,8"]);
    let expected = "task 7 was cancelled\ntask 8 was cancelled\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), expected));
    put("v", &["long"]);
    runs("10");
    let ran = run(&["--all", "--now", "--wait", "--yes"]);
    assert_eq!(ran.stderr, "2 tasks are to be cancelled\n");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "cancelled 2 tasks\n")
    );
    assert_eq!(taskqueue.show("10")["attempts"][0]["signal"], 9);
    // Named by their numbers, each has its answer, and its exit code.
    let ran = taskqueue.run_with(&["cancel", "-", "10", "--json"], b"6\n99\n4\n");
    let answers: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = json!([
        { "cancelled": true, "id": 6, "status": "cancelled" },
        { "cancelled": false, "error": "No such task :99", "id": 99, "status": null },
        { "cancelled": false, "error": "task 4 was done already", "id": 4, "status": "done" },
        { "cancelled": true, "id": 10, "status": "cancelled" },
    ]);
    assert_eq!((ran.code, answers), (Some(3), expected));
    assert!(ran.stderr.contains("No such task :99"), "{}", ran.stderr);
    assert_eq!(
        run(&["--use-tube", "t", "--yes"]).ok(),
        "cancelled 0 tasks\n"
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn numbers_come_from_standard_input(taskqueue: &Taskqueue, _: &dyn Queue) {
    some(taskqueue, 3);
    let run = |args: &[&str], input: &str| taskqueue.run_with(args, input.as_bytes());
    let regenerated = run(&["regenerate", "-", "--json"], "1\n\n99\n2,1\n");
    assert_eq!(regenerated.code, Some(1));
    let uuid = |id: &str| taskqueue.show(id)["uuid"].clone();
    let answers: serde_json::Value = serde_json::from_str(&regenerated.stdout).unwrap();
    assert_eq!(
        answers,
        json!([
            { "id": 1, "regenerated": true, "uuid": uuid("1") },
            { "error": "No such task :99", "id": 99, "regenerated": false },
            { "id": 2, "regenerated": true, "uuid": uuid("2") },
        ])
    );
    let listed = run(
        &["list", "-", "3", "--status", "waiting", "--json"],
        "2\n4\n",
    )
    .json();
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].clone())
        .collect();
    assert_eq!(ids, [2]);
    // None is none, and not all.
    assert_eq!(run(&["regenerate", "-"], "\n").ok(), "");
    assert_eq!(run(&["list", "-", "--json"], "").json(), json!([]));
    let wrong = run(&["regenerate", "-"], "3\nthree\n").failed(2);
    assert!(
        wrong.contains("line 2 of standard input: 'three' is no task's number"),
        "{wrong}"
    );
    assert_eq!(taskqueue.show("3")["status"], "failed");
}

/// More than a page of them.
fn what_fails_while_it_is_asked_for_is_not_meant(taskqueue: &Taskqueue, queue: &dyn Queue) {
    some(taskqueue, 1);
    let sqlite = taskqueue.sqlite();
    sqlite
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             INSERT INTO tasks (uuid, tube, status, command, arguments, options, priority, ttr, attempt, spent,
                created, started, finished, reason)
             SELECT randomblob(16), 'many', 'failed', 'no', '[]', '{}', 1024, 60, 1, 1, i, i, i, 'exit code 1' FROM n",
        )
        .unwrap();
    // One of them makes no sense, and stops none.
    sqlite
        .execute("UPDATE tasks SET tube = 'no tube' WHERE id = 100", [])
        .unwrap();
    let ran = taskqueue.run(&["regenerate", "--until", "1d", "--json", "--yes"]);
    assert!(ran.stderr.contains("task 100"), "{}", ran.stderr);
    let counts: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        counts,
        json!({ "changed": 2499, "dry_run": false, "matched": 2500, "refused": 1 })
    );
    assert_eq!(ran.code, Some(1));
    assert_eq!(stats(queue, "many").ready, 2499);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM puts"), 0);
    let failed = "SELECT count(*) FROM tasks WHERE status = 'failed'";
    assert_eq!(number(taskqueue, failed), 4);
}

/// It is waited for once, and not once a task, nor once a page.
#[test]
fn a_broker_that_does_not_answer_is_waited_for_once() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    some(&taskqueue, 1);
    taskqueue
        .sqlite()
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO tasks (uuid, tube, status, command, arguments, options, priority, ttr, attempt, spent,
                created, started, finished, reason)
             SELECT randomblob(16), 'many', 'failed', 'no', '[]', '{}', 1024, 60, 1, 1, i, i, i, 'exit code 1' FROM n",
        )
        .unwrap();
    server.signal(Signal::STOP);
    let begun = Instant::now();
    let ran = taskqueue.run(&["regenerate", "--use-tube", "many", "--yes"]);
    let took = begun.elapsed();
    server.signal(Signal::CONT);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "regenerated 3000 tasks\n")
    );
    assert!(
        ran.stderr.contains("3000 tasks are recorded"),
        "{}",
        ran.stderr
    );
    assert!(took < Duration::from_secs(15), "{took:?}");
    // Nobody has to wait for whoever began the puts.
    assert_eq!(
        number(&taskqueue, "SELECT count(*) FROM puts WHERE until IS NULL"),
        3000
    );
    taskqueue.run(&["reconcile", "--use-tube", "many"]).ok();
    assert_eq!(stats(&server, "many").ready, 3000);
}
