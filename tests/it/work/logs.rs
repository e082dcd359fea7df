//! What commands print, read while they run, and after their workers were killed.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ChildStdout;

use rustix::process::Signal;

use super::{Queue, number, on_both, status};
use crate::support::{Ran, Running, Taskqueue, until};

on_both!(
    what_a_command_prints_is_read_while_it_runs,
    what_the_command_of_a_killed_worker_had_printed_is_kept,
    whoever_follows_a_task_goes_from_attempt_to_attempt,
    a_reader_that_stops_keeps_no_command_waiting,
    a_worker_that_cannot_spool_works_as_ever,
);

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "error"];

/// A command that is this script for a shell.
fn configure(taskqueue: &Taskqueue, script: &str, more: &str) {
    fs::write(taskqueue.path("script"), script).unwrap();
    taskqueue.configure(&format!(
        "[commands.job]\nrun = ['/bin/sh', 'script']\n{more}"
    ));
}

/// The spools beside the store.
fn spools(taskqueue: &Taskqueue) -> Vec<PathBuf> {
    let folder = taskqueue.store().parent().unwrap().to_owned();
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_spool = |path: &PathBuf| path.to_str().unwrap().contains("-printed-");
    files.filter(is_spool).collect()
}

/// What is said while one follows; the caller reads stdout.
fn follow(taskqueue: &Taskqueue, args: &[&str]) -> (Running, BufReader<ChildStdout>) {
    let args = [&["logs", "1", "--follow"], args].concat();
    let mut following = Running::start_unread(taskqueue.command(&args));
    let stdout = BufReader::new(following.stdout());
    (following, stdout)
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

fn rest(mut from: BufReader<ChildStdout>) -> String {
    let mut rest = String::new();
    from.read_to_string(&mut rest).unwrap();
    rest
}

fn what_a_command_prints_is_read_while_it_runs(taskqueue: &Taskqueue, _: &dyn Queue) {
    let script = "echo one; echo two >&2; until [ -e go ]; do sleep 0.02; done; printf three";
    configure(taskqueue, script, "");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let worker = taskqueue.start(&WORKER);
    let (mut following, mut stdout) = follow(taskqueue, &[]);
    assert_eq!(line(&mut stdout), "one\n");
    assert_eq!(line(&mut stdout), "two\n");
    assert_eq!(status(taskqueue, "1"), "running");
    assert_eq!(taskqueue.run(&["logs", "1"]).ok(), "one\ntwo\n");
    let spool = spools(taskqueue).pop().unwrap();
    let mode = fs::metadata(spool).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(following.lives());
    fs::write(taskqueue.path("go"), "").unwrap();
    assert_eq!(rest(stdout), "three");
    assert_eq!(following.wait().code, Some(0));
    assert_eq!(taskqueue.run(&["logs", "1"]).ok(), "one\ntwo\nthree");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(spools(taskqueue), [] as [PathBuf; 0]);
    // One that takes no time has none.
    configure(taskqueue, "echo short", "");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    taskqueue.work("t", 1);
    assert_eq!(taskqueue.run(&["logs", "2", "-f"]).ok(), "short\n");
}

fn what_the_command_of_a_killed_worker_had_printed_is_kept(taskqueue: &Taskqueue, _: &dyn Queue) {
    let ten = "i=0; while [ $i -lt 1000 ]; do echo line $((1000 + i)); i=$((i + 1)); done";
    let script = format!("[ $TASKQUEUE_ATTEMPT = 2 ] && exec echo again\n{ten}\nexec sleep 600");
    configure(taskqueue, &script, "");
    let printed: String = (1000..2000).map(|at| format!("line {at}\n")).collect();
    assert_eq!(printed.len(), 10_000);
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let worker = taskqueue.start(&WORKER);
    let mut following = Running::start(taskqueue.command(&["logs", "1", "--follow"]));
    until("it has printed all", || {
        taskqueue.run(&["logs", "1"]).stdout == printed
    });
    worker.signal(Signal::KILL);
    worker.wait();
    assert_eq!(status(taskqueue, "1"), "stalled");
    let stalled = taskqueue.run(&["logs", "1"]);
    assert_eq!((stalled.code, &stalled.stdout), (Some(0), &printed));
    assert!(stalled.stderr.contains("is dead"), "{stalled:?}");
    assert!(following.lives());
    let next = taskqueue.start(&WORKER);
    let Ran {
        code,
        stdout,
        stderr,
    } = following.wait();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, format!("{printed}again\n"));
    assert!(
        stderr.contains("attempt 1 of task 1: lost; "),
        "it says that it goes on: {stderr}"
    );
    let attempts = taskqueue.show("1")["attempts"].clone();
    assert_eq!(attempts[0]["outcome"], "lost");
    assert_eq!(attempts[0]["output"], printed);
    assert_eq!(attempts[0]["output_size"], 10_000);
    let first = taskqueue.run(&["logs", "1", "--attempt", "1"]);
    assert_eq!(first.ok(), printed);
    assert_eq!(taskqueue.run(&["logs", "1"]).ok(), "again\n");
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code, Some(0));
    // The dead one's stays until its worker is forgotten, as batch journals do.
    assert_eq!(spools(taskqueue).len(), 1);
}

