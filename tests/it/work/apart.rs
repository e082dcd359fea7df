//! One tube's trouble and one row's nonsense stay where they are: everything else is put right. A pass that fails is
//! none.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;

use super::{Queue, block_on, lines, number, status};
use crate::support::{Beanstalkd, FakeServer, PATIENCE, Session, Taskqueue, reserve, tube, until};
use taskqueue::broker::Broker;
use taskqueue::ledger::worker::NewWorker;
use taskqueue::ledger::{Durability, Store, sqlite};
use taskqueue::reconcile::{Memory, Pass, Standing};

/// A task in each of these tubes, and an attempt at it whose worker is dead. No tube has a job.
fn dead_attempts(taskqueue: &Taskqueue, queue: &dyn Queue, tubes: &[&str]) {
    taskqueue
        .configure("[commands.slow]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> pid; sleep 300\"]\n");
    for (before, name) in tubes.iter().enumerate() {
        taskqueue.run(&["put", "--use-tube", name, "slow"]).ok();
        let worker = taskqueue.start(&["worker", "--use-tube", name, "--log", "error"]);
        until("begun", || {
            lines(&taskqueue.path("pid")).len() == before + 1
        });
        worker.signal(Signal::KILL);
        worker.wait();
        block_on(async {
            let mut session = queue.session();
            let job = reserve(session.as_mut(), &tube(name)).await;
            session.delete(job).await.unwrap();
        });
    }
}

fn nonsense(taskqueue: &Taskqueue, change: &str) {
    let update = format!("UPDATE tasks SET {change} WHERE id = 1");
    taskqueue.sqlite().execute_batch(&update).unwrap();
}

/// A server that takes no job, and a task of the tube `a` whose job was never put.
fn draining(server: &Beanstalkd, taskqueue: &Taskqueue) {
    let put = ["put", "--use-tube", "a", "slow", "--broker"];
    let elsewhere = taskqueue.run(&[&put[..], &[crate::support::NOBODY]].concat());
    assert_eq!(elsewhere.code, Some(0), "{elsewhere:?}");
    server.signal(Signal::USR1);
    until("draining", || {
        block_on(async { server.client().about().await.unwrap().draining })
    });
}

#[test]
fn what_a_tube_cannot_have_put_keeps_no_other_from_being_recovered() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    dead_attempts(&taskqueue, &server, &["b"]);
    draining(&server, &taskqueue);
    let ran = taskqueue.run(&["reconcile", "--use-tube", "a", "--use-tube", "b"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = "could not reconcile the tubes a, b: the broker takes no new jobs";
    assert!(ran.stderr.contains(said), "{ran:?}");
    assert!(ran.stdout.contains("recovered 1 task"), "{ran:?}");
    assert_eq!(status(&taskqueue, "1"), "waiting");
}

#[test]
fn a_tender_recovers_the_other_tubes_too() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    dead_attempts(&taskqueue, &server, &["b"]);
    draining(&server, &taskqueue);
    let tubes = ["--use-tube", "a", "--use-tube", "b", "--mode", "ondemand"];
    let log = taskqueue.path("log").display().to_string();
    let tender = taskqueue.start(&[&["tender", "--log-file", &log], &tubes[..]].concat());
    let said = || fs::read_to_string(&log).unwrap_or_default();
    until("recovered", || status(&taskqueue, "1") == "waiting");
    until("told of the other", || {
        said().contains("could not reconcile")
    });
    tender.signal(Signal::TERM);
    tender.wait().ok();
    let said = said();
    assert!(said.contains("\"a") || said.contains("tubes=a"), "{said}");
}

#[test]
fn a_running_row_that_makes_no_sense_has_failed_and_harms_no_other() {
    let wrongs = [
        // No argument is an object.
        "arguments = '[{}]'",
        // More than anybody counts.
        "attempt = 1 << 40, spent = 1 << 40",
        // Its loss would be one more than there were attempts.
        "spent = 1",
    ];
    for wrong in wrongs {
        let taskqueue = Taskqueue::embedded();
        dead_attempts(&taskqueue, &taskqueue, &["a", "b"]);
        nonsense(&taskqueue, wrong);
        let ran = taskqueue.run(&["reconcile", "--json", "--log", "off"]);
        let did = json!({ "dry_run": false, "lost": 2, "failed": 1, "stuck": 0, "put": 1 });
        assert_eq!(ran.json(), did, "{wrong}");
        let shown = taskqueue.show("1");
        assert_eq!(shown["status"], "failed", "{wrong}");
        assert!(shown["reason"].is_string(), "{wrong}: {shown}");
        assert_eq!(status(&taskqueue, "2"), "waiting", "{wrong}");
    }
}

