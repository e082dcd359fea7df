//! What tasks came to, a line each. The log has a bound of its own for these lines: they tell a day's work, and what is
//! left out is in the store.

use std::time::Duration;

use crate::ledger::Settlement;
use crate::task::retry::Next;
use crate::tube::TubeName;

/// Logs it. Nothing of a payload is in it.
pub(super) fn say(
    settlement: &Settlement,
    long: Duration,
    (worker, tube, command): (&str, &TubeName, &str),
) {
    let (task, attempt) = (settlement.id.task, settlement.id.number);
    let outcome = settlement.outcome.word();
    let duration = seconds(long);
    match &settlement.next {
        Next::Done => {
            tracing::info!(worker, %task, %tube, attempt, command, outcome, duration, "did a task");
        }
        Next::Cancelled => {
            tracing::info!(worker, %task, %tube, attempt, command, outcome, duration, "cancelled a task");
        }
        Next::Failed { reason } => {
            tracing::warn!(worker, %task, %tube, attempt, command, outcome, duration, reason, "failed a task");
        }
        Next::Wait(delay) => {
            let delay = delay.as_secs_f32();
            tracing::info!(
                worker,
                %task,
                %tube,
                attempt,
                command,
                outcome,
                duration,
                delay,
                "left a task for later"
            );
        }
    }
}

/// To the millisecond.
fn seconds(long: Duration) -> f64 {
    let whole = Duration::from_millis(u64::try_from(long.as_millis()).unwrap_or(u64::MAX));
    whole.as_secs_f64()
}
