//! How attempts end, and what becomes of their tasks.

use serde_json::{Value, json};

use super::{exists, jobs, lines, stats, status};
use crate::support::{Beanstalkd, Taskqueue, until};

/// The task's status, and number, outcome, exit code and signal of each attempt.
fn history(taskqueue: &Taskqueue, id: &str) -> (String, Vec<Value>) {
    let task = taskqueue.show(id);
    let attempts = task["attempts"].as_array().unwrap();
    let ends = attempts
        .iter()
        .map(|a| json!([a["number"], a["outcome"], a["exit_code"], a["signal"]]));
    (task["status"].as_str().unwrap().into(), ends.collect())
}

#[test]
fn exit_codes_decide() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        r#"
        [commands."x:*"]
        run = ["/bin/sh", "-c", "exit $1", "sh"]
        max_attempts = 3
        backoff = { first = "100ms", factor = 1 }
        [commands.killed]
        run = ["/bin/sh", "-c", "kill -SEGV $$"]
        max_attempts = 2
        backoff = { first = "0s" }
        [commands.senseless]
        run = ["./senseless"]
        [commands.bury]
        run = ["/bin/false"]
        on_failure = "bury"
        [commands.second]
        run = ["/bin/sh", "-c", "test $TASKQUEUE_ATTEMPT = 2 || exit 75"]
        max_attempts = 3
        backoff = { first = "0s" }
        "#,
    );
    taskqueue.no_program("senseless");
    let puts: [&[&str]; 8] = [
        &["x:a", "0"],
        &["x:a", "1"],
        &["x:a", "65"],
        &["x:a", "75"],
        &["killed"],
        &["senseless"],
        &["bury"],
        &["second"],
    ];
    for put in puts {
        let args = [&["put", "--use-tube", "t"], put].concat();
        taskqueue.run(&args).ok();
    }
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    let exited = |number: u32, code: u32| json!([number, "exited", code, null]);
    let failed = "failed".to_owned();
    let expected = [
        ("done".to_owned(), vec![exited(1, 0)]),
        (
            failed.clone(),
            vec![exited(1, 1), exited(2, 1), exited(3, 1)],
        ),
        (failed.clone(), vec![exited(1, 65)]),
        (
            failed.clone(),
            vec![exited(1, 75), exited(2, 75), exited(3, 75)],
        ),
        (
            failed.clone(),
            vec![
                json!([1, "signalled", null, 11]),
                json!([2, "signalled", null, 11]),
            ],
        ),
        (
            failed.clone(),
            vec![json!([1, "could_not_start", null, null])],
        ),
        (failed, vec![exited(1, 1)]),
        ("done".to_owned(), vec![exited(1, 75), exited(2, 0)]),
    ];
    for (id, expected) in (1..).zip(expected) {
        let id = id.to_string();
        until("ended", || {
            matches!(status(&taskqueue, &id).as_str(), "done" | "failed")
        });
        assert_eq!(history(&taskqueue, &id), expected, "task {id}");
    }
    // All jobs are gone but the one that was to be buried.
    until("settled", || jobs(&server, "t") == 1);
    assert_eq!(stats(&server, "t").buried, 1);
    drop(worker);
    let reason = taskqueue.show("6")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("no #! line"), "{reason}");
}

#[test]
fn a_timeout_ends_what_ignores_it() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(
        r#"
        [commands.deaf]
        run = ["/bin/sh", "-c", "trap '' TERM; sleep 60 & wait; sleep 60"]
        timeout = "300ms"
        [commands.polite]
        run = ["/bin/sh", "-c", "trap 'echo bye; exit 7' TERM; sleep 60 & wait"]
        timeout = "300ms"
        [commands.stopped]
        run = ["/bin/sh", "-c", "kill -STOP $$; sleep 60"]
        timeout = "300ms"
        "#,
    );
    for command in ["polite", "stopped", "deaf"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.work("t", 3);
    let ends = |id| history(&taskqueue, id).1;
    assert_eq!(ends("1"), [json!([1, "timed_out", 7, null])]);
    assert_eq!(taskqueue.show("1")["attempts"][0]["output"], "bye\n");
    assert_eq!(ends("2"), [json!([1, "timed_out", null, 15])]);
    assert_eq!(ends("3"), [json!([1, "timed_out", null, 9])]);
    assert_eq!(taskqueue.show("3")["reason"], "ran longer than its timeout");
}

#[test]
fn a_kicked_job_of_a_failed_task_runs_it_again() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    let configured = "[commands.later]\nrun = [\"/bin/true\"]\n";
    taskqueue.configure(configured);
    let put = ["put", "--use-tube", "t", "later", "--", "-x"];
    // It is recorded, and whoever puts it is warned.
    assert_eq!(taskqueue.run(&put).stdout, "1\n");
    taskqueue.work("t", 1);
    assert_eq!(stats(&server, "t").buried, 1);
    assert_eq!(status(&taskqueue, "1"), "failed");

    taskqueue.configure(&format!("{configured}dash_arguments = true\n"));
    let mut other = beanstalkc::Beanstalkc::new()
        .host("127.0.0.1")
        .port(server.port())
        .connect()
        .unwrap();
    other.use_tube("t").unwrap();
    other.kick(1).unwrap();
    taskqueue.work("t", 1);
    let refused = json!([1, "refused", null, null]);
    let ran = json!([2, "exited", 0, null]);
    assert_eq!(
        history(&taskqueue, "1"),
        ("done".to_owned(), vec![refused, ran])
    );
    assert_eq!(jobs(&server, "t"), 0);
}

