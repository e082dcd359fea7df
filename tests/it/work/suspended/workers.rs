//! Busy workers that are stopped: their tender notices, and keeps the time of their commands.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::commands::{is_busy, is_shown, notice, with_task};
use crate::support::{TEND_ONE, Taskqueue, until};
use crate::work::{exists, lines, number, status};

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

/// A tender of a worker that is not ours, says that it is busy, and with that how long, and then stops itself.
fn tends_one_that_stops_itself(left: &str, is_killed: bool) {
    let taskqueue = Taskqueue::embedded();
    let busy = format!(r#"{{"report":"busy","task":0,"group":0{left}}}"#);
    let script = format!(
        "#!/bin/bash\necho $$ >> log\nsay() {{ echo \"$1\" >&$TASKQUEUE_TENDER_FD; }}\n\
         say '{{\"report\":\"ready\"}}'\nsay '{busy}'\nkill -STOP $$\n"
    );
    fs::write(taskqueue.path("loop"), script).unwrap();
    fs::set_permissions(taskqueue.path("loop"), Permissions::from_mode(0o755)).unwrap();
    let mut args = TEND_ONE.to_vec();
    args.extend(["--worker-command", "./loop", "--worker-protocol", "lines"]);
    let tender = taskqueue.start(&args);
    let begun = || lines(&taskqueue.path("log")).len();
    until("begun", || begun() == 1);
    if is_killed {
        until("replaced", || begun() == 2);
    } else {
        std::thread::sleep(Duration::from_secs(9));
    }
    tender.signal(Signal::KILL);
    let said = tender.wait().stderr;
    assert_eq!(
        said.contains("WARN worker does not answer"),
        is_killed,
        "{said}"
    );
    assert_eq!(begun(), if is_killed { 2 } else { 1 }, "{said}");
}

#[test]
fn one_that_is_not_ours_and_says_how_long_its_job_may_take_is_killed() {
    tends_one_that_stops_itself(r#","left_ms":1000"#, true);
}

#[test]
fn one_that_is_not_ours_and_says_nothing_of_the_kind_is_left_alone() {
    tends_one_that_stops_itself("", false);
}
