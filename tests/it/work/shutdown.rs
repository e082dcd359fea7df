//! TERM: drain, the grace period, and a second one. What ends nobody.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{Queue, exists, jobs, lines, on_both, stats, status, tend};
use crate::support::{Beanstalkd, Running, Taskqueue, until};

on_both!(
    a_tender_drains_its_workers,
    what_ends_in_good_order_leaves_all_of_the_store_in_one_file
);

/// Whoever copies the file then has the store: its journal is folded back, and gone.
fn what_ends_in_good_order_leaves_all_of_the_store_in_one_file(
    taskqueue: &Taskqueue,
    _: &dyn Queue,
) {
    taskqueue.configure("[commands.ok]\nrun = [\"/bin/true\"]\n");
    let journal = taskqueue.store().with_extension("db-wal");
    let left = |after: &str| assert!(!journal.exists(), "{} after {after}", journal.display());
    for _ in 0..20 {
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
        left("put");
    }
    taskqueue.work("t", 4);
    left("worker");
    let tender = tend(taskqueue, 2);
    until("tasks that are done", || status(taskqueue, "20") == "done");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    left("tender");
    for args in [
        &["list"][..],
        &["show", "1"],
        &["reconcile"],
        &["cleanup", "--period", "0"],
    ] {
        taskqueue.run(args).ok();
        left(args[0]);
    }
}

/// A store with one task that sleeps for that long, and a worker that runs it.
fn busy(server: &Beanstalkd, script: &str, grace: &str) -> (Taskqueue, Running) {
    let taskqueue = Taskqueue::with(server);
    let log = taskqueue.path("log");
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> {}; {script}\"]\n",
        log.display()
    ));
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let args = [
        "worker",
        "--use-tube",
        "t",
        "--grace-period",
        grace,
        "--log",
        "error",
    ];
    let worker = taskqueue.start(&args);
    until("a command that runs", || lines(&log).len() == 1);
    (taskqueue, worker)
}

fn outcomes(taskqueue: &Taskqueue) -> Vec<Value> {
    let task = taskqueue.show("1");
    let attempts = task["attempts"].as_array().unwrap();
    attempts.iter().map(|a| a["outcome"].clone()).collect()
}

#[test]
fn a_command_may_finish_within_the_grace_period() {
    let server = Beanstalkd::start();
    let (taskqueue, worker) = busy(&server, "sleep 1", "30");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    worker.signal(Signal::TERM);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(status(&taskqueue, "1"), "done");
    assert_eq!(status(&taskqueue, "2"), "waiting");
    assert_eq!(jobs(&server, "t"), 1);
}

#[test]
fn after_the_grace_period_the_command_goes_and_its_job_waits() {
    let server = Beanstalkd::start();
    let (taskqueue, worker) = busy(&server, "sleep 60", "200ms");
    worker.signal(Signal::INT);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "waiting");
    assert_eq!(task["attempts"][0]["outcome"], "interrupted");
    assert_eq!(task["attempts"][0]["signal"], 15);
    assert_eq!(stats(&server, "t").ready, 1);
    assert!(!exists(&lines(&taskqueue.path("log"))[0]));
    // It used up none of its single attempt.
    taskqueue.configure("[commands.job]\nrun = [\"/bin/true\"]\n");
    taskqueue.work("t", 1);
    assert_eq!(status(&taskqueue, "1"), "done");
    assert_eq!(outcomes(&taskqueue), ["interrupted", "exited"]);
}

#[test]
fn a_second_signal_ends_a_command_that_ignores_the_first() {
    let server = Beanstalkd::start();
    let script = "trap '' TERM; while :; do sleep 1; done";
    let (taskqueue, worker) = busy(&server, script, "600");
    let begun = Instant::now();
    worker.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(status(&taskqueue, "1"), "running");
    worker.signal(Signal::TERM);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(outcomes(&taskqueue), ["interrupted"]);
    assert_eq!(status(&taskqueue, "1"), "waiting");
    assert!(!exists(&lines(&taskqueue.path("log"))[0]));
}

fn a_tender_drains_its_workers(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let log = taskqueue.path("log");
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> {}; sleep 2\"]\n",
        log.display()
    ));
    for _ in 0..4 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
    let tender = tend(taskqueue, 2);
    until("two that run", || lines(&log).len() == 2);
    tender.signal(Signal::TERM);
    let ended = tender.wait();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    let states: Vec<String> = (1..=4)
        .map(|id| status(taskqueue, &id.to_string()))
        .collect();
    assert_eq!(states.iter().filter(|s| *s == "done").count(), 2);
    assert_eq!(states.iter().filter(|s| *s == "waiting").count(), 2);
    assert_eq!(stats(queue, "t").ready, 2);
    for pid in lines(&log) {
        assert!(!exists(&pid));
    }
}

#[test]
fn quit_asks_for_the_same_as_term() {
    let server = Beanstalkd::start();
    let (taskqueue, worker) = busy(&server, "sleep 1", "30");
    worker.signal(Signal::QUIT);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(outcomes(&taskqueue), ["exited"]);
}

#[test]
fn what_is_meant_for_others_neither_ends_nor_stops_a_worker_or_a_tender() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = [\"/bin/true\"]\n");
    let more = [
        Signal::USR2,
        Signal::HUP,
        Signal::USR1,
        Signal::TTIN,
        Signal::TTOU,
    ];
    for (done, who) in [["worker", "t"], ["tender", "u"]].iter().enumerate() {
        let running = taskqueue.start(&[who[0], "--use-tube", who[1], "--log", "error"]);
        let put = || taskqueue.run(&["put", "--use-tube", who[1], "ok"]).ok();
        let is_done = |id: usize| status(&taskqueue, &id.to_string()) == "done";
        put();
        until("at work", || is_done(2 * done + 1));
        for signal in more {
            running.signal(signal);
        }
        put();
        until("still at work", || is_done(2 * done + 2));
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{who:?}");
    }
}
