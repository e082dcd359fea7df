//! Commands that become another user's, as `sudo` and other setuid programs have it: they cannot be signalled, and what
//! they start shows nothing of itself. Only root can play this: it is left out where the tests run as somebody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use super::{lines, number, status};
use crate::support::{Ran, Running, TEND_ONE, Taskqueue, until};

/// A user that nobody is.
const SOMEBODY: u32 = 54_217;

/// Makes the one who runs it root in every respect, and runs the rest.
const AS_ROOT: &str = "./as-root --reuid 0 --regid 0 --clear-groups";

/// Writes its number to `strangers`, closes what it has inherited, and sleeps.
const STRANGER: &str = "echo $$ >> strangers; exec >/dev/null 2>&1; \
                        for n in {3..99}; do eval \"exec $n>&-\"; done; exec sleep 60";

/// A folder of somebody's, with a setuid program of root's in it; `None` where that cannot be.
fn stage(config: &str) -> Option<Taskqueue> {
    if !geteuid().is_root() {
        println!("skipped: only root can let others become root");
        return None;
    }
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(config);
    let as_root = taskqueue.path("as-root");
    fs::copy("/usr/bin/setpriv", &as_root).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_taskqueue"), taskqueue.path("taskqueue")).unwrap();
    fs::write(
        taskqueue.path("stranger"),
        format!("#!/bin/bash\n{STRANGER}\n"),
    )
    .unwrap();
    fs::set_permissions(taskqueue.path("stranger"), Permissions::from_mode(0o755)).unwrap();
    for name in ["", "taskqueue.toml", "stranger"] {
        chown(taskqueue.path(name), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    fs::set_permissions(&as_root, Permissions::from_mode(0o4755)).unwrap();
    let mut id = somebody(&taskqueue, "/bin/sh");
    let id = id
        .args(["-c", &format!("{AS_ROOT} id -ru")])
        .output()
        .unwrap();
    if id.stdout != b"0\n" {
        println!("skipped: no setuid programs here: {id:?}");
        return None;
    }
    Some(taskqueue)
}

/// A program, to be run as somebody.
fn somebody(taskqueue: &Taskqueue, program: &str) -> Command {
    let ours = taskqueue.command(&[]);
    let variables = ours.get_envs();
    let mut command = Command::new("/usr/bin/setpriv");
    let (user, group) = (format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}"));
    command
        .args([&user, &group, "--clear-groups", program])
        .current_dir(taskqueue.path(""))
        .env_clear()
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

fn start(taskqueue: &Taskqueue, args: &[&str]) -> Running {
    let program = taskqueue.path("taskqueue");
    let mut command = somebody(taskqueue, program.to_str().unwrap());
    command.args(args);
    Running::start(command)
}

fn run(taskqueue: &Taskqueue, args: &[&str]) -> Ran {
    start(taskqueue, args).wait()
}

/// Waits until so many strangers have begun; the last of them.
fn stranger(taskqueue: &Taskqueue, count: usize) -> Pid {
    let log = taskqueue.path("strangers");
    until("the stranger runs", || lines(&log).len() == count);
    let pid = lines(&log).last().unwrap().parse().unwrap();
    // It may not have closed all yet.
    std::thread::sleep(Duration::from_millis(300));
    Pid::from_raw(pid).unwrap()
}

fn said(ran: &Ran, what: &str) -> usize {
    ran.stderr
        .lines()
        .filter(|line| line.contains(what))
        .count()
}

fn outcomes(taskqueue: &Taskqueue) -> Vec<String> {
    let task = taskqueue.show("1");
    let attempts = task["attempts"].as_array().unwrap().iter();
    attempts
        .map(|attempt| attempt["outcome"].as_str().unwrap_or("none").to_owned())
        .collect()
}

const WORK: [&str; 3] = ["worker", "--use-tube", "t"];

#[test]
fn a_command_that_cannot_be_signalled_is_said_and_waited_for() {
    let config = format!(
        "[commands.root]\nrun = [\"/bin/sh\", \"-c\", \"exec {AS_ROOT} ./stranger\"]\ntimeout = \"1s\"\n"
    );
    let Some(taskqueue) = stage(&config) else {
        return;
    };
    run(&taskqueue, &["put", "--use-tube", "t", "root"]).ok();
    let tender = start(&taskqueue, &TEND_ONE);
    let pid = stranger(&taskqueue, 1);
    let trouble = || {
        let status: Value = run(&taskqueue, &["status", "--json"]).json();
        status["tenders"][0]["pools"][0]["workers"][0]["trouble"].clone()
    };
    until("status shows it", || {
        trouble().as_str().is_some_and(|said| {
            said.contains("cannot end the command of task 1") && said.contains("of user 0")
        })
    });
    // Past its KILL, too.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(status(&taskqueue, "1"), "running");
    // Whoever may end it, does.
    kill_process(pid, Signal::TERM).unwrap();
    until("recorded", || status(&taskqueue, "1") == "failed");
    assert_eq!(
        outcomes(&taskqueue),
        ["signalled"],
        "it is no signal of ours"
    );
    until("the trouble is over", || trouble() == Value::Null);
    tender.signal(Signal::TERM);
    let ran = tender.wait();
    assert_eq!(
        (ran.code, said(&ran, "cannot end a command")),
        (Some(0), 1),
        "{ran:?}"
    );
}

#[test]
fn a_worker_that_is_stopped_leaves_what_it_cannot_signal_and_nothing_begins_beside() {
    let config = format!(
        "[commands.root]\nrun = [\"/bin/sh\", \"-c\", \"exec {AS_ROOT} env -i ./stranger\"]\n"
    );
    let Some(taskqueue) = stage(&config) else {
        return;
    };
    run(&taskqueue, &["put", "--use-tube", "t", "root"]).ok();
    let worker = start(&taskqueue, &WORK);
    let pid = stranger(&taskqueue, 1);
    for _ in 0..2 {
        worker.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    let ran = worker.wait();
    assert_eq!(
        (ran.code, said(&ran, "left what it cannot end")),
        (Some(0), 1),
        "{ran:?}"
    );
    nothing_begins_beside(&taskqueue, pid, "interrupted");
}

/// As sudo does it: what it starts is left when it is killed itself.
const PARENT: &str = "./as-root --reuid 0 --regid 0 --clear-groups env -i ./stranger & wait";

#[test]
fn an_attempt_that_left_a_stranger_is_recorded_when_that_has_gone() {
    let config = format!(
        "[commands.root]\nrun = [\"/bin/sh\", \"-c\", \"{PARENT}\"]\ntimeout = \"1s\"\nmax_attempts = 2\n\
         backoff = {{ first = \"1s\", factor = 1 }}\n"
    );
    let Some(taskqueue) = stage(&config) else {
        return;
    };
    run(&taskqueue, &["put", "--use-tube", "t", "root"]).ok();
    let worker = start(&taskqueue, &WORK);
    let first = stranger(&taskqueue, 1);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(
        (
            lines(&taskqueue.path("strangers")).len(),
            outcomes(&taskqueue).len()
        ),
        (1, 1)
    );
    assert_eq!(status(&taskqueue, "1"), "running");
    kill_process(first, Signal::KILL).unwrap();
    let second = stranger(&taskqueue, 2);
    assert_eq!(outcomes(&taskqueue).first().unwrap(), "timed_out");
    // Told to go at once, it leaves this one.
    for _ in 0..2 {
        worker.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    let ran = worker.wait();
    let all = (
        ran.code,
        said(&ran, "cannot end what a command left"),
        said(&ran, "left what it cannot"),
    );
    assert!(matches!(all, (Some(0), 1..=2, 1)), "{ran:?}");
    kill_process(second, Signal::KILL).unwrap();
}

#[test]
fn what_a_killed_worker_has_left_as_another_user_keeps_the_next_attempt_from_beginning() {
    let config = format!("[commands.root]\nrun = [\"/bin/sh\", \"-c\", \"{PARENT}\"]\n");
    let Some(taskqueue) = stage(&config) else {
        return;
    };
    run(&taskqueue, &["put", "--use-tube", "t", "root"]).ok();
    let worker = start(&taskqueue, &WORK);
    let pid = stranger(&taskqueue, 1);
    // Kills it. Its guard looks for a while.
    drop(worker);
    nothing_begins_beside(&taskqueue, pid, "lost");
}

/// Another worker waits until a stranger has gone, and says so.
fn nothing_begins_beside(taskqueue: &Taskqueue, pid: Pid, outcome: &str) {
    let worker = start(taskqueue, &WORK);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(
        lines(&taskqueue.path("strangers")).len(),
        1,
        "ran beside itself"
    );
    assert_eq!(
        number(
            taskqueue,
            "SELECT count(*) FROM tasks WHERE status = 'running'"
        ),
        1
    );
    kill_process(pid, Signal::KILL).unwrap();
    let second = stranger(taskqueue, 2);
    assert_eq!(outcomes(taskqueue).first().unwrap(), outcome);
    for _ in 0..2 {
        worker.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    let ran = worker.wait();
    let said = said(&ran, "could not end what an attempt left running");
    assert!(matches!((ran.code, said), (Some(0), 1..)), "{ran:?}");
    kill_process(second, Signal::KILL).unwrap();
}
