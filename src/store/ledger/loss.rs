//! What becomes of an attempt whose worker is dead, inside one transaction.

use rusqlite::{Connection, OptionalExtension};

use super::claim::Claiming;
use super::row::TaskRow;
use super::settle::{settle, unclaim};
use super::{DeadAttempt, Left, Settlement};
use crate::sqlite::clock::boot_id;
use crate::store::locks::LockFile;
use crate::store::reconcile::AfterLoss;
use crate::store::slate::{self, Key, Noted};
use crate::store::worker::Me;
use crate::store::{Failed, Millis};
use crate::task::output::Kept;
use crate::task::retry::{self, Budget, Next};
use crate::task::state::{Loss, Outcome};

impl Claiming<'_> {
    /// Records an attempt that we took over: as its worker's slate says, or as lost.
    pub fn lose(&self, dead: &DeadAttempt) -> Result<AfterLoss, Failed> {
        let Some(task) = self.by_uuid(&dead.uuid)? else {
            return Ok(AfterLoss::NotOurs);
        };
        let (worker, why) = lost_worker(self.change, task.id)?;
        let noted = task.worker.and_then(|id| self.noted(id, dead));
        let (outcome, output, started, finished) = match noted {
            Some(Noted::Done(done)) => {
                let output = Kept {
                    head: done.output,
                    ..Kept::default()
                };
                (Outcome::Exited(0), output, done.started, done.finished)
            }
            Some(Noted::Nothing) if task.ahead => {
                let key = (dead.task, dead.number);
                return Ok(match unclaim(self.change, key, self.me.id)? {
                    true => AfterLoss::Unbegun,
                    false => AfterLoss::NotOurs,
                });
            }
            Some(Noted::Nothing | Noted::Begun) | None => {
                (Outcome::Lost(why), Kept::default(), None, self.now)
            }
        };
        let plan = self.commands.plan(task.uuid, &task.tube, &task.content);
        let rules = self.commands.rules(&task.tube, plan.as_ref().ok());
        let (next, budget) = retry::next(&outcome, &rules, task.budget);
        let after = match &next {
            Next::Done => AfterLoss::Done,
            Next::Failed { reason } => AfterLoss::Failed {
                reason: reason.clone(),
            },
            Next::Wait(_) | Next::Cancelled => AfterLoss::Waits,
        };
        let settlement = Settlement {
            task: dead.task,
            number: dead.number,
            outcome,
            next,
            budget,
            output,
            kicks: None,
            started,
            finished,
        };
        Ok(
            match settle(self.change, &settlement, self.me.id, &worker)? {
                true => after,
                false => AfterLoss::NotOurs,
            },
        )
    }

    fn noted(&self, worker: i64, dead: &DeadAttempt) -> Option<Noted> {
        slate::noted(self.locks, worker, (dead.task, dead.number))
    }

    pub(super) fn left(&self, task: &TaskRow) -> Left {
        let key = (task.id, task.attempt);
        left(self.locks, task.worker, key, task.ahead)
    }
}

/// Who ran a task's newest attempt, by name if that is known, and why it did not end it.
fn lost_worker(change: &Connection, task: i64) -> Result<(String, Loss), Failed> {
    let (name, boot): (String, Option<String>) = change
        .prepare_cached(
            "SELECT coalesce(name, CAST(worker AS TEXT), ''), boot
             FROM tasks LEFT JOIN workers ON workers.id = worker WHERE tasks.id = ?1",
        )?
        .query_row([task], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((name, why_lost(boot.as_deref())))
}

/// Records an attempt that we took over, of a task whose row cannot be read: as done if its worker's slate says so, as
/// not begun likewise, and otherwise the task has failed, whatever it might be allowed. Nothing of the row is read but
/// who ran the attempt.
pub(super) fn give_up(
    change: &Connection,
    locks: &LockFile,
    dead: &DeadAttempt,
    wrong: &str,
    me: &Me,
    now: Millis,
) -> Result<AfterLoss, Failed> {
    let key = (dead.task, dead.number);
    let worker: Option<i64> = change
        .prepare_cached("SELECT worker FROM tasks WHERE id = ?1")?
        .query_row([dead.task], |row| row.get(0))
        .optional()?
        .flatten();
    let noted = worker.and_then(|id| slate::noted(locks, id, key));
    if dead.left == Left::Unbegun && unclaim(change, key, me.id)? {
        return Ok(AfterLoss::Unbegun);
    }
    let (worker, why) = lost_worker(change, dead.task)?;
    let settlement = |outcome, next| Settlement {
        task: dead.task,
        number: dead.number,
        outcome,
        next,
        // A fresh one: what is used up may be what makes no sense, and a task that failed gets a fresh one anyway.
        budget: Budget::default(),
        output: Kept::default(),
        kicks: None,
        started: None,
        finished: now,
    };
    let (settlement, after) = match noted {
        Some(Noted::Done(done)) => {
            let settlement = Settlement {
                output: Kept {
                    head: done.output,
                    ..Kept::default()
                },
                started: done.started,
                finished: done.finished,
                ..settlement(Outcome::Exited(0), Next::Done)
            };
            (settlement, AfterLoss::Done)
        }
        Some(Noted::Nothing | Noted::Begun) | None => {
            let reason = wrong.to_owned();
            let next = Next::Failed {
                reason: reason.clone(),
            };
            let settlement = settlement(Outcome::Lost(why), next);
            (settlement, AfterLoss::Failed { reason })
        }
    };
    Ok(match settle(change, &settlement, me.id, &worker)? {
        true => after,
        false => AfterLoss::NotOurs,
    })
}

/// What a dead worker has left of an attempt.
pub(in crate::store) fn left(
    locks: &LockFile,
    worker: Option<i64>,
    attempt: Key,
    is_ahead: bool,
) -> Left {
    match worker.and_then(|worker| slate::noted(locks, worker, attempt)) {
        Some(Noted::Done(_)) => Left::Done,
        Some(Noted::Nothing) if is_ahead => Left::Unbegun,
        Some(Noted::Nothing | Noted::Begun) | None => Left::Unknown,
    }
}

/// Whoever runs a task, or ran it last.
pub(super) fn newest_attempt(task: &TaskRow, left: Left) -> DeadAttempt {
    DeadAttempt {
        task: task.id,
        uuid: task.uuid,
        number: task.attempt,
        owner: task.owner,
        priority: task.priority,
        left,
    }
}

/// Whether a worker died with everything else, in another boot of the machine.
fn why_lost(boot: Option<&str>) -> Loss {
    let today = boot_id();
    match boot {
        // Where the system does not tell, nobody knows.
        None | Some("") => Loss::WorkerDied,
        Some(boot) if boot == today || today.is_empty() => Loss::WorkerDied,
        Some(_) => Loss::MachineRestarted,
    }
}
