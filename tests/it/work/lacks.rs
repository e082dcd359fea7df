//! What a worker or a tender lacks costs no task anything: its job goes back, and whoever lacks it waits, says so once,
//! and goes on.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, prlimit};
use serde_json::Value;

use super::{Queue, number, on_both, stats, status};
use crate::support::{Running, Taskqueue, until};

on_both!(
    a_program_that_is_away_for_a_moment_fails_nothing,
    a_folder_that_is_gone_fails_nothing,
    without_room_for_a_process_nothing_fails,
    without_room_for_a_descriptor_nothing_fails,
);

const OPEN: &str = "SELECT count(*) FROM tasks WHERE status IN ('waiting', 'running')";
const WELL: &str = "SELECT count(*) FROM tasks WHERE status = 'done' AND attempt = 1 AND lost = 0";
const ATTEMPTS: &str = "SELECT count(*) FROM attempts";

fn put(taskqueue: &Taskqueue, command: &str, count: usize) {
    let line = format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n");
    fs::write(taskqueue.path("batch"), line.repeat(count)).unwrap();
    taskqueue
        .run(&["put", "--use-tube", "t", "--batch", "batch"])
        .ok();
}

/// Starts it with what it logs in `said`.
fn start(taskqueue: &Taskqueue, mut command: Command) -> Running {
    command.stderr(File::create(taskqueue.path("said")).unwrap());
    Running::start(command)
}

fn worker(taskqueue: &Taskqueue) -> Running {
    start(taskqueue, taskqueue.command(&["worker", "--use-tube", "t"]))
}

fn said(taskqueue: &Taskqueue, words: &str) -> usize {
    let said = fs::read_to_string(taskqueue.path("said")).unwrap_or_default();
    said.matches(words).count()
}

const COULD_NOT: &str = "could not start a command; gave its job back";
const AGAIN: &str = "could start commands again";

/// Once what was lacking is back: every task was done in its only attempt, and the trouble was said once.
fn went_on(taskqueue: &Taskqueue, worker: Running, tasks: i64) {
    until("all ended", || number(taskqueue, OPEN) == 0);
    assert_eq!(number(taskqueue, WELL), tasks);
    assert_eq!(
        number(taskqueue, ATTEMPTS),
        tasks,
        "nothing else was written"
    );
    assert_eq!((said(taskqueue, COULD_NOT), said(taskqueue, AGAIN)), (1, 1));
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn a_program_that_is_away_for_a_moment_fails_nothing(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure("[commands.app]\nrun = [\"./app\"]\n");
    let app = taskqueue.path("app");
    let install = || {
        fs::copy("/bin/true", taskqueue.path("new")).unwrap();
        fs::rename(taskqueue.path("new"), &app).unwrap();
    };
    let mode = |mode| fs::set_permissions(&app, Permissions::from_mode(mode)).unwrap();
    let mut tasks = 0;
    for (wrong, words) in [
        ("away", "there is no such file"),
        ("closed", "may not be executed"),
        ("busy", "somebody is writing to it"),
    ] {
        install();
        let writer = match wrong {
            "away" => fs::remove_file(&app).map(|()| None).unwrap(),
            "closed" => {
                mode(0o600);
                None
            }
            _ => Some(File::options().append(true).open(&app).unwrap()),
        };
        put(taskqueue, "app", 20);
        tasks += 20;
        let worker = worker(taskqueue);
        until(wrong, || said(taskqueue, COULD_NOT) == 1);
        assert_eq!(said(taskqueue, words), 1, "{wrong}");
        // It waits, and does not go through the whole tube.
        until("given back", || stats(queue, "t").reserved == 0);
        assert_eq!(number(taskqueue, OPEN), 20, "{wrong}");
        drop(writer);
        install();
        went_on(taskqueue, worker, tasks);
    }
}

/// Another folder of that name is as good.
fn a_folder_that_is_gone_fails_nothing(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure("[commands.here]\nrun = [\"cat\", \"here\"]\n");
    let folder = taskqueue.path("release");
    let deploy = || {
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("here"), "").unwrap();
    };
    deploy();
    let mut command = taskqueue.command(&["worker", "--use-tube", "t"]);
    command
        .current_dir(&folder)
        .env("TASKQUEUE_CONFIG", taskqueue.path("taskqueue.toml"));
    let worker = start(taskqueue, command);
    put(taskqueue, "here", 1);
    until("done", || number(taskqueue, WELL) == 1);
    fs::remove_dir_all(&folder).unwrap();
    put(taskqueue, "here", 10);
    until("said", || said(taskqueue, COULD_NOT) == 1);
    assert_eq!(said(taskqueue, "the working directory is gone"), 1);
    assert_eq!(number(taskqueue, WELL), 1);
    deploy();
    went_on(taskqueue, worker, 11);
}

