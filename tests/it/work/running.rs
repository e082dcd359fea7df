//! What a command gets, and what a worker bears with from it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Queue, jobs, lines, on_both, stats, status, store_id};
use crate::support::{Beanstalkd, Taskqueue, until};

on_both!(
    a_command_gets_its_surroundings,
    a_body_of_any_size_arrives_and_need_not_be_read,
    a_long_job_runs_once_under_a_short_ttr,
    what_is_printed_after_quiet_commands_is_whole
);

fn a_command_gets_its_surroundings(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(
        r#"
        withhold_environment = ["SECRET", "TASKQUEUE_UUID"]
        [commands.look]
        run = ["/bin/sh", "-c", "env | sort | grep -E '^(TASKQUEUE_|SECRET|KEPT)'; ps -o pgid= -p $$ | tr -d ' '; echo $$; ls -l /proc/$$/fd"]
        [commands.body]
        run = ["/bin/sh", "-c", "cat"]
        stdin = "body"
        [commands.count]
        run = ["/usr/bin/wc", "-c"]
        "#,
    );
    taskqueue.run(&["put", "--use-tube", "t", "look"]).ok();
    let args = ["worker", "--use-tube", "t", "--max-jobs", "1"];
    let mut command = taskqueue.command(&args);
    command.env("SECRET", "s").env("KEPT", "k");
    let ran = crate::support::Running::start(command).wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let task = taskqueue.show("1");
    let output = task["attempts"][0]["output"].as_str().unwrap().to_owned();
    let uuid = task["uuid"].as_str().unwrap();
    let seen: Vec<&str> = output.lines().collect();
    let expected = [
        "KEPT=k".to_owned(),
        "TASKQUEUE_ATTEMPT=1".into(),
        format!("TASKQUEUE_BROKER={}", taskqueue.broker()),
        "TASKQUEUE_COMMAND=look".into(),
        format!(
            "TASKQUEUE_CONFIG={}",
            taskqueue.path("taskqueue.toml").display()
        ),
        "TASKQUEUE_JOB_ID=1".into(),
        "TASKQUEUE_REPORT_FD=8".into(),
        format!("TASKQUEUE_STORE={}", taskqueue.store().display()),
        format!("TASKQUEUE_STORE_ID={}", store_id(taskqueue)),
        "TASKQUEUE_TASK_ID=1".into(),
        "TASKQUEUE_TUBE=t".into(),
        format!("TASKQUEUE_UUID={uuid}"),
    ];
    assert_eq!(&seen[..12], expected);
    assert_eq!(seen[12], seen[13], "a process group of its own");
    // Of descriptors, it has one that holds the attempt's lock, and none that is its worker's.
    let held = |what: &str| seen[14..].iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        (
            held("t.db-commands"),
            held("t.db"),
            held("socket:"),
            held("inotify")
        ),
        (1, 1, 0, 0),
        "{seen:?}"
    );

    taskqueue
        .run(&["put", "--use-tube", "t", "body", "a\"b", "--option", "x=1"])
        .ok();
    taskqueue.work("t", 1);
    let task = taskqueue.show("2");
    let body = task["attempts"][0]["output"].as_str().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = json!({"taskqueue": 1, "uuid": task["uuid"], "command": "body", "arguments": ["a\"b"], "options": {"x": "1"}});
    assert_eq!(body, expected);
    // Without the wish for it, there is nothing to read.
    taskqueue.run(&["put", "--use-tube", "t", "count"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.show("3")["attempts"][0]["output"], "0\n");
}

fn a_body_of_any_size_arrives_and_need_not_be_read(taskqueue: &Taskqueue, _: &dyn Queue) {
    let body: Vec<u8> = (0..5_000_000u32).map(|i| (i % 251) as u8).collect();
    let put = ["put", "--use-tube", "t", "--stdin"];
    taskqueue.run_with(&put, &body).ok();
    taskqueue.run_with(&put, &body).ok();
    let work = |command: &[&str]| {
        let worker = ["worker", "--use-tube", "t", "--max-jobs", "1", "--"];
        let ran = taskqueue.run(&[&worker, command].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    let copy = taskqueue.path("copy");
    let script = format!("cat > '{}'", copy.display());
    work(&["/bin/sh", "-c", &script]);
    assert!(fs::read(copy).unwrap() == body, "the body was changed");
    work(&["/bin/true"]);
    assert_eq!(status(taskqueue, "2"), "done");
}

#[test]
fn a_gibibyte_of_output_is_not_held() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        r#"
        [commands.flood]
        run = ["/bin/sh", "-c", "printf first; head -c 536870912 /dev/zero; head -c 536870912 /dev/zero >&2; printf last"]
        "#,
    );
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    until("waits", || stats(&server, "t").waiting == 1);
    // The most that it ever had, in kB (proc(5), "VmHWM"): most of it is the program's own code.
    let most = || -> u64 {
        let path = format!("/proc/{}/status", worker.pid().as_raw_nonzero());
        let memory = fs::read_to_string(path).unwrap();
        let line = memory.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let idle = most();
    taskqueue.run(&["put", "--use-tube", "t", "flood"]).ok();
    until("done", || status(&taskqueue, "1") == "done");
    let most = most();
    println!("the worker's resident memory was {idle} kB, and at most {most} kB");
    assert!(most - idle < 6_000, "{most} kB");
    let attempt = &taskqueue.show("1")["attempts"][0];
    assert_eq!(attempt["output_size"], 1_073_741_824u64 + 9);
    let output = attempt["output"].as_str().unwrap();
    assert!(output.starts_with("first\0") && output.ends_with("\0last"));
    assert!(output.len() < 132_000, "{}", output.len());
}

#[test]
fn both_streams_come_in_the_order_in_which_they_were_written() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        r#"
        [commands.mixed]
        run = ["/bin/sh", "-c", "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done"]
        "#,
    );
    taskqueue.run(&["put", "--use-tube", "t", "mixed"]).ok();
    taskqueue.work("t", 1);
    let expected: String = (1..=5).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(taskqueue.show("1")["attempts"][0]["output"], expected);
}

