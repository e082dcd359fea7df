//! What programs read: the JSON of `--json`, in one place.
//!
//! `taskqueue(1)` describes each shape, and programs depend on it: fields may be added, and those that are here stay.
//! Of the small ones the fields stand in the order of the alphabet, and so they are printed.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::cleanup;
use super::error::Error;
use super::numbers;
use super::put::Receipt;
use super::report;
use crate::ledger::counts;
use crate::ledger::{Millis, read};
use crate::task::id::TaskId;

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
    priority: u32,
    job: Option<i64>,
    created: String,
    due: Option<String>,
    started: Option<String>,
    finished: Option<String>,
    body_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Option<Cow<'a, str>>>,
    attempts_total: u64,
    attempts: Vec<Attempt<'a>>,
    report: Option<Report<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<Cow<'a, RawValue>>>,
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
            priority: task.priority,
            job: task.job,
            created: rfc3339(task.created),
            due: task.due.map(rfc3339),
            started: task.started.map(rfc3339),
            finished: task.finished.map(rfc3339),
            body_size: task.body_size,
            body: whole.then(|| task.body.as_ref().map(lossy)),
            attempts_total: task.attempts_total,
            attempts: task
                .attempts
                .iter()
                .map(|attempt| Attempt::new(attempt, whole))
                .collect(),
            report: task.report.as_ref().map(Report::of),
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
            output: whole.then(|| kept.map(|kept| kept.to_text()).unwrap_or_default()),
            output_size: whole.then(|| kept.map_or(0, |kept| kept.size())),
        }
    }
}

/// A task that was recorded, as `put` has it.
#[derive(Debug, Serialize)]
pub struct Put {
    id: i64,
    uuid: String,
}

impl Put {
    /// Its shape.
    pub fn of(receipt: &Receipt) -> Put {
        Put {
            id: receipt.id.0,
            uuid: receipt.uuid.to_string(),
        }
    }
}

/// What became of one task that was to run again, as `regenerate` has it.
#[derive(Debug, Serialize)]
pub struct Regenerated {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    id: i64,
    regenerated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
}

impl Regenerated {
    /// Its shape.
    pub fn of(id: TaskId, regenerated: &Result<Receipt, Error>) -> Regenerated {
        let receipt = regenerated.as_ref();
        Regenerated {
            error: receipt.err().map(Error::to_string),
            id: id.0,
            regenerated: receipt.is_ok(),
            uuid: receipt.ok().map(|receipt| receipt.uuid.to_string()),
        }
    }
}

/// What `cleanup` came to.
#[derive(Debug, Serialize)]
pub struct Cleaned {
    deleted: u64,
    would_delete: u64,
}

impl Cleaned {
    /// Its shape.
    pub fn of(cleaned: &cleanup::Cleaned) -> Cleaned {
        Cleaned {
            deleted: cleaned.deleted,
            would_delete: cleaned.would_delete,
        }
    }
}

/// How many tasks of a tube stand where, as `status` has it.
#[derive(Debug, Serialize)]
pub struct Counts<'a> {
    failed: u64,
    running: u64,
    stalled: u64,
    tube: &'a str,
    waiting: u64,
}

impl<'a> Counts<'a> {
    /// Its shape.
    pub fn of(tube: &'a str, counts: &counts::Counts) -> Counts<'a> {
        let counts::Counts {
            waiting,
            running,
            stalled,
            failed,
        } = *counts;
        Counts {
            failed,
            running,
            stalled,
            tube,
            waiting,
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
