//! Workers that promise no word: whatever loop there is, and the PHP TaskQueue's before their first job.

use std::time::Duration;

use rustix::process::Signal;

use super::{drained, lines, script, stands, tend_by, the_worker};
use crate::support::{Taskqueue, until};

/// Works without a pause, half a second a job, and goes after the one at which TERM met it.
const LOOP: &str = "#!/bin/bash\ntrap 'gone=1' TERM\nenv | grep -c TENDER_FD >> link\n\
    until [ \"${gone:-}\" ]; do echo b >> begun; sleep 0.5 & until wait $!; do :; done; echo e >> ended; done\n\
    echo went >> ended\n";

const NONE: [&str; 2] = ["--worker-protocol", "none"];

#[test]
fn a_loop_that_says_nothing_is_alive_and_told_by_term_to_go() {
    let taskqueue = Taskqueue::alone();
    script(&taskqueue, "loop", LOOP);
    let tender = tend_by(&taskqueue, "./loop", &NONE);
    until("alive", || stands(&taskqueue) == "alive");
    let text = taskqueue.run(&["status"]).ok();
    assert!(text.contains("1 do not say whether they work"), "{text}");
    assert_eq!(lines(&taskqueue, "link"), ["0"]);
    let log = drained(tender);
    assert!(!log.contains("killed"), "{log}");
    assert!(!log.contains("worker_protocol"), "{log}");
    let (begun, ended) = (lines(&taskqueue, "begun"), lines(&taskqueue, "ended"));
    assert_eq!(ended.len(), begun.len() + 1, "a job was cut");
    assert_eq!(ended.last().map(String::as_str), Some("went"));
}

#[test]
fn only_the_end_of_the_grace_period_kills_it() {
    let taskqueue = Taskqueue::alone();
    script(
        &taskqueue,
        "loop",
        "#!/bin/bash\ntrap '' TERM\nwhile :; do sleep 1; done\n",
    );
    let more = [
        &NONE[..],
        &["--max-worker-age", "2", "--grace-period", "0.2"],
    ]
    .concat();
    let tender = tend_by(&taskqueue, "./loop", &more);
    until("alive", || stands(&taskqueue) == "alive");
    let first = the_worker(&taskqueue);
    until("recycled", || stands(&taskqueue) == "stopping");
    // It would have been killed at once if its grace were meant, and in 30 s if it were idle.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(
        (the_worker(&taskqueue), stands(&taskqueue)),
        (first, "stopping".into())
    );
    let log = drained(tender);
    assert!(log.contains("did not go in time"), "{log}");
}

#[test]
fn one_that_holds_too_much_is_replaced_without_a_word_of_it() {
    let taskqueue = Taskqueue::alone();
    let worker = "#!/usr/bin/env python3\nimport time\nheld = b'x' * 100000000\nprint(len(held), flush=True)\ntime.sleep(300)\n";
    script(&taskqueue, "loop", worker);
    let more = [&NONE[..], &["--max-worker-memory", "60000000"]].concat();
    let tender = tend_by(&taskqueue, "./loop", &more);
    let first = the_worker(&taskqueue);
    until("another", || the_worker(&taskqueue) != first);
    let log = drained(tender);
    assert!(log.contains("reached its memory"), "{log}");
}

