//! What commands say of their attempts through the descriptor that they find for that.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Queue, jobs, number, on_both, status, tend};
use crate::support::{Running, Taskqueue, until};

on_both!(
    what_is_said_is_kept_and_shown,
    a_command_may_give_its_task_up,
);

/// A command of a shell, and more lines of its table. `$TQ` is the program.
pub(super) fn configure(taskqueue: &Taskqueue, script: &str, more: &str) {
    fs::write(taskqueue.path("job"), script).unwrap();
    let program = env!("CARGO_BIN_EXE_taskqueue");
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"job\"]\nenvironment = {{ TQ = \"{program}\" }}\n{more}\n"
    ));
}

/// One task whose command is that.
pub(super) fn put(taskqueue: &Taskqueue, script: &str, more: &str) {
    configure(taskqueue, script, more);
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
}

fn output(task: &Value, attempt: usize) -> String {
    let output = task["attempts"][attempt]["output"].as_str();
    output.unwrap().to_owned()
}

pub(super) fn outcomes(task: &Value) -> Vec<(&str, Option<i64>)> {
    let attempts = task["attempts"].as_array().unwrap().iter();
    attempts
        .map(|one| {
            (
                one["outcome"].as_str().unwrap_or("running"),
                one["exit_code"].as_i64(),
            )
        })
        .collect()
}

fn what_is_said_is_kept_and_shown(taskqueue: &Taskqueue, _: &dyn Queue) {
    put(
        taskqueue,
        r#"
        echo '{"progress":140}' >&$TASKQUEUE_REPORT_FD
        echo '{"progress":40,"message":"half of it"}' >&$TASKQUEUE_REPORT_FD
        $TQ report --result '{"rows": [1, 2.50]}' || exit 3
        echo printed
        "#,
        "",
    );
    taskqueue.work("t", 1);
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "done");
    let said = &task["report"];
    assert_eq!(said["attempt"], 1);
    assert_eq!(said["progress"].to_string(), "40");
    assert_eq!(said["message"], "half of it");
    assert_eq!(task["result"], json!({"rows": [1, 2.5]}));
    let told = "taskqueue: not taken from the report: progress may only be between 0 to 100: {\"progress\":140}\n";
    // By two pipes: which comes first is nobody's to say.
    let printed = output(&task, 0).replace("printed\n", "");
    assert_eq!(printed, told);
    let shown = taskqueue.run(&["show", "1"]).ok();
    assert!(
        shown.contains("\nprogress   40 %, half of it (attempt 1, "),
        "{shown}"
    );
    assert!(
        shown.contains("\nresult     {\"rows\": [1, 2.50]}\n"),
        "{shown}"
    );
    let listed = taskqueue.run(&["list"]).ok();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].contains("  PROGRESS  "), "{listed}");
    assert!(lines[1].contains("  40 %, half of it  "), "{listed}");
    let listed = taskqueue.run(&["list", "--json"]).json();
    assert_eq!(listed[0]["report"], *said);
    assert_eq!(listed[0].get("result"), None, "too long for a list");
    // And goes with its task.
    taskqueue.run(&["cleanup", "--period", "0"]).ok();
    assert_eq!(number(taskqueue, "SELECT count(*) FROM reports"), 0);
}

fn a_command_may_give_its_task_up(taskqueue: &Taskqueue, queue: &dyn Queue) {
    configure(
        taskqueue,
        r#"
        case $TASKQUEUE_TASK_ID in
            1) $TQ report --fail 'no such customer'; exit 0 ;;
            2) $TQ report --fail 'no such customer' --retry-in 5; exit 1 ;;
            3) $TQ report --fail 'no such customer'; kill -9 $$ ;;
            4) $TQ report --fail 'no such customer'; exec sleep 300 ;;
        esac
        "#,
        "max_attempts = 5\ntimeout = 1",
    );
    for _ in 0..4 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
    taskqueue.work("t", 4);
    for (id, outcome) in [
        ("1", "exited"),
        ("2", "exited"),
        ("3", "signalled"),
        ("4", "timed_out"),
    ] {
        let task = taskqueue.show(id);
        assert_eq!(task["status"], "failed", "{task}");
        assert_eq!(task["reason"], "no such customer");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
        let attempt = &task["attempts"][0];
        assert_eq!(
            (&attempt["outcome"], &attempt["reason"]),
            (&json!(outcome), &json!("no such customer"))
        );
    }
    until("their jobs are gone", || jobs(queue, "t") == 0);
}

