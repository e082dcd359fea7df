//! Imports point one way: edge → shell → ports → core. A plain reading of the sources.

use std::fs;
use std::path::Path;

mod circles;
mod services;
mod source;

use source::{Source, files, paths_after, sources};

/// Decisions: no clock, no files, no runtime, no randomness.
const CORE: &[(&str, &[&str])] = &[
    ("backoff", &[]),
    ("crew", &["backoff", "lifecycle", "pool"]),
    // What the system said, in our words.
    ("errno", &[]),
    ("grace", &[]),
    ("harmless", &[]),
    ("lifecycle", &["grace"]),
    ("pool", &["backoff"]),
    ("schedule", &["task", "tube"]),
    ("seconds", &[]),
    ("task", &["tube"]),
    ("tube", &[]),
];

/// One kind of I/O each.
const PORTS: &[(&str, &[&str])] = &[
    // Files and folders beside a store, for whoever keeps some there.
    ("beside", &["file_id", "task", "trust"]),
    // The embedded broker is rows of the store's own file.
    (
        "broker",
        &[
            "clock", "errno", "fd", "lives", "seconds", "sqlite", "thread", "tube",
        ],
    ),
    ("clock", &["task"]),
    (
        "control",
        &["beside", "errno", "file_id", "service", "trust", "tube"],
    ),
    // Where tests let a process die.
    ("crash", &[]),
    // Durations as people write them: a library reads them.
    ("duration", &[]),
    // Descriptors by their numbers, for whoever inherits or watches one.
    ("fd", &[]),
    // Which file is at a name, for whoever has to know it again.
    ("file_id", &[]),
    ("jitter", &[]),
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
    ("link", &["fd"]),
    (
        "lives",
        &[
            "beside", "clock", "errno", "file_id", "ofd", "task", "trust",
        ],
    ),
    // Locks on files, for whoever holds one.
    ("ofd", &[]),
    ("ownership", &["beside", "errno", "ofd", "tube"]),
    ("process", &["fd", "file_id", "lives", "task"]),
    // Bytes for another process, which nobody can change.
    ("sealed", &[]),
    // What runs beside a loop.
    ("service", &["backoff", "crash", "thread"]),
    ("signals", &["service"]),
    // What the ledger in SQLite and the embedded broker share, so that neither knows the other.
    (
        "sqlite",
        &[
            "beside", "clock", "crash", "errno", "file_id", "harmless", "lives", "ofd", "task",
            "trust",
        ],
    ),
    ("thread", &["crash"]),
    // Whose a file is, and whether we believe them.
    ("trust", &["file_id"]),
    // Zones by their names.
    ("zone", &["schedule", "task"]),
];

/// Loops. Neither knows the other: they are processes of their own, and speak through `link`. And what a
/// producer does, which is no loop.
const SHELL: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "broker",
            "clock",
            "control",
            "crash",
            "errno",
            "fd",
            "ledger",
            "ownership",
            "reconcile",
            "schedule",
            "scheduler",
            "seconds",
            "task",
            "thread",
            "tube",
            "zone",
        ],
    ),
    (
        "guard",
        &["ledger", "process", "reconcile", "service", "signals"],
    ),
    (
        "reconcile",
        &[
            "broker", "clock", "crash", "lives", "process", "ledger", "service", "task", "thread",
            "tube",
        ],
    ),
    (
        "scheduler",
        &[
            "broker",
            "clock",
            "crash",
            "ledger",
            "reconcile",
            "schedule",
            "service",
            "task::hooks",
            "zone",
        ],
    ),
    (
        "tender",
        &[
            "backoff",
            "broker",
            "clock",
            "control",
            "crew",
            "grace",
            "guard",
            "harmless",
            "jitter",
            "ledger",
            "lifecycle",
            "link",
            "ownership",
            "pool",
            "process",
            "reconcile",
            "scheduler",
            "service",
            "signals",
            "thread",
            "tube",
        ],
    ),
    (
        "worker",
        &[
            "backoff",
            "broker",
            "clock",
            "crash",
            "duration",
            "grace",
            "jitter",
            "ledger",
            "link",
            "lives",
            "process",
            "reconcile",
            "signals",
            "task",
            "tube",
        ],
    ),
];

