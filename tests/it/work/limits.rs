//! Limits, with real workers: how many tasks with something in common run at a time, or begin in a time.

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Queue, jobs, lines, number, on_both, status, tend};
use crate::chaos::random::Random;
use crate::support::{Running, Taskqueue, job, tube, until};

on_both!(
    never_more_run_than_are_allowed_though_workers_are_killed,
    never_more_begin_in_a_second_than_are_allowed,
    what_is_held_has_no_job_and_says_what_it_waits_for,
    what_other_producers_put_is_held_and_not_lost,
    what_is_no_limit_any_more_holds_nothing,
);

/// A command that writes down when it begins and ends, and a third that runs beside two others. It runs until the file
/// `finish` is there if it is given nothing else.
const SCRIPT: &str = r#"
exec 3>> slot.a
flock -n 3 || { exec 3>> slot.b; flock -n 3 || echo "third $TASKQUEUE_TASK_ID" >> log; }
echo "begin $TASKQUEUE_TASK_ID ${1:-}" >> log
case ${2:-} in
    "") until [ -e finish ]; do sleep 0.02; done ;;
    *) sleep $2 ;;
esac
echo "end $TASKQUEUE_TASK_ID" >> log
"#;

pub fn configure(taskqueue: &Taskqueue, limits: &str) {
    fs::write(taskqueue.path("job"), SCRIPT).unwrap();
    let command = "run = [\"/bin/sh\", \"job\"]\noptions = [\"account\"]\nmax_lost = 1000\n";
    taskqueue.configure(&format!(
        "[commands.job]\n{command}\n[commands.other]\n{command}\n[tubes.t]\ncommand = \"job\"\n{limits}"
    ));
}