/// What is left of a task's command, by the process numbers in its log.
fn left(taskqueue: &Taskqueue) -> Vec<String> {
    let mut left = lines(&taskqueue.path("log"));
    left.retain(|pid| exists(pid));
    left
}

#[test]
fn what_does_not_hear_the_term_of_a_timeout_ends_with_its_parent() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    // The shell itself dies of the TERM at once.
    taskqueue.configure(
        r#"
        [commands.job]
        run = ["/bin/sh", "-c", "(trap '' TERM; sh -c 'echo $$ >> log; exec sleep 60') & wait"]
        timeout = "500ms"
        "#,
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue.work("t", 1);
    let ends = vec![json!([1, "timed_out", null, 15])];
    assert_eq!(history(&taskqueue, "1"), ("failed".into(), ends));
    assert_eq!(lines(&taskqueue.path("log")).len(), 1);
    assert_eq!(left(&taskqueue), [""; 0]);
}

/// Nobody looks through all processes when an attempt fails, of which most leave none: it is the next attempt that must
/// not run beside what is left of it.
#[test]
fn what_closed_the_lock_is_gone_before_the_next_attempt() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    // Python closes all descriptors of what it starts.
    let script = "import os, subprocess, sys
if os.environ['TASKQUEUE_ATTEMPT'] == '2':
    stat = '/proc/' + open('log').read().strip() + '/stat'
    # One that nobody has waited for is gone as well.
    gone = not os.path.exists(stat) or open(stat).read().split()[2] == 'Z'
    sys.exit(0 if gone else 7)
left = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
open('log', 'w').write(str(left.pid) + '\\n')
sys.exit(1)";
    std::fs::write(taskqueue.path("script"), script).unwrap();
    taskqueue.configure(
        r#"
        [commands.job]
        run = ["python3", "script"]
        max_attempts = 2
        backoff = { first = "0s" }
        "#,
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(status(&taskqueue, "1"), "waiting");
    assert_eq!(lines(&taskqueue.path("log")).len(), 1);
    taskqueue.work("t", 1);
    let ends = vec![json!([1, "exited", 1, null]), json!([2, "exited", 0, null])];
    assert_eq!(history(&taskqueue, "1"), ("done".into(), ends));
    assert_eq!(left(&taskqueue), [""; 0]);
}

#[test]
fn what_a_command_took_of_the_machine_is_recorded() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(
        r#"
        [commands.busy]
        run = ["python3", "-c", """
import time
room = bytearray(64 << 20)
while time.process_time() < 0.3: pass
"""]
        [commands.parent]
        run = ["/bin/sh", "-c", "python3 -c 'import time\nwhile time.process_time() < 0.3: pass'; exit 1"]
        [commands.short]
        run = ["/bin/true"]
        [commands.senseless]
        run = ["./senseless"]
        "#,
    );
    taskqueue.no_program("senseless");
    for command in ["busy", "parent", "short", "short", "senseless"] {
        taskqueue.run(&["put", "--use-tube", "t", command]).ok();
    }
    taskqueue.work("t", 5);
    let took = |id: &str| {
        let attempt = &taskqueue.show(id)["attempts"][0];
        let time = |name: &str| attempt[name].as_f64();
        let cpu = time("user_time").zip(time("system_time"));
        (
            cpu.map(|(user, system)| user + system),
            attempt["peak_memory"].as_u64(),
        )
    };
    let (busy, parent) = (took("1"), took("2"));
    assert!(busy.0 >= Some(0.3) && busy.1 >= Some(64 << 20), "{busy:?}");
    // A child that the command has waited for is counted, as is what ended otherwise than well.
    assert!(parent.0 >= Some(0.3), "{parent:?}");
    for id in ["3", "4"] {
        let (cpu, memory) = took(id);
        assert!(cpu < Some(0.3) && memory > Some(0), "{cpu:?} {memory:?}");
    }
    assert_eq!(took("5"), (None, None));
    let shown = taskqueue.run(&["show", "1"]).ok();
    assert!(shown.contains(" s of CPU ("), "{shown}");
    // Without a tender, which it says by its exit code.
    let status = taskqueue.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let commands = status["commands"].as_array().unwrap();
    let of = |name: &str| commands.iter().find(|one| one["command"] == name).unwrap();
    assert!(of("busy")["cpu_time"].as_f64() >= Some(0.3));
    assert!(of("busy")["peak_memory"].as_u64() >= Some(64 << 20));
    assert_eq!(
        (&of("short")["tube"], &of("short")["done"]),
        (&json!("t"), &json!(2))
    );
}
