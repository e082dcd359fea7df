//! `status`: with a tender, without one, and with one that does not answer.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use taskqueue::cli;

use super::{pids, pool, status, tend, until_busy, until_idle};
use crate::support::{Beanstalkd, Running, Taskqueue};

fn configured() -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    taskqueue
}

#[test]
fn it_tells_how_everything_stands() {
    let taskqueue = configured();
    let tender = tend(&taskqueue, 2, 3, &[]);
    until_idle(&taskqueue, 2);
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "60"])
        .ok();
    taskqueue
        .run(&["put", "--use-tube", "other", "sleep", "0"])
        .ok();
    until_busy(&taskqueue, 1);
    let seen = status(&taskqueue);
    let told = &seen["tenders"][0];
    assert_eq!(
        told["pid"],
        u64::from(tender.pid().as_raw_nonzero().get().unsigned_abs())
    );
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    let pool = &told["pools"][0];
    for (key, value) in [
        ("min", 2),
        ("spare", 0),
        ("max", 3),
        ("started", 2),
        ("restarts", 0),
    ] {
        assert_eq!(pool[key], value, "{key}: {pool}");
    }
    assert_eq!(
        (&pool["tube"], &pool["state"]),
        (&"t".into(), &"tended".into())
    );
    assert_eq!(pool["target"], 2);
    assert_eq!(pool["reason"], "as many as wanted");
    let workers = pool["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    let busy = workers.iter().find(|w| w["state"] == "busy").unwrap();
    assert_eq!(busy["task"], 1);
    assert!(busy["memory"].as_u64().unwrap() > 100_000, "{busy}");
    assert!(busy["age"].as_f64().unwrap() > 0.0);
    let idle = workers.iter().find(|w| w["state"] == "idle").unwrap();
    assert_eq!((&idle["task"], &idle["jobs"]), (&Value::Null, &0.into()));
    let tasks = serde_json::json!([
        {"tube": "other", "waiting": 1, "waiting_for_others": 0, "running": 0, "stalled": 0, "failed": 0,
            "cancelled": 0},
        {"tube": "t", "waiting": 0, "waiting_for_others": 0, "running": 1, "stalled": 0, "failed": 0,
            "cancelled": 0},
    ]);
    assert_eq!(seen["tasks"], tasks);

    let text = taskqueue.run(&["status"]).ok();
    for part in ["as many as wanted", "2..3+0", "t-1", "t-2", "busy"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let other = taskqueue.run(&["status", "--use-tube", "other"]);
    assert_eq!(other.code, Some(1));
    assert!(other.stdout.contains("no tender"), "{other:?}");
    assert!(!other.stdout.contains("t-1"), "{other:?}");
    // Its command would go on for a minute, and a worker that cannot record how that ended stays.
    taskqueue.run(&["stop", "--now"]).ok();
}

#[test]
fn a_worker_that_was_killed_counts_as_a_restart() {
    let taskqueue = configured();
    let _tender = tend(&taskqueue, 2, 2, &["--log", "error"]);
    until_idle(&taskqueue, 2);
    let before = pids(&pool(&taskqueue));
    let first = i32::try_from(*before.first().unwrap()).unwrap();
    let first = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(first, Signal::KILL).unwrap();
    crate::support::until("a successor", || {
        let now = pool(&taskqueue);
        now["restarts"] == 1 && now["started"] == 3 && now["census"]["idle"] == 2
    });
}

#[test]
fn without_a_tender_it_tells_what_the_store_knows() {
    let taskqueue = configured();
    let empty = taskqueue.run(&["status"]);
    assert_eq!((empty.code, empty.stderr.as_str()), (Some(1), ""));
    assert!(!taskqueue.store().exists(), "looking made a store");

    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "0"])
        .ok();
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "60"])
        .ok();
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "x"])
        .ok();
    taskqueue.work("t", 1);
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    let counts = |taskqueue: &Taskqueue| status(taskqueue)["tasks"][0].clone();
    crate::support::until("a task that runs", || counts(&taskqueue)["running"] == 1);
    drop(worker);
    let ran = taskqueue.run(&["status", "--json"]);
    assert_eq!(ran.code, Some(1));
    let seen = counts(&taskqueue);
    assert_eq!((&seen["stalled"], &seen["running"]), (&1.into(), &0.into()));
    assert_eq!(status(&taskqueue)["tenders"], serde_json::json!([]));
}

