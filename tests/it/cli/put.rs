//! `taskqueue put`

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{COMMANDS, other};
use crate::support::{Beanstalkd, NOBODY, Running, Taskqueue, UNSERVED, until};

#[test]
fn another_client_sees_a_pointer() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let args = [
        "put",
        "--use-tube",
        "mail",
        "invoice:send",
        "12",
        "a b",
        "--option",
        "format=pdf",
        "--option",
        "copy",
        "--option",
        "empty=",
        "--option",
        "to=a=b",
        "--priority",
        "7",
        "--delay",
        "1",
        "--ttr",
        "2m",
    ];
    assert_eq!(taskqueue.run(&args).ok(), "1\n");

    let mut other = other(&server, "mail");
    other.watch("mail").unwrap();
    let mut job = other.reserve_with_timeout(Duration::from_secs(20)).unwrap();
    let stats = job.stats().unwrap();
    for (name, value) in [
        ("pri", "7"),
        ("delay", "1"),
        ("ttr", "120"),
        ("tube", "mail"),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    let shown = taskqueue.show("1");
    let body: Value = serde_json::from_slice(job.body()).unwrap();
    let store: String = taskqueue
        .sqlite()
        .query_row("SELECT lower(hex(id)) FROM store", [], |row| row.get(0))
        .unwrap();
    assert_eq!(body["store"].as_str().unwrap().replace('-', ""), store);
    assert_eq!(
        body,
        json!({
            "taskqueue": 1, "uuid": shown["uuid"], "store": body["store"], "for": "invoice:send 12 …"
        })
    );
    assert_eq!(shown["arguments"], json!(["12", "a b"]));
    let options = r#"{"format":"pdf","copy":true,"empty":"","to":"a=b"}"#;
    assert_eq!(
        shown["options"],
        serde_json::from_str::<Value>(options).unwrap()
    );
    let text = taskqueue.run(&["show", "1"]).ok();
    assert!(text.contains(options), "in their order: {text}");
}

#[test]
fn json_names_id_and_uuid() {
    let taskqueue = Taskqueue::with(&Beanstalkd::start());
    let ran = taskqueue.run(&["put", "--use-tube", "t", "ok", "--json"]);
    // The server is gone with the statement above: a warning, and all the same.
    assert_eq!(ran.code, Some(0));
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["id"], 1);
    assert_eq!(said["uuid"], taskqueue.show("1")["uuid"]);
}

#[test]
fn without_a_broker_a_task_is_recorded_and_a_warning_says_so() {
    let taskqueue = Taskqueue::alone();
    let ran = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1\n"));
    let address = NOBODY.trim_start_matches("beanstalk://");
    for part in ["warning", address, "recorded"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    assert_eq!(taskqueue.show("1")["status"], "waiting");
    let lines = b"{\"taskqueue\":1,\"command\":\"ok\"}\n".repeat(3);
    let ran = taskqueue.run_with(&["put", "--use-tube", "t", "--batch", "-"], &lines);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "2\n3\n4\n"));
    assert_eq!(ran.stderr.matches("warning").count(), 1, "{}", ran.stderr);
}

#[test]
fn bytes_from_stdin_come_out_as_they_went_in() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let bodies: [&[u8]; 4] = [
        b"",
        b"one\r\ntwo\n",
        b"\0\xff\xfe",
        // It says that it is native. It is a raw body all the same: that is what was asked for.
        br#"{"taskqueue":1,"command":"no"}"#,
    ];
    for body in bodies {
        let ran = taskqueue.run_with(&["put", "--use-tube", "raw", "--stdin"], body);
        // An empty one is warned of.
        assert_eq!(
            (ran.code, ran.stderr.is_empty()),
            (Some(0), !body.is_empty())
        );
    }
    // Larger than any job may be: it never goes through the broker.
    let big = b"x".repeat(300_000);
    taskqueue
        .run_with(&["put", "--use-tube", "raw", "--stdin"], &big)
        .ok();
    taskqueue.work("raw", 5);
    for (id, body) in (1..).zip(bodies) {
        let shown = taskqueue.show(&id.to_string());
        assert_eq!(shown["status"], "done", "{shown}");
        assert_eq!(shown["command"], "cat");
        assert_eq!(
            shown["attempts"][0]["output"],
            String::from_utf8_lossy(body).as_ref()
        );
        assert_eq!(shown["body_size"], body.len());
    }
    assert_eq!(taskqueue.show("5")["attempts"][0]["output_size"], 300_000);
}

