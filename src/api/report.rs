//! What a command says of its own attempt.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{env, fmt, io};

use rustix::io::Errno;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Number, Value};

use crate::task::report::{LONGEST_WAIT, OUT_OF_RANGE, RESULT, TEXT, VARIABLE};
use crate::{errno, fd};

/// What a command that a worker runs says of its own attempt: how far it is, what the task came to, and what is to
/// become of the task.
///
/// Of each the newest counts. How far the attempt is, is kept at most once a second while the command runs, and with
/// its end; all else counts when the command has ended.
///
/// ```
/// use taskqueue::api::{Report, ReportError};
///
/// let half = Report::new().progress(50.0).message("half of the rows");
/// match half.send() {
///     Ok(()) => {}
///     // Run by hand, and not by a worker.
///     Err(ReportError::NoDescriptor) => println!("{half}"),
///     Err(other) => eprintln!("{other}"),
/// }
/// # assert_eq!(half.to_string(), r#"{"message":"half of the rows","progress":50}"#);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Report {
    said: BTreeMap<&'static str, Box<RawValue>>,
    wrong: Option<ReportError>,
}

/// Why a report was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportError {
    /// The progress is not between 0 and 100.
    OutOfRange,
    /// The result cannot be written as JSON.
    NoJson {
        /// Why.
        reason: String,
    },
    /// The result is longer than 64 KiB.
    ResultTooLong {
        /// How long it is, in bytes.
        size: usize,
    },
    /// The message or the reason is longer than 4 KiB.
    TextTooLong {
        /// How long it is, in bytes.
        size: usize,
    },
    /// The wait is longer than 3650 days.
    WaitTooLong,
    /// Nothing is said.
    Empty,
    /// This process was not started by a worker, or by nobody whom one has started.
    NoDescriptor,
    /// The descriptor that the environment names is not there, or is not the one that it was.
    Closed {
        /// What the environment says.
        descriptor: String,
        /// What the system says.
        reason: String,
    },
    /// The attempt is over: nobody hears what is said of it.
    Over,
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::OutOfRange => f.write_str(OUT_OF_RANGE),
            ReportError::NoJson { reason } => write!(f, "the result is no JSON: {reason}"),
            ReportError::ResultTooLong { size } => {
                write!(f, "a result of {size} bytes is longer than {RESULT}")
            }
            ReportError::TextTooLong { size } => {
                write!(f, "a text of {size} bytes is longer than {TEXT}")
            }
            ReportError::WaitTooLong => f.write_str("a wait is 3650 days at most"),
            ReportError::Empty => f.write_str("nothing is said"),
            ReportError::NoDescriptor => write!(
                f,
                "there is nobody to report to: the environment has no {VARIABLE}, which workers give to the commands \
                 that they run"
            ),
            ReportError::Closed { descriptor, reason } => write!(
                f,
                "the descriptor {descriptor} that {VARIABLE} names is not the one that the worker gave: {reason}"
            ),
            ReportError::Over => f.write_str("the attempt is over: its worker hears no more of it"),
        }
    }
}

impl std::error::Error for ReportError {}

impl Report {
    /// Says nothing yet.
    pub fn new() -> Report {
        Report::default()
    }

    /// The attempt is so far, from 0 to 100.
    pub fn progress(self, percent: f64) -> Report {
        match (0.0..=100.0).contains(&percent) {
            true => self.with("progress", &number(percent)),
            false => self.but(ReportError::OutOfRange),
        }
    }

    /// That is what the attempt is at.
    pub fn message(self, message: impl Into<String>) -> Report {
        self.text("message", message.into())
    }

    /// That is what the task came to. It is kept if the attempt is done.
    /// A [`RawValue`] is sent as it was written.
    pub fn result(self, result: &impl Serialize) -> Report {
        let said = self.with("result", result);
        let size = said
            .said
            .get("result")
            .map_or(0, |result| result.get().len());
        match size {
            ..=RESULT => said,
            size => said.but(ReportError::ResultTooLong { size }),
        }
    }

    /// Not now: the task is to run again after so long, and that uses up none of its attempts. The command is to exit.
    pub fn retry_in(self, wait: Duration) -> Report {
        match wait <= LONGEST_WAIT {
            true => self.with("retry_in", &number(wait.as_secs_f64())),
            false => self.but(ReportError::WaitTooLong),
        }
    }

    /// The task has failed, and is not to be tried again. The command is to exit, with any code.
    pub fn fail(self, reason: impl Into<String>) -> Report {
        self.text("fail", reason.into())
    }

    /// Sends it to the worker that runs this command, or a command that has started this process.
    ///
    /// # Errors
    /// When something in it may not be said, and when there is nobody to hear it.
    pub fn send(&self) -> Result<(), ReportError> {
        self.send_to(&env::var_os(VARIABLE).unwrap_or_default().to_string_lossy())
    }

