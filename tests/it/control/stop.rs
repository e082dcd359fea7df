//! `stop`: it waits, and it says when that was in vain.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{pool, status, tend, until_busy, until_idle};
use crate::support::{Running, Taskqueue, until};

fn exists(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; the state comes after it.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn sockets(taskqueue: &Taskqueue) -> usize {
    let folder = taskqueue.path("run/taskqueue");
    std::fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[test]
fn it_ends_a_tender_and_waits_until_it_is_gone() {
    let taskqueue = Taskqueue::embedded();
    let log = taskqueue.path("log");
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"sleep 1; echo done >> {}\"]\n",
        log.display()
    ));
    let mut tender = tend(&taskqueue, 2, 2, &["--log", "error"]);
    until_idle(&taskqueue, 2);
    assert_eq!(sockets(&taskqueue), 1);
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    until_busy(&taskqueue, 1);
    let ran = taskqueue.run(&["stop", "--json"]).json();
    assert_eq!(ran["tenders"][0]["ended"], true);
    assert!(Path::new(&log).exists(), "a command was not let finish");
    assert_eq!(taskqueue.show("1")["status"], "done");
    assert_eq!(sockets(&taskqueue), 0);
    let pid = tender.pid().as_raw_nonzero().get();
    // Its parent reaps it when it likes; what it held is free.
    assert!(!exists(pid) || !tender.lives());
    assert_eq!(tender.wait().code, Some(0));

    let said = taskqueue.run(&["stop"]).failed(1);
    for part in ["no tender tends a tube", "t.db", "taskqueue tender"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = taskqueue.run(&["stop", "--use-tube", "t"]).failed(1);
    assert!(said.contains("--use-tube t"), "{said}");
}

#[test]
fn it_says_when_the_time_was_not_enough_and_now_ends_it() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let tender = tend(
        &taskqueue,
        1,
        1,
        &["--grace-period", "600", "--log", "error"],
    );
    until_idle(&taskqueue, 1);
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "600"])
        .ok();
    until_busy(&taskqueue, 1);
    let said = taskqueue.run(&["stop", "--timeout", "300ms"]).failed(1);
    for part in ["has not ended", "taskqueue stop --now"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(super::pool(&taskqueue)["state"], "draining");
    let begun = Instant::now();
    taskqueue.run(&["stop", "--now"]).ok();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "the grace period was waited for"
    );
    assert_eq!(tender.wait().code, Some(0));
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "waiting");
    assert_eq!(task["attempts"][0]["outcome"], "interrupted");
}

#[test]
fn one_of_several_tenders_is_picked_by_its_tube() {
    let taskqueue = Taskqueue::embedded();
    let _one = tend(&taskqueue, 1, 1, &["--log", "error"]);
    let other = taskqueue.start(&["tender", "--use-tube", "other", "--log", "error"]);
    crate::support::until("both", || {
        super::status(&taskqueue)["tenders"]
            .as_array()
            .unwrap()
            .len()
            == 2
    });
    taskqueue.run(&["stop", "--use-tube", "other"]).ok();
    assert_eq!(other.wait().code, Some(0));
    assert_eq!(super::pool(&taskqueue)["tube"], "t");
}

/// The others end all the same; and what is advised for the one is for that process.
#[test]
fn one_that_does_not_answer_keeps_none_from_ending() {
    let taskqueue = Taskqueue::embedded();
    let deaf = tend(&taskqueue, 1, 1, &["--log", "error"]);
    let other = taskqueue.start(&["tender", "--use-tube", "u", "--log", "error"]);
    until("both", || {
        status(&taskqueue)["tenders"].as_array().unwrap().len() == 2
    });
    deaf.signal(Signal::STOP);
    let said = taskqueue.run(&["stop", "--timeout", "20"]).failed(1);
    deaf.signal(Signal::CONT);
    let advice = format!("kill {}", deaf.pid());
    for part in ["cannot be asked", "is it stopped?", &advice] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(other.wait().code, Some(0));
}

