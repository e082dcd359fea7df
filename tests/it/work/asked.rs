//! What a producer may ask for, from a hostile body in a tube to the row that says why it did not run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{jobs, status, store_id};
use crate::support::{Beanstalkd, Taskqueue};

fn put(server: &Beanstalkd, tube: &str, body: &[u8]) -> u64 {
    let mut other = server.other();
    other.use_tube(tube).unwrap();
    other
        .put(body, 1024, Duration::ZERO, Duration::from_secs(60))
        .unwrap()
}

/// The status and the reason of a task.
fn end(taskqueue: &Taskqueue, id: &str) -> (String, String) {
    let task = taskqueue.show(id);
    let text = |key: &str| task[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

fn output(taskqueue: &Taskqueue, id: &str) -> String {
    taskqueue.show(id)["attempts"][0]["output"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn no_body_makes_tar_run_a_command() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let (archive, owned) = (taskqueue.path("b.tar"), taskqueue.path("owned"));
    let tar = |options: &str| {
        let run = format!("run = ['tar', 'cf', '{}']", archive.display());
        taskqueue.configure(&format!("[commands.backup]\n{run}\n{options}"));
    };
    let body = json!({
        "taskqueue": 1,
        "command": "backup",
        "arguments": ["/etc/hostname"],
        "options": {
            "checkpoint": 1,
            "checkpoint-action": format!("exec=sh -c 'id > {}'", owned.display()),
        },
    });
    let body = serde_json::to_vec(&body).unwrap();
    tar("");
    put(&server, "t", &body);
    taskqueue.work("t", 1);
    let (status, reason) = end(&taskqueue, "1");
    assert_eq!(status, "failed");
    let names = r#""checkpoint", "checkpoint-action""#;
    assert_eq!(
        reason,
        format!(
            "the command backup may not be given the options {names}; if it is to take them, write options = [{names}] \
             under [commands.\"backup\"]"
        )
    );
    assert!(!owned.exists() && !archive.exists());

    // Without them the same command runs; and the line that the reason names is what it takes.
    put(
        &server,
        "t",
        br#"{"taskqueue":1,"command":"backup","arguments":["/etc/hostname"]}"#,
    );
    taskqueue.work("t", 1);
    assert_eq!(end(&taskqueue, "2").0, "done");
    assert!(archive.exists() && !owned.exists());
    tar(&format!("options = [{names}]"));
    put(&server, "t", &body);
    taskqueue.work("t", 1);
    assert_eq!(end(&taskqueue, "3").0, "done");
    assert!(owned.exists());
}

#[test]
fn the_example_runs_where_it_is_named() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let other = "[commands.other]\nrun = ['true']\n";
    taskqueue.configure(other);
    let hog = br#"{"taskqueue":1,"command":"taskqueue:example-task-worker","arguments":["4294967295"],"options":{"message":"hog"}}"#;
    put(&server, "t", hog);
    taskqueue.work("t", 1);
    let line = "[commands.\"taskqueue:example-task-worker\"]";
    let (status, reason) = end(&taskqueue, "1");
    assert_eq!(
        (status.as_str(), reason),
        (
            "failed",
            format!(
                "the command taskqueue:example-task-worker is not configured; add {line} to run it"
            )
        )
    );

    // Whoever queues examples is told the line at once.
    let queued = taskqueue.run(&["add-example-task", "--use-tube", "e"]);
    assert_eq!((queued.code, queued.stdout.as_str()), (Some(0), "2\n"));
    assert!(
        queued.stderr.contains(&format!("add {line} to run it")),
        "{queued:?}"
    );
    taskqueue.configure(&format!("{other}{line}\n"));
    taskqueue.work("e", 1);
    assert_eq!(end(&taskqueue, "2").0, "done");
    let quiet = taskqueue.run(&["add-example-task", "--use-tube", "e"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("3\n", ""));
}

#[test]
fn a_tube_runs_no_other_commands_than_it_names() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        "[tubes.few]\ncommands = ['invoice:*', 'report']\n[commands.'*']\nrun = ['/bin/echo', '{command}']",
    );
    for command in ["invoice:send", "report", "drop:all"] {
        let body = json!({ "taskqueue": 1, "command": command });
        put(&server, "few", &serde_json::to_vec(&body).unwrap());
    }
    taskqueue.work("few", 3);
    assert_eq!(output(&taskqueue, "1"), "invoice:send\n");
    assert_eq!(output(&taskqueue, "2"), "report\n");
    assert_eq!(
        end(&taskqueue, "3"),
        (
            "failed".into(),
            "the command drop:all may not run in tube few; to run it there, add \"drop:all\" to commands of \
             [tubes.\"few\"]"
                .into()
        )
    );
}

#[test]
fn in_a_raw_tube_no_body_is_read() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        "[tubes.mail]\ncommand = 'mail'\nraw_only = true\n[commands.mail]\nrun = ['cat']\n\
         [commands.other]\nrun = ['/bin/echo', 'chosen']\n[types.T]\ncommand = 'other'",
    );
    let elsewhere = r#"{"taskqueue":1,"uuid":"00000000-0000-0000-0000-000000000001","store":"00000000-0000-0000-0000-000000000009"}"#;
    let bodies = [
        r#"{"taskqueue":1,"command":"other"}"#,
        r#"{"taskqueue":1,"command":"other","uuid":"00000000-0000-0000-0000-000000000002"}"#,
        r#"{"taskqueue": "emails", "payload": {"to": "a@b.c"}}"#,
        r#"{"taskqueue":2}"#,
        "T::{}",
        elsewhere,
        "",
    ];
    for body in bodies {
        put(&server, "mail", body.as_bytes());
    }
    taskqueue.work("mail", bodies.len());
    for (index, body) in bodies.iter().enumerate() {
        let id = (index + 1).to_string();
        assert_eq!(end(&taskqueue, &id).0, "done", "{body}");
        assert_eq!(output(&taskqueue, &id), *body);
    }

    // Our own pointers are read: to a row, which holds what is content; or to none, and the job goes.
    let id = taskqueue
        .run_with(&["put", "--use-tube", "mail", "--stdin"], b"ours")
        .ok();
    taskqueue.work("mail", 1);
    assert_eq!(output(&taskqueue, id.trim()), "ours");
    let store = store_id(&taskqueue);
    let gone = format!(
        r#"{{"taskqueue":1,"uuid":"00000000-0000-0000-0000-000000000001","store":"{store}"}}"#
    );
    put(&server, "mail", gone.as_bytes());
    put(&server, "mail", b"last");
    taskqueue.work("mail", 1);
    assert_eq!(output(&taskqueue, "9"), "last");
    assert_eq!(jobs(&server, "mail"), 0);
}