#[test]
fn a_worker_that_meets_such_a_row_gives_its_task_up_and_works_on() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(
        "[commands.slow]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> pid; sleep 300\"]\n\
         [commands.ok]\nrun = [\"/bin/true\"]\n",
    );
    taskqueue.run(&["put", "--use-tube", "t", "slow"]).ok();
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    until("begun", || lines(&taskqueue.path("pid")).len() == 1);
    worker.signal(Signal::KILL);
    worker.wait();
    nonsense(&taskqueue, "arguments = '[{}]'");
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(&taskqueue, "1"), "failed");
    assert_eq!(status(&taskqueue, "2"), "done");
}

#[test]
fn a_row_that_makes_no_sense_is_listed_and_hides_no_other() {
    let taskqueue = Taskqueue::embedded();
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    }
    // JSON by SQLite's reading alone, and bytes that are no text.
    nonsense(
        &taskqueue,
        "arguments = '[0x1]', command = CAST(x'ff' AS TEXT)",
    );
    let listed = taskqueue.run(&["list", "--json"]).json();
    assert_eq!(listed[1]["id"], 1);
    assert_eq!(listed[1]["arguments"], "[0x1]");
    assert_eq!(listed[0]["id"], 2);
    nonsense(&taskqueue, "tube = CAST(x'ff' AS TEXT)");
    assert_eq!(taskqueue.run(&["list"]).ok().lines().count(), 3);
    let counted = taskqueue.run(&["status", "--json"]);
    assert!(counted.stdout.contains("\"waiting\":1"), "{counted:?}");
    taskqueue.run(&["reconcile", "--dry-run"]).ok();
    assert_eq!(taskqueue.show("1")["id"], 1);
}

#[test]
fn of_several_that_are_regenerated_one_that_makes_no_sense_stops_none() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.no]\nrun = [\"/bin/false\"]\n");
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "no"]).ok();
    }
    taskqueue.work("t", 2);
    nonsense(&taskqueue, "tube = 'no tube'");
    let ran = taskqueue.run(&["regenerate", "--id", "1,2"]);
    assert_eq!(ran.stdout, "task 2 was regenerated\n");
    assert!(ran.failed(1).contains("task 1"));
    let waiting = "SELECT count(*) FROM tasks WHERE status = 'waiting'";
    assert_eq!(number(&taskqueue, waiting), 1);
}

#[tokio::test]
async fn passes_that_fail_do_not_use_up_the_looks_for_forgotten_jobs() {
    let taskqueue = Taskqueue::alone();
    let put = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
    assert_eq!(put.code, Some(0), "{put:?}");
    let known = "INSERT INTO task_jobs (task, broker, generation, job, instance)
            SELECT task, broker, generation, 7, 'old' FROM puts;
        DELETE FROM puts";
    taskqueue.sqlite().execute_batch(known).unwrap();

    // Another instance answers now, and fails as soon as it is asked for the job.
    let stats = "id: new\nversion: 1.12\nmax-job-size: 65535\ndraining: false\n";
    let asked = || {
        let answer = format!("OK {}\r\n{stats}\r\n", stats.len());
        Session::new().expect("stats").send(answer).expect("peek 7")
    };
    let server = FakeServer::start((0..4).map(|_| asked().send("HELLO\r\n")).collect());
    let mut broker = server.client(PATIENCE);
    let ledger = sqlite::open(&taskqueue.store(), Durability::ProcessDeath).unwrap();
    let store = Store::over(ledger);
    let identity = NewWorker {
        name: "test".into(),
        tube: "t".into(),
        host: "here".into(),
        pid: 1,
    };
    let mut standing = Standing::newcomer(identity);
    let mut memory = Memory::new(false);
    for _ in 0..4 {
        let mut pass = Pass {
            broker: &mut broker,
            store: &store,
            commands: &Arc::default(),
            standing: &mut standing,
            tube: &tube("t"),
            dry_run: false,
        };
        assert!(pass.run(&mut memory).await.is_err());
    }
    server.finish();
}
