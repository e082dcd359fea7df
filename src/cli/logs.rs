//! `taskqueue logs`

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::absent::no_task;
use super::configured::{self, block_on};
use super::out::{self, Out, as_it_is, out};
use super::print::Zone;
use super::show::key;
use super::{Failure, log, number};
use crate::api::{Attempt, Error, Key, Logged, Logs, json};
use crate::config::Config;
use crate::ledger::Millis;
use crate::task::id::TaskId;

mod pieces;

use pieces::{Characters, Lines};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue logs 12
  taskqueue logs 12 --follow
  taskqueue logs 12 --attempt 1 > output
  taskqueue logs 12 --follow --json | jq -r '.line // empty'

Of an attempt that has ended, the first and the last 64 KiB are kept. Of one that runs, what it has
printed so far: that can be read once it has run for 20 ms. Both streams are printed as one.
On a terminal, what it would obey is escaped; a file or a pipe gets the very bytes that the command
printed. What else there is to say goes to stderr.
With --follow it ends when the task is done, failed or cancelled. No command waits for who reads
what it prints: who is slower misses bytes, and is told how many.
There is no such task: exit 3.")]
pub struct Flags {
    /// The task's id, or its uuid
    #[arg(value_name = "ID", value_parser = key)]
    id: Key,
    /// Go on while the command prints, and with the task's next attempts
    #[arg(long, short)]
    follow: bool,
    #[arg(
        long,
        value_name = "N",
        value_parser = number::from_1,
        help = "Only this attempt [default: the newest]",
        long_help = "Only this attempt, counted from 1 [default: the newest; with --follow, those after it too]"
    )]
    attempt: Option<u64>,
    /// Print an object of JSON for each line
    #[arg(long)]
    json: bool,
}

/// How often it is looked whether anybody reads on.
const READS_ON: Duration = Duration::from_millis(250);

pub fn run(flags: &Flags, config: &Config) -> Result<(), Failure> {
    let Some(queue) = configured::existing_queue(config)? else {
        return Err(gone(&flags.id, false, config));
    };
    let mut logs = queue.logs(flags.id);
    if let Some(number) = flags.attempt {
        logs = logs.attempt(i64::try_from(number).unwrap_or(i64::MAX));
    }
    if flags.follow {
        logs = logs.follow();
    }
    let mut printer = Printer::of(flags);
    block_on(async {
        while let Some(logged) = next(&mut logs).await.map_err(|error| match error {
            Error::NoSuchTask { key } => gone(&key, true, config),
            error => error.into(),
        })? {
            let task = logs.task().unwrap_or(TaskId::BEFORE_ALL);
            printer.print(task, &logged)?;
        }
        Ok(())
    })?;
    printer.end(logs.task())
}

fn gone(key: &Key, is_store_there: bool, config: &Config) -> Failure {
    no_task(key, is_store_there, &config.store).gone()
}

/// What comes next; nothing where nobody reads on.
async fn next(logs: &mut Logs) -> Result<Option<Logged>, Error> {
    let mut next = pin!(logs.next());
    loop {
        tokio::select! {
            logged = &mut next => return logged,
            () = sleep(READS_ON) => {
                if out::is_abandoned() {
                    return Ok(None);
                }
            }
        }
    }
}

/// How it is printed.
struct Printer {
    way: Way,
    follows: bool,
    /// The last attempt whose end was heard of, and whether something is to be said of that.
    ended: Option<(Attempt, bool)>,
    /// There is an answer, on whatever stream.
    has_answered: bool,
}

enum Way {
    /// For people.
    Text(Out, Characters),
    /// As the command printed it.
    Bytes,
    /// For programs.
    Json(Out, Lines),
}

impl Printer {
    fn of(flags: &Flags) -> Printer {
        let way = match (flags.json, out::is_terminal()) {
            (true, _) => Way::Json(out(true), Lines::default()),
            (false, true) => Way::Text(out(false), Characters::default()),
            (false, false) => Way::Bytes,
        };
        Printer {
            way,
            follows: flags.follow,
            ended: None,
            has_answered: false,
        }
    }

    fn print(&mut self, task: TaskId, logged: &Logged) -> Result<(), Failure> {
        match logged {
            Logged::Waits { attempt, due } => self.waits(task, *attempt, *due),
            Logged::Stalled { attempt } => {
                self.has_answered = true;
                log::say(format_args!(
                    "the worker of attempt {attempt} of task {task} is dead; a tender, the next worker, or taskqueue \
                     reconcile records that"
                ));
            }
            Logged::Output {
                attempt,
                offset,
                bytes,
            } => {
                self.goes_on_with(task, *attempt);
                self.has_answered = true;
                self.way.output(task, *attempt, *offset, bytes)?;
            }
            Logged::Missed {
                attempt,
                offset,
                bytes,
            } => {
                self.goes_on_with(task, *attempt);
                self.has_answered = true;
                self.way.missed(task, *attempt, *offset, *bytes)?;
            }
            Logged::Ended(attempt) => {
                self.goes_on_with(task, attempt.number);
                self.way.ended(task, attempt)?;
                self.ended = Some((attempt.clone(), true));
            }
        }
        Ok(())
    }