    fn send_to(&self, descriptor: &str) -> Result<(), ReportError> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if self.said.is_empty() {
            return Err(ReportError::Empty);
        }
        if descriptor.is_empty() {
            return Err(ReportError::NoDescriptor);
        }
        let closed = |reason: String| ReportError::Closed {
            descriptor: descriptor.to_owned(),
            reason,
        };
        let number = descriptor
            .parse()
            .map_err(|_| closed("it is no number".into()))?;
        fd::write_to_pipe(number, format!("{self}\n").as_bytes()).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => ReportError::Over,
                _ if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => {
                    closed("it is not open".into())
                }
                _ => closed(errno::said(&error)),
            }
        })
    }

    fn text(self, key: &'static str, text: String) -> Report {
        match text.len() {
            ..=TEXT => self.with(key, &text),
            size => self.but(ReportError::TextTooLong { size }),
        }
    }

    fn with(mut self, key: &'static str, value: &impl Serialize) -> Report {
        match to_raw_value(value) {
            Ok(value) => {
                self.said.insert(key, value);
                self
            }
            Err(error) => self.but(ReportError::NoJson {
                reason: error.to_string(),
            }),
        }
    }

    fn but(self, wrong: ReportError) -> Report {
        let wrong = self.wrong.or(Some(wrong));
        Report { wrong, ..self }
    }
}

/// As it is sent: JSON in one line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_string(&self.said) {
            // As JSON they can only stand between two of its words.
            Ok(line) => f.write_str(&line.replace(['\n', '\r'], " ")),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// A number as people write it: whole where it is. `None`: it is none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number that is not below 0, and no longer than a few years in seconds"
)]
pub(super) fn number(number: f64) -> Option<Value> {
    let is_whole = number.fract() == 0.0 && (0.0..=9e15).contains(&number);
    let number = match is_whole {
        true => Some(Number::from(number as u64)),
        false => Number::from_f64(number),
    };
    number.map(Value::Number)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::AsRawFd;

    use serde_json::json;

    use super::*;

    fn read(mut reader: PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_said_is_one_line() {
        let (reader, writer) = pipe().unwrap();
        let descriptor = writer.as_raw_fd().to_string();
        let all = Report::new()
            .progress(99.5)
            .message("nearly\nthere")
            .result(&json!({"a": [1, null]}))
            .retry_in(Duration::from_millis(1500))
            .fail("no such customer");
        all.send_to(&descriptor).unwrap();
        Report::new().progress(40.0).send_to(&descriptor).unwrap();
        let written: Box<RawValue> = serde_json::from_str("[1.50,\r\n 1e400]").unwrap();
        let result = Report::new().result(&written);
        result.send_to(&descriptor).unwrap();
        drop(writer);
        let line = concat!(
            r#"{"fail":"no such customer","message":"nearly\nthere","progress":99.5,"#,
            r#""result":{"a":[1,null]},"retry_in":1.5}"#
        );
        let result = r#"{"result":[1.50,   1e400]}"#;
        assert_eq!(
            read(reader),
            format!("{line}\n{{\"progress\":40}}\n{result}\n")
        );
    }

    #[test]
    fn what_may_not_be_said_is_not_sent() {
        let (reader, writer) = pipe().unwrap();
        let descriptor = writer.as_raw_fd().to_string();
        let long = "x".repeat(TEXT + 1);
        for (report, error) in [
            (Report::new().progress(100.1), ReportError::OutOfRange),
            (Report::new().progress(f64::NAN), ReportError::OutOfRange),
            (Report::new(), ReportError::Empty),
            (
                Report::new().fail(&long).message("m"),
                ReportError::TextTooLong { size: TEXT + 1 },
            ),
            (
                Report::new().result(&"x".repeat(RESULT)),
                ReportError::ResultTooLong { size: RESULT + 2 },
            ),
            (
                Report::new().retry_in(LONGEST_WAIT + Duration::from_secs(1)),
                ReportError::WaitTooLong,
            ),
        ] {
            assert_eq!(report.send_to(&descriptor), Err(error));
        }
        drop(writer);
        assert_eq!(read(reader), "");
    }

    #[test]
    fn where_nobody_hears_it_that_is_said() {
        let report = Report::new().progress(40.0);
        assert_eq!(report.send_to(""), Err(ReportError::NoDescriptor));
        let file = File::open("/dev/null").unwrap();
        for descriptor in ["eight", "-1", "1000000", &file.as_raw_fd().to_string()] {
            let said = report.send_to(descriptor).unwrap_err();
            assert!(matches!(said, ReportError::Closed { .. }), "{said:?}");
        }
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let over = report.send_to(&writer.as_raw_fd().to_string());
        assert_eq!(over, Err(ReportError::Over));
    }
}
