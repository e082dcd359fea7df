//! `put --wait`: the task stands where its command stood.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::api::{Captured, Put, Status, Task};
use crate::cli::configured::{self, block_on};
use crate::cli::out::{as_it_is, is_terminal, out};
use crate::cli::put::doubt::Doubt;
use crate::cli::put::existing::say_existing;
use crate::cli::put::unserved;
use crate::cli::wait::TIME_IS_UP;
use crate::cli::{Failure, log};
use crate::config::Config;
use crate::tube::TubeName;

/// Puts a task that may be put there, waits until it has ended, prints what its last attempt printed, and exits with
/// its code.
pub fn run(
    config: &Config,
    tube: &TubeName,
    put: Put,
    is_strict: bool,
    within: Option<Duration>,
) -> Result<ExitCode, Failure> {
    let queue = configured::queue(config)?;
    block_on(async {
        let mut doubt = Doubt::new(config, tube);
        for doubt in doubt.of(std::slice::from_ref(&put)) {
            log::warn(format_args!("{doubt}"));
        }
        let receipt = queue.put(tube, put).await?;
        let id = receipt.id;
        say_existing(&receipt);
        if let Some(error) = &receipt.trouble {
            log::warn(format_args!(
                "{error}\n  task {id} is recorded, and its job will be put when the broker is back"
            ));
        }
        if !is_strict {
            unserved::warn(config, &queue, tube).await;
        }
        let waited = queue.wait(&[id], false, within).await?;
        if !waited.open.is_empty() {
            log::say(format_args!(
                "taskqueue: the time is up; task {id} goes on\n  wait on with: taskqueue wait {id}; call it off with: \
                 taskqueue cancel {id}"
            ));
            return Ok(ExitCode::from(TIME_IS_UP));
        }
        let Some(task) = queue.show(id).await? else {
            return Err(Failure::new(format!(
                "task {id} has ended, and was cleaned up before anybody could see how"
            )));
        };
        tell(&task)?;
        Ok(ExitCode::from(task.exit_status().unwrap_or(1)))
    })
}

fn tell(task: &Task) -> io::Result<()> {
    let last = task.attempts.last();
    if let Some(output) = last.and_then(|attempt| attempt.output.as_ref()) {
        print(output)?;
    }
    // Where the command says by its code what is wrong, that is enough.
    let has_code = last.is_some_and(|last| last.exit_code.is_some() || last.signal.is_some());
    let is_cancelled = task.status == Status::Cancelled;
    if task.exit_status() != Some(0) && (is_cancelled || !has_code) {
        let id = task.id;
        let became = match is_cancelled {
            true => "was cancelled",
            false => "has failed",
        };
        let reason = task.reason.as_deref().unwrap_or("no reason was given");
        log::say(format_args!("taskqueue: task {id} {became}: {reason}"));
    }
    Ok(())
}

/// Byte for byte, but for a terminal, to which nothing that a stranger wrote is an order.
fn print(output: &Captured) -> io::Result<()> {
    let mut to: Box<dyn Write> = match is_terminal() {
        true => Box::new(out(false)),
        false => Box::new(as_it_is()),
    };
    to.write_all(&output.head)?;
    if output.dropped > 0 {
        to.flush()?;
        let dropped = output.dropped;
        log::warn(format_args!(
            "{dropped} bytes were left out here: the first and the last 64 KiB are kept"
        ));
    }
    to.write_all(&output.tail)?;
    to.flush()
}
