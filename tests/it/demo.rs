//! The demo: real processes, a summary, and nothing left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Beanstalkd, Running, Taskqueue};

/// The pid in "worker NAME (pid N) started".
fn started(line: &str) -> Option<u32> {
    let (_, rest) = line.strip_prefix("worker ")?.split_once("(pid ")?;
    rest.strip_suffix(") started")?.parse().ok()
}

/// Runs it with these arguments in a folder for temporary files of its own.
fn demo(taskqueue: &Taskqueue, arguments: &[&str]) {
    let temporary = taskqueue.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = taskqueue.bare(&[&["demo"], arguments].concat());
    command.env("TMPDIR", &temporary).stderr(Stdio::inherit());
    let mut running = Running::start_unread(command);
    let demo = running.pid().as_raw_nonzero().get().unsigned_abs();
    let mut pids = Vec::new();
    let mut said = Vec::new();
    for line in BufReader::new(running.stdout()).lines() {
        let line = line.unwrap();
        if let Some(pid) = started(&line) {
            // A process of its own, which calls itself a worker, and is not the demo's own child.
            let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(argv.starts_with(b"taskqueue\0worker\0"), "{line}");
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(!status.contains(&format!("PPid:\t{demo}\n")), "{status}");
            assert_ne!(pid, demo);
            pids.push(pid);
        }
        said.push(line);
    }
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{said:#?}");
    assert!((2..=4).contains(&pids.len()), "{said:#?}");
    let last = said.last().unwrap();
    assert!(last.starts_with("35 done, 1 failed, in "), "{last}");
    let has = |part: &str| said.iter().any(|line| line.contains(part));
    assert!(has("task 13 (demo:fail) failed: exit code 65"), "{said:#?}");
    assert!(has("  | there is no invoice 13"), "{said:#?}");
    assert!(has("task 20 demo:garbage done by "), "{said:#?}");
    // What is not a terminal gets nothing that only a terminal understands.
    assert!(!said.iter().any(|line| line.contains('\x1b')), "{said:#?}");
    for pid in pids {
        assert!(
            !fs::exists(format!("/proc/{pid}")).unwrap(),
            "{pid} is left"
        );
    }
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn nobody_has_to_read_it_to_the_end() {
    let taskqueue = Taskqueue::alone();
    let temporary = taskqueue.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = taskqueue.bare(&["demo"]);
    command.env("TMPDIR", &temporary);
    let mut running = Running::start_unread(command);
    let first = BufReader::new(running.stdout()).lines().next().unwrap();
    assert!(first.unwrap().starts_with("queueing 36 tasks"));
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn it_needs_no_server() {
    let taskqueue = Taskqueue::alone();
    demo(&taskqueue, &[]);
    assert!(!taskqueue.store().exists());
}

#[test]
fn it_runs_on_a_beanstalkd() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::alone();
    demo(&taskqueue, &["--broker", &server.url()]);
    assert!(!taskqueue.store().exists());
}
