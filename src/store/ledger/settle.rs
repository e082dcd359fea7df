//! How an attempt ended, inside one transaction.

use rusqlite::{Connection, params};

use super::Settlement;
use crate::store::put::as_column;
use crate::store::{Failed, Millis};
use crate::task::retry::Next;
use crate::task::state::Status;

/// Records it, if the attempt is still its owner's, with the name of who ran it.
pub(super) fn settle(
    change: &Connection,
    settlement: &Settlement,
    owner: i64,
    worker: &str,
    now: Millis,
) -> Result<bool, Failed> {
    let (status, due, reason) = match &settlement.next {
        Next::Done => (Status::Done, None, None),
        Next::Cancelled => (Status::Cancelled, None, None),
        Next::Failed { reason } => (Status::Failed, None, Some(reason.as_str())),
        Next::Wait(delay) => {
            let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
            (Status::Waiting, Some(now.saturating_add(delay)), None)
        }
    };
    let ours = change
        .prepare_cached(
            "UPDATE tasks SET status = ?4, due = ?5, reason = ?6, owner = NULL, finished = ?7, spent = ?8, lost = ?9,
                job_kicks = coalesce(?10, job_kicks)
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
        )?
        .execute(params![
            settlement.task,
            settlement.number,
            owner,
            status.as_str(),
            due,
            reason,
            status.is_ended().then_some(now),
            settlement.budget.spent,
            settlement.budget.lost,
            settlement.kicks.map(as_column),
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
            settlement.task,
            worker,
            now,
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
                settlement.task,
                settlement.number,
                settlement.output.head,
                settlement.output.tail,
                as_column(settlement.output.dropped),
            ])?;
    }
    Ok(true)
}
