//! Tubes whose workers are another program, as the configuration says: what is put there, and what is not.

use super::{lines, script, stats};
use crate::support::{Beanstalkd, Taskqueue, until};

/// Takes one job after the other and writes its bytes down.
const LOOP: &str = r#"#!/usr/bin/env python3
import os, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); f = s.makefile("rb")
def say(text): s.sendall(text.encode() + b"\r\n"); return f.readline().split()
say("watch t")
while True:
    _, job, size = say("reserve")
    body = f.read(int(size) + 2)[:-2]
    print(body.decode(), file=open("done", "a"), flush=True)
    say(f"delete {int(job)}")
"#;

fn configured(server: &Beanstalkd, protocol: &str) -> Taskqueue {
    let taskqueue = Taskqueue::with(server);
    script(&taskqueue, "loop", LOOP);
    let path = taskqueue.path("loop").display().to_string();
    let file = format!(
        "[commands.ok]\nrun = [\"true\"]\n[tubes.t]\nmax_workers = 1\nmin_workers = 1\nworker_command = [\"{path}\", \"{}\"]\n\
         worker_protocol = \"{protocol}\"\n",
        server.port()
    );
    std::fs::write(taskqueue.path("taskqueue.toml"), file).unwrap();
    taskqueue
}

#[test]
fn bytes_are_put_as_they_are_and_a_task_of_ours_is_refused() {
    for protocol in ["none", "tokens", "lines"] {
        let server = Beanstalkd::start();
        let taskqueue = configured(&server, protocol);
        let put = ["put", "--use-tube", "t"];
        let ran = taskqueue.run_with(&[&put[..], &["--stdin"]].concat(), b"O:1:{to=you}");
        assert_eq!(ran.ok(), "job 1\n");
        let ran = taskqueue.run_with(&[&put[..], &["--stdin", "--json"]].concat(), b"second");
        assert_eq!(ran.ok(), "{\"id\":null,\"job\":2,\"uuid\":null}\n");
        let refused = [
            taskqueue.run(&[&put[..], &["ok"]].concat()),
            taskqueue.run_with(&[&put[..], &["--batch", "-"]].concat(), b"{}\n"),
            taskqueue.run(&["add-example-task", "--use-tube", "t"]),
        ];
        for ran in refused {
            assert_eq!(ran.code, Some(2), "{}", ran.stderr);
            assert!(
                ran.stderr.contains("tube t is served by another"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("--stdin"), "{}", ran.stderr);
        }
        assert_eq!(stats(&server).map(|stats| stats.ready), Some(2));
        let listed = taskqueue.run(&["list", "--json"]).ok_without_store();
        assert_eq!(listed.trim(), "[]");
        let tender = taskqueue.start(&["tender"]);
        until("both done", || lines(&taskqueue, "done").len() == 2);
        assert_eq!(lines(&taskqueue, "done"), ["O:1:{to=you}", "second"]);
        taskqueue.run(&["stop", "--now"]).ok();
        assert_eq!(tender.wait().code, Some(0));
    }
}

#[test]
fn without_a_broker_nothing_is_promised() {
    let server = Beanstalkd::start();
    let taskqueue = configured(&server, "none");
    drop(server);
    let ran = taskqueue.run_with(&["put", "--use-tube", "t", "--stdin"], b"x");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("nothing is recorded"), "{}", ran.stderr);
}

/// Tasks that wait there from a time when it was ours.
#[test]
fn no_pointer_is_put_again_where_it_would_mean_nothing() {
    let mut server = Beanstalkd::start();
    let taskqueue = configured(&server, "own");
    let id = taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    assert_eq!(id, "1\n");
    // Their job is gone, as after a restart without a binlog.
    server.kill();
    server.restart();
    let own = taskqueue.run(&["reconcile", "--dry-run", "--json"]).ok();
    assert!(own.contains(r#""put":1"#), "{own}");
    let file = std::fs::read_to_string(taskqueue.path("taskqueue.toml")).unwrap();
    let file = file.replace("\"own\"", "\"none\"");
    std::fs::write(taskqueue.path("taskqueue.toml"), file).unwrap();
    let done = taskqueue.run(&["reconcile", "--json"]).ok();
    assert!(done.contains(r#""put":0"#), "{done}");
    let named = taskqueue.run(&["reconcile", "--use-tube", "t"]);
    assert_eq!(named.code, Some(2), "{}", named.stderr);
    assert!(named.stderr.contains("another program"), "{}", named.stderr);
    let again = taskqueue.run(&["regenerate", "--id", "1"]);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(
        again.stderr.contains("task 1 is of the tube t"),
        "{}",
        again.stderr
    );
    let tender = taskqueue.start(&["tender"]);
    until("it waits", || {
        stats(&server).is_some_and(|stats| stats.waiting == 1)
    });
    // The first pass is made at once.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(lines(&taskqueue, "done"), [""; 0]);
    taskqueue.run(&["stop", "--now"]).ok();
    assert_eq!(tender.wait().code, Some(0));
}
