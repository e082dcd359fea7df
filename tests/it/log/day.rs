//! What the log of a tender and of its workers tells of a day's work, by itself.

use std::time::Instant;

use serde_json::Value;

use crate::store::opening::make_old;
use crate::support::{Running, TEND_ONE, Taskqueue, until};

use super::{configured, put, put_lines};

const SECRET: &str = "hunter2";

fn work(taskqueue: &Taskqueue, jobs: &str, more: &[&str]) -> Vec<String> {
    let args = [
        "worker",
        "--use-tube",
        "t",
        "--name",
        "w\u{1b}1",
        "--max-jobs",
        jobs,
    ];
    let mut command = taskqueue.command(&[&args[..], more].concat());
    command.env("PASSWORD", SECRET);
    let ran = Running::start(command).wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stderr.lines().map(str::to_owned).collect()
}

/// The lines that say this.
fn of<'a>(lines: &'a [String], what: &str) -> Vec<&'a str> {
    let lines = lines.iter().map(String::as_str);
    lines.filter(|line| line.contains(what)).collect()
}

#[track_caller]
fn has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
}

/// The value of a field, as far as it is a number.
fn number(line: &str, name: &str) -> f64 {
    let value = line.split_once(&format!(" {name}=")).unwrap().1;
    let end = value.find(' ').unwrap_or(value.len());
    value[..end].parse().unwrap()
}

#[test]
fn a_worker_says_where_it_works_and_what_each_task_came_to() {
    let taskqueue = configured();
    taskqueue.configure(
        "[commands.ok]\nrun = [\"sleep\"]\n[commands.bad]\nrun = [\"sh\", \"-c\", \"exit 3\", \"sh\"]\n",
    );
    put_lines(
        &taskqueue,
        &format!("{{\"taskqueue\":1,\"command\":\"bad\",\"arguments\":[\"{SECRET}\"]}}\n"),
        1,
    );
    put_lines(
        &taskqueue,
        "{\"taskqueue\":1,\"command\":\"ok\",\"arguments\":[\"0.2\"]}\n",
        1,
    );
    let lines = work(&taskqueue, "2", &[]);
    let store = format!("store=\"{}\"", taskqueue.store().display());
    let config = taskqueue.path("taskqueue.toml");
    let config = format!("config=\"{}\"", config.display());
    has(
        &lines[0],
        &[" INFO started ", &config, &store, "broker=\"embedded\""],
    );
    let failed = of(&lines, "failed a task");
    let parts = [
        "task=1",
        "tube=t",
        "command=\"bad\"",
        "outcome=\"exited\"",
        "exit code 3",
        "duration=",
    ];
    has(failed[0], &parts);
    let done = of(&lines, "did a task");
    let parts = [
        " INFO ",
        "task=2",
        "tube=t",
        "command=\"ok\"",
        "outcome=\"exited\"",
        "attempt=1",
    ];
    has(done[0], &parts);
    assert!(
        (0.2..10.0).contains(&number(done[0], "duration")),
        "{done:?}"
    );
    assert_eq!((failed.len(), done.len()), (1, 1), "{lines:?}");
    for line in &lines {
        has(line, &[r#" worker="w\u{1b}1""#]);
        assert!(!line.contains(SECRET) && !line.contains('\u{1b}'), "{line}");
    }
    assert!(of(&lines, "migration").is_empty(), "{lines:?}");
}

/// Those too that what a worker shares with others says, and those about lines.
#[test]
fn each_line_of_a_worker_has_its_name_also_as_json() {
    let taskqueue = configured();
    put(&taskqueue, "ok", 200);
    for line in work(&taskqueue, "200", &["--log-format", "json"]) {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["worker"], "w\u{1b}1", "{line}");
        if line["message"] == "did a task" {
            assert!(line["duration"].is_f64(), "{line}");
        }
    }
}

#[test]
fn a_flood_of_tasks_is_some_lines_each_second_and_a_count() {
    const TASKS: usize = 600;
    let taskqueue = configured();
    put(&taskqueue, "ok", TASKS);
    let begun = Instant::now();
    let lines = work(&taskqueue, "600", &[]);
    let seconds = begun.elapsed().as_secs() + 1;
    let counts = of(&lines, "more such lines were left out");
    let written = of(&lines, "did a task").len() - counts.len();
    for count in &counts {
        has(count, &[" INFO ", "like=\"did a task\""]);
    }
    let left_out: f64 = counts.iter().map(|count| number(count, "lines")).sum();
    assert_eq!(written as f64 + left_out, TASKS as f64, "{lines:?}");
    assert!(written as u64 <= 20 * seconds, "{written} in {seconds} s");
}

#[test]
fn a_tender_says_where_it_works_and_a_workers_whole_life_in_two_lines() {
    let taskqueue = configured();
    let log = ["--log-file", "log", "--max-worker-jobs", "2"];
    let tender = taskqueue.start(&[&TEND_ONE[..], &log].concat());
    let read = || std::fs::read_to_string(taskqueue.path("log")).unwrap_or_default();
    put(&taskqueue, "ok", 2);
    until("the first is retired", || read().contains("worker retired"));
    until("there is another", || read().contains("worker=\"t-2\""));
    taskqueue.run(&["stop"]).ok();
    assert_eq!(tender.wait().code, Some(0));
    let lines: Vec<String> = read().lines().map(str::to_owned).collect();
    let store = format!("store=\"{}\"", taskqueue.store().display());
    let config = taskqueue.path("taskqueue.toml");
    let config = format!("config=\"{}\"", config.display());
    has(
        &lines[0],
        &[
            " INFO tender began ",
            &config,
            &store,
            "broker=\"embedded\"",
            "pools=\"t: 1\"",
        ],
    );
    let life = of(&lines, "worker=\"t-1\"");
    let told: Vec<&str> = life
        .iter()
        .copied()
        .filter(|line| !line.contains("did a task"))
        .collect();
    assert_eq!(told.len(), 2, "{lines:#?}");
    has(told[0], &["INFO worker started"]);
    has(
        told[1],
        &[
            "INFO worker retired",
            "reason=\"reached its number of jobs\"",
            "jobs=2",
            "age_s=",
        ],
    );
    assert_eq!(life.len(), 4, "{lines:#?}");
}

#[test]
fn a_store_that_was_brought_up_to_date_is_said_in_one_line_of_ours() {
    let taskqueue = configured();
    drop(make_old(&taskqueue.store(), 5));
    let lines = || {
        let ran = taskqueue.run(&["put", "--use-tube", "t", "--log", "info", "ok"]);
        ran.stderr.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let said = lines();
    let ours = of(&said, "schema up to date");
    assert_eq!(
        (ours.len(), of(&said, "migration").len()),
        (1, 0),
        "{said:#?}"
    );
    has(ours[0], &[" INFO ", "before=5", "t.db"]);
    assert!(of(&lines(), "schema up to date").is_empty());

    drop(make_old(&taskqueue.path("other.db"), 5));
    let ran = taskqueue.run(&[
        "put",
        "--use-tube",
        "t",
        "--store",
        "other.db",
        "--log",
        "debug",
        "ok",
    ]);
    assert!(
        ran.stderr.contains("refinery") || ran.stderr.contains("migration"),
        "{ran:?}"
    );
}
