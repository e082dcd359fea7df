//! No log stops work: whole processes whose stderr or log file is full, closed, or read by nobody.

mod day;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Disk, Running, TEND_ONE, Taskqueue, until};

const COMMANDS: &str =
    "grace_period = \"3s\"\n[commands.ok]\nrun = [\"true\"]\n[commands.bad]\nrun = [\"false\"]\n";

/// More than a pipe of one page takes of what is logged about them.
const MANY: usize = 150;

const WORKER: [&str; 5] = ["worker", "--use-tube", "t", "--log", "debug"];

fn configured() -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure(COMMANDS);
    taskqueue
}

fn put(taskqueue: &Taskqueue, command: &str, count: usize) {
    put_lines(
        taskqueue,
        &format!("{{\"taskqueue\":1,\"command\":\"{command}\"}}\n"),
        count,
    );
}

fn put_lines(taskqueue: &Taskqueue, line: &str, count: usize) {
    let put = ["put", "--use-tube", "t", "--batch", "-"];
    let ran = taskqueue.run_with(&put, line.repeat(count).as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

fn count(taskqueue: &Taskqueue, status: &str) -> usize {
    let args = ["list", "--json", "--limit", "10000", "--status", status];
    taskqueue.run(&args).json().as_array().unwrap().len()
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// The same with its stderr on a full disk.
fn unheard(taskqueue: &Taskqueue, args: &[&str]) -> Running {
    let mut command = taskqueue.command(args);
    command.stderr(full());
    Running::start(command)
}

/// With a stderr of one page, and its reader.
fn piped(mut command: Command) -> (Running, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    command.stderr(writer);
    (Running::start(command), reader)
}

/// Ends it, in less than a grace period and what a worker may need beyond that.
#[track_caller]
fn ends_in_time(running: Running) {
    running.signal(Signal::TERM);
    let begun = Instant::now();
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn work_goes_on_where_stderr_is_full_or_closed() {
    let taskqueue = configured();
    put(&taskqueue, "bad", 1);
    put(&taskqueue, "ok", 1);
    let ran = unheard(&taskqueue, &[&WORKER[..], &["--max-jobs", "2"]].concat()).wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        (count(&taskqueue, "failed"), count(&taskqueue, "done")),
        (1, 1)
    );

    put(&taskqueue, "bad", 1);
    let mut closed = taskqueue.command(&[]);
    let program = closed.get_program().to_owned();
    closed = {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>&-"]).arg(program);
        shell.args(WORKER).args(["--max-jobs", "1"]).env_clear();
        shell.envs(
            closed
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        shell.current_dir(taskqueue.path("")).stdin(Stdio::null());
        shell
    };
    assert_eq!(Running::start(closed).wait().code, Some(0));
    assert_eq!(count(&taskqueue, "failed"), 2);
}

#[test]
fn a_log_reader_who_leaves_takes_nobody_along() {
    let taskqueue = configured();
    let (mut tender, reader) =
        piped(taskqueue.command(&["tender", "--use-tube", "t", "--min-workers", "2"]));
    let mut lines = BufReader::new(reader).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    put(&taskqueue, "bad", 20);
    until("all are tried", || count(&taskqueue, "failed") == 20);
    assert!(tender.lives());
    let workers = taskqueue.run(&["status", "--json"]).stdout;
    assert!(workers.contains("\"restarts\":0"), "{workers}");
    ends_in_time(tender);
}

#[test]
fn a_log_reader_who_sleeps_stops_nobody_and_hears_of_it_when_he_wakes() {
    let taskqueue = configured();
    let tend = [&TEND_ONE[..], &["--log", "debug"]].concat();
    let (tender, reader) = piped(taskqueue.command(&tend));
    put(&taskqueue, "bad", MANY);
    until("all are tried", || count(&taskqueue, "failed") == MANY);
    assert_eq!(taskqueue.run(&["ping"]).code, Some(0));
    ends_in_time(tender);
    drop(reader);

    // A worker alone, whose queue overflows: what may not run at all is refused fast.
    let refused = r#"{"taskqueue":1,"command":"bad","arguments":["-x"]}"#;
    put_lines(&taskqueue, &format!("{refused}\n"), 5000);
    let (worker, reader) = piped(taskqueue.command(&WORKER));
    until("all are refused", || {
        count(&taskqueue, "failed") == 5000 + MANY
    });
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let note = lines
        .find(|line| line.contains("lines of the log were lost"))
        .unwrap();
    assert!(
        note.contains(" lines=") && note.contains("faster than they were read"),
        "{note}"
    );
    // Read on, so that it can say its last words.
    let rest = std::thread::spawn(move || lines.last());
    ends_in_time(worker);
    assert!(rest.join().unwrap().unwrap().contains("ended"));
}

#[test]
fn a_worker_whose_tender_is_stopped_and_takes_its_log_goes_on() {
    let taskqueue = configured();
    let worker = env!("CARGO_BIN_EXE_taskqueue");
    let worker = format!("{worker} worker --use-tube t --log debug --log-format json");
    let foreign = ["--worker-command", &worker, "--log", "error"];
    let tender = taskqueue.start(&[&TEND_ONE[..], &foreign].concat());
    put(&taskqueue, "ok", 1);
    until("a worker", || count(&taskqueue, "done") == 1);
    tender.signal(Signal::STOP);
    // Some 200 bytes each, where a pipe holds 64 KiB.
    put(&taskqueue, "ok", 700);
    until("all done", || count(&taskqueue, "done") == 701);
    let pid = "SELECT pid FROM workers WHERE name NOT LIKE 'tender%' ORDER BY id DESC";
    let pid: i32 = taskqueue
        .sqlite()
        .query_row(pid, [], |row| row.get(0))
        .unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let stat = format!("/proc/{pid}/stat");
    let begun = Instant::now();
    until("it has ended", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z"))
    });
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    tender.signal(Signal::CONT);
    ends_in_time(tender);
}

#[test]
fn a_disk_that_was_full_has_the_count_once_it_has_room() {
    let taskqueue = configured();
    let Some(disk) = Disk::mount(&taskqueue.path("")) else {
        return;
    };
    let log = disk.path("log");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let path = log.to_str().unwrap().to_owned();
    let worker = taskqueue.start(&[&WORKER[..], &["--log-file", &path]].concat());
    until("a log", || read().contains("started"));
    disk.fill();
    put(&taskqueue, "bad", MANY);
    until("all are tried", || count(&taskqueue, "failed") == MANY);
    disk.free();
    put(&taskqueue, "bad", 1);
    until("it is said", || {
        read().contains("lines of the log were lost")
    });
    let log = read();
    let note = log.lines().find(|line| line.contains("were lost")).unwrap();
    assert!(note.contains("no room is left there"), "{note}");
    let lost: usize = note
        .split_once("lines=")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=MANY).contains(&lost), "{note}");
    ends_in_time(worker);
    assert!(read().lines().last().unwrap().contains("ended"));
}

#[test]
fn a_command_that_cannot_warn_exits_as_if_it_had() {
    let taskqueue = Taskqueue::alone();
    let put = unheard(&taskqueue, &["put", "--use-tube", "t", "ok"]).wait();
    assert_eq!((put.code, put.stdout.as_str()), (Some(0), "1\n"));
    taskqueue
        .sqlite()
        .execute(
            "UPDATE tasks SET status = 'failed', due = NULL, finished = 1, reason = 'r'",
            [],
        )
        .unwrap();
    let ran = unheard(&taskqueue, &["regenerate", "--id", "1"]).wait();
    assert_eq!(
        (ran.code, ran.stdout.lines().count()),
        (Some(0), 1),
        "{ran:?}"
    );
    let ran = unheard(&taskqueue, &["regenerate", "--id", "1,7"]).wait();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let ran = unheard(&taskqueue, &["show", "7", "--json"]).wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "null\n"));
    let lines = b"nonsense\n{\"taskqueue\":1,\"command\":\"ok\"}\n";
    let mut command = taskqueue.command(&["put", "--use-tube", "t", "--batch", "-"]);
    std::fs::write(taskqueue.path("lines"), lines).unwrap();
    command
        .stdin(File::open(taskqueue.path("lines")).unwrap())
        .stderr(full());
    let ran = Running::start(command).wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "2\n"));
}

