//! `taskqueue schedule next`

use std::io::Write;

use clap::Args;
use clap::builder::RangedI64ValueParser;
use clap::value_parser;

use super::of::queue_of;
use crate::cli::configured::block_on;
use crate::cli::out::out;
use crate::cli::{Failure, log};
use crate::clock;
use crate::config::Config;
use crate::schedule::cron::Cron;
use crate::task::Millis;
use crate::zone::Zone;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue schedule next -n 5 nightly
  taskqueue schedule next -n 5 --cron '30 2 * * mon-fri' --zone Europe/Berlin
  taskqueue schedule next --cron @hourly --from '2026-03-29 00:00' --zone Europe/Berlin

Prints each time on a line, as RFC 3339 has it, with the zone's offset then. With --cron no store is
looked at.")]
pub struct Flags {
    /// Of the schedule of this name
    #[arg(required_unless_present = "cron")]
    name: Option<String>,
    /// So many times
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = count())]
    count: u32,
    /// Of this expression
    ///
    /// Minute, hour, day of the month, month and weekday; or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "EXPR", conflicts_with = "name")]
    cron: Option<String>,
    /// By the clock of this zone [default: this machine's]
    #[arg(long, value_name = "ZONE", conflicts_with = "name")]
    zone: Option<String>,
    /// After this time [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

fn count() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=10_000)
}

pub fn run(flags: &Flags, load: impl FnOnce() -> Result<Config, Failure>) -> Result<(), Failure> {
    match (&flags.name, &flags.cron) {
        (Some(name), _) => of_schedule(name, flags, &load()?),
        (None, Some(cron)) => of_expression(cron, flags),
        (None, None) => Err(Failure::usage(
            "name a schedule, or an expression with --cron",
        )),
    }
}

fn of_expression(cron: &str, flags: &Flags) -> Result<(), Failure> {
    let cron: Cron = cron
        .parse()
        .map_err(|fault| Failure::usage(format!("--cron: {fault}")))?;
    let zone = Zone::of(flags.zone.as_deref());
    let zone = zone.map_err(|why| Failure::usage(format!("--zone: {why}")))?;
    let from = from(flags, &zone)?;
    let times = cron.after(from.div_euclid(1000), &zone);
    let times = times.map(|at| at.saturating_mul(1000));
    print(&zone, times.take(flags.count as usize)).map(drop)
}

fn of_schedule(name: &str, flags: &Flags, config: &Config) -> Result<(), Failure> {
    let queue = queue_of(name, config)?;
    let found = block_on(async { Ok(queue.schedule(name).await?) })?;
    let schedule =
        found.ok_or_else(|| Failure::from(crate::api::Error::NoSchedule { name: name.into() }))?;
    if let Err(why) = schedule.spec() {
        return Err(Failure::new(format!(
            "the schedule {name} makes no sense: {why}"
        )));
    }
    let zone = schedule.zone();
    let from = from(flags, &zone)?;
    let printed = print(&zone, schedule.next(from, flags.count as usize).into_iter())?;
    let why = match (printed, schedule.paused) {
        (1.., _) => return Ok(()),
        (0, Some(_)) => "it is paused",
        (0, None) if schedule.waits_for_an_end() => "it comes again when its task has ended",
        (0, None) => "it does not come again",
    };
    log::say(format_args!(
        "taskqueue: no time of the schedule {name} is known: {why}"
    ));
    Ok(())
}

fn from(flags: &Flags, zone: &Zone) -> Result<Millis, Failure> {
    let now = clock::now();
    match &flags.from {
        None => Ok(now),
        Some(text) => zone
            .read(text, now)
            .map_err(|why| Failure::usage(format!("--from: {why}"))),
    }
}

/// How many there were.
fn print(zone: &Zone, times: impl Iterator<Item = Millis>) -> Result<u64, Failure> {
    let (mut out, mut count) = (out(false), 0);
    for at in times {
        writeln!(out, "{}", zone.rfc3339(at))?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}
