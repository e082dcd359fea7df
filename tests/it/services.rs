//! Whatever runs beside a tender's loop panics once, as it begins, and does its work all the same: whole processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;

use crate::support::{Beanstalkd, Running, Taskqueue, until};

/// Says which service panics. Its first time in each process, and no more.
const PANIC_IN: &str = "TASKQUEUE_PANIC_IN";

/// Sooner than others would do the work of a service that is not there.
const SOON: Duration = Duration::from_secs(15);

/// A tender in which a service has panicked, or will.
struct Troubled {
    service: &'static str,
    taskqueue: Taskqueue,
    tender: Running,
}

impl Troubled {
    fn tend(taskqueue: Taskqueue, service: &'static str, more: &[&str]) -> Troubled {
        taskqueue.configure(
            "[commands.ok]\nrun = [\"true\"]\n\
             [commands.slow]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ >> pids; exec sleep 300\"]\n",
        );
        let tender = ["tender", "--use-tube", "t", "--spare-workers", "0"];
        let log = ["--log-file", "log", "--grace-period", "0"];
        let mut command = taskqueue.command(&[&tender[..], &log, more].concat());
        command.env(PANIC_IN, service);
        Troubled {
            service,
            tender: Running::start(command),
            taskqueue,
        }
    }

    fn put(&self, command: &str, times: usize) {
        for _ in 0..times {
            let put = ["put", "--use-tube", "t", command];
            self.taskqueue.run(&put).ok();
        }
    }

    fn number(&self, query: &str) -> i64 {
        let sqlite = self.taskqueue.sqlite();
        sqlite.query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn until_done(&self, tasks: i64) {
        let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
        until("done", || self.number(done) == tasks);
    }

    fn said(&self) -> String {
        fs::read_to_string(self.taskqueue.path("log")).unwrap_or_default()
    }

    /// The only pool of the only tender; null before there is one.
    fn pool(&self) -> Value {
        let ran = self.taskqueue.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        status["tenders"][0]["pools"][0].clone()
    }

    fn until_idle(&self, workers: u64) {
        until("idle", || self.pool()["census"]["idle"] == workers);
    }

    fn kill_a_worker(&self) {
        let pid = self.pool()["workers"][0]["pid"].as_i64().unwrap();
        kill_process(pid_of(pid), Signal::KILL).unwrap();
    }

    /// It said which service has stopped and why; and it ends as it should.
    fn end(self) {
        let name = self.service;
        let stopped = format!("service=\"{name}\" reason=\"panicked: asked for by {PANIC_IN}\"");
        until("said", || self.said().contains(&stopped));
        self.tender.signal(Signal::TERM);
        let ran = self.tender.wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

fn pid_of(number: i64) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

fn lives(pid: i64) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

#[test]
fn demand_is_asked_for() {
    let more = ["--min-workers", "1", "--max-workers", "3"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "demand", &more);
    troubled.until_idle(1);
    troubled.put("slow", 5);
    until("grown", || troubled.pool()["census"]["busy"] == 3);
    troubled.end();
}

#[test]
fn a_job_is_listened_for() {
    let more = ["--mode", "ondemand", "--max-workers", "2"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "listener", &more);
    troubled.put("ok", 1);
    troubled.until_done(1);
    troubled.end();
}

#[test]
fn tubes_are_put_right() {
    let mut server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
    taskqueue.run(&["put", "--use-tube", "t", "ok"]).ok();
    server.restart();
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(taskqueue, "reconciler", &more);
    troubled.until_done(1);
    troubled.end();
}

#[test]
fn what_is_too_old_is_deleted() {
    let troubled = Troubled::tend(Taskqueue::embedded(), "upkeep", &[]);
    troubled.put("ok", 1);
    troubled.until_done(1);
    let taskqueue = &troubled.taskqueue;
    taskqueue.configure("[retention]\ndone = 1\n[commands.ok]\nrun = [\"true\"]\n");
    taskqueue.run(&["reload"]).ok();
    troubled.until_done(0);
    troubled.end();
}

#[test]
fn what_a_dead_worker_left_is_ended() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "sweeper", &more);
    troubled.put("slow", 1);
    let pids = troubled.taskqueue.path("pids");
    let pid = || fs::read_to_string(&pids).ok()?.lines().next()?.parse().ok();
    until("a command", || pid().is_some_and(lives));
    // Whoever claims the task ends what is left of it, too.
    let paused = ["pause", "t", "--for", "60"];
    troubled.taskqueue.run(&paused).ok();
    until("known", || troubled.pool()["census"]["busy"] == 1);
    troubled.kill_a_worker();
    let killed = Instant::now();
    until("ended", || !lives(pid().unwrap()));
    // By reconciliation it would be, half a minute after the one before.
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    troubled.end();
}

#[test]
fn people_are_heard() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "control socket", &more);
    troubled.until_idle(1);
    troubled.end();
}

#[test]
fn one_conversation_is_cut_off_and_no_other() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "conversation", &more);
    troubled.until_idle(1);
    troubled.end();
}

#[test]
fn workers_are_watched() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "watcher", &more);
    troubled.until_idle(1);
    let first = troubled.pool()["workers"][0]["pid"].clone();
    troubled.kill_a_worker();
    until("replaced", || {
        let pool = troubled.pool();
        pool["census"]["idle"] == 1 && pool["workers"][0]["pid"] != first
    });
    troubled.end();
}

