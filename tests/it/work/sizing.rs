//! A tender of our own workers: as many as there is work for.

use rustix::process::Signal;

use super::{Queue, lines, number, on_both};
use crate::support::{Taskqueue, until};

on_both!(one_without_workers_wakes_at_the_first_job);

const LIVE: &str = "SELECT count(*) FROM workers WHERE stopped IS NULL";
const DONE: &str = "SELECT count(*) FROM tasks WHERE status = 'done'";

fn one_without_workers_wakes_at_the_first_job(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure("[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo $0 >> log\"]\n");
    let tender = taskqueue.start(&[
        "tender",
        "--use-tube",
        "t",
        "--mode",
        "ondemand",
        "--shrink-after",
        "0.3",
    ]);
    for round in 1..=3 {
        // Its priority is not that which is given to a job for which none was asked.
        let put = ["put", "--use-tube", "t", "--priority", "7", "job", "x"];
        taskqueue.run(&put).ok();
        until("done", || number(taskqueue, DONE) == round);
        until("gone", || number(taskqueue, LIVE) == 0);
    }
    assert_eq!(lines(&taskqueue.path("log")), ["x", "x", "x"]);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}
