//! Hooks run when something has happened, and events tell of it, by the command line.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use taskqueue::crash::{Point, VARIABLE};

use super::{Queue, jobs, lines, number, on_both, status, tend};
use crate::support::{Running, Taskqueue, until};

on_both!(
    a_hook_runs_with_its_event_and_fires_none,
    a_hook_is_made_once_wherever_its_worker_dies,
    a_tender_has_workers_for_hooks,
    events_are_followed_and_each_is_told_once,
    what_is_called_off_or_put_by_hand_has_its_hooks,
    what_a_reconciliation_gives_up_has_its_hook,
);

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

/// Hooks that write down what they find, and commands for them to be of.
fn configure(taskqueue: &Taskqueue, more: &str) {
    let log = taskqueue.path("hooked");
    let log = log.display();
    let hook = |code: u8| {
        format!(
            "[\"/bin/sh\", \"-c\", \"echo $TASKQUEUE_EVENT $TASKQUEUE_EVENT_TASK $TASKQUEUE_EVENT_TUBE \
             $TASKQUEUE_EVENT_COMMAND $TASKQUEUE_EVENT_EXIT_CODE $1 >> {log}; cat >> {log}.json; \
             echo >> {log}.json; exit {code}\", \"-\", \"--loud\"]"
        )
    };
    let (fails, well) = (hook(1), hook(0));
    taskqueue.configure(&format!(
        "{more}\n[commands.ok]\nrun = [\"true\"]\n[commands.bad]\nrun = [\"/bin/sh\", \"-c\", \"exit 3\"]\n\
         [commands.ok.hooks]\non_done = {well}\n\
         [hooks]\n\"task.failed\" = {fails}\nmax_attempts = 1\non_cancelled = {well}\n\
         [hooks.tags.loud]\non_put = {well}\n"
    ));
}

fn put(taskqueue: &Taskqueue, args: &[&str]) {
    let put = ["put", "--use-tube", "t"];
    taskqueue.run(&[&put[..], args].concat()).ok();
}

const OPEN: &str = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
const HOOKS: &str = "SELECT count(*) FROM tasks WHERE tube = 'hooks'";

fn a_hook_runs_with_its_event_and_fires_none(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, "");
    put(taskqueue, &["bad"]);
    put(taskqueue, &["ok"]);
    taskqueue.work("t", 2);
    assert_eq!(number(taskqueue, HOOKS), 2);
    // The worker has put their jobs.
    until("both have jobs", || jobs(queue, "hooks") == 2);
    taskqueue.work("hooks", 2);
    let mut told = lines(&taskqueue.path("hooked"));
    told.sort();
    assert_eq!(told, ["done 2 t ok 0 --loud", "failed 1 t bad 3 --loud"]);
    let read = lines(&taskqueue.path("hooked.json"));
    let event: Value = serde_json::from_str(&read[0]).unwrap();
    assert_eq!(
        event["uuid"],
        taskqueue.show(&event["task"].to_string())["uuid"]
    );
    // The hook itself has failed, and that is no reason for another.
    assert_eq!(status(taskqueue, "3"), "failed");
    assert_eq!(number(taskqueue, HOOKS), 2);
    let events = taskqueue
        .run(&["events", "--what", "task.failed", "--json"])
        .ok();
    let failed: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tasks: Vec<&Value> = failed.iter().map(|event| &event["task"]).collect();
    assert_eq!(tasks, [&json!(1), &json!(3)]);
    // And nobody else names it as a command.
    let refused = taskqueue.run(&["put", "--use-tube", "hooks", "@on_failed"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
}

fn a_hook_is_made_once_wherever_its_worker_dies(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, "");
    for (task, point) in (1..).zip([
        Point::CommandEnded,
        Point::OutcomeKnown,
        Point::OutcomeRecorded,
    ]) {
        put(taskqueue, &["ok"]);
        let mut command = taskqueue.command(&WORKER);
        command.env(VARIABLE, format!("{point:?}"));
        let died = Running::start(command).wait();
        assert_eq!(died.code, None, "{point:?}: {died:?}");
        let worker = taskqueue.start(&WORKER);
        let of_tube = "SELECT count(*) FROM tasks WHERE tube = 't' AND status <> 'done'";
        until("it is done", || number(taskqueue, of_tube) == 0);
        until("nothing is left", || jobs(queue, "t") == 0);
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
        assert_eq!(number(taskqueue, HOOKS), task, "{point:?}");
    }
    // Whose job nobody has put, is put by whoever reconciles.
    let past = "UPDATE puts SET until = 1 WHERE until IS NOT NULL";
    taskqueue.sqlite().execute_batch(past).unwrap();
    taskqueue.run(&["reconcile"]).ok();
    let worker = taskqueue.start(&["worker", "--use-tube", "hooks", "--log", "error"]);
    until("all hooks have run", || number(taskqueue, OPEN) == 0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    let told = lines(&taskqueue.path("hooked"));
    let told: BTreeSet<&str> = told
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(told.len(), 3);
    assert_eq!(lines(&taskqueue.path("hooked")).len(), 3);
}

fn a_tender_has_workers_for_hooks(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue, "");
    let tender = tend(taskqueue, 1);
    put(taskqueue, &["bad"]);
    until("the hook has run", || {
        !lines(&taskqueue.path("hooked")).is_empty()
    });
    let pools = taskqueue.run(&["status", "--json"]).json().to_string();
    assert!(pools.contains("\"hooks\""), "{pools}");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

fn what_is_called_off_or_put_by_hand_has_its_hooks(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, "");
    put(taskqueue, &["ok", "--tag", "loud=very"]);
    put(taskqueue, &["ok", "--tag", "quiet"]);
    taskqueue.run(&["cancel", "1"]).ok();
    // Whoever did it has put their jobs.
    assert_eq!(jobs(queue, "hooks"), 2);
    taskqueue.work("hooks", 2);
    let told = lines(&taskqueue.path("hooked"));
    assert_eq!(told, ["put 1 t ok --loud", "cancelled 1 t ok --loud"]);
}

