//! What brokers forget and dead workers leave behind is put right, once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Queue, block_on, jobs, lines, number, on_both, stats, status, tend};
use crate::support::{Beanstalkd, Running, Taskqueue, job, put, reserve, tube, until};
use taskqueue::broker::Broker;

on_both!(
    a_dead_workers_task_is_recovered_without_its_job,
    a_task_whose_job_somebody_deleted_is_put_again
);

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

fn configure(taskqueue: &Taskqueue) {
    taskqueue.configure(
        "[commands.ok]\nrun = [\"/bin/sh\", \"-c\", \"echo $TASKQUEUE_TASK_ID >> log\"]\n\
         [commands.slow]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> pid; sleep 300\"]\n\
         [commands.again]\nrun = [\"/bin/sh\", \"-c\", \"echo $TASKQUEUE_ATTEMPT >> log; test $TASKQUEUE_ATTEMPT = 2\"]\n\
         max_attempts = 2\nbackoff = { first = 3 }\n",
    );
}

fn put_many(taskqueue: &Taskqueue, count: usize) {
    let lines = "{\"taskqueue\":1,\"command\":\"ok\"}\n".repeat(count);
    let ran = taskqueue.run_with(
        &["put", "--use-tube", "t", "--batch", "-"],
        lines.as_bytes(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[track_caller]
fn reconcile(taskqueue: &Taskqueue, args: &[&str]) -> Value {
    let args = [&["reconcile", "--json", "--log", "error"], args].concat();
    taskqueue.run(&args).json()
}

fn did(lost: u64, put: u64) -> Value {
    json!({ "dry_run": false, "lost": lost, "failed": 0, "stuck": 0, "put": put })
}

/// Every task was run once, and the tube is empty.
#[track_caller]
fn each_ran_once(taskqueue: &Taskqueue, server: &Beanstalkd, count: i64) {
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("all done", || number(taskqueue, done) == count);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), count);
    until("an empty tube", || jobs(server, "t") == 0);
}

fn end(worker: Running) {
    worker.signal(Signal::TERM);
    let ran = worker.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_broker_without_binlog_is_told_again_and_nothing_is_doubled() {
    const COUNT: usize = 5000;
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put_many(&taskqueue, COUNT);
    assert_eq!(reconcile(&taskqueue, &[]), did(0, 0), "nothing to do");
    server.restart();
    assert_eq!(jobs(&server, "t"), 0);
    // Others have put jobs meanwhile, which have the numbers of ours.
    block_on(async {
        for _ in 0..100 {
            let other = job("somebody else's");
            put(&mut server.client(), &tube("other"), other)
                .await
                .unwrap();
        }
    });
    let dry = reconcile(&taskqueue, &["--dry-run"]);
    assert_eq!(
        (&dry["put"], &dry["dry_run"]),
        (&json!(COUNT), &json!(true))
    );
    assert_eq!(jobs(&server, "t"), 0);

    // Three at once.
    let three = [(); 3].map(|()| taskqueue.start(&["reconcile", "--json"]));
    let put: u64 = three
        .into_iter()
        .map(|running| {
            let ran = running.wait();
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
            let ran: Value = serde_json::from_str(&ran.stdout).unwrap();
            ran["put"].as_u64().unwrap()
        })
        .sum();
    assert_eq!((put, jobs(&server, "t")), (COUNT as u64, COUNT as u64));
    assert_eq!(reconcile(&taskqueue, &[]), did(0, 0));
}

#[test]
fn a_broker_with_its_binlog_is_told_nothing() {
    let mut server = Beanstalkd::with_binlog();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    put_many(&taskqueue, 200);
    server.restart();
    let dry = reconcile(&taskqueue, &["--dry-run"]);
    assert_eq!(dry["put"], 0);
    assert_eq!(reconcile(&taskqueue, &[]), did(0, 0));
    assert_eq!(jobs(&server, "t"), 200);
    // Known by its new name from now on.
    let today = block_on(async { server.client().instance().await.unwrap() });
    let known = format!("SELECT count(*) FROM task_jobs WHERE instance = '{today}'");
    assert_eq!(number(&taskqueue, &known), 200);
}

#[test]
fn workers_put_back_what_a_restarted_broker_forgot() {
    for tended in [false, true] {
        let mut server = Beanstalkd::start();
        let taskqueue = Taskqueue::with(&server);
        configure(&taskqueue);
        let workers = if tended {
            vec![tend(&taskqueue, 2)]
        } else {
            vec![taskqueue.start(&WORKER), taskqueue.start(&WORKER)]
        };
        until("they wait", || stats(&server, "t").waiting == 2);
        // Nobody may reserve before it is restarted.
        let paused = Duration::from_secs(600);
        block_on(async { server.client().pause(&tube("t"), paused).await.unwrap() });
        put_many(&taskqueue, 300);
        server.restart();
        each_ran_once(&taskqueue, &server, 300);
        workers.into_iter().for_each(end);
    }
}

fn a_dead_workers_task_is_recovered_without_its_job(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    taskqueue.run(&["put", "--use-tube", "t", "slow"]).ok();
    let worker = taskqueue.start(&WORKER);
    until("begun", || lines(&taskqueue.path("pid")).len() == 1);
    assert_eq!(reconcile(taskqueue, &[]), did(0, 0), "its owner lives");
    worker.signal(Signal::KILL);
    worker.wait();
    block_on(async {
        let mut session = queue.session();
        let job = reserve(session.as_mut(), &tube("t")).await;
        session.delete(job).await.unwrap();
    });
    let dry = reconcile(taskqueue, &["--dry-run"]);
    assert_eq!(
        (&dry["lost"], status(taskqueue, "1").as_str()),
        (&json!(1), "stalled")
    );
    assert_eq!(reconcile(taskqueue, &[]), did(1, 1));
    let shown = taskqueue.show("1");
    assert_eq!(
        (&shown["status"], &shown["attempts"][0]["outcome"]),
        (&json!("waiting"), &json!("lost"))
    );
    assert_eq!(jobs(queue, "t"), 1);
    for pid in lines(&taskqueue.path("pid")) {
        assert!(!super::exists(&pid), "{pid} of the dead attempt still runs");
    }
}

fn a_task_whose_job_somebody_deleted_is_put_again(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    }
    block_on(async {
        let mut session = queue.session();
        let job = reserve(session.as_mut(), &tube("t")).await;
        session.delete(job).await.unwrap();
    });
    assert_eq!(reconcile(taskqueue, &["--use-tube", "u"]), did(0, 0));
    assert_eq!(reconcile(taskqueue, &["--use-tube", "t"]), did(0, 1));
    assert_eq!(jobs(queue, "t"), 3);
    taskqueue.work("t", 3);
    assert_eq!(
        number(
            taskqueue,
            "SELECT count(*) FROM tasks WHERE status = 'done'"
        ),
        3
    );
}

/// A foreign task that waits to be tried again.
fn foreign(server: &Beanstalkd) -> Taskqueue {
    let taskqueue = Taskqueue::with(server);
    configure(&taskqueue);
    let body = "{\"taskqueue\":1,\"command\":\"again\"}";
    block_on(async {
        put(&mut server.client(), &tube("t"), job(body))
            .await
            .unwrap();
    });
    taskqueue.work("t", 1);
    assert_eq!(status(&taskqueue, "1"), "waiting");
    taskqueue
}

#[test]
fn a_foreign_task_that_waits_survives_a_restart() {
    for binlog in [true, false] {
        let mut server = match binlog {
            true => Beanstalkd::with_binlog(),
            false => Beanstalkd::start(),
        };
        let taskqueue = foreign(&server);
        server.restart();
        let put = u64::from(!binlog);
        assert_eq!(reconcile(&taskqueue, &[]), did(0, put), "binlog: {binlog}");
        assert_eq!(reconcile(&taskqueue, &[]), did(0, 0));
        assert_eq!(jobs(&server, "t"), 1);
        // And once more: by now its job may be a pointer of ours.
        server.restart();
        assert_eq!(reconcile(&taskqueue, &[]), did(0, put));
        taskqueue.work("t", 1);
        assert_eq!(status(&taskqueue, "1"), "done");
        assert_eq!(lines(&taskqueue.path("log")), ["1", "2"]);
        assert_eq!(number(&taskqueue, "SELECT count(*) FROM tasks"), 1);
        assert_eq!(jobs(&server, "t"), 0);
    }
}

#[test]
fn the_same_body_with_the_same_number_in_a_new_broker_is_another_task() {
    let mut server = Beanstalkd::start();
    let taskqueue = foreign(&server);
    // Births are told apart by two seconds and more.
    std::thread::sleep(Duration::from_millis(3100));
    server.restart();
    let body = "{\"taskqueue\":1,\"command\":\"again\"}";
    let number_of = block_on(async {
        put(&mut server.client(), &tube("t"), job(body))
            .await
            .unwrap()
    });
    assert_eq!(number_of, 1);
    assert_eq!(
        reconcile(&taskqueue, &[]),
        did(0, 1),
        "it was taken for the old one"
    );
    let worker = taskqueue.start(&WORKER);
    for id in ["1", "2"] {
        until("done", || {
            let ran = taskqueue.run(&["show", id, "--json"]);
            ran.code == Some(0) && ran.json()["status"] == "done"
        });
    }
    assert_eq!(number(&taskqueue, "SELECT count(*) FROM tasks"), 2);
    end(worker);
}

#[test]
fn without_a_broker_dead_workers_tasks_are_recovered_all_the_same() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    configure(&taskqueue);
    taskqueue.run(&["put", "--use-tube", "t", "slow"]).ok();
    let worker = taskqueue.start(&WORKER);
    until("begun", || lines(&taskqueue.path("pid")).len() == 1);
    worker.signal(Signal::KILL);
    worker.wait();
    server.kill();
    let ran = taskqueue.run(&["reconcile"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("cannot reach the broker"), "{ran:?}");
    assert_eq!(status(&taskqueue, "1"), "waiting");
    server.restart();
    assert_eq!(reconcile(&taskqueue, &[]), did(0, 1));
}
