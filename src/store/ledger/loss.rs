//! What becomes of an attempt whose worker is dead, inside one transaction.

use super::claim::Claiming;
use super::row::TaskRow;
use super::settle::{settle, unclaim};
use super::{AfterLoss, DeadAttempt, Remains, Settlement};
use crate::clock::boot_id;
use crate::lives::locks::LockFile;
use crate::store::Failed;
use crate::store::batch_journal::files::Files;
use crate::store::batch_journal::{Journaled, Journals};
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::retry::{self, Next};
use crate::task::state::{Loss, Outcome};

impl Claiming<'_> {
    /// Who ran a task's newest attempt, by name if that is known, and why it did not end it.
    fn lost_worker(&self, task: TaskId) -> Result<(String, Loss), Failed> {
        let (name, boot): (String, Option<String>) = self
            .change
            .prepare_cached(
                "SELECT coalesce(name, CAST(worker AS TEXT), ''), boot
                 FROM tasks LEFT JOIN workers ON workers.id = worker WHERE tasks.id = ?1",
            )?
            .query_row([task], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((name, why_lost(boot.as_deref())))
    }

    /// Records an attempt that we took over: as its worker's batch journal says, or as lost.
    pub fn lose(&self, dead: &DeadAttempt) -> Result<AfterLoss, Failed> {
        let Some(task) = self.by_uuid(&dead.uuid)? else {
            return Ok(AfterLoss::NotOurs);
        };
        let (worker, why) = self.lost_worker(task.id)?;
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
        journals(self.locks).read(worker, dead.id)
    }

    pub(super) fn remains(&self, task: &TaskRow) -> Remains {
        remains(self.locks, task.worker, task.newest(), task.ahead)
    }
}

fn journals(locks: &LockFile) -> Files {
    Files::beside(locks.database(), locks.store())
}

/// What a dead worker has left of an attempt.
pub(in crate::store) fn remains(
    locks: &LockFile,
    worker: Option<WorkerId>,
    attempt: AttemptId,
    is_ahead: bool,
) -> Remains {
    match worker.and_then(|worker| journals(locks).read(worker, attempt)) {
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
