//! The whole corpus of hostile bodies, put by another client and worked through by real workers.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use beanstalkc::Beanstalkc;
use rustix::process::Signal;
use taskqueue::broker::NewJob;
use uuid::Uuid;

use super::{Queue, block_on, stats};
use crate::corpus::{Case, Expect, Tube, load};
use crate::support::{Beanstalkd, Taskqueue, job, put, tube, until};

/// Writes down its argv, NUL after each element and their number before them, and its stdin.
const RECORDER: &str = r#"#!/bin/sh
{ printf '%s\0' "$#"; for a in "$@"; do printf '%s\0' "$a"; done; } > "$RECORD/$TASKQUEUE_JOB_ID.argv"
exec cat > "$RECORD/$TASKQUEUE_JOB_ID.stdin"
"#;

const TAKEN: &str = "0198f000-0000-7000-8000-000000000002";

#[test]
fn every_body_becomes_what_the_corpus_says() {
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    becomes_what_the_corpus_says(&taskqueue, &server, |cases| put_all(&server, cases));
}

#[test]
fn every_body_becomes_it_on_the_embedded_broker_too() {
    let taskqueue = Taskqueue::embedded();
    becomes_what_the_corpus_says(&taskqueue, &taskqueue, |cases| {
        block_on(put_embedded(&taskqueue, cases))
    });
}

