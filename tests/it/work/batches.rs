//! Short jobs that are claimed and recorded together, and what becomes of them when something comes between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use taskqueue::crash::Point;

use super::{Queue, jobs, lines, number, on_both, stats, stopped, tend};
use crate::support::{Taskqueue, until};

on_both!(
    one_that_fails_keeps_none_of_the_others,
    a_worker_that_is_told_to_go_leaves_those_whose_turn_has_not_come,
    one_that_takes_long_is_known_to_run,
    nothing_is_run_again_that_was_done_however_often_workers_are_killed,
    without_a_batch_journal_each_is_recorded_by_itself,
    whoever_loses_its_batch_journal_loses_no_more_than_one_attempt,
    a_tender_forgets_those_who_were_killed,
);

const WORKER: [&str; 3] = ["worker", "--use-tube", "t"];

/// Tasks that note that they ran, and of which some fail.
fn put(taskqueue: &Taskqueue, count: usize, fails: impl Fn(usize) -> bool) {
    let script = "echo $TASKQUEUE_TASK_ID $TASKQUEUE_ATTEMPT >> ran; echo said; exit $1";
    std::fs::write(taskqueue.path("job"), script).unwrap();
    taskqueue.configure(
        "[commands.well]\nrun = ['/bin/sh', 'job', '0']\nmax_lost = 100
         [commands.badly]\nrun = ['/bin/sh', 'job', '1']\non_failure = 'delete'",
    );
    let line = |id| {
        let command = if fails(id) { "badly" } else { "well" };
        format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n")
    };
    let lines: String = (1..=count).map(line).collect();
    let put = ["put", "--use-tube", "t", "--ttr", "600", "--batch", "-"];
    taskqueue.run_with(&put, lines.as_bytes()).ok();
}

fn ran(taskqueue: &Taskqueue) -> Vec<String> {
    lines(&taskqueue.path("ran"))
}

fn count(taskqueue: &Taskqueue, of: &str) -> i64 {
    number(taskqueue, &format!("SELECT count(*) FROM {of}"))
}

/// The batch journals that lie beside the store.
fn journals(taskqueue: &Taskqueue) -> Vec<PathBuf> {
    let folder = taskqueue.store().parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_journal = |path: &PathBuf| path.to_str().unwrap().contains("-batch-");
    files.filter(is_journal).collect()
}

fn one_that_fails_keeps_none_of_the_others(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(taskqueue, 40, |id| id % 7 == 3);
    taskqueue.work("t", 40);
    let each: Vec<String> = (1..=40).map(|id| format!("{id} 1")).collect();
    assert_eq!(ran(taskqueue), each, "in their order");
    assert_eq!(count(taskqueue, "tasks WHERE status = 'done'"), 34);
    assert_eq!(count(taskqueue, "tasks WHERE status = 'failed'"), 6);
    assert_eq!(count(taskqueue, "tasks WHERE ahead = 1"), 0);
    assert_eq!(count(taskqueue, "attempts"), 40);
    let said = "output WHERE CAST(head AS TEXT) = 'said' || char(10)";
    assert_eq!(count(taskqueue, said), 40);
    let order = "attempts a JOIN attempts b ON b.task = a.task + 1 WHERE b.started < a.finished";
    assert_eq!(count(taskqueue, order), 0, "two at once");
    assert_eq!(jobs(queue, "t"), 0);
    assert_eq!(journals(taskqueue), [] as [PathBuf; 0]);
}

fn a_worker_that_is_told_to_go_leaves_those_whose_turn_has_not_come(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
) {
    put(taskqueue, 40, |_| false);
    let worker = stopped(taskqueue, &WORKER, Point::OutcomeNoted);
    let running = count(taskqueue, "tasks WHERE status = 'running'");
    assert!(running >= 2, "{running} were claimed");
    assert_eq!(journals(taskqueue).len(), 1);
    worker.signal(Signal::TERM);
    worker.signal(Signal::CONT);
    assert_eq!(worker.wait().code, Some(0));
    let done = ran(taskqueue).len();
    assert_eq!(count(taskqueue, "tasks WHERE status = 'done'"), done as i64);
    let waits = "tasks WHERE status = 'waiting' AND attempt = 0 AND worker IS NULL AND ahead = 0";
    assert_eq!(count(taskqueue, waits), 40 - done as i64);
    let left = (40 - done) as u64;
    until("given back", || stats(queue, "t").ready == left);
    assert_eq!(jobs(queue, "t"), left);
    assert_eq!(journals(taskqueue), [] as [PathBuf; 0]);
    taskqueue.work("t", 40 - done);
    let each: Vec<String> = (1..=40).map(|id| format!("{id} 1")).collect();
    assert_eq!(ran(taskqueue), each);
}

fn one_that_takes_long_is_known_to_run(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(taskqueue, 40, |_| false);
    // After 1, 2, 4 and 8 it is amid a batch.
    let long = "[ $TASKQUEUE_TASK_ID != 19 ] || [ $TASKQUEUE_ATTEMPT = 2 ] || sleep 600";
    let script = std::fs::read_to_string(taskqueue.path("job")).unwrap();
    let script = script.replace("; exit", &format!("; {long}; exit"));
    std::fs::write(taskqueue.path("job"), script).unwrap();
    let worker = taskqueue.start(&WORKER);
    until("the others are anybody's", || {
        let stats = stats(queue, "t");
        (stats.reserved, stats.ready) == (1, 21)
    });
    assert_eq!(count(taskqueue, "tasks WHERE status = 'done'"), 18);
    assert_eq!(count(taskqueue, "tasks WHERE status = 'running'"), 1);
    assert_eq!(count(taskqueue, "tasks WHERE ahead = 1"), 0);
    worker.signal(Signal::KILL);
    worker.wait();
    let next = taskqueue.start(&WORKER);
    let open = "tasks WHERE status IN ('waiting', 'running')";
    until("all ended", || count(taskqueue, open) == 0);
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    let outcomes = "attempts WHERE task = 19 AND outcome = iif(number = 1, 'lost', 'exited')";
    assert_eq!(count(taskqueue, outcomes), 2);
    assert_eq!(count(taskqueue, "attempts"), 41);
    assert_eq!(ran(taskqueue).len(), 41);
}

