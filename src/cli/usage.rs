//! What is wrong with a command line, in our words: what, why, and how it is written.

use std::env;
use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::Failure;
use crate::config::near::near;

/// What others call our commands.
const COMMANDS: [(&str, &[&str]); 19] = [
    (
        "put",
        &[
            "add", "push", "enqueue", "submit", "publish", "send", "queue",
        ],
    ),
    ("list", &["ls", "tasks", "jobs", "search", "find"]),
    ("show", &["info", "inspect", "get", "view"]),
    ("logs", &["log", "output", "follow", "tail", "attach"]),
    ("status", &["ps", "top", "stats", "stat"]),
    (
        "regenerate",
        &["retry", "requeue", "redrive", "kick", "rerun", "redo"],
    ),
    ("cleanup", &["prune", "clean", "gc", "vacuum", "expire"]),
    ("delete", &["rm", "remove", "del", "discard", "forget"]),
    ("flush", &["purge", "clear", "empty", "truncate"]),
    ("why", &["diagnose", "reason", "because"]),
    ("edit", &["change", "modify", "update", "set", "reschedule"]),
    ("run-now", &["now", "expedite", "trigger", "due"]),
    (
        "tender",
        &["start", "run", "serve", "supervise", "daemon", "up"],
    ),
    ("worker", &["work", "consume", "process"]),
    ("stop", &["kill", "quit", "shutdown", "down", "terminate"]),
    ("reload", &["restart", "rehash"]),
    ("pause", &["hold", "suspend", "drain"]),
    ("resume", &["unpause", "continue"]),
    (
        "check",
        &["config", "validate", "configtest", "lint", "test"],
    ),
];

/// What others call our flags.
const FLAGS: [(&str, &[&str]); 6] = [
    ("use-tube", &["tube", "tubes", "queue", "queues"]),
    ("store", &["database", "db", "file"]),
    ("broker", &["host", "server", "url", "address"]),
    ("config", &["configuration", "conf"]),
    ("limit", &["max", "count", "number"]),
    ("status", &["state"]),
];

/// The same as a failure of ours. `shape` is the whole command line's.
pub fn failure(error: &clap::Error, shape: &Command) -> Failure {
    let mut built = shape.clone();
    built.build();
    let mut around = &built;
    for name in subcommands(shape) {
        around = around.find_subcommand(name).unwrap_or(around);
    }
    let around = around.clone();
    let among = match around.has_subcommands() {
        true => &around,
        false => shape,
    };
    let (what, hint) = said(error, &around, among);
    let what = Failure::usage(what);
    let next = match error.kind() {
        // How the value is written is said already.
        ErrorKind::ValueValidation => return what,
        ErrorKind::InvalidValue | ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand => {
            return match hint {
                Some(hint) => what.next(hint),
                None => what.next(usage(&around)),
            };
        }
        _ => usage(&around),
    };
    what.next(match hint {
        Some(hint) => format!("{hint}\n  {next}"),
        None => next,
    })
}

/// What must be given, and nothing else.
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    format!("usage: {usage}")
}

/// The subcommand that was named, if there is one of that name, and the one of it.
fn subcommands(shape: &Command) -> Vec<&str> {
    let (mut found, mut around) = (Vec::new(), shape);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some("") => return found,
            Some(flag) => {
                let mut known = shape.get_arguments();
                let known = known.find(|arg| arg.get_long() == Some(flag));
                if known.is_some_and(|arg| arg.get_action().takes_values()) {
                    words.next();
                }
            }
            None if word.starts_with('-') => {}
            None => match around.find_subcommand(word.as_str()) {
                Some(of) => {
                    found.push(of.get_name());
                    around = of;
                }
                None => return found,
            },
        }
    }
    found
}

/// What is wrong, and what may help.
fn said(error: &clap::Error, around: &Command, shape: &Command) -> (String, Option<String>) {
    let arg = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    let name = full_name(around);
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let of = shape.get_bin_name().unwrap_or("taskqueue").replacen(
                "taskqueue",
                "taskqueue help",
                1,
            );
            let hint = format!(
                "the commands are: {}\n  what each does says: {of}",
                names(shape)
            );
            ("no command was named".into(), Some(hint))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            (
                format!("there is no command '{word}'"),
                Some(other_command(&word, shape)),
            )
        }
        ErrorKind::UnknownArgument => unknown(&arg, around),
        ErrorKind::MissingRequiredArgument => (
            format!(
                "{name} needs {}",
                listed(error, ContextKind::InvalidArg, " and ")
            ),
            None,
        ),
        ErrorKind::InvalidValue if value.is_empty() => (
            format!("{} needs a value, and none was given", flag_of(&arg)),
            Some(values(error, &arg)),
        ),
        ErrorKind::InvalidValue => (
            format!("'{value}' is no value of {}", flag_of(&arg)),
            Some(values(error, &arg)),
        ),
        ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            (format!("{}: {why}", plain(&arg)), None)
        }
        ErrorKind::ArgumentConflict => {
            let other = listed(error, ContextKind::PriorArg, " and ");
            let what = match other == arg || other.is_empty() {
                true => format!("{} may be given once only", flag_of(&arg)),
                false => format!("{} and {} exclude each other", plain(&arg), plain(&other)),
            };
            (what, None)
        }
        ErrorKind::TooManyValues => (
            format!("{} takes no value, and got '{value}'", flag_of(&arg)),
            None,
        ),
        ErrorKind::InvalidUtf8 => (
            "an argument is not UTF-8, which only the paths of files may be".into(),
            None,
        ),
        _ => {
            let said = error.to_string();
            let first = said.lines().next().unwrap_or_default();
            (first.trim_start_matches("error: ").to_owned(), None)
        }
    }
}

