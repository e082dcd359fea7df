//! What stands at the names of a store's companions.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{THEM, all_of, can_be_others, give_to, set_mode};
use crate::support::Taskqueue;

/// More than is ever written to any of them.
const PRECIOUS: &str = "precious line 1\nprecious line 2, longer than what is written\n";

/// What somebody may make of a name.
const TRAPS: [(&str, &str); 4] = [
    ("link", "it is a symbolic link"),
    ("hard link", "it has 2 names (hard links)"),
    ("fifo", "it is a FIFO"),
    ("folder", "it is a folder"),
];

fn set(trap: &str, at: &Path, precious: &Path) {
    let _ = fs::remove_file(at);
    let _ = fs::remove_dir_all(at);
    match trap {
        "link" => symlink(precious, at).unwrap(),
        "hard link" => fs::hard_link(precious, at).unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(at).status().unwrap().success()),
        "folder" => fs::create_dir(at).unwrap(),
        other => panic!("{other}"),
    }
}

fn clear(at: &Path) {
    match fs::symlink_metadata(at).is_ok_and(|found| found.is_dir()) {
        true => fs::remove_dir_all(at).unwrap(),
        false => drop(fs::remove_file(at)),
    }
}

/// A store, and a file beside whose name it is about.
fn stage() -> (Taskqueue, PathBuf) {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = ['true']\n");
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    let precious = taskqueue.path("precious");
    fs::write(&precious, PRECIOUS).unwrap();
    (taskqueue, precious)
}

fn beside(taskqueue: &Taskqueue, suffix: &str) -> PathBuf {
    let mut name = taskqueue.store().into_os_string();
    name.push(suffix);
    name.into()
}

#[test]
fn what_is_no_file_of_ours_is_neither_followed_nor_waited_for_nor_cut() {
    let (taskqueue, precious) = stage();
    let before = all_of(&precious);
    for suffix in ["-locks", "-wal", "-shm", "-journal"] {
        let at = beside(&taskqueue, suffix);
        for (trap, why) in TRAPS {
            let kept = fs::read(&at).ok();
            set(trap, &at, &precious);
            for args in [&["list"][..], &["put", "--use-tube", "t", "ok"]] {
                let said = taskqueue.run(args).failed(1);
                for part in [why, &*at.to_string_lossy()] {
                    assert!(said.contains(part), "{suffix}, {trap}: {said}");
                }
            }
            assert_eq!(all_of(&precious), before, "{suffix}, {trap}");
            clear(&at);
            if let Some(kept) = kept {
                fs::write(&at, kept).unwrap();
            }
        }
    }
    taskqueue.run(&["list"]).ok();
}

