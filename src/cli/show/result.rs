//! `show --result`: what commands have reported as what their tasks came to, for whoever runs after them.

use std::io::Write;
use std::process::ExitCode;

use crate::api::Queue;
use crate::cli::configured::{self, block_on};
use crate::cli::out::out;
use crate::cli::{Failure, log};
use crate::config::Config;
use crate::ledger::read::{Key, Report};

/// Prints a line for each task.
pub fn run(ids: &[Key], config: &Config) -> Result<ExitCode, Failure> {
    let queue = configured::existing_queue(config)?;
    let Some(queue) = queue.map(Queue::on_this_thread) else {
        return Err(Failure::new(format!("there is no store {}", config.store)).gone());
    };
    let mut all_well = true;
    // JSON, which has no orders to a terminal in it but as escapes.
    let mut out = out(true);
    for id in ids {
        let task = block_on(async { Ok(queue.show(*id).await?) })?;
        let result = task.as_ref().and_then(|task| task.report.as_ref());
        match result.and_then(|said: &Report| said.result.as_deref()) {
            Some(result) => writeln!(out, "{}", one_line(result))?,
            None => {
                all_well = false;
                writeln!(out, "null")?;
                let why = match task {
                    Some(task) => format!("task {id} has no result: it is {}", task.status),
                    None => format!("task {id} is gone, or never was"),
                };
                log::say(format_args!("taskqueue: {why}"));
            }
        }
    }
    out.flush()?;
    Ok(match all_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// JSON may be written in several lines; a line break within a text is an escape there.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}