/// Flags, environment, files, printing.
const EDGE: &[(&str, &[&str])] = &[
    // How a broker and a store are named.
    ("address", &["trust"]),
    (
        "cli",
        &[
            "address",
            "api",
            "broker",
            "clock",
            "config",
            "connect",
            "control",
            "crash",
            "errno",
            "fd",
            "grace",
            "guard",
            "harmless",
            "ledger",
            "lifecycle",
            "link",
            "ownership",
            "pool",
            "process",
            "reconcile",
            "schedule",
            "scheduler",
            "seconds",
            "service",
            "signals",
            "task",
            "tender",
            "thread",
            "trust",
            "tube",
            "worker",
            "zone",
        ],
    ),
    (
        "config",
        &[
            "address", "clock", "duration", "errno", "pool", "process", "schedule", "sealed",
            "task", "trust", "tube", "zone",
        ],
    ),
    // Which adapter is meant by which name.
    ("connect", &["address", "api", "broker", "ledger"]),
];

/// As many columns a line may have.
const COLUMNS: usize = 120;

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
const OF_A_MACHINE: &[&[&str]] = &[
    &["ledger", "sqlite"],
    &["ledger", "batch_journal", "files"],
    &["ledger", "spool", "files"],
    &["ledger", "whose"],
];

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
    assert_eq!(picking, [&["connect"]]);
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

/// Where the lint against it is off, with a reason.
const UNSAFE: [&str; 6] = [
    "fd",
    "ofd",
    "process::accounts",
    "process::spawn",
    "process::wait",
    "signals",
];

/// The runtime's threads for what blocks panic where none is to be had, and so does its look-up of names.
#[test]
fn nothing_blocks_on_threads_of_the_runtime() {
    let sources = sources();
    for word in ["spawn_blocking", "block_in_place", "lookup_host"] {
        let users = sources.iter().filter(|source| source.names(word));
        let users: Vec<String> = users.map(|source| source.module.join("::")).collect();
        assert!(users.is_empty(), "{word} in {users:?}: use crate::thread");
    }
}

#[test]
fn what_is_unsafe_stands_in_six_files() {
    let sources = sources();
    let allowed = sources.iter().filter(|source| source.names("unsafe_code"));
    let files: Vec<String> = allowed.map(|source| source.module.join("::")).collect();
    assert_eq!(files, UNSAFE);
}

/// A macro of these panics where it cannot write, and whoever writes to stderr waits for its reader.
const ONLY_IN_THE_LOG: [&str; 5] = ["eprintln", "eprint", "println", "print!", "io::stderr"];

#[test]
fn only_the_log_tells_people_anything_on_stderr() {
    let sources = sources();
    let others = sources
        .iter()
        .filter(|source| !source.module.join("::").starts_with("cli::log"));
    let mut wrong = Vec::new();
    for source in others {
        let words = ONLY_IN_THE_LOG.iter().filter(|word| source.names(word));
        wrong.extend(words.map(|word| format!("{} names {word}", source.path.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What prints escapes what strangers wrote, and so whatever prints goes through there. The guard only waits for the
/// end of its stdout.
const MAY_HAVE_STDOUT: [&str; 2] = ["cli::out", "guard"];

#[test]
fn whatever_prints_escapes_what_strangers_wrote() {
    let mut wrong = Vec::new();
    for source in sources() {
        let own = source.module.join("::");
        let words = [
            "io::stdout",
            "stdout()",
            "Stdout",
            "StdoutLock",
            "stdio::stdout",
        ];
        if !MAY_HAVE_STDOUT.contains(&own.as_str()) {
            let used = words.iter().filter(|word| source.names(word));
            wrong.extend(used.map(|word| format!("{} names {word}", source.path.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Rows of tables cannot be cut, and what tests say and expect is left whole: their lines that have a string may be
/// longer.
fn may_be_long(path: &Path, line: &str) -> bool {
    let is_test = path.components().any(|part| {
        let name = part.as_os_str();
        name == "tests" || name == "tests.rs" || name == "benches"
    });
    let is_row = line.trim_start().starts_with("//! |");
    is_row || (is_test && line.contains('"'))
}

#[test]
fn no_line_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for path in ["src", "tests", "benches", "examples"].map(|folder| root.join(folder)) {
        for path in files(&path) {
            let text = fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                let length = line.chars().count();
                let path = path.strip_prefix(root).unwrap();
                if length > COLUMNS && !may_be_long(path, line) {
                    let (path, line) = (path.display(), number + 1);
                    wrong.push(format!("{path}:{line}: {length} columns"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
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