#[test]
fn a_bell_that_is_none_is_not_rung() {
    let (taskqueue, precious) = stage();
    let before = all_of(&precious);
    for (trap, why) in TRAPS {
        set(trap, &beside(&taskqueue, "-bell"), &precious);
        // The task is recorded all the same.
        let ran = taskqueue.run(&["put", "--use-tube", "t", "ok"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.contains("could not ring"), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
        assert_eq!(all_of(&precious), before, "{trap}");
        clear(&beside(&taskqueue, "-bell"));
    }
}

#[test]
fn sessions_are_noted_in_no_file_of_others() {
    let (taskqueue, precious) = stage();
    let before = all_of(&precious);
    for (trap, why) in TRAPS {
        set(trap, &beside(&taskqueue, "-sessions"), &precious);
        let ran = taskqueue.run(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
        assert!(ran.stderr.contains(why), "{trap}: {ran:?}");
        assert_eq!(all_of(&precious), before, "{trap}");
        clear(&beside(&taskqueue, "-sessions"));
        taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    }
}

#[test]
fn tubes_are_tended_in_no_folder_and_no_file_of_others() {
    let (taskqueue, precious) = stage();
    let before = all_of(&precious);
    let tubes = beside(&taskqueue, "-tubes");
    let elsewhere = taskqueue.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &tubes).unwrap();
    let tend = ["tender", "--use-tube", "t", "--limit", "1"];
    for args in [&tend[..], &["status"]] {
        let said = taskqueue.run(args).failed(1);
        assert!(said.contains("t.db-tubes: it is no folder"), "{said}");
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    clear(&tubes);
    fs::create_dir(&tubes).unwrap();
    for (trap, why) in TRAPS {
        set(trap, &tubes.join("t.tube"), &precious);
        for args in [&tend[..], &["status"]] {
            let said = taskqueue.run(args).failed(1);
            assert!(said.contains(why), "{trap}: {said}");
        }
        taskqueue.configure("[tubes.t]\n");
        let checked = taskqueue.run(&["check"]);
        assert!(checked.stdout.contains("t.tube: "), "{trap}: {checked:?}");
        assert!(checked.stdout.contains(why), "{trap}: {checked:?}");
        assert_eq!(all_of(&precious), before, "{trap}");
    }
}

#[test]
fn root_touches_no_file_of_roots_in_a_strangers_folder() {
    if !can_be_others("what root does in a stranger's folder") {
        return;
    }
    let taskqueue = Taskqueue::embedded();
    let theirs = taskqueue.path("theirs");
    fs::create_dir(&theirs).unwrap();
    give_to(&theirs, THEM);
    taskqueue.keep_store_at(theirs.join("x.db"));
    let put = ["put", "--use-tube", "t", "foo"];
    let mut command = taskqueue.command_as(THEM, &put);
    command.gid(THEM);
    crate::support::Running::start(command).wait().ok();
    let precious = taskqueue.path("precious");
    fs::write(&precious, PRECIOUS).unwrap();
    set_mode(&precious, 0o600);
    let before = all_of(&precious);
    // A link that root makes is as good as one of theirs.
    for (trap, why) in &TRAPS[..2] {
        for suffix in ["-locks", "-wal", "-shm"] {
            let at = beside(&taskqueue, suffix);
            let kept = fs::read(&at).ok();
            set(trap, &at, &precious);
            let said = taskqueue.run(&["list"]).failed(1);
            assert!(said.contains(why), "{suffix}, {trap}: {said}");
            assert_eq!(all_of(&precious), before, "{suffix}, {trap}");
            clear(&at);
            if let Some(kept) = kept {
                fs::write(&at, kept).unwrap();
                give_to(&at, THEM);
            }
        }
    }
    // Nor is a file of root's given away that somebody has moved there.
    let at = beside(&taskqueue, "-wal");
    clear(&at);
    fs::write(&at, PRECIOUS).unwrap();
    set_mode(&at, 0o600);
    let before = all_of(&at);
    let said = taskqueue.run(&["list"]).failed(1);
    assert!(
        said.contains("it belongs to root (user 0), and the store to"),
        "{said}"
    );
    assert_eq!(all_of(&at), before);
    clear(&at);
    taskqueue.run(&["list"]).ok();
}

#[test]
fn a_file_of_a_stranger_is_not_believed() {
    if !can_be_others("whose the files beside a store are") {
        return;
    }
    let (taskqueue, _) = stage();
    for suffix in ["-locks", "-wal"] {
        let at = beside(&taskqueue, suffix);
        if !at.exists() {
            fs::write(&at, "").unwrap();
        }
        give_to(&at, THEM);
        let said = taskqueue.run(&["list"]).failed(1);
        let whose = format!("(user {THEM}), and the store to root (user 0)");
        assert!(said.contains(&whose), "{suffix}: {said}");
        give_to(&at, 0);
        set_mode(&at, 0o666);
        let said = taskqueue.run(&["list"]).failed(1);
        assert!(
            said.contains("everybody may write to it"),
            "{suffix}: {said}"
        );
        set_mode(&at, 0o600);
    }
    taskqueue.run(&["list"]).ok();
}

#[test]
fn a_log_file_is_no_link_of_a_strangers() {
    if !can_be_others("a log in a stranger's folder") {
        return;
    }
    let (taskqueue, precious) = stage();
    let before = all_of(&precious);
    let theirs = taskqueue.path("theirs");
    fs::create_dir(&theirs).unwrap();
    let log = theirs.join("log");
    let list = [
        "list",
        "--log-file",
        log.to_str().unwrap(),
        "--log",
        "debug",
    ];
    for (trap, why) in [
        ("link", "it is a symbolic link of"),
        ("fifo", "it is a FIFO of"),
        ("hard link", "it has 2 names"),
    ] {
        set(trap, &log, &precious);
        if trap != "hard link" {
            std::os::unix::fs::lchown(&log, Some(THEM), Some(THEM)).unwrap();
        }
        give_to(&theirs, THEM);
        let said = taskqueue.run(&list).failed(1);
        assert!(said.contains(why), "{trap}: {said}");
        assert_eq!(all_of(&precious), before, "{trap}");
        clear(&log);
    }
    // Ours may lead wherever we like.
    symlink(taskqueue.path("elsewhere"), &log).unwrap();
    taskqueue.run(&list).ok();
    assert!(taskqueue.path("elsewhere").exists());
}