    /// Says that the task waits: for its first attempt only to people, and to whoever does not wait with it.
    fn waits(&mut self, task: TaskId, attempt: i64, due: Option<Millis>) {
        let due = match due {
            Some(due) => format!("; it may run from {} on", Zone::System.say(Some(due))),
            None => String::new(),
        };
        if let Some((ended, true)) = &self.ended {
            let how = how(ended);
            log::say(format_args!(
                "attempt {attempt} of task {task}: {how}; waits for the next one{due}"
            ));
            self.is_said();
        } else if log::is_seen() || !self.follows {
            let said = match attempt {
                0 => format!("no attempt of task {task} has begun{due}"),
                _ => format!(
                    "attempt {attempt} of task {task} has ended; waits for the next one{due}"
                ),
            };
            log::say(format_args!("{said}"));
        }
        self.has_answered = true;
    }

    /// Says so where another attempt than before is printed.
    fn goes_on_with(&mut self, task: TaskId, attempt: i64) {
        if let Some((ended, is_news)) = &self.ended
            && ended.number != attempt
        {
            if *is_news {
                let (number, how) = (ended.number, how(ended));
                log::say(format_args!(
                    "attempt {number} of task {task}: {how}; goes on with attempt {attempt}"
                ));
            }
            self.ended = None;
        }
    }

    fn is_said(&mut self) {
        if let Some((_, is_news)) = &mut self.ended {
            *is_news = false;
        }
    }

    /// Nothing more comes.
    fn end(mut self, task: Option<TaskId>) -> Result<(), Failure> {
        self.way.end(task)?;
        let Some(task) = task else {
            return Ok(());
        };
        match (&self.ended, self.has_answered) {
            (Some((attempt, true)), _) if self.follows => {
                if log::is_seen() {
                    let (number, how) = (attempt.number, how(attempt));
                    log::say(format_args!("attempt {number} of task {task}: {how}"));
                }
            }
            (_, true) => {}
            (Some((attempt, _)), false) => {
                let number = attempt.number;
                log::say(format_args!(
                    "attempt {number} of task {task} printed nothing"
                ));
            }
            (None, false) if self.follows => {}
            (None, false) => {
                log::say(format_args!(
                    "the command of task {task} has printed nothing yet"
                ));
            }
        }
        Ok(())
    }
}

/// How an attempt has ended, as `show` says it.
fn how(attempt: &Attempt) -> String {
    let outcome = attempt.outcome.as_deref().unwrap_or("ended");
    match (attempt.exit_code, attempt.signal) {
        (Some(code), _) => format!("{outcome}, exit code {code}"),
        (None, Some(signal)) => format!("{outcome}, signal {signal}"),
        (None, None) => outcome.to_owned(),
    }
}

impl Way {
    fn output(
        &mut self,
        task: TaskId,
        attempt: i64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        match self {
            Way::Text(out, characters) => {
                out.write_all(&characters.whole(bytes))?;
                out.flush()?;
            }
            Way::Bytes => {
                let mut out = as_it_is();
                out.write_all(bytes)?;
                out.flush()?;
            }
            Way::Json(out, lines) => {
                lines.push(attempt, offset, bytes);
                while let Some((offset, line)) = lines.next() {
                    object(out, &json::Logged::line(task, attempt, offset, &line))?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }

    fn missed(
        &mut self,
        task: TaskId,
        attempt: i64,
        offset: u64,
        missed: u64,
    ) -> Result<(), Failure> {
        self.end(Some(task))?;
        match self {
            Way::Text(out, _) => {
                writeln!(out, "\n[… {missed} bytes left out …]")?;
                out.flush()?;
            }
            Way::Bytes => log::say(format_args!(
                "after the first {offset} bytes of attempt {attempt}, {missed} bytes are left out"
            )),
            Way::Json(out, _) => {
                object(out, &json::Logged::missed(task, attempt, offset, missed))?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, task: TaskId, attempt: &Attempt) -> Result<(), Failure> {
        self.end(Some(task))?;
        if let Way::Json(out, _) = self {
            object(out, &json::Logged::ended(task, attempt))?;
            out.flush()?;
        }
        Ok(())
    }

    /// What was held back since it is no whole character, or no whole line.
    fn end(&mut self, task: Option<TaskId>) -> Result<(), Failure> {
        match self {
            Way::Text(out, characters) => {
                out.write_all(&characters.rest())?;
                out.flush()?;
            }
            Way::Bytes => {}
            Way::Json(out, lines) => {
                if let (Some(task), Some((attempt, offset, line))) = (task, lines.rest()) {
                    object(out, &json::Logged::line(task, attempt, offset, &line))?;
                    out.flush()?;
                }
            }
        }
        Ok(())
    }
}

/// An object, on a line of its own.
fn object(out: &mut Out, object: &json::Logged<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}
