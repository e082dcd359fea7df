//! What becomes of a store that is stopped, copied, put back and moved.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rustix::process::Signal;

use crate::support::{Beanstalkd, Running, Taskqueue, until};

mod chapter;
mod crash;

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

fn listed(taskqueue: &Taskqueue, status: &str) -> usize {
    let list = ["list", "--json", "--limit", "10000", "--status", status];
    taskqueue.run(&list).json().as_array().unwrap().len()
}

#[test]
fn a_backup_is_whole_while_all_goes_on() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    put(&taskqueue, 200);
    let tender = Running::start(taskqueue.command(&["tender", "--use-tube", "t"]));
    until("some are done", || listed(&taskqueue, "done") > 20);
    let before = listed(&taskqueue, "done");
    let to = taskqueue.path("copy.db");
    let copy = to.to_str().unwrap();
    let said = taskqueue.run(&["backup", copy, "--json"]).json();
    assert_eq!(
        (said["tasks"].as_u64(), said["file"].as_str()),
        (Some(200), Some(copy))
    );
    let length = fs::metadata(&to).unwrap();
    assert_eq!(said["bytes"].as_u64(), Some(length.len()));
    assert_eq!(length.permissions().mode() & 0o777, 0o600);
    // That one file is all.
    assert!(done(&to) >= before as i64);
    let beside = fs::read_dir(to.parent().unwrap()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("copy.db")).count(), 1);
    // It can be read as it is.
    assert_eq!(taskqueue.run(&["list", "--store", copy]).code, Some(0));
    let refused = taskqueue.run(&["backup", copy]).failed(1);
    assert!(
        refused.contains("copy.db") && refused.contains("--replace"),
        "{refused}"
    );
    assert!(
        taskqueue
            .run(&["backup", copy, "--replace"])
            .ok()
            .contains("200 tasks")
    );
    until("all is done", || listed(&taskqueue, "done") == 200);
    // Nobody may be there when it is put back.
    let refused = taskqueue.run(&["restore", copy]).failed(1);
    assert!(
        refused.contains("in use") && refused.contains("taskqueue stop"),
        "{refused}"
    );
    assert_eq!(taskqueue.run(&["stop"]).code, Some(0));
    assert_eq!(tender.wait().code, Some(0));
    let holds = taskqueue.sqlite();
    let look = "BEGIN; SELECT count(*) FROM tasks";
    holds.execute_batch(look).unwrap();
    let refused = taskqueue.run(&["restore", copy]).failed(1);
    assert!(
        refused.contains("in use")
            && refused.contains(&format!("(process {})", std::process::id())),
        "{refused}"
    );
    drop(holds);
    fs::write(
        taskqueue.path("t.db-batch-1"),
        "of a worker whose number comes again",
    )
    .unwrap();
    let said = taskqueue.run(&["restore", copy, "--json"]).json();
    assert_eq!(said["tasks"].as_u64(), Some(200));
    let kept = Path::new(said["kept"].as_str().unwrap());
    assert_eq!(done(kept), 200);
    assert!(!taskqueue.path("t.db-batch-1").exists());
    assert_eq!(listed(&taskqueue, "done") as i64, done(&to));
    let tender = Running::start(taskqueue.command(&["tender", "--use-tube", "t"]));
    until("all is done again", || listed(&taskqueue, "done") == 200);
    assert_eq!(taskqueue.run(&["stop"]).code, Some(0));
    assert!(tender.wait().stderr.contains("another file than it was"));
}

