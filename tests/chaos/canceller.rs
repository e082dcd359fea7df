//! Who calls tasks off at random, whatever they are at, and remembers what was said.

use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread::sleep;

use rusqlite::Connection;

use super::called_off::{Cancel, Said};
use super::journal::Moment;
use super::producers::Shared;
use super::random::Random;
use super::store;

/// Between two, in milliseconds.
const REST: (u64, u64) = (200, 1500);

/// Calls off until the run is over.
pub fn call_off(shared: &Shared, random: &mut Random) {
    while !shared.stop.load(Ordering::Relaxed) {
        sleep(random.millis(REST.0, REST.1));
        let store = store::open(&shared.world.store());
        let picked = store.and_then(|store| pick(&store, random));
        // None is there, or nobody can look: the disk is full.
        let tasks = picked.unwrap_or_default();
        if !tasks.is_empty() {
            cancel(shared, random, &tasks);
        }
    }
}

/// Some tasks that wait, be it for their next attempt, or that run, be it only claimed.
fn pick(store: &Connection, random: &mut Random) -> rusqlite::Result<Vec<i64>> {
    let status = match random.percent(50) {
        true => "running",
        false => "waiting",
    };
    let open = store::standing(store, status)?;
    let count = 1 + random.below(3);
    Ok((0..count)
        .filter_map(|_| random.pick(&open).copied())
        .collect())
}

fn cancel(shared: &Shared, random: &mut Random, tasks: &[i64]) {
    // Before anybody can have heard of it.
    note(shared, tasks.iter().map(|task| (*task, Said::Nothing)));
    let ids: Vec<String> = tasks.iter().map(i64::to_string).collect();
    let ids = ids.join(",");
    let mut arguments = vec!["cancel", "--json", &ids];
    if random.percent(30) {
        arguments.push("--now");
    }
    if random.percent(20) {
        arguments.push("--wait");
    }
    // By a filter it says how many, and of none what became of it.
    if random.percent(25) {
        arguments.extend(["--status", "waiting,running", "--yes"]);
    }
    let mut command = shared.world.taskqueue(&arguments);
    command
        .stdin(Stdio::null())
        .stderr(shared.world.log("cancel"));
    let output = command.output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let answers = said.as_array().into_iter().flatten();
    note(shared, answers.filter_map(read));
}

fn read(answer: &serde_json::Value) -> Option<(i64, Said)> {
    let said = match answer["status"].as_str() {
        Some("cancelled") => Said::Cancelled,
        Some("running") => Said::Told,
        Some("done") => Said::Done,
        Some("failed") => Said::Failed,
        Some(other) => panic!("cancel says of a task that it is {other}"),
        // Its row could not be read, or there is none.
        None if answer["error"].as_str()?.starts_with("No such task") => Said::Gone,
        None => Said::Nothing,
    };
    Some((answer["id"].as_i64()?, said))
}

fn note(shared: &Shared, said: impl Iterator<Item = (i64, Said)>) {
    let at = Moment::now();
    let mut cancels = shared.cancels.lock().unwrap();
    for (task, said) in said {
        cancels.entry(task).or_default().push(Cancel { at, said });
    }
}
