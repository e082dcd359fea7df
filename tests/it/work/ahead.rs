//! Jobs that a worker has reserved before it is their turn.

use rustix::process::Signal;

use super::{Queue, jobs, on_both, stats, status};
use crate::support::{Taskqueue, until};

on_both!(
    a_long_command_keeps_no_other_job,
    no_more_jobs_are_taken_than_may_be_had,
    what_is_over_is_deleted_whatever_becomes_of_the_next
);

/// Puts tasks of these commands, the one after the other.
fn put(taskqueue: &Taskqueue, commands: &[&str]) {
    taskqueue.configure(
        "[commands.short]\nrun = ['/bin/true']
         [commands.long]\nrun = ['/bin/sleep', '600']",
    );
    let lines: Vec<String> = commands
        .iter()
        .map(|command| format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n"))
        .collect();
    // No job may come back just because its time is over.
    let put = ["put", "--use-tube", "t", "--ttr", "600", "--batch", "-"];
    taskqueue.run_with(&put, lines.concat().as_bytes()).ok();
}

fn a_long_command_keeps_no_other_job(taskqueue: &Taskqueue, queue: &dyn Queue) {
    // Enough of them for the worker to ask for several at once: after 1, 2, 4 and 8 the long one is amid others.
    let mut commands = vec!["short"; 23];
    commands[12] = "long";
    put(taskqueue, &commands);
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--grace-period", "0"]);
    until("the long one runs", || status(taskqueue, "13") == "running");
    until("the others are anybody's", || {
        let stats = stats(queue, "t");
        (stats.reserved, stats.ready) == (1, 10)
    });
    taskqueue.work("t", 10);
    for id in 14..=23 {
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

fn what_is_over_is_deleted_whatever_becomes_of_the_next(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(taskqueue, &["short"]);
    // Its job is there before it is due, and nobody has kicked it.
    let later = ["put", "--use-tube", "t", "--ttr", "600", "short"];
    taskqueue.run(&later).ok();
    let sql = "UPDATE tasks SET due = due + 600000 WHERE id = 2";
    assert_eq!(taskqueue.sqlite().execute(sql, []), Ok(1));
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    until("the one is gone, and the other waits", || {
        let stats = stats(queue, "t");
        (stats.delayed, jobs(queue, "t")) == (1, 1)
    });
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}