/// A flag, a variable or an argument without what stands for its value.
fn flag_of(arg: &str) -> &str {
    match arg.starts_with("--") {
        true => arg.split([' ', '=']).next().unwrap_or(arg),
        false => arg,
    }
}

/// A flag or an argument as it is written.
fn plain(arg: &str) -> &str {
    flag_of(arg)
        .trim_end_matches("...")
        .trim_matches(['[', ']'])
}

/// What may be given.
fn values(error: &clap::Error, arg: &str) -> String {
    match listed(error, ContextKind::ValidValue, ", ") {
        none if none.is_empty() => format!("write: {arg}"),
        values => format!("it is one of: {values}"),
    }
}

/// What to write instead of something that there is not.
fn unknown(arg: &str, around: &Command) -> (String, Option<String>) {
    let name = full_name(around);
    let has = |flag: &str| {
        around
            .get_arguments()
            .any(|arg| arg.get_long() == Some(flag))
    };
    let Some(flag) = arg.strip_prefix("--") else {
        if arg.starts_with('-') {
            let hint = takes_arguments(around).then(|| AFTER_HYPHENS.to_owned());
            return (format!("{name} has no flag {arg}"), hint);
        }
        let is_number = arg.bytes().all(|byte| byte.is_ascii_digit());
        let hint = match (is_number && has("id"), has("use-tube")) {
            (true, _) => Some(format!("tasks are named with: --id {arg}")),
            (false, true) => Some(format!("a tube is named with: --use-tube {arg}")),
            (false, false) => None,
        };
        return (
            format!("{name} takes no further argument, and got '{arg}'"),
            hint,
        );
    };
    let flag = flag.split('=').next().unwrap_or(flag);
    let longs = around.get_arguments().filter_map(Arg::get_long);
    let hint = match other_name(&FLAGS, flag).filter(|other| has(other)) {
        Some(other) => Some(format!("there is --{other}")),
        None => match near(flag, longs) {
            near if near.is_empty() => takes_arguments(around).then(|| AFTER_HYPHENS.to_owned()),
            near => Some(format!("there is --{}", near.join(", --"))),
        },
    };
    (format!("{name} has no flag --{flag}"), hint)
}

/// Said where a task's arguments are given.
const AFTER_HYPHENS: &str = "a task's options are given as --option K=V, and its arguments that begin with a hyphen, \
    but for numbers, after --; its command takes those where the configuration says dash_arguments = true";

fn takes_arguments(around: &Command) -> bool {
    around
        .get_arguments()
        .any(|arg| arg.get_long() == Some("option"))
}

fn other_command(word: &str, shape: &Command) -> String {
    let shown = || {
        shape
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
    };
    let found = match other_name(&COMMANDS, word) {
        Some(other) => vec![other],
        None => near(word, shown().map(Command::get_name)),
    };
    let told = shown().filter(|command| found.contains(&command.get_name()));
    let mut lines: Vec<String> = told
        .map(|command| {
            let about = command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            format!("taskqueue {}: {about}", command.get_name())
        })
        .collect();
    lines.push("all commands: taskqueue help".into());
    lines.join("\n  ")
}

fn names(shape: &Command) -> String {
    let shown = shape
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names: Vec<&str> = shown.map(Command::get_name).collect();
    names.join(", ")
}

fn full_name(around: &Command) -> String {
    around
        .get_bin_name()
        .unwrap_or(around.get_name())
        .to_owned()
}

fn other_name(of: &[(&'static str, &[&str])], word: &str) -> Option<&'static str> {
    let mut of = of.iter();
    of.find(|(_, others)| others.contains(&word))
        .map(|(ours, _)| *ours)
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn listed(error: &clap::Error, kind: ContextKind, between: &str) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(between),
        _ => String::new(),
    }
}
