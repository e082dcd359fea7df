//! Where a task goes from where it stands. Every change of a task's status is here, and nowhere else.
//!
//! ```text
//! (new) ──record──▶ waiting ──begin──▶ running ──end──▶ done, failed, cancelled
//!                      ▲                  │
//!                      │◀──end, unclaim───┘
//!                      └◀──renew──────────────── failed
//! ```

use super::entry::Settlement;
use super::error::Failed;
use super::rows::{Beginning, EndedAttempt, Ending, NewRow, Rows, Said};
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::report::Progress;
use crate::task::retry::Next;
use crate::task::state::Status;
use crate::tube::TubeName;

/// A new task waits; `None` if its uuid is another's.
pub(super) fn record(rows: &dyn Rows, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed> {
    rows.insert(row)
}

/// A task that waits runs.
pub(super) fn begin(rows: &dyn Rows, beginning: &Beginning) -> Result<(), Failed> {
    rows.begin(beginning)
}

/// A task that runs ends, or waits for its next attempt: if its attempt is still its owner's. The attempt gets a row
/// of its own, with the name of who ran it. True if so.
pub(super) fn end(
    rows: &dyn Rows,
    settlement: &Settlement,
    owner: WorkerId,
    worker: &str,
) -> Result<bool, Failed> {
    let finished = settlement.finished;
    let (status, due, reason) = match &settlement.next {
        Next::Done => (Status::Done, None, None),
        Next::Cancelled => (Status::Cancelled, None, None),
        Next::Failed { reason } => (Status::Failed, None, Some(reason.as_str())),
        Next::Wait(delay) => {
            let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
            (Status::Waiting, Some(finished.saturating_add(delay)), None)
        }
    };
    let ours = rows.end(&Ending {
        id: settlement.id,
        owner,
        status,
        due,
        reason,
        finished: status.is_ended().then_some(finished),
        budget: settlement.budget,
        kicks: settlement.kicks,
        started: settlement.started,
    })?;
    if !ours {
        return Ok(false);
    }
    rows.add_attempt(&EndedAttempt {
        id: settlement.id,
        worker,
        finished,
        outcome: &settlement.outcome,
    })?;
    if settlement.output.size() > 0 {
        rows.add_output(settlement.id, &settlement.output)?;
    }
    if let Some(report) = &settlement.report {
        rows.set_report(&Said {
            id: settlement.id,
            at: finished,
            progress: &report.progress,
            result: report.result.as_deref(),
        })?;
    }
    Ok(true)
}

/// A task that runs is so far: if its attempt is still its owner's. True if so.
pub(super) fn progress(
    rows: &dyn Rows,
    attempt: AttemptId,
    owner: WorkerId,
    progress: &Progress,
    now: Millis,
) -> Result<bool, Failed> {
    let ours = rows.is_running(attempt, Some(owner))?;
    if ours {
        rows.set_report(&Said {
            id: attempt,
            at: now,
            progress,
            result: None,
        })?;
    }
    Ok(ours)
}

/// A task whose attempt was claimed and never began waits again, and has used up nothing: if the attempt is still its
/// owner's. True if so.
pub(super) fn unclaim(
    rows: &dyn Rows,
    attempt: AttemptId,
    owner: WorkerId,
) -> Result<bool, Failed> {
    rows.unclaim(attempt, owner)
}

/// A task that failed waits again, with a fresh budget, perhaps in another tube.
pub(super) fn renew(
    rows: &dyn Rows,
    task: TaskId,
    now: Millis,
    tube: Option<&TubeName>,
) -> Result<(), Failed> {
    rows.renew(task, now, tube)
}
