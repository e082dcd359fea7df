//! Where a tender can be asked, and where a store is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{pool, until_idle};
use crate::support::{Running, TEND_ONE, Taskqueue, until};

fn tender(taskqueue: &Taskqueue, runtime: &str) -> Running {
    let args = [&TEND_ONE[..], &["--log-file", "log"]].concat();
    let mut command = taskqueue.command(&args);
    command.env("XDG_RUNTIME_DIR", runtime);
    Running::start(command)
}

#[test]
fn a_folder_that_cannot_be_used_is_passed_over() {
    let taskqueue = Taskqueue::embedded();
    let long = taskqueue.path(&"x".repeat(100));
    fs::create_dir(&long).unwrap();
    let open = taskqueue.path("open");
    fs::create_dir_all(open.join("taskqueue")).unwrap();
    fs::set_permissions(open.join("taskqueue"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(taskqueue.path("file"), "").unwrap();
    for runtime in [long, open, taskqueue.path("file")] {
        let tender = tender(&taskqueue, runtime.to_str().unwrap());
        // Whoever asks need not know where.
        until_idle(&taskqueue, 1);
        taskqueue.run(&["scale", "t", "--max", "2"]).ok();
        taskqueue.run(&["reload"]).ok();
        taskqueue.run(&["stop"]).ok();
        assert_eq!(tender.wait().code, Some(0));
    }
    let log = fs::read_to_string(taskqueue.path("log")).unwrap();
    assert!(!log.contains("cannot be asked"), "{log}");
}

#[test]
fn a_socket_that_was_swept_away_is_made_anew() {
    let taskqueue = Taskqueue::embedded();
    let run = taskqueue.path("run");
    let tender = tender(&taskqueue, run.to_str().unwrap());
    until_idle(&taskqueue, 1);
    fs::remove_dir_all(&run).unwrap();
    assert_eq!(taskqueue.run(&["scale", "t", "--max", "2"]).code, Some(1));
    until("it can be asked", || {
        pool(&taskqueue)["census"]["idle"] == 1
    });
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    assert_eq!(fs::read_dir(run.join("taskqueue")).unwrap().count(), 0);
}

#[test]
fn a_unit_says_where_the_store_and_the_socket_are() {
    let taskqueue = Taskqueue::embedded();
    let state = taskqueue.path("state");
    for folder in ["state", "rt"] {
        fs::create_dir(taskqueue.path(folder)).unwrap();
    }
    let command = |args: &[&str]| {
        let mut command = taskqueue.bare(args);
        command.env_remove("XDG_RUNTIME_DIR").env("HOME", "/");
        command.env("STATE_DIRECTORY", format!("{}:/nowhere", state.display()));
        command.env("RUNTIME_DIRECTORY", taskqueue.path("rt"));
        command.env("TASKQUEUE_BROKER", "embedded");
        Running::start(command)
    };
    let tender = command(&[
        "tender",
        "--use-tube",
        "t",
        "--min-workers",
        "1",
        "--log",
        "error",
    ]);
    until("it can be asked", || {
        command(&["status"]).wait().code == Some(0)
    });
    assert!(state.join("taskqueue.db").exists());
    assert_eq!(
        fs::read_dir(taskqueue.path("rt/taskqueue"))
            .unwrap()
            .count(),
        1
    );
    command(&["stop"]).wait().ok();
    assert_eq!(tender.wait().code, Some(0));
}
