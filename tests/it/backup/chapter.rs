//! The chapter on the store is followed to the letter: its blocks that are a `console` are run, one after the other,
//! and what they print is compared. `…` stands for anything.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Beanstalkd, Running, UNSERVED};

/// The folders of the chapter, and what they are here.
const FOLDERS: [&str; 4] = ["/srv/app", "/srv/new", "/srv/clone", "/backup"];

struct Machine {
    root: TempDir,
    broker: Beanstalkd,
}

impl Machine {
    fn shell(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_taskqueue"));
        let folder = program.parent().unwrap().display();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &self.here(line)])
            .current_dir(self.root.path().join("srv/app"))
            .env_clear()
            .env("PATH", format!("{folder}:/usr/bin:/bin"))
            .env("HOME", self.root.path())
            .env("TZ", "UTC")
            .env("TASKQUEUE_BROKER", self.broker.url())
            .stdin(Stdio::null());
        shell
    }

    fn here(&self, text: &str) -> String {
        FOLDERS.iter().fold(text.to_owned(), |text, folder| {
            let here = format!("{}{folder}", self.root.path().display());
            text.replace(folder, &here)
        })
    }

    fn there(&self, text: &str) -> String {
        text.replace(&self.root.path().display().to_string(), "")
    }
}

/// Whether a line is as it was to be.
fn is_like(said: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut left) = said.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let mut is_open = false;
    for part in parts {
        is_open = part.is_empty();
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.is_empty() || is_open
}

/// A line that is `…` alone stands for any lines, or none.
fn are_like(said: &[&str], expected: &[&str]) -> bool {
    match expected.split_first() {
        None => said.is_empty(),
        Some((&"…", rest)) => (0..=said.len()).any(|skipped| are_like(&said[skipped..], rest)),
        Some((line, rest)) => match said.split_first() {
            Some((first, others)) => is_like(first, line) && are_like(others, rest),
            None => false,
        },
    }
}

fn blocks(chapter: &str) -> Vec<Vec<&str>> {
    let after = chapter.split("```console\n").skip(1);
    after
        .map(|text| text.split("\n```").next().unwrap().lines().collect())
        .collect()
}

#[test]
fn the_chapter_is_what_happens() {
    let root = TempDir::new().unwrap();
    for folder in FOLDERS {
        fs::create_dir_all(root.path().join(&folder[1..])).unwrap();
    }
    let machine = Machine {
        root,
        broker: Beanstalkd::start(),
    };
    let app = machine.root.path().join("srv/app");
    fs::write(
        app.join("taskqueue.toml"),
        "store = \"tasks.db\"\n[commands.newsletter]\nrun = [\"/bin/true\"]\n[tubes.other]\n",
    )
    .unwrap();
    for _ in 0..2 {
        let put = machine
            .shell("taskqueue put --use-tube mail newsletter")
            .output();
        assert!(put.unwrap().status.success());
    }
    // There is one to be stopped.
    let tender = Running::start(machine.shell("exec taskqueue tender"));
    let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/store.md");
    let chapter = fs::read_to_string(chapter).unwrap();
    let blocks = blocks(&chapter);
    assert!(blocks.len() > 6, "{}", blocks.len());
    let mut wrong = Vec::new();
    for block in blocks {
        for step in block.chunk_by(|_, next| !next.starts_with("$ ")) {
            let (line, expected) = step.split_first().unwrap();
            let line = line.strip_prefix("$ ").unwrap();
            let output = machine
                .shell(&format!("{{ {line}\n}} 2>&1"))
                .output()
                .unwrap();
            let said = machine.there(&String::from_utf8(output.stdout).unwrap());
            let is_for_all = |line: &&str| {
                !line.contains("WARN commands run as root, since nothing")
                    && !line.starts_with(UNSERVED)
            };
            let said: Vec<&str> = said.lines().filter(is_for_all).collect();
            if !are_like(&said, expected) {
                wrong.push(format!("$ {line}\n{}", said.join("\n")));
            }
        }
    }
    drop(tender);
    assert!(wrong.is_empty(), "it is otherwise:\n{}", wrong.join("\n"));
}
