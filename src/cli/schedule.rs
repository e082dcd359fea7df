//! `taskqueue schedule`

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::configured::block_on;
use super::global::Global;
use super::out::out;
use super::{Failure, log, put};
use crate::config::Config;

mod add;
mod next;
mod of;
mod show;

use of::queue_of;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue schedule add nightly --use-tube t --cron '30 2 * * *' --zone Europe/Berlin report
  taskqueue schedule list
  taskqueue schedule next -n 5 nightly

A schedule makes a task each time that it comes. Those of [schedules] in the configuration come and
go with it; those that are added here stay until they are removed. Tenders make the tasks, of all
schedules of the store, each time once; without a tender nothing comes of them.")]
pub struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a schedule, or have it be otherwise
    Add(Box<add::Flags>),
    /// List all schedules
    List(show::ListFlags),
    /// Show one schedule, in words
    Show(show::ShowFlags),
    /// Print when a schedule comes next
    Next(next::Flags),
    /// Have nothing come of a schedule for now
    Pause(NameFlags),
    /// Go on with a schedule; what it missed is not made up for
    Resume(NameFlags),
    /// Make a task of a schedule now
    Run(NameFlags),
    /// Delete a schedule; its tasks stay
    Remove(NameFlags),
}

#[derive(Debug, Args)]
struct NameFlags {
    /// Its name
    name: String,
}

pub fn run(flags: Flags, global: &Global) -> Result<ExitCode, Failure> {
    let load = || global.load();
    match flags.command {
        Command::Add(flags) => add::run(*flags, &load()?),
        Command::List(flags) => show::list(&flags, &load()?),
        Command::Show(flags) => show::show(&flags, &load()?),
        Command::Next(flags) => next::run(&flags, load),
        Command::Pause(flags) => pause(&flags.name, &load()?),
        Command::Resume(flags) => resume(&flags.name, &load()?),
        Command::Run(flags) => by_hand(&flags.name, &load()?),
        Command::Remove(flags) => remove(&flags.name, &load()?),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn pause(name: &str, config: &Config) -> Result<(), Failure> {
    let queue = queue_of(name, config)?;
    let paused = block_on(async { Ok(queue.pause_schedule(name).await?) })?;
    let said = if paused {
        "is paused"
    } else {
        "was paused already"
    };
    Ok(writeln!(out(false), "the schedule {name} {said}")?)
}

fn resume(name: &str, config: &Config) -> Result<(), Failure> {
    let queue = queue_of(name, config)?;
    let resumed = block_on(async { Ok(queue.resume_schedule(name).await?) })?;
    let said = if resumed { "goes on" } else { "was not paused" };
    Ok(writeln!(out(false), "the schedule {name} {said}")?)
}

fn by_hand(name: &str, config: &Config) -> Result<(), Failure> {
    let queue = queue_of(name, config)?;
    let receipt = block_on(async { Ok(queue.run_schedule(name).await?) })?;
    writeln!(out(false), "{}", receipt.id)?;
    put::say_existing(&receipt);
    if let Some(error) = &receipt.trouble {
        log::say(format_args!(
            "taskqueue: warning: {error}\n  the task is recorded, and its job will be put when the broker is back"
        ));
    }
    Ok(())
}

fn remove(name: &str, config: &Config) -> Result<(), Failure> {
    let queue = queue_of(name, config)?;
    let source = block_on(async { Ok(queue.remove_schedule(name).await?) })?;
    writeln!(out(false), "the schedule {name} is removed")?;
    if let Some(file) = source {
        log::say(format_args!(
            "taskqueue: warning: it stands in {file}, and a tender that starts or reads that again makes it anew"
        ));
    }
    Ok(())
}