/// Somebody whose processes are nobody else's: root is not bound by that limit.
fn somebody(taskqueue: &Taskqueue, offset: u32) -> Option<u32> {
    if !geteuid().is_root() {
        eprintln!("not run as root: what happens without room for a process was not tested");
        return None;
    }
    let them = 50_000 + offset * 4_000 + std::process::id() % 4_000;
    for entry in fs::read_dir(taskqueue.path("")).unwrap() {
        chown(entry.unwrap().path(), Some(them), Some(them)).unwrap();
    }
    chown(taskqueue.path(""), Some(them), Some(them)).unwrap();
    Some(them)
}

/// How many descriptors a process of ours may have from now on.
fn limit_descriptors(pid: Pid, soft: u64) {
    let limit = Rlimit {
        current: Some(soft),
        maximum: Some(4096),
    };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
}

/// How many processes somebody may have from now on for one of his to start another. Only he himself may say so.
fn limit_processes(them: u32, pid: Pid, soft: u64) {
    let ran = Command::new("prlimit")
        .args(["--pid", &pid.as_raw_nonzero().to_string()])
        .arg(format!("--nproc={soft}:"))
        .uid(them)
        .gid(them)
        .status();
    assert!(ran.unwrap().success());
}

fn without_room_for_a_process_nothing_fails(taskqueue: &Taskqueue, queue: &dyn Queue) {
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
    put(taskqueue, "ok", 1);
    let Some(them) = somebody(taskqueue, 0) else {
        return;
    };
    let mut command = taskqueue.command(&["worker", "--use-tube", "t"]);
    command.uid(them).gid(them);
    let worker = start(taskqueue, command);
    until("done", || number(taskqueue, WELL) == 1);
    limit_processes(them, worker.pid(), 1);
    put(taskqueue, "ok", 50);
    until("said", || said(taskqueue, COULD_NOT) == 1);
    assert_eq!(
        said(taskqueue, "no process, descriptor or memory to spare"),
        1
    );
    until("given back", || stats(queue, "t").reserved == 0);
    assert_eq!(number(taskqueue, WELL), 1);
    limit_processes(them, worker.pid(), 4096);
    went_on(taskqueue, worker, 51);
}

/// Wherever the next one is wanted: for the lock of an attempt, for a pipe, for the process.
fn without_room_for_a_descriptor_nothing_fails(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
    put(taskqueue, "ok", 1);
    let worker = worker(taskqueue);
    until("done", || number(taskqueue, WELL) == 1);
    let open = format!("/proc/{}/fd", worker.pid().as_raw_nonzero());
    let mut tasks = 1;
    for more in 0..4 {
        // With a connection that waits for a job, and nothing else.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let used = fs::read_dir(&open).unwrap().count() as u64;
        limit_descriptors(worker.pid(), used + more);
        put(taskqueue, "ok", 10);
        std::thread::sleep(std::time::Duration::from_millis(1000));
        limit_descriptors(worker.pid(), 1024);
        tasks += 10;
        until("all ended", || number(taskqueue, OPEN) == 0);
        assert_eq!(
            number(taskqueue, WELL),
            tasks,
            "with {more} more than it had"
        );
        assert_eq!(number(taskqueue, ATTEMPTS), tasks);
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn what_can_never_be_started_fails_at_once_and_says_why() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.app]\nrun = [\"./app\"]\n");
    taskqueue.no_program("app");
    put(&taskqueue, "app", 1);
    taskqueue.work("t", 1);
    let shown = taskqueue.show("1");
    assert_eq!(shown["status"], "failed", "{shown}");
    let reason = shown["reason"].as_str().unwrap();
    assert!(
        reason.contains("which app runs: it has no #! line"),
        "{reason}"
    );
}

/// What a tender tells of its only pool.
fn pool(taskqueue: &Taskqueue) -> Value {
    let status = taskqueue.run(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    status["tenders"][0]["pools"][0].clone()
}

#[test]
fn status_says_what_a_worker_lacks() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.app]\nrun = [\"./app\"]\n");
    let tender = super::tend(&taskqueue, 1);
    put(&taskqueue, "app", 1);
    until("in trouble", || {
        let worker = pool(&taskqueue)["workers"][0].clone();
        let lacks = |words| {
            worker["trouble"]
                .as_str()
                .is_some_and(|it| it.contains(words))
        };
        worker["troubled"] == true && lacks("could not start ./app")
    });
    until("shown", || {
        let shown = taskqueue.run(&["status"]).stdout;
        shown.contains("in trouble: could not start ./app, which app runs")
    });
    fs::copy("/bin/true", taskqueue.path("app")).unwrap();
    until("done", || status(&taskqueue, "1") == "done");
    until("out of trouble", || {
        let worker = pool(&taskqueue)["workers"][0].clone();
        worker["troubled"] == false && worker["trouble"].is_null()
    });
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

