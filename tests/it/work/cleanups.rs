//! Commands that are clients of something else: what they leave running elsewhere is ended by their cleanup.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{exists, lines, status};
use crate::support::{Running, Taskqueue, until};

/// A client: what it has done for it runs where nobody sees to it, without the attempt's token, group and lock, and is
/// named by the task. It says when it begins, and whether other work of the task was going on then.
const CLIENT: &str = r#"
for pid in $(cat work); do
    runs $pid && echo beside $TASKQUEUE_ATTEMPT >> log
done
echo begin $TASKQUEUE_ATTEMPT >> log
env -i setsid bash -c '
    for fd in /proc/self/fd/*; do fd=${fd##*/}; eval "exec $fd<&-"; done
    echo $$ >> work; exec /bin/sleep 300' &
while [ $(grep -c . work) -lt $TASKQUEUE_ATTEMPT ]; do sleep 0.02; done
[ $TASKQUEUE_ATTEMPT -lt 2 ] && sleep 300
echo end $TASKQUEUE_ATTEMPT >> log
"#;

/// Ends what the client had done, and says which variables it got.
const TIDY: &str = r#"
echo tidy $TASKQUEUE_ATTEMPT >> log
env | grep ^TASKQUEUE_ | sort > variables
end
echo tidied
"#;

/// Whether a process runs; and the end of what the client had done.
const COMMON: &str = r#"
runs() { grep -qs 'State:.[^ZX]' /proc/$1/status; }
end() { for pid in $(cat work); do kill -9 $pid; while runs $pid; do sleep 0.01; done; done; }
"#;

fn script(taskqueue: &Taskqueue, name: &str, text: &str) {
    let path = taskqueue.path(name);
    fs::write(&path, format!("#!/bin/bash\n{COMMON}{text}")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
}

/// With one task that waits, of such a client; more may be said of its command.
fn with_client(more: &str) -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    script(&taskqueue, "client", CLIENT);
    script(&taskqueue, "tidy", TIDY);
    fs::write(taskqueue.path("work"), "").unwrap();
    taskqueue.configure(&format!(
        "[commands.client]\nrun = ['./client']\ncleanup = ['./tidy', '{{command}}']\nbackoff = {{ first = '0s' }}\n{more}"
    ));
    taskqueue.run(&["put", "--use-tube", "t", "client"]).ok();
    taskqueue
}

fn log(taskqueue: &Taskqueue) -> Vec<String> {
    lines(&taskqueue.path("log"))
}

