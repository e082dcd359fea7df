//! One tender a tube and store, with real processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use taskqueue::ownership::{Tended, tended};

use crate::support::{Running, Taskqueue, until};

/// A tender of these tubes, without workers until there are jobs.
fn tender(taskqueue: &Taskqueue, tubes: &[&str]) -> Running {
    taskqueue.start(&arguments(tubes))
}

fn arguments<'a>(tubes: &[&'a str]) -> Vec<&'a str> {
    let tubes = tubes.iter().flat_map(|tube| ["--use-tube", tube]);
    ["tender", "--min-workers", "0", "--log", "error"]
        .into_iter()
        .chain(tubes)
        .collect()
}

fn who(taskqueue: &Taskqueue) -> Vec<(String, u32)> {
    let all = tended(&taskqueue.store()).unwrap();
    all.into_iter()
        .map(|Tended { tube, pid, .. }| (tube.to_string(), pid))
        .collect()
}

fn number(running: &Running) -> u32 {
    running.pid().as_raw_nonzero().get().unsigned_abs()
}

#[test]
fn a_second_tender_is_refused_and_told_of_the_first() {
    let taskqueue = Taskqueue::embedded();
    let first = tender(&taskqueue, &["b/c", "a"]);
    let pid = number(&first);
    until("tended", || {
        who(&taskqueue) == [("a".to_owned(), pid), ("b/c".to_owned(), pid)]
    });
    for tubes in [&["a"][..], &["z", "b/c"], &["b/c", "a"]] {
        let said = taskqueue.run(&arguments(tubes)).failed(1);
        let named = tubes.iter().filter(|tube| **tube != "z").min().unwrap();
        assert!(
            said.starts_with(&format!(
                "taskqueue: the tube {named} is tended already, by process {pid} on "
            )),
            "{said}"
        );
        assert!(said.contains("taskqueue stop"), "{said}");
    }
    // Those that were refused have left nothing taken.
    let other = tender(&taskqueue, &["z"]);
    let z = ("z".to_owned(), number(&other));
    until("the other", || who(&taskqueue).contains(&z));
    // Of another store, the tube is another.
    let elsewhere = Taskqueue::embedded();
    let third = tender(&elsewhere, &["a"]);
    until("the third", || who(&elsewhere).len() == 1);
    for tender in [first, other, third] {
        tender.signal(Signal::TERM);
        assert_eq!(tender.wait().code, Some(0));
    }
    assert_eq!(who(&taskqueue), []);
}

#[test]
fn a_killed_tender_stands_in_nobodys_way() {
    let taskqueue = Taskqueue::embedded();
    for _ in 0..5 {
        let tender = tender(&taskqueue, &["a", "b"]);
        let pid = number(&tender);
        until("tended", || {
            who(&taskqueue) == [("a".to_owned(), pid), ("b".to_owned(), pid)]
        });
        tender.signal(Signal::KILL);
        assert_eq!(tender.wait().code, None);
        assert_eq!(who(&taskqueue), []);
        assert!(taskqueue.path("t.db-tubes").join("a.tube").exists());
    }
}

#[test]
fn of_many_that_begin_at_once_one_tends() {
    let taskqueue = Taskqueue::embedded();
    let mut all: Vec<Running> = (0..6)
        .map(|n| tender(&taskqueue, [["a", "b"], ["b", "a"]][n % 2].as_slice()))
        .collect();
    until("one is left", || {
        all.iter_mut()
            .filter_map(|t| t.lives().then_some(()))
            .count()
            == 1
    });
    let last = all.iter_mut().position(Running::lives).unwrap();
    let last = all.remove(last);
    assert_eq!(who(&taskqueue)[0].1, number(&last));
    for refused in all {
        refused.wait().failed(1);
    }
    last.signal(Signal::TERM);
    assert_eq!(last.wait().code, Some(0));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let taskqueue = Taskqueue::embedded();
    let folder = taskqueue.path("t.db-tubes");
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere; but not into what is no folder.
        fs::write(&folder, "").unwrap();
    } else {
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let said = taskqueue.run(&arguments(&["a"])).failed(1);
    assert!(
        said.starts_with("taskqueue: cannot hold the right to tend tubes in "),
        "{said}"
    );
    assert!(said.contains("t.db-tubes"), "{said}");
    assert!(said.contains("--store"), "{said}");
}