#[test]
fn a_batch_puts_what_is_good_and_names_what_is_not() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let lines = [
        r#"{"taskqueue":1,"command":"say","arguments":["1"]}"#,
        "",
        "not json",
        r#"{"taskqueue":1,"command":"say","arguments":["2"]"#,
        r#"{"taskqueue":1,"uuid":"0190a9a5-0000-7000-8000-000000000001","command":"say","arguments":["3"]}"#,
        r#"{"taskqueue":1,"uuid":"0190a9a5-0000-7000-8000-000000000001","command":"say","arguments":["3"]}"#,
        r#"{"taskqueue":1,"uuid":"0190a9a5-0000-7000-8000-000000000001","command":"say","arguments":["4"]}"#,
        r#"{"taskqueue":1,"uuid":"0190a9a5-0000-7000-8000-000000000002","store":"0190a9a5-0000-7000-8000-000000000003"}"#,
        r#"{"command":"say"}"#,
        r#"{"taskqueue":1,"command":"say","options":{"last":true}}"#,
    ]
    .join("\r\n");
    std::fs::write(taskqueue.path("tasks.jsonl"), &lines).unwrap();
    let ran = taskqueue.run(&["put", "--use-tube", "t", "--batch", "tasks.jsonl"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // The one that came twice is the same task.
    let ids: Vec<&str> = ran.stdout.lines().collect();
    let &[first, named, again, last] = ids.as_slice() else {
        panic!("{ids:?}");
    };
    assert_eq!((first, named), ("1", again));
    for part in [
        "line 3: ",
        "line 4: ",
        "line 8: ",
        "line 9: ",
        "000000000001 is that of another",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!(ran.stderr.lines().count(), 6, "{}", ran.stderr);
    taskqueue.work("t", 3);
    let said = |id: &str| taskqueue.show(id)["attempts"][0]["output"].clone();
    assert_eq!(
        [said(first), said(named), said(last)],
        ["1\n", "3\n", "--last\n"]
    );
    // Once more: what has a uuid is known, the rest is new.
    let again = taskqueue.run(&["put", "--use-tube", "t", "--batch", "tasks.jsonl"]);
    assert_eq!(again.code, Some(1));
    let ids: Vec<&str> = again.stdout.lines().collect();
    assert_eq!((ids[1], ids[2], ids.len()), (named, named, 4));
    assert_ne!((ids[0], ids[3]), (first, last));
}

#[test]
fn a_large_batch_is_pipelined() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let lines: String = (0..2500)
        .map(|n| format!("{{\"taskqueue\":1,\"command\":\"say\",\"arguments\":[\"{n}\"]}}\n"))
        .collect();
    let printed = taskqueue
        .run_with(
            &["put", "--use-tube", "t", "--batch", "-"],
            lines.as_bytes(),
        )
        .ok();
    let ids: Vec<String> = (1..=2500).map(|id| id.to_string()).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), ids);
    let stats = other(&server, "t").stats_tube("t").unwrap();
    assert_eq!(stats["current-jobs-ready"], "2500");
    assert_eq!(taskqueue.show("2500")["arguments"], json!(["2499"]));
    // Each row knows its job.
    let jobs: i64 = taskqueue
        .sqlite()
        .query_row("SELECT count(DISTINCT job) FROM task_jobs", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(jobs, 2500);
}

