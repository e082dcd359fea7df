//! Why something was not done.

use crate::ledger;
use crate::ledger::cancel::NotCancelled;
use crate::ledger::delete::NotDeleted;
use crate::ledger::edit::NotEdited;
use crate::ledger::put::{NotAfter, NotRegenerated};
use crate::ledger::read::Key;
use crate::ledger::schedules::NameTaken;
use crate::ledger::unique::Holder;
use crate::task::id::TaskId;
use crate::task::own::BadOwn;
use crate::task::payload::Refusal;
use crate::task::tag::BadTag;

/// Why a task was not recorded, not regenerated, not cancelled, or is not known.
///
/// A broker that cannot be reached is none of these: what was recorded without it is announced when it is back, and
/// [`Receipt::trouble`](super::Receipt::trouble) says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the task asks for can never run: a name, an argument or an option that is none, or another task's uuid.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An argument or an option was given to a raw body.
    #[error(
        "a raw body takes no arguments and no options: its command reads it from standard input"
    )]
    Raw,
    /// The tags that were given are not a task's.
    #[error(transparent)]
    Tag(BadTag),
    /// What the task is to say of its own attempts makes no sense.
    #[error(transparent)]
    Own(BadOwn),
    /// There is no such task, or it has not failed.
    #[error(transparent)]
    NotRegenerated(#[from] NotRegenerated),
    /// There is no such task, or it is not to be deleted.
    #[error(transparent)]
    NotDeleted(#[from] NotDeleted),
    /// There is no such task, or it cannot be changed so.
    #[error(transparent)]
    NotEdited(#[from] NotEdited),
    /// There is no such task, or it had ended.
    #[error(transparent)]
    NotCancelled(#[from] NotCancelled),
    /// Another task has its key, and it was to be refused then. Nothing was recorded.
    #[error("{0}; no other was recorded")]
    KeyTaken(Holder),
    /// It cannot wait for the tasks that it is to wait for. It was not recorded.
    #[error("{0}; it was not recorded")]
    NotAfter(NotAfter),
    /// One is to wait for another that was to be put with it, and is not. Nothing was recorded.
    #[error(
        "{by} is to wait for {reference}, and nothing that is put with it has that reference; nothing was recorded"
    )]
    NoSuchReference {
        /// Which waits: its own reference, or its place.
        by: String,
        /// What for.
        reference: String,
    },
    /// Two that are put together have one reference. Nothing was recorded.
    #[error("two that are put together have the reference {reference}; nothing was recorded")]
    SameReference {
        /// That reference.
        reference: String,
    },
    /// Tasks that are put together wait for each other in a circle. Nothing was recorded.
    #[error("they wait for each other: {}; nothing was recorded", circle(.0))]
    Circle(Vec<String>),
    /// What it is to wait for cannot be waited for. Nothing was recorded.
    #[error("{0}; nothing was recorded")]
    Links(String),
    /// There is no schedule of that name.
    #[error("there is no schedule {name}")]
    NoSchedule {
        /// The name.
        name: String,
    },
    /// Another schedule has that name.
    #[error("the schedule {} is another's: {}", .0.name, whose(.0))]
    ScheduleTaken(NameTaken),
    /// What the store has of a schedule makes no sense.
    #[error("the schedule {name} makes no sense: {why}")]
    ScheduleWrong {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such task, or no more.
    #[error("there is no task {key}")]
    NoSuchTask {
        /// As it was asked for.
        key: Key,
    },
    /// The task has had no such attempt.
    #[error("there is no attempt {number} of task {task}, which has had {newest} by now")]
    NoSuchAttempt {
        /// The task.
        task: TaskId,
        /// Which attempt was asked for.
        number: i64,
        /// How many there have been.
        newest: i64,
    },
    /// The store is locked, in trouble, or has a row that makes no sense. Nothing was recorded.
    #[error(transparent)]
    Store(#[from] ledger::Error),
}

/// "a waits for b, b for c, c for a"
fn circle(names: &[String]) -> String {
    let next = names.iter().cycle().skip(1);
    let pair = |(place, (one, other)): (usize, (&String, &String))| match place {
        0 => format!("{one} waits for {other}"),
        _ => format!("{one} for {other}"),
    };
    let pairs: Vec<String> = names.iter().zip(next).enumerate().map(pair).collect();
    pairs.join(", ")
}

fn whose(taken: &NameTaken) -> String {
    match &taken.by {
        Some(file) => format!("it stands in {file}"),
        None => "it was made by taskqueue schedule add".into(),
    }
}

impl Error {
    pub(super) fn no_schedule(name: &str) -> Error {
        Error::NoSchedule {
            name: name.to_owned(),
        }
    }

    /// What to do next, where there is a next step that is not in the words.
    pub fn next(&self) -> Option<&str> {
        match self {
            Error::Store(error) => error.next(),
            Error::Refused(_)
            | Error::Raw
            | Error::Tag(_)
            | Error::Own(_)
            | Error::NotRegenerated(_)
            | Error::KeyTaken(_)
            | Error::NotDeleted(_)
            | Error::NotEdited(_)
            | Error::NotCancelled(_)
            | Error::NoSuchTask { .. }
            | Error::NoSuchAttempt { .. }
            | Error::NotAfter(_)
            | Error::NoSuchReference { .. }
            | Error::SameReference { .. }
            | Error::Circle(_)
            | Error::Links(_)
            | Error::ScheduleTaken(_)
            | Error::ScheduleWrong { .. } => None,
            Error::NoSchedule { .. } => {
                Some("see those that there are with: taskqueue schedule list")
            }
        }
    }
}
