//! `taskqueue show`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::Failure;
use super::absent::say_absent;
use super::configured::{self, block_on};
use super::out::out;
use super::print::{Zone, now};
use crate::api::{Queue, json};
use crate::config::Config;
use crate::harmless::{lines, one_line};
use crate::ledger::read::{Attempt, Key, Relative, Report, Task};
use crate::task::id::TaskId;
use crate::task::state::Status;

mod result;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue show 12
  taskqueue show 12 --json | jq -r '.attempts[-1].output'
  taskqueue show --tree 12
  taskqueue show --result 4 5

A task that is not there, or no more: prints gone, exit 1.")]
pub struct Flags {
    /// The task's id, or its uuid
    ///
    /// Several only with --result: those in $TASKQUEUE_PARENTS, from a command
    #[arg(value_name = "ID", value_parser = key, allow_negative_numbers = true, required = true)]
    ids: Vec<Key>,
    /// Draw the tasks that it waits for, and those that wait for these
    ///
    /// Each below what it waits for, with how it stands and its command: 1000 of them at the most, from 20 generations
    /// above it to 20 below
    #[arg(long, conflicts_with = "result")]
    tree: bool,
    /// Print what its command reported as its result, and nothing else
    ///
    /// Of several tasks, a line each, in their order. One that has none: null, and exit 1
    #[arg(long)]
    result: bool,
    /// Print times in UTC
    #[arg(long)]
    utc: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A task, by its number or its uuid.
pub fn key(text: &str) -> Result<Key, String> {
    if let Some(id) = text.parse().ok().filter(|id| *id >= 0) {
        return Ok(Key::Id(TaskId(id)));
    }
    Uuid::parse_str(text).map(Key::Uuid).map_err(|_| {
        format!(
            "'{text}' is neither a task's number, such as 12, nor a uuid; taskqueue list has both"
        )
    })
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let id = match flags.ids.as_slice() {
        [one] => *one,
        _ if flags.result => return result::run(&flags.ids, config),
        _ => {
            return Err(Failure::usage(
                "one task is shown at a time; several with --result",
            ));
        }
    };
    if flags.result {
        return result::run(&flags.ids, config);
    }
    let queue = configured::existing_queue(config)?;
    let queue = queue.map(Queue::on_this_thread);
    let is_there = queue.is_some();
    if let (true, Some(queue)) = (flags.tree, &queue)
        && let Some(tree) = block_on(async { Ok(queue.tree(id).await?) })?
    {
        let mut out = out(flags.json);
        match flags.json {
            true => {
                serde_json::to_writer_pretty(&mut out, &json::Tree::of(&tree))
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            }
            false => write!(out, "{tree}")?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let task = match queue {
        Some(queue) => block_on(async { Ok(queue.show(id).await?) })?,
        None => None,
    };
    let mut out = out(flags.json);
    let Some(task) = task else {
        writeln!(out, "{}", if flags.json { "null" } else { "gone" })?;
        say_absent(&id, is_there, &config.store);
        return Ok(ExitCode::FAILURE);
    };
    if flags.json {
        serde_json::to_writer_pretty(&mut out, &json::Task::whole(&task))
            .map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &task, Zone::of(flags.utc))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, task: &Task, zone: Zone) -> io::Result<()> {
    let mut line = |name: &str, value: &str| {
        // Indented, so that a value of several lines cannot pass for other lines.
        let value = value.trim_end().replace('\n', "\n           ");
        writeln!(out, "{name:9}  {value}")
    };
    line("id", &task.id.to_string())?;
    line("uuid", &task.uuid.to_string())?;
    line("tube", &task.tube)?;
    line("command", task.command.as_deref().unwrap_or("-"))?;
    match &task.body {
        Some(body) => line("body", &excerpt(body))?,
        None => {
            line("arguments", &task.arguments)?;
            line("options", &task.options)?;
        }
    }
    if !task.tags.is_empty() {
        let tags: Vec<String> = task.tags.iter().map(ToString::to_string).collect();
        line("tags", &tags.join(", "))?;
    }
    if let Some(key) = &task.key {
        line("unique", key)?;
    }
    if let Some(schedule) = &task.schedule {
        line("schedule", schedule)?;
    }
    if let Some(own) = &task.own {
        let words = own.words();
        if !words.is_empty() {
            line("asks for", &words)?;
        }
        // Who looks on may see the names. The values may be secrets, and stand in the JSON.
        let names = own.names();
        if !names.is_empty() {
            line("env", &names.join(", "))?;
        }
    }
    line("status", task.status.as_str())?;
    if let Some(reason) = &task.reason {
        line("reason", reason)?;
    }
    if let Some(held) = &task.held {
        line("held", &held.words(now()))?;
    }
    if let Some(said) = &task.report {
        if let Some(progress) = said.words() {
            line("progress", &format!("{progress} ({})", of(said, zone)))?;
        }
        if let Some(result) = &said.result {
            line("result", result)?;
        }
    }
    if task.cancel_asked.is_some() {
        let asked = zone.say(task.cancel_asked);
        line("cancel", &format!("asked for at {asked}"))?;
    }
    if let Some(waits) = &task.waits_for {
        line("waits", &waits.to_string())?;
    }
    if let Some(kin) = &task.kin {
        for (name, tasks, more) in [
            ("parents", &kin.parents, kin.more_parents),
            ("children", &kin.children, kin.more_children),
        ] {
            if !tasks.is_empty() {
                line(name, &relatives(tasks, more))?;
            }
        }
    }
    line("created", &zone.say(Some(task.created)))?;
    if task.due.is_some() {
        line("due", &zone.say(task.due))?;
    }
    line("started", &zone.say(task.started))?;
    line("finished", &zone.say(task.finished))?;
    let older = task
        .attempts_total
        .saturating_sub(task.attempts.len() as u64);
    if older > 0 {
        writeln!(out, "\n({older} older attempts are not shown)")?;
    }
    task.attempts
        .iter()
        .try_for_each(|attempt| print_attempt(out, attempt, zone))
}

/// "4 done, 5 failed"
fn relatives(tasks: &[Relative], more: bool) -> String {
    let relative = |one: &Relative| {
        let stands = one.status.map_or("gone", Status::as_str);
        format!("{} {stands}", one.id)
    };
    let mut all: Vec<String> = tasks.iter().map(relative).collect();
    if more {
        all.push("…".into());
    }
    all.join(", ")
}

fn of(said: &Report, zone: Zone) -> String {
    format!("attempt {}, {}", said.attempt, zone.say(Some(said.at)))
}

fn print_attempt(out: &mut impl Write, attempt: &Attempt, zone: Zone) -> io::Result<()> {
    let ended = match (&attempt.outcome, attempt.exit_code, attempt.signal) {
        (None, ..) => "running".into(),
        (Some(outcome), Some(code), _) => format!("{outcome}, exit code {code}"),
        (Some(outcome), None, Some(signal)) => format!("{outcome}, signal {signal}"),
        (Some(outcome), None, None) => outcome.clone(),
    };
    writeln!(
        out,
        "\nattempt {} by {}: {ended}\n  {} to {}",
        attempt.number,
        one_line(&attempt.worker),
        zone.say(Some(attempt.started)),
        zone.say(attempt.finished),
    )?;
    if let Some(took) = &attempt.took {
        writeln!(
            out,
            "  {:.3} s of CPU ({:.3} s of them the kernel's), {:.1} MB of memory at most",
            took.user.saturating_add(took.system).as_secs_f64(),
            took.system.as_secs_f64(),
            took.peak_memory as f64 / f64::from(1 << 20),
        )?;
    }
    if let Some(reason) = &attempt.reason {
        writeln!(out, "  {}", reason.trim_end().replace('\n', "\n  "))?;
    }
    if let Some(kept) = &attempt.output {
        for line in lines(&kept.to_text()).lines() {
            writeln!(out, "  | {line}")?;
        }
    }
    Ok(())
}

/// The beginning of a body, for people.
fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().nth(SHOWN).is_some() {
        " …"
    } else {
        ""
    };
    format!("{} bytes: {shown}{more}", body.len())
}
