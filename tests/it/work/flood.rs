//! A key that is flooded, with real workers: whoever is of another key begins before more than a few of it were met.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::limits::{begun, configure, done, held, put, stop, workers};
use super::{Queue, block_on, jobs, on_both, tend};
use crate::support::{Taskqueue, job, tube, until};

on_both!(
    a_key_that_is_flooded_has_one_job_and_all_of_it_runs_in_order,
    what_others_put_of_a_key_is_held_and_runs_once,
    a_flood_runs_when_its_limit_is_no_more,
);

const ONE: &str = "[limits.one]\nconcurrency = 1\nby = \"argument:1\"\ncommands = [\"job\"]\n";

/// Which tasks of a key have begun, each where it has begun first.
fn order(taskqueue: &Taskqueue, key: &str) -> Vec<i64> {
    let mut order: Vec<i64> = Vec::new();
    for line in begun(taskqueue) {
        let words: Vec<&str> = line.split(' ').collect();
        let id = words[1].parse().unwrap();
        if words[2] == key && !order.contains(&id) {
            order.push(id);
        }
    }
    order
}

fn a_key_that_is_flooded_has_one_job_and_all_of_it_runs_in_order(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
) {
    configure(taskqueue, ONE);
    put(taskqueue, 150, "a", "");
    // Nobody works, and no job of the others was ever there.
    assert_eq!((held(taskqueue), jobs(queue, "t")), (149, 1));
    put(taskqueue, 1, "b", "0");
    assert_eq!((held(taskqueue), jobs(queue, "t")), (149, 2));
    let tender = tend(taskqueue, 3);
    until("the other is done", || done(taskqueue) == 1);
    until("the first of the flood runs", || {
        begun(taskqueue).len() == 2
    });
    assert_eq!(order(taskqueue, "a"), [1]);
    assert_eq!(held(taskqueue), 149);
    // Whoever runs the first of them is killed, and with it whoever would let the next one go.
    for pid in workers(taskqueue) {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    fs::write(taskqueue.path("finish"), "").unwrap();
    until("all are done", || done(taskqueue) == 151);
    assert_eq!(order(taskqueue, "a"), (1..=150).collect::<Vec<i64>>());
    let of_the_rest = begun(taskqueue).len() - order(taskqueue, "a").len();
    assert!(of_the_rest <= 2, "the other, and the one that was killed");
    until("no job is left", || jobs(queue, "t") == 0);
    assert_eq!(held(taskqueue), 0);
    stop(tender);
}

fn what_others_put_of_a_key_is_held_and_runs_once(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, ONE);
    let body = |key: &str, takes: &str| {
        json!({"taskqueue": 1, "command": "job", "arguments": [key, takes]}).to_string()
    };
    let flood = (0..100).map(|_| body("a", ""));
    let all: Vec<_> = flood
        .chain([body("b", "0")])
        .map(|body| job(body.as_bytes()))
        .collect();
    let answers = block_on(async { queue.session().put(&tube("t"), &all).await });
    assert!(answers.iter().all(Result::is_ok));
    let tender = tend(taskqueue, 3);
    until("the other has begun", || order(taskqueue, "b").len() == 1);
    until("the other is done", || done(taskqueue) == 1);
    assert_eq!(order(taskqueue, "a").len(), 1);
    until("the others are held", || held(taskqueue) == 99);
    until("their jobs are gone", || jobs(queue, "t") == 1);
    fs::write(taskqueue.path("finish"), "").unwrap();
    until("all are done", || done(taskqueue) == 101);
    assert_eq!(begun(taskqueue).len(), 101, "each once");
    until("no job is left", || jobs(queue, "t") == 0);
    stop(tender);
}

fn a_flood_runs_when_its_limit_is_no_more(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, ONE);
    put(taskqueue, 1, "a", "");
    put(taskqueue, 300, "a", "0");
    let tender = tend(taskqueue, 3);
    until("the first runs", || begun(taskqueue).len() == 1);
    assert_eq!(held(taskqueue), 300);
    configure(
        taskqueue,
        &ONE.replace("concurrency = 1", "concurrency = 2"),
    );
    taskqueue.run(&["reload"]).ok();
    until("more have begun", || begun(taskqueue).len() > 3);
    configure(taskqueue, "");
    taskqueue.run(&["reload"]).ok();
    until("all others are done", || done(taskqueue) == 300);
    assert_eq!(held(taskqueue), 0);
    fs::write(taskqueue.path("finish"), "").unwrap();
    until("the first is done", || done(taskqueue) == 301);
    assert_eq!(begun(taskqueue).len(), 301, "each once");
    until("no job is left", || jobs(queue, "t") == 0);
    stop(tender);
}
