//! Clocks that are set an hour forward or back: nothing runs early, an hour late, twice or not at all.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use taskqueue::clock::STEP_VARIABLE;

use super::{Queue, jobs, lines, number, on_both, status};
use crate::support::{Beanstalkd, NOBODY, Running, Taskqueue, until};

on_both!(
    a_running_command_does_not_notice,
    a_retry_waits_as_long_as_it_was_to,
    a_delay_is_as_long_as_it_was_to_be,
    what_is_regenerated_waits_for_nothing,
);

const HOUR: i64 = 3_600_000;

/// The clock of everything that [`start`] starts is wrong by so many milliseconds from now on.
fn set(taskqueue: &Taskqueue, wrong_by: i64) {
    fs::write(taskqueue.path("new"), wrong_by.to_string()).unwrap();
    fs::rename(taskqueue.path("new"), taskqueue.path("clock")).unwrap();
}

fn start(taskqueue: &Taskqueue, args: &[&str]) -> Running {
    let mut command = taskqueue.command(args);
    command.env(STEP_VARIABLE, taskqueue.path("clock"));
    Running::start(command)
}

fn worker(taskqueue: &Taskqueue) -> Running {
    start(taskqueue, &["worker", "--use-tube", "t", "--log", "error"])
}

#[track_caller]
fn put(taskqueue: &Taskqueue, args: &[&str]) {
    let args = [&["put", "--use-tube", "t"], args].concat();
    assert_eq!(start(taskqueue, &args).wait().code, Some(0));
}

#[track_caller]
fn end(worker: Running) {
    worker.signal(Signal::TERM);
    let ran = worker.wait();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

/// When the lines of the log were written, in milliseconds, by the machine's own clock.
fn times(taskqueue: &Taskqueue) -> Vec<i64> {
    let times = lines(&taskqueue.path("log"));
    times.iter().map(|line| line.parse().unwrap()).collect()
}

fn a_running_command_does_not_notice(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo begin >> log; while ! [ -e go ]; do sleep 0.05; done\"]\ntimeout = 60\n",
    );
    set(taskqueue, 0);
    put(taskqueue, &["--ttr", "2", "job"]);
    let workers = [worker(taskqueue), worker(taskqueue)];
    until("begun", || lines(&taskqueue.path("log")).len() == 1);
    for wrong_by in [HOUR, -HOUR] {
        set(taskqueue, wrong_by);
        // Longer than its TTR.
        sleep(Duration::from_secs(3));
        assert_eq!(status(taskqueue, "1"), "running");
    }
    fs::write(taskqueue.path("go"), "").unwrap();
    until("done", || status(taskqueue, "1") == "done");
    until("an empty tube", || jobs(queue, "t") == 0);
    assert_eq!(lines(&taskqueue.path("log")), ["begin"]);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), 1);
    workers.into_iter().for_each(end);
}

fn a_retry_waits_as_long_as_it_was_to(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(
        "[commands.again]\nrun = [\"/bin/sh\", \"-c\", \"date +%s%3N >> log; test $TASKQUEUE_ATTEMPT = 2\"]\n\
         max_attempts = 2\nbackoff = { first = 2 }\n",
    );
    for (id, wrong_by) in [("1", HOUR), ("2", -HOUR)] {
        set(taskqueue, 0);
        let before = times(taskqueue).len();
        put(taskqueue, &["again"]);
        let worker = worker(taskqueue);
        until("waits again", || {
            times(taskqueue).len() == before + 1 && status(taskqueue, id) == "waiting"
        });
        set(taskqueue, wrong_by);
        until("done", || status(taskqueue, id) == "done");
        let times = times(taskqueue);
        let waited = times[before + 1] - times[before];
        assert!(
            waited >= 2000,
            "by {wrong_by}: too early, after {waited} ms"
        );
        until("an empty tube", || jobs(queue, "t") == 0);
        end(worker);
    }
}

fn a_delay_is_as_long_as_it_was_to_be(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure("[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"date +%s%3N >> log\"]\n");
    for (id, wrong_by) in [("1", HOUR), ("2", -HOUR)] {
        set(taskqueue, 0);
        let began = jiff::Timestamp::now().as_millisecond();
        put(taskqueue, &["--delay", "2", "job"]);
        set(taskqueue, wrong_by);
        let worker = worker(taskqueue);
        until("done", || status(taskqueue, id) == "done");
        let waited = times(taskqueue).last().unwrap() - began;
        assert!(
            waited >= 2000,
            "by {wrong_by}: too early, after {waited} ms"
        );
        until("an empty tube", || jobs(queue, "t") == 0);
        end(worker);
    }
}

fn what_is_regenerated_waits_for_nothing(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure("[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"test -e go\"]\n");
    set(taskqueue, 0);
    put(taskqueue, &["job"]);
    let first = worker(taskqueue);
    until("failed", || status(taskqueue, "1") == "failed");
    end(first);
    fs::write(taskqueue.path("go"), "").unwrap();
    set(taskqueue, HOUR);
    let args = ["regenerate", "--id", "1"];
    assert_eq!(start(taskqueue, &args).wait().code, Some(0));
    set(taskqueue, -HOUR);
    let second = worker(taskqueue);
    until("done", || status(taskqueue, "1") == "done");
    until("an empty tube", || jobs(queue, "t") == 0);
    end(second);
}

#[test]
fn what_was_put_into_no_broker_by_a_clock_that_was_wrong_is_put_all_the_same() {
    for wrong_by in [HOUR, -HOUR] {
        let server = Beanstalkd::start();
        let taskqueue = Taskqueue::with(&server);
        taskqueue.configure("[commands.job]\nrun = [\"/bin/true\"]\n");
        set(&taskqueue, wrong_by);
        put(&taskqueue, &["--broker", NOBODY, "job"]);
        put(&taskqueue, &["--broker", NOBODY, "--delay", "1", "job"]);
        assert_eq!(jobs(&server, "t"), 0);
        set(&taskqueue, 0);
        let worker = worker(&taskqueue);
        for id in ["1", "2"] {
            until("done", || status(&taskqueue, id) == "done");
        }
        until("an empty tube", || jobs(&server, "t") == 0);
        assert_eq!(number(&taskqueue, "SELECT count(*) FROM attempts"), 2);
        end(worker);
    }
}

/// Ages, deadlines and waits of a tender are no times of day.
#[test]
fn a_tender_does_not_notice() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"sleep 1\"]\n");
    set(&taskqueue, 0);
    let tender = start(
        &taskqueue,
        &[
            "tender",
            "--use-tube",
            "t",
            "--min-workers",
            "2",
            "--max-workers",
            "2",
            "--max-worker-age",
            "600",
            "--log",
            "error",
        ],
    );
    until("they wait", || super::stats(&server, "t").waiting == 2);
    for (wrong_by, id) in [(HOUR, "1"), (-HOUR, "2"), (0, "3")] {
        set(&taskqueue, wrong_by);
        put(&taskqueue, &["job"]);
        until("done", || status(&taskqueue, id) == "done");
    }
    assert_eq!(number(&taskqueue, "SELECT count(*) FROM workers"), 2);
    end(tender);
}
