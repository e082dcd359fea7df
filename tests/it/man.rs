//! The manual pages and the example configuration say what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use taskqueue::cli;
use taskqueue::config::{Config, Overrides};
use taskqueue::task::payload::Body;

use crate::support::Beanstalkd;

type Words = BTreeSet<String>;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap()
}

fn generated() -> String {
    String::from_utf8(cli::man_page(&cli::shape()).unwrap()).unwrap()
}

/// What stands between a heading and the next one of its rank.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"));
    let next = ["\n.SH", "\n.SS"];
    let end = next.iter().filter_map(|mark| rest.find(mark)).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// The first words of the tagged paragraphs: `.TP`, then `.BR word " (type)"`.
fn tags(section: &str) -> Vec<String> {
    let mut lines = section.lines();
    let mut tags = Vec::new();
    while let Some(line) = lines.next() {
        if line == ".TP" {
            let tag = lines.next().unwrap();
            tags.push(tag.split(' ').nth(1).unwrap().to_owned());
        }
    }
    tags
}

fn set(words: impl IntoIterator<Item = String>) -> Words {
    words.into_iter().collect()
}

#[test]
fn the_page_is_what_the_program_generates() {
    assert!(
        text("man/taskqueue.1") == generated(),
        "man/taskqueue.1 is not what the command line has become: run `make man`"
    );
}

#[test]
fn every_flag_and_its_variable_are_in_the_page() {
    let page = generated();
    let shape = cli::shape();
    let mut places = vec![(section(&page, ".SH OPTIONS"), &shape)];
    for command in shape.get_subcommands().filter(|c| !c.is_hide_set()) {
        let heading = format!(".SS \"taskqueue {}\"", command.get_name());
        places.push((section(&page, &heading), command));
    }
    assert!(places.len() > 10, "the subcommands are not where they were");
    for (section, command) in places {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let tag = match arg.get_long() {
                Some(long) => format!("\\fB\\-\\-{}\\fR", long.replace('-', "\\-")),
                None => format!("\\fI{}\\fR", arg.get_value_names().unwrap()[0]),
            };
            let tag = match arg.get_short() {
                Some(short) => format!("\\fB\\-{short}\\fR, {tag}"),
                None => tag,
            };
            let name = command.get_name();
            let entry = section
                .split("\n.TP\n")
                .find(|entry| entry.starts_with(&tag))
                .unwrap_or_else(|| panic!("{name}: {tag} is not in the page"));
            if let Some(variable) = arg.get_env() {
                assert!(
                    entry.contains(variable.to_str().unwrap()),
                    "{name}: {tag} lacks its variable"
                );
            }
        }
    }
}

/// What a configuration is told about a wrong key or word: `known are …`.
fn expected(toml: &str) -> Words {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskqueue.toml");
    fs::write(&path, toml).unwrap();
    let loaded = Config::load(&Overrides {
        config: Some(path),
        store: Some(folder.path().join("t.db").into()),
        ..Overrides::default()
    });
    let said = loaded.unwrap_err().to_string();
    let first = said.lines().next().unwrap_or_default();
    let known = ["known are ", "write one of "]
        .iter()
        .find_map(|words| first.split_once(words))
        .unwrap_or_else(|| panic!("{toml} gave {said}"))
        .1;
    set(known
        .split(", ")
        .map(|word| word.trim_matches('"').to_owned()))
}

/// What is described where commands are, and may stand in the defaults as well.
const TRIED: [&str; 12] = [
    "timeout",
    "max_attempts",
    "max_lost",
    "max_snoozes",
    "backoff",
    "retry",
    "retry_jitter",
    "retry_on",
    "task_max_attempts",
    "task_timeout",
    "task_environment",
    "on_failure",
];

