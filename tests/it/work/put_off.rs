//! Commands that say "not now": their tasks wait, and that costs none of their attempts.

use serde_json::{Value, json};

use super::reports::{configure, outcomes, put};
use super::{Queue, jobs, number, on_both, stats, status};
use crate::support::{Taskqueue, until};

on_both!(
    not_now_costs_no_attempt,
    not_now_has_a_bound,
    what_is_put_off_says_so_and_may_be_called_off,
    who_is_called_off_puts_nothing_off,
);

fn not_now_costs_no_attempt(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(
        taskqueue,
        r#"
        [ $TASKQUEUE_ATTEMPT -gt 2 ] && exit 0
        $TQ report --retry-in 1s --result 1
        [ $TASKQUEUE_ATTEMPT = 1 ] && exit 0 || exit 75
        "#,
        "",
    );
    taskqueue.work("t", 1);
    let task = taskqueue.show("1");
    assert_eq!(
        (&task["status"], &task["result"]),
        (&json!("waiting"), &Value::Null)
    );
    assert_eq!(outcomes(&task), [("deferred", Some(0))]);
    assert_eq!(stats(queue, "t").delayed, 1);
    taskqueue.work("t", 2);
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "done");
    assert_eq!(
        outcomes(&task),
        [
            ("deferred", Some(0)),
            ("deferred", Some(75)),
            ("exited", Some(0))
        ]
    );
    assert_eq!(number(taskqueue, "SELECT spent FROM tasks"), 1);
    assert_eq!(number(taskqueue, "SELECT deferred FROM tasks"), 2);
}

fn not_now_has_a_bound(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(
        taskqueue,
        "$TQ report --retry-in 0",
        "max_snoozes = 2\nmax_attempts = 5",
    );
    taskqueue.work("t", 3);
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "failed");
    let reason = "it has put itself off 3 times, and its max_snoozes is 2";
    assert_eq!(task["reason"], reason);
    assert_eq!(outcomes(&task), [("deferred", Some(0)); 3]);
    until("its job is gone", || jobs(queue, "t") == 0);
    taskqueue.run(&["regenerate", "--id", "1"]).ok();
    taskqueue.work("t", 3);
    assert_eq!(taskqueue.show("1")["reason"], reason, "a fresh budget");
}

fn what_is_put_off_says_so_and_may_be_called_off(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(
        taskqueue,
        "[ $TASKQUEUE_ATTEMPT = 2 ] || $TQ report --retry-in 1h --message 'the shop is\nclosed'",
        "",
    );
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
    taskqueue.work("t", 3);
    let said = taskqueue.run(&["why", "1", "--json"]).json();
    assert_eq!(said["why"], "deferred");
    let said = taskqueue.run(&["why", "1"]).ok();
    assert!(
        said.starts_with("its command has put it off, for another 59m "),
        "{said}"
    );
    assert!(
        said.ends_with("s: the shop is\\u{a}closed; sooner: taskqueue run-now 1\n"),
        "{said}"
    );
    let cancel = ["cancel", "1", "--reason", "sold out"];
    assert_eq!(taskqueue.run(&cancel).ok(), "task 1 was cancelled\n");
    taskqueue.run(&["run-now", "2"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "2"), "done");
    taskqueue.run(&["cancel", "3"]).ok();
    for (id, reason) in [("1", json!("sold out")), ("3", Value::Null)] {
        let task = taskqueue.show(id);
        assert_eq!(
            (&task["status"], &task["reason"]),
            (&json!("cancelled"), &reason)
        );
        assert_eq!(outcomes(&task), [("deferred", Some(0))]);
        assert_eq!(task["report"]["message"], "the shop is\nclosed");
    }
    // The reason of a filter is the task's, and not what its command says. Who runs again has a fresh budget.
    let again = |reason: &str| {
        let cancelled = ["regenerate", "--status", "cancelled", "--yes", "--reason"];
        taskqueue.run(&[&cancelled[..], &[reason]].concat()).stdout
    };
    assert_eq!(again("the shop"), "regenerated 0 tasks\n");
    assert_eq!(again("sold"), "regenerated 1 task\n");
    taskqueue.work("t", 1);
    assert_eq!(status(taskqueue, "1"), "done");
    let deferred = "SELECT deferred FROM tasks WHERE id = 1";
    assert_eq!(number(taskqueue, deferred), 0);
}

fn who_is_called_off_puts_nothing_off(taskqueue: &Taskqueue, queue: &dyn Queue) {
    put(
        taskqueue,
        r#"
        trap '$TQ report --retry-in 1h --progress 40; exit 0' TERM
        echo > begun
        while :; do sleep 0.1; done
        "#,
        "",
    );
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    until("it runs", || taskqueue.path("begun").exists());
    taskqueue.run(&["cancel", "1"]).ok();
    assert_eq!(worker.wait().code, Some(0));
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "cancelled", "{task}");
    assert_eq!(outcomes(&task), [("cancelled", Some(0))]);
    assert_eq!(task["report"]["progress"], json!(40));
    until("its job is gone", || jobs(queue, "t") == 0);
}
