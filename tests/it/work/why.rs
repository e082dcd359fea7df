//! Why a task does not run, or no more: what the program says is what holds. The sentences are in the table beside
//! `task/why`.

use std::time::Duration;

use rustix::process::Signal;

use super::{Queue, block_on, on_both, tend};
use crate::support::{Beanstalkd, Taskqueue, tube, until};

on_both!(what_a_task_waits_for_is_said);

fn why(taskqueue: &Taskqueue, id: &str) -> String {
    let said = taskqueue.run(&["why", id, "--json"]).json();
    said["why"].as_str().unwrap().to_owned()
}

fn configure(taskqueue: &Taskqueue, more: &str) {
    let commands = "[commands.ok]\nrun = ['/bin/true']\n[commands.no]\nrun = ['/bin/false']\n\
        [commands.long]\nrun = ['/bin/sleep', '300']\n\
        [commands.later]\nrun = ['/bin/sh', '-c', 'exit 75']\nmax_attempts = 2\nbackoff = { first = '1h' }\n";
    taskqueue.configure(&format!("{commands}{more}"));
}

fn what_a_task_waits_for_is_said(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, "");
    assert_eq!(taskqueue.run(&["why", "1"]).stdout, "gone\n");
    let put = |args: &[&str]| taskqueue.run(&[&["put", "--use-tube", "t"], args].concat());
    for command in ["ok", "no", "later"] {
        put(&[command]).ok();
    }
    assert_eq!(why(taskqueue, "1"), "no_worker");
    let pause = |time| block_on(async { queue.session().pause(&tube("t"), time).await });
    pause(Duration::from_secs(60)).unwrap();
    assert_eq!(why(taskqueue, "1"), "paused");
    pause(Duration::ZERO).unwrap();
    taskqueue.work("t", 3);
    for (id, word) in [("1", "done"), ("2", "failed"), ("3", "backing_off")] {
        assert_eq!(why(taskqueue, id), word);
    }
    put(&["ok", "--delay", "1h"]).ok();
    assert_eq!(why(taskqueue, "4"), "not_due");
    let said = taskqueue.run(&["why", "4"]).ok();
    assert!(said.ends_with("; sooner: taskqueue run-now 4\n"), "{said}");
    assert_eq!(put(&["gone"]).code, Some(0));
    assert_eq!(why(taskqueue, "5"), "would_be_refused");
    put(&["long"]).ok();
    put(&["long"]).ok();
    let tender = tend(taskqueue, 1);
    until("it runs", || why(taskqueue, "6") == "running");
    until("all are busy", || why(taskqueue, "7") == "all_busy");
    until("it is parked", || why(taskqueue, "5") == "parked");
    // A worker that was left alone with its command would try to record its end for ever: its store goes with the test.
    taskqueue.run(&["cancel", "6", "7", "--now", "--wait"]).ok();
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_broker_that_cannot_be_reached_is_named() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue, "");
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    server.kill();
    let said = taskqueue.run(&["why", "1"]).ok();
    assert!(
        said.starts_with("the broker cannot be asked: cannot reach the broker"),
        "{said}"
    );
    assert!(
        said.ends_with("; it is put when the broker is back\n"),
        "{said}"
    );
}
