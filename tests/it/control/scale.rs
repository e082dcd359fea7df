//! Other limits while it runs, and why a pool is as big as it is.

use rustix::process::Signal;

use super::{pids, pool, tend, until_busy, until_idle};
use crate::support::{Taskqueue, until};

#[test]
fn a_pool_grows_and_shrinks_and_no_worker_is_ended_that_is_needed() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "600"])
        .ok();
    until_busy(&taskqueue, 1);
    let busy = pids(&pool(&taskqueue));
    let said = taskqueue
        .run(&["scale", "t", "--min", "3", "--max", "4"])
        .ok();
    assert_eq!(said, "t: at least 3, 0 spare, at most 4\n");
    until_idle(&taskqueue, 2);
    assert!(
        pids(&pool(&taskqueue)).is_superset(&busy),
        "a worker was replaced"
    );

    let said = taskqueue
        .run(&["scale", "t", "--min", "0", "--max", "1", "--json"])
        .json();
    let expected = serde_json::json!({"tube": "t", "min": 0, "spare": 0, "max": 1});
    assert_eq!(said, expected);
    until("one left", || pids(&pool(&taskqueue)) == busy);

    let said = taskqueue.run(&["explain", "t", "--json"]).json();
    assert_eq!(said["tube"], "t");
    let decisions = said["decisions"].as_array().unwrap();
    let find = |decision: &str, reason: &str| {
        let mut found = decisions.iter();
        found.any(|d| d["decision"] == decision && d["reason"].as_str().unwrap().contains(reason))
    };
    for (decision, reason) in [
        ("start 1", "0 of at least 1"),
        ("start 2", "1 of at least 3"),
        ("retire 2", "3 of at most 1"),
        ("hold", "as many as wanted"),
    ] {
        assert!(find(decision, reason), "{decision}: {said}");
    }
    let ages: Vec<f64> = decisions
        .iter()
        .map(|d| d["age"].as_f64().unwrap())
        .collect();
    assert!(ages.is_sorted_by(|a, b| a >= b), "{ages:?}");
    let text = taskqueue.run(&["explain", "t"]).ok();
    assert!(text.contains("1 of at least 3"), "{text}");
    // A worker whose tender is killed would finish what it runs.
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn limits_that_make_no_sense_are_refused_by_name() {
    let taskqueue = Taskqueue::embedded();
    let said = taskqueue.run(&["scale", "t", "--max", "2"]).failed(1);
    assert!(said.contains("no tender tends the tube t"), "{said}");
    taskqueue.run(&["scale", "t"]).failed(2);

    let _tender = tend(&taskqueue, 2, 4, &["--log", "error"]);
    until_idle(&taskqueue, 2);
    let said = taskqueue.run(&["scale", "t", "--min", "5"]).failed(2);
    assert!(
        said.contains("min workers 5 is more than max workers 4"),
        "{said}"
    );
    let said = taskqueue.run(&["scale", "t", "--max", "1"]).failed(2);
    assert!(
        said.contains("min workers 2 is more than max workers 1"),
        "{said}"
    );
    taskqueue.run(&["scale", "other", "--max", "1"]).failed(1);
    let pool = pool(&taskqueue);
    assert_eq!((&pool["min"], &pool["max"]), (&2.into(), &4.into()));
    let said = taskqueue.run(&["explain", "other"]).failed(1);
    assert!(said.contains("no tender tends the tube other"), "{said}");
}

#[test]
fn ttin_and_ttou_are_one_worker_more_and_one_fewer() {
    let taskqueue = Taskqueue::embedded();
    let tender = tend(&taskqueue, 2, 2, &["--log", "error"]);
    until_idle(&taskqueue, 2);
    tender.signal(Signal::TTIN);
    until_idle(&taskqueue, 3);
    assert_eq!(pool(&taskqueue)["max"], 3);
    for max in [2, 1, 1] {
        tender.signal(Signal::TTOU);
        until("fewer", || pool(&taskqueue)["max"] == max);
    }
    until_idle(&taskqueue, 1);
}
