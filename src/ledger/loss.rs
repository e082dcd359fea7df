//! What becomes of an attempt whose worker is dead, inside one transaction.

use std::sync::Arc;

use super::batch_journal::{Journaled, Journals};
use super::claim::Writing;
use super::entry::{AfterLoss, DeadAttempt, Remains, Settlement};
use super::error::Failed;
use super::rows::{RanBy, TaskRow, part};
use super::spool;
use super::transition::{self, End};
use super::worker::tell_if_dead;
use crate::task::command::Cleanup;
use crate::task::id::{AttemptId, WorkerId};
use crate::task::output::Captured;
use crate::task::retry::{self, Budget, Next};
use crate::task::state::{Loss, Outcome};

impl Writing<'_> {
    /// Records an attempt that we took over, whatever is wrong with its task's row.
    pub fn lose_or_give_up(&self, dead: &DeadAttempt) -> Result<AfterLoss, Failed> {
        let lost = match part(self.rows, || self.lose(dead)) {
            Err(failed) => self.give_up(dead, failed.of_one_row()?)?,
            lost => lost?,
        };
        match &lost {
            AfterLoss::NotOurs => {}
            // Whatever is configured here, the attempt may have had a place.
            AfterLoss::Waits
            | AfterLoss::Done
            | AfterLoss::Unbegun
            | AfterLoss::CalledOff
            | AfterLoss::Failed { .. } => {
                self.free_places(dead.id.task, true)?;
                if let Some(worker) = dead.worker {
                    tell_if_dead(self.rows, self.lives, worker, self.now)?;
                }
            }
        }
        Ok(lost)
    }

    /// Records an attempt that we took over: as its worker's batch journal says, or as lost.
    fn lose(&self, dead: &DeadAttempt) -> Result<AfterLoss, Failed> {
        let Some(task) = self.rows.task(&dead.uuid)? else {
            return Ok(AfterLoss::NotOurs);
        };
        let ran_by = self.rows.ran_by(task.id)?;
        let worker = ran_by.name.as_str();
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
                return Ok(
                    match transition::unclaim(self.rows, &self.sums, dead.id, self.me.id, self.now)?
                    {
                        true => AfterLoss::Unbegun,
                        false => AfterLoss::NotOurs,
                    },
                );
            }
            Some(Journaled::Nothing | Journaled::Begun) | None => (
                self.cut_off_or_lost(&ran_by),
                self.printed(task.worker, dead),
                None,
                self.now,
            ),
        };
        let plan = self.plan(&task);
        let rules = self.commands.rules(&task.tube, plan.as_ref().ok());
        let (next, budget) = retry::next(&outcome, &rules, task.budget, dead.id);
        let after = match &next {
            Next::Done => AfterLoss::Done,
            Next::Failed { reason } => AfterLoss::Failed {
                reason: reason.clone(),
            },
            Next::Cancelled => AfterLoss::CalledOff,
            Next::Wait(_) => AfterLoss::Waits,
        };
        let settlement = Settlement {
            id: dead.id,
            outcome,
            next,
            budget,
            output,
            report: None,
            took: None,
            kicks: None,
            started,
            finished,
            ran: None,
        };
        Ok(
            match transition::end(self.rows, &self.sums, &settlement, self.me.id, worker)? {
                End::AsSaid => after,
                End::CalledOff => AfterLoss::CalledOff,
                End::NotOurs => AfterLoss::NotOurs,
            },
        )
    }

    /// Records an attempt that we took over, of a task whose row cannot be read: as done if its worker's batch journal
    /// says so, as not begun likewise, and otherwise the task has failed, whatever it might be allowed. Nothing of the
    /// row is read but who ran the attempt.
    fn give_up(&self, dead: &DeadAttempt, wrong: String) -> Result<AfterLoss, Failed> {
        let ran_by = self.rows.ran_by(dead.id.task)?;
        let noted = ran_by.worker.and_then(|id| self.noted(id, dead));
        if dead.remains == Remains::Unbegun
            && transition::unclaim(self.rows, &self.sums, dead.id, self.me.id, self.now)?
        {
            return Ok(AfterLoss::Unbegun);
        }
        let settlement = |outcome, next| Settlement {
            id: dead.id,
            outcome,
            next,
            // A fresh one: what is used up may be what makes no sense, and a task that failed gets a fresh one anyway.
            budget: Budget::default(),
            output: Captured::default(),
            report: None,
            took: None,
            kicks: None,
            started: None,
            finished: self.now,
            ran: None,
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
                let next = Next::Failed {
                    reason: wrong.clone(),
                };
                let settlement = Settlement {
                    output: self.printed(ran_by.worker, dead),
                    ..settlement(self.cut_off_or_lost(&ran_by), next)
                };
                (settlement, AfterLoss::Failed { reason: wrong })
            }
        };
        Ok(
            match transition::end(self.rows, &self.sums, &settlement, self.me.id, &ran_by.name)? {
                End::AsSaid => after,
                End::CalledOff => AfterLoss::CalledOff,
                End::NotOurs => AfterLoss::NotOurs,
            },
        )
    }

    /// What ends what an attempt that we took over may have left elsewhere, if its command has something for that. A
    /// task whose row cannot be read is not run again, and nobody knows its command.
    pub fn cleanup_of(&self, dead: &DeadAttempt) -> Result<Option<Arc<Cleanup>>, Failed> {
        match dead.remains {
            Remains::Unknown => {}
            Remains::Done | Remains::Unbegun => return Ok(None),
        }
        let task = match part(self.rows, || self.rows.task(&dead.uuid)) {
            Ok(task) => task,
            Err(failed) => {
                failed.of_one_row()?;
                None
            }
        };
        Ok(task.and_then(|task| {
            let plan = self.plan(&task);
            let plan = plan.ok()?;
            let cleanup = plan.cleanup(dead.id, dead.uuid, &task.tube, None)?;
            // What is run after each attempt is its own worker's to run.
            (!cleanup.argv.is_empty()).then_some(cleanup)
        }))
    }

    /// What an attempt came to that its worker did not end. A worker that was killed since it hangs may have been told
    /// to go, and did not hear it. That any other is killed that was told to go is no sign that it died of its task.
    fn cut_off_or_lost(&self, ran_by: &RanBy) -> Outcome {
        match (ran_by.was_hung, ran_by.was_told) {
            (true, _) => Outcome::Lost(Loss::WorkerHung),
            (false, true) => Outcome::CutOff,
            (false, false) => Outcome::Lost(why_lost(ran_by.boot.as_deref(), &self.lives.boot())),
        }
    }

    fn noted(&self, worker: WorkerId, dead: &DeadAttempt) -> Option<Journaled> {
        self.journals.read(worker, dead.id)
    }

    /// What an attempt had printed when its worker died, as far as the worker has spooled that.
    fn printed(&self, worker: Option<WorkerId>, dead: &DeadAttempt) -> Captured {
        worker.map_or_else(Captured::default, |worker| {
            spool::captured(self.spools, worker, dead.id)
        })
    }

    pub(super) fn remains(&self, task: &TaskRow) -> Remains {
        remains(self.journals, task.worker, task.newest(), task.ahead)
    }
}

/// What a dead worker has left of an attempt.
pub(super) fn remains(
    journals: &dyn Journals,
    worker: Option<WorkerId>,
    attempt: AttemptId,
    is_ahead: bool,
) -> Remains {
    match worker.and_then(|worker| journals.read(worker, attempt)) {
        Some(Journaled::Done(_)) => Remains::Done,
        Some(Journaled::Nothing) if is_ahead => Remains::Unbegun,
        Some(Journaled::Nothing | Journaled::Begun) | None => Remains::Unknown,
    }
}

/// Whether a worker died with everything else, in another boot of the machine.
fn why_lost(boot: Option<&str>, today: &str) -> Loss {
    match boot {
        // Where the system does not tell, nobody knows.
        None | Some("") => Loss::WorkerDied,
        Some(boot) if boot == today || today.is_empty() => Loss::WorkerDied,
        Some(_) => Loss::MachineRestarted,
    }
}