#[test]
fn every_key_of_the_configuration_is_in_its_page() {
    let page = text("man/taskqueue.toml.5");
    let table = [
        (".SS Top level", "x_ = 1"),
        (".SS [tubes.NAME]", "[tubes.a]\nx_ = 1"),
        (
            r".SS [commands.\(dqNAME\(dq]",
            "[commands.a]\nrun = ['a']\nx_ = 1",
        ),
        (
            r".SS [types.\(dqNAME\(dq]",
            "[types.a]\ncommand = 'a'\nx_ = 1",
        ),
        (".SS [schedules.NAME]", "[schedules.a]\ntube = 'a'\nx_ = 1"),
        (".SS [pools.NAME]", "[pools.a]\nx_ = 1"),
        (".SS [events]", "[events]\nx_ = 1"),
        (".SS [defaults]", "[defaults]\nx_ = 1"),
        (".SS limits = { ... }", "[defaults]\nlimits = { x_ = 1 }"),
        (
            ".SS backoff = { ... }",
            "[commands.a]\nrun = ['a']\nbackoff = { x_ = 1 }",
        ),
    ];
    // These may stand in each of their tables.
    let shared = set(tags(section(&page, ".SS [defaults]")));
    for (heading, toml) in table {
        let mut described = set(tags(section(&page, heading)));
        if toml.starts_with("[tubes.") || toml.starts_with("[commands.") && !toml.contains('{') {
            described.extend(shared.clone());
        }
        if heading == ".SS [defaults]" {
            let named = section(&page, heading);
            assert!(TRIED.iter().all(|key| named.contains(key)), "{named}");
            described.extend(set(TRIED.map(str::to_owned)));
        }
        assert_eq!(described, expected(toml), "{heading}");
    }
    let commands = section(&page, r".SS [commands.\(dqNAME\(dq]");
    for key in ["stdin", "on_failure"] {
        let entry = commands.split("\n.TP\n").find(|e| e.contains(key)).unwrap();
        let words = expected(&format!("[commands.a]\nrun = ['a']\n{key} = 'x_'"));
        for word in words {
            assert!(
                entry.contains(&format!(r"\(dq{word}\(dq")),
                "{key} lacks {word}"
            );
        }
    }
}

