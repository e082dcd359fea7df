//! What root does with somebody's store leaves it theirs.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, geteuid};

use super::COMMANDS;
use crate::support::{Running, Taskqueue, until};

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
        "t.db-commands",
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

#[test]
fn a_group_shares_a_store_in_its_folder() {
    if !geteuid().is_root() {
        eprintln!("not run as root: whether two users can share a store was not tested");
        return;
    }
    const GROUP: u32 = 60_001;
    let taskqueue = Taskqueue::embedded();
    let shared = taskqueue.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("taskqueue.toml"), COMMANDS).unwrap();
    chown(&shared, Some(60_002), Some(GROUP)).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o2770)).unwrap();
    let run = |user: u32, args: &[&str]| {
        let mut command = taskqueue.command_as(user, args);
        command.gid(GROUP).current_dir(&shared);
        command.env("TASKQUEUE_STORE", "t.db");
        Running::start(command).wait()
    };
    let work = ["worker", "--use-tube", "t", "--max-jobs", "1"];
    let put = ["put", "--use-tube", "t", "ok"];
    run(60_002, &put).ok();
    run(60_003, &put).ok();
    for user in [60_003, 60_002] {
        assert_eq!(run(user, &work).code, Some(0));
        run(user, &put).ok();
        assert!(run(60_003, &["list"]).ok().contains("done"));
    }
    for path in all(&shared) {
        let mode = fs::metadata(&path).unwrap().mode();
        let is_store = path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("t.db");
        assert!(
            !is_store || mode & 0o666 == 0o660,
            "{}: {mode:o}",
            path.display()
        );
    }
}
