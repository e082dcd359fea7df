//! What is run before and after a command, in its attempt.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Queue, jobs, lines, number, on_both, status};
use crate::support::{Taskqueue, until};

on_both!(
    before_and_after_are_run_around_a_command,
    where_before_fails_the_command_is_not_run,
    after_is_run_whatever_becomes_of_the_command,
    what_is_called_off_or_told_to_go_is_ended_in_each_step,
);

/// Commands whose steps write down that they are run, and what they find.
fn configure(taskqueue: &Taskqueue) {
    let log = taskqueue.path("log");
    let step = |name: &str, script: &str| {
        let log = log.display();
        format!(
            "[\"/bin/sh\", \"-c\", \"echo {name} $TASKQUEUE_ATTEMPT $TASKQUEUE_OUTCOME $TASKQUEUE_EXIT_CODE \
                 $TASKQUEUE_NEXT >> {log}; {script}\", \"{{command}}\"]"
        )
    };
    let command = |name: &str, (before, run, after): (&str, &str, &str), more: &str| {
        let (before, run, after) = (
            step("before", before),
            step("run", run),
            step("after", after),
        );
        format!("[commands.{name}]\nbefore = {before}\nrun = {run}\nafter = {after}\n{more}\n")
    };
    taskqueue.configure(
        &[
            command(
                "well",
                ("echo B $0", "echo R; cat", "echo A $0"),
                "stdin = \"body\"",
            ),
            command("unready", ("echo B; exit 3", "echo R", "echo A"), ""),
            command(
                "fails",
                ("true", "exit 4", "true"),
                "max_attempts = 2\nbackoff = { first = 0 }",
            ),
            command("slow", ("true", "exec sleep 600", "echo A"), "timeout = 1"),
            command(
                "slow-before",
                ("exec sleep 600", "echo R", "echo A"),
                "timeout = 1",
            ),
            command("untidy", ("true", "echo R", "echo A; exit 5"), ""),
            command("killed", ("true", "kill -9 $$", "true"), ""),
            command("long-before", ("exec sleep 600", "echo R", "echo A"), ""),
            "[commands.missing]\nbefore = [\"/bin/echo\", \"B\"]\nrun = [\"/nowhere/at-all\"]\n"
                .into(),
        ]
        .concat(),
    );
}

fn put(taskqueue: &Taskqueue, command: &str) {
    taskqueue.run(&["put", "--use-tube", "t", command]).ok();
}

fn run(taskqueue: &Taskqueue, command: &str) -> Value {
    configure(taskqueue);
    put(taskqueue, command);
    taskqueue.work("t", 1);
    taskqueue.show("1")
}

fn last(task: &Value) -> &Value {
    task["attempts"].as_array().unwrap().last().unwrap()
}

fn before_and_after_are_run_around_a_command(taskqueue: &Taskqueue, queue: &dyn Queue) {
    let task = run(taskqueue, "well");
    assert_eq!(task["status"], "done");
    let output = last(&task)["output"].as_str().unwrap();
    // The whole body is the command's.
    assert!(
        output.starts_with("B well\nR\n{\"taskqueue\":1"),
        "{output}"
    );
    assert!(output.ends_with("A well\n"), "{output}");
    assert_eq!(
        lines(&taskqueue.path("log")),
        ["before 1", "run 1", "after 1 exited 0 done"]
    );
    // Several, one after the other, as short ones are.
    for _ in 0..20 {
        put(taskqueue, "well");
    }
    taskqueue.work("t", 20);
    let open = "SELECT count(*) FROM tasks WHERE status <> 'done'";
    assert_eq!((number(taskqueue, open), jobs(queue, "t")), (0, 0));
    let log = lines(&taskqueue.path("log"));
    assert_eq!(log.len(), 63);
    for steps in log.chunks(3) {
        assert_eq!(steps, ["before 1", "run 1", "after 1 exited 0 done"]);
    }
}

fn where_before_fails_the_command_is_not_run(taskqueue: &Taskqueue, _: &dyn Queue) {
    let task = run(taskqueue, "unready");
    assert_eq!(task["status"], "failed");
    assert_eq!(last(&task)["exit_code"], 3);
    assert_eq!(
        last(&task)["output"],
        "B\ntaskqueue: before: it exited with 3, and the command was not run\nA\n"
    );
    assert_eq!(
        lines(&taskqueue.path("log")),
        ["before 1", "after 1 exited 3 failed"]
    );
}

fn after_is_run_whatever_becomes_of_the_command(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    let expected: [(&str, &str, &[&str]); 5] = [
        (
            "fails",
            "failed",
            &[
                "before 1",
                "run 1",
                "after 1 exited 4 waiting",
                "before 2",
                "run 2",
                "after 2 exited 4 failed",
            ],
        ),
        (
            "slow",
            "failed",
            &["before 1", "run 1", "after 1 timed_out failed"],
        ),
        (
            "slow-before",
            "failed",
            &["before 1", "after 1 timed_out failed"],
        ),
        // What was done is not done again.
        (
            "untidy",
            "done",
            &["before 1", "run 1", "after 1 exited 0 done"],
        ),
        (
            "killed",
            "failed",
            &["before 1", "run 1", "after 1 signalled failed"],
        ),
    ];
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--log", "error"]);
    for (id, (command, becomes, steps)) in (1..).zip(expected) {
        put(taskqueue, command);
        let id = id.to_string();
        until("it has ended", || status(taskqueue, &id) == becomes);
        assert_eq!(lines(&taskqueue.path("log")), steps, "{command}");
        std::fs::remove_file(taskqueue.path("log")).unwrap();
    }
    let untidy = taskqueue.show("4");
    assert_eq!(
        last(&untidy)["output"],
        "R\nA\ntaskqueue: after: it exited with 5\n"
    );
    assert_eq!(last(&taskqueue.show("2"))["output"], "A\n");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn what_is_called_off_or_told_to_go_is_ended_in_each_step(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue);
    put(taskqueue, "long-before");
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--grace-period", "0"]);
    until("before runs", || lines(&taskqueue.path("log")).len() == 1);
    taskqueue.run(&["cancel", "1", "--wait"]).ok();
    assert_eq!(status(taskqueue, "1"), "cancelled");
    assert_eq!(
        lines(&taskqueue.path("log")),
        ["before 1", "after 1 cancelled cancelled"]
    );
    put(taskqueue, "long-before");
    until("before runs", || lines(&taskqueue.path("log")).len() == 3);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    let task = taskqueue.show("2");
    assert_eq!(
        (&task["status"], &last(&task)["outcome"]),
        (&json!("waiting"), &json!("interrupted"))
    );
    let log = lines(&taskqueue.path("log"));
    assert_eq!(log.last().unwrap(), "after 1 interrupted waiting");
}
