//! A queue before a pipe that nobody reads, one that nobody has open any more, and one that somebody else has made
//! nonblocking.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::pipe::fcntl_setpipe_size;
use tempfile::TempDir;

use super::queue::Queue;
use super::sink::{Patience, Sink};

/// A pipe with a name, its reader, and a queue before it.
struct Pipe {
    _dir: TempDir,
    path: PathBuf,
    reader: File,
    queue: &'static Queue,
}

fn pipe(json: bool) -> Pipe {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut options = OpenOptions::new();
    let reader = options
        .read(true)
        .custom_flags(nonblocking)
        .open(&path)
        .unwrap();
    let queue: &'static Queue = Box::leak(Box::new(Queue::new()));
    queue.write_to(Sink::file(path.clone(), json).unwrap());
    fcntl_setpipe_size(&reader, 4096).unwrap();
    rustix::fs::fcntl_setfl(&reader, OFlags::empty()).unwrap();
    Pipe {
        _dir: dir,
        path,
        reader,
        queue,
    }
}

fn tell(queue: &'static Queue, numbers: std::ops::Range<u32>) {
    for number in numbers {
        queue.push(format!("line {number}\n").into_bytes(), Duration::ZERO);
    }
}

#[test]
#[ignore = "run by another test as a process"]
fn one_that_panics() {
    panic::set_hook(Box::new(super::panicked));
    let queue: &'static Queue = Box::leak(Box::new(Queue::new()));
    let events = tracing_subscriber::fmt().with_writer(super::Lines { queue, json: false });
    tracing::subscriber::set_global_default(events.finish()).unwrap();
    for _ in 0..1000 {
        assert!(thread::spawn(|| panic!("once more")).join().is_err());
    }
    println!("said all");
}

#[test]
fn a_panic_waits_for_no_reader() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    let test = "cli::log::tests::one_that_panics";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env_remove("RUST_BACKTRACE")
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    // Not inherited by anybody any more but the child.
    drop(command);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = thread::spawn(move || lines.any(|line| line.unwrap().ends_with("said all")));
    let until = soon();
    while !said.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    let is_over = said.is_finished();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_over && said.join().unwrap());
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(
        said.contains("panicked") && said.contains("once more"),
        "{said}"
    );
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn a_reader_who_sleeps_holds_nobody_up_and_what_is_lost_is_said_in_its_place() {
    let Pipe {
        _dir,
        reader,
        queue,
        ..
    } = pipe(false);
    let begun = Instant::now();
    tell(queue, 0..20_000);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    thread::sleep(Duration::from_millis(1100));
    let begun = Instant::now();
    queue.end(soon());
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "an end waits for who sleeps"
    );

    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let mut next = 0;
    let note = loop {
        let line = lines.next().unwrap();
        if line != format!("line {next}") {
            break line;
        }
        next += 1;
    };
    assert!((4096..20_000).contains(&next), "{next}");
    let expected = format!(
        " WARN lines of the log were lost lines={} reason=",
        20_000 - next
    );
    assert!(note.contains(&expected), "{note}, not {expected}");
    tell(queue, 20_000..20_001);
    assert_eq!(lines.next().unwrap(), "line 20000");
}

#[test]
fn whoever_has_patience_waits_for_a_slow_reader() {
    let Pipe {
        _dir,
        reader,
        queue,
        ..
    } = pipe(false);
    let reading = thread::spawn(move || {
        let lines = BufReader::new(reader).lines().take(10_000);
        lines.map(Result::unwrap).collect::<Vec<_>>()
    });
    for number in 0..10_000 {
        queue.push(
            format!("line {number}\n").into_bytes(),
            Duration::from_secs(20),
        );
    }
    let expected: Vec<_> = (0..10_000).map(|number| format!("line {number}")).collect();
    assert_eq!(reading.join().unwrap(), expected);
}

#[test]
fn a_reader_who_is_gone_costs_lines_and_another_hears_how_many() {
    let Pipe {
        _dir,
        path,
        reader,
        queue,
    } = pipe(true);
    drop(reader);
    tell(queue, 0..10);
    queue.end(soon());
    let mut options = OpenOptions::new();
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut reader = options
        .read(true)
        .custom_flags(nonblocking)
        .open(&path)
        .unwrap();
    tell(queue, 10..11);
    queue.end(soon());
    let mut text = [0; 4096];
    let size = reader.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..size]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let note: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(note["lines"], 10, "{text}");
    assert!(
        note["reason"].as_str().unwrap().contains("broken pipe"),
        "{text}"
    );
    assert_eq!(lines[1..], ["line 10"]);
}

#[test]
fn a_pipe_that_somebody_has_made_nonblocking_is_waited_for() {
    let Pipe {
        _dir,
        path,
        reader,
        queue,
    } = pipe(false);
    let sink = Sink::file(path, false).unwrap();
    rustix::fs::fcntl_setfl(sink.descriptor(), OFlags::APPEND | OFlags::NONBLOCK).unwrap();
    queue.write_to(sink);
    tell(queue, 0..3000);
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    for number in 0..3000 {
        assert_eq!(lines.next().unwrap(), format!("line {number}"));
    }
}

#[test]
fn who_has_no_thread_writes_what_is_taken_at_once() {
    let Pipe {
        _dir,
        path,
        mut reader,
        ..
    } = pipe(false);
    // So that there is room for what is written after the note.
    fcntl_setpipe_size(&reader, 16_384).unwrap();
    let mut sink = Sink::file(path, false).unwrap();
    let mut read = || {
        let mut taken = [0; 20_000];
        let size = reader.read(&mut taken).unwrap();
        String::from_utf8_lossy(&taken[..size]).into_owned()
    };
    sink.line(&[b'x'; 20_000], Patience::Work);
    sink.line(b"lost\n", Patience::Work);
    assert!(sink.is_in_debt());
    assert_eq!(read(), "x".repeat(16_384));
    sink.line(b"whole\n", Patience::Work);
    assert!(!sink.is_in_debt());
    let said = read();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "", "the line that was torn is ended");
    assert!(lines[1].contains("were lost lines=2 reason="), "{said}");
    assert_eq!(lines[2], "whole");
}
