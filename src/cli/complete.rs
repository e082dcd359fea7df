//! `taskqueue complete`: what a shell offers for a tube, a command or a task, which the scripts of
//! `taskqueue completions` ask for.
//!
//! The library that makes those scripts has an engine for this too, which it calls unstable. All that is needed of one
//! are these lists.

use std::collections::BTreeSet;
use std::io::Write;

use clap::{Args, ValueEnum};

use super::Failure;
use super::configured::block_on;
use super::global::Global;
use super::out::out;
use crate::api::{Filter, Queue, Status, Task};
use crate::config::Config;
use crate::connect;
use crate::ownership;

/// So many tasks are offered, the newest.
const TASKS: u64 = 50;

#[derive(Debug, Args)]
pub struct Flags {
    /// Of what
    #[arg(value_name = "KIND")]
    kind: Kind,
}

/// What can be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Those that are configured, tended or in use.
    Tubes,
    /// Those that are configured.
    Commands,
    /// The newest, whatever their status.
    Tasks,
    /// The newest that failed or were cancelled.
    Failed,
    /// The newest that wait.
    Waiting,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Tubes,
        Kind::Commands,
        Kind::Tasks,
        Kind::Failed,
        Kind::Waiting,
    ];

    /// As a script says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Tubes => "tubes",
            Kind::Commands => "commands",
            Kind::Tasks => "tasks",
            Kind::Failed => "failed",
            Kind::Waiting => "waiting",
        }
    }
}

/// Prints one a line, and after a tab what it is. Whatever is wrong, there is only less to offer: nobody who presses a
/// key wants to read of it.
pub fn run(flags: &Flags, global: &Global) -> Result<(), Failure> {
    let all = Filter::default();
    let lines = match flags.kind {
        Kind::Tubes => tubes(global).into_iter().collect(),
        Kind::Commands => global
            .load()
            .map(|config| commands(&config))
            .unwrap_or_default(),
        Kind::Tasks => tasks(global, &all).unwrap_or_default(),
        Kind::Failed => {
            let ended = all.status(Status::Failed).status(Status::Cancelled);
            tasks(global, &ended).unwrap_or_default()
        }
        Kind::Waiting => tasks(global, &all.status(Status::Waiting)).unwrap_or_default(),
    };
    let mut out = out(false);
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}

fn tubes(global: &Global) -> BTreeSet<String> {
    let configured = global.load().map(|config| config.tubes).unwrap_or_default();
    let mut tubes: BTreeSet<String> = configured.keys().map(ToString::to_string).collect();
    let Ok(store) = global.store() else {
        return tubes;
    };
    let tended = ownership::tended(store.beside()).unwrap_or_default();
    tubes.extend(tended.iter().map(|tended| tended.tube.to_string()));
    let used = connect::existing(&store).ok().flatten();
    let used = used.and_then(|ledger| ledger.tubes_in_use().ok());
    tubes.extend(used.unwrap_or_default().iter().map(ToString::to_string));
    tubes
}

/// A pattern is no command.
fn commands(config: &Config) -> Vec<String> {
    let names = config
        .commands
        .configured()
        .map(|(name, _)| name.to_string());
    names.filter(|name| !name.contains('*')).collect()
}

fn tasks(global: &Global, filter: &Filter) -> Result<Vec<String>, Failure> {
    let config = global.load()?;
    let Some(queue) = Queue::open_existing(&config.broker, &config.store)? else {
        return Ok(Vec::new());
    };
    let queue = queue.on_this_thread();
    let page = block_on(async { Ok(queue.list(filter, None, TASKS).await?) })?;
    let line = |task: &Task| {
        let command = task.command.as_deref().unwrap_or("-");
        format!("{}\t{} {} {command}", task.id, task.status, task.tube)
    };
    Ok(page.tasks.iter().map(line).collect())
}
