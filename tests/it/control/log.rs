//! `--log-file`, and USR1 after it was moved away.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{tend, until_idle};
use crate::support::{Taskqueue, until};

fn text(taskqueue: &Taskqueue, name: &str) -> String {
    fs::read_to_string(taskqueue.path(name)).unwrap_or_default()
}

#[test]
fn a_tender_and_its_workers_go_on_in_a_new_file() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue, 2, 2, &["--log-file", "log"]);
    until_idle(&taskqueue, 2);
    let mode = fs::metadata(taskqueue.path("log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    until("its beginning", || {
        text(&taskqueue, "log").matches("worker started").count() == 2
    });
    fs::rename(taskqueue.path("log"), taskqueue.path("old")).unwrap();
    let old = text(&taskqueue, "old");
    tender.signal(Signal::USR1);
    let opened = || {
        text(&taskqueue, "log")
            .matches("log file opened again")
            .count()
    };
    until("all of them have opened it", || opened() == 3);
    taskqueue.run(&["scale", "t", "--max", "3"]).ok();
    until("that is in the log", || {
        text(&taskqueue, "log").contains("pool given other limits")
    });
    taskqueue.run(&["stop"]).ok();
    let ran = tender.wait();
    assert!(text(&taskqueue, "log").contains("tender ended"));
    assert_eq!(text(&taskqueue, "old"), old);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn without_a_file_usr1_does_no_harm_and_a_worker_heeds_it_too() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    tender.signal(Signal::USR1);
    taskqueue.run(&["ping"]).ok();
    taskqueue.run(&["stop"]).ok();
    assert_eq!(tender.wait().code, Some(0));

    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log-file", "log"]);
    until("it works", || text(&taskqueue, "log").contains("started"));
    fs::remove_file(taskqueue.path("log")).unwrap();
    worker.signal(Signal::USR1);
    until("a new file", || {
        text(&taskqueue, "log").contains("opened again")
    });
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let taskqueue = Taskqueue::embedded();
    let said = taskqueue.run(&["list", "--log-file", "no/where"]).failed(1);
    for part in ["no/where", "--log-file PATH"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn all_write_to_one_file_also_when_a_link_on_the_way_to_it_is_switched() {
    let taskqueue = Taskqueue::embedded();
    for folder in ["1", "2"] {
        fs::create_dir(taskqueue.path(folder)).unwrap();
    }
    let switch = |to: &str| {
        let _ = fs::remove_file(taskqueue.path("current"));
        std::os::unix::fs::symlink(to, taskqueue.path("current")).unwrap();
    };
    switch("1");
    let tender = tend(&taskqueue, 1, 1, &["--log-file", "current/log"]);
    until_idle(&taskqueue, 1);
    switch("2");
    fs::rename(taskqueue.path("1/log"), taskqueue.path("1/log.1")).unwrap();
    tender.signal(Signal::USR1);
    until("both write on", || {
        text(&taskqueue, "1/log")
            .matches("log file opened again")
            .count()
            == 2
    });
    assert!(!taskqueue.path("2/log").exists());
}
