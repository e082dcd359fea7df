//! `taskqueue cleanup`

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::configured::{self, block_on};
use super::out::out;
use super::{Failure, log};
use crate::api::{Cleaned, Cleanup, Ended, json};
use crate::config::{Config, duration};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue cleanup --period 86400
  taskqueue cleanup --period 30d --status failed --status cancelled
  17 4 * * *  taskqueue cleanup --period 7d     (a crontab line)

Purges the record of tasks that have ended. What waits or runs is never deleted.
Of a task that another producer put and that was refused, the buried job goes too.")]
pub struct Flags {
    /// Delete what ended longer ago than this
    ///
    /// Seconds, or with a unit, such as 12h or 30d
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = duration::parse,
        required_unless_present = "compact"
    )]
    period: Option<Duration>,
    /// Delete tasks that ended so [default: done]
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = PossibleValuesParser::new(Ended::ALL.map(Ended::as_str))
    )]
    status: Vec<String>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    #[arg(
        long,
        conflicts_with = "dry_run",
        help = "Write the store anew, without free room",
        long_help = "Write the store anew, without free room, as a store that an earlier version made needs it once to \
                     become shorter from then on. No worker may live, and it takes as much room again as is in use, \
                     beside the store and in TMPDIR"
    )]
    compact: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<(), Failure> {
    let mut cleanup = Cleanup::older_than(flags.period.unwrap_or(Duration::MAX));
    for ended in flags
        .status
        .iter()
        .filter_map(|word| Ended::from_word(word))
    {
        cleanup = cleanup.ended(ended);
    }
    if flags.dry_run {
        cleanup = cleanup.dry_run();
    }
    if flags.compact {
        cleanup = cleanup.compact();
    }
    let cleaned = match configured::existing_queue(config)? {
        Some(queue) => block_on(async {
            let cleaned = queue.cleanup(&cleanup).await?;
            if !flags.dry_run {
                queue.forget_events(config.events).await?;
            }
            Ok(cleaned)
        })?,
        None => Cleaned::default(),
    };
    for why in &cleaned.kept {
        log::warn(format_args!("{why}"));
    }
    if cleaned.stuck >= WORTH_A_WORD {
        log::note(format_args!(
            "taskqueue: {} of the store hold nothing, and it cannot give them back, for an earlier version made it; \
             run once, while no worker lives: taskqueue cleanup --compact",
            mb(cleaned.stuck)
        ));
    }
    let mut out = out(flags.json);
    if flags.json {
        serde_json::to_writer(&mut out, &json::Cleaned::of(&cleaned)).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let (verb, count) = match flags.dry_run {
        true => ("would delete", cleaned.would_delete),
        false => ("deleted", cleaned.deleted),
    };
    let noun = if count == 1 { "task" } else { "tasks" };
    match cleaned.given_back {
        0..WORTH_A_WORD => writeln!(out, "{verb} {count} {noun}")?,
        bytes => writeln!(out, "{verb} {count} {noun}; gave back {}", mb(bytes))?,
    }
    Ok(())
}

/// What is given back is told from so many bytes on.
const WORTH_A_WORD: u64 = 1 << 20;

fn mb(bytes: u64) -> String {
    format!("{} MB", bytes >> 20)
}
