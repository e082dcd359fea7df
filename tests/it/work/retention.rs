//! What ended long ago is deleted by tenders whose configuration says so.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Beanstalkd, Running, Taskqueue, until};

const COMMANDS: &str = "[commands.ok]\nrun = [\"true\"]\n[commands.no]\nrun = [\"false\"]\n";

fn configure(taskqueue: &Taskqueue, retention: &str) {
    taskqueue.configure(&format!("{retention}\n[tubes.t]\n[tubes.u]\n{COMMANDS}"));
}

fn tend(taskqueue: &Taskqueue, tube: &str) -> Running {
    let log = format!("{tube}.log");
    let pool = ["--min-workers", "1", "--max-workers", "1"];
    let what = ["tender", "--use-tube", tube, "--log-file", &log];
    taskqueue.start(&[&what[..], &pool].concat())
}

fn end(tender: Running) {
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

/// How many tasks stand so.
fn count(taskqueue: &Taskqueue, status: &str) -> usize {
    let listed = taskqueue.run(&["list", "--json", "--status", status]);
    listed.json().as_array().unwrap().len()
}

fn put(taskqueue: &Taskqueue, commands: &[&str]) {
    for command in commands {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
}

#[test]
fn what_is_too_old_goes_and_what_nothing_is_said_of_stays() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue, "");
    let tenders = [tend(&taskqueue, "t"), tend(&taskqueue, "u")];
    put(&taskqueue, &["ok", "no", "ok"]);
    // A body that is refused, which somebody else put.
    let mut other = server.other();
    other.use_tube("t").unwrap();
    let minute = Duration::from_secs(60);
    let refused = other.put(b"garbage", 0, Duration::ZERO, minute).unwrap();
    until("ended", || {
        (count(&taskqueue, "done"), count(&taskqueue, "failed")) == (2, 2)
    });
    // Longer than a tender that had to would wait.
    sleep(Duration::from_secs(3));
    assert_eq!(count(&taskqueue, "done"), 2, "nothing was said");

    configure(&taskqueue, "[retention]\ndone = \"1s\"");
    for tube in ["t", "u"] {
        let reload = ["reload", "--use-tube", tube];
        let said = taskqueue.run(&reload).ok();
        assert!(said.contains("stay for other times"), "{said}");
    }
    until("what is done goes", || count(&taskqueue, "done") == 0);
    assert_eq!(count(&taskqueue, "failed"), 2);

    configure(&taskqueue, "[retention]\nfailed = \"1s\"");
    taskqueue.run(&["reload", "--use-tube", "t"]).ok();
    until("what failed goes", || count(&taskqueue, "failed") == 0);
    assert!(other.peek(refused).is_err(), "the job went with its task");
    tenders.into_iter().for_each(end);
    let logs = ["t.log", "u.log"].map(|log| fs::read_to_string(taskqueue.path(log)).unwrap());
    let said = logs.concat();
    assert!(said.contains("deleted tasks that ended long ago"), "{said}");
}

#[test]
fn one_at_a_time_deletes() {
    let taskqueue = Taskqueue::embedded();
    configure(&taskqueue, "");
    let tender = tend(&taskqueue, "t");
    put(&taskqueue, &["ok"]);
    until("done", || count(&taskqueue, "done") == 1);
    let store = taskqueue.store().canonicalize().unwrap();
    let turn = taskqueue::ownership::Turn::take(&store).unwrap().unwrap();
    configure(&taskqueue, "[retention]\ndone = 1");
    taskqueue.run(&["reload"]).ok();
    sleep(Duration::from_secs(4));
    assert_eq!(count(&taskqueue, "done"), 1, "another has the turn");
    drop(turn);
    until("deleted", || count(&taskqueue, "done") == 0);
    end(tender);
}

#[test]
fn why_tasks_stay_is_said_once() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue, "[retention]\nfailed = \"1s\"");
    let mut other = server.other();
    other.use_tube("t").unwrap();
    let minute = Duration::from_secs(60);
    other.put(b"garbage", 0, Duration::ZERO, minute).unwrap();
    taskqueue.work("t", 1);
    server.kill();
    let tender = tend(&taskqueue, "t");
    let said = || fs::read_to_string(taskqueue.path("t.log")).unwrap_or_default();
    let times = || said().matches("tasks stay that ended long ago").count();
    until("said", || times() == 1);
    assert!(said().contains("1 task that ended long ago stays"));
    sleep(Duration::from_secs(3));
    assert_eq!(times(), 1, "{}", said());
    end(tender);
}

#[test]
fn a_retention_that_makes_no_sense_is_refused() {
    let taskqueue = Taskqueue::alone();
    for (retention, why) in [
        (
            "[retention]\ndone = 0",
            "retention.done: must be more than 0",
        ),
        ("[retention]\nfailed = \"-1d\"", "no duration"),
        (
            "[retention]\nwaiting = \"1d\"",
            "there is no key waiting here",
        ),
    ] {
        configure(&taskqueue, retention);
        let ran = taskqueue.run(&["check"]);
        assert_ne!(ran.code, Some(0), "{retention}");
        assert!(
            ran.stdout.contains(why) || ran.stderr.contains(why),
            "{ran:?}"
        );
    }
}
