//! A kill at each gap of a backup and a restore: the store is the one before or the copy, whole, and the next try
//! works.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use taskqueue::crash::{Point, VARIABLE};

use super::{COMMANDS, listed, put};
use crate::support::{Running, Taskqueue};

#[track_caller]
fn dies(taskqueue: &Taskqueue, args: &[&str], point: Point) {
    let mut command = taskqueue.command(args);
    command.env(VARIABLE, format!("{point:?}"));
    let ran = Running::start(command).wait();
    assert_eq!(ran.code, None, "{ran:?}");
}

/// What stands beside a file whose name begins with that file's.
fn beside(file: &Path, suffix: &str) -> Vec<PathBuf> {
    let begins = format!("{}{suffix}", file.file_name().unwrap().to_str().unwrap());
    let entries = fs::read_dir(file.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&begins)
    };
    paths.filter(is_one).collect()
}

fn of_three() -> (Taskqueue, PathBuf) {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    put(&taskqueue, 3);
    let copy = taskqueue.path("copy.db");
    (taskqueue, copy)
}

#[test]
fn a_backup_that_is_killed_leaves_no_copy_or_a_whole_one() {
    for (point, is_there) in [(Point::CopyWritten, false), (Point::CopyNamed, true)] {
        let (taskqueue, copy) = of_three();
        let name = copy.to_str().unwrap();
        dies(&taskqueue, &["backup", name], point);
        assert_eq!(copy.exists(), is_there, "{point:?}");
        assert_eq!(listed(&taskqueue, "waiting"), 3);
        // What is left of the first one is in nobody's way.
        taskqueue.run(&["backup", name, "--replace"]).ok();
        assert_eq!(beside(&copy, "").len(), 1, "{:?}", beside(&copy, ""));
        let list = ["list", "--json", "--store", name];
        assert_eq!(taskqueue.run(&list).json().as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_restore_that_is_killed_leaves_the_store_before_or_the_copy() {
    for (point, is_replaced) in [
        (Point::CopyWritten, false),
        (Point::CopyNamed, false),
        (Point::StoreReplaced, true),
    ] {
        let (taskqueue, copy) = of_three();
        let name = copy.to_str().unwrap();
        taskqueue.run(&["backup", name]).ok();
        put(&taskqueue, 2);
        let noted = taskqueue.path("t.db-batch-1");
        fs::write(&noted, "what a dead worker has noted").unwrap();
        dies(&taskqueue, &["restore", name], point);
        let waiting = match is_replaced {
            true => 3,
            false => 5,
        };
        assert_eq!(listed(&taskqueue, "waiting"), waiting, "{point:?}");
        let before = beside(&taskqueue.store(), ".before-");
        assert_eq!(before.is_empty(), point == Point::CopyWritten, "{before:?}");
        if is_replaced {
            let list = ["list", "--json", "--store", before[0].to_str().unwrap()];
            assert_eq!(taskqueue.run(&list).json().as_array().unwrap().len(), 5);
        }
        // A name of its own, by the second.
        std::thread::sleep(Duration::from_millis(1100));
        taskqueue.run(&["restore", name]).ok();
        assert_eq!(listed(&taskqueue, "waiting"), 3, "{point:?}");
        assert!(!noted.exists());
        assert!(beside(&taskqueue.store(), ".part").is_empty());
    }
}

/// Producers do not end with `taskqueue stop`. What they have recorded is in the store or in the one before.
#[test]
fn what_is_put_while_a_store_is_replaced_is_in_one_of_both() {
    let (taskqueue, copy) = of_three();
    let name = copy.to_str().unwrap();
    taskqueue.run(&["backup", name]).ok();
    let (mut kept, mut recorded) = (Vec::new(), 0);
    for _ in 0..3 {
        let restore = Running::start(taskqueue.command(&["restore", name, "--json"]));
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(1100) {
            let ran = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
            // One that has found the store replaced says so.
            recorded += usize::from(ran.code == Some(0));
        }
        let ran = restore.wait();
        if ran.code == Some(0) {
            kept.push(ran.json()["kept"].as_str().unwrap().to_owned());
        } else {
            assert!(ran.stderr.contains("in use"), "{ran:?}");
        }
    }
    assert!(!kept.is_empty());
    kept.push(taskqueue.store().to_str().unwrap().to_owned());
    let found: usize = kept
        .iter()
        .map(|store| {
            let list = ["list", "--json", "--limit", "0", "--store", store];
            // Each began as the copy, or was copied, with three.
            taskqueue.run(&list).json().as_array().unwrap().len() - 3
        })
        .sum();
    assert_eq!(found, recorded);
}
