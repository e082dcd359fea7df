//! Thousands of jobs that we did not put as tasks, tended by four workers, each run once.

use std::time::Duration;

use beanstalkc::Beanstalkc;
use rustix::process::Signal;

use super::{Queue, block_on, jobs, number, tend};
use crate::support::{Beanstalkd, Taskqueue, job, tube, until};

const BODY: &[u8] = br#"{"taskqueue":1,"command":"true"}"#;

#[test]
fn ten_thousand_jobs_are_each_run_once() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    const JOBS: i64 = 10_000;
    let mut other = Beanstalkc::new()
        .host("127.0.0.1")
        .port(server.port())
        .connect()
        .unwrap();
    other.use_tube("t").unwrap();
    for _ in 0..JOBS {
        other
            .put(BODY, 1024, Duration::ZERO, Duration::from_secs(60))
            .unwrap();
    }
    each_is_run_once(&taskqueue, &server, JOBS);
}

#[test]
fn a_thousand_of_the_embedded_broker_are_each_run_once() {
    const JOBS: i64 = 1_000;
    let taskqueue = Taskqueue::embedded();
    let jobs = vec![job(BODY); JOBS.unsigned_abs() as usize];
    let put = block_on(async { taskqueue.session().put(&tube("t"), &jobs).await });
    assert!(put.iter().all(Result::is_ok));
    each_is_run_once(&taskqueue, &taskqueue, JOBS);
}

fn each_is_run_once(taskqueue: &Taskqueue, queue: &dyn Queue, jobs_put: i64) {
    taskqueue.configure("[commands.true]\nrun = [\"/bin/true\"]\n");
    let tender = tend(taskqueue, 4);
    // The tube tells when it is over; to ask the store would be to take part.
    until("an empty tube", || jobs(queue, "t") == 0);
    tender.signal(Signal::TERM);
    let ended = tender.wait();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    let count = |sql| number(taskqueue, sql);
    assert_eq!(
        count("SELECT count(*) FROM tasks WHERE status = 'done'"),
        jobs_put
    );
    assert_eq!(count("SELECT count(*) FROM tasks"), jobs_put);
    assert_eq!(count("SELECT count(*) FROM attempts"), jobs_put);
    assert_eq!(count("SELECT count(DISTINCT task) FROM attempts"), jobs_put);
    assert_eq!(
        count("SELECT count(*) FROM attempts WHERE outcome = 'exited' AND exit_code = 0"),
        jobs_put
    );
    // Four worked, and each of them a fair part.
    assert_eq!(count("SELECT count(DISTINCT worker) FROM attempts"), 4);
    assert_eq!(
        count("SELECT count(*) FROM workers WHERE stopped IS NULL"),
        0
    );
    let done = taskqueue.run(&["cleanup", "--period", "0"]).ok();
    assert!(
        done.starts_with(&format!("deleted {jobs_put} tasks")),
        "{done}"
    );
}
