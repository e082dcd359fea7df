//! `taskqueue wait`

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::absent::no_such_task;
use super::cancel::NO_SUCH_TASK;
use super::configured::{self, block_on};
use super::environment::blame;
use super::filter::FilterFlags;
use super::out::out;
use super::{Failure, log};
use crate::api::{Ended, Filter, Queue, Waited, json};
use crate::config::{Config, duration};
use crate::task::id::TaskId;

/// The time is up, as timeout(1) says it.
pub const TIME_IS_UP: u8 = 124;

/// So many tasks are named that have not ended.
const TOLD: usize = 100;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue wait 5
  taskqueue wait 5,6 --timeout 10m
  taskqueue wait 5 6 7 --any
  taskqueue wait --tag campaign=spring
  taskqueue wait --use-tube mail --status waiting,running --timeout 1h

A task ends once: an attempt that failed and is tried again is no end.
A filter means the tasks that pass it at the beginning, those that have ended by then among them, unless --status
says otherwise; what is put later is not waited for.
Exits with 0 if all of them (with --any: one) are done, 1 if one failed or was cancelled, 124 if the time is up,
3 if there is no such task, or no more.")]
pub struct Flags {
    #[command(flatten)]
    filter: FilterFlags,
    /// Wait for the first of them that ends
    #[arg(long)]
    any: bool,
    /// Wait for so long at most
    ///
    /// Seconds, or with a unit, such as 10m. The tasks go on
    #[arg(long, value_name = "SECONDS", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(flags: &Flags, config: &Config) -> Result<ExitCode, Failure> {
    let filter = flags.filter.filter()?;
    if filter.is_all() {
        return Err(
            Failure::usage("taskqueue wait was not told which tasks are meant").next(
                "name them by their numbers, or by --tag, --use-tube and the like; \
                 or all that have not ended: --status waiting,running,stalled",
            ),
        );
    }
    let queue = configured::existing_queue(config)?;
    let is_store_there = queue.is_some();
    let waited = match queue {
        None => nowhere(&filter, config),
        Some(queue) => block_on(wait(&queue, &filter, flags))?,
    };
    for id in &waited.gone {
        let failure = no_such_task(*id, is_store_there, &config.store);
        log::say(format_args!("taskqueue: {failure}"));
    }
    let code = code(&waited, flags.any);
    if code == TIME_IS_UP {
        say_open(&waited.open);
    }
    print(&waited, flags.json)?;
    Ok(ExitCode::from(code))
}

async fn wait(queue: &Queue, filter: &Filter, flags: &Flags) -> Result<Waited, Failure> {
    let tasks = match filter.only_ids() {
        Some(ids) => ids.to_vec(),
        None => queue.matching(filter).await?,
    };
    if tasks.is_empty() {
        log::say(format_args!("no task is meant, so none is waited for"));
        return Ok(Waited::default());
    }
    // Who names one that is not there hears of it at once, and not when the others have ended.
    let now = queue.wait(&tasks, false, Some(Duration::ZERO)).await?;
    match now.gone.is_empty() {
        false => Ok(now),
        true => Ok(queue.wait(&tasks, flags.any, flags.timeout).await?),
    }
}

/// Where there is no store, there is no task.
fn nowhere(filter: &Filter, config: &Config) -> Waited {
    let mut waited = Waited::default();
    match filter.only_ids() {
        Some(ids) => waited.gone = ids.to_vec(),
        None => {
            let next = blame("name another with --store PATH or TASKQUEUE_STORE");
            let store = &config.store;
            log::say(format_args!("there is no store {store} yet; {next}"));
        }
    }
    waited
}

fn say_open(open: &[TaskId]) {
    let named: Vec<String> = open.iter().take(TOLD).map(TaskId::to_string).collect();
    let others = open.len().saturating_sub(TOLD);
    let (have, named) = (
        match open.len() {
            1 => "one task has",
            _ => "some tasks have",
        },
        named.join(","),
    );
    match others {
        0 => log::say(format_args!(
            "taskqueue: the time is up, and {have} not ended: {named}"
        )),
        _ => log::say(format_args!(
            "taskqueue: the time is up, and {have} not ended: {named} and {others} others"
        )),
    }
}

fn code(waited: &Waited, any: bool) -> u8 {
    if *waited == Waited::default() {
        // Of no tasks none has not ended.
        return 0;
    }
    let mut ended = waited.ended.iter().map(|(_, ended)| *ended);
    let is_done = |ended: Ended| ended == Ended::Done;
    let (has_ended, is_open) = (!waited.ended.is_empty(), !waited.open.is_empty());
    match (any, has_ended, is_open) {
        (..) if !waited.gone.is_empty() => NO_SUCH_TASK,
        (true, true, _) => u8::from(!ended.any(is_done)),
        (true, false, _) | (false, _, true) => TIME_IS_UP,
        (false, _, false) => u8::from(!ended.all(is_done)),
    }
}

fn print(waited: &Waited, as_json: bool) -> io::Result<()> {
    let mut out = out(as_json);
    if as_json {
        serde_json::to_writer(&mut out, &json::Ended::all(waited))?;
        return writeln!(out);
    }
    let mut ended = waited.ended.iter();
    ended.try_for_each(|(id, ended)| match ended {
        Ended::Done => writeln!(out, "task {id} is done"),
        Ended::Failed => writeln!(out, "task {id} has failed"),
        Ended::Cancelled => writeln!(out, "task {id} was cancelled"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_wait_exits_with() {
        use Ended::{Cancelled, Done, Failed};
        // What has ended, whether something has not, whether all or one is waited for, and the code.
        let table: [(&[Ended], bool, bool, u8); 12] = [
            (&[Done, Done], false, false, 0),
            (&[Done, Failed], false, false, 1),
            (&[Cancelled], false, false, 1),
            (&[Done], true, false, 124),
            (&[Failed], true, false, 124),
            (&[], true, false, 124),
            (&[Done], true, true, 0),
            (&[Failed], true, true, 1),
            (&[Failed, Done], true, true, 0),
            (&[Cancelled], false, true, 1),
            (&[], true, true, 124),
            (&[], false, false, 0),
        ];
        for (ended, is_open, any, expected) in table {
            let mut waited = Waited {
                ended: ended.iter().map(|ended| (TaskId(1), *ended)).collect(),
                open: is_open.then_some(TaskId(2)).into_iter().collect(),
                gone: Vec::new(),
            };
            assert_eq!(code(&waited, any), expected, "{ended:?} {is_open} {any}");
            waited.gone.push(TaskId(3));
            assert_eq!(code(&waited, any), 3);
        }
    }
}
