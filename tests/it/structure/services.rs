//! Nothing is spawned and forgotten: what runs beside a loop is a service, and each has a row and a test.

use std::fs;
use std::path::Path;

use super::source::{Source, sources};

/// What starts a task or a thread, and the only file that may.
const ONLY_IN: &[(&str, &[&str])] = &[
    (
        "service",
        &[
            "tokio::spawn",
            "tokio::task",
            "task::spawn",
            "spawn_local",
            "JoinSet",
            "JoinHandle",
        ],
    ),
    (
        "thread",
        &["thread::Builder", "thread::spawn", "thread::scope"],
    ),
];

/// What is spawned and forgotten ends for ever, and in silence, with its first panic.
#[test]
fn whatever_runs_beside_a_loop_is_a_service() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (file, words) in ONLY_IN {
        for word in *words {
            let users = sources.iter().filter(|source| source.names(word));
            let others = users.filter(|source| source.module != [*file]);
            wrong.extend(others.map(|other| {
                format!(
                    "{} names {word}: use crate::service, or crate::thread",
                    other.path.display()
                )
            }));
        }
        let words_of = |source: &Source| words.iter().any(|word| source.names(word));
        let own = sources.iter().find(|source| source.module == [*file]);
        assert!(own.is_some_and(words_of), "{file} starts nothing");
    }
    // The runtime's own `spawn`, by whatever name that is imported.
    let imports = sources.iter().filter(|source| {
        source.text.contains("use tokio::{") || source.text.contains("use tokio::spawn")
    });
    wrong.extend(imports.map(|source| {
        format!(
            "{}: import what is of tokio by its module",
            source.path.display()
        )
    }));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The strings that follow each place of a word.
fn strings_after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(word)
        .filter_map(|(at, _)| text[at..].split('"').nth(1))
}

/// The table of ARCHITECTURE.md, and the tests that have each service panic.
#[test]
fn every_service_is_written_down_and_made_to_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (table, tests) = (read("ARCHITECTURE.md"), read("tests/it/services.rs"));
    let sources = sources();
    let names: Vec<&str> = sources
        .iter()
        .flat_map(|source| {
            let text = &source.text;
            let services = strings_after(text, "const NAME: &'static str =");
            services.chain(strings_after(text, "service::on_thread("))
        })
        .collect();
    assert_eq!(names.len(), 14, "{names:?}");
    for name in names {
        assert!(
            table.contains(&format!("| `{name}` |")),
            "ARCHITECTURE.md has no row for {name}"
        );
        assert!(
            tests.contains(&format!("\"{name}\"")),
            "no test has {name} panic"
        );
    }
}