#[test]
fn a_tender_that_is_stopped_is_named_and_a_dead_one_is_no_tender() {
    let taskqueue = configured();
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    tender.signal(Signal::STOP);
    let ran = taskqueue.run(&["status"]);
    assert_eq!(ran.code, Some(1));
    let words: Vec<&str> = ran.stdout.split_whitespace().collect();
    let said = words.join(" ");
    let pid = tender.pid().as_raw_nonzero();
    for part in [
        &format!("process {pid}"),
        "is it stopped?",
        "end it with: kill",
    ] {
        assert!(said.contains(part), "{part}: {ran:?}");
    }
    drop(tender);
    let seen = status(&taskqueue);
    assert_eq!(
        (&seen["tenders"], &seen["silent"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    // What it left neither holds up its successor nor is left lying.
    let _next = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let sockets = std::fs::read_dir(taskqueue.path("run/taskqueue")).unwrap();
    assert_eq!(sockets.count(), 1);
}

#[test]
fn it_watches() {
    let taskqueue = configured();
    let _tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let command = taskqueue.command(&["status", "--json", "--watch"]);
    let mut watching = Running::start_unread(command);
    let looks = BufReader::new(watching.stdout()).lines().take(2);
    let ages: Vec<f64> = looks
        .map(|line| {
            let seen: Value = serde_json::from_str(&line.unwrap()).unwrap();
            seen["tenders"][0]["age"].as_f64().unwrap()
        })
        .collect();
    assert!(ages[1] > ages[0] + 0.9, "{ages:?}");
}

/// Another producer's job has no row before it is reserved, and is old all the same.
#[test]
fn it_tells_how_old_the_first_job_of_another_producer_is() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.run(&["put", "--use-tube", "ours", "ok"]).ok();
    let mut other = server.other();
    other.use_tube("theirs").unwrap();
    let hour = Duration::from_secs(3600);
    let oldest = |seen: &Value| seen["tubes"][0]["oldest"].clone();
    let look = || {
        let ran = taskqueue.run(&["status", "--json", "--use-tube", "theirs"]);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()
    };
    assert_eq!(oldest(&look()), Value::Null);
    other.put(b"later", 0, hour, hour).unwrap();
    assert_eq!(oldest(&look()), Value::Null, "what is delayed is not due");
    other.put(b"now", 0, Duration::ZERO, hour).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let seen = look();
    assert!(
        (1.0..600.0).contains(&oldest(&seen).as_f64().unwrap()),
        "{seen}"
    );
}

/// Of pools that ask the broker for nothing too, and of jobs that others put.
#[test]
fn it_tells_what_waits_at_the_broker_and_what_ended() {
    let taskqueue = configured();
    let put = |args: &[&str]| {
        let args = [&["put", "--use-tube", "t"], args].concat();
        taskqueue.run(&args).ok();
    };
    put(&["sleep", "0"]);
    put(&["sleep", "x"]);
    taskqueue.work("t", 2);
    for delay in ["1h", "50m"] {
        put(&["--delay", delay, "sleep", "0"]);
    }
    taskqueue.run(&["pause", "t"]).ok();
    put(&["sleep", "0"]);
    // As many as there may ever be: its pool asks for nothing.
    let _tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let seen = status(&taskqueue);
    let tube = &seen["tubes"][0];
    let jobs = &tube["jobs"];
    for (key, count) in [("ready", 1), ("delayed", 2), ("buried", 0), ("reserved", 0)] {
        assert_eq!(jobs[key], count, "{key}: {seen}");
    }
    assert_eq!(jobs["paused"], true, "{seen}");
    let pool = pool(&taskqueue);
    assert_eq!((&pool["paused"], &pool["ready"]), (&true.into(), &1.into()));
    assert!(tube["oldest"].as_f64().unwrap() < 600.0, "{seen}");
    assert_eq!((&tube["done"], &tube["failed"]), (&1.into(), &1.into()));
    assert_eq!(
        (&tube["ran"]["count"], &tube["retried"]),
        (&2.into(), &0.into())
    );
    assert!(tube["waited"]["p95"].as_f64().unwrap() < 600.0, "{seen}");
    assert_eq!(seen["unknown"], Value::Null);
    let text = taskqueue.run(&["status"]).stdout;
    assert!(text.contains("paused"), "{text}");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest.unwrap() <= 80, "{text}");
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_field_is_in_the_page() {
    let taskqueue = configured();
    let _tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let seen = status(&taskqueue);
    let tender = &seen["tenders"][0];
    let pool = &tender["pools"][0];
    let tube = &seen["tubes"][0];

    let page = String::from_utf8(cli::man_page(&cli::shape()).unwrap()).unwrap();
    let (_, rest) = page.split_once("\n.SS status\n").unwrap();
    let described = &rest[..rest.find("\n.SS").unwrap()];
    let (whole, rest) = described.split_once("A tube:").unwrap();
    let (of_tube, rest) = rest.split_once("A tender:").unwrap();
    let (of_tender, rest) = rest.split_once("A pool:").unwrap();
    let (of_pool, of_worker) = rest.split_once("A worker:").unwrap();
    for (part, object) in [
        (whole, &seen),
        (of_tube, tube),
        (of_tender, tender),
        (of_pool, pool),
        (of_worker, &pool["workers"][0]),
    ] {
        let tags = part.split("\n.TP\n.BR ").skip(1);
        let tags: BTreeSet<String> = tags
            .map(|entry| entry.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(keys(object), tags);
    }
    for (part, object) in [
        (of_pool, &pool["census"]),
        (of_tube, &tube["jobs"]),
        (of_tube, &tube["ran"]),
    ] {
        for key in keys(object) {
            assert!(part.contains(&key), "{key}");
        }
    }
}