const NO_WORKER: &str = "worker could not be started; will keep trying";

#[test]
fn a_tender_without_room_for_a_process_says_so_once_and_goes_on() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
    put(&taskqueue, "ok", 1);
    let Some(them) = somebody(&taskqueue, 1) else {
        return;
    };
    let args = [
        "tender",
        "--use-tube",
        "t",
        "--mode",
        "static",
        "--max-workers",
        "1",
    ];
    let mut command = taskqueue.command(&args);
    command.uid(them).gid(them);
    let tender = start(&taskqueue, command);
    until("done", || number(&taskqueue, WELL) == 1);
    limit_processes(them, tender.pid(), 1);
    let worker = pool(&taskqueue)["workers"][0]["pid"].as_i64().unwrap();
    let worker = Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
    rustix::process::kill_process(worker, Signal::KILL).unwrap();
    put(&taskqueue, "ok", 1);
    until("said", || said(&taskqueue, NO_WORKER) == 1);
    until("shown", || {
        let lack = pool(&taskqueue)["lack"].clone();
        lack.as_str()
            .is_some_and(|lack| lack.contains("temporarily unavailable"))
    });
    // Another try, and a look for what the dead one has left, which needs a thread.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(said(&taskqueue, NO_WORKER), 1);
    assert_eq!(said(&taskqueue, "panicked"), 0);
    limit_processes(them, tender.pid(), 4096);
    until("done", || number(&taskqueue, WELL) == 2);
    until("told", || pool(&taskqueue)["lack"].is_null());
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

/// By the shell: the program finds the limit as it is.
fn limited(taskqueue: &Taskqueue, limits: &str, args: &[&str]) -> Command {
    let program = taskqueue.command(args);
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("{limits}; exec \"$@\""))
        .arg("bash");
    command.arg(program.get_program()).args(program.get_args());
    command.env_clear();
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.current_dir(taskqueue.path(""));
    command
}

#[test]
fn where_processes_are_few_nothing_panics() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.ok]\nrun = [\"true\"]\n");
    put(&taskqueue, "ok", 1);
    let Some(them) = somebody(&taskqueue, 2) else {
        return;
    };
    for few in 1..=5 {
        let args = ["worker", "--use-tube", "t", "--max-jobs", "1"];
        let mut command = limited(&taskqueue, &format!("ulimit -u {few}"), &args);
        command.uid(them).gid(them);
        let worker = start(&taskqueue, command);
        std::thread::sleep(std::time::Duration::from_millis(700));
        assert_eq!(said(&taskqueue, "panicked"), 0, "with {few}");
        drop(worker);
        assert_ne!(status(&taskqueue, "1"), "failed", "with {few}");
    }
}

fn tend_limited(taskqueue: &Taskqueue, limit: &str, workers: &str) -> Running {
    let args = ["tender", "--use-tube", "t", "--mode", "static"];
    let args = [&args[..], &["--max-workers", workers]].concat();
    start(taskqueue, limited(taskqueue, limit, &args))
}

#[test]
fn the_limit_of_descriptors_is_raised_and_commands_get_theirs() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.look]\nrun = [\"sh\", \"-c\", \"ulimit -Sn; ulimit -Hn\"]\n");
    let tender = tend_limited(&taskqueue, "ulimit -Sn 64; ulimit -Hn 4096", "30");
    until("all", || pool(&taskqueue)["census"]["idle"] == 30);
    assert_eq!(said(&taskqueue, "cannot have all workers"), 0);
    put(&taskqueue, "look", 1);
    until("done", || status(&taskqueue, "1") == "done");
    let shown = taskqueue.run(&["show", "1", "--json"]).json();
    assert_eq!(shown["attempts"][0]["output"], "64\n4096\n", "{shown}");
    tender.signal(Signal::TERM);
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn a_tender_without_descriptors_to_spare_answers() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("");
    let tender = tend_limited(&taskqueue, "ulimit -n 48", "40");
    until("said", || said(&taskqueue, NO_WORKER) == 1);
    assert_eq!(
        said(&taskqueue, "cannot have all workers within the limit"),
        1
    );
    let lack = pool(&taskqueue)["lack"].clone();
    let lack = lack.as_str().unwrap();
    assert!(
        lack.contains("the limit of 48 open files leaves no room"),
        "{lack}"
    );
    taskqueue.run(&["reload"]).ok();
    assert_eq!(taskqueue.run(&["stop"]).code, Some(0));
    assert_eq!(tender.wait().code, Some(0));
}
