//! How tasks look to people and to programs. The JSON shape is described in `taskqueue(1)`; programs depend on it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::ledger::Millis;
use crate::ledger::read::{Attempt, Task};

/// RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(at: Millis) -> String {
    match Timestamp::from_millisecond(at) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{at}ms"),
    }
}

/// For people: the machine's own time, to the second.
pub fn local(at: Option<Millis>) -> String {
    let time = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    match time {
        Some(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        None => "-".into(),
    }
}

/// So many seconds, for people: as two units where that says enough.
pub fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).map_or(0, |span| span.as_secs());
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// Text from outside, with nothing in it that a terminal would obey; lines stay lines.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(odd) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if odd(c) => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean.into()
}

/// A task as programs read it.
#[derive(Debug, Serialize)]
pub struct JsonTask<'a> {
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
    attempts: Vec<JsonAttempt<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonAttempt<'a> {
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

impl<'a> JsonTask<'a> {
    /// The shape of `list`, or with bodies and output that of `show`.
    pub fn new(task: &'a Task, whole: bool) -> Result<JsonTask<'a>, serde_json::Error> {
        let lossy = |body: &'a Vec<u8>| String::from_utf8_lossy(body);
        Ok(JsonTask {
            id: task.id.0,
            uuid: task.uuid.to_string(),
            tube: &task.tube,
            command: task.command.as_deref(),
            arguments: raw(&task.arguments)?,
            options: raw(&task.options)?,
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
                .map(|attempt| JsonAttempt::new(attempt, whole))
                .collect(),
        })
    }
}

/// JSON as it stands in a row. What is none, by everybody's reading but SQLite's, is a string: one row's nonsense keeps
/// no other from being listed.
fn raw(text: &str) -> Result<Cow<'_, RawValue>, serde_json::Error> {
    match serde_json::from_str(text) {
        Ok(raw) => Ok(Cow::Borrowed(raw)),
        Err(_) => to_raw_value(text).map(Cow::Owned),
    }
}

impl<'a> JsonAttempt<'a> {
    fn new(attempt: &'a Attempt, whole: bool) -> JsonAttempt<'a> {
        let kept = attempt.output.as_ref();
        JsonAttempt {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_337_487_001), "2026-11-22T08:51:27.001Z");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let table = [
            (-1.0, "0s"),
            (0.9, "0s"),
            (59.0, "59s"),
            (3599.0, "59m 59s"),
            (3600.0, "1h 0m"),
            (90_000.0, "1d 1h"),
        ];
        for (seconds, said) in table {
            assert_eq!(span(seconds), said);
        }
    }

    #[test]
    fn a_terminal_obeys_nothing() {
        assert_eq!(harmless("a\nb\tc ä"), "a\nb\tc ä");
        assert_eq!(
            harmless("\x1b[31mred\u{9b}x\0"),
            "\\u{1b}[31mred\\u{9b}x\\u{0}"
        );
    }
}
