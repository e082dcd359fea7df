//! The store's journal under a tender: held by a reader, and taken away.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use rustix::process::Signal;

use crate::support::{Running, Taskqueue, until};

fn tend(taskqueue: &Taskqueue) -> Running {
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
    let tender = ["tender", "--use-tube", "t", "--log-file", "log"];
    let pool = ["--min-workers", "1", "--max-workers", "1"];
    let tender = taskqueue.start(&[&tender[..], &pool].concat());
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    let done = ["list", "--json", "--status", "done"];
    until("done", || taskqueue.run(&done).stdout.contains("\"done\""));
    tender
}

fn said(taskqueue: &Taskqueue) -> String {
    fs::read_to_string(taskqueue.path("log")).unwrap_or_default()
}

fn journal(taskqueue: &Taskqueue) -> u64 {
    let file = format!("{}-wal", taskqueue.store().display());
    fs::metadata(file).map_or(0, |file| file.len())
}

/// Writes so many megabytes, and deletes them again.
fn write(store: &Connection, megabytes: u32) {
    store
        .execute_batch("CREATE TABLE IF NOT EXISTS ballast (content)")
        .unwrap();
    for _ in 0..megabytes {
        store
            .execute("INSERT INTO ballast VALUES (zeroblob(1000000))", [])
            .unwrap();
        store.execute("DELETE FROM ballast", []).unwrap();
    }
}

#[test]
fn a_reader_that_holds_the_journal_is_named_once_and_the_journal_is_cut_afterwards() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue);
    let gui = "
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute('BEGIN')
store.execute('SELECT count(*) FROM tasks').fetchone()
print('reading', flush=True)
sys.stdin.read()
";
    let mut reader = Command::new("python3");
    reader.args(["-c", gui]).arg(taskqueue.store());
    reader.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut reader = Running::start_unread(reader);
    let mut line = String::new();
    BufReader::new(reader.stdout())
        .read_line(&mut line)
        .unwrap();
    write(&taskqueue.sqlite(), 40);
    assert!(journal(&taskqueue) > 30 << 20);
    let held = "cannot be copied into the store";
    until("told", || said(&taskqueue).contains(held));
    let named = format!("python3 (process {})", reader.pid().as_raw_nonzero());
    assert!(said(&taskqueue).contains(&named), "{}", said(&taskqueue));
    reader.signal(Signal::KILL);
    reader.wait();
    until("told", || said(&taskqueue).contains("is copied again"));
    until("cut", || journal(&taskqueue) < 1 << 20);
    assert_eq!(said(&taskqueue).matches(held).count(), 1);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_journal_that_is_deleted_is_told_of_and_what_is_in_it_is_kept() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue);
    let look = taskqueue.store();
    let gone = "was deleted or replaced while the store is open";
    // It looks every five seconds, and has to have looked once.
    std::thread::sleep(std::time::Duration::from_secs(6));
    fs::remove_file(format!("{}-wal", look.display())).unwrap();
    until("told", || said(&taskqueue).contains(gone));
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    let listed = taskqueue.run(&["list", "--json", "--status", "done"]);
    assert_eq!(listed.json().as_array().unwrap().len(), 1);
    assert_eq!(said(&taskqueue).matches(gone).count(), 1);
}