#[test]
fn wrong_usage_exits_with_2_and_puts_nothing() {
    let taskqueue = Taskqueue::alone();
    for args in [
        &["put"][..],
        &["put", "--use-tube", "t"],
        &["put", "--use-tube", "", "ok"],
        &["put", "--use-tube", "a b", "ok"],
        &["put", "--use-tube", "-a", "ok"],
        &["put", "ok"],
        &["put", "--use-tube", "t", "not a name"],
        &["put", "--use-tube", "t", ""],
        &["put", "--use-tube", "t", "ok", "--option", "=x"],
        &["put", "--use-tube", "t", "ok", "--option", "--x=1"],
        &["put", "--use-tube", "t", "ok", "--option", "a b=1"],
        &[
            "put",
            "--use-tube",
            "t",
            "ok",
            "--option",
            "a",
            "--option",
            "a=1",
        ],
        &["put", "--use-tube", "t", "ok", "--priority", "-1"],
        &["put", "--use-tube", "t", "ok", "--priority", "4294967296"],
        &["put", "--use-tube", "t", "ok", "--delay", "soon"],
        &["put", "--use-tube", "t", "ok", "--delay", "4294967296"],
        &["put", "--use-tube", "t", "ok", "--delay=-1"],
        &["put", "--use-tube", "t", "ok", "--ttr", "0"],
        &["put", "--use-tube", "t", "ok", "--ttr", "4294967296"],
        &["put", "--use-tube", "t", "ok", "--stdin"],
        &["put", "--use-tube", "t", "ok", "--batch", "x"],
        &["put", "--use-tube", "t", "--stdin", "--batch", "x"],
        &["put", "--use-tube", "t", "--stdin", "--option", "x"],
        &["put", "--use-tube", "t", "ok", "-x"],
        &["put", "--use-tube", "t", "ok", "--broker", "redis://x"],
    ] {
        let ran = taskqueue.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}");
    }
    assert!(!taskqueue.store().exists());
    // It opens, and would fail at each read.
    let ran = taskqueue.run(&["put", "--use-tube", "t", "--batch", "."]);
    let said = ran.failed(1);
    assert!(said.contains("it is a folder; nothing was put"), "{said}");
    let ran = taskqueue.run(&["put", "--use-tube", "t", "--batch", "nowhere.jsonl"]);
    assert!(ran.failed(1).contains("nowhere.jsonl"));
}

#[test]
fn an_argument_after_two_hyphens_may_begin_with_one() {
    let taskqueue = Taskqueue::alone();
    let ran = taskqueue.run(&["put", "--use-tube", "t", "ok", "--", "-x", "--option", "y"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        taskqueue.show("1")["arguments"],
        json!(["-x", "--option", "y"])
    );
    assert_eq!(taskqueue.show("1")["options"], json!({}));
}

#[test]
fn a_task_that_is_delayed_says_until_when() {
    let taskqueue = Taskqueue::alone();
    taskqueue.run(&["put", "--use-tube", "t", "ok", "--delay", "1h 30m"]);
    let shown = taskqueue.show("1");
    let time = |key: &str| -> jiff::Timestamp { shown[key].as_str().unwrap().parse().unwrap() };
    assert_eq!(time("due").duration_since(time("created")).as_secs(), 5400);
    // As far as it goes.
    taskqueue.run(&["put", "--use-tube", "t", "ok", "--delay", "4294967295"]);
    let due = taskqueue.show("2")["due"].clone();
    due.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
}

#[test]
fn a_batch_of_large_tasks_is_not_collected_first() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let mut command = taskqueue.command(&["put", "--use-tube", "t", "--batch", "-"]);
    let mut putting = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = putting.stdin.take().unwrap();
    let argument = "x".repeat(1024 * 1024);
    let line = format!("{{\"taskqueue\":1,\"command\":\"ok\",\"arguments\":[\"{argument}\"]}}\n");
    for _ in 0..5 {
        input.write_all(line.as_bytes()).unwrap();
    }
    until("put before the end of the batch", || {
        let listed = taskqueue.run(&["list", "--json"]).json();
        listed.as_array().unwrap().len() == 4
    });
    drop(input);
    let put = putting.wait_with_output().unwrap();
    assert_eq!(put.stdout, b"1\n2\n3\n4\n5\n");
}

