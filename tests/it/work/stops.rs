//! Whoever stops us stops nothing: signals that are sent to all processes of a service at once.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{lines, status};
use crate::support::{Running, Taskqueue, until};

/// Two commands that run until they are told to end: one that a signal ends, and one that exits with 0 for it.
fn with_commands() -> (Taskqueue, PathBuf) {
    let taskqueue = Taskqueue::embedded();
    let log = taskqueue.path("log");
    let command = |name: &str, script: &str| {
        let log = log.display();
        format!("[commands.{name}]\nrun = [\"/bin/sh\", \"-c\", \"{script}\", \"{log}\"]\n")
    };
    taskqueue.configure(&format!(
        "[commands.quick]\nrun = [\"/bin/true\"]\n{}{}{}",
        command("lone", "echo $$ >> $0; exec sleep 20"),
        command("slow", "echo $$ >> $0; sleep 20; echo end >> $0"),
        command(
            "polite",
            "trap 'exit 0' TERM INT; echo $$ >> $0; sleep 20 & wait"
        ),
    ));
    (taskqueue, log)
}

fn begin(taskqueue: &Taskqueue, who: &[&str], commands: &[&str]) -> Running {
    begin_as(taskqueue, who, "error", commands)
}

fn begin_as(taskqueue: &Taskqueue, who: &[&str], log: &str, commands: &[&str]) -> Running {
    for command in commands {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    let mut args = who.to_vec();
    args.extend(["--use-tube", "t", "--log", log]);
    let running = taskqueue.start(&args);
    until("commands that run", || {
        lines(&taskqueue.path("log")).len() == commands.len()
    });
    running
}

/// A process and all that it has started, who started before whom was started.
fn family(of: Pid) -> Vec<Pid> {
    let mut all = vec![of];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        let file = format!("/proc/{0}/task/{0}/children", parent.as_raw_nonzero());
        let children = fs::read_to_string(file).unwrap_or_default();
        let pids = children
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .filter_map(Pid::from_raw);
        all.extend(pids);
        next += 1;
    }
    all
}

/// As systemd does it by default: one after the other, all in an instant.
fn tell_all(pids: impl IntoIterator<Item = Pid>, signal: Signal) {
    for pid in pids {
        // Some end while others are told.
        let _ = kill_process(pid, signal);
    }
}

/// The status of a task and the outcome of its last attempt.
fn came_to(taskqueue: &Taskqueue, id: &str) -> (String, String) {
    let task = taskqueue.show(id);
    let last = task["attempts"].as_array().unwrap().last().unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    (word(&task["status"]), word(&last["outcome"]))
}

fn waits_again() -> (String, String) {
    ("waiting".into(), "interrupted".into())
}

#[test]
fn a_signal_to_all_of_a_tender_interrupts_what_runs() {
    for signal in [Signal::TERM, Signal::INT] {
        let (taskqueue, _) = with_commands();
        let who = ["tender", "--min-workers", "2", "--max-workers", "2"];
        let tender = begin(&taskqueue, &who, &["slow", "polite"]);
        tell_all(family(tender.pid()), signal);
        let ended = tender.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(came_to(&taskqueue, "1"), waits_again(), "{signal:?}");
        assert_eq!(came_to(&taskqueue, "2"), waits_again(), "{signal:?}");
    }
}

