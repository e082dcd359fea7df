//! What a death leaves: nothing that nobody answers for.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Queue, lines, number, on_both};
use crate::support::{Running, Taskqueue, until};

on_both!(workers_that_drain_count_against_max);

/// A command that runs until the file `go` is there.
fn configure(taskqueue: &Taskqueue) {
    let script = taskqueue.path("script");
    let text = "echo begin $TASKQUEUE_TASK_ID $$ >> log\n\
                until [ -e go ]; do sleep 0.05; done\n\
                echo end $TASKQUEUE_TASK_ID $$ >> log\n";
    std::fs::write(&script, text).unwrap();
    let run = script.display();
    taskqueue.configure(&format!("[commands.job]\nrun = [\"/bin/sh\", \"{run}\"]\n"));
}

fn put(taskqueue: &Taskqueue, tasks: usize) {
    for _ in 0..tasks {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
}

fn logged(taskqueue: &Taskqueue, word: &str) -> usize {
    let log = lines(&taskqueue.path("log"));
    log.iter().filter(|line| line.starts_with(word)).count()
}

/// A tender of the tube `t` that says what it does on stderr.
fn tend(taskqueue: &Taskqueue, min: &str, max: &str) -> Running {
    taskqueue.start(&[
        "tender",
        "--use-tube",
        "t",
        "--min-workers",
        min,
        "--max-workers",
        max,
    ])
}

const ALL: &str = "SELECT count(*) FROM workers";
const DONE: &str = "SELECT count(*) FROM tasks WHERE status = 'done'";

fn workers_that_drain_count_against_max(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    put(taskqueue, 5);
    let first = tend(taskqueue, "3", "3");
    until("three run", || logged(taskqueue, "begin") == 3);
    first.signal(Signal::KILL);

    let second = tend(taskqueue, "2", "3");
    // Longer than it takes to start workers, and to look twice.
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(1500) {
        assert_eq!(number(taskqueue, ALL), 3, "one was started above max");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(logged(taskqueue, "begin"), 3);
    std::fs::write(taskqueue.path("go"), "").unwrap();
    until("all done", || number(taskqueue, DONE) == 5);
    until("its own", || number(taskqueue, ALL) >= 5);
    assert_eq!(logged(taskqueue, "begin"), 5, "one ran twice");
    assert_eq!(logged(taskqueue, "end"), 5);
    drop(first);
    second.signal(Signal::TERM);
    let said = second.wait();
    assert_eq!(said.code, Some(0));
    let counted: Vec<&str> = said
        .stderr
        .lines()
        .filter(|line| line.contains("workers of an earlier tender counted"))
        .collect();
    assert!(counted[0].contains("workers=3"), "{counted:?}");
}