fn becomes_what_the_corpus_says(
    taskqueue: &Taskqueue,
    queue: &dyn Queue,
    put_all: impl FnOnce(&[Case]) -> Vec<u64>,
) {
    let recorder = taskqueue.path("recorder");
    fs::write(&recorder, RECORDER).unwrap();
    configure(taskqueue, recorder.to_str().unwrap());
    let taken = format!(
        r#"{{"taskqueue":1,"uuid":"{TAKEN}","command":"safe","arguments":["whose it is"]}}"#
    );
    let put = ["put", "--use-tube", "elsewhere", "--batch", "-"];
    assert_eq!(taskqueue.run_with(&put, taken.as_bytes()).ok(), "1\n");

    let store: [u8; 16] = taskqueue
        .sqlite()
        .query_row("SELECT id FROM store", [], |row| row.get(0))
        .unwrap();
    let cases = load(Uuid::from_bytes(store), TAKEN.parse().unwrap());
    assert!(cases.len() >= 200);
    let ids = put_all(&cases);

    let mut workers = ["native", "raw"].map(|tube| {
        let mut command = taskqueue.command(&["worker", "--use-tube", tube, "--log", "error"]);
        command.env("RECORD", taskqueue.path(""));
        crate::support::Running::start(command)
    });
    let foreign = cases
        .iter()
        .filter(|case| case.expect == Expect::ForeignStore)
        .count() as u64;
    // Only what is for another store's workers may be left, waiting for them.
    until("all looked at", || {
        let (native, raw) = (stats(queue, "native"), stats(queue, "raw"));
        native.reserved + raw.reserved == 0
            && native.ready + native.delayed + raw.ready + raw.delayed == foreign
            && native.waiting == 1
            && raw.waiting == 1
    });
    for worker in &mut workers {
        assert!(worker.lives(), "a body killed its worker");
        worker.signal(Signal::TERM);
    }
    for worker in workers {
        let ended = worker.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    check(taskqueue, &cases, &ids);
    // Whoever's uuid was tried is untouched.
    assert_eq!(taskqueue.show(TAKEN)["arguments"][0], "whose it is");
    assert_eq!(taskqueue.show(TAKEN)["status"], "waiting");
}

fn configure(taskqueue: &Taskqueue, recorder: &str) {
    let run = format!("run = [\"/bin/sh\", \"{recorder}\"]");
    taskqueue.configure(&format!(
        "[commands.safe]\n{run}\noptions = \"any\"\n\
         [commands.dashes]\n{run}\ndash_arguments = true\noptions = \"any\"\n\
         [commands.few]\n{run}\noptions = [\"format\", \"copies\"]\n\
         [commands.\"ns:*\"]\noptions = \"any\"\nrun = [\"/bin/sh\", \"{recorder}\", \"{{command}}\"]\n\
         [commands.raw]\n{run}\n\
         [tubes.raw]\ncommand = \"raw\"\n\
         [types.'Acme\\Hello']\ncommand = \"safe\"\narguments = [\"wait\"]\n\
         options = {{ message = \"message\" }}\n\
         [types.'Acme\\Dashes']\ncommand = \"dashes\"\narguments = [\"a\", \"b\"]\n\
         [types.'Acme\\Ns']\ncommand = \"ns:hello\"\noptions = {{ z = \"z\", a = \"a\" }}\n\
         [types.'Acme\\Bare']\ncommand = \"safe\"\n\
         [types.'Acme\\Few']\ncommand = \"few\"\noptions = {{ to = \"to\", kind = {{ value = \"fixed\" }} }}\n"
    ));
}

/// The jobs' numbers, in the order of the cases.
fn put_all(server: &Beanstalkd, cases: &[Case]) -> Vec<u64> {
    let mut other = Beanstalkc::new()
        .host("127.0.0.1")
        .port(server.port())
        .connect()
        .unwrap();
    let put = |case: &Case| {
        let tube = match case.tube {
            Tube::Native => "native",
            Tube::Raw => "raw",
        };
        other.use_tube(tube).unwrap();
        other
            .put(&case.body, 1024, Duration::ZERO, Duration::from_secs(600))
            .unwrap()
    };
    cases.iter().map(put).collect()
}

/// Where only we can put them.
async fn put_embedded(taskqueue: &Taskqueue, cases: &[Case]) -> Vec<u64> {
    let mut session = taskqueue.session();
    let mut ids = Vec::new();
    for case in cases {
        let name = match case.tube {
            Tube::Native => "native",
            Tube::Raw => "raw",
        };
        let job = NewJob {
            priority: 1024,
            ttr: Duration::from_secs(600),
            ..job(&case.body)
        };
        ids.push(put(session.as_mut(), &tube(name), job).await.unwrap());
    }
    ids
}

/// A row as far as it matters here.
struct Row {
    status: String,
    outcome: String,
    reason: String,
}

fn check(taskqueue: &Taskqueue, cases: &[Case], ids: &[u64]) {
    let sqlite = taskqueue.sqlite();
    let mut select = sqlite
        .prepare(
            "SELECT job, status, outcome, coalesce(tasks.reason, ''), (SELECT count(*) FROM attempts WHERE attempts.task = tasks.id)
             FROM tasks JOIN attempts ON attempts.task = tasks.id JOIN foreign_jobs ON foreign_jobs.task = tasks.id",
        )
        .unwrap();
    let rows: HashMap<i64, Row> = select
        .query_map([], |row| {
            assert_eq!(row.get::<_, i64>(4)?, 1, "looked at more than once");
            let found = Row {
                status: row.get(1)?,
                outcome: row.get(2)?,
                reason: row.get(3)?,
            };
            Ok((row.get(0)?, found))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut wrong = Vec::new();
    for (case, id) in cases.iter().zip(ids) {
        let row = rows.get(&i64::try_from(*id).unwrap());
        if let Err(why) = check_one(taskqueue, case, *id, row) {
            let text = format!("{}: {why}", case.name);
            wrong.push(text.chars().take(400).collect::<String>());
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn check_one(taskqueue: &Taskqueue, case: &Case, id: u64, row: Option<&Row>) -> Result<(), String> {
    let recorded = |what: &str| fs::read(taskqueue.path(&format!("{id}.{what}"))).ok();
    let (argv, stdin) = (recorded("argv"), recorded("stdin"));
    match (&case.expect, row) {
        (Expect::Refused { reason }, Some(row)) => {
            // It is printed on terminals and in logs.
            let harmless = |c: char| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c);
            let right = row.reason.chars().all(harmless)
                && row.reason.chars().count() <= 500
                && row.status == "failed"
                && row.outcome == "refused"
                && row.reason.contains(reason)
                && argv.is_none();
            right.then_some(()).ok_or_else(|| {
                format!(
                    "{} {} {:?}, not {reason:?}",
                    row.status, row.outcome, row.reason
                )
            })
        }
        (Expect::Argv(expected), Some(row)) if row.status == "done" => {
            let mut whole = format!("{}\0", expected.len()).into_bytes();
            for element in expected {
                whole.extend_from_slice(element.as_bytes());
                whole.push(0);
            }
            (argv.as_ref() == Some(&whole))
                .then_some(())
                .ok_or_else(|| format!("argv {:?}", argv.map(String::from_utf8)))
        }
        (Expect::Stdin(expected), Some(row)) if row.status == "done" => {
            (stdin.as_ref() == Some(expected) && argv.as_deref() == Some(b"0\0"))
                .then_some(())
                .ok_or_else(|| format!("stdin of {:?} bytes", stdin.map(|s| s.len())))
        }
        (Expect::Argv(_) | Expect::Stdin(_), Some(row)) => {
            Err(format!("{} {} {}", row.status, row.outcome, row.reason))
        }
        (Expect::Gone | Expect::ForeignStore, None) => Ok(()),
        (Expect::Gone | Expect::ForeignStore, Some(row)) => Err(format!("a row: {}", row.status)),
        (_, None) => Err("no row".into()),
    }
}
