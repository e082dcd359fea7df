//! Nothing that a stranger wrote reaches a terminal as an order, hides in it, or passes for another line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};
use taskqueue::ownership::Ownership;

use crate::support::{FakeServer, Ran, Session, Taskqueue};

/// A clipboard that is set, a screen that is cleared, a line that is begun anew, and text that runs backwards.
const EVIL: &str = "e\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{9b}31m\u{7f}\r\u{85}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}l";

/// With a line of its own.
const FAKE: &str = "h\nFAKE";

#[track_caller]
fn assert_harmless(text: &str) {
    let odd = |c: char| {
        let is_ours = c == '\n' || c == '\t';
        let is_unseen = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
        (c.is_control() && !is_ours) || is_unseen || c == '\u{feff}' || c == '\u{61c}'
    };
    assert!(!text.contains(odd), "{}", text.escape_debug());
    assert!(!text.lines().any(|line| line.starts_with("FAKE")), "{text}");
}

#[track_caller]
fn harmless(ran: Ran) -> Ran {
    assert_harmless(&ran.stdout);
    assert_harmless(&ran.stderr);
    ran
}

#[test]
fn a_configuration_and_its_name() {
    let taskqueue = Taskqueue::alone();
    taskqueue.configure("stor\u{1b}]52;c;ZXZpbA==\u{7}e = \"\u{1b}[31m\"\n");
    let said = harmless(taskqueue.run(&["list"])).failed(2);
    assert!(said.contains("52;c"), "{said}");
    let said = harmless(taskqueue.run(&["check"]));
    assert!(said.stdout.contains("52;c"), "{said:?}");
    let checked: Value =
        serde_json::from_str(&harmless(taskqueue.run(&["check", "--json"])).stdout).unwrap();
    assert_eq!(checked["ok"], false);

    let named = format!("{EVIL}.toml");
    let said = harmless(taskqueue.run(&["list", "--config", &named])).failed(2);
    assert!(said.contains(r"e\u{1b}]52;c"), "{said}");
    fs::write(
        taskqueue.path(&named),
        "[tubes.\"a\u{202e}b\"]\nmax_workers = 0\n",
    )
    .unwrap();
    harmless(taskqueue.run(&["check", "--config", &named]));
    taskqueue.configure("");
    harmless(taskqueue.run(&["status", "--store", &format!("{EVIL}.db")]));
}

#[test]
fn arguments_and_variables() {
    let taskqueue = Taskqueue::alone();
    for args in [
        &[EVIL][..],
        &["list", "--status", EVIL],
        &["list", EVIL],
        &["list", "--use-tube", EVIL],
        &["list", "--log", EVIL],
        &["show", EVIL],
        &["put", "--use-tube", "t", "--ttr", EVIL, "x"],
        &["--store", "mysql://\u{1b}[2J", "list"],
        &["--broker", EVIL, "list"],
        &["scale", "t", "--min", EVIL],
    ] {
        let said = harmless(taskqueue.run(args)).failed(2);
        assert!(
            said.starts_with("taskqueue: ") && said.contains(r"\u{1b}["),
            "{args:?}: {said}"
        );
    }
    let mut command = taskqueue.command(&["list"]);
    let output = command.env("TASKQUEUE_LOG_FORMAT", EVIL).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_harmless(&said);
    assert!(
        said.contains("TASKQUEUE_LOG_FORMAT") && said.contains(r"\u{1b}[2J"),
        "{said}"
    );
}

#[test]
fn a_broker() {
    for answer in [
        format!("{EVIL}\r\n"),
        format!("OK {}\r\n{EVIL}\r\n", EVIL.len()),
    ] {
        let server = FakeServer::start(vec![Session::new().send(&answer).hang()]);
        let taskqueue = Taskqueue::alone();
        let broker = format!("beanstalk://{}", server.address());
        let ran = harmless(taskqueue.run(&["ping", "--broker", &broker]));
        assert!(
            ran.code == Some(1) && ran.stdout.starts_with("ERROR: "),
            "{ran:?}"
        );
    }
}

