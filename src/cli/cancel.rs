//! `taskqueue cancel`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::absent::no_such_task;
use super::configured::block_on;
use super::out::out;
use super::{Failure, log, number};
use crate::api::{Cancel, Cancelled, Ended, Error, NotCancelled, Queue, json};
use crate::config::Config;
use crate::task::id::TaskId;
use crate::task::state::Status;

/// There is no such task.
pub const NO_SUCH_TASK: u8 = 3;

/// The longest reason, in bytes: it is in every list.
const REASON: usize = 1000;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue cancel 5
  taskqueue cancel 5,6 --reason 'sent by hand' --wait
  taskqueue cancel 7 --now

What waits is cancelled at once. What runs is told to end (SIGTERM), and is killed with all that it started if it
has not ended after the command's kill_after (5 s); with --now it is killed at once.
A command that exits with 0 before the signal is sent is done, and cancel says so where it knows (--wait), and
exits with 1; any other end after that is cancelled: no attempt is used up, and none follows.
taskqueue regenerate lets a cancelled task run again.
Exits with 0 for what is cancelled or told to end, 1 if a task was done or had failed, 3 if there is no such task.")]
pub struct Flags {
    /// The tasks' ids
    #[arg(value_name = "ID", required = true, value_delimiter = ',', value_parser = number::task)]
    id: Vec<TaskId>,
    /// Kill what runs, without asking it to end first
    #[arg(long)]
    now: bool,
    /// Why; show and list tell it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Wait until what runs has ended
    #[arg(long)]
    wait: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

fn reason(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a reason that says nothing is none; leave --reason out".into()),
        1..=REASON => Ok(text.to_owned()),
        more => Err(format!(
            "a reason has at most {REASON} bytes, and this one {more}"
        )),
    }
}

pub fn run(flags: Flags, config: &Config) -> Result<ExitCode, Failure> {
    let queue = Queue::open_existing(&config.broker, &config.store)?;
    let how = Cancel {
        now: flags.now,
        reason: flags.reason,
    };
    block_on(async {
        let mut answers = Vec::with_capacity(flags.id.len());
        for id in flags.id {
            let cancelled = match &queue {
                Some(queue) => queue.cancel(id, &how).await,
                None => Err(NotCancelled::NoSuchTask { id }.into()),
            };
            if let Err(Error::Store(error)) = &cancelled
                && !error.is_of_one_row()
            {
                return Err(error.clone().into());
            }
            answers.push((id, cancelled));
        }
        if let (true, Some(queue)) = (flags.wait, &queue) {
            wait(queue, &mut answers).await?;
        }
        for (_, cancelled) in &answers {
            if let Err(why) = cancelled {
                let failure = refusal(why, queue.is_some(), config);
                log::say(format_args!("taskqueue: {failure}"));
            }
        }
        print(&answers, flags.json)?;
        Ok(ExitCode::from(code(&answers)))
    })
}

fn refusal(why: &Error, is_store_there: bool, config: &Config) -> Failure {
    match why {
        Error::NotCancelled(NotCancelled::NoSuchTask { id }) => {
            no_such_task(*id, is_store_there, &config.store)
        }
        Error::NotCancelled(NotCancelled::Ended { id, .. }) => Failure::new(why.to_string())
            .next(format!("see how it ended with: taskqueue show {id}")),
        why => why.clone().into(),
    }
}

type Answer = (TaskId, Result<Cancelled, Error>);

/// Waits for those that run, and says what became of them.
async fn wait(queue: &Queue, answers: &mut [Answer]) -> Result<(), Failure> {
    let asked = answers
        .iter()
        .filter(|(_, answer)| matches!(answer, Ok(Cancelled::Asked { .. })));
    let asked: Vec<TaskId> = asked.map(|(id, _)| *id).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let waited = queue.wait(&asked, false, None).await?;
    for (id, ended) in waited.ended {
        let became = match ended {
            Ended::Cancelled => Ok(Cancelled::Now),
            Ended::Done => Err(Status::Done),
            Ended::Failed => Err(Status::Failed),
        };
        let became = became.map_err(|status| NotCancelled::Ended { id, status }.into());
        set(answers, id, became);
    }
    for id in waited.gone {
        set(answers, id, Err(NotCancelled::NoSuchTask { id }.into()));
    }
    Ok(())
}

fn set(answers: &mut [Answer], id: TaskId, became: Result<Cancelled, Error>) {
    let mut of = answers.iter_mut().filter(|(task, _)| *task == id);
    of.by_ref().for_each(|(_, answer)| *answer = became.clone());
}

fn code(answers: &[Answer]) -> u8 {
    let codes = answers.iter().map(|(_, answer)| match answer {
        Ok(_) => 0,
        Err(Error::NotCancelled(NotCancelled::NoSuchTask { .. })) => NO_SUCH_TASK,
        Err(_) => 1,
    });
    codes.max().unwrap_or(0)
}

fn print(answers: &[Answer], as_json: bool) -> io::Result<()> {
    let mut out = out(as_json);
    if as_json {
        let answers = answers.iter();
        let all: Vec<_> = answers
            .map(|(id, answer)| json::Cancelled::of(*id, answer))
            .collect();
        serde_json::to_writer(&mut out, &all)?;
        return writeln!(out);
    }
    for (id, answer) in answers {
        match answer {
            Ok(Cancelled::Now) => writeln!(out, "task {id} was cancelled")?,
            Ok(Cancelled::Before) => writeln!(out, "task {id} was cancelled already")?,
            Ok(Cancelled::Asked { .. }) => {
                writeln!(out, "task {id} runs, and is told to end")?;
            }
            Err(_) => {}
        }
    }
    Ok(())
}
