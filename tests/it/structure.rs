//! Imports point one way: edge → shell → ports → core. A plain reading of the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Decisions: no clock, no files, no runtime, no randomness.
const CORE: &[(&str, &[&str])] = &[
    ("backoff", &[]),
    ("crew", &["backoff", "lifecycle", "pool"]),
    ("lifecycle", &["backoff"]),
    ("pool", &["backoff", "lifecycle"]),
    ("task", &["tube"]),
    ("tube", &[]),
];

/// One kind of I/O each.
const PORTS: &[(&str, &[&str])] = &[
    // The files beside a store.
    ("beside", &["task"]),
    // The embedded broker is rows of the store's own file.
    ("broker", &["clock", "lives", "sqlite", "thread", "tube"]),
    ("chance", &[]),
    ("clock", &["task"]),
    ("control", &["tube"]),
    // Where tests let a process die.
    ("crash", &[]),
    // A job's number is the broker's word; nothing else of it is the ledger's business.
    (
        "ledger",
        &[
            "beside",
            "broker::JobId",
            "clock",
            "crash",
            "lives",
            "sqlite",
            "task",
            "thread",
            "tube",
        ],
    ),
    ("link", &[]),
    ("lives", &["beside", "clock", "ofd", "task"]),
    // Locks on files, for whoever holds one.
    ("ofd", &[]),
    ("process", &["lives", "task"]),
    ("signals", &[]),
    // What the ledger in SQLite and the embedded broker share, so that neither knows the other.
    ("sqlite", &["beside", "clock", "crash", "lives", "task"]),
    ("tenure", &["beside", "ofd", "tube"]),
    ("thread", &[]),
];

/// Loops. Neither knows the other: they are processes of their own, and speak through `link`. And what a
/// producer does, which is no loop.
const SHELL: &[(&str, &[&str])] = &[
    (
        "api",
        &["broker", "clock", "crash", "ledger", "task", "tube"],
    ),
    ("guard", &["ledger", "process", "reconcile"]),
    (
        "reconcile",
        &[
            "broker", "clock", "crash", "lives", "process", "ledger", "task", "tube",
        ],
    ),
    (
        "tender",
        &[
            "backoff",
            "broker",
            "chance",
            "control",
            "crew",
            "guard",
            "lifecycle",
            "link",
            "pool",
            "process",
            "reconcile",
            "signals",
            "ledger",
            "task",
            "tenure",
            "tube",
        ],
    ),
    (
        "worker",
        &[
            "broker",
            "chance",
            "clock",
            "crash",
            "link",
            "process",
            "reconcile",
            "signals",
            "ledger",
            "task",
            "tube",
        ],
    ),
];

/// Flags, environment, files, printing.
const EDGE: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "api",
            "backoff",
            "broker",
            "clock",
            "config",
            "control",
            "crash",
            "crew",
            "guard",
            "lifecycle",
            "link",
            "pool",
            "process",
            "reconcile",
            "signals",
            "ledger",
            "task",
            "tender",
            "tenure",
            "tube",
            "worker",
        ],
    ),
    ("config", &["pool", "task", "tube"]),
];

/// What the core may not mention, as whole words.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "rusqlite",
    "rustix",
    "libc",
    "jiff",
    "tracing",
    "Instant",
    "SystemTime",
    "now_v7",
    "new_v4",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// Ports, and their adapters: files and folders that do not know each other.
const ADAPTERS: &[(&str, &[&str])] = &[
    ("broker", &["beanstalkd", "embedded"]),
    ("ledger", &["memory", "sqlite"]),
    ("lives", &["locks", "memory"]),
];

/// What of the ledger knows the machine that it is on. The rest is the protocol.
const OF_A_MACHINE: &[&[&str]] = &[&["ledger", "sqlite"], &["ledger", "batch_journal", "files"]];

