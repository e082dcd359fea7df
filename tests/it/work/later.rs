//! What is due much later has no job until it is near, and runs when it is due.

use std::fs;

use rustix::process::Signal;
use taskqueue::clock::STEP_VARIABLE;

use super::{Queue, jobs, lines, number, on_both, status};
use crate::support::{Beanstalkd, Running, Taskqueue, until};

on_both!(what_is_due_much_later_runs_when_it_is_due);

fn start(taskqueue: &Taskqueue, wrong_by: i64, args: &[&str]) -> Running {
    fs::write(taskqueue.path("clock"), wrong_by.to_string()).unwrap();
    let mut command = taskqueue.command(args);
    command.env(STEP_VARIABLE, taskqueue.path("clock"));
    Running::start(command)
}

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];
const HOUR: i64 = 3_600_000;

#[track_caller]
fn end(worker: Running) {
    worker.signal(Signal::TERM);
    let ran = worker.wait();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

fn configure(taskqueue: &Taskqueue) {
    taskqueue.configure(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo $TASKQUEUE_TASK_ID >> log\"]\n",
    );
}

#[track_caller]
fn put(taskqueue: &Taskqueue, args: &[&str]) {
    let args = [&["put", "--use-tube", "t"], args, &["job"]].concat();
    assert_eq!(start(taskqueue, 0, &args).wait().code, Some(0), "{args:?}");
}

fn in_so_long(millis: i64) -> String {
    let at = jiff::Timestamp::now().as_millisecond() + millis;
    jiff::Timestamp::from_millisecond(at).unwrap().to_string()
}

fn what_is_due_much_later_runs_when_it_is_due(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let at = in_so_long(2 * HOUR);
    put(taskqueue, &["--at", &at]);
    put(taskqueue, &["--delay", "2h"]);
    put(taskqueue, &["--at", "2001-01-01 00:00"]);
    let line = format!("{{\"taskqueue\":1,\"command\":\"job\",\"at\":{at:?}}}\n");
    let batch = ["put", "--use-tube", "t", "--batch", "-", "--at", "now"];
    assert_eq!(taskqueue.run_with(&batch, line.as_bytes()).code, Some(0));
    assert_eq!(jobs(queue, "t"), 1, "of what is past alone");
    let worker = start(taskqueue, 0, &WORKER);
    until("what is past has run", || {
        lines(&taskqueue.path("log")) == ["3"]
    });
    for id in ["1", "2", "4"] {
        assert_eq!(status(taskqueue, id), "waiting");
    }
    until("its job is gone", || jobs(queue, "t") == 0);
    let why = taskqueue.run(&["why", "1"]);
    assert!(why.stdout.contains("due"), "{}", why.stdout);
    end(worker);

    // Who looks when it is near puts a job, which waits for the rest.
    let worker = start(taskqueue, HOUR + 60_000, &WORKER);
    until("near", || jobs(queue, "t") == 3);
    assert_eq!(lines(&taskqueue.path("log")), ["3"]);
    end(worker);

    put(taskqueue, &["--delay", "3602"]);
    put(taskqueue, &["--delay", "2h"]);
    assert_eq!(jobs(queue, "t"), 3);
    let worker = start(taskqueue, HOUR, &WORKER);
    until("run", || lines(&taskqueue.path("log")).len() == 2);
    assert_eq!(lines(&taskqueue.path("log")), ["3", "5"]);
    end(worker);
    // What is put off has no job any more, and what is wanted now has one.
    let edit = ["edit", "4", "--at", "2200-01-01"];
    assert_eq!(taskqueue.run(&edit).code, Some(0));
    assert_eq!(jobs(queue, "t"), 3);
    assert_eq!(taskqueue.run(&["run-now", "6"]).code, Some(0));
    let worker = start(taskqueue, 0, &WORKER);
    until("run now", || {
        lines(&taskqueue.path("log")).last().map(String::as_str) == Some("6")
    });
    end(worker);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), 3);
}

/// Nothing of the time is lost with a broker that forgets.
#[test]
fn a_delay_survives_a_broker_that_forgets() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put(&taskqueue, &["--delay", "3604"]);
    let due = number(&taskqueue, "SELECT due FROM tasks");
    server.restart();
    let worker = start(&taskqueue, HOUR, &WORKER);
    until("near", || jobs(&server, "t") == 1);
    server.restart();
    until("run", || !lines(&taskqueue.path("log")).is_empty());
    end(worker);
    let started = number(&taskqueue, "SELECT started FROM tasks");
    assert!(started >= due, "{} ms early", due - started);
}
