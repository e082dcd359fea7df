//! A broker that answers at once and for ever that there is nothing is not asked without end.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::Taskqueue;

/// Answers every reserve with that, and everything else as a tube with jobs would. Its port, and how many reserves
/// there were.
fn serve(answer: &'static str) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let reserves = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reserves);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, counted) = (stream.unwrap(), Arc::clone(&counted));
            thread::spawn(move || converse(stream, answer, &counted));
        }
    });
    (port, reserves)
}

fn converse(mut stream: TcpStream, answer: &str, reserves: &AtomicU64) {
    let yaml = |text: &str| format!("OK {}\r\n{text}\r\n", text.len());
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let Ok(line) = line else { return };
        let said = match line.split(' ').next().unwrap() {
            "watch" => "WATCHING 2\r\n".to_owned(),
            "ignore" => "WATCHING 1\r\n".to_owned(),
            "stats" => yaml(
                "---\nversion: 1.13\nid: 0123456789abcdef\nmax-job-size: 65535\ndraining: false\n",
            ),
            "reserve-with-timeout" => {
                reserves.fetch_add(1, Ordering::Relaxed);
                answer.to_owned()
            }
            _ => "NOT_FOUND\r\n".to_owned(),
        };
        if stream.write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn whoever_waits_for_jobs_asks_ever_more_slowly() {
    let body = "RESERVED 7 4\r\nbody\r\n";
    for (who, args) in [
        ("worker", &["worker", "--use-tube", "t"][..]),
        (
            "tender",
            &[
                "tender",
                "--use-tube",
                "t",
                "--mode",
                "ondemand",
                "--max-workers",
                "1",
            ],
        ),
    ] {
        for answer in [
            "TIMED_OUT\r\n",
            "DEADLINE_SOON\r\n",
            body,
            "OUT_OF_MEMORY\r\n",
        ] {
            let (port, reserves) = serve(answer);
            let taskqueue = Taskqueue::alone();
            let broker = format!("beanstalk://127.0.0.1:{port}");
            let running = taskqueue.start(&[args, &["--broker", &broker]].concat());
            thread::sleep(Duration::from_secs(3));
            let asked = reserves.load(Ordering::Relaxed);
            assert!(
                (1..40).contains(&asked),
                "{who}, {answer:?}: asked {asked} times in 3 s"
            );
            running.signal(Signal::TERM);
            running.signal(Signal::TERM);
            assert_eq!(running.wait().code, Some(0));
        }
    }
}
