//! Limits: how many attempts with something in common may run at a time, or begin in a time.
//!
//! A limit has a line for each key: the tasks of one account, say. What is decided here is whether the next of a line
//! may begin, from how many of it run, and when its last ones began. Who runs, and who waits, rows say.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Millis;
use super::payload::{Call, OptionValue};
use super::tag::Tag;
use crate::tube::TubeName;

/// The longest name of a limit, in bytes.
pub const LONGEST_NAME: usize = 100;

/// The longest key that is kept as it is, in bytes: of a longer one, its digest.
pub const LONGEST_KEY: usize = 100;

/// As many attempts as a limit may name.
pub const MOST: u32 = 10_000;

/// What is later than now by more than this, in milliseconds, was noted before the clock was set back, and counts no
/// more.
pub const AHEAD: Millis = 60_000;

/// So many attempts at most, and so many that begin in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Attempts that run at a time.
    pub concurrency: Option<u32>,
    /// Attempts that begin in a time.
    pub rate: Option<Rate>,
}

/// So many attempts may begin in any span of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub allowed: u32,
    /// Milliseconds.
    pub per: Millis,
}

/// A configured limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What it is called.
    pub name: String,
    /// How many.
    pub bounds: Bounds,
    /// What those have in common that count together.
    pub by: By,
    /// The commands whose tasks it is of concern to, by names and patterns.
    pub commands: Vec<String>,
    /// The tubes whose tasks it is of concern to, whatever their commands.
    pub tubes: BTreeSet<TubeName>,
}

/// What tasks have in common that stand in one line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum By {
    /// The limit: there is one line.
    #[default]
    Limit,
    /// Their command.
    Command,
    /// The value of that option.
    Option(String),
    /// The argument at that place; the first is 1.
    Argument(usize),
    /// The value of the tag of that name.
    Tag(String),
}

/// Which line of a limit a task stands in: what it has there, in clear where that is short. Without it, nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(String);

/// Whether the next of a line may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It may.
    Now,
    /// Not before then.
    At(Millis),
    /// Not before another ends.
    Full,
}

/// Why a text says no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLimit {
    /// Of a rate.
    #[error(
        "{text:?} is no rate: write how many may begin in how long, such as \"90/10s\" or \"5/1m\""
    )]
    Rate {
        /// What was written.
        text: String,
    },
    /// Of what is counted together.
    #[error(
        "{text:?} says not what counts together: \"command\", \"option:NAME\", \"argument:1\" or \"tag:NAME\""
    )]
    By {
        /// What was written.
        text: String,
    },
}

impl Bounds {
    /// Whether the next of a line may begin now. `taken`: so many run, or are let go and expected to begin. `starts`:
    /// when the last ones of the line began, or are to, in any order.
    ///
    /// Of starts that are noted later than now, since clocks and transactions are not in one order, none is forgotten;
    /// so that in no span of the rate's length there are more than it allows, whichever came first.
    pub fn room(&self, taken: u32, starts: &[Millis], now: Millis) -> Room {
        if self.concurrency.is_some_and(|most| taken >= most) {
            return Room::Full;
        }
        let Some(Rate { allowed, per }) = self.rate else {
            return Room::Now;
        };
        let mut newest = starts.to_vec();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        let last = usize::try_from(allowed)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        match newest.get(last).map(|start| start.saturating_add(per)) {
            Some(at) if at > now => Room::At(at),
            Some(_) | None => Room::Now,
        }
    }

    /// Whether a start that is noted counts: it is of the last window, and of no clock that was set back since.
    pub fn counts(&self, start: Millis, now: Millis) -> bool {
        let per = self.rate.map_or(0, |rate| rate.per);
        start > now.saturating_sub(per) && start <= now.saturating_add(AHEAD)
    }

    /// How many more of a line are to have a job before one of it ends or begins, where so many run and so many others
    /// have a job and are expected to begin.
    pub fn left(&self, running: u32, expected: u32) -> u32 {
        let taken = running.saturating_add(expected);
        let places = self.concurrency.unwrap_or(u32::MAX).saturating_sub(taken);
        places.min(self.most_let_go().saturating_sub(expected))
    }

    /// At most so many of a line need be let go at a time, whose turns are still to come.
    pub fn most_let_go(&self) -> u32 {
        let rate = self.rate.map_or(MOST, |rate| rate.allowed);
        self.concurrency.unwrap_or(MOST).min(rate)
    }
}

