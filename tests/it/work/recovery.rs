//! kill -9, lost connections and restarted brokers: nothing is lost, and nothing runs twice at once.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Queue, exists, jobs, lines, number, on_both, status, tend};
use crate::support::{Beanstalkd, FakeServer, NOBODY, Session, Taskqueue, until};

on_both!(
    a_killed_workers_task_is_run_again_once_all_of_it_is_gone,
    a_task_that_kills_its_workers_is_given_up,
    when_the_tender_is_killed_its_workers_finish_and_go,
    a_tender_replaces_a_worker_that_is_killed_while_it_works
);

/// A command that says when it begins and ends, with a child that leaves its group.
fn configure(taskqueue: &Taskqueue, seconds: u32) {
    let script = taskqueue.path("script");
    let text = format!(
        "echo begin $TASKQUEUE_ATTEMPT $$ >> log\n(setsid sh -c 'echo child $TASKQUEUE_ATTEMPT $$ >> log; exec sleep {0}') &\nsleep {0}\necho end $TASKQUEUE_ATTEMPT >> log\n",
        seconds
    );
    std::fs::write(&script, text).unwrap();
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"{}\"]\n",
        script.display()
    ));
}

/// The process numbers that an attempt has logged.
fn pids(taskqueue: &Taskqueue, attempt: u32) -> Vec<String> {
    let of = format!(" {attempt} ");
    lines(&taskqueue.path("log"))
        .iter()
        .filter(|line| line.contains(&of))
        .filter_map(|line| line.rsplit(' ').next().map(str::to_owned))
        .collect()
}

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

fn a_killed_workers_task_is_run_again_once_all_of_it_is_gone(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue, 300);
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let first = taskqueue.start(&WORKER);
    until("begun", || pids(taskqueue, 1).len() == 2);
    first.signal(Signal::KILL);
    first.wait();
    assert_eq!(status(taskqueue, "1"), "stalled");
    let listed = taskqueue
        .run(&["list", "--status", "stalled", "--json"])
        .json();
    assert_eq!(listed[0]["id"], 1);

    // Two at once, so that only one may take it over.
    let others = [taskqueue.start(&WORKER), taskqueue.start(&WORKER)];
    until("begun again", || pids(taskqueue, 2).len() == 2);
    for pid in pids(taskqueue, 1) {
        assert!(
            !exists(&pid),
            "the first attempt's process {pid} still runs"
        );
    }
    assert_eq!(status(taskqueue, "1"), "running");
    let attempts = taskqueue.show("1")["attempts"].clone();
    assert_eq!(attempts[0]["outcome"], "lost");
    assert_eq!(attempts.as_array().unwrap().len(), 2);
    for worker in &others {
        worker.signal(Signal::TERM);
        worker.signal(Signal::TERM);
    }
    // Both signals may have come as one.
    others[0].signal(Signal::KILL);
    others[1].signal(Signal::KILL);
    drop(others);
    for pid in [pids(taskqueue, 1), pids(taskqueue, 2)].concat() {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn a_task_that_kills_its_workers_is_given_up(taskqueue: &Taskqueue, queue: &dyn Queue) {
    // The worker is the command's parent.
    taskqueue
        .configure("[commands.poison]\nrun = [\"/bin/sh\", \"-c\", \"kill -9 $PPID; sleep 60\"]\n");
    taskqueue.run(&["put", "--use-tube", "t", "poison"]).ok();
    taskqueue.run(&["put", "--use-tube", "t", "poison"]).ok();
    for _ in 0..6 {
        assert_eq!(taskqueue.start(&WORKER).wait().code, None);
    }
    let last = taskqueue.start(&WORKER);
    until("given up", || {
        ["1", "2"]
            .iter()
            .all(|id| status(taskqueue, id) == "failed")
    });
    assert_eq!(taskqueue.show("1")["reason"], "its worker died 3 times");
    // Set aside, for people to look at.
    until("buried", || super::stats(queue, "t").buried == 2);
    last.signal(Signal::TERM);
    assert_eq!(last.wait().code, Some(0));
}

#[test]
fn a_restarted_broker_costs_nothing_but_time() {
    for binlog in [true, false] {
        let mut server = if binlog {
            Beanstalkd::with_binlog()
        } else {
            Beanstalkd::start()
        };
        let taskqueue = Taskqueue::with(&server);
        configure(&taskqueue, 3);
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
        let workers = [taskqueue.start(&WORKER), taskqueue.start(&WORKER)];
        until("begun", || pids(&taskqueue, 1).len() == 2);
        server.restart();
        until("done", || status(&taskqueue, "1") == "done");
        // With its binlog the server knows the job again; it comes round and is found to be done.
        until("an empty tube", || jobs(&server, "t") == 0);
        let log = lines(&taskqueue.path("log"));
        let begun = log.iter().filter(|l| l.starts_with("begin")).count();
        assert_eq!(begun, 1, "binlog {binlog}: {log:?}");
        for worker in workers {
            worker.signal(Signal::TERM);
            assert_eq!(worker.wait().code, Some(0));
        }
    }
}

#[test]
fn what_is_put_while_the_broker_is_down_is_run_when_it_is_back() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.ok]\nrun = [\"/bin/true\"]\n");
    let worker = taskqueue.start(&WORKER);
    until("waits", || super::stats(&server, "t").waiting == 1);
    server.kill();
    for id in ["1", "2", "3"] {
        let ran = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
        assert_eq!((ran.code, ran.stdout.trim()), (Some(0), id), "{ran:?}");
        assert!(ran.stderr.contains("warning"), "{ran:?}");
    }
    server.restart();
    for id in ["1", "2", "3"] {
        until("done", || status(&taskqueue, id) == "done");
    }
    assert_eq!(number(&taskqueue, "SELECT count(*) FROM attempts"), 3);
    assert_eq!(jobs(&server, "t"), 0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn when_the_tender_is_killed_its_workers_finish_and_go(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, 3);
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
    let tender = tend(taskqueue, 2);
    let begun = || {
        let log = lines(&taskqueue.path("log"));
        log.iter().filter(|l| l.starts_with("begin")).count()
    };
    until("two that run", || begun() == 2);
    tender.signal(Signal::KILL);
    // Its workers hold its stderr open until they go.
    assert_eq!(tender.wait().code, None);
    assert_eq!(
        number(
            taskqueue,
            "SELECT count(*) FROM workers WHERE stopped IS NULL"
        ),
        0
    );
    assert_eq!(
        number(
            taskqueue,
            "SELECT count(*) FROM tasks WHERE status = 'done'"
        ),
        2
    );
    assert_eq!(begun(), 2, "they took another job");
    assert_eq!(jobs(queue, "t"), 1);
}

