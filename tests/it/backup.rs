//! What becomes of a store that is stopped, copied, put back and moved.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rustix::process::Signal;

use crate::support::{Beanstalkd, Running, Taskqueue, until};

const COMMANDS: &str = "[commands.ok]\nrun = [\"true\"]\n";

/// How many tasks a file has that are done, without any other file beside it.
fn done(file: &Path) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone.db");
    fs::copy(file, &alone).unwrap();
    let sql = "SELECT count(*) FROM tasks WHERE status = 'done'";
    let store = Connection::open(alone).unwrap();
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn put(taskqueue: &Taskqueue, tasks: usize) {
    let lines = "{\"taskqueue\":1,\"command\":\"ok\"}\n".repeat(tasks);
    let batch = ["put", "--use-tube", "t", "--batch", "-"];
    let ran = taskqueue.run_with(&batch, lines.as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

fn are_done(taskqueue: &Taskqueue, tasks: i64) -> bool {
    let sql = "SELECT count(*) FROM tasks WHERE status = 'done'";
    let count = taskqueue.sqlite().query_row(sql, [], |row| row.get(0));
    count.unwrap_or(0) == tasks
}

/// With its guard, and workers that end all at once.
fn an_orderly_end_leaves_one_file(taskqueue: &Taskqueue) {
    taskqueue.configure(COMMANDS);
    put(taskqueue, 300);
    let tend = [
        "tender",
        "--use-tube",
        "t",
        "--mode",
        "static",
        "--max-workers",
        "5",
    ];
    let tender = Running::start(taskqueue.command(&tend));
    until("all is done", || are_done(taskqueue, 300));
    assert_eq!(taskqueue.run(&["stop"]).code, Some(0));
    assert_eq!(tender.wait().code, Some(0));
    let left: Vec<_> = ["t.db-wal", "t.db-shm", "t.db-journal"]
        .into_iter()
        .filter(|name| taskqueue.path(name).exists())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(done(&taskqueue.store()), 300);
}

#[test]
fn an_orderly_end_leaves_one_file_with_beanstalkd() {
    an_orderly_end_leaves_one_file(&Taskqueue::with(&Beanstalkd::start()));
}

#[test]
fn an_orderly_end_leaves_one_file_with_the_embedded_queue() {
    an_orderly_end_leaves_one_file(&Taskqueue::embedded());
}

/// Whoever was killed, or closed the store in the same moment as another, has left the journal.
fn leave_a_journal(taskqueue: &Taskqueue) {
    let leaves = taskqueue.sqlite();
    leaves
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .unwrap();
    let nothing = "CREATE TABLE left_behind (n); DROP TABLE left_behind";
    leaves.execute_batch(nothing).unwrap();
}

/// It has no time to close its store while others hold it, and they go without a word.
#[test]
fn a_worker_that_ends_last_folds_the_journal_that_others_have_left() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(COMMANDS);
    put(&taskqueue, 1);
    let worker = Running::start(taskqueue.command(&["worker", "--use-tube", "t"]));
    until("it is done", || are_done(&taskqueue, 1));
    let reader = taskqueue.sqlite();
    leave_a_journal(&taskqueue);
    let keep = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    reader.set_db_config(keep, true).unwrap();
    let look = "SELECT count(*) FROM tasks";
    let _: i64 = reader.query_row(look, [], |row| row.get(0)).unwrap();
    worker.signal(Signal::TERM);
    // While it closes its store and afterwards.
    std::thread::sleep(std::time::Duration::from_millis(500));
    drop(reader);
    assert_eq!(worker.wait().code, Some(0));
    assert!(!taskqueue.path("t.db-wal").exists());
    assert_eq!(done(&taskqueue.store()), 1);
}

/// Kill -9 leaves both files, and both are one store.
#[test]
fn a_journal_of_a_kill_is_replayed_and_that_of_another_file_refused() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    put(&taskqueue, 20);
    fs::copy(taskqueue.store(), taskqueue.path("old.db")).unwrap();
    let tend = ["tender", "--use-tube", "t"];
    let tender = Running::start(taskqueue.command(&tend));
    until("all is done", || are_done(&taskqueue, 20));
    tender.signal(Signal::KILL);
    drop(tender);
    let list = || taskqueue.run(&["list", "--json", "--status", "done"]);
    assert_eq!(list().json().as_array().unwrap().len(), 20);
    until("its workers are gone", || {
        list().code == Some(0) && !taskqueue.path("t.db-wal").exists()
    });
    put(&taskqueue, 1);
    // Somebody puts an older file in the place of this one, whose journal is still there.
    let holds = taskqueue.sqlite();
    let look = "SELECT count(*) FROM tasks";
    let _: i64 = holds.query_row(look, [], |row| row.get(0)).unwrap();
    put(&taskqueue, 1);
    fs::copy(taskqueue.path("t.db-wal"), taskqueue.path("wal")).unwrap();
    drop(holds);
    fs::rename(taskqueue.path("old.db"), taskqueue.store()).unwrap();
    fs::rename(taskqueue.path("wal"), taskqueue.path("t.db-wal")).unwrap();
    let before = fs::read(taskqueue.store()).unwrap();
    for args in [
        &["list"][..],
        &["put", "--use-tube", "t", "ok"],
        &["worker", "--use-tube", "t"],
        &["show", "1"],
    ] {
        let said = taskqueue.run(args).failed(1);
        assert!(
            said.contains("t.db-wal is not that of the store"),
            "{args:?}: {said}"
        );
        assert!(said.contains("mv "), "{said}");
    }
    assert_eq!(fs::read(taskqueue.store()).unwrap(), before);
    // What is advised.
    fs::rename(taskqueue.path("t.db-wal"), taskqueue.path("t.db-wal.old")).unwrap();
    let tasks = taskqueue.run(&["list", "--json", "--status", "waiting"]);
    assert_eq!(tasks.json().as_array().unwrap().len(), 20);
}
