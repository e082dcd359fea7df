//! Keys that no two tasks have, in bodies that other clients put.

use serde_json::json;

use super::{Queue, block_on, jobs, lines, number, on_both, status};
use crate::support::{Running, Taskqueue, job, tube, until};

on_both!(
    of_other_clients_jobs_with_one_key_one_runs,
    what_is_put_for_what_waits_takes_its_place,
);

/// Puts bodies with these forms of a key, as any client does.
fn put(queue: &dyn Queue, keys: &[&str]) {
    let body = |key| {
        job(format!(
            r#"{{"taskqueue":1,"command":"job","unique":{key}}}"#
        ))
    };
    let bodies: Vec<_> = keys.iter().map(body).collect();
    let put = block_on(async { queue.session().put(&tube("t"), &bodies).await });
    assert!(put.iter().all(Result::is_ok), "{put:?}");
}

fn configure(taskqueue: &Taskqueue) {
    let script = "echo $TASKQUEUE_TASK_ID >> log; while [ ! -e go ]; do sleep 0.01; done";
    let run = ["/bin/sh", "-c", script];
    taskqueue.configure(&format!("[commands.job]\nrun = {run:?}\n"));
}

/// Whichever way it is written; what has no key, or another, is nothing to it.
fn of_other_clients_jobs_with_one_key_one_runs(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    put(queue, &[r#""k""#]);
    let worker = |_| taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    let workers: Vec<Running> = (0..2).map(worker).collect();
    until("it runs", || lines(&taskqueue.path("log")) == ["1"]);
    put(
        queue,
        &[
            r#""k""#,
            r#"{"key":"k"}"#,
            r#"{"key":"k","while":"waiting","if_exists":"refuse"}"#,
            "true",
        ],
    );
    until("the one without that key runs", || {
        lines(&taskqueue.path("log")).len() == 2
    });
    until("the others are gone", || jobs(queue, "t") == 2);
    std::fs::write(taskqueue.path("go"), "").unwrap();
    until("both are done", || jobs(queue, "t") == 0);
    // It has ended, so that the key is free.
    put(queue, &[r#"{"key":"k"}"#]);
    until("the next runs", || lines(&taskqueue.path("log")).len() == 3);
    until("it is done", || jobs(queue, "t") == 0);
    for worker in workers {
        worker.signal(rustix::process::Signal::TERM);
        assert_eq!(worker.wait().stderr, "");
    }
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    assert_eq!(number(taskqueue, done), 3);
}

/// Its job is put for when it is due then.
fn what_is_put_for_what_waits_takes_its_place(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(taskqueue);
    std::fs::write(taskqueue.path("go"), "").unwrap();
    let put = ["put", "--use-tube", "t", "--unique=k", "--json"];
    let later = taskqueue.run(&[&put[..], &["--delay", "2h", "job"]].concat());
    assert_eq!(later.json()["id"], 1);
    assert_eq!(jobs(queue, "t"), 0);
    let kept = taskqueue.run(&[&put[..], &["job"]].concat());
    assert_eq!(kept.json()["existing"], true);
    assert_eq!(jobs(queue, "t"), 0);
    let replace = ["--if-exists", "replace", "job"];
    let replaced = taskqueue.run(&[&put[..], &replace].concat());
    assert_eq!(replaced.json()["id"], 1);
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "1"), "done");
    assert_eq!(taskqueue.show("1")["unique"], json!("k"));
    assert_eq!(number(taskqueue, "SELECT count(*) FROM tasks"), 1);
}
