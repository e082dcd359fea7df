//! What the README and the documents in docs/ show is what really happens: their commands are run, and what they print
//! is compared.
//!
//! Times, ages, durations, processes and uuids may differ, and the broker has another port. With `WRITE_README=1` in
//! the environment the documents get what was printed instead.

mod blocks;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use taskqueue::cli;

use crate::support::{Running, Taskqueue, UNSERVED, free_port, until};
use blocks::{Mark, Piece, pieces};

const PORT: &str = "11300";

/// In place of the temporary folder in which a document is gone through.
const FOLDER: &str = "/srv/app/";

/// Stands for any lines.
const ANYTHING: &str = "…";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn writes() -> bool {
    std::env::var_os("WRITE_README").is_some()
}

/// The README, and what is beside it: name and text.
fn documents() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    for entry in fs::read_dir(file("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    let text = |name: &String| fs::read_to_string(file(name)).unwrap();
    names
        .iter()
        .map(|name| (name.clone(), text(name)))
        .collect()
}

/// A document while it is gone through, in a folder and with a broker of its own.
struct Reading {
    taskqueue: Taskqueue,
    port: String,
    /// What was started with `&`.
    background: Vec<Running>,
    /// The document as it turned out.
    written: Vec<String>,
    wrong: Vec<String>,
}

impl Reading {
    fn new() -> Reading {
        let taskqueue = Taskqueue::alone();
        fs::remove_file(taskqueue.path("taskqueue.toml")).unwrap();
        Reading {
            taskqueue,
            port: free_port().to_string(),
            background: Vec::new(),
            written: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn shell(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_taskqueue"));
        let folder = program.parent().unwrap().display();
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line.replace(PORT, &self.port)])
            .current_dir(self.taskqueue.path(""))
            .env_clear()
            .env("PATH", format!("{folder}:{path}"))
            .env("HOME", self.taskqueue.path(""))
            .env("XDG_RUNTIME_DIR", self.taskqueue.path("run"))
            .env("TZ", "UTC")
            // What it would be without, but for the port.
            .env(
                "TASKQUEUE_BROKER",
                format!("beanstalk://127.0.0.1:{}", self.port),
            )
            .stdin(Stdio::null());
        shell
    }

    /// Whether what was started is there.
    fn is_up(&self, line: &str) -> bool {
        if line.starts_with("taskqueue tender") {
            let mut asks = self.shell("taskqueue status");
            let asked = asks.stdout(Stdio::null()).stderr(Stdio::null()).status();
            // It answers before its first worker reserves, and the tube is not there before that.
            return asked.unwrap().success() && self.has_workers();
        }
        TcpStream::connect(format!("127.0.0.1:{}", self.port)).is_ok()
    }

    /// Whether anybody has asked the broker for jobs who is still connected.
    fn has_workers(&self) -> bool {
        let mut broker = TcpStream::connect(format!("127.0.0.1:{}", self.port)).unwrap();
        broker.write_all(b"stats\r\nquit\r\n").unwrap();
        let mut stats = String::new();
        broker.read_to_string(&mut stats).unwrap();
        stats.contains("current-workers: ") && !stats.contains("current-workers: 0\n")
    }

    /// Runs a command, and compares what it prints with what it should.
    fn run(&mut self, line: &str, expected: &[&str]) {
        self.written.push(format!("$ {line}"));
        if let Some(line) = line.strip_suffix('&') {
            let started = Running::start(self.shell(&format!("exec {line}")));
            self.background.push(started);
            until("it is up", || self.is_up(line));
            return;
        }
        let output = self.shell(&format!("{{ {line}\n}} 2>&1")).output().unwrap();
        let said = String::from_utf8(output.stdout)
            .unwrap()
            .replace(&self.port, PORT)
            .replace(self.taskqueue.path("").to_str().unwrap(), FOLDER)
            // Whoever reads a document has set no variable.
            .replace(
                "--broker URL, or change the variable TASKQUEUE_BROKER, which names this one",
                "--broker URL or TASKQUEUE_BROKER",
            );
        // Of what only root is told, documents say nothing, nor that nobody works on a tube before it has somebody.
        let is_for_all = |line: &&str| {
            !line.contains("WARN commands run as root, since nothing")
                && !line.starts_with(UNSERVED)
        };
        let mut said: Vec<&str> = said.lines().filter(is_for_all).collect();
        // What is noted of a store that was made comes by a way of its own, perhaps after the answer.
        said.sort_by_key(|line| !line.starts_with("taskqueue: made a new store"));
        let alike = matches(&said, expected);
        if !alike {
            self.wrong.push(format!("$ {line}\n{}", said.join("\n")));
        }
        // All of one run where it is written anew, but for what was left out on purpose.
        let keep = alike && (!writes() || expected.contains(&ANYTHING));
        for line in if keep { expected } else { &said } {
            self.written.push(line.trim_end().to_owned());
        }
    }

    fn block(&mut self, mark: Mark<'_>, lines: &[&str]) {
        match mark {
            Mark::File(name) => {
                fs::write(self.taskqueue.path(name), lines.join("\n") + "\n").unwrap();
            }
            Mark::Run => {
                for step in lines.chunk_by(|_, next| !next.starts_with("$ ")) {
                    let (command, expected) = step.split_first().unwrap();
                    let command = command.strip_prefix("$ ");
                    self.run(command.expect("a block begins with a command"), expected);
                }
                return;
            }
            Mark::Look | Mark::Leave => {}
        }
        self.written
            .extend(lines.iter().map(|line| (*line).to_owned()));
    }
}

/// Whether lines are those expected, where `…` stands for any.
fn matches(said: &[&str], expected: &[&str]) -> bool {
    match (said, expected) {
        ([], []) => true,
        (said, [ANYTHING, rest @ ..]) => (0..=said.len()).any(|skip| matches(&said[skip..], rest)),
        ([first, said @ ..], [wanted, rest @ ..]) => {
            normal(first) == normal(wanted) && matches(said, rest)
        }
        _ => false,
    }
}

/// What follows the number, where that is how long or how large something was.
fn measured<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_one = |name: &str| {
        let after = unit.strip_prefix(name);
        after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
    };
    let is_measured = ["s", " s", " MB"].into_iter().any(is_one)
        || ["_time\":", "_memory\":", " duration="]
            .into_iter()
            .any(|key| before.ends_with(key));
    (unit.len() < text.len() && is_measured).then_some(unit)
}

