//! The tour in the README is what really happens: its commands are run, and what they print is compared.
//!
//! Times, durations and uuids may differ, and the broker has another port. With `WRITE_README=1` in the environment the
//! README gets what was printed instead.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use taskqueue::cli;

use crate::support::{Running, Taskqueue, free_port, until};

const PORT: &str = "11300";

/// In place of the temporary folder in which the tour is gone through.
const FOLDER: &str = "/srv/app/";

/// Stands for any lines.
const ANYTHING: &str = "…";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn writes() -> bool {
    std::env::var_os("WRITE_README").is_some()
}

/// What becomes of an indented block.
enum Mark<'a> {
    Run,
    File(&'a str),
    Leave,
}

/// The section of the tour, with what stands before and after it.
fn sections(readme: &str) -> (&str, &str, &str) {
    let begin = readme.find("\n## A tour\n").unwrap() + 1;
    let end = begin + readme[begin..].find("\n## The commands\n").unwrap() + 1;
    (&readme[..begin], &readme[begin..end], &readme[end..])
}

/// The tour while it is gone through.
struct Tour {
    taskqueue: Taskqueue,
    port: String,
    /// What was started with `&`.
    background: Vec<Running>,
    /// The tour as it turned out.
    written: Vec<String>,
    wrong: Vec<String>,
}

impl Tour {
    fn new() -> Tour {
        let taskqueue = Taskqueue::alone();
        fs::remove_file(taskqueue.path("taskqueue.toml")).unwrap();
        Tour {
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
            .env("TZ", "UTC")
            // What it would be without, but for the port.
            .env(
                "TASKQUEUE_BROKER",
                format!("beanstalk://127.0.0.1:{}", self.port),
            )
            .stdin(Stdio::null());
        shell
    }

    /// Runs a command, and compares what it prints with what it should.
    fn run(&mut self, line: &str, expected: &[&str]) {
        self.written.push(format!("    $ {line}"));
        if let Some(line) = line.strip_suffix('&') {
            let started = Running::start(self.shell(&format!("exec {line}")));
            self.background.push(started);
            let address = format!("127.0.0.1:{}", self.port);
            until("it listens", || TcpStream::connect(&address).is_ok());
            return;
        }
        let output = self.shell(&format!("{{ {line}\n}} 2>&1")).output().unwrap();
        let said = String::from_utf8(output.stdout)
            .unwrap()
            .replace(&self.port, PORT)
            .replace(self.taskqueue.path("").to_str().unwrap(), FOLDER)
            // Whoever reads the tour has set no variable.
            .replace(
                "--broker URL, or change the variable TASKQUEUE_BROKER, which names this one",
                "--broker URL or TASKQUEUE_BROKER",
            );
        // Of what only root is told, the tour says nothing.
        let is_for_all = |line: &&str| !line.contains("WARN commands run as root, since nothing");
        let said: Vec<&str> = said.lines().filter(is_for_all).collect();
        let alike = matches(&said, expected);
        if !alike {
            self.wrong.push(format!("$ {line}\n{}", said.join("\n")));
        }
        // All of one run where it is written anew, but for what was left out on purpose.
        let keep = alike && (!writes() || expected.contains(&ANYTHING));
        for line in if keep { expected } else { &said } {
            self.written
                .push(format!("    {line}").trim_end().to_owned());
        }
    }

    fn block(&mut self, mark: &Mark<'_>, lines: &[&str]) {
        let plain = || {
            lines
                .iter()
                .map(|line| line.strip_prefix("    ").unwrap_or(""))
        };
        match mark {
            Mark::File(name) => {
                let path = self.taskqueue.path(name);
                fs::write(&path, plain().collect::<Vec<_>>().join("\n") + "\n").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            Mark::Run if plain().any(|line| line.starts_with("$ ")) => {
                let lines: Vec<&str> = plain().collect();
                for step in lines.chunk_by(|_, next| !next.starts_with("$ ")) {
                    let (command, expected) = step.split_first().unwrap();
                    self.run(command.strip_prefix("$ ").unwrap(), expected);
                }
                return;
            }
            Mark::Run | Mark::Leave => {}
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

/// A line in which every time, every uuid and all that is measured is the same.
fn normal(line: &str) -> String {
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

#[test]
fn the_tour_is_what_happens() {
    let readme = fs::read_to_string(file("README.md")).unwrap();
    let (before, section, after) = sections(&readme);
    let mut tour = Tour::new();
    let lines: Vec<&str> = section.lines().collect();
    let indented = |line: usize| lines.get(line).is_some_and(|line| line.starts_with("    "));
    // An empty line within a block belongs to it.
    let outside = |&line: &usize| !(indented(line) || lines[line].is_empty() && indented(line + 1));
    let mut mark = Mark::Run;
    let mut at = 0;
    while at < lines.len() {
        if indented(at) {
            let end = (at..lines.len()).find(outside).unwrap_or(lines.len());
            tour.block(&mark, &lines[at..end]);
            (mark, at) = (Mark::Run, end);
            continue;
        }
        if let Some(order) = lines[at].strip_prefix("<!-- tour: ") {
            mark = match order.strip_suffix(" -->").unwrap().split_once(' ').unwrap() {
                ("file", name) => Mark::File(name),
                ("not", "run") => Mark::Leave,
                _ => panic!("{order}: there is no such mark"),
            };
        }
        tour.written.push(lines[at].to_owned());
        at += 1;
    }
    assert!(!tour.background.is_empty(), "nothing of the tour was run");
    let written = tour.written.join("\n") + "\n";
    if writes() {
        return fs::write(file("README.md"), format!("{before}{written}{after}")).unwrap();
    }
    assert!(
        tour.wrong.is_empty(),
        "the README does not show what is printed (WRITE_README=1 mends it):\n{}",
        tour.wrong.join("\n")
    );
    assert_eq!(written, section, "read and written, it is the same");
}

#[test]
fn the_commands_before_the_tour_are_there() {
    let readme = fs::read_to_string(file("README.md")).unwrap();
    let makefile = fs::read_to_string(file("Makefile")).unwrap();
    let (before, ..) = sections(&readme);
    let mut seen = Vec::new();
    for line in before.lines().filter_map(|line| line.strip_prefix("    ")) {
        let line = line.split(" #").next().unwrap().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["taskqueue", ..] => {
                let parsed = cli::shape().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
            ["make", goal] => assert!(makefile.contains(&format!("\n{goal}:")), "{line}"),
            ["man", "-l", page] => assert!(file(page).exists(), "{line}"),
            _ => panic!("{line}: say in tests/it/readme.rs how this is checked"),
        }
        seen.push(words[0]);
    }
    assert!(
        seen.starts_with(&["make", "make", "make", "taskqueue"]),
        "{seen:?}"
    );
}

#[test]
fn what_the_readme_links_to_is_there() {
    let readme = fs::read_to_string(file("README.md")).unwrap();
    let links = readme
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    for link in links.filter(|link| !link.contains("://")) {
        assert!(file(link).exists(), "{link}");
    }
}
