//! What every command has that does something to many tasks: which are meant, how many, and whether that is meant.

mod deed;
mod refusals;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;

use super::environment::blame;
use super::filter::FilterFlags;
use super::out::out;
use super::{Failure, log};
use crate::api::{Answer, Chosen, Error, Filter, Queue, Summary, json};
use crate::config::Config;
use crate::task::id::TaskId;

pub use deed::Deed;
pub use refusals::Refusals;

/// Which tasks, and how they are gone about.
#[derive(Debug, Args)]
pub struct BulkFlags {
    #[command(flatten)]
    pub filter: FilterFlags,
    #[command(flatten)]
    pub how: HowFlags,
}

/// How they are gone about.
#[derive(Debug, Args)]
pub struct HowFlags {
    /// All tasks with which it can be done
    #[arg(long)]
    all: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Only count them
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    ///
    /// An array with an object for each task that was named by its number; where none was, an object that counts
    #[arg(long)]
    pub json: bool,
}

impl HowFlags {
    /// Those of a command that says by itself which tasks are meant.
    pub fn of(yes: bool, dry_run: bool, json: bool) -> HowFlags {
        HowFlags {
            all: false,
            yes,
            dry_run,
            json,
        }
    }
}

/// What is to be done to which tasks.
pub struct Bulk<'a> {
    pub deed: Deed,
    pub config: &'a Config,
    /// Also where no task is meant: something else is done then.
    anyway: bool,
    flags: &'a HowFlags,
    pub filter: Filter,
}

