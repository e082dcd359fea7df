//! What programs read: the JSON of `--json`, in one place.
//!
//! `taskqueue(1)` describes each shape, and programs depend on it: fields may be added, and those that are here stay.
//! Of the small ones the fields stand in the order of the alphabet, and so they are printed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::numbers;
use super::report;
use crate::ledger::limits;
use crate::ledger::{Millis, read};
use crate::task::id::TaskId;
use crate::task::limit::Bounds;
use crate::task::own::Own;
use crate::task::retry::{Attempts, ENDLESS};
use crate::task::state::Status;

mod answers;

pub use answers::{Cancelled, Changed, Cleaned, Counts, Ended, Put, answer};

/// RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(at: Millis) -> String {
    match Timestamp::from_millisecond(at) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{at}ms"),
    }
}

/// A task, as `list` and `show` have it.
#[derive(Debug, Serialize)]
pub struct Task<'a> {
    id: i64,
    uuid: String,
    tube: &'a str,
    command: Option<&'a str>,
    arguments: Cow<'a, RawValue>,
    options: Cow<'a, RawValue>,
    status: &'static str,
    reason: Option<&'a str>,
    cancel_asked: Option<String>,
    priority: u32,
    job: Option<i64>,
    created: String,
    due: Option<String>,
    held: Option<HeldBy<'a>>,
    started: Option<String>,
    finished: Option<String>,
    body_size: Option<i64>,
    tags: Vec<String>,
    unique: Option<&'a str>,
    schedule: Option<&'a str>,
    own: Option<OwnOf<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Option<Cow<'a, str>>>,
    attempts_total: u64,
    attempts: Vec<Attempt<'a>>,
    report: Option<Report<'a>>,
    waits_for: Option<WaitsFor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parents: Option<Option<Relatives>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Option<Relatives>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<Cow<'a, RawValue>>>,
}

/// What a task says of its own attempts. Durations are in seconds.
#[derive(Debug, Serialize)]
struct OwnOf<'a> {
    max_attempts: Option<Value>,
    retry: Option<Vec<Value>>,
    timeout: Option<Value>,
    /// The values may be secrets, and are where one task is asked for.
    env: BTreeMap<&'a str, Option<&'a str>>,
}

impl<'a> OwnOf<'a> {
    fn new(own: &'a Own, whole: bool) -> OwnOf<'a> {
        let often = |attempts| match attempts {
            Attempts::Most(most) => Value::from(most),
            Attempts::Endless => Value::from(ENDLESS),
        };
        let variables = own.environment.iter();
        OwnOf {
            max_attempts: own.max_attempts.map(often),
            retry: own
                .waits
                .as_ref()
                .map(|waits| waits.all().iter().copied().map(seconds).collect()),
            timeout: own.timeout.map(seconds),
            env: variables
                .map(|(name, value)| (name.as_str(), whole.then_some(value.as_str())))
                .collect(),
        }
    }
}

/// By which limit a task is held.
#[derive(Debug, Serialize)]
struct HeldBy<'a> {
    limit: &'a str,
    by: Option<&'a str>,
    key: &'a str,
    since: String,
    concurrency: Option<u32>,
    rate: Option<Rate>,
    running: Vec<i64>,
    next: Option<String>,
}

/// So many in so many seconds.
#[derive(Debug, Serialize)]
struct Rate {
    allowed: u32,
    seconds: f64,
}

impl Rate {
    fn of(bounds: Bounds) -> Option<Rate> {
        bounds.rate.map(|rate| Rate {
            allowed: rate.allowed,
            seconds: rate.per as f64 / 1000.0,
        })
    }
}

impl<'a> HeldBy<'a> {
    fn of(held: &'a read::HeldBy) -> HeldBy<'a> {
        HeldBy {
            limit: &held.limit,
            by: held.label.as_deref(),
            key: &held.key,
            since: rfc3339(held.since),
            concurrency: held.bounds.concurrency,
            rate: Rate::of(held.bounds),
            running: held.running.iter().map(|task| task.0).collect(),
            next: held.next.map(rfc3339),
        }
    }
}

/// What a task waits for that waits for others.
#[derive(Debug, Serialize)]
struct WaitsFor<'a> {
    parents: Vec<i64>,
    open: u32,
    any: bool,
    held: Option<&'a str>,
}

/// Tasks that another waits for, or that wait for it.
#[derive(Debug, Serialize)]
struct Relatives {
    tasks: Vec<Relative>,
    more: bool,
}

#[derive(Debug, Serialize)]
struct Relative {
    id: i64,
    status: Option<&'static str>,
}

impl Relatives {
    fn of(tasks: &[read::Relative], more: bool) -> Relatives {
        let relative = |one: &read::Relative| Relative {
            id: one.id.0,
            status: one.status.map(Status::as_str),
        };
        let tasks = tasks.iter().map(relative).collect();
        Relatives { tasks, more }
    }
}

