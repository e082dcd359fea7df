//! A tender whose workers run every awkward kind of command: none of them harms the pool, and nothing is left of any.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::{Queue, lines, number, on_both};
use crate::support::{Running, Taskqueue, until};

on_both!(
    a_pool_outlives_every_kind_of_command,
    a_second_signal_ends_what_ignores_the_first,
    a_burst_brings_the_pool_to_max,
);

/// Each notes who it is; then what it does, how its attempt ends, and what becomes of its task.
const KINDS: [(&str, &str, &str, &str); 8] = [
    ("at-once", "exit 0", "exited", "done"),
    ("killed", "kill -9 $$", "signalled", "failed"),
    ("stops", "kill -STOP $$; sleep 300", "timed_out", "failed"),
    (
        "ignores",
        "trap '' TERM HUP INT; sleep 300",
        "timed_out",
        "failed",
    ),
    (
        "forks",
        "setsid sh -c 'echo $$ >> pids; exec sleep 300' & sleep 0.2; exit 3",
        "exited",
        "failed",
    ),
    (
        "holds",
        "(trap '' TERM; sleep 300) & echo $! >> pids; exit 4",
        "exited",
        "failed",
    ),
    ("floods", "yes | head -c 30000000 >&2", "exited", "done"),
    (
        "closes",
        "exec 0<&- 1>&- 2>&-; for fd in 3 4 5 6 7 8 9; do eval \"exec $fd>&-\"; done; exec sleep 300",
        "timed_out",
        "failed",
    ),
];

const OPEN: &str = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
const LIVE: &str = "SELECT count(*) FROM workers WHERE stopped IS NULL";

fn configure(taskqueue: &Taskqueue) {
    let mut text = String::new();
    for (name, script, outcome, _) in KINDS {
        fs::write(taskqueue.path(name), format!("echo $$ >> pids\n{script}\n")).unwrap();
        // What ends by itself may take as long as a busy machine makes it.
        let timeout = if outcome == "timed_out" { 1 } else { 60 };
        text +=
            &format!("[commands.{name}]\nrun = [\"/bin/sh\", \"{name}\"]\ntimeout = {timeout}\n");
    }
    taskqueue.configure(&text);
}

fn tend(taskqueue: &Taskqueue, more: &[&str]) -> Running {
    taskqueue.start(&[&["tender", "--use-tube", "t", "--spare-workers", "0"], more].concat())
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// Two of each.
fn a_pool_outlives_every_kind_of_command(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    for (name, _, _, _) in KINDS.iter().chain(&KINDS) {
        taskqueue.run(&["put", "--use-tube", "t", name]).ok();
    }
    let tender = tend(taskqueue, &["--min-workers", "2", "--max-workers", "4"]);
    until("all ended", || {
        let live = number(taskqueue, LIVE);
        assert!(live <= 4, "{live} workers");
        number(taskqueue, OPEN) == 0
    });
    for (task, (name, _, outcome, status)) in (1..).zip(KINDS.iter().chain(&KINDS)) {
        let shown = taskqueue.show(&format!("{task}"));
        assert_eq!(shown["status"], *status, "{name}: {shown}");
        assert_eq!(shown["attempts"][0]["outcome"], *outcome, "{name}: {shown}");
        assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{name}");
    }
    // What has failed leaves nothing. No worker came to harm.
    let pids = lines(&taskqueue.path("pids"));
    assert_eq!(pids.len(), 2 * (KINDS.len() + 2));
    until("all are gone", || pids.iter().all(|pid| is_gone(pid)));
    let status = taskqueue.run(&["status", "--json"]).json();
    let restarts = status.pointer("/tenders/0/pools/0/restarts");
    assert_eq!(restarts.and_then(Value::as_u64), Some(0), "{status}");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

fn a_second_signal_ends_what_ignores_the_first(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure("[commands.x]\nrun = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo $$ >> pids; kill -STOP $$; sleep 300\"]\n");
    let tender = tend(taskqueue, &["--min-workers", "2", "--grace-period", "300"]);
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "x"]).ok();
    }
    until("both run", || lines(&taskqueue.path("pids")).len() == 2);
    tender.signal(Signal::TERM);
    // Two that come together are one.
    until("told", || {
        let status = taskqueue.run(&["status", "--json"]).stdout;
        status.contains("stopping")
    });
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    let pids = lines(&taskqueue.path("pids"));
    assert!(pids.iter().all(|pid| is_gone(pid)), "{pids:?}");
    let back = "SELECT count(*) FROM tasks WHERE status = 'waiting' AND attempt = 1 AND spent = 0";
    assert_eq!(number(taskqueue, back), 2);
}

/// How long it takes is printed: it is to be less than two seconds on a machine that has nothing else to do.
fn a_burst_brings_the_pool_to_max(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure("[commands.x]\nrun = [\"/bin/sleep\", \"0.05\"]\n");
    taskqueue.run(&["put", "--use-tube", "t", "x"]).ok();
    let tender = tend(taskqueue, &["--min-workers", "1", "--max-workers", "12"]);
    until("one", || number(taskqueue, LIVE) == 1);
    let batch = "{\"taskqueue\":1,\"command\":\"x\"}\n".repeat(1000);
    fs::write(taskqueue.path("batch"), batch).unwrap();
    let begun = std::time::Instant::now();
    taskqueue.run(&["put", "--use-tube", "t", "--batch", "batch"]);
    until("max", || number(taskqueue, LIVE) == 12);
    eprintln!(
        "12 workers {:?} after 1,000 jobs began to be put",
        begun.elapsed()
    );
    until("all ended", || {
        let live = number(taskqueue, LIVE);
        assert!(live <= 12, "{live} workers");
        number(taskqueue, OPEN) == 0
    });
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}
