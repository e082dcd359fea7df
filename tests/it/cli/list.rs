//! `taskqueue list` and `taskqueue show`

use serde_json::{Value, json};

use super::COMMANDS;
use crate::support::{Beanstalkd, Taskqueue};

/// The keys of an object, in order.
fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[track_caller]
fn is_time(value: &Value) {
    let text = value.as_str().unwrap();
    text.parse::<jiff::Timestamp>().unwrap();
    assert!(text.ends_with('Z'), "{text}");
}

/// A task in every state that needs no luck: done, failed, killed, not started, refused, waiting.
fn tasks() -> (Beanstalkd, Taskqueue) {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    taskqueue.no_program("senseless");
    for command in ["say", "no", "killed", "senseless", "strict"] {
        let argument = if command == "strict" {
            "-hello"
        } else {
            "hello"
        };
        let put = taskqueue.run(&[
            "put",
            "--use-tube",
            "t",
            command,
            "--option",
            "x=1",
            "--",
            argument,
        ]);
        // What will be refused is warned of.
        assert_eq!(
            (put.code, put.stderr.is_empty()),
            (Some(0), command != "strict")
        );
    }
    // One is refused; it counts as a job too.
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    taskqueue.work("t", 6);
    taskqueue.run(&["put", "--use-tube", "later", "ok"]).ok();
    (server, taskqueue)
}

