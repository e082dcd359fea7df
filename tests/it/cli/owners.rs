//! What root does with somebody's store leaves it theirs.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rustix::process::{Signal, geteuid};

use super::COMMANDS;
use crate::support::{Taskqueue, until};

/// Nobody's number, on nearly every system.
const THEM: u32 = 65_534;

/// A folder and all that is in it.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn what_root_makes_beside_a_store_belongs_to_the_stores_owner() {
    if !geteuid().is_root() {
        eprintln!("not run as root: whose the files beside another's store are was not tested");
        return;
    }
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    let folder = taskqueue.path("theirs");
    fs::create_dir(&folder).unwrap();
    taskqueue.keep_store_at(folder.join("t.db"));
    File::create(taskqueue.store()).unwrap();
    for path in [&folder, &taskqueue.store()] {
        chown(path, Some(THEM), Some(THEM)).unwrap();
    }
    for _ in 0..20 {
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    }
    let mut names = Vec::new();
    let mut are_theirs = || {
        for path in all(&folder) {
            let found = fs::metadata(&path).unwrap();
            let whose = (found.uid(), found.gid());
            assert_eq!(whose, (THEM, THEM), "{}", path.display());
            names.push(path.file_name().unwrap().to_owned());
        }
    };
    are_theirs();
    let tender = taskqueue.start(&["tender", "--use-tube", "t"]);
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("done", || {
        let done = taskqueue.sqlite().query_row(done, [], |row| row.get(0));
        done == Ok(20)
    });
    are_theirs();
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    are_theirs();
    for name in [
        "t.db-bell",
        "t.db-locks",
        "t.db-sessions",
        "t.db-tubes",
        "t.tube",
        "t.db-wal",
    ] {
        assert!(
            names.contains(&name.into()),
            "{name} was not there: {names:?}"
        );
    }
}
