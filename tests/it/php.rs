//! Jobs that PHP puts, as the PHP TaskQueue put them: a class's name, `::`, and json_encode of its properties.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Beanstalkd, Running, Taskqueue};

/// Reads the properties of one object a line, and puts each as a job. What it prints is the job's number.
const PRODUCER: &str = r#"<?php
namespace Acme\Task;

class ExampleTaskDescription
{
    public $taskIdentifier;
    public $message;
    public $wait;
}

$server = fsockopen('127.0.0.1', (int) $argv[1], $errno, $error, 5) or exit("$error\n");
fwrite($server, "use php\r\n");
fgets($server);
foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $number => $line) {
    $task = new ExampleTaskDescription();
    foreach (json_decode($line, true) as $name => $value) {
        $task->$name = $value;
    }
    $task->taskIdentifier = (string) $number;
    // The ancestor wrote plain json_encode; others do not escape what need not be.
    foreach ([0, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES] as $flags) {
        $body = get_class($task) . '::' . json_encode(get_object_vars($task), $flags);
        fwrite($server, "put 1024 0 60 " . strlen($body) . "\r\n$body\r\n");
        echo fgets($server);
    }
}
// Bytes that are no text: json_encode gives false, and false is an empty string.
$task->message = "\xff";
$body = get_class($task) . '::' . json_encode(get_object_vars($task));
fwrite($server, "put 1024 0 60 " . strlen($body) . "\r\n$body\r\n");
echo fgets($server);
"#;

/// Writes down its argv, NUL after each element.
const RECORDER: &str = r#"#!/bin/sh
for a in "$@"; do printf '%s\0' "$a"; done > "$RECORD/$TASKQUEUE_JOB_ID.argv"
"#;

const CONFIGURATION: &str = r#"
[commands.record]
run = ["/bin/sh", "recorder"]
[types."Acme\\Task\\ExampleTaskDescription"]
command = "record"
arguments = ["wait"]
options = { message = "message" }
"#;

/// Whether PHP is here; if not, says that nothing was tested.
fn php_is_here() -> bool {
    let found = Command::new("php").arg("-v").output().is_ok();
    if !found {
        eprintln!("SKIPPED: php is not installed; on Debian: apt-get install php-cli");
    }
    found
}

/// What PHP's property holds, and the elements that must come of it.
fn values() -> Vec<(Value, Value, Vec<String>)> {
    let texts = [
        "hello",
        "",
        " ",
        "it's",
        "\"quoted\" 'twice' \\\"escaped\\\"",
        "'; touch owned; '",
        "$HOME ${HOME} $(id) $((1+1)) $$ $0",
        "`touch owned`",
        "a && touch owned || touch owned; touch owned | touch owned > owned &",
        "* ? [a-z] {a,b} ~ !!",
        "one\ntwo\r\nthree\ttab",
        "\\ \\\\ \\n \\u0041 %s %n",
        "/path/to/a file",
        "Grüße, 漢字, עברית",
        "😀 🏳️‍🌈 👩‍👩‍👧",
        "\u{202e}backwards\u{2028}",
        "\u{1b}[2J\u{7}",
        "</script><!-- & <b>",
        "=equals=--option=x",
        "a::b::{\"c\":1}",
    ];
    let mut values: Vec<(Value, Value, Vec<String>)> = texts
        .iter()
        .map(|text| {
            let elements = vec![(*text).to_owned(), format!("--message={text}")];
            (json!(text), json!(text), elements)
        })
        .collect();
    // As much as a body can be: both fields, and neither escaped.
    let long = "x'$ ".repeat(8_000);
    let elements = vec![long.clone(), format!("--message={long}")];
    values.push((json!(long), json!(long), elements));
    // What is no string in PHP is none in JSON.
    let number = vec!["12".to_owned(), "--message=0".to_owned()];
    values.push((json!(12), json!(0), number));
    values.push((
        json!("x"),
        json!(true),
        vec!["x".into(), "--message".into()],
    ));
    values.push((json!("x"), json!(false), vec!["x".into()]));
    values.push((json!("x"), json!(null), vec!["x".into()]));
    values
}

#[test]
fn what_php_puts_runs_with_every_byte_as_it_was() {
    if !php_is_here() {
        return;
    }
    let server = Beanstalkd::start();
    let taskqueue = Taskqueue::with(&server);
    taskqueue.configure(CONFIGURATION);
    fs::write(taskqueue.path("recorder"), RECORDER).unwrap();
    fs::write(taskqueue.path("producer.php"), PRODUCER).unwrap();

    let values = values();
    let lines: Vec<String> = values
        .iter()
        .map(|(wait, message, _)| json!({ "wait": wait, "message": message }).to_string())
        .collect();
    fs::write(taskqueue.path("values"), lines.join("\n")).unwrap();
    let php = Command::new("php")
        .args(["-n", "producer.php", &server.port().to_string()])
        .current_dir(taskqueue.path(""))
        .stdin(fs::File::open(taskqueue.path("values")).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&php.stdout).into_owned();
    let ids: Vec<&str> = said
        .lines()
        .map(|line| {
            line.strip_prefix("INSERTED ")
                .unwrap_or_else(|| panic!("{said}"))
        })
        .collect();
    assert_eq!(ids.len(), values.len() * 2 + 1, "{php:?}");

    let count = ids.len().to_string();
    let mut worker = taskqueue.command(&[
        "worker",
        "--use-tube",
        "php",
        "--max-jobs",
        &count,
        "--log",
        "error",
    ]);
    worker.env("RECORD", taskqueue.path(""));
    assert_eq!(Running::start(worker).wait().ok(), "");

    for (pair, (wait, message, elements)) in ids.chunks(2).zip(&values) {
        for id in pair {
            let argv = fs::read(taskqueue.path(&format!("{id}.argv"))).unwrap_or_default();
            let expected: Vec<u8> = elements
                .iter()
                .flat_map(|element| [element.as_bytes(), b"\0"].concat())
                .collect();
            assert!(
                argv == expected,
                "{wait} and {message} became {:?}",
                String::from_utf8_lossy(&argv)
            );
        }
    }
    assert!(!taskqueue.path("owned").exists());
    let last = taskqueue.show(&count);
    assert_eq!(last["status"], "failed");
    assert_eq!(
        last["reason"],
        "what follows the body's type is not JSON: nothing is there"
    );
}