#[test]
fn what_the_configuration_would_refuse_is_said_once_a_reason() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.a]\nrun = ['true']\n[tubes.none]\ncommands = []\n");
    for (tube, put, said) in [
        (
            "t",
            &["a", "--option", "x"][..],
            "it will be refused: the command a may not be given the option \"x\"; if",
        ),
        (
            "t",
            &["b"],
            "it will wait for its command: the command b is not configured; add [commands.\"b\"]",
        ),
        (
            "none",
            &["a"],
            "it will be refused: the command a may not run in tube none",
        ),
    ] {
        let ran = taskqueue.run(&[&["put", "--use-tube", tube], put].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let warning =
            format!("taskqueue: warning: the task is recorded, and by this configuration {said}");
        assert!(ran.stderr.starts_with(&warning), "{ran:?}");
    }
    let same = r#"{"taskqueue":1,"command":"a","options":{"same":1}}"#;
    let others =
        (0..20).map(|n| format!(r#"{{"taskqueue":1,"command":"a","options":{{"o{n}":1}}}}"#));
    let batch: Vec<String> = [same; 5]
        .map(String::from)
        .into_iter()
        .chain(others)
        .collect();
    let ran = taskqueue.run_with(
        &["put", "--use-tube", "t", "--batch", "-"],
        batch.join("\n").as_bytes(),
    );
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 25));
    assert_eq!(ran.stderr.matches("the option \"same\"").count(), 1);
    assert_eq!(ran.stderr.lines().count(), 9, "{}", ran.stderr);
    assert!(
        ran.stderr
            .ends_with("warning: 13 more tasks will not run by this configuration\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_strict_put_records_nothing_that_would_be_refused() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = ['/bin/true']\n");
    let put = ["put", "--strict", "--use-tube", "t"];
    let strict = |more: &[&str]| taskqueue.run(&[&put, more].concat());
    for (more, said) in [
        (&["other"][..], "the command other is not configured"),
        (&["ok", "--", "-x"], "begins with a hyphen"),
        (&["ok", "--option", "x=1"], "the option \"x\""),
    ] {
        let refused = strict(more).failed(2);
        assert!(refused.contains(said), "{refused}");
        assert!(refused.contains("nothing was recorded"), "{refused}");
    }
    let lines = b"{\"taskqueue\":1,\"command\":\"ok\"}\n{\"taskqueue\":1,\"command\":\"no\"}\nx\n";
    let batch = [&put[..], &["--batch", "-"]].concat();
    let refused = taskqueue.run_with(&batch, lines).failed(2);
    assert!(refused.contains("line 3: not JSON"), "{refused}");
    let refused = taskqueue
        .run_with(&[&put[..], &["--stdin"]].concat(), b"")
        .failed(2);
    assert!(refused.contains("standard input is empty"), "{refused}");
    assert!(!taskqueue.store().exists(), "something was recorded");
    let tender = [
        "tender",
        "--use-tube",
        "t",
        "--mode",
        "ondemand",
        "--log",
        "error",
    ];
    let tender = taskqueue.start(&tender);
    until("it is tended", || strict(&["ok", "1"]).code == Some(0));
    assert_eq!(taskqueue.run_with(&batch, &lines[..31]).ok(), "2\n");
    // A worker that a killed tender leaves behind would go on trying to record in a store that is gone with the test.
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));

    taskqueue.configure("");
    let refused = strict(&["ok"]).failed(2);
    assert!(refused.contains("names no command"), "{refused}");
}

#[test]
fn a_batch_with_nothing_in_it_says_so() {
    let taskqueue = Taskqueue::embedded();
    for lines in [&b""[..], b"\n \n"] {
        let ran = taskqueue.run_with(&["put", "--use-tube", "t", "--batch", "-"], lines);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
        assert!(ran.stderr.contains("no task was put"), "{ran:?}");
    }
    let ran = taskqueue.run_with(&["put", "--use-tube", "t", "--stdin"], b"");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1\n"));
    assert!(ran.stderr.contains("standard input is empty"), "{ran:?}");
}

