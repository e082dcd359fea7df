//! `taskqueue cleanup`

use serde_json::json;

use super::{COMMANDS, other};
use crate::support::{Beanstalkd, Taskqueue};

#[test]
fn it_prints_how_many_it_deleted() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    for command in ["ok", "ok", "no"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.work("t", 3);
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    let cleanup = |args: &[&str]| taskqueue.run(&[&["cleanup"], args].concat()).ok();
    assert_eq!(cleanup(&["--period", "3600"]), "deleted 0 tasks\n");
    assert_eq!(
        cleanup(&["--period", "0", "--dry-run"]),
        "would delete 2 tasks\n"
    );
    let all = [
        "--period",
        "0",
        "--status",
        "failed",
        "--status",
        "done",
        "--dry-run",
        "--json",
    ];
    assert_eq!(cleanup(&all), "{\"deleted\":0,\"would_delete\":3}\n");
    assert_eq!(cleanup(&["--period", "0"]), "deleted 2 tasks\n");
    assert_eq!(cleanup(&["--period", "0"]), "deleted 0 tasks\n");
    assert_eq!(
        cleanup(&["--period", "0", "--status", "failed"]),
        "deleted 1 task\n"
    );
    let left = taskqueue.run(&["list", "--json"]).json();
    assert_eq!(
        (left[0]["id"].clone(), left.as_array().unwrap().len()),
        (json!(4), 1)
    );
    assert_eq!(taskqueue.run(&["show", "1"]).stdout, "gone\n");
    // Ids are not used again.
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    assert_eq!(taskqueue.show("5")["status"], "waiting");
}

#[test]
fn a_foreign_task_goes_once_its_job_has_gone() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let mut other = other(&server, "raw");
    let minute = std::time::Duration::from_secs(60);
    other
        .put(b"hello", 0, std::time::Duration::ZERO, minute)
        .unwrap();
    taskqueue.work("raw", 1);
    assert_eq!(
        taskqueue.run(&["cleanup", "--period", "0"]).ok(),
        "deleted 1 task\n"
    );
}

/// A body that is refused is buried, and its task would stay for ever if its job did.
#[test]
fn a_refused_task_goes_with_its_buried_job() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let mut other = other(&server, "t");
    let minute = std::time::Duration::from_secs(60);
    let mut jobs = Vec::new();
    for body in [b"garbage", b"rubbish", b"garbage"] {
        jobs.push(
            other
                .put(body, 0, std::time::Duration::ZERO, minute)
                .unwrap(),
        );
    }
    taskqueue.work("t", 3);
    // Somebody wants to see this one run again: it waits, and stays.
    other.kick_job(jobs[1]).unwrap();
    let failed = ["cleanup", "--period", "0", "--status", "failed"];
    let would = taskqueue.run(&[&failed[..], &["--dry-run"]].concat());
    assert_eq!(would.stdout, "would delete 2 tasks\n");
    let kept = "1 task that ended long ago stays: its job, put by another producer, is still at the broker";
    assert!(would.stderr.contains(kept), "{would:?}");
    assert!(other.peek(jobs[0]).is_ok(), "a dry run deletes nothing");
    let cleaned = taskqueue.run(&failed);
    assert_eq!(cleaned.stdout, "deleted 2 tasks\n");
    assert!(cleaned.stderr.contains(kept), "{cleaned:?}");
    for (job, is_there) in jobs.iter().zip([false, true, false]) {
        assert_eq!(other.peek(*job).is_ok(), is_there, "{job}");
    }
    assert_eq!(
        taskqueue
            .run(&["list", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Refused once more, it goes like the others.
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.run(&failed).ok(), "deleted 1 task\n");
}

#[test]
fn a_broker_that_never_had_a_job_is_not_believed_that_it_has_gone() {
    let (mut server, wrong) = (Beanstalkd::start(), Beanstalkd::start());
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    let work = |server: &Beanstalkd, body: &[u8]| {
        let minute = std::time::Duration::from_secs(60);
        let mut other = other(server, "raw");
        other
            .put(body, 0, std::time::Duration::ZERO, minute)
            .unwrap();
        taskqueue.work("raw", 1);
    };
    work(&server, b"hello");
    // As if its worker had died before it could note it.
    let unsure = "UPDATE foreign_jobs SET gone = 0";
    taskqueue.sqlite().execute_batch(unsure).unwrap();
    let cleanup = ["cleanup", "--period", "0"];
    let stays = |broker: &str| {
        let ran = taskqueue.run(&[&cleanup[..], &["--broker", broker]].concat());
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "deleted 0 tasks\n"));
        assert!(
            ran.stderr.contains("its job came from another broker"),
            "{ran:?}"
        );
    };
    stays(&wrong.url());
    // Nor is one that may have been started in its place, before it has had anything.
    server.restart();
    stays(&server.url());
    work(&server, b"again");
    assert_eq!(taskqueue.run(&cleanup).ok(), "deleted 2 tasks\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let taskqueue = Taskqueue::alone();
    for wrong in [
        &["cleanup"][..],
        &["cleanup", "--period", "soon"],
        &["cleanup", "--period=-1"],
        &["cleanup", "--period", "0", "--status", "waiting"],
        &["cleanup", "--period", "0", "--status", "running"],
    ] {
        assert_eq!(taskqueue.run(wrong).code, Some(2), "{wrong:?}");
    }
    // Longer ago than there is time.
    assert_eq!(
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).code,
        Some(0)
    );
    let ran = taskqueue.run(&["cleanup", "--period", "10000000000000000000"]);
    assert_eq!(ran.ok(), "deleted 0 tasks\n");
}
