//! `taskqueue schedule next`

use std::io::Write;

use clap::builder::RangedI64ValueParser;
use clap::{Args, value_parser};

use crate::cli::Failure;
use crate::cli::out::out;
use crate::clock;
use crate::schedule::cron::Cron;
use crate::task::Millis;
use crate::zone::Zone;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue schedule next -n 5 --cron '30 2 * * mon-fri' --zone Europe/Berlin
  taskqueue schedule next --cron @hourly --from '2026-03-29 00:00' --zone Europe/Berlin

Prints each time on a line, as RFC 3339 has it, with the zone's offset then.")]
pub struct Flags {
    /// So many times
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = count())]
    count: u32,
    /// Of this expression
    ///
    /// Minute, hour, day of the month, month and weekday; or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "EXPR")]
    cron: String,
    /// By the clock of this zone [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// After this time [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

fn count() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=10_000)
}

pub fn run(flags: &Flags) -> Result<(), Failure> {
    let cron: Cron = flags
        .cron
        .parse()
        .map_err(|fault| Failure::usage(format!("--cron: {fault}")))?;
    let zone =
        Zone::of(flags.zone.as_deref()).map_err(|why| Failure::usage(format!("--zone: {why}")))?;
    let now = clock::now();
    let from = match &flags.from {
        None => now,
        Some(text) => zone
            .read(text, now)
            .map_err(|why| Failure::usage(format!("--from: {why}")))?,
    };
    print(
        &zone,
        cron.after(from.div_euclid(1000), &zone)
            .map(|at| at.saturating_mul(1000)),
        flags.count,
    )
}

fn print(zone: &Zone, times: impl Iterator<Item = Millis>, count: u32) -> Result<(), Failure> {
    let mut out = out(false);
    for at in times.take(count as usize) {
        writeln!(out, "{}", zone.rfc3339(at))?;
    }
    out.flush()?;
    Ok(())
}