#[test]
fn of_a_tube_that_nobody_works_on_it_is_told_at_once() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = ['true']\n[commands.wait]\nrun = ['sleep', '100']\n");
    let said = |args: &[&str]| {
        let put = [&["put", "--use-tube", "t"], args].concat();
        let ran = Running::start(taskqueue.command(&put)).whole();
        (ran.code, ran.stderr)
    };
    let is_told = |ran: (Option<i32>, String)| {
        assert_eq!(ran.0, Some(0), "{ran:?}");
        ran.1.starts_with(UNSERVED)
    };
    // Neither before there is a store is anything recorded, nor after.
    for _ in 0..2 {
        let (code, refused) = said(&["--strict", "ok"]);
        assert_eq!(code, Some(2), "{refused}");
        assert!(
            refused.contains("nobody works on the tube t now"),
            "{refused}"
        );
        assert!(refused.contains("nothing was recorded"), "{refused}");
        assert!(is_told(said(&["ok"])));
    }
    assert!(is_told(said(&["ok"])));
    assert_eq!(
        taskqueue
            .run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );

    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    until("it is known", || !is_told(said(&["ok"])));
    assert_eq!(said(&["--strict", "ok"]), (Some(0), String::new()));
    // Of another tube it is none.
    let other = ["put", "--use-tube", "other", "ok"];
    assert!(
        Running::start(taskqueue.command(&other))
            .whole()
            .stderr
            .starts_with(UNSERVED)
    );
    drop(worker);
    assert!(is_told(said(&["ok"])), "it was killed");

    // A tender has a tube, also with no worker in it.
    let tender = [
        "tender",
        "--use-tube",
        "t",
        "--mode",
        "ondemand",
        "--log",
        "error",
    ];
    let tender = taskqueue.start(&tender);
    until("it is tended", || !is_told(said(&["ok"])));
    assert_eq!(said(&["--strict", "ok"]), (Some(0), String::new()));

    // Its end is no reason to warn at once: it may be started anew, and producers go on meanwhile.
    taskqueue.run(&["stop", "--use-tube", "t"]).ok();
    drop(tender);
    assert_eq!(said(&["ok"]), (Some(0), String::new()));
    assert_eq!(said(&["--strict", "ok"]), (Some(0), String::new()));
}

#[test]
fn who_wants_errors_alone_is_warned_of_nothing() {
    let taskqueue = Taskqueue::embedded();
    let quiet = |args: &[&str]| {
        let ran = Running::start(taskqueue.command(args)).whole();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    };
    quiet(&["put", "-q", "--use-tube", "t", "unknown"]);
    quiet(&["put", "--quiet", "--use-tube", "t", "--stdin"]);
    quiet(&["-q", "list", "--command", "other"]);
    let refused = ["put", "-q", "--use-tube", "t", "--batch", "nowhere"];
    let ran = Running::start(taskqueue.command(&refused)).whole();
    assert!(ran.stderr.starts_with("taskqueue: cannot read"), "{ran:?}");
}

#[test]
fn of_many_puts_with_one_key_from_many_processes_one_is_recorded() {
    let taskqueue = Taskqueue::alone();
    let lines = r#"{"taskqueue":1,"command":"job","unique":"k"}
"#
    .repeat(20);
    let batch = taskqueue.path("batch.jsonl");
    std::fs::write(&batch, lines).unwrap();
    let batch = batch.to_str().unwrap();
    let puts = |_| taskqueue.start(&["put", "--use-tube", "t", "--batch", batch, "--json"]);
    let running: Vec<Running> = (0..50).map(puts).collect();
    let (mut new, mut existing) = (0, 0);
    for process in running {
        let ran = process.wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for line in ran.stdout.lines() {
            let receipt: Value = serde_json::from_str(line).unwrap();
            assert_eq!(receipt["id"], 1, "{receipt}");
            match receipt["existing"] == true {
                true => existing += 1,
                false => new += 1,
            }
        }
    }
    assert_eq!((new, existing), (1, 999));
}

#[test]
fn a_key_is_told_kept_replaced_and_refused() {
    let taskqueue = Taskqueue::embedded();
    let put = |more: &[&str]| {
        let first = ["put", "--use-tube", "t", "job"];
        let args: Vec<&str> = first.iter().chain(more).copied().collect();
        taskqueue.run(&args)
    };
    assert_eq!(
        put(&["1", "--option", "a=1", "--option", "b", "--unique"]).ok(),
        "1\n"
    );
    assert_eq!(
        put(&["1", "--option", "b", "--option", "a=1", "--unique"]).ok(),
        "1\n"
    );
    assert_eq!(put(&["2", "--unique"]).ok(), "2\n");
    assert_eq!(put(&["3", "--unique=k"]).ok(), "3\n");
    assert_eq!(
        put(&["4", "--unique=k", "--if-exists", "replace"]).ok(),
        "3\n"
    );
    assert_eq!(taskqueue.show("3")["arguments"], json!(["4"]));
    let refused = put(&["5", "--unique=k", "--if-exists", "refuse"]);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (Some(1), ""),
        "{refused:?}"
    );
    assert!(
        refused
            .stderr
            .contains("task 3 has this key and waits; no other was recorded"),
        "{refused:?}"
    );
}

