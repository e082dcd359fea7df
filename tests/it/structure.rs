//! Imports point one way: edge → shell → ports → core. A plain reading of the sources.

mod circles;
mod source;

use source::{Source, paths_after, sources};

/// Decisions: no clock, no files, no runtime, no randomness.
const CORE: &[(&str, &[&str])] = &[
    ("backoff", &[]),
    ("crew", &["backoff", "lifecycle", "pool"]),
    ("lifecycle", &[]),
    ("pool", &["backoff"]),
    ("task", &["tube"]),
    ("tube", &[]),
];

/// One kind of I/O each.
const PORTS: &[(&str, &[&str])] = &[
    // The embedded broker is rows of the store's own file.
    ("broker", &["sqlite", "tube"]),
    ("chance", &[]),
    ("control", &["tube"]),
    // Where tests let a process die.
    ("crash", &[]),
    ("link", &[]),
    // Locks on files, for whoever holds one.
    ("ofd", &[]),
    ("process", &["task"]),
    ("signals", &[]),
    // What the store and the embedded broker share, so that neither knows the other.
    ("sqlite", &["crash", "ofd"]),
    // A job's number is the broker's word; nothing else of it is the store's business.
    (
        "store",
        &["broker::JobId", "crash", "sqlite", "task", "tube"],
    ),
    ("tenure", &["ofd", "tube"]),
];

/// Loops. Neither knows the other: they are processes of their own, and speak through `link`. And what a
/// producer does, which is no loop.
const SHELL: &[(&str, &[&str])] = &[
    ("api", &["broker", "crash", "store", "task", "tube"]),
    ("guard", &["process", "reconcile"]),
    (
        "reconcile",
        &["broker", "crash", "process", "store", "task", "tube"],
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
            "tenure",
            "tube",
        ],
    ),
    (
        "worker",
        &[
            "broker",
            "chance",
            "crash",
            "link",
            "process",
            "reconcile",
            "signals",
            "store",
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
            "broker",
            "config",
            "control",
            "crash",
            "guard",
            "lifecycle",
            "link",
            "pool",
            "process",
            "reconcile",
            "signals",
            "store",
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

/// Folders whose files and folders are adapters: they do not know each other.
const ADAPTERS: &[&str] = &["broker"];

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
fn what_is_permitted_is_made_use_of() {
    let sources = sources();
    let mut unused = Vec::new();
    for (name, allowed) in [CORE, PORTS, SHELL, EDGE].concat() {
        let imports: Vec<String> = sources
            .iter()
            .filter(|source| source.module[0] == name)
            .flat_map(Source::imports)
            .collect();
        let used = |permitted: &&&str| {
            let within = format!("{permitted}::");
            imports
                .iter()
                .any(|i| i == **permitted || i.starts_with(&within))
        };
        let idle = allowed.iter().filter(|permitted| !used(permitted));
        unused
            .extend(idle.map(|permitted| format!("{name} does not import {permitted}: forbid it")));
    }
    assert!(unused.is_empty(), "\n{}", unused.join("\n"));
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
    for port in ADAPTERS {
        let mut adapters: Vec<&str> = sources
            .iter()
            .filter(|source| source.module[0] == *port)
            .filter_map(|source| source.module.get(1).map(String::as_str))
            .collect();
        adapters.dedup();
        assert!(!adapters.is_empty(), "{port} has no adapter");
        for source in sources.iter().filter(|s| s.module[0] == *port) {
            let Some(own) = source.module.get(1) else {
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
