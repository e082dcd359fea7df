//! `taskqueue schedule`

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::global::Global;

mod next;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue schedule next -n 5 --cron '30 2 * * mon-fri' --zone Europe/Berlin")]
pub struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print when a schedule comes next
    Next(next::Flags),
}

pub fn run(flags: Flags, _global: &Global) -> Result<ExitCode, Failure> {
    match flags.command {
        Command::Next(flags) => next::run(&flags),
    }
    .map(|()| ExitCode::SUCCESS)
}