/// Whoever records never meets a lock of a backup, however long that takes.
#[test]
fn a_backup_is_in_nobodys_way() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    put(&taskqueue, 1);
    let store = taskqueue.sqlite();
    store
        .execute_batch(
            "CREATE TABLE filler (bytes);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
             INSERT INTO filler SELECT randomblob(10000) FROM n",
        )
        .unwrap();
    store.busy_timeout(std::time::Duration::ZERO).unwrap();
    let copy = taskqueue.path("copy.db");
    let backup = ["backup", copy.to_str().unwrap()];
    let backup = Running::start(taskqueue.command(&backup));
    let part = taskqueue.path("copy.db.part");
    let mut written = 0;
    until("it has begun", || part.exists());
    while part.exists() {
        store
            .execute("UPDATE tasks SET created = created + 1", [])
            .unwrap();
        written += 1;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let ran = backup.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(written > 20, "{written}");
    // Not one of those that were written meanwhile is in the copy.
    let created = |store: &Connection| -> i64 {
        let sql = "SELECT created FROM tasks";
        store.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let copy = Connection::open(copy).unwrap();
    assert!(created(&store) > created(&copy));
}

#[test]
fn what_is_no_backup_is_refused_and_changes_nothing() {
    let taskqueue = Taskqueue::embedded();
    assert!(
        taskqueue
            .run(&["backup", "copy.db"])
            .failed(1)
            .contains("there is no store")
    );
    put(&taskqueue, 3);
    let before = fs::read(taskqueue.store()).unwrap();
    let path = |name: &str| taskqueue.path(name).to_str().unwrap().to_owned();
    assert_eq!(taskqueue.run(&["backup", &path("copy.db")]).code, Some(0));
    fs::write(path("text"), "no database").unwrap();
    fs::write(path("empty"), "").unwrap();
    Connection::open(path("other"))
        .unwrap()
        .execute_batch("CREATE TABLE a (b)")
        .unwrap();
    let mut cut = fs::read(path("copy.db")).unwrap();
    cut.truncate(cut.len() / 2);
    fs::write(path("cut"), cut).unwrap();
    let newer = fs::read(path("copy.db")).unwrap();
    fs::write(path("newer"), newer).unwrap();
    let add = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (99, 'x', 'now', '1')";
    Connection::open(path("newer"))
        .unwrap()
        .execute_batch(add)
        .unwrap();
    for name in ["text", "empty", "other", "cut", "newer", "nowhere", "t.db"] {
        let said = taskqueue.run(&["restore", &path(name)]).failed(1);
        assert!(said.contains(name), "{name}: {said}");
        assert_eq!(fs::read(taskqueue.store()).unwrap(), before, "{name}");
    }
    // Where there is no store yet.
    taskqueue.keep_store_at(taskqueue.path("new/place.db"));
    assert!(
        taskqueue
            .run(&["restore", &path("copy.db")])
            .ok()
            .contains("3 tasks")
    );
    assert_eq!(listed(&taskqueue, "waiting"), 3);
}

/// By our own command, and by hand.
#[test]
fn what_was_put_since_the_backup_is_never_lost_without_a_word() {
    for by_hand in [false, true] {
        let server = Beanstalkd::start();
        let taskqueue = Taskqueue::with(&server);
        taskqueue.configure(COMMANDS);
        put(&taskqueue, 2);
        let copy = taskqueue.path("copy.db");
        let backup = ["backup", copy.to_str().unwrap()];
        assert_eq!(taskqueue.run(&backup).code, Some(0));
        put(&taskqueue, 3);
        let newest = taskqueue.run(&["list", "--json", "--limit", "3"]).json();
        let since: Vec<String> = newest
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["uuid"].as_str().unwrap().to_owned())
            .collect();
        match by_hand {
            false => {
                let restore = ["restore", copy.to_str().unwrap()];
                assert_eq!(taskqueue.run(&restore).code, Some(0));
            }
            // Over the file, which stays the same one.
            true => drop(fs::copy(&copy, taskqueue.store()).unwrap()),
        }
        // Newer than what was lost.
        put(&taskqueue, 1);
        let worker = Running::start(taskqueue.command(&["worker", "--use-tube", "t"]));
        let mut other = server.other();
        until("the lost ones are buried", || {
            let stats = other.stats_tube("t").unwrap();
            stats["current-jobs-buried"] == "3" && listed(&taskqueue, "done") == 3
        });
        worker.signal(Signal::TERM);
        let log = worker.wait().stderr;
        for uuid in since {
            let told = |line: &&str| line.contains("buried a pointer") && line.contains(&uuid);
            assert_eq!(log.lines().filter(told).count(), 1, "{uuid}: {log}");
        }
    }
}