#[test]
fn json_has_the_shape_that_programs_rely_on() {
    let (_server, taskqueue) = tasks();
    let list = taskqueue.run(&["list", "--json"]).json();
    let list = list.as_array().unwrap();
    let ids: Vec<i64> = list
        .iter()
        .map(|task| task["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [7, 6, 5, 4, 3, 2, 1], "the newest first");

    let fields = [
        "id",
        "uuid",
        "tube",
        "command",
        "arguments",
        "options",
        "status",
        "created",
        "started",
        "finished",
        "attempts",
    ];
    let attempt_fields = [
        "number",
        "worker",
        "started",
        "finished",
        "outcome",
        "exit_code",
        "signal",
    ];
    for task in list {
        let keys_of = keys(task);
        assert!(fields.iter().all(|field| keys_of.contains(field)), "{task}");
        uuid::Uuid::parse_str(task["uuid"].as_str().unwrap()).unwrap();
        is_time(&task["created"]);
        for attempt in task["attempts"].as_array().unwrap() {
            let keys_of = keys(attempt);
            assert!(
                attempt_fields.iter().all(|field| keys_of.contains(field)),
                "{attempt}"
            );
            assert!(!keys_of.contains(&"output"), "{attempt}");
            is_time(&attempt["started"]);
            is_time(&attempt["finished"]);
            assert_eq!(attempt["number"], 1);
            assert!(attempt["worker"].is_string());
        }
    }
    let first = &list[6];
    assert_eq!(first["tube"], "t");
    assert_eq!(first["command"], "say");
    assert_eq!(first["arguments"], json!(["hello"]));
    assert_eq!(first["options"], json!({ "x": "1" }));

    let ends: Vec<Value> = (1..=7)
        .map(|id| {
            let shown = taskqueue.show(&id.to_string());
            let a = &shown["attempts"][0];
            json!([shown["status"], a["outcome"], a["exit_code"], a["signal"]])
        })
        .collect();
    assert_eq!(
        ends,
        [
            json!(["done", "exited", 0, null]),
            json!(["failed", "exited", 1, null]),
            json!(["failed", "signalled", null, 9]),
            json!(["failed", "could_not_start", null, null]),
            json!(["failed", "refused", null, null]),
            json!(["done", "exited", 0, null]),
            json!(["waiting", null, null, null]),
        ]
    );
    let shown = taskqueue.show("1");
    assert_eq!(shown["attempts"][0]["output"], "hello --x=1\n");
    assert_eq!(taskqueue.show(shown["uuid"].as_str().unwrap()), shown);
    is_time(&shown["started"]);
    is_time(&shown["finished"]);
    assert_eq!(taskqueue.show("2")["attempts"][0]["output"], "");
    let waiting = taskqueue.show("7");
    assert_eq!(
        (&waiting["started"], &waiting["finished"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(waiting["attempts"], json!([]));
}

#[test]
fn filters_choose_and_limits_limit() {
    let (_server, taskqueue) = tasks();
    let ids = |args: &[&str]| -> Vec<i64> {
        let all = [&["list", "--json"], args].concat();
        let list = taskqueue.run(&all).json();
        let list = list.as_array().unwrap().clone();
        list.iter()
            .map(|task| task["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(ids(&["--status", "failed"]), [5, 4, 3, 2]);
    assert_eq!(ids(&["--status", "done"]), [6, 1]);
    assert_eq!(ids(&["--status", "waiting"]), [7]);
    assert_eq!(ids(&["--status", "running"]), [0; 0]);
    assert_eq!(ids(&["--status", "stalled"]), [0; 0]);
    assert_eq!(ids(&["--status", "cancelled"]), [0; 0]);
    assert_eq!(ids(&["--use-tube", "later"]), [7]);
    assert_eq!(ids(&["--command", "ok"]), [7, 6]);
    assert_eq!(ids(&["--command", "ok", "--use-tube", "t"]), [6]);
    assert_eq!(ids(&["--command", "o*"]), [0; 0]);
    assert_eq!(ids(&["--status", "failed", "--limit", "2"]), [5, 4]);
    assert_eq!(ids(&["--limit", "0"]).len(), 7);
    let both = ["--status", "done", "--status", "waiting"];
    assert_eq!(ids(&both), [7, 6, 1]);
    assert_eq!(ids(&["--status", "done,waiting"]), [7, 6, 1]);
    assert_eq!(ids(&["--status", "stalled,failed"]), [5, 4, 3, 2]);
    taskqueue
        .sqlite()
        .execute(
            "UPDATE tasks SET created = created - 7200000 WHERE id < 4",
            [],
        )
        .unwrap();
    assert_eq!(ids(&["--since", "1h"]), [7, 6, 5, 4]);
    assert_eq!(ids(&["--until", "1h"]), [3, 2, 1]);
    assert_eq!(
        ids(&["--since", "3h", "--until", "1h", "--status", "failed"]),
        [3, 2]
    );
    assert_eq!(ids(&["--since", "1970-01-01"]).len(), 7);
    assert_eq!(ids(&["--limit", "1"]), [7]);
    assert_eq!(ids(&["--limit", "18446744073709551615"]).len(), 7);
    for wrong in [
        &["--limit", "-1"][..],
        &["--limit", "x"],
        &["--status", "gone"],
        &["--since", "lately"],
        &["--since", "1h", "--until", "2h"],
        &["--use-tube", "a b"],
    ] {
        let args = [&["list"], wrong].concat();
        assert_eq!(taskqueue.run(&args).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_cut_answer_says_so_and_one_for_programs_is_not_cut() {
    let taskqueue = Taskqueue::embedded();
    let lines = "{\"taskqueue\":1,\"command\":\"ok\"}\n".repeat(230);
    taskqueue.run_with(
        &["put", "--use-tube", "t", "--batch", "-"],
        lines.as_bytes(),
    );
    let ran = taskqueue.run(&["list"]);
    assert_eq!(ran.stdout.lines().count(), 101);
    assert_eq!(ran.stderr, "100 of 230; --limit 0 for all\n");
    let all = taskqueue.run(&["list", "--json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 230);
    assert_eq!(
        taskqueue
            .run(&["list", "--limit", "0"])
            .ok()
            .lines()
            .count(),
        231
    );
    // Who says how many knows that there are others.
    assert_eq!(
        taskqueue
            .run(&["list", "--limit", "7"])
            .ok()
            .lines()
            .count(),
        8
    );
    let none = taskqueue.run(&["list", "--status", "failed"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    let said = format!(
        "no such task is in the store {}\n",
        taskqueue.store().display()
    );
    assert_eq!(none.stderr, said);
}

#[test]
fn people_read_a_table() {
    let (_server, taskqueue) = tasks();
    let text = taskqueue.run(&["list"]).ok();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..3], ["ID", "STATUS", "TUBE"]);
    assert_eq!(lines[1][..4], ["7", "waiting", "later", "ok"]);
    assert_eq!(lines[7][..6], ["1", "done", "t", "say", "[\"hello\"]", "1"]);
    // Times name their zone.
    assert!(text.contains(" UTC"), "{text}");
    let mut elsewhere = taskqueue.command(&["list"]);
    elsewhere.env("TZ", "Europe/Berlin");
    let elsewhere = crate::support::Running::start(elsewhere).wait().ok();
    assert!(elsewhere.contains(" CE"), "{elsewhere}");
    let mut utc = taskqueue.command(&["list", "--utc"]);
    utc.env("TZ", "Europe/Berlin");
    assert!(
        crate::support::Running::start(utc)
            .wait()
            .ok()
            .contains(" UTC")
    );
    let text = taskqueue.run(&["show", "5"]).ok();
    for part in [
        "failed",
        "strict",
        "begins with a hyphen",
        "attempt 1 by",
        "refused",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        taskqueue
            .run(&["show", "1"])
            .ok()
            .contains("  | hello --x=1\n")
    );
}

#[test]
fn a_store_that_does_not_exist_is_empty_and_is_not_made() {
    let taskqueue = Taskqueue::alone();
    for (args, printed) in [
        (&["list"][..], ""),
        (&["list", "--json"], "[]\n"),
        (&["list", "--json", "--limit", "0"], "[]\n"),
    ] {
        let ran = taskqueue.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), printed));
        let store = taskqueue.store();
        let said = format!("there is no store {} yet;", store.display());
        assert!(ran.stderr.starts_with(&said), "{ran:?}");
    }
    let ran = taskqueue.run(&["show", "1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "gone\n"));
    assert!(ran.stderr.contains("there is no store"), "{ran:?}");
    assert_eq!(
        taskqueue
            .run(&["cleanup", "--period", "0", "--dry-run"])
            .ok(),
        "would delete 0 tasks\n"
    );
    assert_eq!(
        taskqueue.run(&["cleanup", "--period", "0"]).ok(),
        "deleted 0 tasks\n"
    );
    assert!(
        taskqueue
            .run(&["regenerate", "--id", "5"])
            .failed(1)
            .contains("No such task :5")
    );
    let left: Vec<_> = std::fs::read_dir(taskqueue.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["taskqueue.toml"]);
}

#[test]
fn what_is_not_there_is_gone() {
    let taskqueue = Taskqueue::alone();
    taskqueue.run(&["put", "--use-tube", "t", "ok"]);
    for id in [
        "2",
        "0",
        "9223372036854775807",
        "0190a9a5-0000-7000-8000-000000000001",
    ] {
        let ran = taskqueue.run(&["show", id]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "gone\n"), "{id}");
        assert!(
            ran.stderr
                .contains(&format!("there is no task {id} in the store")),
            "{ran:?}"
        );
        let ran = taskqueue.run(&["show", id, "--json"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "null\n"), "{id}");
        assert!(ran.stderr.contains("there is no task"), "{ran:?}");
    }
    for wrong in ["x", "", "1.5", "9223372036854775808", "--"] {
        assert_eq!(taskqueue.run(&["show", wrong]).code, Some(2), "{wrong}");
    }
}

#[test]
fn nothing_that_a_producer_says_reaches_the_terminal() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let evil = "\x1b]0;owned\x07\x1b[2J\n  | forged\r";
    taskqueue
        .run(&[
            "put",
            "--use-tube",
            "t",
            "say",
            evil,
            "--option",
            &format!("x={evil}"),
        ])
        .ok();
    let warned = taskqueue.run(&["put", "--use-tube", "t", "unknown", evil]);
    assert_eq!(warned.code, Some(0), "{warned:?}");
    super::other(&server, "t")
        .put(
            evil.as_bytes(),
            0,
            std::time::Duration::ZERO,
            std::time::Duration::from_secs(60),
        )
        .unwrap();
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    taskqueue.work("t", 2);
    for args in [
        &["list"][..],
        &["show", "1"],
        &["show", "2"],
        &["show", "3"],
        &["show", "4"],
    ] {
        let text = taskqueue.run(args).ok();
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!text.contains(odd), "{args:?}: {text:?}");
        assert!(
            !text.lines().any(|line| line.starts_with("forged")),
            "{text}"
        );
    }
}

#[test]
fn of_many_attempts_the_newest_are_shown_and_all_are_counted() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    let many = "
        WITH RECURSIVE n (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < 1234)
            INSERT INTO attempts (task, number, worker, started, finished, outcome)
            SELECT 1, number, 'w', number, number, 'interrupted' FROM n;
        UPDATE tasks SET attempt = 1234, started = 1234 WHERE id = 1";
    taskqueue.sqlite().execute_batch(many).unwrap();
    let numbers = |task: &Value| {
        assert_eq!(task["attempts_total"], 1234);
        let attempts = task["attempts"].as_array().unwrap();
        let numbers = attempts
            .iter()
            .map(|attempt| attempt["number"].as_i64().unwrap());
        numbers.collect::<Vec<i64>>()
    };
    let listed = taskqueue.run(&["list", "--json"]).json();
    assert_eq!(numbers(&listed[0]), Vec::from_iter(1215..=1234));
    assert_eq!(numbers(&taskqueue.show("1")), Vec::from_iter(235..=1234));
    assert!(taskqueue.run(&["list"]).ok().contains(" 1234 "));
    let shown = taskqueue.run(&["show", "1"]).ok();
    assert!(
        shown.contains("(234 older attempts are not shown)"),
        "{shown}"
    );
    // One that runs is the newest of them.
    let runs =
        "UPDATE tasks SET status = 'running', due = NULL, owner = 1, worker = 1, attempt = 1235";
    taskqueue.sqlite().execute_batch(runs).unwrap();
    let listed = taskqueue.run(&["list", "--json"]).json();
    let attempts = listed[0]["attempts"].as_array().unwrap();
    assert_eq!(
        (attempts.len(), &attempts[19]["number"]),
        (20, &json!(1235))
    );
}