#[test]
fn what_a_command_printed_and_what_a_producer_put() {
    let taskqueue = Taskqueue::embedded();
    taskqueue.configure("[tubes.raw]\ncommand = \"cat\"\n[commands.cat]\nrun = [\"cat\"]\n");
    let raw = format!("{EVIL}\nsecond\n");
    let ran = taskqueue.run_with(&["put", "--use-tube", "raw", "--stdin"], raw.as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    taskqueue.work("raw", 1);
    let shown = harmless(taskqueue.run(&["show", "1"])).ok();
    assert!(shown.contains(r"  | e\u{1b}]52;c"), "{shown}");
    assert!(shown.contains("\n  | second\n"), "{shown}");
    let shown = harmless(taskqueue.run(&["show", "1", "--json"])).json();
    assert_eq!(shown["attempts"][0]["output"], raw);
    assert_eq!(shown["body"], raw);

    // What is refused, in the log of its worker and in the list.
    for format in ["text", "json"] {
        let argument = format!("-{FAKE}{EVIL}");
        let put = ["put", "--use-tube", "t", "cat", "--", &argument];
        assert_eq!(harmless(taskqueue.run(&put)).code, Some(0));
        let work = [
            "worker",
            "--use-tube",
            "t",
            "--max-jobs",
            "1",
            "--log-format",
            format,
        ];
        let ran = harmless(taskqueue.run(&work));
        assert!(ran.stderr.contains("refused a task"), "{ran:?}");
    }
    harmless(taskqueue.run(&["list"])).ok();
    for id in ["2", "3"] {
        harmless(taskqueue.run(&["show", id])).ok();
    }
}

/// One tender that answers whatever it is asked with these words, one after the other.
fn hostile(taskqueue: &Taskqueue, answers: Vec<String>) -> (Ownership, thread::JoinHandle<()>) {
    let tube = "t".parse().unwrap();
    let own = Ownership::take(&taskqueue.store(), &[tube]).unwrap();
    let socket = taskqueue.path("evil.sock");
    let said = json!({ "pid": 1, "host": format!("{FAKE}{EVIL}"), "socket": socket });
    let mut tubes: PathBuf = taskqueue.store();
    tubes.as_mut_os_string().push("-tubes/t.tube");
    fs::write(tubes, format!("{said}\n")).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let thread = thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream)
                .read_line(&mut String::new())
                .unwrap();
            let _ = stream.write_all(format!("{answer}\n").as_bytes());
        }
    });
    (own, thread)
}

#[test]
fn a_tender() {
    let taskqueue = Taskqueue::embedded();
    let word = format!("{FAKE}{EVIL}");
    let census =
        json!({ "starting": 0, "idle": 0, "busy": 0, "stopping": 0, "before": 0, "troubled": 0 });
    let worker = json!({
        "name": word, "pid": 7, "output": 0, "state": word, "age": 1.0, "task": null, "jobs": 0, "memory": null, "troubled": true,
        "trouble": word, "reason": word,
    });
    let pool = json!({
        "tube": word, "state": word, "min": 0, "spare": 0, "max": 1, "target": 1, "decision": word, "reason": word,
        "ready": 1, "paused": false, "census": census, "back_off": word, "lack": word, "started": 1, "restarts": 1,
        "backing_off": { "failures": 1, "reason": word, "since": 1.0, "next": null }, "workers": [worker],
    });
    let status = json!({ "status": { "pid": 1, "host": word, "version": word, "age": 1.0, "pools": [pool] } });
    let explained = json!({ "explained": { "decisions": [{
        "age": 1.0, "until": 1.0, "times": 1, "target": 1, "decision": word, "reason": word,
    }] } });
    let asked = [
        (&["status"][..], status.to_string(), 0),
        (&["status", "--json"], status.to_string(), 0),
        (
            &["status"],
            json!({ "refused": { "reason": word } }).to_string(),
            1,
        ),
        (&["status"], json!({ word.as_str(): 1 }).to_string(), 1),
        (&["explain", "t"], explained.to_string(), 0),
        (&["explain", "t", "--json"], explained.to_string(), 0),
        (
            &["reload"],
            json!({ "reloaded": { "changed": [word], "kept": [word] } }).to_string(),
            0,
        ),
        (&["scale", "t", "--max", "3"], status.to_string(), 1),
    ];
    let (own, thread) = hostile(
        &taskqueue,
        asked.iter().map(|(_, answer, _)| answer.clone()).collect(),
    );
    for (args, _, code) in &asked {
        let ran = harmless(taskqueue.run(args));
        assert_eq!(ran.code, Some(*code), "{args:?}: {ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("52;c;ZXZpbA=="), "{args:?}: {said}");
    }
    thread.join().unwrap();
    drop(own);
}

#[test]
fn numbers_are_read_by_everybody() {
    let taskqueue = Taskqueue::embedded();
    let digits = "9".repeat(5000);
    for number in ["1e400", &digits, "9007199254740993", "12", "0.5"] {
        let body =
            format!("{{\"taskqueue\":1,\"command\":\"args\",\"options\":{{\"n\":{number}}}}}\n");
        let ran = taskqueue.run_with(&["put", "--use-tube", "t", "--batch", "-"], body.as_bytes());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let read: Value = serde_json::from_str(&taskqueue.run(&["list", "--json"]).ok()).unwrap();
    let options: Vec<&Value> = read
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|task| &task["options"]["n"])
        .collect();
    assert_eq!(
        options,
        [
            &json!("1e400"),
            &json!(digits),
            &json!("9007199254740993"),
            &json!(12),
            &json!(0.5)
        ]
    );
}
