//! A store has one name, whichever it is called by.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rusqlite::Connection;

use super::{THEM, can_be_others, give_to, set_mode};
use crate::support::{Running, Taskqueue, until};

/// What stands in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_link_to_a_store_is_that_store_and_kills_no_living_worker() {
    for links in [
        &[("other/t.db", "../t.db")][..],
        &[("other", "."), ("u.db", "other/t.db")],
    ] {
        let taskqueue = Taskqueue::embedded();
        taskqueue.configure(
            "[commands.slow]\nrun = ['sh', '-c', 'echo begin >> journal; sleep 2; echo end >> journal']\n",
        );
        taskqueue.run(&["put", "--use-tube", "t", "slow"]).ok();
        if links.len() == 1 {
            fs::create_dir(taskqueue.path("other")).unwrap();
        }
        for (name, target) in links {
            symlink(target, taskqueue.path(name)).unwrap();
        }
        let link = taskqueue.path(links.last().unwrap().0);
        let journal = || fs::read_to_string(taskqueue.path("journal")).unwrap_or_default();
        let worker = taskqueue.start(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
        until("begun", || journal() == "begin\n");
        let run = |args: &[&str]| {
            let mut command = taskqueue.command(args);
            command.env("TASKQUEUE_STORE", &link);
            Running::start(command).wait()
        };
        let known: i64 = taskqueue
            .sqlite()
            .query_row("SELECT count(*) FROM workers", [], |row| row.get(0))
            .unwrap();
        assert_eq!(known, 1);
        assert!(run(&["list"]).ok().contains("running"));
        run(&["reconcile"]).ok();
        // A tender looks at all that seems to be left.
        let mut tender = taskqueue.command(&["tender", "--use-tube", "t"]);
        tender.env("TASKQUEUE_STORE", &link);
        let tender = Running::start(tender);
        assert_eq!(worker.wait().code, Some(0));
        assert_eq!(journal(), "begin\nend\n");
        let shown = taskqueue.show("1");
        assert_eq!(shown["status"], "done", "{shown}");
        assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown}");
        // By either name it is the same tender.
        for store in [taskqueue.store(), link.clone()] {
            let mut status = taskqueue.command(&["status"]);
            status.env("TASKQUEUE_STORE", store);
            let said = Running::start(status).wait().ok();
            assert!(said.contains("tender"), "{said}");
        }
        run(&["stop"]).ok();
        tender.wait();
        if links.len() == 1 {
            assert_eq!(names(&taskqueue.path("other")), ["t.db"]);
        }
    }
}

#[test]
fn a_store_that_is_not_there_yet_is_made_where_its_link_leads() {
    let taskqueue = Taskqueue::embedded();
    fs::create_dir(taskqueue.path("data")).unwrap();
    symlink("data/t.db", taskqueue.store()).unwrap();
    taskqueue.run(&["put", "--use-tube", "t", "x"]).ok();
    let made = names(&taskqueue.path("data"));
    assert!(
        made.contains(&"t.db".into()) && made.contains(&"t.db-locks".into()),
        "{made:?}"
    );
    assert!(!taskqueue.path("t.db-locks").exists());
}

#[test]
fn a_store_with_two_names_is_refused() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.run(&["put", "--use-tube", "t", "x"]).ok();
    fs::hard_link(taskqueue.store(), taskqueue.path("u.db")).unwrap();
    for args in [&["list"][..], &["put", "--use-tube", "t", "x"], &["status"]] {
        let said = taskqueue.run(args).failed(1);
        assert!(said.contains("t.db"), "{said}");
        assert!(said.contains("it has 2 names (hard links)"), "{said}");
    }
    fs::remove_file(taskqueue.path("u.db")).unwrap();
    taskqueue.run(&["list"]).ok();
}

#[test]
fn a_store_that_everybody_may_replace_or_write_to_is_refused() {
    let taskqueue = Taskqueue::embedded();
    let folder = taskqueue.path("open");
    fs::create_dir(&folder).unwrap();
    taskqueue.keep_store_at(folder.join("t.db"));
    let put = ["put", "--use-tube", "t", "x"];
    set_mode(&folder, 0o777);
    let said = taskqueue.run(&put).failed(1);
    assert!(said.contains("everybody may write to its folder"), "{said}");
    assert!(said.contains("chmod o-w "), "{said}");
    assert_eq!(names(&folder), [""; 0]);
    set_mode(&folder, 0o1777);
    taskqueue.run(&put).ok();
    set_mode(&taskqueue.store(), 0o666);
    let said = taskqueue.run(&put).failed(1);
    assert!(said.contains("everybody may write to it;"), "{said}");
}

#[test]
fn where_everybody_may_put_files_a_store_is_ours() {
    if !can_be_others("another's store in a folder such as /tmp") {
        return;
    }
    let taskqueue = Taskqueue::embedded();
    let (folder, theirs) = (taskqueue.path("tmp"), taskqueue.path("tmp/t.db"));
    taskqueue.run(&["put", "--use-tube", "t", "x"]).ok();
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o1777);
    fs::copy(taskqueue.store(), &theirs).unwrap();
    give_to(&theirs, THEM);
    let ours = taskqueue.store();
    taskqueue.keep_store_at(theirs.clone());
    for args in [&["list"][..], &["put", "--use-tube", "t", "x"]] {
        let said = taskqueue.run(args).failed(1);
        let whose = format!("(user {THEM}), in {}", folder.display());
        assert!(said.contains(&whose), "{said}");
    }
    // Nor does a link of theirs lead to one of ours.
    fs::remove_file(&theirs).unwrap();
    symlink(&ours, &theirs).unwrap();
    std::os::unix::fs::lchown(&theirs, Some(THEM), Some(THEM)).unwrap();
    let said = taskqueue.run(&["list"]).failed(2);
    assert!(said.contains(&format!("(user {THEM}), in ")), "{said}");
    let count: i64 = Connection::open(ours)
        .unwrap()
        .query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}
