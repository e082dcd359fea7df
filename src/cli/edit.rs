//! `taskqueue edit`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::bulk::{Bulk, BulkFlags, Deed};
use super::configured::{self, block_on};
use super::{Failure, number, put};
use crate::api::{Edit, NotEdited, Status, Tag};
use crate::config::Config;
use crate::connect;
use crate::ledger::Millis;
use crate::task::payload::Call;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue edit 5 --argument 12 --argument 13 --option format=pdf
  taskqueue edit 5 --at 2026-12-24T18:00:00+01:00 --priority 0
  taskqueue edit --status waiting --tag customer=4711 --delay 1h --yes
  taskqueue edit 5 --max-attempts 20 --retry 5m,10m --task-timeout 1h

Only what waits is changed. What a task is given is that of its command: arguments are replaced by
those that are given, options, tags and variables are added, or have another value; --clear takes
away what there was before, and with own all of --max-attempts, --retry, --task-timeout and --env.
Here --tag says which tasks are meant, and --set-tag what they are called.
A task that another producer's job brought keeps its arguments and options: its body says them.")]
pub struct Flags {
    /// Their jobs' priority; 0 is the most urgent
    #[arg(long, value_name = "N", value_parser = number::small)]
    priority: Option<u32>,
    /// They are due so much later than now
    ///
    /// Seconds, or with a unit, such as 10m or 2d. What waits for other tasks goes on waiting for them, and runs at
    /// that time at the earliest; with 0, as with run-now, it waits no longer
    #[arg(long, value_name = "SECONDS", value_parser = put::delay, conflicts_with = "at")]
    delay: Option<Duration>,
    /// They are due then, such as 2026-12-24T18:00:00Z, or 'tomorrow 9:00'
    #[arg(long, value_name = "TIME", value_parser = put::time)]
    at: Option<Millis>,
    /// Their arguments from now on, one element of the argv each
    #[arg(long = "argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// An option: K=V becomes --K=V, K alone becomes --K
    #[arg(long = "option", value_name = "K[=V]")]
    options: Vec<String>,
    /// A tag: urgent, or customer=4711
    #[arg(long = "set-tag", value_name = "K[=V]")]
    tags: Vec<Tag>,
    /// Take away what there was before
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(["arguments", "options", "tags", "env", "own"])
    )]
    clear: Vec<String>,
    #[command(flatten)]
    own: put::OwnFlags,
    #[command(flatten)]
    bulk: BulkFlags,
}

const DEED: Deed = Deed {
    verb: "edit",
    done: "edited",
    of: &[Status::Waiting],
    only: "only what waits is edited",
};

impl Flags {
    fn edit(&self, config: &Config) -> Result<Edit, Failure> {
        let mut edit = Edit::default();
        if let Some(priority) = self.priority {
            edit = edit.priority(priority);
        }
        if let Some(delay) = self.delay {
            edit = edit.delay(delay);
        }
        if let Some(at) = self.at {
            edit = edit.at(at);
        }
        let clears = |what: &str| self.clear.iter().any(|word| word == what);
        if clears("arguments") || !self.arguments.is_empty() {
            edit = edit.arguments(self.arguments.iter().cloned());
        }
        if clears("options") {
            edit = edit.clear_options();
        }
        if clears("tags") {
            edit = edit.clear_tags();
        }
        if clears("env") {
            edit = edit.clear_env();
        }
        if clears("own") {
            edit = edit.clear_own();
        }
        edit = edit.own(self.own.own()?);
        let options = Call::parse_options(&self.options);
        edit = edit.options(options.map_err(|why| Failure::usage(why.to_string()))?);
        edit = self.tags.iter().cloned().fold(edit, Edit::tag);
        if edit.is_empty() {
            return Err(Failure::usage("taskqueue edit was not told what is to be otherwise").next(
                "say it with --priority, --delay, --at, --argument, --option, --set-tag, --max-attempts, --retry, \
                 --task-timeout, --env or --clear",
            ));
        }
        Ok(edit.within(&config.commands))
    }
}

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let edit = flags.edit(config)?;
    if flags.bulk.filter.which.asks_for("running") {
        return Err(Failure::usage("A task can not be marked as \"running\"")
            .next("--status says which tasks are edited, and only what waits is: leave it out"));
    }
    let bulk = Bulk::of(DEED, &flags.bulk, config)?;
    if connect::existing(&config.store)?.is_none() {
        return bulk.nothing(|id| NotEdited::NoSuchTask { id }.into());
    }
    let queue = configured::queue(config)?;
    block_on(async {
        let act =
            async |chosen: &_, hear: &mut dyn FnMut(&_)| queue.edit_all(chosen, &edit, hear).await;
        bulk.run(&queue, act).await
    })
}
