//! Output that nobody reads on, or that cannot be written.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Taskqueue};

/// A store with so many tasks that a list of them fits no pipe.
fn many() -> Taskqueue {
    let taskqueue = Taskqueue::alone();
    let line =
        "{\"taskqueue\":1,\"command\":\"ok\",\"arguments\":[\"some text that takes its room\"]}\n";
    let ran = taskqueue.run_with(
        &["put", "--use-tube", "t", "--batch", "-"],
        line.repeat(5000).as_bytes(),
    );
    assert_eq!(ran.code, Some(0));
    taskqueue
}

#[test]
fn who_reads_one_line_and_leaves_is_no_failure() {
    let taskqueue = many();
    for args in [
        &["list", "--limit", "5000"][..],
        &["list", "--json", "--limit", "5000"],
    ] {
        let mut child = taskqueue.command(args).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        drop(out);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        assert_eq!(ended.stderr, b"", "{args:?}");
    }
}

#[test]
fn a_list_that_waits_for_its_reader_keeps_nobody_waiting_and_no_journal_growing() {
    let taskqueue = many();
    let mut child = taskqueue
        .command(&["list", "--json", "--limit", "5000"])
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    // The pipe is full now, or will be, and the list in the middle.
    let begun = Instant::now();
    let sqlite = taskqueue.sqlite();
    sqlite.busy_timeout(PATIENCE).unwrap();
    loop {
        sqlite
            .execute_batch("UPDATE tasks SET priority = 1")
            .unwrap();
        let left: i64 = sqlite
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .unwrap();
        if left == 0 {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the list holds on to an old state of the store"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let rest = out.lines().map(Result::unwrap).count();
    assert_eq!(rest, 5001);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_full_disk_is_a_failure() {
    let taskqueue = many();
    for args in [&["list"][..], &["show", "1"], &["ping"]] {
        let mut command = taskqueue.command(args);
        command.stdout(Stdio::from(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        ));
        let ran = crate::support::Running::start(command).wait();
        assert_eq!(ran.code, Some(1), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("no room is left"), "{ran:?}");
    }
}
