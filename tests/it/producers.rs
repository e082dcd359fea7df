//! The producers in `examples/` put what they say they do, and say what went wrong when they cannot. The commands that
//! report say what they say.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Beanstalkd, Taskqueue, until};

/// File and interpreter.
const FOREIGN: [(&str, &str); 4] = [
    ("producer.php", "php"),
    ("producer.py", "python3"),
    ("producer.js", "node"),
    ("producer.sh", "bash"),
];

/// The same of commands that report.
const REPORTING: [(&str, &str); 4] = [
    ("report.php", "php"),
    ("report.py", "python3"),
    ("report.js", "node"),
    ("report.sh", "bash"),
];

/// What the command prints of what it is given.
const PRINTED: &str = r#"[12][--format=pdf][--copy][--note=it's "net" & $5]"#;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// The producers whose interpreter is here.
fn foreign() -> impl Iterator<Item = (&'static str, &'static str)> {
    here(FOREIGN)
}

fn here(
    examples: [(&'static str, &'static str); 4],
) -> impl Iterator<Item = (&'static str, &'static str)> {
    examples.into_iter().filter(|(name, interpreter)| {
        let runs = Command::new(interpreter).arg("--version").output();
        let here = runs.is_ok_and(|output| output.status.success());
        if !here {
            println!("skipped: examples/{name} was not run, for there is no {interpreter}");
        }
        here
    })
}

fn run(name: &str, interpreter: &str, port: u16) -> Output {
    Command::new(interpreter)
        .arg(example(name))
        .env("BEANSTALKD", format!("127.0.0.1:{port}"))
        .output()
        .unwrap()
}

fn configured(server: &Beanstalkd) -> Taskqueue {
    let taskqueue = Taskqueue::with(server);
    taskqueue.configure("[commands.'invoice:send']\nrun = ['/usr/bin/printf', '[%s]']\noptions = ['format', 'copy', 'note']");
    taskqueue
}

#[test]
fn what_they_put_is_run_with_every_argument_intact() {
    let server = Beanstalkd::start();
    let taskqueue = configured(&server);
    for (task, (name, interpreter)) in (1..).zip(foreign()) {
        let output = run(name, interpreter, server.port());
        assert!(output.status.success(), "{name}: {output:?}");
        taskqueue.work("invoices", 1);
        let shown = taskqueue.show(&task.to_string());
        assert_eq!(shown["status"], "done", "{name}: {shown}");
        assert_eq!(shown["attempts"][0]["output"], PRINTED, "{name}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            said,
            format!("{}\n", shown["job"]),
            "{name}: the job's number"
        );
    }
}

#[test]
fn what_commands_report_is_kept() {
    let taskqueue = Taskqueue::embedded();
    let all: Vec<_> = here(REPORTING).collect();
    let command = |(name, interpreter): &(&str, &str)| {
        let file = example(name);
        let name = name.replace('.', "-");
        format!(
            "[commands.{name}]\nrun = ['{interpreter}', '{}']\n",
            file.display()
        )
    };
    // Whatever asks for an interpreter by a shim finds it as the tests do.
    let text: Vec<String> = all.iter().map(command).collect();
    taskqueue.configure(&text.concat());
    for (task, (name, interpreter)) in (1..).step_by(2).zip(all) {
        let command = name.replace('.', "-");
        let put = ["put", "--use-tube", "t", &command];
        taskqueue.run(&put).ok();
        taskqueue.run(&[&put[..], &["closed"]].concat()).ok();
        taskqueue.work("t", 2);
        let shown = taskqueue.show(&task.to_string());
        assert_eq!(shown["status"], "done", "{name}: {shown}");
        assert_eq!(shown["attempts"][0]["output"], "", "{name}");
        assert_eq!(shown["report"]["progress"], json!(100), "{name}: {shown}");
        assert_eq!(shown["report"]["message"], "row 4 of 4", "{name}");
        assert_eq!(shown["result"], json!({"rows": 4}), "{name}");
        let shown = taskqueue.show(&(task + 1).to_string());
        let outcome = &shown["attempts"][0]["outcome"];
        assert_eq!(
            (&shown["status"], outcome),
            (&json!("waiting"), &json!("deferred"))
        );
        assert_eq!(shown["report"]["message"], "the shop is closed", "{name}");
        // By hand nobody hears it.
        let by_hand = Command::new(interpreter)
            .arg(example(name))
            .output()
            .unwrap();
        assert!(by_hand.status.success(), "{name}: {by_hand:?}");
        assert!(
            by_hand.stdout.is_empty() && by_hand.stderr.is_empty(),
            "{by_hand:?}"
        );
    }
}

