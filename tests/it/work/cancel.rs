//! Calling tasks off, by the command line.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::{Queue, exists, jobs, lines, number, on_both, stats, status, tend};
use crate::support::{Taskqueue, until};

on_both!(
    what_waits_never_runs_and_its_job_goes,
    what_runs_ends_with_all_that_it_started,
    a_worker_that_nobody_tends_hears_it_too,
    what_ends_in_that_moment_is_done_or_cancelled_and_never_both,
);

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

fn configure(taskqueue: &Taskqueue) {
    let command = |name: &str, script: &str, more: &str| {
        let log = taskqueue.path("log");
        let log = log.display();
        format!("[commands.{name}]\nrun = [\"/bin/sh\", \"-c\", \"{script}\", \"{log}\"]\n{more}\n")
    };
    taskqueue.configure(
        &[
            command("quick", "echo $TASKQUEUE_TASK_ID >> $0", ""),
            command("long", "echo $$ >> $0; exec sleep 600", ""),
            // One that hears it and cleans up; one that does not hear it, nor do those that it started.
            command(
                "polite",
                "trap 'echo bye; exit 0' TERM; echo $$ >> $0; sleep 600 & wait",
                "max_attempts = 3",
            ),
            command(
                "deaf",
                "trap '' TERM; setsid sleep 600 & echo $! >> $0; sleep 601 & echo $! >> $0; echo $$ >> $0; wait",
                "kill_after = 1\nmax_attempts = 3",
            ),
            command("tries", "echo $$ >> $0; exit 75", "max_attempts = 9"),
        ]
        .concat(),
    );
}

fn put(taskqueue: &Taskqueue, args: &[&str]) {
    let put = ["put", "--use-tube", "t"];
    taskqueue.run(&[&put[..], args].concat()).ok();
}

fn begun(taskqueue: &Taskqueue, lines_in_log: usize) -> Vec<String> {
    let log = taskqueue.path("log");
    until("commands that run", || lines(&log).len() == lines_in_log);
    lines(&log)
}

/// The outcome of the last attempt, its exit code and its signal.
fn last(taskqueue: &Taskqueue, id: &str) -> serde_json::Value {
    let task = taskqueue.show(id);
    let last = task["attempts"].as_array().unwrap().last().unwrap();
    json!([last["outcome"], last["exit_code"], last["signal"]])
}

fn what_waits_never_runs_and_its_job_goes(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    put(taskqueue, &["quick"]);
    put(taskqueue, &["quick", "--delay", "2"]);
    put(taskqueue, &["quick"]);
    let said = taskqueue.run(&["cancel", "1,2", "--reason", "sent by hand"]);
    assert_eq!(said.ok(), "task 1 was cancelled\ntask 2 was cancelled\n");
    let task = taskqueue.show("1");
    assert_eq!(task["reason"], "sent by hand");
    assert_eq!(
        [&task["due"], &task["started"], &task["attempts"]],
        [&json!(null), &json!(null), &json!([])]
    );
    let worker = taskqueue.start(&WORKER);
    until("nothing is left in the tube", || jobs(queue, "t") == 0);
    assert_eq!(lines(&taskqueue.path("log")), ["3"]);
    // One that was tried, and backs off.
    put(taskqueue, &["tries"]);
    until("it was tried", || stats(queue, "t").delayed == 1);
    assert_eq!(
        taskqueue.run(&["cancel", "4"]).ok(),
        "task 4 was cancelled\n"
    );
    assert_eq!(status(taskqueue, "4"), "cancelled");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    // Somebody wants it after all.
    taskqueue.run(&["regenerate", "--id", "1"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "1"), "done");
}

