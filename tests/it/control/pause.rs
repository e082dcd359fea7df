//! `pause` and `resume`, with workers that wait meanwhile, on both brokers.

use std::time::{Duration, Instant};

use super::{pool, tend, until_idle};
use crate::support::{Beanstalkd, Taskqueue, until};

fn a_paused_tube_gives_nothing_and_those_who_wait_are_woken(taskqueue: &Taskqueue) {
    let said = taskqueue.run(&["pause", "t"]).failed(1);
    assert!(said.contains("no tube t"), "{said}");
    taskqueue.run(&["pause", "t", "--for", "0"]).failed(2);
    taskqueue.configure("[commands.job]\nrun = [\"/bin/true\"]\n");
    let _tender = tend(taskqueue, 2, 2, &["--log", "error"]);
    until_idle(taskqueue, 2);

    let said = taskqueue
        .run(&["pause", "t", "--for", "10m", "--json"])
        .json();
    let expected = serde_json::json!({"tube": "t", "paused": true, "seconds": 600.0});
    assert_eq!(said, expected);
    taskqueue.run(&["pause", "t"]).ok();
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(taskqueue.show("1")["status"], "waiting");
    taskqueue.run(&["scale", "t", "--max", "3"]).ok();
    until("the pool knows", || pool(taskqueue)["paused"] == true);

    let begun = Instant::now();
    taskqueue.run(&["resume", "t"]).ok();
    until("it is done", || taskqueue.show("1")["status"] == "done");
    // A worker that was not woken would wait for its next reserve.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let said = taskqueue.run(&["resume", "t", "--json"]).json();
    assert_eq!(said, serde_json::json!({"tube": "t", "paused": false}));
}

#[test]
fn with_beanstalkd() {
    let server = Beanstalkd::start();
    a_paused_tube_gives_nothing_and_those_who_wait_are_woken(&Taskqueue::with(&server));
}

#[test]
fn with_the_embedded_broker() {
    a_paused_tube_gives_nothing_and_those_who_wait_are_woken(&Taskqueue::embedded());
}
