//! `status --watch` on a terminal, which is as it was before however the watch ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{tend, until_idle};
use crate::support::{Taskqueue, until};

const OTHER_SCREEN: &str = "\u{1b}[?1049h";
const OWN_SCREEN: &str = "\u{1b}[?1049l";

struct Terminal {
    ours: File,
    theirs: OwnedFd,
    shown: String,
}

impl Terminal {
    fn new() -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = open(name.as_c_str(), flags, Mode::empty()).unwrap();
        fcntl_setfl(&ours, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        let terminal = Terminal {
            ours: ours.into(),
            theirs,
            shown: String::new(),
        };
        terminal.resize(80, 24);
        terminal
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.ours, size).unwrap();
    }

    fn watch(&self, taskqueue: &Taskqueue, variables: &[(&str, &str)]) -> Child {
        let mut command = taskqueue.command(&["status", "--watch"]);
        command.env("TERM", "xterm").envs(variables.iter().copied());
        let theirs = || Stdio::from(self.theirs.try_clone().unwrap());
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        command.spawn().unwrap()
    }

    /// All that was shown by now.
    fn shown(&mut self) -> &str {
        let mut bytes = Vec::new();
        // It ends with the error that there is nothing more.
        let _ = self.ours.read_to_end(&mut bytes);
        self.shown.push_str(&String::from_utf8_lossy(&bytes));
        &self.shown
    }

    fn waits_for_lines(&self) -> bool {
        let modes = tcgetattr(&self.theirs).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn until_watched(&mut self) {
        until("a screen", || self.shown().contains("q to leave"));
        assert!(self.shown.contains(OTHER_SCREEN));
        assert!(!self.waits_for_lines());
    }

    fn assert_restored(&mut self) {
        until("the own screen", || self.shown().contains(OWN_SCREEN));
        assert!(self.waits_for_lines(), "{}", self.shown);
    }
}

fn until_ended(watch: &mut Child) -> ExitStatus {
    let mut ended = None;
    until("an end", || {
        ended = watch.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap()
}

fn configured() -> Taskqueue {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[commands.sleep]\nrun = [\"/bin/sleep\"]\n");
    taskqueue
}

#[test]
fn q_leaves_it_and_what_has_changed_is_marked() {
    let taskqueue = configured();
    let _tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let mut terminal = Terminal::new();
    let mut watch = terminal.watch(&taskqueue, &[]);
    terminal.until_watched();
    taskqueue
        .run(&["put", "--use-tube", "t", "sleep", "60"])
        .ok();
    // What would be emptied behind a full line is its last letter.
    assert!(terminal.shown.contains("    RAN\r\n"), "{}", terminal.shown);
    let mark = "\u{1b}[7m1/1\u{1b}[0m";
    until("a mark", || terminal.shown().contains(mark));
    terminal.resize(40, 10);
    kill_process(Pid::from_child(&watch), Signal::WINCH).unwrap();
    until("a smaller one", || {
        let newest = terminal.shown().rsplit("\u{1b}[H").next();
        newest.is_some_and(|all| all.contains("q to leave") && all.matches('\n').count() == 9)
    });
    terminal.ours.write_all(b"xq").unwrap();
    assert_eq!(until_ended(&mut watch).code(), Some(0));
    terminal.assert_restored();
    taskqueue.run(&["stop", "--now"]).ok();
}

#[test]
fn signals_end_it_and_leave_the_terminal_as_it_was() {
    let taskqueue = configured();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut terminal = Terminal::new();
        let mut watch = terminal.watch(&taskqueue, &[]);
        terminal.until_watched();
        kill_process(Pid::from_child(&watch), signal).unwrap();
        assert_eq!(until_ended(&mut watch).signal(), Some(signal.as_raw()));
        terminal.assert_restored();
    }
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was_and_is_told_there() {
    let taskqueue = configured();
    let mut terminal = Terminal::new();
    let mut watch = terminal.watch(&taskqueue, &[("TASKQUEUE_PANIC_IN", "watch")]);
    assert!(!until_ended(&mut watch).success());
    terminal.assert_restored();
    let (_, after) = terminal.shown.split_once(OWN_SCREEN).unwrap();
    assert!(after.contains("panicked"), "{}", terminal.shown);
}

#[test]
fn it_is_left_while_a_tender_does_not_answer() {
    let taskqueue = configured();
    let tender = tend(&taskqueue, 1, 1, &["--log", "error"]);
    until_idle(&taskqueue, 1);
    let mut terminal = Terminal::new();
    let mut watch = terminal.watch(&taskqueue, &[]);
    terminal.until_watched();
    tender.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1500));
    let asked = Instant::now();
    terminal.ours.write_all(b"q").unwrap();
    until_ended(&mut watch);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    terminal.assert_restored();
    tender.signal(Signal::CONT);
}

#[test]
fn a_terminal_that_obeys_nothing_gets_one_look_after_the_other() {
    let taskqueue = configured();
    let mut terminal = Terminal::new();
    let mut watch = terminal.watch(&taskqueue, &[("TERM", "dumb")]);
    until("two looks", || {
        terminal.shown().matches("no tender is up").count() == 2
    });
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(!terminal.shown.contains('\u{1b}'), "{}", terminal.shown);
}
