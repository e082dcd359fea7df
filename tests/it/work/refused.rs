//! What others put and nobody may run is kept, as much of it as a person looks at.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Beanstalkd, Taskqueue, until};

/// The numbers of all tasks of a tube, and how many of its jobs are buried.
fn kept(taskqueue: &Taskqueue, server: &Beanstalkd, tube: &str) -> (Vec<i64>, usize) {
    let listed = taskqueue.run(&["list", "--json", "--use-tube", tube, "--limit", "10000"]);
    let tasks: Value = serde_json::from_str(&listed.ok_without_store()).unwrap();
    let ids = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].as_i64().unwrap());
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    let mut client = server.other();
    client.use_tube(tube).unwrap();
    let stats = client.stats_tube(tube).unwrap();
    (ids, stats["current-jobs-buried"].parse().unwrap())
}

#[test]
fn refused_bodies_are_bounded_by_number_and_by_size() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[tubes.few]\nmax_refused = 20\n[tubes.small]\nmax_refused_bytes = 1000\n");
    for (tube, size, most) in [("few", 10, 20), ("small", 100, 10)] {
        let mut client = server.other();
        client.use_tube(tube).unwrap();
        for _ in 0..200 {
            let body = "x".repeat(size);
            client
                .put(body.as_bytes(), 0, Duration::ZERO, Duration::from_secs(60))
                .unwrap();
        }
        let worker = taskqueue.start(&["worker", "--use-tube", tube]);
        until("all are refused, and the oldest gone", || {
            let (ids, buried) = kept(&taskqueue, &server, tube);
            let newest = ids.last().copied().unwrap_or_default();
            // A tenth more, until that many have come again.
            newest % 200 == 0
                && newest > 0
                && ids.len() <= most + most / 10 + 1
                && ids.len() == buried
        });
        worker.signal(rustix::process::Signal::TERM);
        let ran = worker.wait();
        assert!(
            ran.stderr
                .contains("deleted the oldest refused tasks with their jobs"),
            "{ran:?}"
        );
        let (ids, _) = kept(&taskqueue, &server, tube);
        let first = ids.last().unwrap() - ids.len() as i64 + 1;
        assert_eq!(ids[0], first, "the newest are kept, without a gap: {ids:?}");
        assert!(ids.len() >= most, "{ids:?}");
    }
}
