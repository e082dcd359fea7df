//! `taskqueue cancel`

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::bulk::{Bulk, Deed, HowFlags, Refusals, tasks};
use super::configured::{self, block_on};
use super::filter::Which;
use super::out::out;
use crate::api::{
    self, Cancel, Cancelled, Ended, Error, NotCancelled, Queue, Status as Displayed, Summary, json,
};
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
  taskqueue cancel --tag campaign=spring --reason 'the prices are wrong'
  taskqueue cancel --status waiting --reason-has 'is not configured' --yes

What waits is cancelled at once. What runs is told to end (SIGTERM), and is killed with all that it started if it
has not ended after the command's kill_after (5 s); with --now it is killed at once.
A command that exits with 0 before the signal is sent is done, and cancel says so where it knows (--wait), and
exits with 1; any other end after that is cancelled: no attempt is used up, and none follows.
taskqueue regenerate lets a cancelled task run again.
Here --reason says why they are cancelled. Which tasks are meant by the reason that they have now is
said by --reason-has, which is called --reason as well where no other is meant.
Where tasks are meant that are not all named by their numbers, or more than 1000 of these, it
says first how many; on a terminal it asks, and elsewhere it wants --yes.
Exits with 0 for what is cancelled or told to end, 1 if a task was done or had failed, 3 if there is no such task.")]
pub struct Flags {
    #[command(flatten)]
    which: Which,
    /// Only tasks whose reason has this text in it
    ///
    /// Why they are not run, letter for letter
    #[arg(long, value_name = "TEXT")]
    reason_has: Option<String>,
    /// Kill what runs, without asking it to end first
    #[arg(long)]
    now: bool,
    /// Why they are cancelled; show and list tell it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Wait until what runs has ended
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    how: HowFlags,
}

const DEED: Deed = Deed {
    verb: "cancel",
    done: "cancelled",
    of: &[Displayed::Waiting, Displayed::Running, Displayed::Stalled],
    only: "only what waits or runs is cancelled",
};

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
    let filter = flags.which.filter(flags.reason_has.as_deref())?;
    let bulk = Bulk::among(DEED, &flags.how, config, filter)?;
    let Some(queue) = configured::existing_queue(config)? else {
        return nothing(&bulk, &flags.how);
    };
    let how = Cancel {
        now: flags.now,
        reason: flags.reason,
    };
    block_on(async {
        let Some(chosen) = bulk.choose(&queue).await? else {
            return Ok(ExitCode::SUCCESS);
        };
        let mut became = Became::of(&bulk, true);
        let done = queue.cancel_all(&chosen, &how, |answer| became.hear(answer));
        // What was done by then is told.
        let trouble = match done.await {
            Ok(_) => None,
            Err(error) => Some(Failure::from(error)),
        };
        if flags.wait && trouble.is_none() {
            became.wait(&queue).await?;
        }
        became.refusals.end();
        became.print(flags.how.json, chosen.count())?;
        trouble.map_or_else(|| Ok(ExitCode::from(became.code())), Err)
    })
}

/// Where there is no store, there is no task.
fn nothing(bulk: &Bulk<'_>, how: &HowFlags) -> Result<ExitCode, Failure> {
    let refusal = |id: TaskId| NotCancelled::NoSuchTask { id }.into();
    let (Some(ids), false) = (bulk.filter.only_ids(), how.dry_run) else {
        return bulk.nothing(refusal);
    };
    let mut became = Became::of(bulk, false);
    ids.iter()
        .for_each(|id| became.hear(&(*id, Err(refusal(*id)))));
    became.print(how.json, 0)?;
    Ok(ExitCode::from(became.code()))
}

type Answer = api::Answer<Cancelled>;

/// What became of all of them.
struct Became<'a> {
    refusals: Refusals<'a>,
    /// One each, where they were named by their numbers.
    answers: Option<Vec<Answer>>,
    cancelled: u64,
    /// They run, and are told to end.
    asked: Vec<TaskId>,
}

impl<'a> Became<'a> {
    fn of(bulk: &'a Bulk<'a>, is_store_there: bool) -> Became<'a> {
        Became {
            refusals: bulk.refusals(is_store_there),
            answers: bulk.are_named().then(Vec::new),
            cancelled: 0,
            asked: Vec::new(),
        }
    }

    fn hear(&mut self, answer: &Answer) {
        match &answer.1 {
            Ok(Cancelled::Now | Cancelled::Before) => {
                self.cancelled = self.cancelled.saturating_add(1);
            }
            Ok(Cancelled::Asked { .. }) => self.asked.push(answer.0),
            Err(why) => self.refusals.say(answer.0, why),
        }
        if let Some(answers) = &mut self.answers {
            answers.push(answer.clone());
        }
    }

    /// Waits for those that run, and hears what became of them instead.
    async fn wait(&mut self, queue: &Queue) -> Result<(), Failure> {
        let asked = std::mem::take(&mut self.asked);
        if asked.is_empty() {
            return Ok(());
        }
        let waited = queue.wait(&asked, false, None).await?;
        let ended = waited.ended.into_iter().map(|(id, ended)| {
            let became = match ended {
                Ended::Cancelled => Ok(Cancelled::Now),
                Ended::Done => Err(Status::Done),
                Ended::Failed => Err(Status::Failed),
            };
            let ended = |status| NotCancelled::Ended { id, status }.into();
            (id, became.map_err(ended))
        });
        let gone = waited.gone.into_iter();
        let gone = gone.map(|id| (id, Err(NotCancelled::NoSuchTask { id }.into())));
        let became: Vec<Answer> = ended.chain(gone).collect();
        let before = self.answers.take();
        became.iter().for_each(|answer| self.hear(answer));
        let mut became: HashMap<TaskId, Result<Cancelled, Error>> = became.into_iter().collect();
        self.answers = before.map(|answers| {
            let now = |(id, answer)| (id, became.remove(&id).unwrap_or(answer));
            answers.into_iter().map(now).collect()
        });
        Ok(())
    }

    fn code(&self) -> u8 {
        let Some(answers) = &self.answers else {
            return u8::from(self.refusals.count() > 0);
        };
        let codes = answers.iter().map(|(_, answer)| match answer {
            Ok(_) => 0,
            Err(Error::NotCancelled(NotCancelled::NoSuchTask { .. })) => NO_SUCH_TASK,
            Err(_) => 1,
        });
        codes.max().unwrap_or(0)
    }

    fn print(&self, as_json: bool, matched: u64) -> io::Result<()> {
        match &self.answers {
            Some(answers) => print_each(answers, as_json),
            None => self.print_counts(as_json, matched),
        }
    }

    fn print_counts(&self, as_json: bool, matched: u64) -> io::Result<()> {
        let mut out = out(as_json);
        let asked = self.asked.len() as u64;
        if as_json {
            let summary = Summary {
                changed: self.cancelled.saturating_add(asked),
                refused: self.refusals.count(),
                unannounced: None,
            };
            let counts = json::Changed::of(matched, &summary, false).asked(asked);
            serde_json::to_writer(&mut out, &counts)?;
            return writeln!(out);
        }
        writeln!(out, "cancelled {}", tasks(self.cancelled))?;
        match asked {
            0 => Ok(()),
            1 => writeln!(out, "1 task runs, and is told to end"),
            _ => writeln!(out, "{asked} tasks run, and are told to end"),
        }
    }
}

fn print_each(answers: &[Answer], as_json: bool) -> io::Result<()> {
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