#[test]
fn a_signal_to_all_of_a_worker_interrupts_what_runs() {
    for command in ["slow", "polite"] {
        let (taskqueue, _) = with_commands();
        let worker = begin(&taskqueue, &["worker"], &[command]);
        tell_all(family(worker.pid()), Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
        assert_eq!(came_to(&taskqueue, "1"), waits_again(), "{command}");
    }
}

#[test]
fn commands_may_hear_of_the_end_before_their_worker() {
    let (taskqueue, _) = with_commands();
    let worker = begin(&taskqueue, &["worker"], &["lone"]);
    let mut all = family(worker.pid());
    all.reverse();
    let last = all.pop();
    tell_all(all, Signal::TERM);
    std::thread::sleep(Duration::from_millis(50));
    tell_all(last, Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(came_to(&taskqueue, "1"), waits_again());
}

/// A worker that drains lets its command finish, and believes what the command exits with.
#[test]
fn a_signal_to_a_worker_alone_leaves_what_it_runs_to_be_done() {
    let (taskqueue, log) = with_commands();
    let worker = begin(&taskqueue, &["worker"], &["polite"]);
    worker.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(20));
    let command: i32 = lines(&log)[0].parse().unwrap();
    // By a signal that nobody else was sent, it is what the command makes of it.
    kill_process(Pid::from_raw(command).unwrap(), Signal::TERM).unwrap();
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(came_to(&taskqueue, "1"), ("done".into(), "exited".into()));
}

#[test]
fn a_command_that_somebody_ends_has_failed() {
    let (taskqueue, log) = with_commands();
    let worker = begin(&taskqueue, &["worker"], &["slow"]);
    let command: i32 = lines(&log)[0].parse().unwrap();
    kill_process(Pid::from_raw(command).unwrap(), Signal::TERM).unwrap();
    until("the end of the task", || {
        status(&taskqueue, "1") == "failed"
    });
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(
        came_to(&taskqueue, "1"),
        ("failed".into(), "signalled".into())
    );
}

/// Whoever waits an hour for the end is told at the first signal that commands have half a minute.
#[test]
fn the_first_signal_says_what_runs_and_when_it_is_ended() {
    for who in [&["worker"][..], &["tender", "--max-workers", "1"]] {
        let (taskqueue, log) = with_commands();
        let mut args = who.to_vec();
        args.extend(["--grace-period", "1"]);
        let running = begin_as(&taskqueue, &args, "info", &["slow"]);
        if who[0] == "tender" {
            until("a tender that knows", || {
                let status = taskqueue.run(&["status", "--json"]).stdout;
                status.contains(r#""busy":1"#)
            });
        }
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!(ended.code, Some(0));
        assert_eq!(lines(&log).len(), 1, "not finished");
        let said: Vec<&str> = ended
            .stderr
            .lines()
            .filter(|line| line.contains("lets its command run until then"))
            .collect();
        let [line] = said[..] else {
            panic!("{}", ended.stderr);
        };
        for word in ["task=1", "command=\"slow\"", "since=\"20", "until=\"20"] {
            assert!(line.contains(word), "no {word} in {line}");
        }
        if who[0] == "tender" {
            let began = ended
                .stderr
                .lines()
                .find(|line| line.contains("shutdown began"));
            let began = began.unwrap();
            assert!(
                began.contains("running=1") && began.contains("until=\"20"),
                "{began}"
            );
        }
    }
}

/// Whoever starts us may have blocked what it waits for itself.
#[test]
fn signals_that_were_blocked_are_heard_and_not_blocked_in_commands() {
    use std::os::unix::process::CommandExt;

    let taskqueue = Taskqueue::embedded();
    let log = taskqueue.path("log");
    taskqueue.configure(&format!(
        "[commands.masks]\nrun = [\"/bin/sh\", \"-c\", \"grep SigBlk /proc/self/status > {}\"]\n",
        log.display()
    ));
    taskqueue.run(&["put", "--use-tube", "t", "masks"]).ok();
    for who in ["worker", "tender"] {
        let mut command = taskqueue.command(&[who, "--use-tube", "t", "--log", "error"]);
        // SAFETY: between fork and exec nothing but one system call is made, on a set of its own.
        unsafe {
            command.pre_exec(|| {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
                Ok(())
            });
        }
        let mut running = Running::start(command);
        until("a command that ran", || {
            lines(&log)
                .first()
                .is_some_and(|line| line.ends_with("0000000000000000"))
        });
        running.signal(Signal::TERM);
        until("an end", || !running.lives());
    }
}

/// As containers are stopped whose runtime is less patient than the grace period.
#[test]
fn a_worker_that_is_killed_after_it_was_told_to_go_has_not_died_of_its_task() {
    for who in [
        &["worker"][..],
        &["tender", "--min-workers", "1", "--max-workers", "1"],
    ] {
        let (taskqueue, log) = with_commands();
        taskqueue.run(&["put", "--use-tube", "t", "slow"]).ok();
        for round in 1..=4 {
            let mut args = who.to_vec();
            args.extend(["--use-tube", "t", "--log", "warn"]);
            let running = taskqueue.start(&args);
            until("a command that runs", || lines(&log).len() == round);
            running.signal(Signal::TERM);
            let is_noted = || {
                let sql = "SELECT count(*) FROM tasks JOIN workers ON workers.id = worker
                           WHERE status = 'running' AND told IS NOT NULL";
                let noted: i64 = taskqueue
                    .sqlite()
                    .query_row(sql, [], |row| row.get(0))
                    .unwrap();
                noted == 1
            };
            until("the note", is_noted);
            tell_all(family(running.pid()), Signal::KILL);
            drop(running);
        }
        // The last of them may still be going.
        let mut said = String::new();
        until("what is recorded at last", || {
            let reconciled = taskqueue.run(&["reconcile", "--use-tube", "t"]);
            said.push_str(&reconciled.stderr);
            status(&taskqueue, "1") == "waiting"
        });
        assert!(
            said.contains("interrupted a task again") && said.contains("task=1"),
            "{said}"
        );
        let task = taskqueue.show("1");
        assert_eq!(task["status"], "waiting", "{task}");
        for attempt in task["attempts"].as_array().unwrap() {
            assert_eq!(attempt["outcome"], "interrupted", "{task}");
        }
    }
}

/// As the first process of a container, which is given all orphans: here as a subreaper, which is too.
#[test]
fn what_commands_leave_behind_is_reaped_by_whoever_is_given_it() {
    use std::os::unix::process::CommandExt;

    for who in ["worker", "tender"] {
        let taskqueue = Taskqueue::embedded();
        let script = "(sleep 0.1 &); exit ";
        taskqueue.configure(&format!(
            "[commands.leaky]\nrun = [\"/bin/sh\", \"-c\", \"{script}0\"]\n[commands.fails]\nrun = [\"/bin/sh\", \"-c\", \"{script}3\"]\n"
        ));
        for _ in 0..20 {
            taskqueue.run(&["put", "--use-tube", "t", "leaky"]).ok();
            taskqueue.run(&["put", "--use-tube", "t", "fails"]).ok();
        }
        let mut command = taskqueue.command(&[who, "--use-tube", "t", "--log", "error"]);
        // SAFETY: between fork and exec nothing but one system call is made.
        unsafe {
            command.pre_exec(|| {
                let own = rustix::process::getpid();
                Ok(rustix::process::set_child_subreaper(Some(own))?)
            });
        }
        let running = Running::start(command);
        let outcomes = || {
            let listed = taskqueue.run(&["list", "--json", "--limit", "100"]).json();
            let of = |status: &str| {
                let all = listed.as_array().unwrap().iter();
                all.filter(|task| task["status"] == status).count()
            };
            (of("done"), of("failed"))
        };
        // Whoever waits for a command learns how it ended.
        until("all ends", || outcomes() == (20, 20));
        let zombies = || {
            let is_zombie = |pid: &Pid| {
                let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
                stat.unwrap_or_default().contains(") Z ")
            };
            family(running.pid()).into_iter().filter(is_zombie).count()
        };
        until("no zombies", || zombies() == 0);
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{who}");
    }
}

/// As a deployment does it that does not wait: what waits is served beside what still runs.
#[test]
fn the_next_tender_takes_over_while_the_old_one_drains() {
    let (taskqueue, log) = with_commands();
    let who = ["tender", "--min-workers", "1", "--max-workers", "2"];
    let old = begin(&taskqueue, &who, &["slow"]);
    old.signal(Signal::TERM);
    let found = || {
        let said = taskqueue.run(&["status", "--json"]).json();
        let states = said["tenders"].as_array().unwrap().iter();
        let state = |tender: &serde_json::Value| tender["pools"][0]["state"].to_string();
        states.map(state).collect::<Vec<_>>()
    };
    until("it drains", || found() == ["\"draining\""]);
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "quick"]).ok();
    }
    let mut new = taskqueue.start(&[
        "tender",
        "--use-tube",
        "t",
        "--max-workers",
        "2",
        "--log",
        "error",
    ]);
    until("what waited", || {
        (2..=4).all(|id| status(&taskqueue, &id.to_string()) == "done")
    });
    assert_eq!(status(&taskqueue, "1"), "running");
    let mut both = found();
    both.sort();
    assert_eq!(both, ["\"draining\"", "\"tended\""]);
    let census = || taskqueue.run(&["status", "--json"]).stdout;
    assert!(
        census().contains(r#""before":1"#),
        "counts against max: {}",
        census()
    );
    // Words for who tends the tube are for the new one.
    taskqueue.run(&["scale", "t", "--max", "3"]).ok();
    assert!(new.lives());
    // Who stops, stops both.
    taskqueue.run(&["stop", "--now"]).ok();
    for tender in [old, new] {
        let ended = tender.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(lines(&log).len(), 1, "not finished");
    assert_eq!(came_to(&taskqueue, "1"), waits_again());
    let left = fs::read_dir(taskqueue.path("t.db-tubes"))
        .unwrap()
        .flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().contains("leaving"));
    assert_eq!(left.count(), 0);
}
