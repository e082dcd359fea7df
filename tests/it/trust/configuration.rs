//! A configuration that was found, and one that was named.

use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{THEM, can_be_others, give_to, run_in, set_mode};
use crate::support::{Running, Taskqueue};

const TEXT: &str = "[commands.ok]\nrun = ['true']\n";

/// A folder with a configuration.
fn stage(taskqueue: &Taskqueue, name: &str) -> std::path::PathBuf {
    let folder = taskqueue.path(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("taskqueue.toml"), TEXT).unwrap();
    set_mode(&folder.join("taskqueue.toml"), 0o644);
    folder
}

/// Named, it is read.
fn is_read_when_named(taskqueue: &Taskqueue, folder: &Path) {
    run_in(taskqueue, folder, &["--config", "taskqueue.toml", "list"]).ok_without_store();
    let mut command = taskqueue.command(&["list"]);
    command
        .current_dir(folder)
        .env("TASKQUEUE_CONFIG", "taskqueue.toml");
    Running::start(command).wait().ok_without_store();
}

#[test]
fn a_strangers_configuration_is_found_by_nobody() {
    if !can_be_others("a stranger's configuration") {
        return;
    }
    let taskqueue = Taskqueue::embedded();
    for (name, folder_of, file_of, mode) in [
        ("their-own", THEM, THEM, 0o755),
        // They may put another there at any time.
        ("their-folder", THEM, 0, 0o755),
        ("like-tmp", 0, THEM, 0o1777),
    ] {
        let folder = stage(&taskqueue, name);
        give_to(&folder.join("taskqueue.toml"), file_of);
        give_to(&folder, folder_of);
        set_mode(&folder, mode);
        for args in [
            &["list"][..],
            &["put", "--use-tube", "t", "ok"],
            &["tender", "--use-tube", "t"],
            &["worker", "--use-tube", "t"],
            &["status"],
            &["stop"],
        ] {
            let said = run_in(&taskqueue, &folder, args);
            // Of those that need nothing but the store, it may be that they do not look.
            if said.code == Some(0) || said.code == Some(1) {
                assert!(
                    ["status", "stop"].contains(&args[0]),
                    "{name}, {args:?}: {said:?}"
                );
                continue;
            }
            let said = said.failed(2);
            for part in [
                &*format!("{}/taskqueue.toml is not read", folder.display()),
                &format!("(user {THEM}), who is neither root nor you"),
                "name it with --config taskqueue.toml or TASKQUEUE_CONFIG",
            ] {
                assert!(said.contains(part), "{name}, {args:?}: {said}");
            }
        }
        let checked = run_in(&taskqueue, &folder, &["check"]);
        assert_eq!(checked.code, Some(2), "{checked:?}");
        is_read_when_named(&taskqueue, &folder);
    }
    // A user is not root, and is as careful.
    let folder = stage(&taskqueue, "another's");
    give_to(&folder, 60_004);
    give_to(&folder.join("taskqueue.toml"), 60_004);
    let mut command = taskqueue.command_as(THEM, &["list"]);
    command.current_dir(&folder);
    let said = Running::start(command).wait().failed(2);
    assert!(
        said.contains("user 60004, who is neither root nor you"),
        "{said}"
    );
}

#[test]
fn a_link_is_as_good_as_whoever_made_it() {
    if !can_be_others("a stranger's link") {
        return;
    }
    let taskqueue = Taskqueue::embedded();
    let folder = taskqueue.path("like-tmp");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o1777);
    let link = folder.join("taskqueue.toml");
    symlink(taskqueue.path("taskqueue.toml"), &link).unwrap();
    run_in(&taskqueue, &folder, &["list"]).ok_without_store();
    lchown(&link, Some(THEM), Some(THEM)).unwrap();
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(said.contains("who is neither root nor you"), "{said}");
    // Ours into a folder of theirs.
    let theirs = stage(&taskqueue, "theirs");
    give_to(&theirs, THEM);
    fs::remove_file(&link).unwrap();
    symlink(theirs.join("taskqueue.toml"), &link).unwrap();
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(said.contains("theirs belongs to"), "{said}");
}