fn what_a_reconciliation_gives_up_has_its_hook(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue, "[tubes.t]\nmax_lost = 1");
    put(taskqueue, &["bad"]);
    let mut command = taskqueue.command(&WORKER);
    command.env(VARIABLE, format!("{:?}", Point::CommandStarted));
    let died = Running::start(command).wait();
    assert_eq!(died.code, None, "{died:?}");
    let ran = taskqueue.run(&["reconcile"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(status(taskqueue, "1"), "failed");
    assert_eq!((number(taskqueue, HOOKS), jobs(queue, "hooks")), (1, 1));
    let events = taskqueue.run(&["events", "--id", "1", "--json"]).ok();
    let told: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["what"].clone())
        .collect();
    assert_eq!(told, ["put", "started", "failed"]);
}

/// The numbers of the events that somebody who follows has printed by then.
fn followed(mut child: Child, count: usize) -> Vec<Value> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let heard = out.lines().take(count);
    let heard = heard.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let heard: Vec<Value> = heard.collect();
    // Nobody reads on.
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(0), "a follower whom nobody reads any more");
    heard
}

fn events_are_followed_and_each_is_told_once(taskqueue: &Taskqueue, _: &dyn Queue) {
    const TASKS: usize = 60;
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n[events]\nmost = 50\n");
    put(taskqueue, &["ok"]);
    let mut command = taskqueue.command(&["events", "--follow", "--json", "--since", "0"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    // The start of two workers, and three events for each task.
    let follower = thread::spawn(move || followed(child, 2 + 3 * TASKS));
    let tender = tend(taskqueue, 2);
    for _ in 1..TASKS {
        put(taskqueue, &["ok"]);
    }
    until("all are done", || number(taskqueue, OPEN) == 0);
    // There is something to be read, and nobody does.
    put(taskqueue, &["ok"]);
    let more = follower.join().unwrap();
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    let mut last = 0;
    let mut told: Vec<(String, i64)> = Vec::new();
    for event in &more {
        if let Some(gap) = event.get("gap") {
            panic!("a follower who is there misses nothing: {gap}");
        }
        let number = event["number"].as_i64().unwrap();
        assert_eq!(number, last + 1, "none is missing, and none comes twice");
        last = number;
        let what = event["what"].as_str().unwrap().to_owned();
        told.push((what, event["task"].as_i64().unwrap_or(0)));
    }
    for task in 1..=TASKS as i64 {
        for what in ["put", "started", "done"] {
            let count = told
                .iter()
                .filter(|told| **told == (what.to_owned(), task))
                .count();
            assert_eq!(count, 1, "{what} of task {task}");
        }
    }
    // A cleanup leaves so many of the newest, and whoever comes back hears that some are gone.
    taskqueue.run(&["cleanup", "--period", "1000000"]).ok();
    assert_eq!(number(taskqueue, "SELECT count(*) FROM events"), 50);
    let again = taskqueue.run(&["events", "--since", "3", "--json"]).ok();
    let first: Value = serde_json::from_str(again.lines().next().unwrap()).unwrap();
    assert_eq!(first["gap"]["since"], 3);
    assert_eq!(again.lines().count(), 51);
    // A number that nobody has had.
    let ahead = taskqueue
        .run(&["events", "--since", "99999", "--json"])
        .ok();
    let first: Value = serde_json::from_str(ahead.lines().next().unwrap()).unwrap();
    assert_eq!(first["gap"]["since"], 99_999);
    assert_eq!(ahead.lines().count(), 1);
    let _ = fs::remove_file(taskqueue.path("hooked"));
}
