//! What people tell a tender that runs, and what it tells them: whole processes.

mod accepted;
mod backlog;
mod begins;
mod descriptors;
mod folders;
mod log;
mod pause;
mod ping;
mod pools;
mod reload;
mod scale;
mod status;
mod stop;
mod watch;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Running, Taskqueue, until};

/// A tender for the tube `t` with these limits.
fn tend(taskqueue: &Taskqueue, min: u32, max: u32, more: &[&str]) -> Running {
    let (min, max) = (min.to_string(), max.to_string());
    let mut args = vec![
        "tender",
        "--use-tube",
        "t",
        "--min-workers",
        &min,
        "--spare-workers",
        "0",
        "--max-workers",
        &max,
    ];
    args.extend_from_slice(more);
    taskqueue.start(&args)
}

/// What `status --json` prints, whatever it exits with.
fn status(taskqueue: &Taskqueue) -> Value {
    let ran = taskqueue.run(&["status", "--json"]);
    assert_eq!(ran.stderr, "", "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The only pool of the only tender; null before there is one.
fn pool(taskqueue: &Taskqueue) -> Value {
    status(taskqueue)["tenders"][0]["pools"][0].clone()
}

/// Waits until that many workers wait for a job.
fn until_idle(taskqueue: &Taskqueue, workers: u64) {
    until("idle workers", || {
        pool(taskqueue)["census"]["idle"] == workers
    });
}

/// Waits until that many workers run a command.
fn until_busy(taskqueue: &Taskqueue, workers: u64) {
    until("busy workers", || {
        pool(taskqueue)["census"]["busy"] == workers
    });
}

fn pids(pool: &Value) -> BTreeSet<u64> {
    let workers = pool["workers"].as_array().unwrap();
    workers.iter().map(|w| w["pid"].as_u64().unwrap()).collect()
}
