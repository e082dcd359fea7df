//! Where a task goes from where it stands. Every change of a task's status is here, and nowhere else.
//!
//! ```text
//! (new) ──record──▶ waiting ──begin──▶ running ──end──▶ done, failed, cancelled
//!                      ▲ └──cancel──┐     │
//!                      │◀──end, unclaim───┘
//!                      │            ▼
//!                      └◀──renew── cancelled, failed
//! ```
//!
//! What runs is not cancelled here: the row says that it is to be, and whatever ends the attempt goes by that, but for
//! an end with 0. So there is one place in which the two meet, and one of them has come first.

use serde_json::json;

use super::entry::Settlement;
use super::error::Failed;
use super::events::{self, About, tell, tell_more};
use super::minutes::Sums;
use super::read::SHOWN;
use super::rows::{Beginning, EndedAttempt, Ending, Kin, NewRow, Rows, Said};
use crate::task::Millis;
use crate::task::event::What;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::report::Progress;
use crate::task::retry::Next;
use crate::task::state::Status;
use crate::tube::TubeName;

/// A new task waits; `None` if its uuid is another's.
pub(super) fn record(rows: &dyn Rows, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed> {
    let recorded = rows.insert(row)?;
    if let Some(task) = recorded {
        tell(rows, What::Put, row.created, task.into())?;
    }
    Ok(recorded)
}

/// A task that waits runs.
pub(super) fn begin(rows: &dyn Rows, beginning: &Beginning) -> Result<(), Failed> {
    rows.begin(beginning)?;
    tell(rows, What::Started, beginning.started, beginning.id.into())
}

/// The same where the attempt is only there to be refused: nothing is said to have started.
pub(super) fn begin_to_refuse(rows: &dyn Rows, beginning: &Beginning) -> Result<(), Failed> {
    rows.begin(beginning)
}

/// What came of the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The attempt is somebody else's.
    NotOurs,
    /// It is recorded as was said.
    AsSaid,
    /// The task was to be cancelled, and is.
    CalledOff,
}

impl End {
    pub fn is_ours(self) -> bool {
        match self {
            End::NotOurs => false,
            End::AsSaid | End::CalledOff => true,
        }
    }
}

/// A task that runs ends, or waits for its next attempt: if its attempt is still its owner's. The attempt gets a row
/// of its own, with the name of who ran it, and is counted.
///
/// A task that is to be cancelled is done if its command went well, and otherwise cancelled.
pub(super) fn end(
    rows: &dyn Rows,
    sums: &Sums,
    settlement: &Settlement,
    owner: WorkerId,
    worker: &str,
) -> Result<End, Failed> {
    let wish = match settlement.next {
        Next::Done => None,
        Next::Cancelled | Next::Failed { .. } | Next::Wait(_) => rows.wish(settlement.id.task)?,
    };
    let wish = wish.filter(|wish| wish.attempt == settlement.id);
    let ended = match &wish {
        None => write_end(rows, sums, settlement, None, owner, worker)?,
        Some(wish) => {
            let reason = wish.reason.as_deref();
            let settlement = settlement.called_off(wish.budget);
            write_end(rows, sums, &settlement, reason, owner, worker)?
        }
    };
    Ok(match (ended, wish) {
        (false, _) => End::NotOurs,
        (true, None) => End::AsSaid,
        (true, Some(_)) => End::CalledOff,
    })
}

/// So many of a task's attempts are kept, the newest, which is as many as are ever shown of one.
const KEPT: i64 = SHOWN as i64;

/// So many others may be there before they go.
const AT_ONCE: i64 = 100;

/// `why` a task is cancelled, if it is.
fn write_end(
    rows: &dyn Rows,
    sums: &Sums,
    settlement: &Settlement,
    why: Option<&str>,
    owner: WorkerId,
    worker: &str,
) -> Result<bool, Failed> {
    let finished = settlement.finished;
    let (status, due, reason) = match &settlement.next {
        Next::Done => (Status::Done, None, None),
        Next::Cancelled => (Status::Cancelled, None, why),
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
    let Some(is_parent) = ours else {
        return Ok(false);
    };
    if is_parent && status.is_ended() {
        sums.has_ended(settlement.id.task);
    }
    rows.add_attempt(&EndedAttempt {
        id: settlement.id,
        worker,
        finished,
        outcome: &settlement.outcome,
        took: settlement.took,
    })?;
    // A task that is tried without end would fill the store with how.
    let number = settlement.id.number;
    if number > KEPT && number % AT_ONCE == 0 {
        let number = number.saturating_sub(KEPT);
        rows.forget_attempts(AttemptId {
            number,
            ..settlement.id
        })?;
    }
    let what = events::of_end(&settlement.next, &settlement.outcome);
    tell(rows, what, finished, settlement.id.into())?;
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
    match &settlement.ran {
        Some(ran) => sums.add(settlement, ran),
        None => sums.add(settlement, &rows.ran(settlement.id.task)?),
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
/// owner's. True if so. If it is to be cancelled, it is, since it was asked for.
pub(super) fn unclaim(
    rows: &dyn Rows,
    sums: &Sums,
    attempt: AttemptId,
    owner: WorkerId,
    now: Millis,
) -> Result<bool, Failed> {
    let wish = rows.wish(attempt.task)?;
    let waits = rows.unclaim(attempt, owner)?;
    if waits {
        tell(rows, What::Withdrawn, now, attempt.into())?;
    }
    if let Some(wish) = wish.filter(|_| waits) {
        let kin = cancel(rows, attempt.task, wish.asked, wish.reason.as_deref())?;
        if kin.is_some_and(|kin| kin.has_children) {
            sums.has_ended(attempt.task);
        }
    }
    Ok(waits)
}

/// A task that waits is cancelled. Whoever waits for it is to hear of that: with whom it has to do, if it waited.
pub(super) fn cancel(
    rows: &dyn Rows,
    task: TaskId,
    now: Millis,
    reason: Option<&str>,
) -> Result<Option<Kin>, Failed> {
    // Of one that was let go, whoever finds its job lets the next one go.
    if rows
        .held_by(task)?
        .is_some_and(|held| held.let_go.is_none())
    {
        rows.forget_held(task)?;
    }
    let kin = rows.cancel(task, now, reason)?;
    if kin.is_some() {
        tell(rows, What::Cancelled, now, task.into())?;
    }
    Ok(kin)
}

/// A task that does not run is gone. What it was is said with that, for its row says it no more.
pub(super) fn delete(rows: &dyn Rows, task: TaskId, now: Millis) -> Result<Kin, Failed> {
    let about = About::from(task);
    let row = rows.event_of(task, None)?.unwrap_or_default();
    let detail = json!({
        "uuid": row.uuid.map(|uuid| uuid.to_string()),
        "tube": row.tube,
        "command": row.command,
    });
    tell_more(rows, What::Deleted, now, about, Some(&detail))?;
    rows.delete(task)
}

/// A task that failed or was cancelled waits again, with a fresh budget, perhaps in another tube. Whoever waits for it
/// is to hear of that: with whom it has to do.
pub(super) fn renew(
    rows: &dyn Rows,
    task: TaskId,
    now: Millis,
    tube: Option<&TubeName>,
) -> Result<Kin, Failed> {
    let kin = rows.renew(task, now, tube)?;
    tell(rows, What::Regenerated, now, task.into())?;
    Ok(kin)
}
