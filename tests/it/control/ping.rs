//! `ping` by a worker.

use rustix::process::Signal;
use serde_json::Value;

use super::{pool, tend, until_busy, until_idle};
use crate::support::Taskqueue;

#[test]
fn it_goes_by_a_worker_when_there_is_one() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let alone = taskqueue.run(&["ping", "--json"]).json();
    assert_eq!(alone["workers"], serde_json::json!([]));

    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let idle = taskqueue.run(&["ping", "--json"]).json();
    assert_eq!(idle["workers"][0]["worker"], "t-1");
    assert!(idle["workers"][0]["milliseconds"].as_f64().unwrap() > 0.0);

    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "600"])
        .ok();
    until_busy(&taskqueue, 1);
    let busy = taskqueue.run(&["ping", "--json"]).json();
    assert_eq!(busy["workers"][0]["worker"], "t-1");
    assert_eq!(taskqueue.run(&["ping"]).ok(), "OK\n");

    // One that cannot answer is told of.
    let pid = pool(&taskqueue)["workers"][0]["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let ran = taskqueue.run(&["ping"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("nothing came of it"), "{ran:?}");
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_pool_without_a_worker_is_no_failure() {
    let taskqueue = Taskqueue::embedded();
    let _tender = tend(&taskqueue, 0, 1, &["--log", "error"]);
    crate::support::until("a pool", || pool(&taskqueue)["min"] == 0);
    let ran = taskqueue.run(&["ping", "--json"]).json();
    assert_eq!(ran["workers"][0]["worker"], Value::Null);
}