fn nothing_is_run_again_that_was_done_however_often_workers_are_killed(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
) {
    const TASKS: usize = 3000;
    put(taskqueue, TASKS, |_| false);
    let open = "tasks WHERE status IN ('waiting', 'running')";
    let mut killed = Vec::new();
    while count(taskqueue, open) > 0 {
        let workers = [taskqueue.start(&WORKER), taskqueue.start(&WORKER)];
        // They have had some batches, and die anywhere in the next.
        let some = ran(taskqueue).len() + 100;
        until("some ran, or all", || {
            ran(taskqueue).len() >= some || count(taskqueue, open) == 0
        });
        sleep(Duration::from_micros(killed.len() as u64 * 370 % 5000));
        for worker in &workers {
            worker.signal(Signal::KILL);
        }
        killed.extend(workers);
    }
    let kills = killed.len() as i64;
    assert!(kills >= 8, "only {kills} were killed");
    for worker in killed {
        worker.wait();
    }
    // A command that was killed may not have come to say that it ran; none has said so twice.
    let ran = ran(taskqueue);
    let each: HashSet<&String> = ran.iter().collect();
    assert_eq!(each.len(), ran.len(), "an attempt ran twice");
    let ended = count(taskqueue, "attempts WHERE outcome = 'exited'");
    assert_eq!(ended, TASKS as i64, "each ended once");
    let lost = count(taskqueue, "attempts WHERE outcome = 'lost'");
    assert_eq!(count(taskqueue, "attempts"), ended + lost);
    // Each had one command at most in its hands.
    assert!(lost <= kills, "{lost} lost by {kills} kills");
    assert!(ran.len() as i64 >= ended);
    let done = "tasks WHERE status = 'done'";
    assert_eq!(count(taskqueue, done), TASKS as i64);
    // What is left of them goes with their rows.
    let last = taskqueue.start(&WORKER);
    until("nothing else in the tube", || jobs(queue, "t") == 0);
    until("waits", || stats(queue, "t").waiting == 1);
    last.signal(Signal::TERM);
    assert_eq!(last.wait().code, Some(0));
    taskqueue.run(&["cleanup", "--period", "0"]).ok();
    assert_eq!(journals(taskqueue), [] as [PathBuf; 0]);
}

fn without_a_batch_journal_each_is_recorded_by_itself(taskqueue: &Taskqueue, queue: &dyn Queue) {
    // Only a quick command makes the worker want a journal: on a busy machine some few may all be slow.
    const TASKS: usize = 200;
    put(taskqueue, TASKS, |_| false);
    let mut journal = taskqueue.store().into_os_string();
    journal.push("-batch-1");
    std::fs::create_dir(&journal).unwrap();
    let worker = taskqueue.start(&WORKER);
    let done = "tasks WHERE status = 'done'";
    until("all done", || count(taskqueue, done) == TASKS as i64);
    until("nothing else in the tube", || jobs(queue, "t") == 0);
    worker.signal(Signal::TERM);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.stderr.matches("has no batch journal").count(),
        1,
        "{ended:?}"
    );
    let exited = "attempts WHERE outcome = 'exited'";
    assert_eq!(count(taskqueue, exited), TASKS as i64);
    assert_eq!(ran(taskqueue).len(), TASKS);
}

fn whoever_loses_its_batch_journal_loses_no_more_than_one_attempt(
    taskqueue: &Taskqueue,
    _queue: &dyn Queue,
) {
    const TASKS: usize = 500;
    put(taskqueue, TASKS, |_| false);
    let worker = taskqueue.start(&WORKER);
    until("has a batch journal", || !journals(taskqueue).is_empty());
    for journal in journals(taskqueue) {
        std::fs::remove_file(journal).unwrap();
    }
    // By then it has noticed.
    let some = ran(taskqueue).len() + 30;
    until("some more ran", || ran(taskqueue).len() >= some);
    worker.signal(Signal::KILL);
    worker.wait();
    let next = taskqueue.start(&WORKER);
    let done = "tasks WHERE status = 'done'";
    until("all done", || count(taskqueue, done) == TASKS as i64);
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    let lost = count(taskqueue, "attempts WHERE outcome = 'lost'");
    assert!(lost <= 1, "{lost} were lost");
    let ran = ran(taskqueue).len() as i64;
    assert!(ran <= TASKS as i64 + lost, "{ran} ran");
}

fn a_tender_forgets_those_who_were_killed(taskqueue: &Taskqueue, _queue: &dyn Queue) {
    put(taskqueue, 200, |_| false);
    for _ in 0..3 {
        let worker = taskqueue.start(&WORKER);
        let some = ran(taskqueue).len() + 20;
        until("some ran", || ran(taskqueue).len() >= some);
        worker.signal(Signal::KILL);
        worker.wait();
    }
    assert!(journals(taskqueue).len() >= 2);
    let killed = "workers WHERE id <= 3";
    assert_eq!(count(taskqueue, killed), 3);
    let tender = tend(taskqueue, 1);
    until("forgotten", || count(taskqueue, killed) == 0);
    until("done", || {
        count(taskqueue, "tasks WHERE status = 'done'") == 200
    });
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
    assert_eq!(journals(taskqueue), [] as [PathBuf; 0]);
}
