//! The configuration is read again: by `reload`, by HUP, and by a worker alone.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::{pids, pool, status, until_idle};
use crate::support::{Running, Taskqueue, until};

/// A configuration in which the command `job` writes that word to a file, and the tube `t` has that many workers.
fn write(taskqueue: &Taskqueue, word: &str, workers: u32) {
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"echo {word} >> {}\"]\n\
         [tubes.t]\nmin_workers = {workers}\nspare_workers = 0\nmax_workers = {workers}\n",
        taskqueue.path("said").display()
    ));
}

fn start(taskqueue: &Taskqueue) -> Running {
    taskqueue.start(&["tender", "--log-file", "log"])
}

fn log(taskqueue: &Taskqueue) -> String {
    std::fs::read_to_string(taskqueue.path("log")).unwrap_or_default()
}

/// Runs one job, and gives the word that it said.
fn job(taskqueue: &Taskqueue) -> String {
    let said = || std::fs::read_to_string(taskqueue.path("said")).unwrap_or_default();
    let before = said().lines().count();
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    until("a word", || said().lines().count() > before);
    said().lines().last().unwrap().to_owned()
}

#[test]
fn it_applies_what_has_changed_and_restarts_nothing() {
    let taskqueue = Taskqueue::embedded();
    write(&taskqueue, "one", 1);
    let tender = start(&taskqueue);
    until_idle(&taskqueue, 1);
    let before = pids(&pool(&taskqueue));
    assert_eq!(job(&taskqueue), "one");

    write(&taskqueue, "two", 2);
    let said = taskqueue.run(&["reload", "--json"]).json();
    let changed = said["tenders"][0]["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{said}");
    assert_eq!(job(&taskqueue), "two");
    until_idle(&taskqueue, 2);
    assert!(pids(&pool(&taskqueue)).is_superset(&before));

    write(&taskqueue, "three", 1);
    tender.signal(Signal::HUP);
    until_idle(&taskqueue, 1);
    assert_eq!(job(&taskqueue), "three");

    // What was scaled by hand stays when the file has not changed.
    taskqueue.run(&["scale", "t", "--max", "3"]).ok();
    let text = taskqueue.run(&["reload"]).ok();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(pool(&taskqueue)["max"], 3);
    assert_eq!(pool(&taskqueue)["restarts"], 0);
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_reported() {
    let taskqueue = Taskqueue::embedded();
    write(&taskqueue, "one", 1);
    let tender = start(&taskqueue);
    until_idle(&taskqueue, 1);
    let before = pids(&pool(&taskqueue));
    for (wrong, part) in [
        (
            "[tubes.t]\nmax_worker = 3\n",
            "there is no key max_worker here",
        ),
        (
            "[tubes.t]\nmin_workers = 3\nmax_workers = 2\n",
            "min workers 3 is more than max workers 2",
        ),
        ("nonsense", "taskqueue.toml"),
        ("", "is empty"),
        ("# nothing", "nothing to tend"),
    ] {
        taskqueue.configure(wrong);
        let said = taskqueue.run(&["reload"]).failed(2);
        assert!(said.contains(part), "{part}: {said}");
        assert!(said.contains("refused"), "{said}");
        assert!(!said.contains("\\u{a}"), "{said}");
    }
    let reported = || {
        log(&taskqueue)
            .matches("configuration kept as it was")
            .count()
    };
    until("they are in the log", || reported() == 5);
    tender.signal(Signal::HUP);
    until("it is in the log", || reported() == 6);
    // Workers go by what they read before.
    assert_eq!(job(&taskqueue), "one");
    assert_eq!(pids(&pool(&taskqueue)), before);
    // And it can still be ended.
    taskqueue.configure("nonsense");
    taskqueue.run(&["stop"]).ok();
}

#[test]
fn tubes_come_and_go_with_the_file() {
    let taskqueue = Taskqueue::embedded();
    let tubes = |names: &[&str]| {
        let tables = names.iter().map(|name| {
            format!("[tubes.{name}]\nmin_workers = 1\nspare_workers = 0\nmax_workers = 1\n")
        });
        taskqueue.configure(&tables.collect::<String>());
    };
    let tended = || {
        let seen = status(&taskqueue);
        let pools = seen["tenders"][0]["pools"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let idle = pools.iter().filter(|pool| pool["census"]["idle"] == 1);
        idle.map(|pool| pool["tube"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    tubes(&["a", "b"]);
    let _tender = start(&taskqueue);
    until("both", || tended() == ["a", "b"]);

    // Another tender has one of the new ones: nothing changes.
    let mut other = taskqueue.start(&["tender", "--use-tube", "c", "--log", "error"]);
    until("another", || {
        status(&taskqueue)["tenders"].as_array().unwrap().len() == 2
    });
    tubes(&["b", "c", "d"]);
    let said = taskqueue.run(&["reload", "--use-tube", "a"]).failed(1);
    assert!(said.contains("the tube c is tended already"), "{said}");
    taskqueue.run(&["stop", "--use-tube", "c"]).ok();
    until("it is gone", || !other.lives());

    assert_eq!(tended(), ["a", "b"]);
    taskqueue.run(&["reload"]).ok();
    until("other tubes", || tended() == ["b", "c", "d"]);
    // Somebody else may have what it left.
    let third = taskqueue.start(&["tender", "--use-tube", "a", "--log", "error"]);
    until("a third", || {
        status(&taskqueue)["tenders"].as_array().unwrap().len() == 2
    });
    taskqueue.run(&["stop", "--use-tube", "a"]).ok();
    drop(third);
    // And it comes back.
    tubes(&["a", "b"]);
    taskqueue.run(&["reload"]).ok();
    until("both again", || {
        let mut tubes = tended();
        tubes.sort();
        tubes == ["a", "b"]
    });
}

#[test]
fn what_cannot_change_is_said() {
    let taskqueue = Taskqueue::embedded();
    write(&taskqueue, "one", 1);
    let _tender = super::tend(&taskqueue, 1, 1, &["--log-file", "log"]);
    until_idle(&taskqueue, 1);
    taskqueue.configure("store = \"elsewhere.db\"\n[tubes.new]\n[tubes.t]\nmax_workers = 7\n");
    let said = taskqueue.run(&["reload", "--json"]).json();
    let kept = said["tenders"][0]["kept"].as_array().unwrap();
    let kept: Vec<&str> = kept.iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(kept, ["the tubes stay those that --use-tube named"]);
    assert_eq!(
        said["tenders"][0]["changed"],
        serde_json::json!([]),
        "flags win"
    );

    // Without flags the file says where, and a change of that takes a restart.
    let other = Taskqueue::embedded();
    other.configure("broker = \"embedded\"\nstore = \"one.db\"\n[tubes.t]\n");
    let bare = |args: &[&str]| Running::start(other.bare(args));
    let _tender = bare(&["tender", "--log", "error"]);
    let up = || bare(&["status"]).wait().code == Some(0);
    until("a tender", up);
    other.configure("broker = \"beanstalk://127.0.0.1:1\"\nstore = \"one.db\"\n[tubes.t]\n");
    let said = bare(&["reload"]).wait().ok();
    assert!(said.contains("127.0.0.1:1 takes a restart"), "{said}");
}

#[test]
fn another_program_as_worker_replaces_those_that_run() {
    let taskqueue = Taskqueue::embedded();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tender/worker.py");
    std::fs::create_dir(taskqueue.path("jobs")).unwrap();
    let worker = |words: &str| {
        taskqueue.configure(&format!(
            "[tubes.t]\nmin_workers = 2\nspare_workers = 0\nmax_workers = 2\nworker_command = [{words}]\n"
        ));
    };
    worker("\"/bin/sh\", \"-c\", \"exit 125\"");
    let _tender = start(&taskqueue);
    until("a refusal", || pool(&taskqueue)["back_off"] != Value::Null);
    let dir = taskqueue.path("").display().to_string();
    worker(&format!(
        "\"python3\", \"-S\", \"{script}\", \"{dir}\", \"work\""
    ));
    taskqueue.run(&["reload"]).ok();
    until_idle(&taskqueue, 2);
    assert_eq!(pool(&taskqueue)["back_off"], Value::Null);

    let before = pids(&pool(&taskqueue));
    worker(&format!(
        "\"python3\", \"-S\", \"{script}\", \"{dir}\", \"work\", \"more\""
    ));
    taskqueue.run(&["reload"]).ok();
    until("both replaced", || {
        let pool = pool(&taskqueue);
        pool["census"]["idle"] == 2 && pids(&pool).is_disjoint(&before)
    });
    until("why is in the log", || {
        log(&taskqueue).contains("another program is configured")
    });
    assert!(Path::new(&taskqueue.path("started")).exists());
}

#[test]
fn a_worker_alone_reads_it_again_too() {
    let taskqueue = Taskqueue::embedded();
    write(&taskqueue, "one", 1);
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log-file", "log"]);
    assert_eq!(job(&taskqueue), "one");
    write(&taskqueue, "two", 1);
    worker.signal(Signal::HUP);
    until("it has", || {
        log(&taskqueue).contains("read the configuration again")
    });
    assert_eq!(job(&taskqueue), "two");
    taskqueue.configure("nonsense");
    worker.signal(Signal::HUP);
    until("it has not", || {
        log(&taskqueue).contains("kept the configuration as it was")
    });
    write(&taskqueue, "three", 1);
    assert_eq!(job(&taskqueue), "two");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn a_worker_that_refuses_is_named_once() {
    let taskqueue = Taskqueue::embedded();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tender/worker.py");
    std::fs::create_dir(taskqueue.path("jobs")).unwrap();
    let dir = taskqueue.path("").display().to_string();
    taskqueue.configure(&format!(
        "[tubes.t]\nmin_workers = 1\nspare_workers = 0\nmax_workers = 1\n\
         worker_command = [\"python3\", \"-S\", \"{script}\", \"{dir}\", \"refuse\"]\n"
    ));
    let _tender = start(&taskqueue);
    until_idle(&taskqueue, 1);
    taskqueue.run(&["reload"]).ok();
    let refusals = |log: &str| {
        let named = |line: &&str| line.contains("t-1") && line.contains("not to its liking");
        let lines = log.lines().filter(|line| line.contains("WARN"));
        lines.filter(named).count()
    };
    until("it is in the log", || refusals(&log(&taskqueue)) == 1);
    taskqueue.run(&["reload"]).ok();
    until("and again", || refusals(&log(&taskqueue)) == 2);
    taskqueue.run(&["stop"]).ok();
    let log = log(&taskqueue);
    assert_eq!(refusals(&log), 2, "{log}");
    assert!(!log.contains("misunderstood"), "{log}");
}

/// A worker stays with its broker and its store, and so do those that its commands would speak to.
#[test]
fn commands_are_told_the_broker_and_the_store_that_their_worker_has() {
    let taskqueue = Taskqueue::embedded();
    let said = taskqueue.path("said").display().to_string();
    let configure = |word: &str, broker: &str, store: &str| {
        taskqueue.configure(&format!(
            "broker = '{broker}'\nstore = '{store}'\n[commands.job]\nrun = ['/bin/sh', '-c', \
             'echo {word} $TASKQUEUE_BROKER $TASKQUEUE_STORE >> {said}']\n"
        ));
    };
    configure("one", "embedded", "t.db");
    let mut command = taskqueue.bare(&["worker", "--use-tube", "t", "--log-file", "log"]);
    command.env("PWD", taskqueue.path(""));
    let worker = Running::start(command);
    let store = taskqueue.path("").canonicalize().unwrap().join("t.db");
    let told = |word: &str| format!("{word} embedded {}", store.display());
    assert_eq!(job(&taskqueue), told("one"));
    configure("two", "beanstalk://127.0.0.1:1", "other.db");
    worker.signal(Signal::HUP);
    until("it has", || {
        log(&taskqueue).contains("stayed with its broker and store")
    });
    assert_eq!(job(&taskqueue), told("two"));
}
