//! `taskqueue worker`, the example tasks and `ping`

use std::time::Duration;

use serde_json::json;

use super::{COMMANDS, other};
use crate::support::{Beanstalkd, NOBODY, Taskqueue};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_another_client_puts_is_run() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let mut other = other(&server, "t");
    let uuid = "0190a9a5-0000-7000-8000-000000000001";
    let body = format!(
        r#"{{"taskqueue":1,"uuid":"{uuid}","command":"say","arguments":["a b",""],"options":{{"z":1,"a":"x y","f":true,"n":null}}}}"#
    );
    other
        .put(body.as_bytes(), 3, Duration::ZERO, MINUTE)
        .unwrap();
    taskqueue.work("t", 1);
    let task = taskqueue.show(uuid);
    assert_eq!(task["attempts"][0]["output"], "a b  --z=1 --a=x y --f\n");
    assert_eq!(
        (
            &task["status"],
            &task["command"],
            &task["tube"],
            &task["priority"]
        ),
        (&json!("done"), &json!("say"), &json!("t"), &json!(3))
    );
    assert_eq!(task["arguments"], json!(["a b", ""]));
    assert_eq!(task["options"]["z"], 1);

    let mut raw = super::other(&server, "raw");
    raw.put(b"any \xff bytes", 0, Duration::ZERO, MINUTE)
        .unwrap();
    raw.put(b"any \xff bytes", 0, Duration::ZERO, MINUTE)
        .unwrap();
    taskqueue.work("raw", 2);
    for id in ["2", "3"] {
        let task = taskqueue.show(id);
        assert_eq!(task["attempts"][0]["output"], "any \u{fffd} bytes");
        assert_eq!(task["body_size"], 11);
    }
    for tube in ["t", "raw"] {
        assert_eq!(left(&server, tube), 0, "{tube}");
    }
}

/// Jobs in a tube, wherever they stand; a tube that is empty and unused is no more.
fn left(server: &Beanstalkd, tube: &str) -> u64 {
    let stats = other(server, tube).stats_tube(tube).unwrap();
    ["ready", "reserved", "delayed", "buried"]
        .map(|state| {
            stats[&format!("current-jobs-{state}")]
                .parse::<u64>()
                .unwrap()
        })
        .iter()
        .sum()
}

#[test]
fn a_command_after_two_hyphens_gets_every_body_without_configuration() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let mut other = other(&server, "mail");
    let bodies: [&[u8]; 4] = [
        b"hello",
        b"",
        br#"{"taskqueue":1,"command":"-x"}"#,
        br#"{"taskqueue":2}"#,
    ];
    for body in bodies {
        other.put(body, 0, Duration::ZERO, MINUTE).unwrap();
    }
    let args = [
        "worker",
        "--use-tube",
        "mail",
        "--max-jobs",
        "4",
        "--",
        "/bin/cat",
        "-",
        "--store",
    ];
    let ran = taskqueue.run(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // cat has no such option: what follows the hyphens is the command's.
    assert_eq!(taskqueue.show("1")["status"], "failed");

    for body in bodies {
        other.put(body, 0, Duration::ZERO, MINUTE).unwrap();
    }
    let args = [
        "worker",
        "--max-jobs",
        "4",
        "--use-tube",
        "mail",
        "--name",
        "me",
        "--",
        "/bin/cat",
        "-",
    ];
    assert_eq!(taskqueue.run(&args).code, Some(0));
    for (id, body) in (5..).zip(bodies) {
        let task = taskqueue.show(&id.to_string());
        assert_eq!(
            (&task["status"], &task["command"]),
            (&json!("done"), &json!("cat"))
        );
        assert_eq!(
            task["attempts"][0]["output"],
            String::from_utf8_lossy(body).as_ref()
        );
        assert_eq!(task["attempts"][0]["worker"], "me");
    }
}

#[test]
fn a_command_is_told_what_it_is_run_for() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue
        .configure("withhold_environment = ['SECRET']\n[commands.env]\nrun = ['/usr/bin/env']");
    taskqueue.run(&["put", "--use-tube", "t", "env"]).ok();
    let mut command = taskqueue.command(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    command.env("SECRET", "s3cret").env("PLAIN", "plain");
    assert_eq!(crate::support::Running::start(command).wait().code, Some(0));
    let task = taskqueue.show("1");
    let output = task["attempts"][0]["output"].as_str().unwrap();
    let uuid = task["uuid"].as_str().unwrap();
    for line in [
        "TASKQUEUE_TASK_ID=1",
        &format!("TASKQUEUE_UUID={uuid}"),
        "TASKQUEUE_TUBE=t",
        &format!("TASKQUEUE_JOB_ID={}", task["job"]),
        "TASKQUEUE_ATTEMPT=1",
        "TASKQUEUE_COMMAND=env",
        "PLAIN=plain",
    ] {
        assert!(output.lines().any(|l| l == line), "{line}: {output}");
    }
    assert!(!output.contains("s3cret"), "{output}");
}

#[test]
fn the_example_works_without_configuration() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    assert_eq!(taskqueue.run(&["add-example-task"]).ok(), "1\n");
    let args = [
        "add-example-task",
        "--total-tasks",
        "2",
        "--use-tube",
        "default",
    ];
    assert_eq!(taskqueue.run(&args).ok(), "2\n3\n");
    taskqueue.work("default", 3);
    for id in ["1", "2", "3"] {
        let task = taskqueue.show(id);
        assert_eq!(task["status"], "done", "{task}");
        assert_eq!(
            task["attempts"][0]["output"],
            "I HAVE A MESSAGE FOR YOU!\n.\nhello world\n"
        );
    }
}

#[test]
fn the_example_worker_says_its_message() {
    let taskqueue = Taskqueue::alone();
    let args = ["example-task-worker", "0", "--message", "a b"];
    assert_eq!(
        taskqueue.run(&args).ok(),
        "I HAVE A MESSAGE FOR YOU!\na b\n"
    );
    for wrong in [
        &["example-task-worker"][..],
        &["example-task-worker", "1"],
        &["example-task-worker", "x", "--message", "m"],
    ] {
        assert_eq!(taskqueue.run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_ping_goes_there_and_back() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    assert_eq!(taskqueue.run(&["ping"]).ok(), "OK\n");
    assert_eq!(taskqueue.run(&["ping", "--json"]).json()["ok"], true);
    assert!(!taskqueue.store().exists(), "it needs no store");
    // It leaves nothing behind.
    let stats = other(&server, "default").stats().unwrap();
    let total: u64 = ["ready", "reserved", "delayed", "buried"]
        .iter()
        .map(|state| {
            stats[&format!("current-jobs-{state}")]
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(total, 0);

    let ran = Taskqueue::alone().run(&["ping"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("ERROR: "), "{ran:?}");
    let address = NOBODY.trim_start_matches("beanstalk://");
    for part in [address, "beanstalkd -l"] {
        assert!(ran.stdout.contains(part), "{ran:?}");
    }
}

#[test]
fn what_a_worker_cannot_be_called_is_refused() {
    let taskqueue = Taskqueue::alone();
    for wrong in [
        &["worker"][..],
        &["worker", "--use-tube", "t", "--name", ""],
        &["worker", "--use-tube", "t", "--max-jobs", "0"],
        &["worker", "--use-tube", "t", "cat"],
    ] {
        assert_eq!(taskqueue.run(wrong).code, Some(2), "{wrong:?}");
    }
}
