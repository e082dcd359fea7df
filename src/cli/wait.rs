//! `taskqueue wait`

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::absent::no_such_task;
use super::cancel::NO_SUCH_TASK;
use super::configured::block_on;
use super::out::out;
use super::{Failure, log, number};
use crate::api::{Ended, Queue, Waited, json};
use crate::config::{Config, duration};
use crate::task::id::TaskId;

/// The time is up, as timeout(1) says it.
pub const TIME_IS_UP: u8 = 124;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue wait 5
  taskqueue wait 5,6 --timeout 10m
  taskqueue wait 5 6 7 --any

A task ends once: an attempt that failed and is tried again is no end.
Exits with 0 if all of them (with --any: one) are done, 1 if one failed or was cancelled, 124 if the time is up,
3 if there is no such task, or no more.")]
pub struct Flags {
    /// The tasks' ids
    #[arg(value_name = "ID", required = true, value_delimiter = ',', value_parser = number::task)]
    id: Vec<TaskId>,
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
    let tasks = &flags.id;
    let queue = Queue::open_existing(&config.broker, &config.store)?;
    let is_store_there = queue.is_some();
    let waited = match queue {
        None => Waited {
            gone: tasks.clone(),
            ..Waited::default()
        },
        Some(queue) => block_on(async {
            // Who names one that is not there hears of it at once, and not when the others have ended.
            let now = queue.wait(tasks, false, Some(Duration::ZERO)).await?;
            match now.gone.is_empty() {
                false => Ok(now),
                true => Ok(queue.wait(tasks, flags.any, flags.timeout).await?),
            }
        })?,
    };
    for id in &waited.gone {
        let failure = no_such_task(*id, is_store_there, &config.store);
        log::say(format_args!("taskqueue: {failure}"));
    }
    let code = code(&waited, flags.any);
    if code == TIME_IS_UP {
        let open: Vec<String> = waited.open.iter().map(TaskId::to_string).collect();
        log::say(format_args!(
            "taskqueue: the time is up, and {} not ended: {}",
            if open.len() == 1 {
                "one task has"
            } else {
                "some tasks have"
            },
            open.join(",")
        ));
    }
    print(&waited, flags.json)?;
    Ok(ExitCode::from(code))
}

fn code(waited: &Waited, any: bool) -> u8 {
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
