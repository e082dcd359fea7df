//! One attempt: its command, and what it came to.

use std::fmt::Display;

use uuid::Uuid;

use super::control::Control;
use super::run::{self, Habit, Ran, Run};
use crate::clock::now;
use crate::ledger::{Attempt, Settlement};
use crate::ledger::{Millis, Store};
use crate::process::command::Spec;
use crate::process::environment::Environment;
use crate::process::leftover::{ATTEMPT_VARIABLE, STORE_VARIABLE, UUID_VARIABLE};
use crate::reconcile::end_remains;
use crate::task::retry::{self, Next};
use crate::task::state::Outcome;
use crate::tube::TubeName;

const TASK_VARIABLE: &str = "TASKQUEUE_TASK_ID";
const TUBE_VARIABLE: &str = "TASKQUEUE_TUBE";
const JOB_VARIABLE: &str = "TASKQUEUE_JOB_ID";
const COMMAND_VARIABLE: &str = "TASKQUEUE_COMMAND";

/// What each command has in its environment as its own. What says whose it is cannot be withheld, nor is it anybody
/// else's.
pub const OWN_VARIABLES: [&str; 7] = [
    TASK_VARIABLE,
    STORE_VARIABLE,
    UUID_VARIABLE,
    TUBE_VARIABLE,
    JOB_VARIABLE,
    ATTEMPT_VARIABLE,
    COMMAND_VARIABLE,
];

/// Starts an attempt's command.
///
/// # Errors
/// How it ended, if it could not be started.
pub fn begin(
    attempt: &Attempt,
    control: &mut Control,
    tube: &TubeName,
    environment: &Environment,
    store: Uuid,
    job: u64,
    habit: Habit,
) -> Result<Run, Ran> {
    let plan = &attempt.plan;
    let own: [(&'static str, &dyn Display); 7] = [
        (TASK_VARIABLE, &attempt.id.task),
        (STORE_VARIABLE, &store),
        (UUID_VARIABLE, &attempt.uuid),
        (TUBE_VARIABLE, tube),
        (JOB_VARIABLE, &job),
        (ATTEMPT_VARIABLE, &attempt.id.number),
        (COMMAND_VARIABLE, &plan.name),
    ];
    let spec = Spec {
        argv: &plan.argv,
        environment,
        added: &own,
        stdin: plan.stdin.clone(),
        inherited: attempt.alive.inherited(),
        listen: !habit.is_quiet(),
    };
    run::start(spec, plan.command.timeout, attempt.id.task, control)
}

/// Stays with an attempt to its end, and says what is to be recorded of it, and when it was started if it was claimed ahead
/// of its turn.
pub async fn end(
    store: &Store,
    control: &mut Control,
    attempt: Attempt,
    begun: Result<Run, Ran>,
    started: Option<Millis>,
) -> Settlement {
    let Ran { outcome, output } = match begun {
        Ok(run) => run.finish(control).await,
        Err(ran) => ran,
    };
    let finished = now();
    let rules = &attempt.plan.command.retry;
    let (next, budget) = retry::next(&outcome, rules, attempt.budget);
    tell(&attempt, &outcome, &next);
    // From here on the lock is held only by what the command left behind.
    drop(attempt.alive);
    // Only what is done may leave a daemon behind. What has failed may be regenerated.
    if next != Next::Done {
        // What cannot be ended now keeps the next attempt from beginning.
        end_remains(store, attempt.id, attempt.uuid).await;
    }
    Settlement {
        id: attempt.id,
        outcome,
        next,
        budget,
        output,
        kicks: None,
        started,
        finished,
    }
}

/// What went well is in the store; the log is for what did not.
fn tell(attempt: &Attempt, outcome: &Outcome, next: &Next) {
    let (task, number) = (attempt.id.task.0, attempt.id.number);
    let (command, outcome) = (&attempt.plan.name, outcome.word());
    match next {
        Next::Done => tracing::debug!(task, attempt = number, command, outcome, "did a task"),
        Next::Cancelled => {
            tracing::info!(task, attempt = number, command, outcome, "cancelled a task")
        }
        Next::Failed { reason } => {
            tracing::warn!(
                task,
                attempt = number,
                command,
                outcome,
                reason,
                "failed a task"
            );
        }
        Next::Wait(delay) => {
            let delay = delay.as_secs_f32();
            tracing::info!(
                task,
                attempt = number,
                command,
                outcome,
                delay,
                "left a task for later"
            );
        }
    }
}