#[test]
fn they_fail_with_a_reason() {
    let small = Beanstalkd::start_with(&["-z", "10"]);
    let draining = Beanstalkd::start();
    draining.signal(Signal::USR1);
    until("draining", || {
        let output = run("producer.sh", "bash", draining.port());
        !output.status.success()
    });
    for (name, interpreter) in foreign() {
        for (port, reason) in [
            (1, "127.0.0.1:1"),
            (small.port(), "JOB_TOO_BIG"),
            (draining.port(), "DRAINING"),
        ] {
            let output = run(name, interpreter, port);
            assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
            assert!(output.stdout.is_empty(), "{name}: {output:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(reason), "{name}: {said}");
            assert_eq!(said.lines().count(), 1, "{name}: {said}");
        }
    }
}

#[test]
fn the_one_in_rust_records_first() {
    let program = Path::new(env!("CARGO_BIN_EXE_taskqueue"))
        .with_file_name("examples")
        .join("producer");
    if !program.exists() {
        println!("skipped: examples/producer.rs was not run, for it was not built");
        return;
    }
    let server = Beanstalkd::start();
    let taskqueue = configured(&server);
    let run = |port: u16| {
        Command::new(&program)
            .env("BEANSTALKD", format!("127.0.0.1:{port}"))
            .env("TASKQUEUE_STORE", taskqueue.store())
            .output()
            .unwrap()
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let output = run(server.port());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        (text(output.stdout), text(output.stderr)),
        ("1\n".into(), String::new())
    );
    taskqueue.work("invoices", 1);
    let shown = taskqueue.show("1");
    assert_eq!(shown["status"], "done", "{shown}");
    assert_eq!(shown["attempts"][0]["output"], PRINTED);
    assert_eq!(shown["arguments"], json!(["12"]));

    // Nobody is there: the task is recorded all the same, and the next worker finds it.
    let output = run(1);
    assert_eq!(
        (output.status.code(), text(output.stdout)),
        (Some(0), "2\n".into())
    );
    assert!(text(output.stderr).contains("127.0.0.1:1"));
    taskqueue.work("invoices", 1);
    assert_eq!(taskqueue.show("2")["status"], "done");
}

#[test]
fn the_crontab_names_flags_that_there_are() {
    let crontab = std::fs::read_to_string(example("crontab")).unwrap();
    let (_, line) = crontab.split_once("/usr/local/bin/taskqueue ").unwrap();
    let taskqueue = Taskqueue::alone();
    let words = line.split_whitespace().map(|word| match word {
        "/etc/taskqueue/taskqueue.toml" => "taskqueue.toml",
        word => word,
    });
    let ran = taskqueue.run(&words.collect::<Vec<_>>());
    assert_eq!(ran.ok(), "deleted 0 tasks\n");
}

/// What the webhook is given.
const EVENT: &str = r#"{"number":7,"what":"failed"}"#;

#[test]
fn the_webhook_posts_a_signed_event_and_goes_to_nobody_s_own_network() {
    let tools = ["curl", "openssl", "getent", "bash"];
    let is_here = |tool: &&str| {
        let found = Command::new("sh")
            .args(["-c", "command -v \"$0\"", tool])
            .output();
        found.is_ok_and(|output| output.status.success())
    };
    if !tools.iter().all(is_here) {
        println!("skipped: examples/webhook.sh needs {tools:?}");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = [
        "200 OK",
        "302 Found\r\nLocation: http://127.0.0.1:1/",
        "404 Not Found",
    ];
    let server = thread::spawn(move || {
        answers.map(|answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            while !request.ends_with(EVENT.as_bytes()) {
                let read = stream.read(&mut piece).unwrap();
                assert_ne!(read, 0, "{}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&piece[..read]);
            }
            let answer =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        })
    });
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "sesame\n").unwrap();
    let post = |url: &str, more: &[&str]| {
        let mut child = Command::new("bash")
            .arg(example("webhook.sh"))
            .args(["--url", url, "--timeout", "10s", "--secret-file"])
            .arg(&secret)
            .args(more)
            .env("TASKQUEUE_EVENT", "failed")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // One that refuses reads nothing.
        let _ = child.stdin.take().unwrap().write_all(EVENT.as_bytes());
        child.wait().unwrap().code()
    };
    let url = format!("http://localhost:{port}/hook");
    // Nobody is asked by these, or the server would have another question.
    for refused in [
        url.as_str(),
        &format!("http://127.0.0.1:{port}/"),
        &format!("http://2130706433:{port}/"),
        &format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://somebody@example.org/",
        "ftp://example.org/",
    ] {
        assert_eq!(post(refused, &[]), Some(65), "{refused}");
    }
    let allowed = ["--allow-private"];
    let ended = [(); 3].map(|()| post(&url, &allowed));
    assert_eq!(ended, [Some(0), Some(75), Some(65)]);
    for request in server.join().unwrap() {
        let header = |name: &str| {
            let mut lines = request.lines();
            let found = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.unwrap_or_default().to_owned()
        };
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        assert_eq!(header("X-Taskqueue-Event"), "failed");
        let signed = format!("{}.{EVENT}", header("X-Taskqueue-Timestamp"));
        let hmac = Command::new("sh")
            .args([
                "-c",
                "printf %s \"$0\" | openssl dgst -sha256 -hmac sesame -r",
                &signed,
            ])
            .output()
            .unwrap();
        let hmac = String::from_utf8(hmac.stdout).unwrap();
        let hmac = hmac.split(' ').next().unwrap();
        assert_eq!(header("X-Taskqueue-Signature"), format!("sha256={hmac}"));
    }
}