/// What people read: "2 at a time", "90 in 10s".
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(most) = self.concurrency {
            write!(f, "{most} at a time")?;
        }
        if self.concurrency.is_some() && self.rate.is_some() {
            f.write_str(", ")?;
        }
        match self.rate {
            Some(rate) => rate.fmt(f),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { allowed, per } = *self;
        match per {
            per if per % 86_400_000 == 0 => write!(f, "{allowed} in {}d", per / 86_400_000),
            per if per % 3_600_000 == 0 => write!(f, "{allowed} in {}h", per / 3_600_000),
            per if per % 60_000 == 0 => write!(f, "{allowed} in {}m", per / 60_000),
            per if per % 1000 == 0 => write!(f, "{allowed} in {}s", per / 1000),
            per => write!(f, "{allowed} in {per}ms"),
        }
    }
}

impl FromStr for By {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<By, BadLimit> {
        let bad = || BadLimit::By { text: text.into() };
        match text.split_once(':') {
            None if text == "command" => Ok(By::Command),
            Some(("option", name)) if !name.is_empty() => Ok(By::Option(name.into())),
            Some(("tag", name)) if !name.is_empty() && !name.contains('=') => {
                Ok(By::Tag(name.into()))
            }
            Some(("argument", place)) => match place.parse() {
                Ok(place) if place > 0 => Ok(By::Argument(place)),
                Ok(_) | Err(_) => Err(bad()),
            },
            Some(_) | None => Err(bad()),
        }
    }
}

impl By {
    /// What stands before a key: "account" of `account=7`. `None` where there is one line.
    pub fn label(&self) -> Option<String> {
        match self {
            By::Limit => None,
            By::Command => Some("command".into()),
            By::Option(name) | By::Tag(name) => Some(name.clone()),
            By::Argument(place) => Some(format!("argument {place}")),
        }
    }
}

impl Limit {
    /// Whether it is of concern to tasks of a tube that run that command. `is_of`: whether a pattern stands for a name.
    pub(super) fn concerns(
        &self,
        tube: &TubeName,
        command: &str,
        is_of: impl Fn(&str, &str) -> bool,
    ) -> bool {
        self.tubes.contains(tube) || self.commands.iter().any(|pattern| is_of(pattern, command))
    }

    /// Which of its lines a task stands in. What is no call has neither arguments nor options: nobody but its command
    /// knows what is in it. `tags` is asked where they matter.
    ///
    /// # Errors
    /// What `tags` says.
    pub fn key<E>(
        &self,
        command: &str,
        call: Option<&Call>,
        tags: impl FnOnce() -> Result<Vec<Tag>, E>,
    ) -> Result<Key, E> {
        Ok(match &self.by {
            By::Limit => Key::default(),
            By::Command => Key::of(command),
            By::Option(name) => call.map_or_else(Key::default, |call| of_option(call, name)),
            By::Argument(place) => {
                let argument = call.and_then(|call| call.arguments.get(place.saturating_sub(1)));
                argument.map_or_else(Key::default, |argument| Key::of(argument.as_str()))
            }
            By::Tag(name) => {
                let tags = tags()?;
                let tag = tags.iter().find(|tag| tag.name() == name);
                tag.map_or_else(Key::default, |tag| Key::of(tag.value().unwrap_or_default()))
            }
        })
    }
}

fn of_option(call: &Call, name: &str) -> Key {
    let value = call
        .options
        .iter()
        .find(|(other, _)| other.as_str() == name);
    match value.map(|(_, value)| value) {
        None | Some(OptionValue::Off) => Key::default(),
        Some(OptionValue::Flag) => Key::of("true"),
        Some(OptionValue::Text(text) | OptionValue::Number(text)) => Key::of(text),
    }
}

/// What is written of a value that is empty: one that is not there has nothing.
const EMPTY: &str = "\"\"";

/// What stands before the digest of a value that is not kept as it is.
const DIGEST: &str = "sha256:";

impl Key {
    /// The key of a value that is there.
    pub fn of(value: &str) -> Key {
        if value.is_empty() {
            return Key(EMPTY.into());
        }
        let is_clear = value.len() <= LONGEST_KEY
            && value != EMPTY
            && !value.starts_with(DIGEST)
            && !value.contains(char::is_control);
        if is_clear {
            return Key(value.into());
        }
        let digest = Sha256::digest(value);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Key(format!("{DIGEST}{digest}"))
    }

    /// As a row has it.
    pub(crate) fn from_row(text: String) -> Key {
        Key(text)
    }

    /// What is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
