//! `taskqueue check`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rustix::fs::{Access, access};
use serde_json::{Value, json};

use super::Failure;
use super::configured::{block_on, broker};
use super::failure::next_step;
use super::global::Global;
use super::tender;
use super::worker::environment;
use crate::address::BrokerUrl;
use crate::config::{self, Config, line_of};
use crate::connect;
use crate::process::environment::Environment;
use crate::process::explain;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue check && taskqueue reload
  taskqueue check --config /etc/taskqueue/new.toml --json

Starts nothing and changes nothing. Looks whether the configuration can be read and makes sense, whether its
programs are there and may be run, whether the broker answers and whether the store can be used.
Exits with 0 if nothing is wrong, with 1 if something is, and with 2 if it is the configuration itself.")]
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
}

pub fn run(flags: Flags, global: &Global) -> Result<ExitCode, Failure> {
    let (file, findings, code) = match global.read() {
        Ok(config) => {
            let findings = look(&config);
            let code = u8::from(!findings.is_empty());
            (config.written.file, findings, code)
        }
        Err(error) => {
            let (file, finding) = of_the_configuration(error);
            (file, vec![finding], 2)
        }
    };
    print(flags.json, file.as_deref(), &findings)?;
    Ok(ExitCode::from(code))
}

fn print(json: bool, file: Option<&Path>, findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let file = file.map(|file| file.display().to_string());
    if json {
        let findings: Vec<Value> = findings
            .iter()
            .map(|one| json!({ "line": one.line, "key": one.key, "reason": one.reason }))
            .collect();
        let ok = findings.is_empty();
        return writeln!(
            out,
            "{}",
            json!({ "ok": ok, "file": file, "findings": findings })
        );
    }
    for Finding { line, key, reason } in findings {
        if let Some(key) = key {
            let file = file.as_deref().unwrap_or("no configuration");
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            writeln!(out, "{file}{line}: {key}: {reason}")?;
        } else {
            writeln!(out, "{reason}")?;
        }
    }
    if findings.is_empty() {
        match file {
            Some(file) => writeln!(out, "OK: {file}")?,
            None => writeln!(out, "OK: no configuration, and so all defaults")?,
        }
    }
    Ok(())
}

/// Why there is no configuration, and the file that it is about.
fn of_the_configuration(error: config::Error) -> (Option<PathBuf>, Finding) {
    let whole = |reason: String| Finding {
        line: None,
        key: None,
        reason,
    };
    match error {
        config::Error::Value { path, key, reason } => {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let line = line_of(&text, &key);
            let key = Some(key);
            (Some(path), Finding { line, key, reason })
        }
        config::Error::Syntax { path, reason } => {
            let line = reason
                .split_once("at line ")
                .and_then(|(_, rest)| rest.split([',', '\n']).next()?.parse().ok());
            let reason = format!("the configuration {} is wrong:\n{reason}", path.display());
            let finding = Finding {
                line,
                ..whole(reason)
            };
            (Some(path), finding)
        }
        config::Error::Unreadable { ref path, .. } => {
            (Some(path.clone()), whole(error.to_string()))
        }
        config::Error::NoStore => (None, whole(error.to_string())),
    }
}

/// All that a command would stumble over.
fn look(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut at = |key: String, reason: String| {
        let line = line_of(&config.written.text, &key);
        let key = Some(key);
        findings.push(Finding { line, key, reason });
    };
    let commands = environment(config);
    for (name, command) in config.commands.configured() {
        let program = command.run.first().map_or("", String::as_str);
        if let Err(reason) = can_be_run(program, &commands) {
            at(format!("commands.\"{name}\".run"), reason);
        }
    }
    let workers = Environment::without(&[] as &[&str]);
    for (name, tube) in &config.tubes {
        if let Err(reason) = tender::limits(tube) {
            at(format!("tubes.\"{name}\""), reason);
        }
        let program = tube.worker_command.as_ref().and_then(|words| words.first());
        if let Some(Err(reason)) = program.map(|program| can_be_run(program, &workers)) {
            at(format!("tubes.\"{name}\".worker_command"), reason);
        }
    }
    if let Err(reason) = store(config) {
        at("store".into(), reason);
    }
    if let Err(reason) = answers(config) {
        at("broker".into(), reason);
    }
    findings
}

fn can_be_run(program: &str, environment: &Environment) -> Result<(), String> {
    let found = explain::can_be_started(program, environment);
    found.map_err(|reason| format!("{program} cannot be started: {reason}"))
}

/// Whether the store can be used, or made.
fn store(config: &Config) -> Result<(), String> {
    let opened = connect::existing(&config.store).and_then(|ledger| match ledger {
        Some(ledger) => ledger.counts().map(|_| true),
        None => Ok(false),
    });
    let is_there = opened.map_err(|error| Failure::from(error).to_string())?;
    let file = config.store.beside();
    let first = if is_there { Some(file) } else { file.parent() };
    // The first folder that is there makes the others possible.
    let mut folders = first.into_iter().flat_map(Path::ancestors);
    let Some(there) = folders.find(|folder| folder.exists()) else {
        return Ok(());
    };
    access(there, Access::WRITE_OK)
        .map_err(|error| format!("{} cannot be written to: {error}", there.display()))
}

fn answers(config: &Config) -> Result<(), String> {
    match config.broker {
        // It is the store, which is there or is made when something is put.
        BrokerUrl::Embedded => return Ok(()),
        BrokerUrl::Beanstalkd { .. } => {}
    }
    let asked = block_on(async { Ok(broker(config).about().await) });
    let about = asked.map_err(|failure| failure.to_string())?;
    match about {
        Ok(about) if about.draining => {
            Err("it takes no new jobs: it was sent SIGUSR1, and is to be restarted".into())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(match next_step(&error) {
            Some(next) => format!("{error}; {next}"),
            None => error.to_string(),
        }),
    }
}