/// As far as it had said is shown while it runs, and of the lost attempt.
#[test]
fn how_far_it_is_outlives_its_worker() {
    let taskqueue = Taskqueue::embedded();
    put(
        &taskqueue,
        "[ $TASKQUEUE_ATTEMPT = 1 ] || exit 0; $TQ report --progress 12.5 --message so; exec sleep 300",
        "",
    );
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    until("it is kept", || !taskqueue.show("1")["report"].is_null());
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "running");
    let said = task["report"].clone();
    assert_eq!(
        (&said["progress"], &said["message"]),
        (&json!(12.5), &json!("so"))
    );
    worker.signal(Signal::KILL);
    worker.wait();
    taskqueue.work("t", 1);
    let task = taskqueue.show("1");
    assert_eq!(outcomes(&task), [("lost", None), ("exited", Some(0))]);
    assert_eq!((&task["status"], &task["report"]), (&json!("done"), &said));
    let listed = taskqueue.run(&["list"]).ok();
    assert!(!listed.contains("12.5"), "an attempt before: {listed}");
}

/// 10⁶ lines are read as they come, and cost the store a write a second at the most.
#[test]
fn a_flood_of_reports_holds_nobody_up() {
    let taskqueue = Taskqueue::embedded();
    let script = r#"
import os, time
fd = int(os.environ["TASKQUEUE_REPORT_FD"])
begun = time.time()
for n in range(1000):
    lines = b"".join(b'{"progress":%.4f,"message":"line %d"}\n' % ((n * 1000 + i) / 10000, i) for i in range(1000))
    while lines:
        lines = lines[os.write(fd, lines):]
    if n % 100 == 0: print("x" * 1000, flush=True)
print("took", time.time() - begun)
"#;
    fs::write(taskqueue.path("flood.py"), script).unwrap();
    taskqueue.configure("[commands.job]\nrun = [\"python3\", \"-S\", \"flood.py\"]\n");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue
        .sqlite()
        .execute_batch(
            "CREATE TABLE writes (at INTEGER);
             CREATE TRIGGER counts AFTER INSERT ON reports BEGIN INSERT INTO writes VALUES (new.at); END;",
        )
        .unwrap();
    let begun = Instant::now();
    taskqueue.work("t", 1);
    let took = begun.elapsed();
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "done", "{task}");
    assert_eq!(task["report"]["progress"], json!(99.9999));
    assert_eq!(task["report"]["message"], "line 999");
    let writes = number(&taskqueue, "SELECT count(*) FROM writes");
    println!(
        "{writes} writes in {took:?}: {}",
        output(&task, 0).trim_start_matches(['x', '\n'])
    );
    // And one with its end.
    assert!(
        writes >= 1 && writes <= 1 + i64::try_from(took.as_secs()).unwrap(),
        "{writes} in {took:?}"
    );
}