#[test]
fn what_foreign_workers_print_is_logged() {
    let taskqueue = Taskqueue::embedded();
    let script = taskqueue.path("prints");
    fs::write(
        &script,
        "#!/bin/sh\necho '[[CHILD::READY]]'\necho I say >&2\nexec sleep 300\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let worker = [
        "--worker-command",
        "./prints",
        "--worker-protocol",
        "tokens",
    ];
    let one = ["--min-workers", "1", "--max-workers", "1"];
    let more = [worker, one].concat();
    let troubled = Troubled::tend(taskqueue, "follower of output", &more);
    troubled.until_idle(1);
    until("logged", || troubled.said().contains("I say"));
    let pool = troubled.pool();
    assert_eq!(pool["started"], 1, "another was needed: {pool}");
    troubled.end();
}

#[test]
fn what_a_dead_foreign_worker_left_is_ended() {
    let taskqueue = Taskqueue::embedded();
    let script = taskqueue.path("leaves");
    fs::write(
        &script,
        "#!/bin/sh\nsetsid sleep 300 &\necho $! >> pids\necho '[[CHILD::READY]]'\nexec sleep 300\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let worker = [
        "--worker-command",
        "./leaves",
        "--worker-protocol",
        "tokens",
    ];
    let one = ["--min-workers", "1", "--max-workers", "1"];
    let more = [worker, one].concat();
    let troubled = Troubled::tend(taskqueue, "remains", &more);
    troubled.until_idle(1);
    let pids = fs::read_to_string(troubled.taskqueue.path("pids")).unwrap();
    let left: i64 = pids.lines().next().unwrap().parse().unwrap();
    troubled.kill_a_worker();
    until("ended", || !lives(left));
    troubled.end();
}

#[test]
fn a_guard_is_kept() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "guard's keeper", &more);
    troubled.until_idle(1);
    let tender = troubled.tender.pid().as_raw_nonzero();
    let guard = || {
        let children =
            fs::read_to_string(format!("/proc/{tender}/task/{tender}/children")).unwrap();
        let mut children = children.split_ascii_whitespace();
        let is = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it == "tq-guard\n")
        };
        children.find(is).map(|pid| pid.parse().unwrap())
    };
    let first: i64 = guard().unwrap();
    kill_process(pid_of(first), Signal::KILL).unwrap();
    until("another", || guard().is_some_and(|pid| pid != first));
    troubled.end();
}

#[test]
fn signals_are_heard() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "signals", &more);
    troubled.until_idle(1);
    troubled.tender.signal(Signal::TTIN);
    until("one more", || troubled.pool()["max"] == 2);
    troubled.end();
}

#[test]
fn lines_are_written() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let troubled = Troubled::tend(Taskqueue::embedded(), "log", &more);
    until("written", || troubled.said().contains("worker started"));
    troubled.end();
}

/// Threads that are lent something, in a process that puts and in one that works: whoever asked has an error, and what
/// is asked next has not.
#[test]
fn what_lives_on_a_thread_goes_on() {
    for thread in ["broker", "broker-opener", "store", "sweep"] {
        let taskqueue = Taskqueue::embedded();
        taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
        let with_a_panic = |args: &[&str]| {
            let mut command = taskqueue.command(args);
            command.env(PANIC_IN, thread);
            Running::start(command).wait()
        };
        let put = ["put", "--use-tube", "t", "ok"];
        let ran = with_a_panic(&put);
        let is_needed = ran.stderr.contains("panicked");
        assert_eq!(ran.code, Some(i32::from(is_needed)), "{thread}: {ran:?}");
        taskqueue.run(&put).ok();
        let work = ["worker", "--use-tube", "t", "--max-jobs", "1"];
        let ran = with_a_panic(&work);
        assert!(ran.stderr.contains("panicked"), "{thread}: {ran:?}");
        assert_eq!(ran.code, Some(0), "{thread}: {ran:?}");
        let done = "SELECT count(*) FROM tasks WHERE status = 'done'";
        let sqlite = taskqueue.sqlite();
        let done: i64 = sqlite.query_row(done, [], |row| row.get(0)).unwrap();
        assert_eq!(done, 1, "{thread}");
    }
}

#[test]
fn people_are_heard_again_once_there_are_descriptors() {
    let more = ["--min-workers", "1", "--max-workers", "1"];
    let taskqueue = Taskqueue::embedded();
    let troubled = Troubled::tend(taskqueue, "nobody", &more);
    troubled.until_idle(1);
    let tender = Some(troubled.tender.pid());
    let none = Rlimit {
        current: Some(0),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(tender, Resource::Nofile, none).unwrap();
    let asks = troubled.taskqueue.start(&["status"]);
    let said = || {
        troubled
            .said()
            .matches("connections cannot be taken")
            .count()
    };
    until("said", || said() == 1);
    // Some ten more tries.
    sleep(Duration::from_secs(1));
    assert_eq!(said(), 1);
    prlimit(tender, Resource::Nofile, before).unwrap();
    assert_eq!(asks.wait().code, Some(0));
    until("said", || {
        troubled.said().contains("connections taken again")
    });
    troubled.until_idle(1);
    troubled.tender.signal(Signal::TERM);
    assert_eq!(troubled.tender.wait().code, Some(0));
}

#[test]
fn schedules_make_their_tasks() {
    let taskqueue = Taskqueue::embedded();
    let troubled = Troubled::tend(taskqueue, "scheduler", &["--min-workers", "1"]);
    let add = [
        "schedule",
        "add",
        "s",
        "--use-tube",
        "t",
        "--every",
        "1h",
        "ok",
    ];
    troubled.taskqueue.run(&add).ok();
    troubled.until_done(1);
    troubled.end();
}