fn a_long_job_runs_once_under_a_short_ttr(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let log = taskqueue.path("log");
    taskqueue.configure(&format!(
        "[commands.long]\nrun = [\"/bin/sh\", \"-c\", \"echo begun >> {0}; sleep 20; echo ended >> {0}\"]\n",
        log.display()
    ));
    let put = ["put", "--use-tube", "t", "--ttr", "2", "long"];
    taskqueue.run(&put).ok();
    // Two, so that there is somebody to run it a second time.
    let _workers =
        [0, 1].map(|_| taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]));
    until("done", || status(taskqueue, "1") == "done");
    until("settled", || jobs(queue, "t") == 0);
    assert_eq!(lines(&log), ["begun", "ended"]);
    assert_eq!(taskqueue.show("1")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_command_leaves_behind_holds_nobody_up() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let pids = taskqueue.path("pids");
    taskqueue.configure(&format!(
        r#"
        [commands.daemon]
        run = ["/bin/sh", "-c", "setsid sleep 30 & echo $! >> {0}; echo started"]
        [commands.retried]
        run = ["/bin/sh", "-c", "setsid sleep 30 & echo $! >> {0}; exit 1"]
        max_attempts = 2
        backoff = {{ first = "0s" }}
        "#,
        pids.display()
    ));
    taskqueue.run(&["put", "--use-tube", "t", "daemon"]).ok();
    let begun = Instant::now();
    taskqueue.work("t", 1);
    // It holds the pipe open for thirty.
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(taskqueue.show("1")["attempts"][0]["output"], "started\n");
    let daemon = lines(&pids)[0].clone();
    assert!(
        super::exists(&daemon),
        "a daemon of a task that is done stays"
    );

    taskqueue.run(&["put", "--use-tube", "t", "retried"]).ok();
    taskqueue.work("t", 2);
    let pids = lines(&pids);
    assert_eq!(status(&taskqueue, "2"), "failed");
    assert!(!super::exists(&pids[1]), "left over from before a retry");
    assert!(super::exists(&daemon), "somebody else's was ended");
    for pid in [&pids[0], &pids[2]] {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// `HANDLED` in src/process/spawn.rs: a handler must not run in a child that borrows its parent's memory.
#[test]
fn a_worker_handles_no_signal_that_its_children_do_not_give_up() {
    let taskqueue = Taskqueue::embedded();
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--", "cat"]);
    // The last two are the C library's own, which it sends to threads of its process alone.
    let known = [1, 2, 3, 7, 10, 11, 12, 15, 17, 21, 22, 32, 33].map(|signal| 1u64 << (signal - 1));
    let known = known.iter().fold(0, |all, one| all | one);
    let mut caught = 0;
    until("the worker hears its signals", || {
        let status = format!("/proc/{}/status", worker.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
        // TERM.
        caught & (1 << 14) != 0
    });
    assert_eq!(caught & !known, 0, "{caught:x}");
}

/// A worker does not listen at once to a command that comes after a quiet one.
fn what_is_printed_after_quiet_commands_is_whole(taskqueue: &Taskqueue, _: &dyn Queue) {
    taskqueue.configure(
        "[commands.quiet]\nrun = ['/bin/true']
         [commands.little]\nrun = ['/bin/echo', 'little']
         [commands.much]\nrun = ['/usr/bin/head', '-c', '1000000', '/dev/zero']
         [commands.late]\nrun = ['/bin/sh', '-c', 'echo begun; sleep 0.1; echo over; (sleep 1 &)']",
    );
    let commands = [
        ("quiet", 0),
        ("quiet", 0),
        ("much", 1_000_000),
        ("little", 7),
        ("quiet", 0),
        ("late", 11),
        ("quiet", 0),
        ("little", 7),
        ("much", 1_000_000),
        ("much", 1_000_000),
    ];
    for (command, _) in commands {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.work("t", commands.len());
    for (id, (command, size)) in commands.iter().enumerate() {
        let attempt = &taskqueue.show(&(id + 1).to_string())["attempts"][0];
        assert_eq!(attempt["exit_code"], 0);
        assert_eq!(attempt["output_size"], *size, "{command}");
    }
}

/// Ignoring CHLD outlives an exec, and has the kernel throw away how children end.
#[test]
fn a_worker_hears_how_commands_end_whoever_started_it() {
    use std::os::unix::process::CommandExt;

    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.three]\nrun = ['/bin/sh', '-c', 'exit 3']");
    taskqueue.run(&["put", "--use-tube", "t", "three"]).ok();
    let mut command = taskqueue.command(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    // SAFETY: between fork and exec nothing but one system call is made.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        });
    }
    assert_eq!(crate::support::Running::start(command).wait().code, Some(0));
    assert_eq!(taskqueue.show("1")["attempts"][0]["exit_code"], 3);
}

#[test]
fn a_worker_asks_once_which_instance_gives_it_foreign_jobs() {
    const JOBS: usize = 100;
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure("[commands.true]\nrun = ['/bin/true']\n[tubes.t]\ncommand = 'true'");
    let mut other = server.other();
    other.use_tube("t").unwrap();
    for _ in 0..JOBS {
        other.put_default(b"x").unwrap();
    }
    let before = server.counts("cmd-stats");
    taskqueue.work("t", JOBS);
    let asked = server.counts("cmd-stats") - before;
    assert!(asked < 10, "asked {asked} times for {JOBS} jobs");
}