/// Whoever writes faster than its worker reads is ended when its time is up all the same, and its exit is seen.
#[test]
fn a_flood_keeps_no_time_from_being_up() {
    let taskqueue = Taskqueue::embedded();
    let flood = r#"yes '{"progress":1,"message":"a"}' >&$TASKQUEUE_REPORT_FD"#;
    configure(
        &taskqueue,
        &format!("case $TASKQUEUE_TASK_ID in 1 | 2) ;; 3) {flood} & exit 0 ;; *) {flood} ;; esac"),
        "timeout = 2",
    );
    for _ in 0..4 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
    let begun = Instant::now();
    taskqueue.work("t", 4);
    let took = begun.elapsed();
    let ends = ["1", "2", "3", "4"].map(|id| {
        let task = taskqueue.show(id);
        let attempt = &task["attempts"][0];
        (
            attempt["outcome"].clone(),
            task["report"]["progress"].clone(),
        )
    });
    let done = (json!("exited"), Value::Null);
    assert_eq!(ends[..2], [done.clone(), done]);
    assert_eq!(ends[2].0, "exited");
    assert_eq!(ends[3], (json!("timed_out"), json!(1)));
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// What is left of a command holds its descriptor, and nobody waits for that. What it says comes too late.
#[test]
fn who_outlives_the_command_reports_nothing() {
    let taskqueue = Taskqueue::embedded();
    put(
        &taskqueue,
        r#"
        echo '{"progress":1}' >&$TASKQUEUE_REPORT_FD
        (trap '' PIPE; sleep 0.3; while [ ! -e end ]; do
            echo '{"progress":99}' >&$TASKQUEUE_REPORT_FD; echo $? >> late; sleep 0.1
        done) >/dev/null 2>&1 &
        "#,
        "",
    );
    let begun = Instant::now();
    taskqueue.work("t", 1);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    until("it has tried", || taskqueue.path("late").exists());
    fs::write(taskqueue.path("end"), "").unwrap();
    let task = taskqueue.show("1");
    assert_eq!(
        (&task["status"], &task["report"]["progress"]),
        (&json!("done"), &json!(1))
    );
    let late = fs::read_to_string(taskqueue.path("late")).unwrap();
    assert_ne!(late.lines().next(), Some("0"), "nobody reads it");
}

/// Whoever is still there of an earlier attempt has another pipe than the one that runs.
#[test]
fn an_attempt_has_a_pipe_of_its_own() {
    let taskqueue = Taskqueue::embedded();
    put(
        &taskqueue,
        r#"
        readlink /proc/$$/fd/$TASKQUEUE_REPORT_FD >> pipes
        stat -L -c %F /proc/$$/fd/$TASKQUEUE_REPORT_FD >> kinds
        [ $TASKQUEUE_ATTEMPT = 2 ] || exit 1
        "#,
        "max_attempts = 2\nbackoff = { first = 0 }",
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue.work("t", 3);
    let kinds = fs::read_to_string(taskqueue.path("kinds")).unwrap();
    assert!(kinds.lines().all(|kind| kind == "fifo"), "{kinds}");
    assert_eq!(status(&taskqueue, "1"), "done");
    assert_eq!(
        number(&taskqueue, "SELECT count(*) FROM reports"),
        0,
        "nothing was said"
    );
}

/// A worker that is run by a command has no part in what that command may say, nor have its commands.
#[test]
fn nobody_reports_to_another_s_worker() {
    let taskqueue = Taskqueue::embedded();
    configure(
        &taskqueue,
        "env | grep -c TASKQUEUE_REPORT_FD; echo $TASKQUEUE_REPORT_FD",
        "",
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let mut worker = taskqueue.command(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    worker.env("TASKQUEUE_REPORT_FD", "5");
    assert_eq!(Running::start(worker).wait().code, Some(0));
    assert_eq!(output(&taskqueue.show("1"), 0), "1\n8\n");
}

/// What is wrong with how it is called or where.
#[test]
fn a_report_without_anybody_to_hear_it_is_an_error() {
    let taskqueue = Taskqueue::alone();
    let run = |args: &[&str], descriptor: Option<&str>| {
        let mut command = taskqueue.command(args);
        if let Some(descriptor) = descriptor {
            command.env("TASKQUEUE_REPORT_FD", descriptor);
        }
        Running::start(command).wait()
    };
    let said = run(&["report", "--progress", "40"], None).failed(1);
    assert!(
        said.contains("the environment has no TASKQUEUE_REPORT_FD"),
        "{said}"
    );
    for descriptor in ["8", "eight", "2147483648", "0"] {
        let said = run(&["report", "--progress", "40"], Some(descriptor)).failed(1);
        let named = format!("the descriptor {descriptor} that TASKQUEUE_REPORT_FD names");
        assert!(said.contains(&named), "{said}");
    }
    for (args, why) in [
        (
            &["--progress", "101"][..],
            "progress may only be between 0 to 100",
        ),
        (
            &["--progress", "-1"],
            "progress may only be between 0 to 100",
        ),
        (&["--progress", "half"], "is no number"),
        (&["--result", "{"], "is no JSON"),
        (&["--retry-in", "soon"], "is no duration"),
        (&[], "nothing is said"),
    ] {
        let said = run(&[&["report"], args].concat(), Some("8")).failed(2);
        assert!(said.contains(why), "{said}");
    }
}

/// A tended worker that is told to go amid an attempt keeps what was said, and the next attempt goes on from there.
#[test]
fn an_interrupted_attempt_keeps_what_it_said() {
    let taskqueue = Taskqueue::embedded();
    put(
        &taskqueue,
        "[ $TASKQUEUE_ATTEMPT = 1 ] || exit 0; $TQ report --progress 30 --fail no; touch begun; exec sleep 300",
        "",
    );
    let tender = tend(&taskqueue, 1);
    until("it runs", || taskqueue.path("begun").exists());
    taskqueue.run(&["stop", "--now"]);
    tender.wait();
    let task = taskqueue.show("1");
    assert_eq!(outcomes(&task), [("interrupted", None)]);
    assert_eq!(
        (&task["status"], &task["report"]["progress"]),
        (&json!("waiting"), &json!(30))
    );
}
