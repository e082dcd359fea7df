//! `taskqueue wait` and `put --wait`

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Beanstalkd, Running, Taskqueue, until};

/// A tube's tender, and commands that say how they end.
fn stage(server: &Beanstalkd) -> (Taskqueue, Running) {
    let taskqueue = Taskqueue::with(server);
    let log = taskqueue.path("log");
    let command = |name: &str, script: &str, more: &str| {
        let log = log.display();
        format!("[commands.{name}]\nrun = [\"/bin/sh\", \"-c\", '{script}', \"{log}\"]\n{more}\n")
    };
    taskqueue.configure(
        &[
            command("add", "echo $(($1 + $2)); echo done >&2", ""),
            command("bytes", "printf \"a\\000b\\377\"", ""),
            command("much", "head -c 200000 /dev/zero | tr \"\\000\" x", ""),
            command("no", "echo why; exit 7", ""),
            command("killed", "echo so far; kill -9 $$", ""),
            command("slow", "echo begin >> $0; sleep 2; echo end >> $0", ""),
            command(
                "again",
                "echo attempt $TASKQUEUE_ATTEMPT; [ $TASKQUEUE_ATTEMPT = 2 ]",
                "max_attempts = 2\nbackoff = { first = 1 }",
            ),
            "[commands.missing]\nrun = [\"/nowhere\"]\n".into(),
            "[tubes.t]\n".into(),
        ]
        .concat(),
    );
    let tender = taskqueue.start(&["tender", "--use-tube", "t", "--log", "error"]);
    (taskqueue, tender)
}

fn put_and_wait(taskqueue: &Taskqueue, args: &[&str]) -> (Option<i32>, String, String) {
    let put = ["put", "--use-tube", "t", "--wait"];
    let ran = taskqueue.run(&[&put[..], args].concat());
    (ran.code, ran.stdout, ran.stderr)
}

fn is(code: i32, stdout: &str) -> (Option<i32>, String, String) {
    (Some(code), stdout.to_owned(), String::new())
}

#[test]
fn a_put_that_waits_stands_where_the_command_stood() {
    let server = Beanstalkd::start();
    let (taskqueue, tender) = stage(&server);
    // The store keeps both streams as one.
    assert_eq!(
        put_and_wait(&taskqueue, &["add", "2", "3"]),
        is(0, "5\ndone\n")
    );
    assert_eq!(put_and_wait(&taskqueue, &["no"]), is(7, "why\n"));
    assert_eq!(put_and_wait(&taskqueue, &["killed"]), is(137, "so far\n"));
    // A failure that is tried again is no end.
    assert_eq!(put_and_wait(&taskqueue, &["again"]), is(0, "attempt 2\n"));
    let (code, printed, said) = put_and_wait(&taskqueue, &["much"]);
    assert_eq!((code, printed.len()), (Some(0), 2 * 64 * 1024));
    assert!(said.contains("68928 bytes were left out"), "{said}");
    // Byte for byte, through a shell as in a script of somebody's.
    let put = ["put", "--use-tube", "t", "--wait", "bytes"];
    let output = taskqueue.command(&put).output().unwrap();
    assert_eq!(output.stdout, b"a\0b\xff");

    let begin = Instant::now();
    let (code, printed, said) = put_and_wait(&taskqueue, &["--timeout", "0.5", "slow"]);
    assert_eq!((code, printed.as_str()), (Some(124), ""));
    assert!(
        begin.elapsed() < Duration::from_millis(1900),
        "{:?}",
        begin.elapsed()
    );
    assert!(said.contains("task 7 goes on"), "{said}");
    // And so it does.
    taskqueue.run(&["wait", "7"]).ok();
    let log = std::fs::read_to_string(taskqueue.path("log")).unwrap();
    assert_eq!(log, "begin\nend\n");

    // Called off by somebody else: no code of its own, and why.
    let waits = taskqueue.start(&["put", "--use-tube", "t", "--wait", "slow"]);
    until("it runs", || {
        taskqueue
            .run(&["list", "--status", "running", "--json"])
            .json()
            != json!([])
    });
    taskqueue.run(&["cancel", "8", "--reason", "no"]).ok();
    let ran = waits.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(143), ""));
    assert_eq!(ran.stderr, "taskqueue: task 8 was cancelled: no\n");
    // In the place of `x=$(add 2 3)`, in a script of somebody's.
    let script = "put='put --use-tube t --wait'; x=$(\"$0\" $put add 2 3); echo $? $x; y=$(\"$0\" $put no); echo $? $y";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_taskqueue")]);
    let as_ever = taskqueue.command(&[]);
    let known = as_ever
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let output = shell
        .env_clear()
        .envs(known)
        .current_dir(taskqueue.path(""))
        .output();
    assert_eq!(
        String::from_utf8_lossy(&output.unwrap().stdout),
        "0 5 done\n7 why\n"
    );
    tender.signal(Signal::TERM);
    tender.wait();
}

