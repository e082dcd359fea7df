//! What is said to whoever uses the program wrongly: `wrong.txt`, beside this file, has some two hundred ways to do so,
//! and for each what is printed. `WRITE_WRONG=1` has it written anew; then read it: each message says what is wrong, on
//! what, why, and what to do next.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cli/wrong.txt");

/// What a line of the table may use beside the shell's own: writes a configuration.
const PROLOGUE: &str = "conf() { printf \"$1\\n\" > taskqueue.toml; }\n";

/// Words of libraries, which say nothing to whoever reads them.
const NOT_OURS: [&str; 13] = [
    "os error",
    "struct ",
    "u32",
    "u64",
    "i128",
    "invalid digit",
    "stream did not",
    "asserting migrations",
    "at line 1 column",
    "disk I/O error",
    "unable to open database",
    "TOML parse error",
    "For more information",
];

/// A table with what is printed, for each of its lines that begin with `$ `.
fn run(table: &str) -> String {
    let lines: Vec<&str> = table.lines().filter(|line| is_ours(line)).collect();
    let next = AtomicUsize::new(0);
    let mut printed: Vec<(usize, String)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
                let at = lines
                    .iter()
                    .position(|other| std::ptr::eq(*other, *line))
                    .unwrap();
                done.push((at, case(line)));
            }
            done
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    printed.sort();
    let printed: Vec<String> = printed.into_iter().map(|(_, text)| text).collect();
    printed.join("\n")
}

fn is_ours(line: &str) -> bool {
    line.starts_with("$ ") || line.starts_with("# ")
}

/// A line, and below it what it prints and its exit code.
fn case(line: &str) -> String {
    let Some(command) = line.strip_prefix("$ ") else {
        return format!("{line}\n");
    };
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("taskqueue.toml"), "").unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_taskqueue"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = Command::new("timeout")
        .args(["20", "sh", "-c", &format!("{PROLOGUE}{command}")])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", dir.path())
        .env("XDG_RUNTIME_DIR", dir.path().join("run"))
        .env("TZ", "UTC")
        .env("TASKQUEUE_BROKER", "beanstalk://127.0.0.1:1")
        .env("TASKQUEUE_STORE", "t.db")
        .env("TASKQUEUE_CONFIG", "taskqueue.toml")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let folder = dir.path().to_str().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap().replace(folder, "/FOLDER");
    let mut text = format!("{line}\n");
    // Whoever runs the tests.
    let owner = |line: &str| match (line.split_once("a folder of "), line.split_once("), and")) {
        (Some((begin, _)), Some((_, end))) => format!("{begin}a folder of OWNER, and{end}"),
        _ => line.to_owned(),
    };
    for line in said.lines().map(owner) {
        // The time before an event.
        let line = match line.split_once("Z  WARN ") {
            Some((_, event)) => format!("WARN {event}"),
            None => line.clone(),
        };
        text.push_str(format!("    {line}").trim_end());
        text.push('\n');
    }
    text.push_str(&format!("    = {}\n", output.status.code().unwrap()));
    text
}

#[test]
fn each_wrong_usage_is_told_in_our_words() {
    let table = std::fs::read_to_string(FILE).unwrap();
    let now = run(&table);
    if std::env::var_os("WRITE_WRONG").is_some() {
        std::fs::write(FILE, &now).unwrap();
    }
    let table = match std::env::var_os("WRITE_WRONG") {
        Some(_) => now.clone(),
        None => table,
    };
    let cases = now.lines().filter(|line| line.starts_with("$ ")).count();
    assert!(cases >= 120, "{cases} cases");
    for word in NOT_OURS {
        let line = now.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "{word}");
    }
    let other = now
        .lines()
        .zip(table.lines())
        .find(|(now, then)| now != then);
    assert_eq!(
        other, None,
        "the table says otherwise: WRITE_WRONG=1 writes it anew"
    );
    assert_eq!(now.len(), table.len());
}
