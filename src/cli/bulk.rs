//! What every command has that does something to many tasks: which are meant, how many, and whether that is meant.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;

use super::absent::absent;
use super::environment::blame;
use super::filter::FilterFlags;
use super::out::out;
use super::{Failure, log};
use crate::api::{
    Answer, Chosen, Error, Filter, NotCancelled, NotDeleted, NotEdited, NotRegenerated, Queue,
    Status, Summary, json,
};
use crate::config::Config;
use crate::task::id::TaskId;

/// As many refusals are told of tasks that nobody has named.
const TOLD: u64 = 10;

/// Which tasks, and how they are gone about.
#[derive(Debug, Args)]
pub struct BulkFlags {
    #[command(flatten)]
    pub filter: FilterFlags,
    /// All tasks with which it can be done
    #[arg(long)]
    all: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    ///
    /// An array with an object for each task that was named by its number; where none was, an object that counts
    #[arg(long)]
    pub json: bool,
}

impl BulkFlags {
    /// Those of a command that says by itself which tasks are meant.
    pub fn of(yes: bool, dry_run: bool, json: bool) -> BulkFlags {
        BulkFlags {
            filter: FilterFlags::none(),
            all: false,
            yes,
            dry_run,
            json,
        }
    }
}

/// What is done, in words.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    /// As the command is called: `regenerate`.
    pub verb: &'static str,
    /// What is said then: `regenerated`.
    pub done: &'static str,
    /// Where tasks must stand for it.
    pub of: &'static [Status],
    /// What is said of others: `only failed tasks are regenerated`.
    pub only: &'static str,
}

/// What is to be done to which tasks.
pub struct Bulk<'a> {
    pub deed: Deed,
    pub config: &'a Config,
    /// Also where no task is meant: something else is done then.
    anyway: bool,
    flags: &'a BulkFlags,
    pub filter: Filter,
}

impl Deed {
    /// The tasks that are meant, of those with which it can be done. What is named by its number alone is tried
    /// wherever it stands, and says so.
    ///
    /// # Errors
    /// When others are asked for, or nobody said which.
    fn narrowed(self, flags: &BulkFlags, filter: Filter) -> Result<Filter, Failure> {
        match (flags.all, filter.is_all()) {
            (false, true) => {
                return Err(Failure::usage(format!(
                    "taskqueue {} was not told which tasks are meant",
                    self.verb
                ))
                .next("name them by their numbers, or by --status, --use-tube and the like; or all of them: --all"));
            }
            (true, false) => {
                return Err(Failure::usage(
                    "--all means all tasks, and something else says that only some are meant",
                )
                .next("leave out one of the two"));
            }
            (true, true) | (false, false) => {}
        }
        if filter.only_ids().is_some() {
            return Ok(filter);
        }
        if let Some(other) = filter
            .statuses
            .iter()
            .find(|status| !self.of.contains(status))
        {
            return Err(
                Failure::usage(format!("--status {other}: {}", self.only)).next(format!(
                    "--status says which tasks are meant, of those with which it can be done: {}",
                    listed(self.of)
                )),
            );
        }
        let statuses = match filter.statuses.as_slice() {
            [] => self.of.to_vec(),
            named => named.to_vec(),
        };
        let mut filter = filter;
        filter.statuses = statuses;
        Ok(filter)
    }
}

fn listed(statuses: &[Status]) -> String {
    let words: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    words.join(", ")
}

