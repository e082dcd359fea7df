//! Running the cleanup of an attempt that was cut short: what it had others do, elsewhere, is to end before the next
//! attempt begins.
//!
//! Whoever answers for the attempt runs its cleanup, once nothing of the attempt is left here, and before anything is
//! recorded: the worker that ran the attempt, or whoever took it over from a dead one. So nobody else runs it at that
//! time. Whoever dies in the middle leaves the cleanup with the attempt's token on it: the cleanup is ended like all
//! that is left of the attempt, and run again.

use std::fmt::Display;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::process::command::{Event, Running, Spec};
use crate::process::environment::Environment;
use crate::process::explain::explain;
use crate::process::lack::{Lack, NotStarted};
use crate::process::variables::{
    ATTEMPT_VARIABLE, COMMAND_VARIABLE, JOB_VARIABLE, STORE_VARIABLE, TASK_VARIABLE, TUBE_VARIABLE,
    UUID_VARIABLE,
};
use crate::task::command::Cleanup;
use crate::task::output::Capture;
use crate::task::state::Exit;

/// How long a cleanup may take. Whoever waits for it waits for no longer.
const TIME: Duration = Duration::from_secs(10);

/// How long one that was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(1);

/// Between two tries to start one where there is no room for a process.
const AGAIN: Duration = Duration::from_secs(1);

/// As many characters of what it printed are told, its last.
const TOLD: usize = 600;

/// A cleanup that runs. It does not outlive whoever waits for it.
struct Cleaning(Running);

impl Drop for Cleaning {
    fn drop(&mut self) {
        // One that became another user's is not ours to end.
        let _ = self.0.signal(Signal::KILL);
        // One that is not gone yet is reaped with us.
        let _ = self.0.try_wait();
    }
}

/// Runs an attempt's cleanup to its end, or for as long as it may take. What comes of it is told, and holds nothing up:
/// one that fails is for people.
pub async fn clean_up(cleanup: &Cleanup, store: Uuid, environment: &Environment) {
    let Cleanup {
        attempt,
        command,
        argv,
        ..
    } = cleanup;
    let mut capture = Capture::default();
    let what = What {
        argv,
        told: &[],
        within: TIME,
    };
    let ended = run(cleanup, &what, store, environment, &mut capture).await;
    let (task, attempt) = (attempt.task.0, attempt.number);
    let printed = last(&capture.finish().to_text());
    match ended {
        Ok(()) => tracing::info!(
            task,
            attempt,
            command,
            printed,
            "cleaned up after an attempt"
        ),
        Err(reason) => {
            let program = argv.first().map_or("", String::as_str);
            tracing::error!(
                task,
                attempt,
                command,
                program,
                reason,
                printed,
                "could not clean up after an attempt: what it left elsewhere may run on beside the next one; end that \
                 by hand, and see to the command's cleanup"
            );
        }
    }
}

/// Runs what is run after each attempt, if there is anything. What is to stand behind what the attempt's command has
/// printed: what this one prints, and what went wrong with it.
pub async fn run_after(cleanup: &Cleanup, store: Uuid, environment: &Environment) -> Vec<u8> {
    let Some(after) = &cleanup.after else {
        return Vec::new();
    };
    let what = What {
        argv: &after.argv,
        told: &after.told,
        within: after.within,
    };
    let mut capture = Capture::default();
    let ended = run(cleanup, &what, store, environment, &mut capture).await;
    let mut printed = capture.finish().to_text();
    if let Err(reason) = ended {
        let (task, attempt) = (cleanup.attempt.task.0, cleanup.attempt.number);
        let program = after.argv.first().map_or("", String::as_str);
        tracing::warn!(
            task,
            attempt,
            command = cleanup.command,
            program,
            reason,
            "what is run after an attempt has failed; the attempt ends as its command did"
        );
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        printed.push_str(&format!("taskqueue: after: {reason}\n"));
    }
    printed.into_bytes()
}

/// What is run.
struct What<'a> {
    argv: &'a [String],
    /// More of its environment.
    told: &'a [(&'static str, String)],
    within: Duration,
}

