//! What a death leaves: nothing that nobody answers for.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Queue, block_on, exists, lines, number, on_both};
use crate::support::{Running, Taskqueue, tube, until};

on_both!(
    workers_that_drain_count_against_max,
    a_killed_workers_command_goes_wherever_it_is,
    a_starting_tender_ends_what_was_left,
    commands_go_when_tender_and_workers_are_killed_together,
    a_lone_workers_command_goes_with_it,
    a_worker_killed_while_it_drains_leaves_nothing,
    a_guard_is_replaced_and_dismissed
);

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

const RUNNING: &str = "SELECT count(*) FROM tasks WHERE status = 'running'";
const ALL: &str = "SELECT count(*) FROM workers";
const DONE: &str = "SELECT count(*) FROM tasks WHERE status = 'done'";

fn workers_that_drain_count_against_max(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    put(taskqueue, 5);
    let first = tend(taskqueue, "3", "3");
    until("three run", || logged(taskqueue, "begin") == 3);
    // Kills it, and waits until it is dead: until then the tube is its own.
    drop(first);
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

/// A command that does all that keeps others from being found, and writes down whom it started.
const FAMILY: &str = r#"
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
kinds = ["grouped", "left", "bare", "unnamed", "stripped", "stopped"]
for kind in kinds:
    if os.fork():
        continue
    if kind in ("left", "bare", "unnamed"):
        os.setsid()
    # The token is what a process was started with, so dropping it takes another start.
    environment = {} if kind in ("unnamed", "stripped") else os.environ
    # The lock is a descriptor.
    if kind in ("bare", "stripped"):
        os.closerange(3, 256)
    else:
        for number in range(3, 256):
            try:
                os.set_inheritable(number, True)
            except OSError:
                pass
    log = "open('log', 'a').write('%s %d\\n' % (sys.argv[1], os.getpid()))"
    rest = "os.kill(os.getpid(), signal.SIGSTOP)" if kind == "stopped" else "time.sleep(1000)"
    text = "import os, signal, sys, time; %s; %s" % (log, rest)
    os.execve(sys.executable, [sys.executable, "-S", "-c", text, kind], environment)
open("log", "a").write("parent %d\n" % os.getpid())
signal.pause()
"#;

/// A worker of the tube `t` that nobody tends.
fn work(taskqueue: &Taskqueue) -> Running {
    taskqueue.start(&["worker", "--use-tube", "t"])
}

fn configure_family(taskqueue: &Taskqueue) {
    let script = taskqueue.path("family.py");
    std::fs::write(&script, FAMILY).unwrap();
    let run = script.display();
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"python3\", \"-S\", \"{run}\"]\nmax_lost = 100\n"
    ));
}

/// Waits for the whole family of the latest attempt: each with its number.
fn family(taskqueue: &Taskqueue) -> Vec<(String, String)> {
    until("all have begun", || {
        lines(&taskqueue.path("log")).len() == 7
    });
    let log = lines(&taskqueue.path("log"));
    std::fs::remove_file(taskqueue.path("log")).unwrap();
    let members = log.iter().map(|line| line.split_once(' ').unwrap());
    members.map(|(a, b)| (a.into(), b.into())).collect()
}

#[track_caller]
fn assert_gone(family: &[(String, String)]) {
    let left = || {
        let left = family.iter().filter(|(_, pid)| exists(pid));
        left.map(|(kind, _)| kind.as_str()).collect::<Vec<_>>()
    };
    until("the command is gone", || left().is_empty());
}

fn pause(queue: &dyn Queue) {
    let pausing = async {
        queue
            .session()
            .pause(&tube("t"), Duration::from_secs(600))
            .await
    };
    block_on(pausing).unwrap();
}

/// Its children: number and argv.
fn children(of: &Running) -> Vec<(i32, Vec<String>)> {
    let parent = of.pid().as_raw_nonzero().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|p| p.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
        // Of a zombie, there is no argv.
        rest.is_some_and(|rest| rest.split(' ').nth(1) == Some(&parent) && !rest.starts_with('Z'))
    };
    let argv = |pid: i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = line.trim_end_matches('\0').split('\0');
        (pid, words.map(str::to_owned).collect())
    };
    numbers.filter(is_child).map(argv).collect()
}

fn guard(of: &Running) -> i32 {
    let mut found = None;
    until("it has a guard", || {
        let children = children(of);
        let guards = children.iter().filter(|(_, argv)| argv[0] == "tq-guard");
        found = guards.map(|(pid, _)| *pid).next();
        found.is_some()
    });
    found.unwrap()
}

