//! Which tasks are meant: the same words for every command that lists some or does something to many.

use std::io::{self, BufRead};

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::print::{Zone, now};
use super::{Failure, number};
use crate::api::{Filter, Status};
use crate::config::duration;
use crate::ledger::Millis;
use crate::task::id::TaskId;
use crate::task::tag::Tag;
use crate::tube::TubeName;

/// As many numbers as are taken; who has more has a filter for them.
const MOST_IDS: usize = 1_000_000;

/// The words.
#[derive(Debug, Args)]
pub struct FilterFlags {
    #[command(flatten)]
    pub which: Which,
    /// Only tasks whose reason has this text in it
    ///
    /// Why they failed, or are not run, letter for letter
    #[arg(long, value_name = "TEXT", visible_alias = "reason-has")]
    reason: Option<String>,
}

/// All of them but one, which some command means otherwise.
#[derive(Debug, Args)]
pub struct Which {
    /// Only tasks of these numbers
    ///
    /// Several, or with commas: 5,6. From - they are taken from standard input, one a line
    #[arg(value_name = "ID", value_delimiter = ',', value_parser = id)]
    ids: Vec<Id>,
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)),
        value_delimiter = ',',
        help = "Only tasks that are",
        long_help = "Only tasks with this status, or with one of several; stalled: running, and its worker is dead"
    )]
    status: Vec<String>,
    /// Only tasks of this tube
    #[arg(long, value_name = "TUBE")]
    pub use_tube: Option<TubeName>,
    /// Only tasks of this command
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Only tasks that have this tag
    ///
    /// k means one with any value, or none; given several times, tasks that have all of them
    #[arg(long, value_name = "K[=V]")]
    tag: Vec<Tag>,
    /// Only tasks that were recorded since then
    ///
    /// A time, such as 2026-11-27 or 2026-11-27T10:00, or how long ago that is, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Millis>,
    /// Only tasks that were recorded before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Millis>,
}

/// A task's number, or where more of them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    Number(TaskId),
    /// On standard input.
    There,
}

fn id(text: &str) -> Result<Id, String> {
    match text.trim() {
        "-" => Ok(Id::There),
        text => number::task(text).map(Id::Number),
    }
}

/// A time, or how long ago that is.
fn moment(text: &str) -> Result<Millis, String> {
    if let Ok(ago) = duration::parse(text) {
        let ago = Millis::try_from(ago.as_millis()).unwrap_or(Millis::MAX);
        return Ok(now().saturating_sub(ago));
    }
    Zone::System.read(text).ok_or_else(|| {
        format!("'{text}' is no time: write one, such as 2026-11-27 or 2026-11-27T10:00, or how long ago, such as 2h")
    })
}

impl FilterFlags {
    /// What they mean. Standard input is read where that is asked for.
    ///
    /// # Errors
    /// When no task can pass, or numbers on standard input are none.
    pub fn filter(&self) -> Result<Filter, Failure> {
        self.which.filter(self.reason.as_deref())
    }
}

impl Which {
    /// Whether tasks are asked for that stand there.
    pub fn asks_for(&self, status: &str) -> bool {
        self.status.iter().any(|word| word == status)
    }

    /// What they mean, with a text that reasons have.
    ///
    /// # Errors
    /// As [`FilterFlags::filter`].
    pub fn filter(&self, reason: Option<&str>) -> Result<Filter, Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(Failure::usage(
                "--since is not before --until, so no task can be between them",
            )
            .next("2h is two hours ago, and 1h is later than that: --since 2h --until 1h"));
        }
        let mut filter = Filter::default();
        if !self.ids.is_empty() {
            filter = filter.ids(self.read()?);
        }
        filter.statuses = self
            .status
            .iter()
            .filter_map(|word| Status::from_word(word))
            .collect();
        filter.tube = self.use_tube.as_ref().map(TubeName::to_string);
        filter.command.clone_from(&self.command);
        filter.tags.clone_from(&self.tag);
        filter.since = self.since;
        filter.until = self.until;
        filter.reason = reason.map(ToOwned::to_owned);
        Ok(filter)
    }

    fn read(&self) -> Result<Vec<TaskId>, Failure> {
        let mut ids = Vec::new();
        let mut was_read = false;
        for id in &self.ids {
            match id {
                Id::Number(id) => ids.push(*id),
                Id::There if was_read => {}
                Id::There => {
                    was_read = true;
                    read_ids(&mut io::stdin().lock(), &mut ids)?;
                }
            }
        }
        Ok(ids)
    }
}

/// Reads numbers, one a line; a line may have several with commas, and an empty one has none.
fn read_ids(input: &mut impl BufRead, ids: &mut Vec<TaskId>) -> Result<(), Failure> {
    for (line, text) in (1..).zip(input.lines()) {
        let text = text.map_err(|error| {
            Failure::new(format!(
                "line {line} of standard input cannot be read: {error}"
            ))
        })?;
        for one in text.split(',').filter(|_| !text.trim().is_empty()) {
            let wrong = |why| Failure::usage(format!("line {line} of standard input: {why}"));
            ids.push(number::task(one).map_err(wrong)?);
        }
        if ids.len() > MOST_IDS {
            return Err(Failure::usage(format!(
                "on standard input are more than {MOST_IDS} numbers; nothing was done"
            ))
            .next("say with --status, --use-tube or the like which tasks are meant"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_line_by_line() {
        let read = |text: &str| {
            let mut ids = Vec::new();
            let read = read_ids(&mut text.as_bytes(), &mut ids);
            read.map(|()| ids.into_iter().map(|id| id.0).collect::<Vec<_>>())
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(read("5\n\n6\r\n 7 \n8,9"), Ok(vec![5, 6, 7, 8, 9]));
        assert_eq!(read(""), Ok(vec![]));
        let wrong = read("5\nsix\n").unwrap_err();
        assert!(
            wrong.starts_with("line 2 of standard input: 'six' is no"),
            "{wrong}"
        );
        assert!(read("5,,6").is_err());
    }
}
