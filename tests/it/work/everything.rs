//! Ten thousand jobs of another client, tended by four workers, each run once.

use std::time::Duration;

use beanstalkc::Beanstalkc;
use rustix::process::Signal;

use super::{jobs, number};
use crate::support::{Beanstalkd, Taskqueue, until};

const JOBS: i64 = 10_000;

#[test]
fn ten_thousand_jobs_are_each_run_once() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.true]\nrun = [\"/bin/true\"]\n");
    let mut other = Beanstalkc::new()
        .host("127.0.0.1")
        .port(server.port())
        .connect()
        .unwrap();
    other.use_tube("t").unwrap();
    let body = br#"{"taskqueue":1,"command":"true"}"#;
    for _ in 0..JOBS {
        other
            .put(body, 1024, Duration::ZERO, Duration::from_secs(60))
            .unwrap();
    }
    let tender = taskqueue.start(&[
        "tender",
        "--use-tube",
        "t",
        "--min-workers",
        "4",
        "--max-workers",
        "4",
        "--log",
        "warn",
    ]);
    // The tube tells when it is over; to ask the store would be to take part.
    until("an empty tube", || jobs(&server, "t") == 0);
    tender.signal(Signal::TERM);
    let ended = tender.wait();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    let count = |sql| number(&taskqueue, sql);
    assert_eq!(
        count("SELECT count(*) FROM tasks WHERE status = 'done'"),
        JOBS
    );
    assert_eq!(count("SELECT count(*) FROM tasks"), JOBS);
    assert_eq!(count("SELECT count(*) FROM attempts"), JOBS);
    assert_eq!(count("SELECT count(DISTINCT task) FROM attempts"), JOBS);
    assert_eq!(
        count("SELECT count(*) FROM attempts WHERE outcome = 'exited' AND exit_code = 0"),
        JOBS
    );
    // Four worked, and each of them a fair part.
    assert_eq!(count("SELECT count(DISTINCT worker) FROM attempts"), 4);
    assert_eq!(
        count("SELECT count(*) FROM workers WHERE stopped IS NULL"),
        0
    );
    let done = taskqueue.run(&["cleanup", "--period", "0"]).ok();
    assert_eq!(done, format!("deleted {JOBS} tasks\n"));
}
