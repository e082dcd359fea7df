//! Jobs that a worker has reserved before it is their turn.

use rustix::process::Signal;

use super::{Queue, jobs, on_both, stats, status};
use crate::support::{Taskqueue, until};

on_both!(
    a_long_command_keeps_no_other_job,
    no_more_jobs_are_taken_than_may_be_had
);

/// Puts tasks of these commands, the one after the other.
fn put(taskqueue: &Taskqueue, commands: &[&str]) {
    taskqueue.configure(
        "[commands.short]\nrun = ['/bin/true']\n[commands.long]\nrun = ['/bin/sleep', '600']",
    );
    let lines: Vec<String> = commands
        .iter()
        .map(|command| format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n"))
        .collect();
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    taskqueue.run_with(&put, lines.concat().as_bytes()).ok();
}

fn a_long_command_keeps_no_other_job(taskqueue: &Taskqueue, queue: &dyn Queue) {
    // Enough of them for the worker to ask for as many at once as it ever does.
    let mut commands = vec!["short"; 25];
    commands[14] = "long";
    put(taskqueue, &commands);
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--grace-period", "0"]);
    until("the long one runs", || status(taskqueue, "15") == "running");
    until("the others are anybody's", || {
        let stats = stats(queue, "t");
        (stats.reserved, stats.ready) == (1, 10)
    });
    taskqueue.work("t", 10);
    for id in 16..=25 {
        assert_eq!(status(taskqueue, &id.to_string()), "done");
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn no_more_jobs_are_taken_than_may_be_had(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(taskqueue, &["short"; 20]);
    taskqueue.work("t", 12);
    assert_eq!((stats(queue, "t").ready, jobs(queue, "t")), (8, 8));
    assert_eq!(status(taskqueue, "12"), "done");
    assert_eq!(status(taskqueue, "13"), "waiting");
}
