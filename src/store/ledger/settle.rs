//! How an attempt ended, inside one transaction.

use rusqlite::{Connection, params};

use super::{Entry, Settlement};
use crate::store::put::as_column;
use crate::store::worker::Me;
use crate::store::{Failed, Millis};
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::retry::Next;
use crate::task::state::Status;

/// Records what has happened; of each attempt that ended, whether it was its owner's.
pub(super) fn settle_all(change: &Connection, entry: &Entry, me: &Me) -> Result<Vec<bool>, Failed> {
    let mut ours = Vec::with_capacity(entry.settle.len());
    for settlement in &entry.settle {
        ours.push(settle(change, settlement, me.id, &me.name)?);
    }
    if let Some((AttemptId { task, number }, started)) = entry.begun {
        change
            .prepare_cached(
                "UPDATE tasks SET ahead = 0, started = ?4
                 WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
            )?
            .execute(params![task, number, me.id, started])?;
    }
    for attempt in &entry.unclaim {
        unclaim(change, *attempt, me.id)?;
    }
    for (task, kicks) in &entry.kicks {
        note_kicks(change, *task, *kicks)?;
    }
    Ok(ours)
}

/// Records how often the job of a task that failed had been kicked by then. Kicking it once more asks for another run.
fn note_kicks(change: &Connection, task: TaskId, kicks: u64) -> Result<(), Failed> {
    change
        .prepare_cached(
            "UPDATE tasks SET job_kicks = max(job_kicks, ?2) WHERE id = ?1 AND status = 'failed'",
        )?
        .execute(params![task, as_column(kicks)])?;
    Ok(())
}

/// Has a task wait again that was claimed ahead of its turn, if it is still its owner's. It had never been tried, and
/// was due.
pub(super) fn unclaim(
    change: &Connection,
    AttemptId { task, number }: AttemptId,
    owner: WorkerId,
) -> Result<bool, Failed> {
    let waits = change
        .prepare_cached(
            "UPDATE tasks SET status = 'waiting', due = created, owner = NULL, worker = NULL, attempt = 0,
                started = NULL, ahead = 0
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3 AND ahead = 1",
        )?
        .execute(params![task, number, owner])?;
    Ok(waits == 1)
}

/// Records how an attempt ended, if it is still its owner's, with the name of who ran it.
pub(super) fn settle(
    change: &Connection,
    settlement: &Settlement,
    owner: WorkerId,
    worker: &str,
) -> Result<bool, Failed> {
    let AttemptId { task, number } = settlement.id;
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
    let ours = change
        .prepare_cached(
            "UPDATE tasks SET status = ?4, due = ?5, reason = ?6, owner = NULL, finished = ?7, spent = ?8, lost = ?9,
                job_kicks = coalesce(?10, job_kicks), started = coalesce(?11, started), ahead = 0
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
        )?
        .execute(params![
            task,
            number,
            owner,
            status.as_str(),
            due,
            reason,
            status.is_ended().then_some(finished),
            settlement.budget.spent,
            settlement.budget.lost,
            settlement.kicks.map(as_column),
            settlement.started,
        ])?;
    if ours == 0 {
        return Ok(false);
    }
    let outcome = &settlement.outcome;
    change
        .prepare_cached(
            "INSERT INTO attempts (task, number, worker, started, finished, outcome, exit_code, signal, reason)
             SELECT id, attempt, ?2, started, ?3, ?4, ?5, ?6, ?7 FROM tasks WHERE id = ?1",
        )?
        .execute(params![
            task,
            worker,
            finished,
            outcome.word(),
            outcome.exit_code(),
            outcome.signal(),
            outcome.reason(),
        ])?;
    if settlement.output.size() > 0 {
        change
            .prepare_cached(
                "INSERT INTO output (task, number, head, tail, dropped) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                task,
                number,
                settlement.output.head,
                settlement.output.tail,
                as_column(settlement.output.dropped),
            ])?;
    }
    Ok(true)
}