fn whoever_follows_a_task_goes_from_attempt_to_attempt(taskqueue: &Taskqueue, _: &dyn Queue) {
    let script =
        "echo attempt $TASKQUEUE_ATTEMPT; [ $TASKQUEUE_ATTEMPT != 2 ] || sleep 0.1; [ -e well ]";
    configure(
        taskqueue,
        script,
        "max_attempts = 3\nbackoff = { first = '10ms', factor = 1, max = '10ms' }",
    );
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let nothing = taskqueue.run(&["logs", "1"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(0), ""));
    assert!(
        nothing.stderr.starts_with("no attempt of task 1 has begun"),
        "{nothing:?}"
    );
    let following = taskqueue.start(&["logs", "1", "--follow"]);
    let second = taskqueue.start(&["logs", "1", "--follow", "--attempt", "2"]);
    let objects = taskqueue.start(&["logs", "1", "--follow", "--json"]);
    let worker = taskqueue.start(&WORKER);
    let ran = following.wait();
    let all = "attempt 1\nattempt 2\nattempt 3\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), all), "{ran:?}");
    let said: Vec<&str> = ran.stderr.lines().collect();
    for (said, number) in said.iter().zip(1..) {
        let begin = format!("attempt {number} of task 1: exited, exit code 1; ");
        assert!(said.starts_with(&begin), "{said}");
    }
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(second.wait().ok(), "attempt 2\n");
    let objects = objects.wait().stdout;
    let objects: Vec<serde_json::Value> = objects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 6, "{objects:?}");
    for (pair, number) in objects.chunks(2).zip(1..) {
        let printed = format!("attempt {number}");
        let line =
            serde_json::json!({ "task": 1, "attempt": number, "offset": 0, "line": printed });
        assert_eq!(pair[0], line);
        let ended = &pair[1];
        assert_eq!(
            (&ended["task"], &ended["attempt"]),
            (&1.into(), &number.into())
        );
        assert_eq!(
            (&ended["outcome"], &ended["exit_code"]),
            (&"exited".into(), &1.into())
        );
        assert!(ended["finished"].is_string() && ended["signal"].is_null());
    }
    assert_eq!(status(taskqueue, "1"), "failed");
    // A second life.
    fs::write(taskqueue.path("well"), "").unwrap();
    taskqueue.run(&["regenerate", "--id", "1"]).ok();
    until("done", || status(taskqueue, "1") == "done");
    assert_eq!(taskqueue.run(&["logs", "1", "-f"]).ok(), "attempt 4\n");
    let first = taskqueue.run(&["logs", "1", "--attempt", "1", "--follow"]);
    assert_eq!(first.ok(), "attempt 1\n");
    for args in [
        &["logs", "1", "--attempt", "5"][..],
        &["logs", "1", "--attempt", "5", "--follow"],
    ] {
        let none = taskqueue.run(args).failed(1);
        assert!(
            none.contains("there is no attempt 5 of task 1, which has had 4"),
            "{none}"
        );
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn a_reader_that_stops_keeps_no_command_waiting(taskqueue: &Taskqueue, _: &dyn Queue) {
    // More than is kept, in the spool and in the store.
    let script = "echo begun; until [ -e go ]; do sleep 0.02; done; seq 1000000 1399999; touch over; \
                  until [ -e end ]; do sleep 0.02; done";
    configure(taskqueue, script, "");
    taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    let worker = taskqueue.start(&WORKER);
    let mut all = String::from("begun\n");
    (1_000_000..1_400_000).for_each(|at| all.push_str(&format!("{at}\n")));
    let mut followers: Vec<_> = (0..6).map(|_| follow(taskqueue, &[])).collect();
    for (_, stdout) in &mut followers {
        assert_eq!(line(stdout), "begun\n");
    }
    let asleep = followers.split_off(3);
    for (follower, _) in &asleep {
        follower.signal(Signal::STOP);
    }
    // So does one whose output nobody reads: its pipe is full.
    let (mut unread, mut full) = follow(taskqueue, &[]);
    assert_eq!(line(&mut full), "begun\n");
    fs::write(taskqueue.path("go"), "").unwrap();
    until("the command has printed all", || {
        taskqueue.path("over").exists()
    });
    fs::write(taskqueue.path("end"), "").unwrap();
    until("done", || status(taskqueue, "1") == "done");
    assert!(unread.lives());
    for (follower, _) in &asleep {
        follower.signal(Signal::CONT);
    }
    let readers = followers.into_iter().chain(asleep).chain([(unread, full)]);
    let readers: Vec<_> = readers
        .map(|(mut follower, stdout)| {
            std::thread::spawn(move || {
                let mut stderr = follower.stderr();
                let read = format!("begun\n{}", rest(stdout));
                let mut said = String::new();
                stderr.read_to_string(&mut said).unwrap();
                assert_eq!(follower.wait().code, Some(0));
                (read, said)
            })
        })
        .collect();
    for reader in readers {
        let (read, said) = reader.join().unwrap();
        // Each piece is where it should be, and what is missing is counted.
        let (mut at, mut rest) = (0, read.as_str());
        for gap in said.lines() {
            let numbers = gap.split(|c: char| !c.is_ascii_digit());
            let numbers: Vec<usize> = numbers.filter_map(|number| number.parse().ok()).collect();
            let &[offset, 1, missing] = numbers.as_slice() else {
                panic!("{gap}");
            };
            let (before, after) = rest.split_at(offset - at);
            assert!(all[at..].starts_with(before), "before {gap}");
            (at, rest) = (offset + missing, after);
        }
        assert_eq!(&all[at..], rest, "{said}");
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}

fn a_worker_that_cannot_spool_works_as_ever(taskqueue: &Taskqueue, _: &dyn Queue) {
    configure(taskqueue, "echo said; sleep 0.1; echo more", "");
    let mut spool = taskqueue.store().into_os_string();
    spool.push("-printed-1");
    fs::create_dir(&spool).unwrap();
    for _ in 0..3 {
        taskqueue.run(&["put", "--use-tube", "t", "job"]).ok();
    }
    let args = [
        "worker",
        "--use-tube",
        "t",
        "--max-jobs",
        "3",
        "--log",
        "warn",
    ];
    let ran = taskqueue.run(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = "cannot have what a command prints read while it runs";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran:?}");
    assert_eq!(
        number(
            taskqueue,
            "SELECT count(*) FROM tasks WHERE status = 'done'"
        ),
        3
    );
    assert_eq!(taskqueue.run(&["logs", "3"]).ok(), "said\nmore\n");
}