#[test]
fn what_everybody_may_write_to_is_refused_also_when_it_is_named() {
    let taskqueue = Taskqueue::embedded();
    let folder = stage(&taskqueue, "open");
    let file = folder.join("taskqueue.toml");
    set_mode(&file, 0o646);
    for args in [&["list"][..], &["list", "--config", "taskqueue.toml"]] {
        let said = run_in(&taskqueue, &folder, args).failed(2);
        assert!(said.contains("everybody may write to it"), "{said}");
        assert!(said.contains("chmod o-w taskqueue.toml"), "{said}");
    }
    set_mode(&file, 0o644);
    set_mode(&folder, 0o777);
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(said.contains("everybody may write to its folder"), "{said}");
    is_read_when_named(&taskqueue, &folder);
}

#[test]
fn what_a_group_may_write_to_is_that_groups_word() {
    if !can_be_others("a group's configuration") {
        return;
    }
    const GROUP: u32 = 60_001;
    let taskqueue = Taskqueue::embedded();
    let folder = stage(&taskqueue, "shared");
    let file = folder.join("taskqueue.toml");
    chown(&folder, Some(60_002), Some(GROUP)).unwrap();
    set_mode(&folder, 0o2770);
    chown(&file, Some(60_002), Some(GROUP)).unwrap();
    set_mode(&file, 0o664);
    let run = |user: u32, group: u32| {
        let mut command = taskqueue.command_as(user, &["list"]);
        command.gid(group).current_dir(&folder);
        command.env("TASKQUEUE_STORE", "t.db");
        Running::start(command).wait()
    };
    run(60_002, GROUP).ok_without_store();
    run(60_003, GROUP).ok_without_store();
    // Not to root, who is not of that group.
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(
        said.contains("user 60002, who is neither root nor you"),
        "{said}"
    );
    chown(&folder, Some(0), Some(GROUP)).unwrap();
    chown(&file, Some(0), Some(GROUP)).unwrap();
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(said.contains("group 60001 may write to it"), "{said}");
    set_mode(&file, 0o644);
    run_in(&taskqueue, &folder, &["list"]).ok_without_store();
    is_read_when_named(&taskqueue, &folder);
}

#[test]
fn what_is_no_file_or_too_big_is_refused_and_not_waited_for() {
    let taskqueue = Taskqueue::embedded();
    let folder = stage(&taskqueue, "odd");
    let file = folder.join("taskqueue.toml");
    fs::write(&file, format!("# {}\n", "x".repeat(1024 * 1024))).unwrap();
    for args in [&["list"][..], &["list", "--config", "taskqueue.toml"]] {
        let said = run_in(&taskqueue, &folder, args).failed(2);
        assert!(said.contains("it has more than 1048576 bytes"), "{said}");
    }
    fs::remove_file(&file).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(said.contains("it is a FIFO, and no file"), "{said}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let said = run_in(&taskqueue, &folder, &["list"]).failed(2);
    assert!(said.contains("it is a folder, and no file"), "{said}");
    // A pipe that is named is read.
    let list = ["--config", "/dev/stdin", "list"];
    taskqueue
        .run_with(&list, TEXT.as_bytes())
        .ok_without_store();
    let endless = run_in(&taskqueue, &folder, &["--config", "/dev/zero", "list"]).failed(2);
    assert!(
        endless.contains("it has more than 1048576 bytes"),
        "{endless}"
    );
}

#[test]
fn what_was_found_is_believed_no_more_when_it_is_read_again() {
    if !can_be_others("a stranger's configuration at a reload") {
        return;
    }
    let taskqueue = Taskqueue::embedded();
    let folder = stage(&taskqueue, "project");
    let file = folder.join("taskqueue.toml");
    let mut command = taskqueue.command(&["tender", "--use-tube", "t", "--min-workers", "1"]);
    command.current_dir(&folder);
    let tender = Running::start(command);
    crate::support::until("it answers", || {
        taskqueue.run(&["ping"]).code == Some(0) && taskqueue.run(&["status"]).code == Some(0)
    });
    let reload = || taskqueue.run(&["reload"]);
    reload().ok();
    fs::remove_file(&file).unwrap();
    fs::write(&file, TEXT).unwrap();
    give_to(&file, THEM);
    let said = reload();
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.stderr.contains("who is neither root nor you"),
        "{said:?}"
    );
    drop(tender);
}
