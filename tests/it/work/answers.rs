//! What a worker answers to its tender's orders.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::support::{Running, Taskqueue, until};

/// A tender's end of a link.
struct Link {
    lines: std::io::Lines<BufReader<UnixStream>>,
    orders: UnixStream,
}

impl Link {
    fn new(stream: UnixStream) -> Link {
        let orders = stream.try_clone().unwrap();
        let lines = BufReader::new(stream).lines();
        Link { lines, orders }
    }

    fn say(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The next report of that kind.
    fn hears(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().expect("the worker is gone").unwrap();
            let report: Value = serde_json::from_str(&line).unwrap();
            if report["report"] == kind {
                return report;
            }
        }
    }

    fn is_answered(&mut self, order: &Value) -> Value {
        self.say(order);
        self.hears("answered")
    }
}

#[test]
fn every_order_is_answered_by_its_ticket() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    let worker = ["worker", "--use-tube", "t", "--log-file", "log"];
    let (worker, stream) = Running::start_tended(taskqueue.command(&worker));
    let mut link = Link::new(stream);
    link.hears("ready");
    let done = |ticket: u64| json!({"report": "answered", "ticket": ticket});

    let ping = json!({"order": "ping", "ticket": 7});
    assert_eq!(link.is_answered(&ping), done(7));

    let reload = |ticket: u64| json!({"order": "reload", "ticket": ticket});
    assert_eq!(link.is_answered(&reload(8)), done(8));
    taskqueue.configure("nonsense");
    let refused = link.is_answered(&reload(9));
    assert_eq!(refused["ticket"], 9);
    let reason = refused["refused"].as_str().unwrap();
    assert!(reason.contains("taskqueue.toml"), "{reason}");

    let reopen = |ticket: u64| json!({"order": "reopen", "ticket": ticket});
    fs::rename(taskqueue.path("log"), taskqueue.path("log.1")).unwrap();
    assert_eq!(link.is_answered(&reopen(10)), done(10));
    until("a new file", || taskqueue.path("log").exists());

    // Also while a command runs, which a drain lets end and a stop does not.
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "600"])
        .ok();
    link.hears("busy");
    // Without a ticket there is no answer: the next one is another's.
    link.say(&json!({"order": "ping"}));
    assert_eq!(
        link.is_answered(&json!({"order": "drain", "ticket": 12})),
        done(12)
    );
    until("it runs on", || taskqueue.show("1")["status"] == "running");
    assert_eq!(
        link.is_answered(&json!({"order": "stop", "ticket": 13})),
        done(13)
    );
    assert_eq!(worker.wait().code, Some(0));
}
