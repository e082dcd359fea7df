//! `taskqueue cleanup`

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Failure;
use super::configured::{block_on, broker};
use crate::broker::JobId;
use crate::clock::now;
use crate::config::{Config, duration};
use crate::connect;
use crate::ledger::cleanup::{Old, Unsure};
use crate::ledger::{self, Ledger, Millis};
use crate::task::fingerprint::fingerprint;
use crate::task::id::TaskId;
use crate::task::state::Status;

/// Bodies asked for and held at once.
const AT_ONCE: usize = 64;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue cleanup --period 86400
  taskqueue cleanup --period 30d --status failed --status cancelled
  17 4 * * *  taskqueue cleanup --period 7d     (a crontab line)")]
pub struct Flags {
    /// Delete what ended longer ago than this
    ///
    /// Seconds, or with a unit, such as 12h or 30d
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse)]
    period: Duration,
    /// Delete tasks that ended so [default: done]
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = PossibleValuesParser::new(["done", "failed", "cancelled"])
    )]
    status: Vec<String>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<(), Failure> {
    let statuses: Vec<Status> = match flags.status.as_slice() {
        [] => vec![Status::Done],
        words => words.iter().filter_map(|w| Status::from_word(w)).collect(),
    };
    let period = Millis::try_from(flags.period.as_millis()).unwrap_or(Millis::MAX);
    let old = Old {
        statuses,
        before: now().saturating_sub(period),
    };
    let count = match connect::existing(&config.store)? {
        None => 0,
        Some(db) if flags.dry_run => db.count_old(&old)?,
        Some(mut db) => {
            block_on(async { ask_for_jobs(config, &mut db, &old).await })?;
            db.cleanup(&old, |_| true)?
        }
    };
    let verb = if flags.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    let mut out = io::stdout().lock();
    if flags.json {
        writeln!(
            out,
            "{{\"deleted\":{},\"would_delete\":{}}}",
            if flags.dry_run { 0 } else { count },
            if flags.dry_run { count } else { 0 }
        )?;
    } else {
        let noun = if count == 1 { "task" } else { "tasks" };
        writeln!(out, "{verb} {count} {noun}")?;
    }
    Ok(())
}

/// A worker notes when a producer's own job has gone, and may die before it can. Whether such a job is still there,
/// the broker knows; where it cannot be asked, these tasks stay.
async fn ask_for_jobs(config: &Config, db: &mut Ledger, old: &Old) -> Result<(), Failure> {
    let mut broker = broker(config);
    let (mut after, mut elsewhere) = (TaskId::BEFORE_ALL, 0);
    loop {
        let mut unsure = db.unsure(old, after)?;
        let Some(last) = unsure.last() else {
            break;
        };
        after = last.id;
        let instance = match broker.instance().await {
            Ok(instance) => instance,
            Err(error) => return warn(&error),
        };
        let all = unsure.len();
        unsure = of_this_broker(db, unsure, &instance)?;
        elsewhere += all - unsure.len();
        let mut gone = Vec::new();
        for some in unsure.chunks(AT_ONCE) {
            let jobs: Vec<JobId> = some.iter().map(|task| task.job).collect();
            let bodies = match broker.peek_all(&jobs).await {
                Ok(bodies) => bodies,
                Err(error) => return warn(&error),
            };
            for (task, body) in some.iter().zip(bodies) {
                // Another body under its number is a job of another instance of the broker.
                let there = body.is_some_and(|body| fingerprint(&body) == task.hash);
                gone.extend((!there).then_some(task.id));
            }
        }
        db.note_deleted(&gone)?;
    }
    match elsewhere {
        0 => Ok(()),
        tasks => warn(&format_args!(
            "{tasks} came from another broker than this one"
        )),
    }
}

fn warn(why: &dyn Display) -> Result<(), Failure> {
    let mut stderr = io::stderr();
    writeln!(
        stderr,
        "taskqueue: warning: {why}; tasks stay whose jobs may be there"
    )?;
    Ok(())
}

/// Those of which this broker knows whether their jobs are there: it had them, or has had later ones of their tube, and
/// so was started in the place of the one that had them. Another would say of all that they are gone.
fn of_this_broker(
    db: &Ledger,
    unsure: Vec<Unsure>,
    instance: &str,
) -> Result<Vec<Unsure>, ledger::Error> {
    let mut been: HashMap<String, bool> = HashMap::new();
    let mut ours = Vec::with_capacity(unsure.len());
    for task in unsure {
        let known = match been.get(&task.tube) {
            Some(known) => *known,
            None => {
                let known = db.has_been_at(&task.tube, instance)?;
                been.insert(task.tube.clone(), known);
                known
            }
        };
        if known || task.instance == instance {
            ours.push(task);
        }
    }
    Ok(ours)
}