/// A drawing, as `show --tree` has it.
#[derive(Debug, Serialize)]
pub struct Tree<'a> {
    tasks: Vec<Leaf<'a>>,
    more: bool,
}

#[derive(Debug, Serialize)]
struct Leaf<'a> {
    id: i64,
    status: Option<&'static str>,
    command: Option<&'a str>,
    parents: Vec<i64>,
}

impl<'a> Tree<'a> {
    /// Each task once.
    pub fn of(tree: &'a read::Tree) -> Tree<'a> {
        let leaves = tree.leaves.iter().filter(|leaf| !leaf.is_again);
        let leaf = |leaf: &'a read::Leaf| Leaf {
            id: leaf.id.0,
            status: leaf.status.map(Status::as_str),
            command: leaf.command.as_deref(),
            parents: leaf.parents.iter().map(|parent| parent.0).collect(),
        };
        Tree {
            tasks: leaves.map(leaf).collect(),
            more: tree.is_cut,
        }
    }
}

/// A limit that holds tasks, as `status` has it.
#[derive(Debug, Serialize)]
pub struct InUse<'a> {
    limit: &'a str,
    by: Option<&'a str>,
    key: &'a str,
    concurrency: Option<u32>,
    rate: Option<Rate>,
    running: Vec<i64>,
    held: u64,
    since: String,
    configured: Option<bool>,
}

impl<'a> InUse<'a> {
    /// Its shape. `configured`: there is such a limit, if that is known.
    pub fn of(line: &'a limits::InUse, configured: Option<bool>) -> InUse<'a> {
        let limits::InUse { held, running } = line;
        InUse {
            limit: &held.line.limit,
            by: held.label.as_deref(),
            key: held.line.key.as_str(),
            concurrency: held.bounds.concurrency,
            rate: Rate::of(held.bounds),
            running: running.iter().map(|task| task.0).collect(),
            held: held.held,
            since: rfc3339(held.since),
            configured,
        }
    }
}

/// A whole number where that says it.
fn seconds(duration: Duration) -> Value {
    match duration.subsec_nanos() {
        0 => duration.as_secs().into(),
        _ => duration.as_secs_f64().into(),
    }
}

/// What a task's command has said of it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    attempt: i64,
    at: String,
    progress: Option<Value>,
    message: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Attempt<'a> {
    number: i64,
    worker: &'a str,
    started: String,
    finished: Option<String>,
    outcome: Option<&'a str>,
    exit_code: Option<i64>,
    signal: Option<i64>,
    reason: Option<&'a str>,
    /// In seconds.
    user_time: Option<f64>,
    system_time: Option<f64>,
    /// In bytes.
    peak_memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_size: Option<u64>,
}

impl<'a> Task<'a> {
    /// The shape of `list`.
    pub fn listed(task: &'a read::Task) -> Task<'a> {
        Task::new(task, false)
    }

    /// The shape of `show`: with bodies and output.
    pub fn whole(task: &'a read::Task) -> Task<'a> {
        Task::new(task, true)
    }

    fn new(task: &'a read::Task, whole: bool) -> Task<'a> {
        let lossy = |body: &'a Vec<u8>| String::from_utf8_lossy(body);
        Task {
            id: task.id.0,
            uuid: task.uuid.to_string(),
            tube: &task.tube,
            command: task.command.as_deref(),
            arguments: texts(&task.arguments),
            options: raw(&task.options),
            status: task.status.as_str(),
            reason: task.reason.as_deref(),
            cancel_asked: task.cancel_asked.map(rfc3339),
            priority: task.priority,
            job: task.job,
            created: rfc3339(task.created),
            due: task.due.map(rfc3339),
            held: task.held.as_ref().map(HeldBy::of),
            started: task.started.map(rfc3339),
            finished: task.finished.map(rfc3339),
            body_size: task.body_size,
            tags: task.tags.iter().map(ToString::to_string).collect(),
            unique: task.key.as_deref(),
            schedule: task.schedule.as_deref(),
            own: task.own.as_deref().map(|own| OwnOf::new(own, whole)),
            body: whole.then(|| task.body.as_ref().map(lossy)),
            attempts_total: task.attempts_total,
            attempts: task
                .attempts
                .iter()
                .map(|attempt| Attempt::new(attempt, whole))
                .collect(),
            report: task.report.as_ref().map(Report::of),
            waits_for: task.waits_for.as_ref().map(|waits| WaitsFor {
                parents: waits.parents.iter().map(|parent| parent.0).collect(),
                open: waits.open,
                any: waits.any,
                held: waits.held.as_deref(),
            }),
            parents: whole.then(|| {
                let kin = task.kin.as_ref()?;
                Some(Relatives::of(&kin.parents, kin.more_parents))
            }),
            children: whole.then(|| {
                let kin = task.kin.as_ref()?;
                Some(Relatives::of(&kin.children, kin.more_children))
            }),
            result: whole.then(|| {
                let result = task.report.as_ref()?.result.as_deref();
                result.map(raw)
            }),
        }
    }
}

/// JSON as it stands in a row, but for numbers that not everybody can read. What is none, by everybody's reading but
/// SQLite's, is a string: one row's nonsense keeps no other from being listed.
fn raw(text: &str) -> Cow<'_, RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => match numbers::readable(raw.get()) {
            Cow::Borrowed(_) => Cow::Borrowed(raw),
            Cow::Owned(text) => RawValue::from_string(text).map_or(Cow::Borrowed(raw), Cow::Owned),
        },
        // A string can always be written.
        Err(_) => to_raw_value(text).map_or(Cow::Borrowed(RawValue::NULL), Cow::Owned),
    }
}