/// The youngest worker.
fn worker(taskqueue: &Taskqueue) -> i32 {
    let pid = number(
        taskqueue,
        "SELECT pid FROM workers ORDER BY id DESC LIMIT 1",
    );
    pid.try_into().unwrap()
}

fn send(pid: i32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn kill(pid: i32) {
    send(pid, Signal::KILL);
}

fn a_killed_workers_command_goes_wherever_it_is(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure_family(taskqueue);
    put(taskqueue, 1);
    let tender = tend(taskqueue, "1", "1");
    let family = family(taskqueue);
    // So that nobody gets the job: a claim would end the command too.
    pause(queue);
    kill(worker(taskqueue));
    assert_gone(&family);
    assert_eq!(number(taskqueue, RUNNING), 1, "a sweep recorded something");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

fn a_starting_tender_ends_what_was_left(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure_family(taskqueue);
    put(taskqueue, 1);
    let worker = work(taskqueue);
    let family = family(taskqueue);
    kill(guard(&worker));
    drop(worker);
    // Of another tube, and without workers of its own.
    let tender = taskqueue.start(&["tender", "--use-tube", "other", "--min-workers", "0"]);
    assert_gone(&family);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

fn commands_go_when_tender_and_workers_are_killed_together(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure_family(taskqueue);
    put(taskqueue, 1);
    let tender = tend(taskqueue, "2", "2");
    let family = family(taskqueue);
    let guard = guard(&tender);
    kill_together(tender, guard);
    assert_gone(&family);
    until("the guard has gone", || !exists(&guard.to_string()));
    assert_eq!(number(taskqueue, RUNNING), 1, "a sweep recorded something");
}

/// A tender and all its workers, and neither sees the other die.
fn kill_together(tender: Running, guard: i32) {
    tender.signal(Signal::STOP);
    let children = children(&tender);
    let workers = children.iter().filter(|(pid, _)| *pid != guard);
    workers.for_each(|(pid, _)| kill(*pid));
    drop(tender);
}

fn a_lone_workers_command_goes_with_it(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure_family(taskqueue);
    put(taskqueue, 1);
    let worker = work(taskqueue);
    let family = family(taskqueue);
    let guard = guard(&worker);
    drop(worker);
    assert_gone(&family);
    until("the guard has gone", || !exists(&guard.to_string()));
    assert_eq!(number(taskqueue, RUNNING), 1, "a sweep recorded something");
}

fn a_worker_killed_while_it_drains_leaves_nothing(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure_family(taskqueue);
    put(taskqueue, 1);
    let tender = tend(taskqueue, "1", "1");
    let family = family(taskqueue);
    let (guard, worker) = (guard(&tender), worker(taskqueue));
    drop(tender);
    // Longer than it takes the guard to look a few times: it spares what a living worker runs.
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(700) {
        assert!(family.iter().all(|(_, pid)| exists(pid)));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(exists(&guard.to_string()));
    kill(worker);
    assert_gone(&family);
    until("the guard has gone", || !exists(&guard.to_string()));
}

fn a_guard_is_replaced_and_dismissed(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure_family(taskqueue);
    put(taskqueue, 1);
    let tender = tend(taskqueue, "2", "2");
    let first = guard(&tender);
    kill(first);
    until("another has come", || {
        let children = children(&tender);
        let mut guards = children.iter().filter(|(_, argv)| argv[0] == "tq-guard");
        guards.any(|(pid, _)| *pid != first)
    });
    let second = guard(&tender);
    let comm = format!("/proc/{second}/comm");
    until("it is set up", || {
        std::fs::read_to_string(&comm).unwrap() == "tq-guard\n"
    });
    // What ends a whole service with a signal does not end the guard.
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::HUP,
        Signal::USR1,
        Signal::USR2,
        Signal::TTIN,
        Signal::TTOU,
    ] {
        send(second, signal);
    }
    let family = family(taskqueue);
    for (pid, argv) in children(&tender) {
        if pid == second {
            assert_eq!(argv, ["tq-guard"], "nothing that finds workers may find it");
        } else {
            assert_eq!(argv[..2], ["taskqueue", "worker"]);
        }
    }
    // The second does what the first would have done.
    kill_together(tender, second);
    assert_gone(&family);

    let tender = tend(taskqueue, "0", "1");
    let last = guard(&tender);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    assert!(!exists(&last.to_string()), "it outlived an orderly end");
}
