//! `taskqueue list`

use std::io::{self, BufWriter, Write};

use clap::Args;

use super::configured::{self, block_on};
use super::environment::blame;
use super::filter::FilterFlags;
use super::out::{Out, out};
use super::print::{Zone, now};
use super::{Failure, log, number};
use crate::api::{Filter, Queue, Task, json};
use crate::config::Config;
use crate::task::id::TaskId;

mod columns;

use columns::Table;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue list --status failed --limit 10
  taskqueue list --status failed --status stalled --since 2h
  taskqueue list --status failed --reason timeout
  taskqueue list --use-tube invoices --json | jq -r '.[].uuid'

On a terminal there are as many columns as fit; into a pipe all of them are printed.
Where there are more tasks than are listed, a last line on stderr says so.")]
pub struct Flags {
    #[command(flatten)]
    filter: FilterFlags,
    #[arg(
        long,
        value_name = "N",
        value_parser = number::any,
        help = "At most so many [default: 100]",
        long_help = "At most so many; 0: all of them [default: 100, and all of them with --json]"
    )]
    limit: Option<u64>,
    /// Print times in UTC
    #[arg(long)]
    utc: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// How many are listed to people, who look at the newest.
const USUAL: u64 = 100;

/// How many are counted beyond those that are listed.
const COUNTED: u64 = 20_000;

pub fn run(flags: &Flags, config: &Config) -> Result<(), Failure> {
    let filter = flags.filter.filter()?;
    let limit = match (flags.limit, flags.json) {
        (Some(0), _) | (None, true) => u64::MAX,
        (Some(limit), _) => limit,
        (None, false) => USUAL,
    };
    let queue = configured::existing_queue(config)?;
    let queue = queue.map(Queue::on_this_thread);
    let mut out = BufWriter::new(out(flags.json));
    begin(&mut out, flags.json)?;
    let listed = match &queue {
        Some(queue) => block_on(rows(&mut out, queue, &filter, limit, flags))?,
        None => Listed::default(),
    };
    if flags.json {
        out.write_all(if listed.count > 0 { b"\n]\n" } else { b"]\n" })?;
    }
    out.flush()?;
    drop(out);
    say(&listed, queue.is_some(), &filter, flags, config);
    Ok(())
}

/// What was listed, and what was not.
#[derive(Debug, Default)]
struct Listed {
    count: u64,
    /// So many more there are.
    more: u64,
    /// And others, which were not counted.
    and_others: bool,
}

/// Says what an answer that is empty or cut is the answer to.
fn say(listed: &Listed, is_there: bool, filter: &Filter, flags: &Flags, config: &Config) {
    let store = &config.store;
    let Listed {
        count,
        more,
        and_others,
    } = listed;
    if *more > 0 {
        let of = match and_others {
            true => "more than ",
            false => "",
        };
        let all = count.saturating_add(*more);
        log::note(format_args!("{count} of {of}{all}; --limit 0 for all"));
    }
    if *count > 0 {
        return;
    }
    match (is_there, flags.json, !filter.is_all()) {
        (false, ..) => {
            let next = blame("name another with --store PATH or TASKQUEUE_STORE");
            log::note(format_args!("there is no store {store} yet; {next}"));
        }
        (true, true, _) => {}
        (true, false, true) => log::note(format_args!("no such task is in the store {store}")),
        (true, false, false) => log::note(format_args!("no task is in the store {store}")),
    }
}

/// Writes a page after the other.
async fn rows(
    out: &mut BufWriter<Out>,
    queue: &Queue,
    filter: &Filter,
    limit: u64,
    flags: &Flags,
) -> Result<Listed, Failure> {
    let mut listed = Listed::default();
    let mut table = None;
    let mut below = None;
    while listed.count < limit {
        let page = queue
            .list(filter, below, limit.saturating_sub(listed.count))
            .await?;
        if !flags.json {
            let table =
                table.get_or_insert_with(|| Table::of(&page.tasks, Zone::of(flags.utc), now()));
            table.write(out, &page.tasks, listed.count == 0)?;
        }
        for task in &page.tasks {
            if flags.json {
                row(out, task, listed.count)?;
            }
            listed.count = listed.count.saturating_add(1);
        }
        below = page.next;
        if below.is_none() {
            return Ok(listed);
        }
    }
    // Who says how many knows that there are others.
    if flags.limit.is_none() {
        count_more(&mut listed, queue, filter, below).await?;
    }
    Ok(listed)
}

async fn count_more(
    listed: &mut Listed,
    queue: &Queue,
    filter: &Filter,
    mut below: Option<TaskId>,
) -> Result<(), Failure> {
    while below.is_some() && listed.more < COUNTED {
        let page = queue.list(filter, below, u64::MAX).await?;
        listed.more = listed.more.saturating_add(page.tasks.len() as u64);
        below = page.next;
    }
    listed.and_others = below.is_some();
    Ok(())
}

fn begin(out: &mut impl Write, json: bool) -> io::Result<()> {
    match json {
        true => out.write_all(b"["),
        false => Ok(()),
    }
}

fn row(out: &mut impl Write, task: &Task, count: u64) -> Result<(), Failure> {
    out.write_all(if count > 0 { b",\n" } else { b"\n" })?;
    serde_json::to_writer(&mut *out, &json::Task::listed(task)).map_err(io::Error::from)?;
    Ok(())
}