/// What the protocol may not mention: no library, no file and no machine's clock.
const NOT_IN_THE_PROTOCOL: &[&str] = &[
    "rusqlite",
    "crate::sqlite",
    "crate::clock",
    "crate::beside",
    "std::fs",
    "std::io",
    "std::path",
    "Instant",
    "SystemTime",
];

/// One source file, without comments and its tests.
struct Source {
    path: PathBuf,
    /// `broker::beanstalkd::wire`, as words.
    module: Vec<String>,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.extend(source(&root, &path));
            }
        }
    }
    assert!(found.len() > 20, "the sources are not where they were");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// `None` for the crate's roots and for files of tests.
fn source(root: &Path, path: &Path) -> Option<Source> {
    let inside = path.strip_prefix(root).unwrap().with_extension("");
    let module: Vec<String> = inside
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    let is_root = matches!(module.as_slice(), [only] if only == "lib" || only == "main");
    if is_root || module.iter().any(|part| part == "tests") {
        return None;
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines: Vec<&str> = code
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect();
    Some(Source {
        path: path.into(),
        module,
        text: lines.join("\n"),
    })
}

impl Source {
    /// Every path below the crate's root that is named, `a::B` or only `a`, groups taken apart.
    fn imports(&self) -> Vec<String> {
        let mut imports = paths_after(&self.text, "crate::");
        // From `a::b`, `super::` is `a` and `super::super::` is the crate's root.
        let root = "super::".repeat(self.module.len());
        imports.extend(paths_after(&self.text, &root));
        imports
    }

    fn names(&self, word: &str) -> bool {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        self.text.match_indices(word).any(|(at, _)| {
            let before = self.text[..at].chars().next_back();
            let after = self.text[at + word.len()..].chars().next();
            !before.is_some_and(part) && !after.is_some_and(part)
        })
    }
}

/// The paths that follow a prefix, as far as their second part: `crate::{a, b::{C, D}}` is `a`, `b::C`, `b::D`.
fn paths_after(text: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        // Not the end of `super::crate_x::`, nor of a longer row of `super::`.
        let before = text[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            take_paths(&text[at + prefix.len()..], "", 2, &mut found);
        }
    }
    found
}

fn take_paths(text: &str, before: &str, deep: u32, found: &mut Vec<String>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        for item in items(group) {
            take_paths(item, before, deep, found);
        }
        return;
    }
    let name: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let path = match (before, name.as_str()) {
        ("", name) => name.to_owned(),
        (before, "" | "self") => before.to_owned(),
        (before, name) => format!("{before}::{name}"),
    };
    match text[name.len()..].strip_prefix("::") {
        Some(rest) if deep > 1 => take_paths(rest, &path, deep - 1, found),
        _ => found.push(path),
    }
}