#[test]
fn a_pointer_in_another_tube_runs_nothing_there() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.ok]\nrun = ['/bin/true']");
    taskqueue.run(&["put", "--use-tube", "a", "ok"]).ok();
    let uuid = taskqueue.show("1")["uuid"].as_str().unwrap().to_owned();
    let store = store_id(&taskqueue);
    let pointer = format!(r#"{{"taskqueue":1,"uuid":"{uuid}","store":"{store}"}}"#);
    put(&server, "b", pointer.as_bytes());
    put(&server, "b", br#"{"taskqueue":1,"command":"ok"}"#);
    let worker = taskqueue.run(&["worker", "--use-tube", "b", "--max-jobs", "1"]);
    assert_eq!(status(&taskqueue, "2"), "done");
    assert_eq!(
        (status(&taskqueue, "1").as_str(), jobs(&server, "b")),
        ("waiting", 0)
    );
    let told = worker.stderr.contains("it names a task of another tube")
        && worker.stderr.contains("task=1");
    assert!(told, "{worker:?}");
    taskqueue.work("a", 1);
    assert_eq!(status(&taskqueue, "1"), "done");
}

/// After a restart without a binlog the broker's numbers begin again, and a copy may get the number of the job that is
/// gone.
#[test]
fn a_copy_in_another_tube_is_not_taken_for_the_job_that_was_forgotten() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.ok]\nrun = ['/bin/true']");
    taskqueue.run(&["put", "--use-tube", "a", "ok"]).ok();
    let task = taskqueue.show("1");
    let store = store_id(&taskqueue);
    let uuid = task["uuid"].as_str().unwrap();
    let pointer = format!(r#"{{"taskqueue":1,"uuid":"{uuid}","store":"{store}"}}"#);
    server.restart();
    let copy = put(&server, "b", pointer.as_bytes());
    assert_eq!(Value::from(copy), task["job"]);
    taskqueue.run(&["reconcile", "--use-tube", "a"]).ok();
    assert_eq!(jobs(&server, "a"), 1);
    taskqueue.work("a", 1);
    assert_eq!(status(&taskqueue, "1"), "done");
}

#[test]
fn numbers_may_be_negative_and_texts_may_not() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        "[commands.notify]\nrun = ['/bin/echo']\n[types.'Acme\\Notify']\ncommand = 'notify'\narguments = ['chatId']",
    );
    put(
        &server,
        "t",
        br#"{"taskqueue":1,"command":"notify","arguments":[-1001234567890,-5e3]}"#,
    );
    put(
        &server,
        "t",
        br#"{"taskqueue":1,"command":"notify","arguments":["-1001234567890"]}"#,
    );
    put(&server, "t", br#"Acme\Notify::{"chatId":"-1001234567890"}"#);
    taskqueue.work("t", 3);
    assert_eq!(output(&taskqueue, "1"), "-1001234567890 -5e3\n");
    assert_eq!(
        taskqueue.show("1")["arguments"],
        json!(["-1001234567890", "-5e3"])
    );
    assert!(
        end(&taskqueue, "2")
            .1
            .starts_with("argument 1 begins with a hyphen")
    );
    assert_eq!(output(&taskqueue, "3"), "-1001234567890\n");

    // On a command line all are texts, and a number is meant for one.
    let put = taskqueue.run(&["put", "--use-tube", "t", "notify", "--", "-7"]);
    assert_eq!((put.stdout.as_str(), put.stderr.as_str()), ("4\n", ""));
    let put = taskqueue.run(&["put", "--use-tube", "t", "notify", "--", "-x"]);
    assert_eq!((put.code, put.stdout.as_str()), (Some(0), "5\n"));
    assert!(
        put.stderr
            .contains("by this configuration it will be refused: argument 1 begins"),
        "{put:?}"
    );
    taskqueue.work("t", 2);
    assert_eq!(output(&taskqueue, "4"), "-7\n");
    assert_eq!(status(&taskqueue, "5"), "failed");
}

/// The folder is empty but for what a test puts there.
#[test]
fn where_no_command_is_named_nothing_is_said_of_what_is_put() {
    let taskqueue = Taskqueue::embedded();
    fs::remove_file(taskqueue.path("taskqueue.toml")).unwrap_or_default();
    assert!(!Path::new(&taskqueue.path("taskqueue.toml")).exists());
    let put = taskqueue.run(&["put", "--use-tube", "t", "anything", "--option", "x=1"]);
    assert_eq!((put.stdout.as_str(), put.stderr.as_str()), ("1\n", ""));
}
