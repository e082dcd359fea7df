//! `taskqueue logs`: what it prints where, and when it ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use crate::support::{PATIENCE, Taskqueue, until};

/// A task that has printed orders to terminals, and bytes that are no text, and a line without an end.
const ODD: &[u8] = b"\x1b[31mred\xff \xe2\x82\xac\n\xc3";

fn odd() -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.odd]\nrun = ['/bin/cat', 'odd']\n");
    std::fs::write(taskqueue.path("odd"), ODD).unwrap();
    taskqueue.run(&["put", "--use-tube", "t", "odd"]).ok();
    taskqueue.work("t", 1);
    taskqueue
}

#[test]
fn a_pipe_gets_the_very_bytes() {
    let taskqueue = odd();
    for args in [&["logs", "1"][..], &["logs", "1", "--follow"]] {
        let output = taskqueue.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (ODD, &b""[..])
        );
    }
}

#[test]
fn a_terminal_obeys_nothing_of_it() {
    let taskqueue = odd();
    let program = taskqueue.command(&["logs", "1", "--follow"]);
    let variables = program.get_envs();
    let mut python = Command::new("python3");
    python
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(taskqueue.path(""))
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null());
    let said = String::from_utf8(python.output().unwrap().stdout).unwrap();
    assert!(
        said.starts_with("\\u{1b}[31mred\u{fffd} €\r\n\u{fffd}"),
        "{said:?}"
    );
    assert!(
        said.contains("attempt 1 of task 1: exited, exit code 0"),
        "{said:?}"
    );
    assert!(!said.contains('\x1b'), "{said:?}");
}

#[test]
fn programs_get_an_object_for_each_line() {
    let taskqueue = odd();
    let said = taskqueue.run(&["logs", "1", "--json"]).ok();
    let lines: Vec<&str> = said.lines().collect();
    let first = r#"{"task":1,"attempt":1,"offset":0,"line":"\u001b[31mred� €"}"#;
    let second = r#"{"task":1,"attempt":1,"offset":14,"line":"�"}"#;
    assert_eq!(lines[..2], [first, second]);
    let end = r#"{"task":1,"attempt":1,"outcome":"exited","exit_code":0,"signal":null,"reason":null,"finished":""#;
    assert!(lines[2].starts_with(end), "{said}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn what_is_left_out_in_the_middle_is_said() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.much]\nrun = ['seq', '100000', '149999']\n");
    taskqueue.run(&["put", "--use-tube", "t", "much"]).ok();
    taskqueue.work("t", 1);
    let ran = taskqueue.run(&["logs", "1"]);
    let all: String = (100_000..150_000).map(|at| format!("{at}\n")).collect();
    let kept = 64 * 1024;
    let (head, tail) = (&all[..kept], &all[all.len() - kept..]);
    assert_eq!(ran.stdout, format!("{head}{tail}"));
    let missing = all.len() - 2 * kept;
    let said = format!("after the first {kept} bytes of attempt 1, {missing} bytes are left out\n");
    assert_eq!(ran.stderr, said);
    let json = taskqueue.run(&["logs", "1", "--json"]).ok();
    let object = format!(r#"{{"task":1,"attempt":1,"offset":{kept},"missed":{missing}}}"#);
    assert!(json.lines().any(|line| line == object), "{object}");
}

#[test]
fn a_task_that_is_not_there_is_exit_3() {
    let taskqueue = Taskqueue::embedded();
    let none = taskqueue.run(&["logs", "1"]).failed(3);
    assert!(none.contains("there is no store"), "{none}");
    taskqueue.configure("[commands.job]\nrun = ['/bin/true']\n");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    for args in [&["logs", "2"][..], &["logs", "2", "--follow", "--json"]] {
        let none = taskqueue.run(args).failed(3);
        assert!(none.contains("there is no task 2 in the store"), "{none}");
    }
    taskqueue.work("t", 1);
    let nothing = taskqueue.run(&["logs", "1"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(0), ""));
    assert_eq!(nothing.stderr, "attempt 1 of task 1 printed nothing\n");
    let uuid = taskqueue.show("1")["uuid"].as_str().unwrap().to_owned();
    assert_eq!(taskqueue.run(&["logs", &uuid]).code, Some(0));
}

/// Even where nothing more is printed, by which one would notice.
#[test]
fn nobody_is_followed_for_whoever_has_left() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(
        "[commands.job]\nrun = ['/bin/sh', '-c', 'echo one; echo two; exec sleep 600']\n",
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let worker = taskqueue.start(&["worker", "--use-tube", "t", "--grace-period", "0"]);
    let mut child = taskqueue.command(&["logs", "1", "-f"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(out);
    let begun = Instant::now();
    let ended = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(
        (ended.status.code(), ended.stderr.as_slice()),
        (Some(0), &b""[..])
    );
    // Whoever is told to end does so.
    let follower = taskqueue.start(&["logs", "1", "-f"]);
    until("it waits", || {
        taskqueue.run(&["logs", "1"]).stdout == "one\ntwo\n"
    });
    follower.signal(Signal::TERM);
    assert_eq!(follower.wait().code, None);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}
