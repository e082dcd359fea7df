//! `taskqueue regenerate`

use std::time::Duration;

use serde_json::json;

use super::{COMMANDS, other};
use crate::support::{Beanstalkd, Taskqueue};

#[test]
fn only_failed_tasks_wait_again_and_a_bad_id_stops_no_good_one() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    for command in ["no", "ok", "no"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.work("t", 3);
    let ran = taskqueue.run(&["regenerate", "--id", "1,99,2,3"]);
    let said = ran.stderr.clone();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        said.replace(taskqueue.store().to_str().unwrap(), "STORE")
            .lines()
            .collect::<Vec<_>>(),
        [
            "taskqueue: No such task :99 in the store STORE: it never was there, or it was deleted",
            "  see those that can be regenerated with: taskqueue list --status failed --status cancelled",
            "taskqueue: task 2: Invalid status for task. Current status: 'done' must be 'failed' to be able to restart \
             it",
            "  see how it stands with: taskqueue show 2",
        ]
    );
    assert_eq!(
        ran.stdout,
        "task 1 was regenerated\ntask 3 was regenerated\n"
    );
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "waiting");
    assert_eq!(task["finished"], json!(null));
    assert_eq!(
        task["attempts"].as_array().unwrap().len(),
        1,
        "it keeps them"
    );
    let again = taskqueue.run(&["regenerate", "--id", "1"]).failed(1);
    assert!(
        again.contains("Current status: 'waiting' must be 'failed'"),
        "{again}"
    );

    // What was wrong is mended, and the same rows run.
    taskqueue.configure(&COMMANDS.replace("/bin/false", "/bin/true"));
    taskqueue.work("t", 2);
    let task = taskqueue.show("3");
    assert_eq!(task["status"], "done");
    assert_eq!(task["attempts"][0]["exit_code"], 1);
    assert_eq!(task["attempts"][1]["exit_code"], 0);
    assert_eq!(task["attempts"][1]["number"], 2);
    assert_eq!(
        taskqueue
            .run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn ids_may_be_given_one_by_one_and_must_be_numbers() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "no"]).ok();
    }
    taskqueue.work("t", 3);
    taskqueue
        .run(&["regenerate", "--id", "1", "--id", "2"])
        .ok();
    let json = taskqueue.run(&["regenerate", "--id", "3", "--json"]).json();
    assert_eq!(
        json,
        json!([{ "id": 3, "uuid": taskqueue.show("3")["uuid"], "regenerated": true }])
    );
    for wrong in [
        &["regenerate"][..],
        &["regenerate", "--id", ""],
        &["regenerate", "--id", "a"],
        &["regenerate", "--id", "1,,2"],
    ] {
        assert_eq!(taskqueue.run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_fresh_budget_is_a_whole_one() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        "[commands.no]\nrun = ['/bin/false']\nmax_attempts = 2\nbackoff = { first = '0s' }",
    );
    taskqueue.run(&["put", "--use-tube", "t", "no"]).ok();
    taskqueue.work("t", 2);
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "failed");
    assert_eq!(task["reason"], "exit code 1, in the last of 2 attempts");
    taskqueue.run(&["regenerate", "--id", "1"]).ok();
    taskqueue.work("t", 2);
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "failed");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 4);
}

#[test]
fn a_buried_job_is_deleted_ours_and_others() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let mut other = other(&server, "t");
    taskqueue.run(&["put", "--use-tube", "t", "bury"]).ok();
    let ours = u64::try_from(taskqueue.show("1")["job"].as_i64().unwrap()).unwrap();
    let body = br#"{"taskqueue":1,"command":"unknown"}"#;
    let theirs = other
        .put(body, 1, Duration::ZERO, Duration::from_secs(60))
        .unwrap();
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    taskqueue.work("t", 3);
    for job in [ours, theirs] {
        assert_eq!(other.stats_job(job).unwrap()["state"], "buried");
    }
    let foreign = taskqueue
        .run(&["list", "--command", "unknown", "--json"])
        .json();
    let foreign = foreign[0]["id"].to_string();
    assert_eq!(taskqueue.show(&foreign)["status"], "failed");

    taskqueue
        .configure("[commands.bury]\nrun = ['/bin/true']\n[commands.unknown]\nrun = ['/bin/true']");
    taskqueue
        .run(&["regenerate", "--id", &format!("1,{foreign}")])
        .ok();
    for job in [ours, theirs] {
        assert!(other.stats_job(job).is_err(), "job {job} is still there");
    }
    taskqueue.work("t", 2);
    for id in ["1", &foreign] {
        let task = taskqueue.show(id);
        assert_eq!(task["status"], "done", "{task}");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 2);
    }
    assert_eq!(other.stats_tube("t").unwrap()["current-jobs-buried"], "0");
}

#[test]
fn another_tube_may_be_named() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    taskqueue.run(&["put", "--use-tube", "t", "no"]).ok();
    taskqueue.work("t", 1);
    taskqueue
        .run(&["regenerate", "--id", "1", "--use-tube", "slow"])
        .ok();
    assert_eq!(taskqueue.show("1")["tube"], "slow");
    taskqueue.work("slow", 1);
    assert_eq!(taskqueue.show("1")["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_kick_asks_for_it_too() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    taskqueue.run(&["put", "--use-tube", "t", "bury"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("1")["status"], "failed");
    other(&server, "t").kick(10).unwrap();
    taskqueue.work("t", 1);
    let task = taskqueue.show("1");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(task["status"], "failed");
}

#[test]
fn without_a_broker_it_is_recorded() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    taskqueue.run(&["put", "--use-tube", "t", "no"]).ok();
    taskqueue.work("t", 1);
    server.kill();
    let ran = taskqueue.run(&["regenerate", "--id", "1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(taskqueue.show("1")["status"], "waiting");
}
