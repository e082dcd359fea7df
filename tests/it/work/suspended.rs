//! Processes that are stopped for a while and go on: nothing is taken from them that they still have, and nothing runs
//! twice.

mod commands;
mod workers;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Queue, jobs, lines, number, on_both, stats, status, tend};
use crate::support::{Beanstalkd, Taskqueue, until};

on_both!(
    a_stopped_worker_keeps_its_task,
    a_stopped_tender_finds_its_workers_as_they_were,
    a_stopped_worker_is_not_replaced,
    all_of_it_stopped_at_once_goes_on,
);

/// Longer than the TTR of two seconds, and than any wait of a reconciliation for a job that was put just now.
const WHILE: Duration = Duration::from_secs(5);

fn configure(taskqueue: &Taskqueue) {
    taskqueue.configure(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> log; while ! [ -e go ]; do sleep 0.05; done\"]\n\
         [commands.ok]\nrun = [\"/bin/true\"]\n",
    );
}

fn put(taskqueue: &Taskqueue, command: &str) {
    let put = ["put", "--use-tube", "t", "--ttr", "2", command];
    taskqueue.run(&put).ok();
}

fn begun(taskqueue: &Taskqueue) -> usize {
    lines(&taskqueue.path("log")).len()
}

fn pids(taskqueue: &Taskqueue) -> Vec<Pid> {
    let sqlite = taskqueue.sqlite();
    let mut select = sqlite.prepare("SELECT pid FROM workers").unwrap();
    let pids = select.query_map([], |row| row.get::<_, i32>(0)).unwrap();
    pids.map(|pid| Pid::from_raw(pid.unwrap()).unwrap())
        .collect()
}

/// Every task was run once, and none is left.
#[track_caller]
fn each_ran_once(taskqueue: &Taskqueue, queue: &dyn Queue, count: i64) {
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("all done", || number(taskqueue, done) == count);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), count);
    until("an empty tube", || jobs(queue, "t") == 0);
}

fn a_stopped_worker_keeps_its_task(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    put(taskqueue, "job");
    let worker = ["worker", "--use-tube", "t", "--log", "error"];
    let first = taskqueue.start(&worker);
    until("begun", || begun(taskqueue) == 1);
    first.signal(Signal::STOP);
    let second = taskqueue.start(&worker);
    // Its job has come round by then, and the other must leave it alone.
    sleep(WHILE);
    assert_eq!(
        (begun(taskqueue), status(taskqueue, "1")),
        (1, "running".into())
    );
    // The other has time for what it may run.
    put(taskqueue, "ok");
    until("done", || status(taskqueue, "2") == "done");
    // Its command ends while nobody looks.
    fs::write(taskqueue.path("go"), "").unwrap();
    sleep(Duration::from_millis(200));
    first.signal(Signal::CONT);
    each_ran_once(taskqueue, queue, 2);
    for worker in [first, second] {
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
    }
}

fn a_stopped_tender_finds_its_workers_as_they_were(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let tender = tend(taskqueue, 2);
    put(taskqueue, "job");
    until("begun", || begun(taskqueue) == 1);
    until("both are there", || pids(taskqueue).len() == 2);
    tender.signal(Signal::STOP);
    // Its workers go on without it.
    put(taskqueue, "ok");
    until("done", || status(taskqueue, "2") == "done");
    sleep(WHILE);
    tender.signal(Signal::CONT);
    sleep(Duration::from_secs(1));
    fs::write(taskqueue.path("go"), "").unwrap();
    each_ran_once(taskqueue, queue, 2);
    assert_eq!(pids(taskqueue).len(), 2, "it started others");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

/// It is alive, and what it has is its own.
fn a_stopped_worker_is_not_replaced(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let tender = tend(taskqueue, 2);
    put(taskqueue, "job");
    until("begun", || begun(taskqueue) == 1);
    until("both are there", || pids(taskqueue).len() == 2);
    let owner = number(
        taskqueue,
        "SELECT workers.pid FROM tasks JOIN workers ON workers.id = owner",
    );
    let owner = Pid::from_raw(owner.try_into().unwrap()).unwrap();
    kill_process(owner, Signal::STOP).unwrap();
    sleep(WHILE);
    put(taskqueue, "ok");
    until("done", || status(taskqueue, "2") == "done");
    assert_eq!((begun(taskqueue), pids(taskqueue).len()), (1, 2));
    kill_process(owner, Signal::CONT).unwrap();
    fs::write(taskqueue.path("go"), "").unwrap();
    each_ran_once(taskqueue, queue, 2);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

/// As a machine that sleeps does, as far as they can tell.
fn all_of_it_stopped_at_once_goes_on(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let tender = tend(taskqueue, 2);
    for _ in 0..3 {
        put(taskqueue, "job");
    }
    until("begun", || begun(taskqueue) == 2);
    let commands = lines(&taskqueue.path("log"));
    let commands = commands
        .iter()
        .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap());
    let all: Vec<Pid> = [tender.pid()]
        .into_iter()
        .chain(pids(taskqueue))
        .chain(commands)
        .collect();
    for pid in &all {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    sleep(WHILE);
    for pid in all.iter().rev() {
        kill_process(*pid, Signal::CONT).unwrap();
    }
    sleep(Duration::from_secs(1));
    assert_eq!(begun(taskqueue), 2);
    fs::write(taskqueue.path("go"), "").unwrap();
    each_ran_once(taskqueue, queue, 3);
    assert_eq!(pids(taskqueue).len(), 2, "workers were replaced");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_stopped_broker_is_waited_for() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    let tender = tend(&taskqueue, 2);
    put(&taskqueue, "job");
    until("begun", || begun(&taskqueue) == 1);
    server.signal(Signal::STOP);
    sleep(WHILE);
    // Its command ends, and is recorded, though nobody can be told.
    fs::write(taskqueue.path("go"), "").unwrap();
    until("recorded", || status(&taskqueue, "1") == "done");
    server.signal(Signal::CONT);
    each_ran_once(&taskqueue, &server, 1);
    put(&taskqueue, "ok");
    each_ran_once(&taskqueue, &server, 2);
    assert!(stats(&server, "t").reserved == 0);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}