#[test]
fn a_number_that_cannot_be_printed_is_said_and_the_batch_goes_on() {
    let taskqueue = Taskqueue::embedded();
    let unprinted = |args: &[&str]| {
        let mut command = taskqueue.command(args);
        command.stdout(full());
        Running::start(command).wait()
    };
    for json in [&[][..], &["--json"]] {
        let said = unprinted(&[&["put", "--use-tube", "t", "ok"][..], json].concat()).failed(1);
        assert!(
            said.contains("is recorded") && said.contains("no room is left"),
            "{said}"
        );
    }
    assert_eq!(count(&taskqueue, "waiting"), 2);

    let line = "{\"taskqueue\":1,\"command\":\"ok\"}\n";
    std::fs::write(taskqueue.path("lines"), line.repeat(2500)).unwrap();
    let lines = taskqueue.path("lines").display().to_string();
    let batch = ["put", "--use-tube", "t", "--batch", &lines];
    let said = unprinted(&batch).failed(1);
    assert!(
        said.contains("1000 tasks are recorded, from 3 to 1002"),
        "{said}"
    );
    assert!(
        said.contains("500 tasks are recorded, from 2003 to 2502"),
        "{said}"
    );
    assert_eq!(count(&taskqueue, "waiting"), 2502);

    let mut gone = taskqueue.command(&batch);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    gone.stdout(writer);
    let ran = Running::start(gone).wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("broken pipe"), "{ran:?}");
    assert_eq!(count(&taskqueue, "waiting"), 5002);
}