/// What the PHP worker prints while its tube is empty: no token.
#[test]
fn one_of_tokens_counts_before_its_first_token_and_hears_the_first_of_any_kind() {
    let taskqueue = Taskqueue::alone();
    let worker = "#!/bin/bash\ntrap 'exit 0' TERM\necho Taskworker observing tube:$TASKQUEUE_TUBE\n\
        until [ -e go ]; do sleep 0.1; done\necho '[[CHILD::BUSY]]:{}'\n\
        until [ -e done ]; do sleep 0.1; done\necho '[[CHILD::READY]]:'\nwhile :; do sleep 0.1; done\n";
    script(&taskqueue, "worker", worker);
    let tokens = ["--worker-protocol", "tokens"];
    let tender = tend_by(&taskqueue, "./worker", &tokens);
    until("alive", || stands(&taskqueue) == "alive");
    std::fs::write(taskqueue.path("go"), "").unwrap();
    until("busy", || stands(&taskqueue) == "busy");
    std::fs::write(taskqueue.path("done"), "").unwrap();
    until("idle", || stands(&taskqueue) == "idle");
    let shown = taskqueue.run(&["status", "--json"]).ok();
    assert!(shown.contains(r#""jobs":1"#), "{shown}");
    let log = drained(tender);
    assert!(!log.contains("misunderstood"), "{log}");
    assert!(!log.contains("killed"), "{log}");
}

/// Nobody said how it reports: it is said that nobody did, and TERM tells it too.
#[test]
fn a_loop_whose_protocol_is_not_said_is_told_by_term_too() {
    let taskqueue = Taskqueue::alone();
    script(&taskqueue, "loop", LOOP);
    let tender = tend_by(&taskqueue, "./loop", &[]);
    until("it works", || !lines(&taskqueue, "ended").is_empty());
    let log = drained(tender);
    assert!(
        log.contains("worker_protocol = \\\"none\\\"")
            || log.contains("worker_protocol = \"none\""),
        "{log}"
    );
    assert!(!log.contains("killed"), "{log}");
    assert_eq!(
        lines(&taskqueue, "ended").last().map(String::as_str),
        Some("went")
    );
}

#[test]
fn there_are_always_as_many_of_it() {
    let taskqueue = Taskqueue::alone();
    script(&taskqueue, "loop", LOOP);
    let tender = tend_by(&taskqueue, "./loop", &NONE);
    until("alive", || stands(&taskqueue) == "alive");
    let refused = taskqueue.run(&["scale", "t", "--max", "3"]).failed(2);
    assert!(refused.contains("the same number"), "{refused}");
    taskqueue
        .run(&["scale", "t", "--min", "3", "--max", "3"])
        .ok();
    let alive = || taskqueue.run(&["status", "--json"]).stdout;
    until("three", || {
        alive().matches(r#""state":"alive""#).count() == 3
    });
    drained(tender);
}

#[test]
fn what_cannot_be_known_of_it_is_refused() {
    let taskqueue = Taskqueue::alone();
    let tend = ["tender", "--use-tube", "t", "--worker-command", "./loop"];
    let refused: [(&[&str], &str); 5] = [
        (&["--mode", "dynamic"], "cannot be dynamic"),
        (&["--mode", "ondemand"], "cannot be ondemand"),
        (&["--min-workers", "1"], "between two numbers"),
        (&["--spare-workers", "2"], "kept spare"),
        (&["--max-worker-jobs", "5"], "cannot be counted"),
    ];
    for (more, why) in refused {
        let ran = taskqueue.run(&[&tend[..], &NONE, more].concat());
        assert_eq!(ran.code, Some(2), "{more:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{more:?}: {}", ran.stderr);
    }
    let file = "[tubes.t]\nworker_protocol = \"none\"\n";
    std::fs::write(taskqueue.path("taskqueue.toml"), file).unwrap();
    let ran = taskqueue.run(&["tender", "--config", "taskqueue.toml"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("no worker_command"), "{}", ran.stderr);
}

/// The default of ours, 600 s and 6 MB, would cut the job of every loop that does not catch TERM.
#[test]
fn it_is_replaced_only_by_what_is_said() {
    let taskqueue = Taskqueue::alone();
    script(
        &taskqueue,
        "loop",
        "#!/bin/bash\nhead -c 7000000 /dev/zero\nexec sleep 300\n",
    );
    let tender = tend_by(&taskqueue, "./loop", &NONE);
    let first = the_worker(&taskqueue);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(the_worker(&taskqueue), first);
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}
