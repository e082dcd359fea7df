//! How often and after what waits tasks are tried, and what they say of that themselves.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Queue, block_on, on_both, status};
use crate::support::{Taskqueue, job, put, tube, until};

on_both!(
    a_list_of_waits_is_followed,
    what_is_not_in_retry_on_fails_at_once,
    what_a_task_says_wins_and_comes_to_its_command,
    another_producers_body_says_it_too,
    what_waits_is_given_other_bounds,
);

fn run_until_ended(taskqueue: &Taskqueue, ids: &[&str]) {
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    for id in ids {
        until("ended", || {
            let shown = taskqueue.run(&["show", id, "--json"]);
            let is_there = shown.code == Some(0);
            is_there && matches!(status(taskqueue, id).as_str(), "done" | "failed")
        });
    }
    drop(worker);
}

/// How long a task waited before each attempt but the first.
fn waits(task: &Value) -> Vec<Duration> {
    let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    let attempts = task["attempts"].as_array().unwrap();
    let waits = attempts.windows(2).map(|two| {
        let between = time(&two[1]["started"]).duration_since(time(&two[0]["finished"]));
        between.unsigned_abs()
    });
    waits.collect()
}

fn a_list_of_waits_is_followed(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(
        "[defaults]\nretry = ['1s', '2s']\n\
         [commands.listed]\nrun = ['/bin/sh', '-c', 'exit 75']\nmax_attempts = 4\n\
         [commands.counted]\nrun = ['/bin/sh', '-c', 'exit 75']\nretry = ['10ms', '10ms', '10ms']\n\
         [commands.endless]\nrun = ['/bin/sh', '-c', 'test $TASKQUEUE_ATTEMPT -ge 12']\n\
         max_attempts = 'endless'\nretry = ['10ms']\nretry_jitter = 0",
    );
    for command in ["listed", "counted", "endless"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    run_until_ended(taskqueue, &["1", "2", "3"]);
    let listed = taskqueue.show("1");
    let waited = waits(&listed);
    let seconds = |seconds: &[u64]| -> Vec<Duration> {
        seconds.iter().copied().map(Duration::from_secs).collect()
    };
    assert_eq!(waited.len(), 3, "{listed}");
    for (waited, least) in waited.iter().zip(seconds(&[1, 2, 2])) {
        // Up to a fifth longer, up to a second by the broker's clock, and this machine may be busy.
        let most = least * 6 / 5 + Duration::from_secs(5);
        assert!(*waited >= least && *waited < most, "{waited:?}: {listed}");
    }
    let reason = "exit code 75, in the last of 4 attempts";
    assert_eq!(listed["reason"], reason);
    let counted = taskqueue.show("2");
    assert_eq!(counted["attempts_total"], 4, "{counted}");
    let endless = taskqueue.show("3");
    assert_eq!(
        (&endless["status"], &endless["attempts_total"]),
        (&json!("done"), &json!(12))
    );
}

fn what_is_not_in_retry_on_fails_at_once(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(
        "[defaults]\nmax_attempts = 2\nretry = [0]\n\
         [commands.exits]\nrun = ['/bin/sh', '-c', 'exit 3']\nretry_on = ['timeout', 'signal', 'start']\n\
         [commands.killed]\nrun = ['/bin/sh', '-c', 'kill -SEGV $$']\nretry_on = ['exit']\n\
         [commands.late]\nrun = ['/bin/sleep', '60']\ntimeout = '200ms'\nretry_on = ['exit']\n\
         [commands.late2]\nrun = ['/bin/sleep', '60']\ntimeout = '200ms'\nretry_on = ['timeout']\n\
         [commands.missing]\nrun = ['./nothing']\nretry_on = []",
    );
    for command in ["exits", "killed", "late", "late2", "missing"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.no_program("nothing");
    run_until_ended(taskqueue, &["1", "2", "3", "4", "5"]);
    for (id, attempts, outcome, reason) in [
        ("1", 1, "exited", "retry_on has no \"exit\""),
        ("2", 1, "signalled", "retry_on has no \"signal\""),
        ("3", 1, "timed_out", "retry_on has no \"timeout\""),
        ("4", 2, "timed_out", "in the last of 2 attempts"),
        ("5", 1, "could_not_start", "retry_on has no \"start\""),
    ] {
        let task = taskqueue.show(id);
        assert_eq!(task["attempts_total"], attempts, "{task}");
        assert_eq!(task["attempts"][0]["outcome"], outcome, "{task}");
        let said = task["reason"].as_str().unwrap();
        assert!(said.ends_with(reason), "{said}");
    }
}

const BOUNDED: &str = "[commands.job]\nrun = ['/bin/sh', '-c', 'echo tenant=$TENANT; exit ${1:-1}', 'sh']\n\
     max_attempts = 2\ntask_max_attempts = 3\ntimeout = 60\ntask_environment = ['TENANT']\n\
     [commands.slow]\nrun = ['/bin/sleep', '60']\n[tubes.t]\ncommand = 'job'";

fn what_a_task_says_wins_and_comes_to_its_command(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(BOUNDED);
    let put = |args: &[&str]| taskqueue.run(&[&["put", "--use-tube", "t"], args].concat());
    put(&["job", "--max-attempts", "3", "--retry", "10ms,20ms"]).ok();
    put(&["job", "0", "--env", "TENANT=acme = b"]).ok();
    put(&["slow", "--task-timeout", "200ms"]).ok();
    let batch = "{\"taskqueue\":1,\"command\":\"job\",\"max_attempts\":1}\n\
                 {\"taskqueue\":1,\"command\":\"job\",\"arguments\":[0],\"env\":{\"TENANT\":\"b\"}}\n";
    let args = [
        "put",
        "--use-tube",
        "t",
        "--batch",
        "-",
        "--env",
        "TENANT=all",
    ];
    taskqueue.run_with(&args, batch.as_bytes()).ok();
    let args = ["put", "--use-tube", "t", "--stdin", "--env", "TENANT=raw"];
    taskqueue.run_with(&args, b"raw").ok();
    run_until_ended(taskqueue, &["1", "2", "3", "4", "5"]);
    let output = |id: &str| taskqueue.show(id)["attempts"][0]["output"].clone();
    let first = taskqueue.show("1");
    assert_eq!(first["attempts_total"], 3, "{first}");
    assert_eq!(
        first["own"],
        json!({ "max_attempts": 3, "retry": [0.01, 0.02], "timeout": null, "env": {} })
    );
    assert_eq!(output("2"), "tenant=acme = b\n");
    assert_eq!(taskqueue.show("3")["attempts"][0]["outcome"], "timed_out");
    assert_eq!(taskqueue.show("3")["own"]["timeout"], 0.2);
    assert_eq!(taskqueue.show("4")["attempts_total"], 1);
    assert_eq!(output("4"), "tenant=all\n");
    assert_eq!(output("5"), "tenant=b\n");
    until("tried", || output("6") == "tenant=raw\n");
    // The names are for everybody who looks on.
    let shown = taskqueue.run(&["show", "2"]).ok();
    assert!(shown.contains("\nenv        TENANT\n"), "{shown}");
    let before = shown.split("attempt 1").next().unwrap();
    assert!(!before.contains("acme"), "{shown}");
    let shown = taskqueue.run(&["show", "1"]).ok();
    let says = "\nasks for   max_attempts 3, retry 10ms,20ms\n";
    assert!(shown.contains(says), "{shown}");
    let listed = taskqueue.run(&["list", "--json", "2"]).json();
    assert_eq!(listed[0]["own"]["env"], json!({ "TENANT": null }));
    assert_eq!(taskqueue.show("3")["own"]["env"], json!({}));
}

fn another_producers_body_says_it_too(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(BOUNDED);
    let with = |more: &str| format!(r#"{{"taskqueue":1,"command":"job",{more}}}"#);
    let wrong = [
        (r#""max_attempts":4"#, "task_max_attempts = 4"),
        (
            r#""max_attempts":"endless""#,
            "task_max_attempts = \"endless\"",
        ),
        (
            r#""max_attempts":0"#,
            "\"max_attempts\" is \"0\", not a number from 1",
        ),
        (r#""retry":["soon"]"#, "not a duration"),
        (r#""retry":[]"#, "a list of waits has at least one"),
        (r#""timeout":61"#, "at most 60 seconds"),
        (r#""timeout":true"#, "is true, not a duration"),
        (r#""env":{"OTHER":"x"}"#, "the variable OTHER"),
        (r#""env":{"LD_PRELOAD":"x"}"#, "no task can bring PATH"),
        (r#""env":{"TENANT":"a\u0000b"}"#, "NUL"),
        (r#""env":{"TENANT":"a","TENANT":"b"}"#, "given twice"),
    ];
    block_on(async {
        let mut session = queue.session();
        let right = with(r#""arguments":["7"],"retry":[0.01,"20ms"],"env":{"TENANT":5}"#);
        let bodies = wrong.iter().map(|(more, _)| with(more));
        for body in [right].into_iter().chain(bodies) {
            put(session.as_mut(), &tube("t"), job(&body)).await.unwrap();
        }
    });
    run_until_ended(taskqueue, &["1", "12"]);
    let task = taskqueue.show("1");
    assert_eq!(task["attempts_total"], 3, "{task}");
    assert_eq!(task["attempts"][0]["output"], "tenant=5\n");
    for (id, (more, says)) in (2..).zip(wrong) {
        let task = taskqueue.show(&id.to_string());
        assert_eq!(task["attempts"][0]["outcome"], "refused", "{more}: {task}");
        let reason = task["reason"].as_str().unwrap();
        assert!(reason.contains(says), "{more}: {reason}");
    }
}

#[test]
fn what_is_beyond_the_bounds_is_refused_where_it_is_put() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(BOUNDED);
    let put = |args: &[&str]| taskqueue.run(&[&["put", "--use-tube", "t"], args].concat());
    for (args, says) in [
        (&["job", "--max-attempts", "4"][..], "task_max_attempts = 4"),
        (
            &["job", "--max-attempts", "endless"],
            "task_max_attempts = \"endless\"",
        ),
        (&["job", "--retry", "1,2,3"], "task_max_attempts = 4"),
        (
            &["job", "--task-timeout", "2m"],
            "allows at most 60 seconds",
        ),
        (
            &["job", "--env", "OTHER=x"],
            "task_environment = [\"TENANT\", \"OTHER\"]",
        ),
        (
            &["slow", "--env", "TENANT=x"],
            "the command slow allows none",
        ),
        (
            &["slow", "--max-attempts", "2", "--wait"],
            "the command slow allows at most 1",
        ),
    ] {
        let ran = put(args).failed(1);
        assert!(ran.contains(says) && ran.contains("not recorded"), "{ran}");
    }
    for (args, says) in [
        (
            &["job", "--max-attempts", "0"][..],
            "is no number of attempts",
        ),
        (&["job", "--retry", "soon"], "'soon' is no duration"),
        (&["job", "--task-timeout", "0"], "more than 0"),
        (&["job", "--env", "TENANT"], "NAME=VALUE"),
        (&["job", "--env", "PATH=/x"], "no task can bring PATH"),
        (&["job", "--env", "LD_PRELOAD=x"], "no task can bring PATH"),
        (
            &["job", "--env", "TENANT=a", "--env", "TENANT=b"],
            "given twice",
        ),
        (
            &["job", "--max-attempts", "endless", "--retry", "0"],
            "without pause",
        ),
        (
            &["job", "--strict", "--env", "OTHER=x"],
            "the variable OTHER",
        ),
    ] {
        let ran = put(args).failed(2);
        assert!(ran.contains(says), "{ran}");
    }
    let batch = "{\"taskqueue\":1,\"command\":\"job\",\"max_attempts\":9}\n{\"taskqueue\":1,\"command\":\"job\"}\n";
    let args = ["put", "--use-tube", "t", "--batch", "-"];
    let ran = taskqueue.run_with(&args, batch.as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1\n"), "{ran:?}");
    // Where nothing is said here of what may run, whoever runs it judges.
    taskqueue.configure("");
    let ran = put(&["job", "--max-attempts", "9"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    taskqueue.configure(BOUNDED);
    taskqueue.work("t", 2);
    let reason = taskqueue.show("2")["reason"].to_string();
    assert!(reason.contains("task_max_attempts = 9"), "{reason}");
}

#[test]
fn the_tasks_of_a_schedule_say_it_too() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(BOUNDED);
    let add = ["schedule", "add", "s", "--use-tube", "t", "--every", "3600"];
    let more = ["job", "0", "--env", "TENANT=acme", "--max-attempts", "3"];
    taskqueue.run(&[&add[..], &more[..]].concat()).ok();
    let shown = taskqueue.run(&["schedule", "show", "s"]).ok();
    assert!(
        shown.contains("\nasks for  max_attempts 3, env TENANT\n"),
        "{shown}"
    );
    taskqueue.run(&["schedule", "run", "s"]).ok();
    taskqueue.work("t", 1);
    let task = taskqueue.show("1");
    assert_eq!(task["attempts"][0]["output"], "tenant=acme\n", "{task}");
    assert_eq!(task["own"]["max_attempts"], 3);
}

fn what_waits_is_given_other_bounds(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(
        "[commands.job]\nrun = ['/bin/sh', '-c', 'echo $TENANT >> log; exit 75']\ntask_max_attempts = 5\n\
         task_environment = ['TENANT']\nretry_jitter = 0\n",
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let edit = |args: &[&str]| taskqueue.run(&[&["edit", "1"], args].concat());
    edit(&[
        "--max-attempts",
        "2",
        "--retry",
        "10ms,10ms",
        "--env",
        "TENANT=acme",
    ])
    .ok();
    for (args, said) in [
        (&["--max-attempts", "6"][..], "task_max_attempts = 6"),
        (
            &["--env", "OTHER=x"],
            "task_environment = [\"TENANT\", \"OTHER\"]",
        ),
        (
            &["--task-timeout", "400d"],
            "timeout: it is more than 0 and at most 366 days",
        ),
        (
            &["--max-attempts", "endless", "--retry", "0"],
            "without pause",
        ),
    ] {
        let ran = edit(args);
        assert_ne!(ran.code, Some(0), "{args:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
    let shown = taskqueue.show("1");
    let own = json!({ "max_attempts": 2, "retry": [10], "env": { "TENANT": "acme" } });
    assert_eq!(shown["own"]["max_attempts"], own["max_attempts"], "{shown}");
    assert_eq!(shown["own"]["env"], own["env"], "{shown}");
    run_until_ended(taskqueue, &["1"]);
    assert_eq!(taskqueue.show("1")["attempts_total"], 2);
    let log = std::fs::read_to_string(taskqueue.path("log")).unwrap();
    assert_eq!(log, "acme\nacme\n");
    let said = edit(&["--max-attempts", "3"]).failed(1);
    assert!(said.contains("must be 'waiting'"), "{said}");
}
