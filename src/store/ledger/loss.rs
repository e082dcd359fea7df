//! What becomes of an attempt whose worker is dead, inside one transaction.

use rusqlite::{Connection, OptionalExtension};

use super::claim::Claiming;
use super::row::TaskRow;
use super::settle::{settle, unclaim};
use super::{AfterLoss, DeadAttempt, Remains, Settlement};
use crate::sqlite::clock::boot_id;
use crate::sqlite::part;
use crate::store::batch_journal::{self, Journaled};
use crate::store::locks::LockFile;
use crate::store::worker::Me;
use crate::store::{Failed, Millis};
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::retry::{self, Budget, Next};
use crate::task::state::{Loss, Outcome};

impl Claiming<'_> {
    /// Records an attempt that we took over, whatever is wrong with its task's row.
    pub fn lose_or_give_up(&self, dead: &DeadAttempt) -> Result<AfterLoss, Failed> {
        match part(self.change, || self.lose(dead)) {
            Err(failed) => {
                let wrong = failed.of_one_row()?;
                give_up(self.change, self.locks, dead, &wrong, self.me, self.now)
            }
            lost => lost,
        }
    }

    /// Records an attempt that we took over: as its worker's batch journal says, or as lost.
    fn lose(&self, dead: &DeadAttempt) -> Result<AfterLoss, Failed> {
        let Some(task) = self.by_uuid(&dead.uuid)? else {
            return Ok(AfterLoss::NotOurs);
        };
        let (worker, why) = lost_worker(self.change, task.id)?;
        let noted = task.worker.and_then(|id| self.noted(id, dead));
        let (outcome, output, started, finished) = match noted {
            Some(Journaled::Done(done)) => {
                let output = Captured {
                    head: done.output,
                    ..Captured::default()
                };
                (Outcome::Exited(0), output, done.started, done.finished)
            }
            Some(Journaled::Nothing) if task.ahead => {
                return Ok(match unclaim(self.change, dead.id, self.me.id)? {
                    true => AfterLoss::Unbegun,
                    false => AfterLoss::NotOurs,
                });
            }
            Some(Journaled::Nothing | Journaled::Begun) | None => {
                (Outcome::Lost(why), Captured::default(), None, self.now)
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
            id: dead.id,
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

    fn noted(&self, worker: WorkerId, dead: &DeadAttempt) -> Option<Journaled> {
        batch_journal::read(self.locks, worker, dead.id)
    }

    pub(super) fn remains(&self, task: &TaskRow) -> Remains {
        remains(self.locks, task.worker, task.newest(), task.ahead)
    }
}

/// Who ran a task's newest attempt, by name if that is known, and why it did not end it.
fn lost_worker(change: &Connection, task: TaskId) -> Result<(String, Loss), Failed> {
    let (name, boot): (String, Option<String>) = change
        .prepare_cached(
            "SELECT coalesce(name, CAST(worker AS TEXT), ''), boot
             FROM tasks LEFT JOIN workers ON workers.id = worker WHERE tasks.id = ?1",
        )?
        .query_row([task], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((name, why_lost(boot.as_deref())))
}

/// Records an attempt that we took over, of a task whose row cannot be read: as done if its worker's batch journal says
/// so, as not begun likewise, and otherwise the task has failed, whatever it might be allowed. Nothing of the row is
/// read but who ran the attempt.
fn give_up(
    change: &Connection,
    locks: &LockFile,
    dead: &DeadAttempt,
    wrong: &str,
    me: &Me,
    now: Millis,
) -> Result<AfterLoss, Failed> {
    let worker: Option<WorkerId> = change
        .prepare_cached("SELECT worker FROM tasks WHERE id = ?1")?
        .query_row([dead.id.task], |row| row.get(0))
        .optional()?
        .flatten();
    let noted = worker.and_then(|worker| batch_journal::read(locks, worker, dead.id));
    if dead.remains == Remains::Unbegun && unclaim(change, dead.id, me.id)? {
        return Ok(AfterLoss::Unbegun);
    }
    let (worker, why) = lost_worker(change, dead.id.task)?;
    let settlement = |outcome, next| Settlement {
        id: dead.id,
        outcome,
        next,
        // A fresh one: what is used up may be what makes no sense, and a task that failed gets a fresh one anyway.
        budget: Budget::default(),
        output: Captured::default(),
        kicks: None,
        started: None,
        finished: now,
    };
    let (settlement, after) = match noted {
        Some(Journaled::Done(done)) => {
            let settlement = Settlement {
                output: Captured {
                    head: done.output,
                    ..Captured::default()
                },
                started: done.started,
                finished: done.finished,
                ..settlement(Outcome::Exited(0), Next::Done)
            };
            (settlement, AfterLoss::Done)
        }
        Some(Journaled::Nothing | Journaled::Begun) | None => {
            let reason = format!("its row makes no sense: {wrong}");
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
pub(in crate::store) fn remains(
    locks: &LockFile,
    worker: Option<WorkerId>,
    attempt: AttemptId,
    is_ahead: bool,
) -> Remains {
    match worker.and_then(|worker| batch_journal::read(locks, worker, attempt)) {
        Some(Journaled::Done(_)) => Remains::Done,
        Some(Journaled::Nothing) if is_ahead => Remains::Unbegun,
        Some(Journaled::Nothing | Journaled::Begun) | None => Remains::Unknown,
    }
}

/// Whoever runs a task, or ran it last.
pub(super) fn newest_attempt(task: &TaskRow, remains: Remains) -> DeadAttempt {
    DeadAttempt {
        id: task.newest(),
        uuid: task.uuid,
        owner: task.owner,
        priority: task.priority,
        remains,
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