#[test]
fn a_key_is_held_while_its_task_is_unfinished_whoever_is_killed_and_free_after() {
    let taskqueue = Taskqueue::embedded();
    taskqueue
        .configure("[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"[ ! -e slow ] || sleep 300\"]\n");
    std::fs::write(taskqueue.path("slow"), "").unwrap();
    let put = || {
        taskqueue
            .run(&["put", "--use-tube", "t", "job", "--unique=k"])
            .ok()
    };
    assert_eq!(put(), "1\n");
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    until("the task runs", || {
        taskqueue.show("1")["status"] == "running"
    });
    assert_eq!(put(), "1\n");
    worker.signal(Signal::KILL);
    worker.wait();
    assert_eq!(put(), "1\n");
    std::fs::remove_file(taskqueue.path("slow")).unwrap();
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["status"], "done");
    assert_eq!(put(), "2\n");
}

#[test]
fn what_waits_for_others_is_refused_by_name_before_anything_is_recorded() {
    let taskqueue = Taskqueue::embedded();
    let batch = |lines: &str| {
        let args = ["put", "--use-tube", "t", "--batch", "-"];
        taskqueue.run_with(&args, lines.as_bytes())
    };
    let line = |reference: &str, after: &str| {
        format!(
            "{{\"taskqueue\":1,\"command\":\"job\",\"ref\":\"{reference}\",\"after\":[{after}]}}\n"
        )
    };
    let circle = [line("a", "\"b\""), line("b", "\"c\""), line("c", "\"a\"")].concat();
    let table = [
        (
            circle,
            "they wait for each other: a waits for b, b for c, c for a; nothing was recorded",
        ),
        (
            [line("a", ""), line("b", "\"z\"")].concat(),
            "b is to wait for z, and nothing that is put with it has that reference; nothing was recorded",
        ),
        (
            [line("a", ""), line("a", "")].concat(),
            "two that are put together have the reference a; nothing was recorded",
        ),
        (
            [line("a", "99"), line("b", "\"a\"")].concat(),
            "there is no task 99 that it could wait for; it may have been cleaned up; it was not recorded",
        ),
        (
            [line("a", ""), "{\"taskqueue\":1}\n".into()].concat(),
            "it is recorded as a whole; nothing of it was recorded",
        ),
        (
            "{\"taskqueue\":1,\"command\":\"job\",\"after_any\":true}\n".into(),
            "the payload's \"after_any\": there is no \"after\" for it to speak of",
        ),
    ];
    for (lines, said) in table {
        let refused = batch(&lines);
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (Some(1), ""),
            "{refused:?}"
        );
        assert!(refused.stderr.contains(said), "{said}\n{}", refused.stderr);
    }
    let put = taskqueue.run(&["put", "--use-tube", "t", "--after", "7", "job"]);
    assert_eq!(put.code, Some(1));
    assert!(put.stderr.contains("there is no task 7"), "{put:?}");
    assert_eq!(taskqueue.run(&["list", "--json"]).ok(), "[]\n");
    let given = [
        "put",
        "--use-tube",
        "t",
        "--batch",
        "-",
        "--after",
        "1",
        "--if-parent-fails",
        "hold",
    ];
    assert_eq!(
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok(),
        "1\n"
    );
    let lines = [line("a", ""), line("b", "\"a\"")].concat();
    assert_eq!(taskqueue.run_with(&given, lines.as_bytes()).ok(), "2\n3\n");
    assert_eq!(taskqueue.show("2")["waits_for"]["parents"], json!([1]));
    assert_eq!(
        taskqueue.show("3")["waits_for"],
        json!({ "parents": [2], "open": 1, "any": false, "held": null })
    );
    let none = taskqueue.run(&["show", "--result", "1", "9"]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (Some(1), "null\nnull\n"),
        "{none:?}"
    );
}