#[test]
fn a_word_that_is_no_level_is_refused_by_the_name_of_who_said_it() {
    let taskqueue = configured();
    for word in ["verbose", "", "taskqueue=loud"] {
        let said = taskqueue.run(&["list", "--log", word]).failed(2);
        assert!(
            said.contains("--log") && !said.contains("TASKQUEUE_LOG"),
            "{said}"
        );
        assert!(said.contains("error, warn, info, debug"), "{said}");
    }
    let with = |word: &str, args: &[&str]| {
        let mut command = taskqueue.command(args);
        command.env("TASKQUEUE_LOG", word);
        Running::start(command).wait()
    };
    for (word, shown) in [
        ("verbose", "'verbose'"),
        ("info\r", "ends in a carriage return"),
        ("\"info\"", "has quotes around it"),
    ] {
        let said = with(word, &["list"]).failed(2);
        assert!(
            said.contains(shown) && said.contains("TASKQUEUE_LOG"),
            "{said}"
        );
    }
    assert_eq!(with("verbose", &["list", "--log", "warn"]).code, Some(0));
    // As good as none.
    put(&taskqueue, "ok", 1);
    let ran = with("", &["worker", "--use-tube", "t", "--max-jobs", "1"]);
    assert!(ran.stderr.contains("started"), "{ran:?}");
}

/// A terminal of a test's own: its side, and the program's.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let none = std::ptr::null_mut::<u8>();
    // SAFETY: both numbers are written, and they are nobody else's.
    unsafe {
        assert_eq!(
            libc::openpty(
                &mut ours,
                &mut theirs,
                none.cast(),
                none.cast(),
                none.cast()
            ),
            0
        );
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}

#[test]
fn a_terminal_has_colours_unless_it_is_dumb() {
    let taskqueue = configured();
    for (name, value, colours) in [
        ("TERM", "xterm", true),
        ("TERM", "dumb", false),
        ("NO_COLOR", "1", false),
    ] {
        put(&taskqueue, "bad", 1);
        let (mut ours, theirs) = terminal();
        let mut command = taskqueue.command(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
        command.env(name, value).stderr(theirs);
        let running = Running::start(command);
        let mut said = [0; 4096];
        // The first words.
        let size = ours.read(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..size]).into_owned();
        assert_eq!(said.contains("\x1b["), colours, "{name}={value}: {said}");
        assert_eq!(running.wait().code, Some(0));
    }
}

#[test]
fn a_terminal_that_stops_or_is_gone_stops_no_worker() {
    let taskqueue = configured();
    let (ours, theirs) = terminal();
    // As Ctrl-S does.
    // SAFETY: of a descriptor that is open.
    assert_eq!(
        unsafe { libc::tcflow(std::os::fd::AsRawFd::as_raw_fd(&theirs), libc::TCOOFF) },
        0
    );
    let mut command = taskqueue.command(&WORKER);
    command.stderr(theirs).process_group(0);
    let worker = Running::start(command);
    put(&taskqueue, "bad", 20);
    until("all are tried", || count(&taskqueue, "failed") == 20);
    drop(ours);
    put(&taskqueue, "bad", 20);
    until("all are tried", || count(&taskqueue, "failed") == 40);
    ends_in_time(worker);
}

/// What a stranger can cause any number of times is written some hundred times, and counted.
#[test]
fn lines_of_one_kind_are_some_and_a_count() {
    let taskqueue = configured();
    let refused = r#"{"taskqueue":1,"command":"bad","arguments":["-x"]}"#;
    let work = ["worker", "--use-tube", "t", "--max-jobs", "1001"];
    for format in ["text", "json"] {
        put_lines(&taskqueue, &format!("{refused}\n"), 1000);
        put(&taskqueue, "bad", 1);
        let ran = taskqueue.run(&[&work[..], &["--log-format", format]].concat());
        let count = |what: &str| {
            ran.stderr
                .lines()
                .filter(|line| line.contains(what))
                .count()
        };
        // A window may have ended meanwhile, on a machine that is slow.
        let written =
            count("refused a task and buried its job") - count("more such lines were left out");
        assert!((300..1000).contains(&written), "{written}");
        assert_eq!(count("failed a task"), 1, "one kind hides no other");
        let notes = ran
            .stderr
            .lines()
            .filter_map(|line| line.split_once("more such lines were left out"));
        let number = |note: &str| {
            let digits = note
                .split_once("lines")
                .unwrap()
                .1
                .trim_start_matches(['"', ':', '=']);
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap();
            digits[..end].parse::<usize>().unwrap()
        };
        let left_out: usize = notes
            .map(|(before, after)| number(&format!("{after}{before}")))
            .sum();
        assert_eq!(written + left_out, 1000, "{}", ran.stderr);
    }
}