/// Arguments, all of them strings: what a command gets of a number are its digits.
fn texts(arguments: &str) -> Cow<'_, RawValue> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(arguments) else {
        return raw(arguments);
    };
    let is_text = |element: &&RawValue| element.get().starts_with('"');
    if elements.iter().all(is_text) {
        return raw(arguments);
    }
    let text = |element: &&RawValue| match is_text(element) {
        true => element.get().to_owned(),
        false => serde_json::Value::from(element.get()).to_string(),
    };
    let texts: Vec<String> = elements.iter().map(text).collect();
    let texts = RawValue::from_string(format!("[{}]", texts.join(",")));
    texts.map_or_else(|_| raw(arguments), Cow::Owned)
}

impl<'a> Report<'a> {
    fn of(said: &'a read::Report) -> Report<'a> {
        Report {
            attempt: said.attempt,
            at: rfc3339(said.at),
            progress: said.percent.and_then(report::number),
            message: said.message.as_deref(),
        }
    }
}

/// What the command of a task that runs has said of it, as `status` has it.
#[derive(Debug, Serialize)]
pub struct Reported<'a> {
    task: i64,
    #[serde(flatten)]
    said: Report<'a>,
}

impl<'a> Reported<'a> {
    /// Its shape.
    pub fn of(task: TaskId, said: &'a read::Report) -> Reported<'a> {
        let said = Report::of(said);
        Reported { task: task.0, said }
    }
}

impl<'a> Attempt<'a> {
    fn new(attempt: &'a read::Attempt, whole: bool) -> Attempt<'a> {
        let kept = attempt.output.as_ref();
        Attempt {
            number: attempt.number,
            worker: &attempt.worker,
            started: rfc3339(attempt.started),
            finished: attempt.finished.map(rfc3339),
            outcome: attempt.outcome.as_deref(),
            exit_code: attempt.exit_code,
            signal: attempt.signal,
            reason: attempt.reason.as_deref(),
            user_time: attempt.took.map(|took| took.user.as_secs_f64()),
            system_time: attempt.took.map(|took| took.system.as_secs_f64()),
            peak_memory: attempt.took.map(|took| took.peak_memory),
            output: whole.then(|| kept.map(|kept| kept.to_text()).unwrap_or_default()),
            output_size: whole.then(|| kept.map_or(0, |kept| kept.size())),
        }
    }
}

/// What is said of an attempt's output, as `logs` has it: an object a line.
#[derive(Debug, Serialize)]
pub struct Logged<'a> {
    task: i64,
    attempt: i64,
    #[serde(flatten)]
    said: Said<'a>,
}

/// Each kind is known by the name of its last field, or of its outcome.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Line {
        offset: u64,
        line: Cow<'a, str>,
    },
    Missed {
        offset: u64,
        missed: u64,
    },
    Ended {
        outcome: Option<&'a str>,
        exit_code: Option<i64>,
        signal: Option<i64>,
        reason: Option<&'a str>,
        finished: Option<String>,
    },
}

impl<'a> Logged<'a> {
    /// A line that was printed, without its end.
    pub fn line(task: TaskId, attempt: i64, offset: u64, line: &'a [u8]) -> Logged<'a> {
        let line = String::from_utf8_lossy(line);
        Logged {
            task: task.0,
            attempt,
            said: Said::Line { offset, line },
        }
    }

    /// Bytes that are not to be had.
    pub fn missed(task: TaskId, attempt: i64, offset: u64, missed: u64) -> Logged<'a> {
        Logged {
            task: task.0,
            attempt,
            said: Said::Missed { offset, missed },
        }
    }

    /// The end of the attempt.
    pub fn ended(task: TaskId, attempt: &'a read::Attempt) -> Logged<'a> {
        Logged {
            task: task.0,
            attempt: attempt.number,
            said: Said::Ended {
                outcome: attempt.outcome.as_deref(),
                exit_code: attempt.exit_code,
                signal: attempt.signal,
                reason: attempt.reason.as_deref(),
                finished: attempt.finished.map(rfc3339),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_337_487_001), "2026-11-22T08:51:27.001Z");
    }
}