/// Ends what runs elsewhere when a test has seen enough.
fn end_work(taskqueue: &Taskqueue) {
    for pid in lines(&taskqueue.path("work")) {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

#[test]
fn what_a_client_left_elsewhere_ends_before_the_next_attempt_begins() {
    let taskqueue = with_client("timeout = '1s'\nmax_attempts = 2\n");
    taskqueue.work("t", 2);
    assert_eq!(log(&taskqueue), ["begin 1", "tidy 1", "begin 2", "end 2"]);
    assert_eq!(status(&taskqueue, "1"), "done");
    let task = taskqueue.show("1");
    let variables = lines(&taskqueue.path("variables"));
    for expected in [
        "TASKQUEUE_ATTEMPT=1".to_owned(),
        "TASKQUEUE_COMMAND=client".into(),
        "TASKQUEUE_TASK_ID=1".into(),
        "TASKQUEUE_JOB_ID=1".into(),
        "TASKQUEUE_TUBE=t".into(),
        format!("TASKQUEUE_UUID={}", task["uuid"].as_str().unwrap()),
        format!("TASKQUEUE_STORE_ID={}", super::store_id(&taskqueue)),
    ] {
        assert!(variables.contains(&expected), "{expected}: {variables:?}");
    }
    // What is done is nobody's to end.
    let work = lines(&taskqueue.path("work"));
    assert!(exists(&work[1]));
    end_work(&taskqueue);
}

#[test]
fn a_worker_that_goes_cleans_up_after_the_command_that_it_ends() {
    let taskqueue = with_client("");
    let args = ["worker", "--use-tube", "t", "--grace-period", "0"];
    let worker = taskqueue.start(&args);
    until("the work goes on", || {
        !lines(&taskqueue.path("work")).is_empty()
    });
    worker.signal(Signal::TERM);
    let ran = worker.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(log(&taskqueue), ["begin 1", "tidy 1"]);
    assert!(
        ran.stderr.contains("cleaned up after an attempt"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("tidied"), "{ran:?}");
    assert_eq!(status(&taskqueue, "1"), "waiting");
}

/// Has a worker begin the client, and kills the worker.
fn killed(taskqueue: &Taskqueue) {
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    until("the work goes on", || {
        !lines(&taskqueue.path("work")).is_empty()
    });
    worker.signal(Signal::KILL);
    worker.wait();
}

#[test]
fn whoever_takes_a_dead_workers_attempt_over_cleans_up_once() {
    let taskqueue = with_client("");
    killed(&taskqueue);
    taskqueue.work("t", 1);
    assert_eq!(log(&taskqueue), ["begin 1", "tidy 1", "begin 2", "end 2"]);
    end_work(&taskqueue);
}

#[test]
fn reconciling_by_hand_cleans_up_too() {
    let taskqueue = with_client("");
    killed(&taskqueue);
    let ran = taskqueue.run(&["reconcile", "--use-tube", "t"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(log(&taskqueue), ["begin 1", "tidy 1"]);
    assert_eq!(status(&taskqueue, "1"), "waiting");
    taskqueue.work("t", 1);
    assert_eq!(log(&taskqueue), ["begin 1", "tidy 1", "begin 2", "end 2"]);
    end_work(&taskqueue);
}

/// Whoever dies while the cleanup runs leaves nothing of it running beside the next one's.
#[test]
fn a_cleanup_whose_worker_dies_is_ended_and_run_again() {
    let taskqueue = with_client("timeout = '0.3s'\nmax_attempts = 2\n");
    script(
        &taskqueue,
        "tidy",
        "echo $$ >> tidies\n[ $(grep -c . tidies) -gt 1 ] || sleep 300\necho tidy >> log\nend\n",
    );
    let worker = taskqueue.start(&["worker", "--use-tube", "t"]);
    let tidies = taskqueue.path("tidies");
    until("it is being cleaned up", || !lines(&tidies).is_empty());
    worker.signal(Signal::KILL);
    worker.wait();
    taskqueue.work("t", 1);
    let tidies = lines(&tidies);
    assert_eq!(tidies.len(), 2);
    assert!(!exists(&tidies[0]), "two cleanups at once");
    assert_eq!(log(&taskqueue), ["begin 1", "tidy", "begin 2", "end 2"]);
    end_work(&taskqueue);
}

#[test]
fn a_cleanup_that_fails_or_hangs_is_told_and_holds_nothing_up() {
    for (tidy, reason) in [
        ("echo no such container; exit 3\n", "it exited with 3"),
        ("echo no such container; sleep 300\n", "it was killed after"),
    ] {
        let taskqueue = with_client("timeout = '0.3s'\nmax_attempts = 2\n");
        script(&taskqueue, "tidy", tidy);
        let begun = Instant::now();
        let args = ["worker", "--use-tube", "t", "--max-jobs", "2"];
        let ran = Running::start(taskqueue.command(&args)).wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(status(&taskqueue, "1"), "done");
        for told in [reason, "no such container", "could not clean up"] {
            assert!(ran.stderr.contains(told), "{told}: {ran:?}");
        }
        end_work(&taskqueue);
    }
}

#[test]
fn what_exits_by_itself_is_not_cleaned_up_after() {
    let taskqueue = Taskqueue::embedded();
    script(&taskqueue, "tidy", "echo tidy >> log\n");
    taskqueue.configure(
        "[commands.well]\nrun = ['/bin/true']\ncleanup = ['./tidy']\n\
         [commands.not]\nrun = ['/bin/false']\ncleanup = ['./tidy']\n\
         [commands.killed]\nrun = ['/bin/sh', '-c', 'kill -9 $$']\ncleanup = ['./tidy']\n",
    );
    for command in ["well", "not"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.work("t", 2);
    assert!(log(&taskqueue).is_empty());
    // By somebody else, or by the kernel: what it had others do goes on.
    taskqueue.run(&["put", "--use-tube", "t", "killed"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(log(&taskqueue), ["tidy"]);
}