/// A line in which every time, every process, every uuid and all that is measured is the same.
fn normal(line: &str) -> String {
    const PROCESS: &str = ", process ";
    const SHAPES: [&str; 3] = [
        "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00:00.000",
    ];
    let fits = |shape: &str, text: &str| {
        let alike = |(wanted, found): (u8, u8)| match wanted {
            b'x' => found.is_ascii_hexdigit(),
            b'0' => found.is_ascii_digit(),
            other => found == other,
        };
        text.len() >= shape.len() && shape.bytes().zip(text.bytes()).all(alike)
    };
    let (mut normal, mut rest) = (String::new(), line.trim_end());
    while let Some(first) = rest.chars().next() {
        if let Some(shape) = SHAPES.iter().find(|shape| fits(shape, rest)) {
            normal.push_str(shape);
            // Events have six digits after the second, JSON three.
            rest = rest[shape.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(after) = rest.strip_prefix(PROCESS) {
            normal.push_str(PROCESS);
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(unit) = measured(rest, &normal) {
            // How wide it is made differs too.
            normal.truncate(normal.trim_end().len());
            normal.push_str(" 0");
            rest = unit;
        } else {
            normal.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    normal
}

/// A document's commands are run one after the other, in a folder with the files that it has shown by then.
fn read(name: &str, text: &str) -> Reading {
    let mut reading = Reading::new();
    for piece in pieces(text) {
        match piece {
            Piece::Line(line) => reading.written.push(line.to_owned()),
            Piece::Block(mark, lines) => reading.block(mark, &lines),
        }
    }
    let written = reading.written.join("\n") + "\n";
    if writes() {
        fs::write(file(name), written).unwrap();
    } else if reading.wrong.is_empty() {
        assert_eq!(written, text, "read and written, {name} is the same");
    }
    reading
}

fn is_what_happens(name: &str) {
    let (name, text) = documents()
        .into_iter()
        .find(|(found, _)| found == name)
        .unwrap();
    let reading = read(&name, &text);
    assert!(
        writes() || reading.wrong.is_empty(),
        "{name} does not show what is printed (WRITE_README=1 mends it):\n{}",
        reading.wrong.join("\n")
    );
}

#[test]
fn the_readme_is_what_happens() {
    is_what_happens("README.md");
}

#[test]
fn daily_operations_are_what_happens() {
    is_what_happens("docs/operations.md");
}

#[test]
fn the_commands_in_the_place_of_the_ancestors_are_what_happens() {
    is_what_happens("docs/ancestors.md");
}

/// Into a folder, as for a package, without what a build would take.
#[test]
fn what_make_installs_is_where_it_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let make = |goal: &str| {
        let built = format!("BUILT={}", env!("CARGO_BIN_EXE_taskqueue"));
        let destination = format!("DESTDIR={}", folder.path().display());
        let mut make = Command::new("make");
        make.args(["-s", "-C", env!("CARGO_MANIFEST_DIR"), goal, "PREFIX=/usr"]);
        let ran = make
            .args([built, destination])
            .env_remove("MAKEFLAGS")
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    };
    make("install");
    let installed = [
        "bin/taskqueue",
        "share/man/man1/taskqueue.1",
        "share/man/man5/taskqueue.toml.5",
        "share/man/man7/taskqueue-payload.7",
        "share/bash-completion/completions/taskqueue",
        "share/zsh/site-functions/_taskqueue",
        "share/fish/vendor_completions.d/taskqueue.fish",
    ];
    let path = |name: &str| folder.path().join("usr").join(name);
    for name in installed {
        assert!(fs::metadata(path(name)).unwrap().len() > 100, "{name}");
    }
    let version = Command::new(path("bin/taskqueue"))
        .arg("--version")
        .output();
    assert!(version.unwrap().status.success());
    make("uninstall");
    assert!(!installed.iter().any(|name| path(name).exists()));
}

#[test]
fn every_document_that_shows_what_happens_is_run() {
    let shows = |(_, text): &(String, String)| {
        let is_run = |piece: &Piece<'_>| matches!(piece, Piece::Block(Mark::Run, _));
        pieces(text).iter().any(is_run)
    };
    let names: Vec<String> = documents()
        .into_iter()
        .filter(shows)
        .map(|(name, _)| name)
        .collect();
    // The chapter on the store is run by `backup::chapter`, with what one needs for that.
    assert_eq!(
        names,
        [
            "README.md",
            "docs/ancestors.md",
            "docs/operations.md",
            "docs/store.md"
        ],
        "it wants a test here"
    );
}

#[test]
fn the_commands_that_documents_name_are_there() {
    let makefile = fs::read_to_string(file("Makefile")).unwrap();
    let mut seen = 0;
    for (name, text) in documents() {
        for piece in pieces(&text) {
            let Piece::Block(Mark::Look, lines) = piece else {
                continue;
            };
            for line in lines {
                let line = line.split(" #").next().unwrap().trim();
                let line = line.split(" | ").next().unwrap();
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["sudo", words @ ..] | words => looked_up(&name, words, &makefile),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

fn looked_up(name: &str, words: &[&str], makefile: &str) {
    let line = words.join(" ");
    match words {
        ["taskqueue", ..] => {
            let parsed = cli::shape().try_get_matches_from(words);
            let is_help = |error: &clap::Error| !error.use_stderr();
            let parsed = parsed.map(drop).or_else(|error| match is_help(&error) {
                true => Ok(()),
                false => Err(error),
            });
            assert!(parsed.is_ok(), "{name}: {line}: {parsed:?}");
        }
        ["make", goal, ..] => assert!(makefile.contains(&format!("\n{goal}:")), "{name}: {line}"),
        ["man", "-l", page] => assert!(file(page).exists(), "{name}: {line}"),
        _ => {}
    }
}

#[test]
fn what_documents_link_to_is_there() {
    for (name, text) in documents() {
        let folder = Path::new(&name).parent().unwrap().to_owned();
        let links = text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file(&name),
                path => file("").join(&folder).join(path),
            };
            assert!(target.exists(), "{name}: {link}");
            if !heading.is_empty() {
                let found = fs::read_to_string(&target).unwrap();
                let has = found
                    .lines()
                    .any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(has, "{name}: {link}");
            }
        }
    }
}

/// A heading as links have it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
