//! Busy workers that are stopped: their tender notices, and keeps the time of their commands.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::commands::{is_busy, is_shown, notice, with_task};
use crate::support::{TEND_ONE, Taskqueue, until};
use crate::work::{exists, number, status};

/// The worker that has the task.
fn owner(taskqueue: &Taskqueue) -> Pid {
    let owner = "SELECT workers.pid FROM tasks JOIN workers ON workers.id = owner";
    Pid::from_raw(number(taskqueue, owner).try_into().unwrap()).unwrap()
}

#[test]
fn the_timeout_of_a_stopped_workers_command_is_kept_by_its_tender() {
    let taskqueue = with_task(
        "echo $$ >> log; exec sleep 60",
        "timeout = 3\nmax_lost = 1\n",
    );
    let tender = taskqueue.start(&TEND_ONE);
    let command = is_busy(&taskqueue).as_raw_nonzero().to_string();
    let worker = owner(&taskqueue);
    let since = Instant::now();
    kill_process(worker, Signal::STOP).unwrap();
    until("ended", || !exists(&command));
    let took = since.elapsed();
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(12)).contains(&took),
        "{took:?}"
    );
    until("recorded", || status(&taskqueue, "1") == "failed");
    let lost =
        "SELECT count(*) FROM attempts WHERE outcome = 'lost' AND reason LIKE '%did not answer%'";
    assert_eq!(number(&taskqueue, lost), 1);
    // Another took its place.
    let worker = worker.as_raw_nonzero().to_string();
    until("gone", || !exists(&worker));
    tender.signal(Signal::TERM);
    let said = tender.wait().stderr;
    let of = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(of("WARN worker does not answer"), 1, "{said}");
    assert_eq!(of("WARN worker killed"), 1, "{said}");
    assert!(
        said.contains("its process is stopped") && said.contains("task=1"),
        "{said}"
    );
}

#[test]
fn a_stopped_worker_is_said_and_shown_until_it_goes_on_and_loses_nothing() {
    let taskqueue = with_task("echo $$ >> log; while ! [ -e go ]; do sleep 0.05; done", "");
    let tender = taskqueue.start(&TEND_ONE);
    is_busy(&taskqueue);
    let worker = owner(&taskqueue);
    kill_process(worker, Signal::STOP).unwrap();
    until("shown", || notice(&taskqueue).is_some());
    let shown = notice(&taskqueue).unwrap();
    assert!(shown.starts_with("has not answered for "), "{shown}");
    assert!(
        shown.ends_with("its process is stopped (state T)"),
        "{shown}"
    );
    is_shown(&taskqueue, "has not answered for ");
    kill_process(worker, Signal::CONT).unwrap();
    until("shown no more", || notice(&taskqueue).is_none());
    fs::write(taskqueue.path("go"), "").unwrap();
    until("done", || status(&taskqueue, "1") == "done");
    let attempts = "SELECT count(*) FROM attempts";
    assert_eq!(number(&taskqueue, attempts), 1);
    tender.signal(Signal::TERM);
    let said = tender.wait().stderr;
    let of = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    assert_eq!(of("WARN worker does not answer"), 1, "{said}");
    assert_eq!(of("INFO worker answers again"), 1, "{said}");
}

/// Shorter than the bound, though its command's time is long up meanwhile.
#[test]
fn a_worker_that_was_stopped_for_a_moment_is_not_killed() {
    let taskqueue = with_task(
        "echo $$ >> log; exec sleep 60",
        "timeout = 1\nmax_attempts = 1\n",
    );
    let tender = taskqueue.start(&TEND_ONE);
    is_busy(&taskqueue);
    let worker = owner(&taskqueue);
    kill_process(worker, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    kill_process(worker, Signal::CONT).unwrap();
    until("ended", || status(&taskqueue, "1") == "failed");
    let timed_out = "SELECT count(*) FROM attempts WHERE outcome = 'timed_out'";
    assert_eq!(number(&taskqueue, timed_out), 1);
    assert!(exists(&worker.as_raw_nonzero().to_string()));
    tender.signal(Signal::TERM);
    let said = tender.wait().stderr;
    assert!(!said.contains("does not answer"), "{said}");
}