#[test]
fn a_wait_ends_when_its_tasks_have_and_says_how() {
    let server = Beanstalkd::start();
    let (taskqueue, tender) = stage(&server);
    for args in [&["add", "1", "1"][..], &["no"], &["again"], &["slow"]] {
        taskqueue
            .run(&[&["put", "--use-tube", "t"][..], args].concat())
            .ok();
    }
    let later = ["put", "--use-tube", "t", "--delay", "600", "no"];
    taskqueue.run(&later).ok();
    let wait = |args: &[&str]| taskqueue.run(&[&["wait"][..], args].concat());
    assert_eq!(wait(&["1"]).ok(), "task 1 is done\n");
    let ran = wait(&["1,2"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    assert_eq!(ran.stdout, "task 1 is done\ntask 2 has failed\n");
    // Its first attempt fails.
    assert_eq!(wait(&["3"]).ok(), "task 3 is done\n");
    assert_eq!(taskqueue.show("3")["attempts_total"], 2);
    assert_eq!(wait(&["5", "4", "--any"]).ok(), "task 4 is done\n");
    let begin = Instant::now();
    let ran = wait(&["1", "5", "--timeout", "0.3", "--json"]);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(ran.code, Some(124));
    assert!(ran.stderr.contains("one task has not ended: 5"), "{ran:?}");
    let expected = json!([
        {"ended": true, "id": 1, "status": "done"},
        {"ended": false, "id": 5, "status": null},
    ]);
    let printed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(printed, expected);
    // What is not there is said at once.
    let said = wait(&["5", "99"]).failed(3);
    assert!(
        said.starts_with("taskqueue: No such task :99 in the store "),
        "{said}"
    );
    // What is deleted while somebody waits is gone.
    let waits = taskqueue.start(&["wait", "5"]);
    std::thread::sleep(Duration::from_millis(300));
    taskqueue
        .sqlite()
        .execute("DELETE FROM tasks WHERE id = 5", [])
        .unwrap();
    assert_eq!(waits.wait().code, Some(3));
    tender.signal(Signal::TERM);
    tender.wait();
}

#[test]
fn a_filter_means_those_that_pass_it_at_the_beginning() {
    let server = Beanstalkd::start();
    let (taskqueue, tender) = stage(&server);
    let put = |args: &[&str]| {
        taskqueue
            .run(&[&["put", "--use-tube", "t"], args].concat())
            .ok();
    };
    put(&["--tag", "k=1", "add", "1", "1"]);
    put(&["--tag", "k=1", "slow"]);
    put(&["--tag", "k=2", "--delay", "600", "add", "1", "1"]);
    let wait = |args: &[&str]| taskqueue.run(&[&["wait"], args].concat());
    let said = wait(&[]).failed(2);
    assert!(
        said.contains("taskqueue wait was not told which tasks are meant"),
        "{said}"
    );
    assert_eq!(
        wait(&["--tag", "k=1"]).ok(),
        "task 1 is done\ntask 2 is done\n"
    );
    // Put while somebody waits: not waited for, whatever tag it has.
    let waits = taskqueue.start(&["wait", "--use-tube", "t", "--status", "waiting,running"]);
    std::thread::sleep(Duration::from_millis(300));
    put(&["--delay", "600", "add", "1", "1"]);
    taskqueue.run(&["run-now", "3"]).ok();
    let ran = waits.wait();
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "task 3 is done\n")
    );
    // Some have ended by then; what has failed counts, unless --status says otherwise.
    put(&["--tag", "k=3", "no"]);
    assert_eq!(wait(&["5"]).failed(1), "");
    for (args, code) in [
        (&["--tag", "k"][..], 1),
        (&["--tag", "k", "--any"], 0),
        (&["--tag", "k", "--status", "done"], 0),
        (&["--reason", "code 7"], 1),
        (&["--use-tube", "t", "--timeout", "0.2"], 124),
        (&["4", "--any", "--timeout", "0.2"], 124),
        (&["3,99", "--tag", "k"], 0),
        (&["3,99"], 3),
    ] {
        let ran = wait(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    }
    let from_input = taskqueue.run_with(&["wait", "-"], b"1\n3\n");
    assert_eq!(from_input.ok(), "task 1 is done\ntask 3 is done\n");
    let none = wait(&["--tag", "nosuch", "--any", "--json"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), "[]\n"));
    assert_eq!(none.stderr, "no task is meant, so none is waited for\n");
    tender.signal(Signal::TERM);
    tender.wait();
}