/// The items of a group whose opening brace was just read.
fn items(text: &str) -> Vec<&str> {
    let (mut items, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(text[begin..at].trim());
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

#[test]
fn paths_are_read_whatever_way_they_are_written() {
    let text = "use crate::a::B; use crate::{c, d::{E, F as G}, h::I::J};\nlet x = crate::k::l(); pub(crate) fn";
    assert_eq!(
        paths_after(text, "crate::"),
        ["a::B", "c", "d::E", "d::F", "h::I", "k::l"]
    );
    let text = "use super::a; use super::super::b::C;";
    assert_eq!(paths_after(text, "super::super::"), ["b::C"]);
    assert_eq!(
        paths_after("use crate::a::{self, B};", "crate::"),
        ["a", "a::B"]
    );
}

#[test]
fn imports_point_one_way() {
    let table: Vec<_> = [CORE, PORTS, SHELL, EDGE].concat();
    let mut wrong = Vec::new();
    for source in sources() {
        let own = &source.module[0];
        let Some((_, allowed)) = table.iter().find(|(name, _)| name == own) else {
            wrong.push(format!(
                "src/{own}: say in tests/it/structure.rs which layer it is of, and what it may import"
            ));
            continue;
        };
        for import in source.imports() {
            let module = import.split("::").next().unwrap();
            let fits = module == own || allowed.iter().any(|a| *a == module || *a == import);
            if !fits {
                wrong.push(format!(
                    "{}: {own} may not import {import}",
                    source.path.display()
                ));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_layer_knows_only_what_is_below() {
    let layers = [CORE, PORTS, SHELL, EDGE];
    for (height, layer) in layers.iter().enumerate() {
        for (name, allowed) in *layer {
            for other in *allowed {
                let module = other.split("::").next().unwrap();
                let below = layers[..=height]
                    .iter()
                    .any(|layer| layer.iter().any(|(name, _)| *name == module));
                assert!(
                    below,
                    "the table lets {name} import {other}, which is above it"
                );
            }
        }
    }
}

#[test]
fn the_core_decides_and_does_nothing() {
    let mut wrong = Vec::new();
    for source in sources() {
        if CORE.iter().any(|(name, _)| *name == source.module[0]) {
            for word in NOT_IN_CORE.iter().filter(|word| source.names(word)) {
                wrong.push(format!("{} names {word}", source.path.display()));
            }
            for path in paths_after(&source.text, "std::") {
                let first = path.split("::").next().unwrap();
                if NOT_IN_CORE.contains(&format!("std::{first}").as_str()) {
                    wrong.push(format!("{} imports std::{path}", source.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_protocol_knows_no_machine() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.module[0] == "ledger") {
        let is_below = |root: &&[&str]| source.module.iter().zip(*root).all(|(a, b)| a == b);
        let of_a_machine = OF_A_MACHINE
            .iter()
            .any(|root| root.len() <= source.module.len() && is_below(root));
        if !of_a_machine {
            let named = NOT_IN_THE_PROTOCOL.iter().filter(|word| source.names(word));
            wrong.extend(named.map(|word| format!("{} names {word}", source.path.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn adapters_of_the_ledger_are_picked_in_one_place() {
    let adapters = ["ledger::sqlite", "ledger::memory"];
    let above = sources();
    let above = above.iter().filter(|source| source.module[0] != "ledger");
    let picks = |source: &&Source| {
        adapters.iter().any(|adapter| source.names(adapter))
            || source
                .imports()
                .iter()
                .any(|import| adapters.contains(&import.as_str()))
    };
    let picking: Vec<_> = above.filter(picks).map(|source| &source.module).collect();
    assert_eq!(picking, [&["cli", "connect"]]);
}

#[test]
fn a_module_with_a_folder_is_a_file_beside_it() {
    let old_layout = |source: &Source| source.module.last().is_some_and(|last| last == "mod");
    for source in sources() {
        let path = source.path.display();
        assert!(
            !old_layout(&source),
            "{path}: name it after its folder, and put it beside that"
        );
    }
}

#[test]
fn adapters_do_not_know_each_other() {
    let sources = sources();
    for (port, adapters) in ADAPTERS {
        for adapter in *adapters {
            let is_there = |source: &Source| source.module.iter().eq([port, adapter]);
            assert!(sources.iter().any(is_there), "{port} has no {adapter}");
        }
        for source in sources.iter().filter(|s| s.module[0] == *port) {
            let own = source.module.get(1).map(String::as_str);
            let Some(own) = own.filter(|own| adapters.contains(own)) else {
                continue;
            };
            let to_port = "super::".repeat(source.module.len() - 1);
            let named = source
                .imports()
                .into_iter()
                .filter_map(|path| path.strip_prefix(&format!("{port}::")).map(str::to_owned))
                .chain(paths_after(&source.text, &to_port));
            for path in named {
                let other = path.split("::").next().unwrap();
                assert!(
                    other == own || !adapters.contains(&other),
                    "{}: one adapter imports another, {other}",
                    source.path.display()
                );
            }
        }
    }
}