impl<'a> Bulk<'a> {
    /// What the flags mean.
    ///
    /// # Errors
    /// When they mean nothing.
    pub fn of(deed: Deed, flags: &'a BulkFlags, config: &'a Config) -> Result<Bulk<'a>, Failure> {
        Bulk::among(deed, flags, config, flags.filter.filter()?)
    }

    /// The same, where it is known by other flags which tasks are meant.
    ///
    /// # Errors
    /// As [`Bulk::of`].
    pub fn among(
        deed: Deed,
        flags: &'a BulkFlags,
        config: &'a Config,
        filter: Filter,
    ) -> Result<Bulk<'a>, Failure> {
        Ok(Bulk {
            deed,
            config,
            anyway: false,
            flags,
            filter: deed.narrowed(flags, filter)?,
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
        let chosen = queue.choose(&self.filter).await?;
        if self.flags.dry_run {
            self.print_counts(chosen.count(), &Summary::default())?;
            return Ok(ExitCode::SUCCESS);
        }
        self.ask(&chosen)?;
        let named = self.filter.only_ids().is_some();
        let (mut answers, mut refused) = (Vec::new(), 0u64);
        let mut trouble: Option<crate::ledger::Error> = None;
        let mut hear = |answer: &Answer| {
            if let Err(why) = &answer.1 {
                refused = refused.saturating_add(1);
                if named || refused <= TOLD {
                    let failure = self.refusal(answer.0, why, true);
                    log::say(format_args!("taskqueue: {failure}"));
                }
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
        if !named && refused > TOLD {
            let others = refused.saturating_sub(TOLD);
            log::say(format_args!(
                "taskqueue: and {others} others were not {}",
                self.deed.done
            ));
        }
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

    /// Where there is no store, there is no task.
    ///
    /// # Errors
    /// When that cannot be printed.
    pub fn nothing(&self, refusal: impl Fn(TaskId) -> Error) -> Result<ExitCode, Failure> {
        let store = &self.config.store;
        match self.filter.only_ids() {
            Some(ids) if !self.flags.dry_run => {
                let answers: Vec<Answer> = ids.iter().map(|id| (*id, Err(refusal(*id)))).collect();
                for (id, answer) in &answers {
                    if let Err(why) = answer {
                        let failure = self.refusal(*id, why, false);
                        log::say(format_args!("taskqueue: {failure}"));
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

    /// Why it was not done with one. `why` has the words of the system that this one succeeds, which people know.
    fn refusal(&self, id: TaskId, why: &Error, is_there: bool) -> Failure {
        let store = &self.config.store;
        if matches!(why, Error::Store(_)) {
            return Failure::new(format!("task {id}: {why}"));
        }
        match (is_of_no_task(why), is_there) {
            (true, false) => absent(why, false, store),
            (true, true) => {
                let of = self.deed.of.iter();
                let flags: Vec<_> = of.map(|status| format!(" --status {status}")).collect();
                let done = self.deed.done;
                absent(why, true, store).next(format!(
                    "see those that can be {done} with: taskqueue list{}",
                    flags.concat()
                ))
            }
            (false, _) => {
                let why = why.to_string();
                // Most say it themselves.
                let why = match why.starts_with("task ") {
                    true => why,
                    false => format!("task {id}: {why}"),
                };
                Failure::new(why).next(format!("see how it stands with: taskqueue show {id}"))
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

fn is_of_no_task(why: &Error) -> bool {
    match why {
        Error::NotRegenerated(why) => matches!(why, NotRegenerated::NoSuchTask { .. }),
        Error::NotDeleted(why) => matches!(why, NotDeleted::NoSuchTask { .. }),
        Error::NotEdited(why) => matches!(why, NotEdited::NoSuchTask { .. }),
        Error::NotCancelled(why) => matches!(why, NotCancelled::NoSuchTask { .. }),
        Error::NoSuchTask { .. } => true,
        Error::NoSuchAttempt { .. }
        | Error::Refused(_)
        | Error::Raw
        | Error::KeyTaken(_)
        | Error::Tag(_)
        | Error::NoSchedule { .. }
        | Error::ScheduleTaken(_)
        | Error::ScheduleWrong { .. }
        | Error::Store(_) => false,
    }
}

fn tasks(count: u64) -> String {
    match count {
        1 => "1 task".into(),
        count => format!("{count} tasks"),
    }
}
