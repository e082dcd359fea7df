//! Claims under attack: whoever comes at whatever instant, nothing runs twice at once and nobody else is harmed.

use rustix::process::Signal;

use super::{Queue, block_on, exists, lines, status};
use crate::support::{Beanstalkd, Taskqueue, job, put, tube, until};

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

/// A command that runs until the file `go` is there, and says so.
fn configure(taskqueue: &Taskqueue) {
    let text = "echo begin $TASKQUEUE_TASK_ID $TASKQUEUE_ATTEMPT $$ >> log\n\
                until [ -e go ]; do sleep 0.05; done\n\
                echo end $TASKQUEUE_TASK_ID $TASKQUEUE_ATTEMPT $$ >> log\n";
    std::fs::write(taskqueue.path("script"), text).unwrap();
    taskqueue.configure("[commands.job]\nrun = [\"/bin/sh\", \"script\"]\n");
}

/// The processes whose attempts with this number have begun.
fn begun(taskqueue: &Taskqueue, attempt: u32) -> Vec<String> {
    let log = lines(&taskqueue.path("log"));
    let words = log.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|words| words[0] == "begin" && words[2] == attempt.to_string())
        .map(|words| words[3].to_owned())
        .collect()
}

/// A foreign producer's job in the tube `t`.
fn put_body(queue: &dyn Queue, body: impl AsRef<[u8]>) -> u64 {
    block_on(async { put(queue.session().as_mut(), &tube("t"), job(body)).await }).unwrap()
}

#[test]
fn a_task_of_another_store_with_the_same_uuid_is_left_alone() {
    let (server, other) = (Beanstalkd::start(), Beanstalkd::start());
    let (ours, theirs) = (Taskqueue::with(&server), Taskqueue::with(&other));
    let body = r#"{"taskqueue":1,"uuid":"018f4a00-0000-7000-8000-000000000001","command":"job"}"#;
    put_body(&server, body);
    put_body(&other, body);
    let start = |taskqueue: &Taskqueue| {
        configure(taskqueue);
        let worker = taskqueue.start(&WORKER);
        until("begun", || begun(taskqueue, 1).len() == 1);
        worker
    };
    let (worker, bystander) = (start(&ours), start(&theirs));
    worker.signal(Signal::KILL);
    assert_eq!(worker.wait().code, None);
    let (mine, spared) = (begun(&ours, 1), begun(&theirs, 1));
    until("its own is ended", || !exists(&mine[0]));

    let next = ours.start(&WORKER);
    until("begun again", || begun(&ours, 2).len() == 1);
    assert!(exists(&spared[0]), "another store's process was killed");
    for (taskqueue, worker) in [(&ours, next), (&theirs, bystander)] {
        std::fs::write(taskqueue.path("go"), "").unwrap();
        until("done", || status(taskqueue, "1") == "done");
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code, Some(0));
    }
    assert_eq!(theirs.show("1")["attempts"].as_array().unwrap().len(), 1);
}
