//! Schedules: when they come, and what becomes of it.

mod command;
mod fires;
mod zones;

use serde_json::Value;

use crate::support::Taskqueue;

/// A command that says what it was told of its schedule.
const COMMANDS: &str = "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \
    \"echo $TASKQUEUE_SCHEDULE $TASKQUEUE_SCHEDULED_FOR ${TASKQUEUE_BACKFILLED-no} >> log\"]\noptions = [\"x\"]\n\
    [commands.slow]\nrun = [\"/bin/sh\", \"-c\", \"echo begin >> slow; sleep 1; echo end >> slow\"]\n";

/// A tender with a worker for the tube `t`, whose clock is wrong by what the file `clock` says.
fn tender_of(taskqueue: &Taskqueue, tube: &str) -> std::process::Command {
    let args = [
        "tender",
        "--use-tube",
        tube,
        "--min-workers",
        "1",
        "--max-workers",
        "1",
        "--log-file",
        "said",
    ];
    let mut command = taskqueue.command(&args);
    command.env(taskqueue::clock::STEP_VARIABLE, taskqueue.path("clock"));
    command
}

/// What is set apart in the file that says it.
fn set_clock(taskqueue: &Taskqueue, wrong_by: i64) {
    std::fs::write(taskqueue.path("new"), wrong_by.to_string()).unwrap();
    std::fs::rename(taskqueue.path("new"), taskqueue.path("clock")).unwrap();
}

/// The times that were fired, in their order, and whether each was made up for.
fn fired(taskqueue: &Taskqueue) -> Vec<(i64, bool)> {
    let sqlite = taskqueue.sqlite();
    let mut all = sqlite
        .prepare("SELECT nominal, backfilled FROM fires WHERE nominal IS NOT NULL ORDER BY nominal")
        .unwrap();
    let rows = all
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn shown(taskqueue: &Taskqueue, name: &str) -> Value {
    taskqueue.run(&["schedule", "show", name, "--json"]).json()
}