/// Puts tasks of a key that take so long, in one go.
pub fn put(taskqueue: &Taskqueue, count: usize, key: &str, takes: &str) {
    let one = json!({"taskqueue": 1, "command": "job", "arguments": [key, takes]}).to_string();
    let all: String = (0..count).map(|_| format!("{one}\n")).collect();
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    let ran = taskqueue.run_with(&put, all.as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

pub fn done(taskqueue: &Taskqueue) -> i64 {
    number(
        taskqueue,
        "SELECT count(*) FROM tasks WHERE status = 'done'",
    )
}

pub fn held(taskqueue: &Taskqueue) -> i64 {
    number(taskqueue, "SELECT count(*) FROM held WHERE let_go IS NULL")
}

pub fn begun(taskqueue: &Taskqueue) -> Vec<String> {
    let lines = lines(&taskqueue.path("log")).into_iter();
    lines.filter(|line| line.starts_with("begin")).collect()
}

/// How many, by hand more than in every run.
fn many(usual: usize) -> usize {
    let given = env::var("MANY").ok().and_then(|many| many.parse().ok());
    given.unwrap_or(usual)
}

pub fn workers(taskqueue: &Taskqueue) -> Vec<i32> {
    let ran = taskqueue.run(&["status", "--json"]);
    let Ok(status) = serde_json::from_str::<Value>(&ran.stdout) else {
        return Vec::new();
    };
    let tenders = status["tenders"].as_array().cloned().unwrap_or_default();
    let pools = tenders
        .iter()
        .flat_map(|tender| tender["pools"].as_array().cloned());
    let workers = pools
        .flatten()
        .flat_map(|pool| pool["workers"].as_array().cloned());
    let pids = workers
        .flatten()
        .filter_map(|worker| worker["pid"].as_i64());
    pids.map(|pid| i32::try_from(pid).unwrap()).collect()
}

fn never_more_run_than_are_allowed_though_workers_are_killed(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
) {
    configure(
        taskqueue,
        "[limits.two]\nconcurrency = 2\ncommands = [\"job\"]\n",
    );
    let count = i64::try_from(many(110)).unwrap();
    put(taskqueue, many(110), "7", "0.04");
    let mut random = Random::new(5);
    let tender = tend(taskqueue, 5);
    let (mut kills, most) = (0, many(110) / 4);
    let since = Instant::now();
    while done(taskqueue) < count {
        assert!(
            since.elapsed() < Duration::from_secs(120),
            "{} are done",
            done(taskqueue)
        );
        let workers = workers(taskqueue);
        if kills < most && !workers.is_empty() {
            let pid = random.pick(&workers).copied().and_then(Pid::from_raw);
            // It may have just ended by itself.
            let _ = kill_process(pid.unwrap(), Signal::KILL);
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    assert!(kills > 15, "{kills}");
    let log = lines(&taskqueue.path("log"));
    let third: Vec<&String> = log
        .iter()
        .filter(|line| line.starts_with("third"))
        .collect();
    assert!(third.is_empty(), "{third:?}");
    // What is not held stands there no more, nor does a place that somebody had.
    until("all jobs are gone", || jobs(queue, "t") == 0);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM held"), 0);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM limit_slots"), 0);
    stop(tender);
}

pub fn stop(tender: Running) {
    tender.signal(Signal::TERM);
    tender.wait();
}

fn never_more_begin_in_a_second_than_are_allowed(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(
        taskqueue,
        "[limits.rate]\nrate = \"5/1s\"\ncommands = [\"job\"]\n",
    );
    put(taskqueue, 20, "7", "0");
    let tender = tend(taskqueue, 3);
    let list = ["list", "--json", "--status", "waiting", "--limit", "1"];
    until("the last is held", || {
        taskqueue.run(&list).json()[0]["held"]["limit"] == "rate"
    });
    // What is put is held at once, also before anybody has begun to work.
    let status = || taskqueue.run(&["status", "--json"]);
    until("somebody tends it", || status().code == Some(0));
    let all = status().json();
    assert_eq!(
        all["limits"][0]["rate"],
        json!({"allowed": 5, "seconds": 1.0})
    );
    until("all are done", || done(taskqueue) == 20);
    stop(tender);
    let store = taskqueue.sqlite();
    let mut statement = store
        .prepare("SELECT started FROM attempts ORDER BY started")
        .unwrap();
    let starts: Vec<i64> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(starts.len(), 20);
    for start in &starts {
        let within = starts
            .iter()
            .filter(|one| (*start..start + 1000).contains(one));
        assert!(within.count() <= 5, "{starts:?}");
    }
    let took = starts[19] - starts[0];
    assert!((3000..15_000).contains(&took), "{took} ms: {starts:?}");
}

fn what_is_held_has_no_job_and_says_what_it_waits_for(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(
        taskqueue,
        "[limits.account]\nconcurrency = 2\nby = \"option:account\"\ncommands = [\"job\"]\n",
    );
    for _ in 0..4 {
        let put = ["put", "--use-tube", "t", "job", "--option", "account=7"];
        taskqueue.run(&put).ok();
    }
    let tender = tend(taskqueue, 3);
    until("two are held", || held(taskqueue) == 2);
    until("their jobs are gone", || jobs(queue, "t") == 2);
    until("two run", || begun(taskqueue).len() == 2);
    let list = taskqueue.run(&["list", "--json"]).json();
    let tasks = list.as_array().unwrap();
    let waits = tasks.iter().filter(|task| task["status"] == "waiting");
    let waiting: Vec<&Value> = waits.collect();
    let runs = tasks.iter().filter(|task| task["status"] == "running");
    let mut running: Vec<i64> = runs.map(|task| task["id"].as_i64().unwrap()).collect();
    running.sort();
    assert_eq!((waiting.len(), running.len()), (2, 2));
    let id = waiting[0]["id"].to_string();
    let words = format!(
        "held by limit account=7 (2 of 2 run: tasks {}, {})",
        running[0], running[1]
    );
    let why = taskqueue.run(&["why", &id, "--json"]).json();
    assert_eq!(why["why"], "held");
    let sentence = taskqueue.run(&["why", &id]).ok();
    assert_eq!(
        sentence,
        format!("it is {words}; for more at a time: [limits.account], and: taskqueue reload\n")
    );
    let task = taskqueue.show(&id);
    let held_by = &task["held"];
    assert_eq!(held_by["limit"], "account");
    assert_eq!(held_by["by"], "account");
    assert_eq!(held_by["key"], "7");
    assert_eq!(held_by["concurrency"], 2);
    assert_eq!(held_by["running"], json!(running));
    assert!(task["due"].as_str().unwrap() < "9", "{task}");
    let shown = taskqueue.run(&["show", &id]).ok();
    assert!(shown.contains(&format!("held       {words}\n")), "{shown}");
    let listed = taskqueue.run(&["list"]).ok();
    assert_eq!(listed.matches(&words).count(), 2, "{listed}");
    let status_text = taskqueue.run(&["status"]).ok();
    let flat = status_text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = format!(
        "limit account=7 holds 2 tasks (2 of 2 run: tasks {}, {})",
        running[0], running[1]
    );
    assert!(flat.contains(&said), "{status_text}");
    let all = taskqueue.run(&["status", "--json"]).json();
    assert_eq!(all["limits"][0]["held"], 2);
    assert_eq!(all["limits"][0]["running"], json!(running));
    assert_eq!(all["limits"][0]["configured"], true);
    for text in [
        &shown,
        &listed,
        &status_text,
        &all.to_string(),
        &list.to_string(),
    ] {
        assert!(!text.contains("9999"), "{text}");
    }
    // One of them is called off, and the other is the next.
    taskqueue.run(&["cancel", &id]).ok();
    fs::write(taskqueue.path("finish"), "").unwrap();
    until("the others are done", || done(taskqueue) == 3);
    assert_eq!(status(taskqueue, &id), "cancelled");
    until("no job is left", || jobs(queue, "t") == 0);
    assert_eq!(number(taskqueue, "SELECT count(*) FROM held"), 0);
    stop(tender);
}

fn what_other_producers_put_is_held_and_not_lost(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(
        taskqueue,
        "[limits.tube]\nconcurrency = 1\ntubes = [\"t\"]\n",
    );
    let bodies = [
        &b"raw"[..],
        br#"{"taskqueue":1,"command":"job"}"#,
        br#"{"taskqueue":1,"command":"other"}"#,
        b"another",
    ];
    for body in bodies {
        let put = async { queue.session().put(&tube("t"), &[job(body)]).await };
        assert!(super::block_on(put)[0].is_ok());
    }
    let tender = tend(taskqueue, 3);
    until("one runs", || begun(taskqueue).len() == 1);
    until("three are held", || held(taskqueue) == 3);
    until("their jobs are gone", || jobs(queue, "t") == 1);
    fs::write(taskqueue.path("finish"), "").unwrap();
    until("all are done", || done(taskqueue) == 4);
    until("no job is left", || jobs(queue, "t") == 0);
    assert_eq!(begun(taskqueue).len(), 4);
    assert!(
        !lines(&taskqueue.path("log"))
            .iter()
            .any(|line| line.starts_with("third"))
    );
    stop(tender);
}

fn what_is_no_limit_any_more_holds_nothing(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(
        taskqueue,
        "[limits.one]\nconcurrency = 1\ncommands = [\"job\"]\n",
    );
    put(taskqueue, 4, "", "");
    let tender = tend(taskqueue, 4);
    until("one runs", || begun(taskqueue).len() == 1);
    until("three are held", || held(taskqueue) == 3);
    configure(
        taskqueue,
        "[limits.one]\nconcurrency = 2\ncommands = [\"job\"]\n",
    );
    taskqueue.run(&["reload"]).ok();
    until("another runs", || begun(taskqueue).len() == 2);
    until("two are held", || held(taskqueue) == 2);
    configure(taskqueue, "");
    taskqueue.run(&["reload"]).ok();
    until("all run", || begun(taskqueue).len() == 4);
    fs::write(taskqueue.path("finish"), "").unwrap();
    until("all are done", || done(taskqueue) == 4);
    stop(tender);
}
