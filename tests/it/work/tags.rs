//! What producers call their tasks: whoever puts, they are found again by that.

use serde_json::{Value, json};

use super::{Queue, block_on, on_both};
use crate::support::{Taskqueue, job, put, tube};

on_both!(
    tasks_are_found_by_their_tags,
    another_producers_body_may_have_tags
);

const COMMANDS: &str = "[commands.ok]\nrun = ['/bin/true']\n[commands.no]\nrun = ['/bin/false']\n[tubes.t]\ncommand = 'ok'";

fn listed(taskqueue: &Taskqueue, args: &[&str]) -> Vec<i64> {
    let listed = taskqueue.run(&[&["list", "--json"], args].concat()).json();
    let ids = listed.as_array().unwrap().iter();
    ids.map(|task| task["id"].as_i64().unwrap()).collect()
}

fn tags(taskqueue: &Taskqueue, id: &str) -> Value {
    taskqueue.show(id)["tags"].clone()
}

fn tasks_are_found_by_their_tags(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    let put = |args: &[&str]| taskqueue.run(&[&["put", "--use-tube", "t"], args].concat());
    put(&["ok"]).ok();
    put(&["ok", "--tag", "urgent", "--tag", "customer=4711"]).ok();
    taskqueue
        .run_with(
            &["put", "--use-tube", "t", "--stdin", "--tag", "customer=12%"],
            b"raw",
        )
        .ok();
    let batch = "{\"taskqueue\":1,\"command\":\"no\",\"tags\":[\"b\",\"customer=4711\"]}\n{\"taskqueue\":1,\"command\":\"no\"}\n";
    let args = ["put", "--use-tube", "t", "--batch", "-", "--tag", "batch=7"];
    taskqueue.run_with(&args, batch.as_bytes()).ok();
    assert_eq!(tags(taskqueue, "1"), json!([]));
    assert_eq!(tags(taskqueue, "2"), json!(["customer=4711", "urgent"]));
    assert_eq!(
        tags(taskqueue, "4"),
        json!(["b", "batch=7", "customer=4711"])
    );
    assert!(
        taskqueue
            .run(&["show", "2"])
            .ok()
            .contains("tags       customer=4711, urgent\n")
    );
    assert!(
        taskqueue
            .run(&["list"])
            .ok()
            .contains("customer=4711, urgent")
    );
    for (args, ids) in [
        (&["--tag", "customer"][..], &[4, 3, 2][..]),
        (&["--tag", "customer=4711"], &[4, 2]),
        (&["--tag", "customer=12%"], &[3]),
        (&["--tag", "customer=1%"], &[]),
        (&["--tag", "customer", "--tag", "batch=7"], &[4]),
        (
            &[
                "--tag",
                "batch=7",
                "--command",
                "no",
                "--status",
                "waiting,failed",
            ],
            &[5, 4],
        ),
        (&["--tag", "customer", "2", "5"], &[2]),
        (&["--tag", "custom_r"], &[]),
        (&["--tag", "customer="], &[]),
    ] {
        assert_eq!(listed(taskqueue, args), ids, "{args:?}");
    }
    taskqueue.work("t", 5);
    let regenerate = ["regenerate", "--tag", "customer", "--yes"];
    assert_eq!(taskqueue.run(&regenerate).stdout, "regenerated 1 task\n");
    assert_eq!(taskqueue.show("4")["status"], "waiting");
    for (wrong, said) in [
        (&["ok", "--tag", "=v"][..], "a tag has a name"),
        (
            &["ok", "--tag", "k", "--tag", "k=v"],
            "the tag \"k\" is given twice",
        ),
        (&["ok", "--tag", &"x".repeat(101)], "at most 100 bytes"),
    ] {
        let ran = put(wrong).failed(2);
        assert!(ran.contains(said), "{ran}");
    }
    let many: Vec<String> = (0..21).map(|n| format!("--tag=k{n}")).collect();
    let many: Vec<&str> = ["ok"]
        .into_iter()
        .chain(many.iter().map(String::as_str))
        .collect();
    assert!(put(&many).failed(2).contains("at most 20 tags"));
    put(&many[..21]).ok();
    // Rows of tags go with their tasks.
    taskqueue.work("t", 2);
    taskqueue.run(&["cleanup", "--period", "0", "--status", "done,failed"]);
    let clean = [
        "cleanup", "--period", "0", "--status", "done", "--status", "failed",
    ];
    taskqueue.run(&clean).ok();
    assert_eq!(super::number(taskqueue, "SELECT count(*) FROM tags"), 0);
}

fn another_producers_body_may_have_tags(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure(COMMANDS);
    let body = r#"{"taskqueue":1,"command":"ok","tags":["from=php","urgent"]}"#;
    let wrong = r#"{"taskqueue":1,"command":"ok","tags":"urgent"}"#;
    block_on(async {
        for body in [body, wrong] {
            put(queue.session().as_mut(), &tube("t"), job(body))
                .await
                .unwrap();
        }
    });
    taskqueue.work("t", 2);
    assert_eq!(tags(taskqueue, "1"), json!(["from=php", "urgent"]));
    assert_eq!(taskqueue.show("1")["status"], "done");
    let refused = taskqueue.show("2")["reason"].to_string();
    assert!(refused.contains("is a string, not an array"), "{refused}");
}