#[test]
fn the_examples_load() {
    let whole = Config::load(&Overrides {
        config: Some(file("examples/taskqueue.toml")),
        ..Overrides::default()
    })
    .unwrap();
    assert_eq!(whole.tubes.len(), 2);
    assert!(whole.commands.find("app:anything").is_some());
    let body = br#"Acme\Task\Invoice::{"taskIdentifier":"12","invoiceId":"12","fileFormat":"pdf"}"#;
    let call = whole.commands.read(body);
    assert!(matches!(call, Body::Native(_)), "{call:?}");

    let page = text("man/taskqueue.toml.5");
    let (_, example) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap();
    let (example, _) = example.split_once("\n.fi").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskqueue.toml");
    let example = [(r"\-", "-"), (r"\e", r"\"), (r"\(aq", "'")]
        .iter()
        .fold(example.to_owned(), |text, (roff, plain)| {
            text.replace(roff, plain)
        });
    fs::write(&path, example).unwrap();
    let config = Config::load(&Overrides {
        config: Some(path),
        ..Overrides::default()
    })
    .unwrap();
    assert!(config.commands.find("invoice:send").is_some());
    assert_eq!(config.commands.read(body), call);
}

/// What the guides tell people to write.
fn configurations(guide: &str) -> Vec<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskqueue.toml");
    let load = |block: &str| {
        let (toml, _) = block.split_once("```").unwrap();
        fs::write(&path, toml).unwrap();
        let overrides = Overrides {
            config: Some(path.clone()),
            store: Some(std::path::PathBuf::from("t.db").into()),
            ..Overrides::default()
        };
        Config::load(&overrides).unwrap_or_else(|e| panic!("{guide}: {e}"))
    };
    text(guide).split("```toml\n").skip(1).map(load).collect()
}

#[test]
fn the_guides_say_what_is_true() {
    let shape = cli::shape();
    let commands: Words = set(shape.get_subcommands().map(|c| c.get_name().to_owned()));
    for guide in ["docs/from-taskqueue.md", "docs/from-others.md"] {
        assert!(!configurations(guide).is_empty(), "{guide}");
        for said in text(guide).split("`taskqueue ").skip(1) {
            let word = |c: char| c.is_ascii_lowercase() || c == '-';
            let end = said.find(|c| !word(c)).unwrap();
            let known =
                commands.contains(&said[..end]) || said[end..].starts_with("` is not there yet");
            assert!(known, "{guide}: taskqueue {}", &said[..end]);
        }
    }
    let body = br#"Acme\Task\InvoiceTaskDescription::{"taskIdentifier":"7","invoiceId":"12","file_format":"pdf"}"#;
    let options: Vec<String> = configurations("docs/from-taskqueue.md")
        .iter()
        .filter_map(|config| match config.commands.read(body) {
            Body::Native(native) => Some(native.call.options_json()),
            // Of another type.
            Body::Pointer(_) | Body::Refused(_) | Body::Other(_) => None,
        })
        .collect();
    assert_eq!(
        options,
        [r#"{"format":"pdf"}"#, r#"{"format":"pdf","task-id":"7"}"#]
    );
}

#[test]
fn the_example_has_every_key() {
    let example = text("examples/taskqueue.toml");
    let page = text("man/taskqueue.toml.5");
    // Tables are seen by their members; another program as worker is for few.
    let left_out = [
        "retention",
        "events",
        "hooks",
        "defaults",
        "tubes",
        "commands",
        "types",
        "schedules",
        "pools",
        "worker_command",
        "worker_protocol",
    ];
    for key in tags(&page)
        .iter()
        .filter(|key| !left_out.contains(&key.as_str()))
    {
        let given = example.lines().any(|line| {
            line.contains(&format!("{key} = ")) || line.contains(&format!("{key}  = "))
        });
        assert!(given, "examples/taskqueue.toml lacks {key}");
    }
}

fn taskqueue(folder: &Path, broker: &str, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_taskqueue"))
        .args(["--broker", broker, "--store", "t.db"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn keys(object: &Value) -> Words {
    set(object.as_object().unwrap().keys().cloned())
}

#[test]
fn every_field_of_a_task_is_in_the_page() {
    let server = Beanstalkd::start();
    let broker = server.url();
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| taskqueue(folder.path(), &broker, args);
    let says = "echo '{\"progress\":40}' >&$TASKQUEUE_REPORT_FD";
    let says = format!("[commands.say]\nrun = ['/bin/sh', '-c', \"\"\"{says}\"\"\"]\n");
    std::fs::write(folder.path().join("taskqueue.toml"), says).unwrap();
    run(&["put", "--use-tube", "t", "say"]);
    run(&["worker", "--use-tube", "t", "--max-jobs", "1"]);
    let shown: Value = serde_json::from_slice(&run(&["show", "1", "--json"]).stdout).unwrap();
    let listed: Value =
        serde_json::from_slice(&run(&["list", "--limit", "1", "--json"]).stdout).unwrap();

    let page = generated();
    let described = section(&page, ".SS list, show");
    let (task, rest) = described.split_once("A report:").unwrap();
    let (report, attempt) = rest.split_once("An attempt:").unwrap();
    let only_in_show = |part: &str| {
        let entries = part.split("\n.TP\n").filter(|e| e.contains("Only in\n"));
        set(entries.flat_map(|entry| tags(&format!(".TP\n{entry}"))))
    };
    for (part, in_show, in_list) in [
        (task, &shown, &listed[0]),
        (report, &shown["report"], &listed[0]["report"]),
        (attempt, &shown["attempts"][0], &listed[0]["attempts"][0]),
    ] {
        let all = set(tags(part));
        assert_eq!(keys(in_show), all);
        let few: Words = &all - &only_in_show(part);
        assert_eq!(keys(in_list), few);
    }
}