fn a_tender_replaces_a_worker_that_is_killed_while_it_works(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue, 2);
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let tender = tend(taskqueue, 1);
    until("begun", || pids(taskqueue, 1).len() == 2);
    let worker: i32 = number(taskqueue, "SELECT pid FROM workers")
        .try_into()
        .unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    until("done", || status(taskqueue, "1") == "done");
    let outcomes = taskqueue.show("1")["attempts"].clone();
    assert_eq!(outcomes[0]["outcome"], "lost");
    assert_eq!(outcomes[1]["outcome"], "exited");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(number(taskqueue, "SELECT count(*) FROM workers"), 2);
}

#[test]
fn a_worker_that_puts_what_is_missing_can_be_told_to_go() {
    const MISSING: u64 = 10_000;
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.ok]\nrun = [\"/bin/true\"]\n");
    let lines = "{\"taskqueue\":1,\"command\":\"ok\"}\n".repeat(MISSING as usize);
    let nowhere = ["put", "--use-tube", "t", "--batch", "-", "--broker", NOBODY];
    let ran = taskqueue.run_with(&nowhere, lines.as_bytes());
    assert_eq!(ran.code, Some(0));
    let worker = taskqueue.start(&WORKER);
    until("some were put", || jobs(&server, "t") > 0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    let put = jobs(&server, "t");
    assert!(put < MISSING, "it went only when all were put");
}

#[test]
fn a_broker_that_dies_of_a_question_is_not_asked_without_end() {
    let session = |nth| {
        let wait = if nth == 0 { 30 } else { 0 };
        Session::new()
            .expect("watch t")
            .expect("ignore default")
            .expect(&format!("reserve-with-timeout {wait}"))
            .send("WATCHING 2\r\nWATCHING 1\r\nRESERVED 1 2\r\nhi\r\n")
            .expect("stats-job 1")
    };
    let server = FakeServer::start((0..5).map(session).collect());
    let taskqueue = Taskqueue::alone();
    let broker = format!("beanstalk://{}", server.address());
    let begun = Instant::now();
    let worker = taskqueue.start(&[&WORKER[..], &["--broker", &broker]].concat());
    server.finish();
    // At least 0.1, 0.2, 0.4 and 0.8 s apart.
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}
