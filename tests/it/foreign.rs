//! A tender with workers that are not ours: those in `examples/`, and worse ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use taskqueue::broker::{Broker, TubeStats};

use crate::support::{Beanstalkd, Running, TEND_ONE, Taskqueue, job, put, tube, until};

mod silent;
mod tube;

/// What the workers of the examples run: `bad` fails, `long` starts another that has left the group.
const COMMAND: &str = r#"#!/bin/sh
body=$(cat)
echo "$body" >> done
echo "did $body" >&2
case $body in
    bad) exit 1 ;;
    long) setsid sh -c 'echo $$ >> pids; exec sleep 300' & echo $$ >> pids; exec sleep 300 ;;
    flood) yes "$(head -c 5000 /dev/zero | tr '\0' x)" | head -c 50000000 >&2 ;;
esac
"#;

fn example(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    examples.join(name).to_str().unwrap().to_owned()
}

fn script(taskqueue: &Taskqueue, name: &str, text: &str) {
    let path = taskqueue.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A tender with one of the examples as its worker.
fn tend(taskqueue: &Taskqueue, server: &Beanstalkd, worker: &str, more: &[&str]) -> Running {
    script(taskqueue, "command", COMMAND);
    let worker = format!("{} 127.0.0.1 {} ./command", example(worker), server.port());
    tend_by(taskqueue, &worker, more)
}

fn tend_by(taskqueue: &Taskqueue, worker: &str, more: &[&str]) -> Running {
    let command = ["--worker-command", worker];
    taskqueue.start(&[&TEND_ONE[..], &command, more].concat())
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

fn put_all(server: &Beanstalkd, bodies: &[&str]) {
    block_on(async {
        for body in bodies {
            put(&mut server.client(), &tube("t"), job(body))
                .await
                .unwrap();
        }
    });
}

fn stats(server: &Beanstalkd) -> Option<TubeStats> {
    block_on(async { server.client().stats_tube(&tube("t")).await.unwrap() })
}

fn lines(taskqueue: &Taskqueue, name: &str) -> Vec<String> {
    let text = fs::read_to_string(taskqueue.path(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// How the only one stands.
fn stands(taskqueue: &Taskqueue) -> String {
    let status = taskqueue.run(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap_or_default();
    let state = status.pointer("/tenders/0/pools/0/workers/0/state");
    state.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The only one there is.
fn the_worker(taskqueue: &Taskqueue) -> Pid {
    let mut found = None;
    until("there is a worker", || {
        let status = taskqueue.run(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let pid = status.pointer("/tenders/0/pools/0/workers/0/pid");
        let pid = pid
            .and_then(Value::as_i64)
            .and_then(|pid| i32::try_from(pid).ok());
        found = pid.and_then(Pid::from_raw);
        found.is_some()
    });
    found.unwrap()
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[track_caller]
fn drained(tender: Running) -> String {
    tender.signal(Signal::TERM);
    let ran = tender.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stderr
}

/// A tender of each of the examples, with a broker of its own.
fn of_each_example(test: fn(&Taskqueue, &Beanstalkd, Running)) {
    for (worker, protocol) in [("worker.py", "lines"), ("worker.sh", "tokens")] {
        println!("{worker}");
        let server = Beanstalkd::start();
        let taskqueue = Taskqueue::with(&server);
        let speaks = ["--worker-protocol", protocol];
        let tender = tend(&taskqueue, &server, worker, &speaks);
        test(&taskqueue, &server, tender);
    }
}

#[test]
fn the_examples_do_their_jobs_are_heard_in_the_log_and_go() {
    of_each_example(|taskqueue, server, tender| {
        put_all(server, &["a", "bad"]);
        until("two done", || lines(taskqueue, "done").len() == 2);
        until("idle", || {
            stats(server).is_some_and(|stats| stats.waiting == 1)
        });
        // What they need not know they do not mind.
        taskqueue.run(&["reload"]);
        taskqueue.run(&["ping"]);
        put_all(server, &["c"]);
        until("another done", || lines(taskqueue, "done").len() == 3);
        until("idle", || {
            stats(server).is_some_and(|stats| stats.waiting == 1)
        });
        let stats = stats(server).unwrap();
        assert_eq!((stats.buried, stats.ready, stats.reserved), (1, 0, 0));
        let shown = taskqueue.run(&["status", "--json"]).ok();
        assert!(shown.contains(r#""jobs":3"#), "{shown}");
        let log = drained(tender);
        assert_eq!(lines(taskqueue, "done"), ["a", "bad", "c"]);
        let heard = |line: &&str| line.contains("worker printed") && line.contains("did bad");
        let heard = log.lines().find(heard).expect(&log);
        assert!(heard.contains(r#"worker="t-"#), "{heard}");
        assert!(heard.contains("stderr"), "{heard}");
        assert_eq!(log.matches("worker started").count(), 1, "{log}");
        assert!(!log.contains("CHILD::"), "{log}");
        assert!(!log.contains("misunderstood"), "{log}");
    });
}

#[test]
fn what_a_killed_one_has_started_goes_with_it() {
    of_each_example(|taskqueue, server, tender| {
        put_all(server, &["long"]);
        until("two run", || lines(taskqueue, "pids").len() == 2);
        kill_process(the_worker(taskqueue), Signal::KILL).unwrap();
        let first = lines(taskqueue, "pids")[..2].to_vec();
        until("both are gone", || first.iter().all(|pid| is_gone(pid)));
        // Its job came back, and another worker has it now, which is not waited for.
        until("again", || lines(taskqueue, "pids").len() == 4);
        taskqueue.run(&["stop", "--now"]).ok();
        assert_eq!(tender.wait().code, Some(0));
        let all = lines(taskqueue, "pids");
        until("all are gone", || all.iter().all(|pid| is_gone(pid)));
    });
}

#[test]
fn a_flood_of_words_is_counted_and_not_held() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let tender = tend(
        &taskqueue,
        &server,
        "worker.py",
        &["--max-worker-buffer", "1000000"],
    );
    let first = the_worker(&taskqueue);
    put_all(&server, &["flood"]);
    // What it prints may come after the word that it is idle; then its next job tells.
    until("another worker", || {
        put_all(&server, &["more"]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        the_worker(&taskqueue) != first
    });
    let status = fs::read_to_string(format!("/proc/{}/status", tender.pid().as_raw_nonzero()));
    let status = status.unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 48 * 1024, "{peak} KB for 50 MB");
    let log = drained(tender);
    assert!(log.contains("more than is logged"), "{log}");
    assert!(log.len() < 4_000_000, "{} bytes of log", log.len());
}

/// A worker that was ready, and says so by its exit code.
#[test]
fn one_that_gives_up_is_not_started_again() {
    let taskqueue = Taskqueue::alone();
    let worker = "#!/usr/bin/python3 -S\nimport os\n\
        os.write(int(os.environ['TASKQUEUE_TENDER_FD']), b'{\"report\":\"ready\"}\\n')\nos._exit(125)\n";
    script(&taskqueue, "worker", worker);
    let tender = tend_by(&taskqueue, "./worker", &[]);
    let refused = || taskqueue.run(&["status", "--json"]).stdout.contains("125");
    until("refused", refused);
    let log = drained(tender);
    assert_eq!(log.matches("worker started").count(), 1, "{log}");
    assert!(log.contains("pool refused to start again"), "{log}");
}

/// What starts the worker exits so when it fails itself: `docker run`, `env`, `timeout`.
#[test]
fn one_that_did_not_come_so_far_is_started_again() {
    let taskqueue = Taskqueue::alone();
    let worker = "#!/bin/sh\n[ -e ok ] || exit 125\necho '[[CHILD::READY]]'\nexec sleep 300\n";
    script(&taskqueue, "worker", worker);
    let tender = tend_by(
        &taskqueue,
        "./worker",
        &["--worker-protocol", "tokens", "--grace-period", "0.2"],
    );
    let status = || taskqueue.run(&["status", "--json"]).stdout;
    until("it backs off", || status().contains("failed in a row"));
    let told: serde_json::Value = serde_json::from_str(&status()).unwrap();
    let why = &told["tenders"][0]["pools"][0]["backing_off"];
    assert!(why["failures"].as_u64().unwrap() > 0, "{why}");
    let reason = why["reason"].as_str().unwrap();
    assert!(reason.ends_with("ended: exit code 125"), "{why}");
    assert!(why["since"].as_f64().unwrap() < 60.0, "{why}");
    assert!(why["next"].as_f64().is_some(), "{why}");
    let said = taskqueue.run(&["status"]).stdout;
    for part in ["backs off for", "exit code 125"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    std::fs::write(taskqueue.path("ok"), "").unwrap();
    until("ready", || status().contains(r#""idle":1"#));
    let log = drained(tender);
    assert!(!log.contains("pool refused"), "{log}");
}

/// Recycled first, without haste: it works on, and hears neither orders nor TERM.
#[test]
fn one_that_works_on_is_ended_by_stop_now() {
    let taskqueue = Taskqueue::alone();
    let worker = "#!/usr/bin/python3 -S\nimport os, signal, time\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        fd = int(os.environ['TASKQUEUE_TENDER_FD'])\n\
        say = lambda line: os.write(fd, line + b'\\n')\n\
        say(b'{\"report\":\"ready\"}')\nsay(b'{\"report\":\"idle\",\"jobs\":1,\"output\":9000000}')\n\
        while True:\n time.sleep(0.2); say(b'{\"report\":\"busy\",\"task\":1,\"group\":0}')\n";
    script(&taskqueue, "worker", worker);
    let tender = tend_by(&taskqueue, "./worker", &[]);
    until("recycled, and busy", || {
        let status = taskqueue.run(&["status", "--json"]).stdout;
        status.contains("reached its output")
    });
    let left = taskqueue
        .run(&["stop", "--now", "--timeout", "1"])
        .failed(1);
    for part in ["has not ended", "the worker t-1, process ", "task 1"] {
        assert!(left.contains(part), "no {part}: {left}");
    }
    let begun = std::time::Instant::now();
    taskqueue.run(&["stop", "--now"]).ok();
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(13), "{took:?}");
    assert_eq!(tender.wait().code, Some(0));
}

#[test]
fn one_that_ignores_term_and_forks_is_killed_with_all_it_has() {
    let taskqueue = Taskqueue::alone();
    let worker = "#!/bin/sh\ntrap '' TERM\nsetsid sleep 300 &\necho $! $$ > pids\n\
        echo '[[CHILD::READY]]'\nwhile :; do sleep 1; done\n";
    script(&taskqueue, "worker", worker);
    let tender = tend_by(
        &taskqueue,
        "./worker",
        &["--worker-protocol", "tokens", "--grace-period", "0.2"],
    );
    until("ready", || {
        taskqueue
            .run(&["status", "--json"])
            .stdout
            .contains(r#""idle":1"#)
    });
    drained(tender);
    let pids = lines(&taskqueue, "pids").concat();
    until("gone", || pids.split(' ').all(is_gone));
}