/// A task that deploys: whatever keeps the tender starts it again, and the task is done.
#[test]
fn a_task_that_stops_its_own_tender_does_not_wait_for_itself() {
    let taskqueue = Taskqueue::embedded();
    let log = taskqueue.path("log");
    let program = env!("CARGO_BIN_EXE_taskqueue");
    taskqueue.configure(&format!(
        "[commands.deploy]\nrun = [\"/bin/sh\", \"-c\", \"echo deploying >> {log}; {program} stop --store {store}\"]\n",
        log = log.display(),
        store = taskqueue.store().display(),
    ));
    let begun = Instant::now();
    let tender = tend(
        &taskqueue,
        1,
        1,
        &["--grace-period", "20", "--log", "error"],
    );
    until_idle(&taskqueue, 1);
    taskqueue.run(&["put", "--use-tube", "t", "deploy"]).ok();
    let ended = tender.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "waited for itself"
    );
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "done", "{task}");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "deploying\n");
}

/// While one tender drains, the next one has the same tube.
#[test]
fn a_task_that_stops_two_tenders_of_its_tube_waits_for_the_one_that_is_not_its_own() {
    let taskqueue = Taskqueue::embedded();
    let (go, said) = (taskqueue.path("go"), taskqueue.path("said"));
    let program = env!("CARGO_BIN_EXE_taskqueue");
    taskqueue.configure(&format!(
        "[commands.deploy]\nrun = [\"/bin/sh\", \"-c\", \"until [ -e {go} ]; do sleep 0.05; done; {program} stop --json --store {store} > {said}\"]\n",
        go = go.display(),
        said = said.display(),
        store = taskqueue.store().display(),
    ));
    let old = tend(
        &taskqueue,
        1,
        1,
        &["--grace-period", "60", "--log", "error"],
    );
    until_idle(&taskqueue, 1);
    taskqueue.run(&["put", "--use-tube", "t", "deploy"]).ok();
    until_busy(&taskqueue, 1);
    old.signal(Signal::TERM);
    until("it drains", || pool(&taskqueue)["state"] == "draining");
    let new = tend(&taskqueue, 1, 2, &["--log", "error"]);
    until("both", || {
        let tenders = status(&taskqueue)["tenders"].clone();
        let mut pools = tenders
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["pools"][0]);
        pools.any(|pool| pool["state"] == "tended" && pool["census"]["idle"] == 1)
    });
    let number = |tender: &Running| tender.pid().as_raw_nonzero().get();
    let pids = [number(&old), number(&new)];
    std::fs::write(&go, "").unwrap();
    for tender in [old, new] {
        let ended = tender.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    let said: Value = serde_json::from_slice(&std::fs::read(&said).unwrap()).unwrap();
    let tenders = said["tenders"].as_array().unwrap();
    let mut ended: Vec<_> = tenders
        .iter()
        .map(|one| (one["pid"].clone(), one["ended"].clone()))
        .collect();
    ended.sort_by_key(|(_, ended)| ended.as_bool());
    assert_eq!(
        ended,
        [
            (pids[0].into(), false.into()),
            (pids[1].into(), true.into())
        ]
    );
    assert_eq!(taskqueue.show("1")["status"], "done");
}

/// The variables of another store's task say nothing of this one.
#[test]
fn a_task_of_another_store_waits_for_the_tender() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "1"])
        .ok();
    until_busy(&taskqueue, 1);
    let mut command = taskqueue.command(&["stop"]);
    command
        .env("TASKQUEUE_STORE_ID", "0190c2a0-0000-7000-8000-000000000000")
        .env("TASKQUEUE_TUBE", "t");
    let said = crate::support::Running::start(command).wait().ok();
    assert!(said.contains("has ended"), "{said}");
    assert_eq!(tender.wait().code, Some(0));
}