async fn run(
    cleanup: &Cleanup,
    what: &What<'_>,
    store: Uuid,
    environment: &Environment,
    capture: &mut Capture,
) -> Result<(), String> {
    let until = Instant::now() + what.within;
    let mut cleaning = start(cleanup, what, store, environment, until).await?;
    let exit = match timeout_at(until, exits(&mut cleaning.0, capture)).await {
        Ok(exit) => exit,
        Err(_) => {
            // One that became another user's is not waited for any longer either.
            let _ = cleaning.0.signal(Signal::KILL);
            let until = Instant::now() + KILLED;
            // However that ends, it has taken too long.
            let _ = timeout_at(until, exits(&mut cleaning.0, capture)).await;
            cleaning.0.last_words(|chunk| capture.push(chunk));
            return Err(format!("it was killed after {} s", what.within.as_secs()));
        }
    };
    cleaning.0.last_words(|chunk| capture.push(chunk));
    match exit {
        Some(Exit::Code(0)) => Ok(()),
        Some(Exit::Code(code)) => Err(format!("it exited with {code}")),
        Some(Exit::Signal(signal)) => Err(format!("it was ended by signal {signal}")),
        None => Err("nobody knows how it ended".into()),
    }
}

/// Starts it, if there is room for a process by then.
async fn start(
    cleanup: &Cleanup,
    what: &What<'_>,
    store: Uuid,
    environment: &Environment,
    until: Instant,
) -> Result<Cleaning, String> {
    loop {
        match try_start(cleanup, what, store, environment) {
            Ok(running) => return Ok(Cleaning(running)),
            Err((Lack::Room, _)) if Instant::now() + AGAIN < until => {}
            Err((_, reason)) => return Err(format!("it could not be started: {reason}")),
        }
        sleep(AGAIN).await;
    }
}

/// Starts it, or says what is lacking and why.
fn try_start(
    cleanup: &Cleanup,
    what: &What<'_>,
    store: Uuid,
    environment: &Environment,
) -> Result<Running, (Lack, String)> {
    let Cleanup {
        attempt,
        uuid,
        tube,
        job,
        command,
        argv: _,
        after: _,
        conditions,
    } = cleanup;
    let argv = what.argv;
    let environment = environment.under(&conditions.variables);
    let mut own: Vec<(&'static str, &dyn Display)> = vec![
        (TASK_VARIABLE, &attempt.task),
        (STORE_VARIABLE, &store),
        (UUID_VARIABLE, uuid),
        (TUBE_VARIABLE, tube),
        (ATTEMPT_VARIABLE, &attempt.number),
        (COMMAND_VARIABLE, command),
    ];
    if let Some(job) = job {
        own.push((JOB_VARIABLE, job));
    }
    let told = what.told.iter();
    own.extend(told.map(|(name, value)| (*name, value as &dyn Display)));
    let started = Running::start(Spec {
        argv,
        environment: &environment,
        added: &own,
        stdin: None,
        reports: false,
        inherited: None,
        note: None,
        conditions,
        listen: true,
    });
    started.map_err(|NotStarted { lack, error }| {
        let program = argv.first().map_or("", String::as_str);
        let reason = match lack {
            Lack::Room | Lack::Folder | Lack::Condition => error.to_string(),
            Lack::Program | Lack::Sense => explain(
                program,
                &environment,
                conditions.directory.as_deref(),
                &error,
            ),
        };
        (lack, reason)
    })
}

/// `None`: it is not ours to wait for, which nobody can explain.
async fn exits(running: &mut Running, capture: &mut Capture) -> Option<Exit> {
    while !running.is_listened_to() {
        if running.listen().is_err() {
            sleep(AGAIN).await;
        }
    }
    loop {
        match running.next().await {
            Ok(Event::Output(chunk)) => capture.push(&chunk),
            // It finds no descriptor for that.
            Ok(Event::Reported(_)) => {}
            Ok(Event::Exited(exit)) => return Some(exit),
            Err(_) => return None,
        }
    }
}

/// The end of a text, for a line of the log.
fn last(text: &str) -> String {
    let text = text.trim_end();
    let from = text
        .char_indices()
        .rev()
        .nth(TOLD - 1)
        .map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_printed_the_end_is_told() {
        assert_eq!(last(" a\nb\n"), " a\nb");
        assert_eq!(last(""), "");
        let long = format!("{}{}\n", "x".repeat(9), "é".repeat(TOLD));
        assert_eq!(last(&long), "é".repeat(TOLD));
    }
}
