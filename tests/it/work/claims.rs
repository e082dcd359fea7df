//! Claims under attack: whoever comes at whatever instant, nothing runs twice at once and nobody else is harmed.

use rustix::process::Signal;

use super::{Queue, block_on, exists, lines, number, on_both, status, store_id};
use crate::support::{Beanstalkd, Taskqueue, job, put, tube, until};

on_both!(
    without_its_file_of_locks_nothing_begins,
    a_file_of_locks_that_went_with_the_machine_is_made_anew
);

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

fn put_two(taskqueue: &Taskqueue) {
    configure(taskqueue);
    for _ in 0..2 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
}

fn remove_locks(taskqueue: &Taskqueue) {
    std::fs::remove_file(taskqueue.path("t.db-locks")).unwrap();
}

fn without_its_file_of_locks_nothing_begins(taskqueue: &Taskqueue, _: &dyn Queue) {
    put_two(taskqueue);
    let first = taskqueue.start(&WORKER);
    until("begun", || begun(taskqueue, 1).len() == 1);
    remove_locks(taskqueue);
    let refused = taskqueue.run(&WORKER).failed(1);
    let by_hand = format!(
        "(umask 077; echo {} > {})",
        store_id(taskqueue),
        taskqueue.path("t.db-locks").display()
    );
    assert!(refused.contains("nobody can tell who lives"), "{refused}");
    assert!(refused.contains(&by_hand), "{refused}");
    assert!(exists(&begun(taskqueue, 1)[0]), "it was taken for dead");

    // What it has begun it finishes, and begins nothing else, for nobody would see it live.
    std::fs::write(taskqueue.path("go"), "").unwrap();
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("done", || number(taskqueue, done) == 1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(begun(taskqueue, 1).len(), 1);
    first.signal(Signal::TERM);
    let said = first.wait();
    assert_eq!(said.code, Some(0));
    assert!(
        said.stderr.contains("nobody can tell who lives"),
        "{said:?}"
    );
    assert!(said.stderr.lines().count() < 4, "{said:?}");

    let made = std::process::Command::new("sh")
        .args(["-c", &by_hand])
        .status();
    assert!(made.unwrap().success());
    let next = taskqueue.start(&WORKER);
    until("done", || number(taskqueue, done) == 2);
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    assert_eq!(number(taskqueue, "SELECT count(*) FROM attempts"), 2);
}

fn a_file_of_locks_that_went_with_the_machine_is_made_anew(taskqueue: &Taskqueue, _: &dyn Queue) {
    put_two(taskqueue);
    let first = taskqueue.start(&WORKER);
    until("begun", || begun(taskqueue, 1).len() == 1);
    first.signal(Signal::KILL);
    first.wait();
    let pid = begun(taskqueue, 1).remove(0);
    until("ended", || !exists(&pid));
    remove_locks(taskqueue);
    let refused = taskqueue.run(&WORKER).failed(1);
    assert!(refused.contains("nobody can tell who lives"), "{refused}");

    // As if the machine had been started again since.
    let before = "UPDATE workers SET boot = 'before'";
    taskqueue.sqlite().execute_batch(before).unwrap();
    std::fs::write(taskqueue.path("go"), "").unwrap();
    let next = taskqueue.start(&WORKER);
    let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
    until("done", || number(taskqueue, done) == 2);
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    let lost = taskqueue.show("1")["attempts"][0].clone();
    assert_eq!(lost["outcome"], "lost");
    assert_eq!(number(taskqueue, "SELECT lost FROM tasks WHERE id = 1"), 0);
}