/// It only asks the store whether it is itself a part of a task.
#[test]
fn a_task_can_stop_a_tender_whose_store_cannot_be_opened() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue, 1, 1, &["--log", "off"]);
    until_idle(&taskqueue, 1);
    for name in ["t.db-wal", "t.db-shm"] {
        let _ = std::fs::remove_file(taskqueue.path(name));
    }
    std::fs::write(
        taskqueue.store(),
        "no store at all, and longer than nothing",
    )
    .unwrap();
    let mut command = taskqueue.command(&["stop", "--now"]);
    command
        .env("TASKQUEUE_STORE_ID", "0190c2a0-0000-7000-8000-000000000000")
        .env("TASKQUEUE_TUBE", "t");
    let said = crate::support::Running::start(command).wait().ok();
    assert!(said.contains("has ended"), "{said}");
    tender.wait();
}

#[test]
fn a_tender_that_says_nothing_more_is_not_waited_for_after_the_time_is_over() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "60"])
        .ok();
    until_busy(&taskqueue, 1);
    let begun = Instant::now();
    let stop = taskqueue.start(&["stop", "--timeout", "2"]);
    crate::support::until("it is told", || {
        super::pool(&taskqueue)["state"] == "draining"
    });
    tender.signal(rustix::process::Signal::STOP);
    let said = stop.wait().failed(1);
    assert!(said.contains("has not ended within"), "{said}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    tender.signal(rustix::process::Signal::CONT);
    taskqueue.run(&["stop", "--now"]).ok();
    tender.wait();
}

/// What came through a pipe is gone once it was read.
#[test]
fn a_wrong_configuration_that_comes_through_a_pipe_still_says_where_the_store_is() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    std::fs::write(
        taskqueue.path("wrong"),
        format!("store = '{}'\nmisspelt = 1\n", taskqueue.store().display()),
    )
    .unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "cat wrong | \"$0\" stop --config /dev/stdin"])
        .arg(env!("CARGO_BIN_EXE_taskqueue"))
        .current_dir(taskqueue.path(""))
        .env_remove("TASKQUEUE_STORE")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let said = crate::support::Running::start(command).wait().ok();
    assert!(said.contains("has ended"), "{said}");
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_tube_that_is_named_is_let_go_and_no_other() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let one = ["--max-workers", "1", "--min-workers", "1", "--log", "error"];
    let tubes = [
        "tender",
        "--use-tube",
        "t",
        "--use-tube",
        "u",
        "--use-tube",
        "v",
    ];
    let tender = taskqueue.start(&[&tubes[..], &one].concat());
    let tended = || -> Vec<String> {
        let all = status(&taskqueue)["tenders"][0]["pools"].clone();
        let all = all.as_array().cloned().unwrap_or_default();
        let tended = all.iter().filter(|pool| pool["state"] == "tended");
        tended
            .map(|pool| pool["tube"].as_str().unwrap().to_owned())
            .collect()
    };
    until("three tubes", || tended().len() == 3);
    taskqueue
        .run(&["put", "--use-tube", "u", "sleep", "1"])
        .ok();
    until("it runs", || taskqueue.show("1")["status"] == "running");
    let said = taskqueue.run(&["stop", "--use-tube", "u"]).ok();
    assert!(said.contains("has let go of u, and goes on"), "{said}");
    assert_eq!(
        taskqueue.show("1")["status"],
        "done",
        "it was not let finish"
    );
    assert_eq!(tended(), ["t", "v"]);
    let said = taskqueue.run(&["stop", "--use-tube", "u"]).failed(1);
    assert!(said.contains("no tender tends the tube u"), "{said}");
    // Its right is free.
    let next = taskqueue.start(&[&["tender", "--use-tube", "u"][..], &one].concat());
    until("the next one", || {
        status(&taskqueue)["tenders"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    });
    let ran = taskqueue
        .run(&["stop", "--use-tube", "t", "--json", "--now"])
        .json();
    assert_eq!(ran["tenders"][0]["tubes"], serde_json::json!(["t"]));
    assert_eq!(ran["tenders"][0]["left"], true);
    // With the last of its tubes it ends.
    let ran = taskqueue.run(&["stop", "--use-tube", "v", "--json"]).json();
    assert_eq!(ran["tenders"][0]["ended"], true);
    assert_eq!(tender.wait().code, Some(0));
    taskqueue.run(&["stop"]).ok();
    assert_eq!(next.wait().code, Some(0));
}
