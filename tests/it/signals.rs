//! TERM and INT in a process of their own: this test binary, run again for one ignored test.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows the tests, but not the functions that only tests call"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use taskqueue::signals::{self, Asked};

#[test]
#[ignore = "run by the other tests as a process"]
fn one_that_listens() {
    let mut asked = signals::listen(
        &[Asked::More, Asked::Reload],
        Duration::from_secs(60),
        || (),
    )
    .unwrap();
    println!("said listening");
    loop {
        match asked.blocking_recv().unwrap() {
            Asked::Drain => break,
            other => println!("said {other}"),
        }
    }
    println!("said drain");
    assert_eq!(asked.blocking_recv(), Some(Asked::Stop));
    println!("said stop");
}

#[test]
#[ignore = "run by the other tests as a process"]
fn one_that_is_stuck() {
    let _asked = signals::listen(&[Asked::More], Duration::from_millis(300), || {
        println!("said hard")
    })
    .unwrap();
    println!("said listening");
    std::thread::sleep(Duration::from_secs(600));
}

/// Starts one of the above.
fn start(test: &str) -> (Child, impl FnMut() -> String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::<ChildStdout>::new(child.stdout.take().unwrap()).lines();
    let said = move || {
        let said = lines.find_map(|line| Some(line.unwrap().split_once("said ")?.1.to_owned()));
        said.unwrap_or_default()
    };
    (child, said)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_first_drains_and_the_second_stops() {
    let (mut child, mut said) = start("signals::one_that_listens");
    assert_eq!(said(), "listening");
    send(&child, Signal::HUP);
    assert_eq!(said(), "reload");
    send(&child, Signal::TTIN);
    assert_eq!(said(), "have one worker more");
    send(&child, Signal::INT);
    assert_eq!(said(), "drain");
    send(&child, Signal::TERM);
    assert_eq!(said(), "stop");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_second_ends_a_process_that_is_stuck() {
    let (mut child, mut said) = start("signals::one_that_is_stuck");
    assert_eq!(said(), "listening");
    // However many of the others come, there is room for the end.
    for _ in 0..100 {
        send(&child, Signal::TTIN);
        std::thread::sleep(Duration::from_millis(1));
    }
    send(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "ended by the first");
    send(&child, Signal::TERM);
    assert_eq!(said(), "hard");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
