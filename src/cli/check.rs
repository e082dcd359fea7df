//! `taskqueue check`: asks whoever would refuse something at a start, at a reload or at a job, and prints their words.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::configured::{block_on, broker};
use super::global::Global;
use super::out::out;
use super::{tender, variables, worker};
use crate::address::BrokerUrl;
use crate::config::{self, Config, Error, Written, line_of};
use crate::process::explain::can_be_started;
use crate::process::folder;
use crate::task::id::WorkerId;
use crate::{broker, connect, ownership};

mod asked;

use asked::Asked;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue check && taskqueue reload
  taskqueue check --config /etc/taskqueue/new.toml --json

Looks whether the configuration can be read and makes sense, its programs are there and may be run, the broker
answers and the store can be written to. Prints the lists of options that tasks in the store would need and that the
configuration lacks: without them such tasks are refused.
Call it as the tender's user, in its folder and with its variables.
It starts nothing, makes no store, and leaves one of an earlier version as it is.
Exits with 0 if nothing is wrong, with 2 if the configuration is, and with 1 if only what it names is.")]
pub struct Flags {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Something that is wrong.
#[derive(Debug)]
struct Finding {
    line: Option<usize>,
    key: Option<String>,
    reason: String,
    /// It is the configuration itself, and not what the configuration names.
    is_usage: bool,
}

/// All that was looked at, and what was found.
#[derive(Debug)]
struct Checked {
    file: Option<PathBuf>,
    is_empty: bool,
    findings: Vec<Finding>,
    /// What is missing for tasks that are in the store. None of it is wrong by itself.
    asked: Asked,
}

pub fn run(flags: Flags, global: &Global) -> Result<ExitCode, Failure> {
    let checked = check(global);
    let mut out = out(flags.json);
    match flags.json {
        true => writeln!(out, "{}", as_json(&checked))?,
        false => print(&mut out, &checked)?,
    }
    Ok(match checked.findings.as_slice() {
        [] => ExitCode::SUCCESS,
        some if some.iter().any(|one| one.is_usage) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}

fn as_json(checked: &Checked) -> Value {
    let of = |one: &Finding| json!({ "line": one.line, "key": one.key, "reason": one.reason });
    let findings: Vec<Value> = checked.findings.iter().map(of).collect();
    let file = checked.file.as_ref().map(|file| file.to_string_lossy());
    let mut checked_as_json =
        json!({ "ok": findings.is_empty(), "file": file, "findings": findings });
    if !checked.asked.is_empty()
        && let Some(object) = checked_as_json.as_object_mut()
    {
        object.insert("missing".into(), checked.asked.as_json());
    }
    checked_as_json
}

fn print(out: &mut impl Write, checked: &Checked) -> io::Result<()> {
    print_findings(out, checked)?;
    match checked.asked.is_empty() {
        true => Ok(()),
        false => write!(out, "\n{}", checked.asked),
    }
}

fn print_findings(out: &mut impl Write, checked: &Checked) -> io::Result<()> {
    let file = checked.file.as_ref().map(|file| file.display());
    for one in &checked.findings {
        if let (Some(file), Some(line)) = (&file, one.line) {
            write!(out, "{file}:{line}: ")?;
        }
        if let Some(key) = &one.key {
            write!(out, "{key}: ")?;
        }
        writeln!(out, "{}", one.reason)?;
    }
    if !checked.findings.is_empty() {
        return Ok(());
    }
    match (&file, checked.is_empty) {
        (Some(file), false) => writeln!(out, "OK: {file}"),
        (Some(file), true) => writeln!(
            out,
            "OK: {file} is empty, and so all defaults; no reload takes it for one that was not"
        ),
        (None, _) => writeln!(out, "OK: no configuration, and so all defaults"),
    }
}

fn check(global: &Global) -> Checked {
    let overrides = global.overrides();
    let written = match config::read(&overrides) {
        Ok(written) => written,
        Err(error) => {
            return Checked {
                file: error.file().map(folder::named),
                is_empty: false,
                findings: vec![wrong(error, &Written::default())],
                asked: Asked::default(),
            };
        }
    };
    let (findings, asked) = match Config::of(written.clone(), &overrides) {
        Ok(mut config) => look(&mut config, global),
        Err(error) => (vec![wrong(error, &written)], Asked::default()),
    };
    Checked {
        asked,
        is_empty: written.is_empty_file(),
        file: written.file.map(|file| folder::named(&file)),
        findings,
    }
}

/// Why there is no configuration, in the configuration's own words.
fn wrong(error: Error, written: &Written) -> Finding {
    let (line, key, reason) = match error {
        Error::Value { key, reason, .. } => (line_of(&written.text, &key), Some(key), reason),
        Error::Syntax { line, reason, .. } => (line, None, reason),
        Error::Unreadable { .. }
        | Error::Distrusted { .. }
        | Error::Store { .. }
        | Error::NoStore => (None, None, error.to_string()),
    };
    Finding {
        line,
        key,
        reason,
        is_usage: true,
    }
}

/// All that a command would stumble over.
fn look(config: &mut Config, global: &Global) -> (Vec<Finding>, Asked) {
    let mut findings = Vec::new();
    let unsettled = config.unsettled();
    let config = &*config;
    let mut found = |key: Option<String>, is_in_file: bool, failure: Failure| {
        let key_in_file = key.as_ref().filter(|_| is_in_file);
        findings.push(Finding {
            line: key_in_file.and_then(|key| line_of(&config.written.text, key)),
            key,
            reason: failure.in_one_line(),
            is_usage: failure.is_usage(),
        });
    };
    for (key, why) in unsettled {
        found(Some(key), true, Failure::usage(why));
    }
    for (key, directory) in config.levels.directories() {
        if !directory.is_dir() {
            let why = format!("there is no directory {}", directory.display());
            found(Some(key), true, Failure::new(why));
        }
    }
    let environment = worker::environment(config);
    for (name, command) in config.commands.configured() {
        let programs = [
            ("run", Some(&command.run)),
            ("cleanup", command.cleanup.as_ref()),
            ("before", command.before.as_ref()),
            ("after", command.after.as_ref()),
        ];
        let conditions = command.conditions.usual();
        let environment = environment.under(&conditions.variables);
        let directory = conditions.directory.as_deref();
        for (key, argv) in programs {
            let Some(program) = argv.and_then(|argv| argv.first()) else {
                continue;
            };
            if let Err(why) = can_be_started(program, &environment, directory) {
                let failure = Failure::new(format!("{program} cannot be started: {why}"));
                found(Some(format!("commands.\"{name}\".{key}")), true, failure);
            }
        }
    }
    for (hook, command) in config.commands.hooks() {
        let conditions = command.conditions.usual();
        let environment = environment.under(&conditions.variables);
        let program = command.run.first().map_or("", String::as_str);
        let started = can_be_started(program, &environment, conditions.directory.as_deref());
        if let Err(why) = started {
            let failure = Failure::new(format!("{program} cannot be started: {why}"));
            found(Some(hook.key()), true, failure);
        }
    }
    for (key, failure) in refused(config, global) {
        found(key, true, failure);
    }
    let asked = store(config).unwrap_or_else(|failure| {
        found(Some("store".into()), global.store.is_none(), failure);
        Asked::default()
    });
    if let Err(failure) = answers(config) {
        found(Some("broker".into()), global.broker.is_none(), failure);
    }
    (findings, asked)
}

/// What a tender of every configured tube would refuse: each key that is wrong, and why. The variables of a tender's
/// flags win here too.
fn refused(config: &Config, global: &Global) -> Vec<(Option<String>, Failure)> {
    let flags: tender::Flags = match variables::flags("tender") {
        Ok(flags) => flags,
        Err(failure) => return vec![(None, failure)],
    };
    let grace = config.grace_period;
    let (mut pools, mut wrong) = (Vec::new(), Vec::new());
    for tube in config.tubes.keys() {
        let key = format!("tubes.\"{tube}\"");
        match tender::pool(tube.clone(), &flags, config, global, grace) {
            Ok(pool) => {
                if let Err(why) = tender::startable(&pool) {
                    wrong.push((Some(key + ".worker_command"), Failure::new(why)));
                }
                pools.push(pool);
            }
            Err(failure) => wrong.push((Some(key), failure)),
        }
    }
    if let Err(unfit) = tender::shared::shared(config, &pools) {
        wrong.push((Some(tender::shared::key(&unfit)), unfit.into()));
    }
    wrong
}

/// Whether the store can be written to, or made, and its tubes be tended; and what its tasks ask for.
fn store(config: &Config) -> Result<Asked, Failure> {
    let store = config.store.canonical()?;
    let mut asked = Asked::default();
    if let Some(mut ledger) = connect::existing(&store)? {
        // As a worker whose store was in trouble does.
        ledger.prove(WorkerId::NOBODY)?;
        asked = Asked::of(&ledger, config)?;
    }
    let tubes: Vec<_> = config.tubes.keys().cloned().collect();
    ownership::could_take(store.beside(), &tubes)?;
    Ok(asked)
}

fn answers(config: &Config) -> Result<(), Failure> {
    match config.broker {
        // It is the store, which is there or is made when something is put.
        BrokerUrl::Embedded => Ok(()),
        BrokerUrl::Beanstalkd { .. } => block_on(async {
            match broker(config).about().await? {
                about if about.draining => Err(broker::Error::Draining.into()),
                _ => Ok(()),
            }
        }),
    }
}