impl<'a> Bulk<'a> {
    /// What the flags mean.
    ///
    /// # Errors
    /// When they mean nothing.
    pub fn of(deed: Deed, flags: &'a BulkFlags, config: &'a Config) -> Result<Bulk<'a>, Failure> {
        Bulk::among(deed, &flags.how, config, flags.filter.filter()?)
    }

    /// The same, where it is known by other flags which tasks are meant.
    ///
    /// # Errors
    /// As [`Bulk::of`].
    pub fn among(
        deed: Deed,
        flags: &'a HowFlags,
        config: &'a Config,
        filter: Filter,
    ) -> Result<Bulk<'a>, Failure> {
        Ok(Bulk {
            deed,
            config,
            anyway: false,
            flags,
            filter: deed.narrowed(flags.all, filter)?,
        })
    }

    /// The same, of what is asked about also where no task is meant.
    #[must_use]
    pub fn asking_anyway(self) -> Bulk<'a> {
        Bulk {
            anyway: true,
            ..self
        }
    }

    /// Counts, asks, does it and prints what came of it.
    ///
    /// # Errors
    /// When the store cannot be used, or nobody said yes.
    pub async fn run(
        &self,
        queue: &Queue,
        act: impl AsyncFnOnce(&Chosen, &mut dyn FnMut(&Answer)) -> Result<Summary, Error>,
    ) -> Result<ExitCode, Failure> {
        let Some(chosen) = self.choose(queue).await? else {
            return Ok(ExitCode::SUCCESS);
        };
        let named = self.are_named();
        let (mut answers, mut refusals) = (Vec::new(), self.refusals(true));
        let mut trouble: Option<crate::ledger::Error> = None;
        let mut hear = |answer: &Answer| {
            if let Err(why) = &answer.1 {
                refusals.say(answer.0, why);
            }
            if named {
                answers.push(answer.clone());
            }
        };
        let done = act(&chosen, &mut hear).await;
        let summary = match done {
            Ok(summary) => summary,
            // What was done by then is told.
            Err(Error::Store(error)) => {
                trouble = Some(error);
                Summary::default()
            }
            Err(error) => return Err(error.into()),
        };
        refusals.end();
        self.warn(&summary, &answers);
        match (named, trouble) {
            (true, trouble) => {
                self.print_answers(&answers)?;
                trouble.map_or(Ok(()), |error| Err(Failure::from(error)))?;
            }
            (false, Some(error)) => return Err(error.into()),
            (false, None) => self.print_counts(chosen.count(), &summary)?,
        }
        Ok(match summary.refused {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    /// Counts and asks. None: they were only to be counted, and that is printed.
    ///
    /// # Errors
    /// When the store cannot be read, or nobody said yes.
    pub async fn choose(&self, queue: &Queue) -> Result<Option<Chosen>, Failure> {
        let chosen = queue.choose(&self.filter).await?;
        if self.flags.dry_run {
            self.print_counts(chosen.count(), &Summary::default())?;
            return Ok(None);
        }
        self.ask(&chosen)?;
        Ok(Some(chosen))
    }

    /// Each was named by its number, and gets an answer of its own.
    pub fn are_named(&self) -> bool {
        self.filter.only_ids().is_some()
    }

    /// Those to whom it is not done.
    pub fn refusals(&self, is_store_there: bool) -> Refusals<'a> {
        Refusals::of(
            self.deed,
            &self.config.store,
            self.are_named(),
            is_store_there,
        )
    }

    /// Where there is no store, there is no task.
    ///
    /// # Errors
    /// When that cannot be printed.
    pub fn nothing(&self, refusal: impl Fn(TaskId) -> Error) -> Result<ExitCode, Failure> {
        let store = &self.config.store;
        match self.filter.only_ids() {
            Some(ids) if !self.flags.dry_run => {
                let answers: Vec<Answer> = ids.iter().map(|id| (*id, Err(refusal(*id)))).collect();
                let mut refusals = self.refusals(false);
                for (id, answer) in &answers {
                    if let Err(why) = answer {
                        refusals.say(*id, why);
                    }
                }
                self.print_answers(&answers)?;
                Ok(ExitCode::FAILURE)
            }
            Some(_) | None => {
                let next = blame("name another with --store PATH or TASKQUEUE_STORE");
                log::note(format_args!("there is no store {store} yet; {next}"));
                self.print_counts(0, &Summary::default())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// Says how many, and goes on if that is meant.
    fn ask(&self, chosen: &Chosen) -> Result<(), Failure> {
        let count = chosen.count();
        if chosen.is_a_page() || (count == 0 && !self.anyway) {
            return Ok(());
        }
        let (are, done) = (tasks(count), self.deed.done);
        let verb = if count == 1 { "is" } else { "are" };
        if self.flags.yes {
            log::note(format_args!("{are} {verb} to be {done}"));
            return Ok(());
        }
        if !(io::stdin().is_terminal() && log::is_seen()) {
            return Err(Failure::usage(format!(
                "{are} {verb} to be {done}, and nobody can be asked here whether that is meant; nothing was done"
            ))
            .next("--yes does it without asking, --dry-run only counts them"));
        }
        log::say(format_args!(
            "{are} {verb} to be {done}; type yes to go on:"
        ));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(format!("nothing was {done}"))),
        }
    }

    fn warn(&self, summary: &Summary, answers: &[Answer]) {
        let Some((count, error)) = &summary.unannounced else {
            return;
        };
        let mut named = answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok());
        match named
            .find(|receipt| !receipt.announced())
            .filter(|_| *count == 1)
        {
            Some(receipt) => log::warn(format_args!(
                "{error}; task {} is recorded and will be put when the broker is back",
                receipt.id
            )),
            None => log::warn(format_args!(
                "{error}; {} recorded, and will be put when the broker is back",
                match count {
                    1 => "1 task is".to_owned(),
                    count => format!("{count} tasks are"),
                }
            )),
        }
    }

    fn print_answers(&self, answers: &[Answer]) -> io::Result<()> {
        let mut out = out(self.flags.json);
        if self.flags.json {
            let answers = answers.iter();
            let all: Vec<_> = answers
                .map(|(id, answer)| json::answer(self.deed.done, *id, answer))
                .collect();
            serde_json::to_writer(&mut out, &all)?;
            return writeln!(out);
        }
        let mut done = answers.iter().filter(|(_, answer)| answer.is_ok());
        done.try_for_each(|(id, _)| writeln!(out, "task {id} was {}", self.deed.done))
    }

    fn print_counts(&self, matched: u64, summary: &Summary) -> io::Result<()> {
        let mut out = out(self.flags.json);
        if self.flags.json {
            let counts = json::Changed::of(matched, summary, self.flags.dry_run);
            serde_json::to_writer(&mut out, &counts)?;
            return writeln!(out);
        }
        match self.flags.dry_run {
            true => writeln!(out, "would have {} {}", self.deed.done, tasks(matched)),
            false => writeln!(out, "{} {}", self.deed.done, tasks(summary.changed)),
        }
    }
}

pub fn tasks(count: u64) -> String {
    match count {
        1 => "1 task".into(),
        count => format!("{count} tasks"),
    }
}
