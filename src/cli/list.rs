//! `taskqueue list`

use std::io::{self, BufWriter, Write};

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Failure;
use super::print::{JsonTask, harmless, local};
use crate::config::Config;
use crate::connect;
use crate::ledger::read::{DisplayedStatus, Filter, Task};
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
        value_parser = PossibleValuesParser::new(DisplayedStatus::ALL.map(DisplayedStatus::as_str)),
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
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<(), Failure> {
    let filter = Filter {
        status: flags.status.as_deref().and_then(DisplayedStatus::from_word),
        tube: flags.use_tube.as_ref().map(TubeName::to_string),
        command: flags.command,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written: Result<u64, Failure> = begin(&mut out, flags.json);
    if let Some(db) = connect::existing(&config.store)? {
        db.list(&filter, flags.limit, |task| {
            if let Ok(count) = written {
                written = row(&mut out, &task, flags.json, count).map(|()| count + 1);
            }
            written.is_ok()
        })?;
    }
    let count = written?;
    if flags.json {
        out.write_all(if count > 0 { b"\n]\n" } else { b"]\n" })?;
    }
    out.flush()?;
    Ok(())
}

fn begin(out: &mut impl Write, json: bool) -> Result<u64, Failure> {
    if json {
        out.write_all(b"[")?;
    }
    Ok(0)
}

fn row(out: &mut impl Write, task: &Task, json: bool, count: u64) -> Result<(), Failure> {
    if json {
        out.write_all(if count > 0 { b",\n" } else { b"\n" })?;
        let shape = JsonTask::new(task, false).map_err(io::Error::from)?;
        serde_json::to_writer(&mut *out, &shape).map_err(io::Error::from)?;
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
        task.tube,
        harmless(task.command.as_deref().unwrap_or("-")),
        task.attempts_total,
        local(Some(task.created)),
        local(task.finished),
    )?;
    Ok(())
}