fn what_runs_ends_with_all_that_it_started(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    let tender = tend(taskqueue, 3);
    for command in ["polite", "deaf", "long"] {
        put(taskqueue, &[command]);
    }
    let pids = begun(taskqueue, 5);
    // By its tender it is heard at once, long before the worker would look.
    let begin = Instant::now();
    let said = taskqueue.run(&["cancel", "1", "--wait"]);
    assert_eq!(said.ok(), "task 1 was cancelled\n");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    // It exits with 0 when it is told to end: it is not done.
    assert_eq!(last(taskqueue, "1"), json!(["cancelled", 0, null]));
    assert_eq!(taskqueue.show("1")["attempts"][0]["output"], "bye\n");
    let begin = Instant::now();
    let said = taskqueue.run(&["cancel", "2", "--reason", "no"]).ok();
    assert_eq!(said, "task 2 runs, and is told to end\n");
    assert!(begin.elapsed() < Duration::from_secs(1), "it does not wait");
    let asked = taskqueue.show("2");
    assert_eq!(
        (&asked["status"], &asked["reason"]),
        (&json!("running"), &json!("no"))
    );
    assert!(asked["cancel_asked"].is_string(), "{asked}");
    until("it has ended", || status(taskqueue, "2") == "cancelled");
    assert!(
        begin.elapsed() > Duration::from_millis(900),
        "after kill_after"
    );
    assert_eq!(last(taskqueue, "2"), json!(["cancelled", null, 9]));
    assert_eq!(taskqueue.show("2")["cancel_asked"], json!(null));
    let said = taskqueue.run(&["cancel", "3", "--now", "--wait"]).ok();
    assert_eq!(said, "task 3 was cancelled\n");
    assert_eq!(last(taskqueue, "3"), json!(["cancelled", null, 9]));
    for pid in &pids {
        assert!(!exists(pid), "{pid} of {pids:?} runs");
    }
    until("their jobs are gone", || jobs(queue, "t") == 0);
    // And its worker goes on.
    put(taskqueue, &["quick"]);
    until("the next is done", || status(taskqueue, "4") == "done");
    for (id, code, what) in [
        ("4", 1, "task 4 was done already"),
        ("99", 3, "No such task :99"),
        ("1,99,4", 3, "No such task :99"),
    ] {
        let said = taskqueue.run(&["cancel", id]).failed(code);
        assert!(said.contains(what), "{said}");
    }
    let said = taskqueue.run(&["cancel", "1"]).ok();
    assert_eq!(said, "task 1 was cancelled already\n");
    tender.signal(Signal::TERM);
    tender.wait();
}

fn a_worker_that_nobody_tends_hears_it_too(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    let worker = taskqueue.start(&WORKER);
    put(taskqueue, &["long"]);
    begun(taskqueue, 1);
    let begin = Instant::now();
    taskqueue.run(&["cancel", "1"]).ok();
    until("it has ended", || status(taskqueue, "1") == "cancelled");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    // One whose tender has just died.
    let tender = tend(taskqueue, 1);
    put(taskqueue, &["long"]);
    let pids = begun(taskqueue, 2);
    tender.signal(Signal::KILL);
    let begin = Instant::now();
    taskqueue.run(&["cancel", "2"]).ok();
    until("it has ended", || status(taskqueue, "2") == "cancelled");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(last(taskqueue, "2"), json!(["cancelled", null, 15]));
    assert!(!exists(&pids[1]));
}

/// Commands of 0 to 600 ms, and cancels that come at any moment of theirs. Whoever ran to the end wrote that down, and
/// whoever hears the TERM does not exit with 0.
fn what_ends_in_that_moment_is_done_or_cancelled_and_never_both(
    taskqueue: &Taskqueue,
    _: &dyn Queue,
) {
    const TASKS: usize = 40;
    let log = taskqueue.path("log");
    let script = "echo begin $1 >> $0; sleep 0.$2; echo end $1 >> $0";
    taskqueue.configure(&format!(
        "[commands.some]\nrun = [\"/bin/sh\", \"-c\", \"{script}\", \"{}\"]\n",
        log.display()
    ));
    let tender = tend(taskqueue, 2);
    let mut codes = Vec::new();
    for id in 1..=TASKS {
        let (number, long) = (id.to_string(), (id % 7).to_string());
        put(taskqueue, &["some", &number, &long]);
        std::thread::sleep(Duration::from_millis((id % 5) as u64 * 40));
        let ran = taskqueue.run(&["cancel", &number, "--wait"]);
        codes.push(ran.code.unwrap());
    }
    let (mut done, mut cancelled) = (0, 0);
    for (id, code) in (1..).zip(codes) {
        let task = taskqueue.show(&id.to_string());
        let text = fs::read_to_string(&log).unwrap_or_default();
        let count = |what: &str| {
            text.lines()
                .filter(|line| *line == format!("{what} {id}"))
                .count()
        };
        match task["status"].as_str().unwrap() {
            "done" => {
                done += 1;
                assert_eq!((code, count("begin"), count("end")), (1, 1, 1), "{task}");
            }
            "cancelled" => {
                cancelled += 1;
                assert_eq!(code, 0, "{task}");
                assert!(count("begin") <= 1, "{task}");
                let attempts = task["attempts"].as_array().unwrap();
                let well = |one: &serde_json::Value| one["outcome"] == "exited";
                assert!(!attempts.iter().any(well), "{task}");
            }
            other => panic!("{other}: {task}"),
        }
    }
    println!("{done} done, {cancelled} cancelled");
    assert!(
        done > 3 && cancelled > 3,
        "{done} done, {cancelled} cancelled"
    );
    let open = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
    assert_eq!(number(taskqueue, open), 0);
    tender.signal(Signal::TERM);
    tender.wait();
}
