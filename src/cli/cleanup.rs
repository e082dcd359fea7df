//! `taskqueue cleanup`

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Failure;
use crate::config::{Config, duration};
use crate::store::cleanup::Old;
use crate::store::{Db, Millis, now};
use crate::task::state::Status;

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
    let count = match Db::open_existing(&config.store)? {
        None => 0,
        Some(db) if flags.dry_run => db.count_old(&old)?,
        Some(mut db) => db.cleanup(&old, |_| true)?,
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
