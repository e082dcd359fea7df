//! `taskqueue report`

use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;

use super::Failure;
use crate::api::{Report, ReportError};
use crate::config::duration;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  taskqueue report --progress 40 --message 'half of the rows'
  taskqueue report --result '{\"rows\":1200}'
  taskqueue report --retry-in 5m; exit 0
  taskqueue report --fail 'no such customer'; exit 1

For commands that a worker runs, and what they start. The same can be written as a line of JSON to the
descriptor that TASKQUEUE_REPORT_FD names: echo '{\"progress\":40}' >&$TASKQUEUE_REPORT_FD.")]
pub struct Flags {
    /// How far the attempt is, from 0 to 100
    #[arg(long, value_name = "PERCENT", value_parser = percent, allow_hyphen_values = true)]
    progress: Option<f64>,
    /// What the attempt is at
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// What the task came to: any JSON, 64 KiB at most
    ///
    /// Kept when the command has exited with 0
    #[arg(long, value_name = "JSON", value_parser = result, allow_hyphen_values = true)]
    result: Option<Box<RawValue>>,
    /// Not now: let the task wait for so long when the command has exited
    ///
    /// That uses up none of the task's attempts; once the task has been put off as often as its command's max_snoozes
    /// says, 100 times by default, it fails
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    retry_in: Option<Duration>,
    /// The task has failed when the command has exited, and is not tried again
    #[arg(long, value_name = "WHY")]
    fail: Option<String>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.trim().trim_end_matches('%');
    let percent = percent.parse::<f64>();
    let percent = percent.map_err(|_| format!("'{text}' is no number, such as 40"))?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent),
        false => Err(ReportError::OutOfRange.to_string()),
    }
}

/// As it is written: a number keeps its digits.
fn result(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|_| {
        format!("'{text}' is no JSON; a text is written '\"done\"', with quotes of its own")
    })
}

pub fn run(flags: Flags) -> Result<(), Failure> {
    let Flags {
        progress,
        message,
        result,
        retry_in,
        fail,
    } = flags;
    let report = Report::new();
    let report = progress.into_iter().fold(report, Report::progress);
    let report = message.into_iter().fold(report, Report::message);
    let report = result
        .iter()
        .fold(report, |report, result| report.result(result));
    let report = retry_in.into_iter().fold(report, Report::retry_in);
    let report = fail.into_iter().fold(report, Report::fail);
    report.send().map_err(failure)
}

fn failure(error: ReportError) -> Failure {
    let said = error.to_string();
    match error {
        ReportError::OutOfRange
        | ReportError::NoJson { .. }
        | ReportError::ResultTooLong { .. }
        | ReportError::TextTooLong { .. }
        | ReportError::WaitTooLong => Failure::usage(said),
        ReportError::Empty => Failure::usage(said)
            .next("say at least one thing, such as taskqueue report --progress 40"),
        ReportError::NoDescriptor => Failure::new(said)
            .next("put a task that runs this: taskqueue report is for commands of tasks"),
        ReportError::Closed { .. } => Failure::new(said).next(
            "sudo and some shells close it: report before them, or have them keep it (sudo -C)",
        ),
        ReportError::Over => Failure::new(said),
    }
}
