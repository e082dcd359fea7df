//! `taskqueue list`

use std::io::{self, BufWriter, Write};

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Failure;
use super::configured::block_on;
use super::out::out;
use super::print::local;
use crate::api::{Filter, Queue, Status, Task, json};
use crate::config::Config;
use crate::harmless::one_line;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue list --status failed --limit 10
  taskqueue list --use-tube invoices --json | jq -r '.[].uuid'")]
pub struct Flags {
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)),
        help = "Only tasks that are",
        long_help = "Only tasks with this status; stalled: running, and its worker is dead"
    )]
    status: Option<String>,
    /// Only tasks of this tube
    #[arg(long, value_name = "TUBE")]
    use_tube: Option<TubeName>,
    /// Only tasks of this command
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = super::number::any, default_value_t = 100)]
    limit: u64,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<(), Failure> {
    let filter = Filter {
        status: flags.status.as_deref().and_then(Status::from_word),
        tube: flags.use_tube.as_ref().map(TubeName::to_string),
        command: flags.command,
    };
    let mut out = BufWriter::new(out(flags.json));
    begin(&mut out, flags.json)?;
    let count = match Queue::open_existing(&config.broker, &config.store)? {
        Some(queue) => block_on(rows(&mut out, &queue, &filter, flags.limit, flags.json))?,
        None => 0,
    };
    if flags.json {
        out.write_all(if count > 0 { b"\n]\n" } else { b"]\n" })?;
    }
    out.flush()?;
    Ok(())
}

/// Writes a page after the other. How many tasks there were.
async fn rows(
    out: &mut impl Write,
    queue: &Queue,
    filter: &Filter,
    limit: u64,
    json: bool,
) -> Result<u64, Failure> {
    let (mut count, mut below) = (0, None);
    while count < limit {
        let page = queue.list(filter, below, limit - count).await?;
        for task in &page.tasks {
            row(out, task, json, count)?;
            count += 1;
        }
        below = page.next;
        if below.is_none() {
            break;
        }
    }
    Ok(count)
}

fn begin(out: &mut impl Write, json: bool) -> io::Result<()> {
    match json {
        true => out.write_all(b"["),
        false => Ok(()),
    }
}

fn row(out: &mut impl Write, task: &Task, json: bool, count: u64) -> Result<(), Failure> {
    if json {
        out.write_all(if count > 0 { b",\n" } else { b"\n" })?;
        serde_json::to_writer(&mut *out, &json::Task::listed(task)).map_err(io::Error::from)?;
        return Ok(());
    }
    if count == 0 {
        writeln!(
            out,
            "{:>8}  {:9}  {:16}  {:32}  {:>8}  {:19}  FINISHED",
            "ID", "STATUS", "TUBE", "COMMAND", "ATTEMPTS", "CREATED"
        )?;
    }
    writeln!(
        out,
        "{:>8}  {:9}  {:16}  {:32}  {:>8}  {:19}  {}",
        task.id,
        task.status,
        one_line(&task.tube),
        one_line(task.command.as_deref().unwrap_or("-")),
        task.attempts_total,
        local(Some(task.created)),
        local(task.finished),
    )?;
    Ok(())
}
