//! `taskqueue regenerate`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::configured::block_on;
use super::out::out;
use super::{Failure, log, number};
use crate::api::json::Regenerated;
use crate::api::{Error, NotRegenerated, Queue, Receipt};
use crate::config::Config;
use crate::connect;
use crate::task::id::TaskId;
use crate::tube::TubeName;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue regenerate --id 5
  taskqueue regenerate --id 5,6 --use-tube slow

Only tasks that failed or were cancelled are regenerated (requeued): the same task waits again, keeps its
attempts and gets a fresh budget of them.
One id that cannot be regenerated does not stop the others; the exit code is 1 then.")]
pub struct Flags {
    /// The tasks' ids
    #[arg(long, value_name = "ID[,ID…]", required = true, value_delimiter = ',', value_parser = number::task)]
    id: Vec<i64>,
    /// Put them into this tube from now on
    #[arg(long, value_name = "TUBE")]
    use_tube: Option<TubeName>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let queue = match connect::existing(&config.store)? {
        Some(_) => Some(Queue::open(&config.broker, &config.store)?),
        None => None,
    };
    block_on(async {
        if let Some(queue) = &queue {
            refuse_foreign(&flags, config, queue).await?;
        }
        let mut answers = Vec::with_capacity(flags.id.len());
        for id in flags.id.into_iter().map(TaskId) {
            let regenerated = match &queue {
                Some(queue) => queue.regenerate(id, flags.use_tube.as_ref()).await,
                None => Err(NotRegenerated::NoSuchTask { id }.into()),
            };
            match &regenerated {
                Ok(receipt) => warn(receipt),
                // What holds for one row need not hold for others; what holds for the store does.
                Err(Error::Store(error)) if !error.is_of_one_row() => {
                    return Err(error.clone().into());
                }
                Err(why) => log::say(format_args!("taskqueue: {why}")),
            }
            answers.push((id, regenerated));
        }
        print(&answers, flags.json)?;
        let all_well = answers.iter().all(|(_, answer)| answer.is_ok());
        Ok(match all_well {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    })
}

/// Refuses all of it if one would get into a tube whose workers know nothing of tasks.
async fn refuse_foreign(flags: &Flags, config: &Config, queue: &Queue) -> Result<(), Failure> {
    let refused = |tube: &TubeName, what: String| match config.foreign_worker(tube) {
        None => Ok(()),
        Some(_) => {
            let reason = format!(
                "{what} the tube {tube}, which is served by another program, its worker_command, for which a task of \
                 ours means nothing; nothing was regenerated"
            );
            let next = "name a tube that taskqueue worker serves: --use-tube TUBE";
            Err(Failure::usage(reason).next(next))
        }
    };
    if let Some(tube) = &flags.use_tube {
        return refused(tube, "--use-tube names".to_owned());
    }
    if !config
        .tubes
        .keys()
        .any(|tube| config.foreign_worker(tube).is_some())
    {
        return Ok(());
    }
    for id in flags.id.iter().copied().map(TaskId) {
        // What cannot be read is said by whoever tries it.
        if let Ok(Some(task)) = queue.show(id).await
            && let Ok(tube) = task.tube.parse::<TubeName>()
        {
            refused(&tube, format!("the task {id} is of"))?;
        }
    }
    Ok(())
}

fn warn(receipt: &Receipt) {
    if let Some(error) = &receipt.trouble {
        log::say(format_args!(
            "taskqueue: warning: {error}; task {} is recorded and will be put when the broker is back",
            receipt.id
        ));
    }
}

fn print(answers: &[(TaskId, Result<Receipt, Error>)], as_json: bool) -> io::Result<()> {
    let mut out = out(as_json);
    if as_json {
        let answers = answers.iter();
        let all: Vec<_> = answers
            .map(|(id, answer)| Regenerated::of(*id, answer))
            .collect();
        serde_json::to_writer(&mut out, &all)?;
        return writeln!(out);
    }
    let mut regenerated = answers.iter().filter(|(_, answer)| answer.is_ok());
    regenerated.try_for_each(|(id, _)| writeln!(out, "task {id} was regenerated"))
}
