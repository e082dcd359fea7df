//! Commands that are stopped.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{TEND_ONE, Taskqueue, until};
use crate::work::{lines, number, status};

/// A store of its own with one command, and a task of it.
pub(super) fn with_task(command: &str, more: &str) -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    let run = format!("[commands.job]\nrun = [\"/bin/sh\", \"-c\", {command:?}]\n{more}");
    taskqueue.configure(&run);
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue
}

/// The process that a command has written the number of.
fn begun(taskqueue: &Taskqueue) -> Pid {
    let log = taskqueue.path("log");
    until("begun", || lines(&log).len() == 1);
    let pid = lines(&log).first().unwrap().parse().unwrap();
    Pid::from_raw(pid).unwrap()
}

/// The first worker's line of `status`.
fn worker(taskqueue: &Taskqueue) -> Value {
    let seen: Value = taskqueue.run(&["status", "--json"]).json();
    seen["tenders"][0]["pools"][0]["workers"][0].clone()
}

/// What that says beside how the worker stands.
pub(super) fn notice(taskqueue: &Taskqueue) -> Option<String> {
    worker(taskqueue)["notice"].as_str().map(str::to_owned)
}

/// Waits until the command has begun, and the tender knows that.
pub(super) fn is_busy(taskqueue: &Taskqueue) -> Pid {
    let command = begun(taskqueue);
    until("busy", || worker(taskqueue)["task"] == 1);
    command
}

/// Waits until people are shown that.
pub(super) fn is_shown(taskqueue: &Taskqueue, notice: &str) {
    until("shown to people", || {
        taskqueue.run(&["status"]).ok().contains(notice)
    });
}

#[test]
fn a_command_that_is_stopped_is_said_and_shown_until_it_goes_on() {
    let taskqueue = with_task("echo $$ >> log; while ! [ -e go ]; do sleep 0.05; done", "");
    let tender = taskqueue.start(&TEND_ONE);
    let command = is_busy(&taskqueue);
    assert_eq!(notice(&taskqueue), None);
    kill_process(command, Signal::STOP).unwrap();
    until("shown", || notice(&taskqueue).is_some());
    assert_eq!(
        notice(&taskqueue).unwrap(),
        "the command of task 1 is stopped, by SIGSTOP"
    );
    is_shown(&taskqueue, "the command of task 1 is stopped, by SIGSTOP");
    kill_process(command, Signal::CONT).unwrap();
    until("shown no more", || notice(&taskqueue).is_none());
    assert_eq!(status(&taskqueue, "1"), "running");
    fs::write(taskqueue.path("go"), "").unwrap();
    until("done", || status(&taskqueue, "1") == "done");
    tender.signal(Signal::TERM);
    let said = tender.wait().stderr;
    let of = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(of(" WARN a command is stopped"), 1, "{said}");
    assert_eq!(of(" INFO a command that was stopped goes on"), 1, "{said}");
    assert!(
        said.contains("SIGSTOP") && said.contains("task=1"),
        "{said}"
    );
}

/// One that asks for a terminal of its own in the background; and its time counts on. It hears the TERM: CONT follows.
#[test]
fn a_command_that_stops_itself_times_out() {
    let command = "trap 'echo ended > ended; exit 0' TERM; echo $$ >> log; kill -STOP $$; \
                   sleep 60 & wait";
    let taskqueue = with_task(command, "timeout = 6\nmax_attempts = 1\n");
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    begun(&taskqueue);
    let since = Instant::now();
    let said = worker.wait().stderr;
    assert!(since.elapsed() < Duration::from_secs(10), "{said}");
    assert!(said.contains("WARN a command is stopped"), "{said}");
    let timed_out = "SELECT count(*) FROM attempts WHERE outcome = 'timed_out'";
    assert_eq!(
        (
            number(&taskqueue, timed_out),
            status(&taskqueue, "1").as_str()
        ),
        (1, "failed")
    );
    assert!(
        taskqueue.path("ended").exists(),
        "it could not act on the TERM"
    );
}
