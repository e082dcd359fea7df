//! A worker that somebody has started by hand: the terminal is the worker's, and no command's.

use std::fs;
use std::process::Command;

use super::{lines, number, status};
use crate::support::{Running, Taskqueue, until};

/// Runs its arguments in the foreground of a terminal of their own, presses Ctrl-C once the file `press` is there, and
/// exits as they do.
const TERMINAL: &str = r#"
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
pressed = False
while True:
    if not pressed and os.path.exists("press"):
        pressed = os.write(fd, b"\x03") == 1
    if select.select([fd], [], [], 0.02)[0]:
        try:
            if not os.read(fd, 4096):
                break
        except OSError:
            break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn in_a_terminal(taskqueue: &Taskqueue, args: &[&str]) -> Running {
    let program = taskqueue.command(args);
    let variables = program.get_envs();
    let mut python = Command::new("python3");
    python
        .args(["-S", "-c", TERMINAL])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(taskqueue.path(""))
        .env_clear()
        .envs(variables.filter_map(|(name, value)| Some((name, value?))));
    Running::start(python)
}

fn work(taskqueue: &Taskqueue) -> Running {
    in_a_terminal(taskqueue, &["worker", "--use-tube", "t", "--max-jobs", "1"])
}

#[test]
fn a_command_that_asks_the_terminal_fails_at_once() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(
        "[commands.ask]\nrun = [\"/bin/sh\", \"-c\", \"read answer </dev/tty && echo got $answer\"]\n",
    );
    taskqueue.run(&["put", "--use-tube", "t", "ask"]).ok();
    assert_eq!(work(&taskqueue).wait().code, Some(0));
    let task = taskqueue.show("1");
    assert_eq!(task["status"], "failed");
    let output = task["attempts"][0]["output"].to_string();
    assert!(output.contains("No such device"), "{task}");
}

#[test]
fn ctrl_c_is_for_the_worker_and_its_command_finishes() {
    let taskqueue = Taskqueue::embedded();
    let script = "echo begun >> log; until [ -e go ]; do sleep 0.05; done; echo end >> log";
    taskqueue.configure(&format!(
        "[commands.job]\nrun = [\"/bin/sh\", \"-c\", \"{script}\"]\n"
    ));
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let log = taskqueue.path("log");
    let worker = in_a_terminal(&taskqueue, &["worker", "--use-tube", "t"]);
    until("begun", || lines(&log).len() == 1);
    fs::write(taskqueue.path("press"), "").unwrap();
    let told = "SELECT count(*) FROM workers WHERE told IS NOT NULL";
    until("it was told", || number(&taskqueue, told) == 1);
    assert_eq!(status(&taskqueue, "1"), "running");
    fs::write(taskqueue.path("go"), "").unwrap();
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(lines(&log), ["begun", "end"]);
    assert_eq!(status(&taskqueue, "1"), "done");
}
