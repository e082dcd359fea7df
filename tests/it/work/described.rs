//! Bodies of the PHP TaskQueue, from the tube to the row.

use std::time::Duration;

use beanstalkc::Beanstalkc;
use serde_json::json;

use super::{jobs, stats, status};
use crate::support::{Beanstalkd, Taskqueue};

const BODY: &[u8] =
    br#"Acme\Task\ExampleTaskDescription::{"taskIdentifier":"12","message":"hello","wait":"0"}"#;

const TYPE: &str = r#"
[types."Acme\\Task\\ExampleTaskDescription"]
command = "taskqueue:example-task-worker"
arguments = ["wait"]
options = { message = "message" }
"#;

fn put(server: &Beanstalkd, body: &[u8]) -> u64 {
    let mut other = Beanstalkc::new()
        .host("127.0.0.1")
        .port(server.port())
        .connect()
        .unwrap();
    other.use_tube("t").unwrap();
    other
        .put(body, 1024, Duration::ZERO, Duration::from_secs(60))
        .unwrap()
}

#[test]
fn the_example_of_the_ancestor_runs() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(TYPE);
    // Two equal ones are two tasks.
    put(&server, BODY);
    put(&server, BODY);
    taskqueue.work("t", 2);
    let list = [
        "list",
        "--command",
        "taskqueue:example-task-worker",
        "--json",
    ];
    let listed = taskqueue.run(&list).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    for id in ["1", "2"] {
        let task = taskqueue.show(id);
        assert_eq!(task["status"], "done");
        assert_eq!(task["arguments"], json!(["0"]));
        assert_eq!(task["options"], json!({ "message": "hello" }));
        assert_eq!(
            task["attempts"][0]["output"],
            "I HAVE A MESSAGE FOR YOU!\nhello\n"
        );
    }
    assert_eq!(jobs(&server, "t"), 0);
}

#[test]
fn what_was_refused_runs_once_its_type_is_configured() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    put(&server, BODY);
    taskqueue.work("t", 1);
    let task = taskqueue.show("1");
    assert_eq!(task["attempts"][0]["outcome"], "refused");
    let reason = task["reason"].as_str().unwrap();
    let table = r#"add [types."Acme\\Task\\ExampleTaskDescription"] to run it"#;
    assert!(reason.contains(table), "{reason}");
    assert_eq!(stats(&server, "t").buried, 1);

    taskqueue.configure(TYPE);
    taskqueue.run(&["regenerate", "--id", "1"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(&taskqueue, "1"), "done");
    let output = taskqueue.show("1")["attempts"][1]["output"].clone();
    assert_eq!(output, "I HAVE A MESSAGE FOR YOU!\nhello\n");
    assert_eq!(jobs(&server, "t"), 0);
}

#[test]
fn a_command_for_every_body_gets_it_as_it_is() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(TYPE);
    put(&server, BODY);
    let worker = [
        "worker",
        "--use-tube",
        "t",
        "--max-jobs",
        "1",
        "--log",
        "error",
        "--",
        "cat",
    ];
    taskqueue.run(&worker).ok();
    let output = taskqueue.show("1")["attempts"][0]["output"].clone();
    assert_eq!(output.as_str().map(str::as_bytes), Some(BODY));
}
