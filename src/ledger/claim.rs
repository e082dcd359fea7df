//! From a job to an attempt, inside one transaction.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::after;
use super::announce::{Again, Jobs};
use super::batch_journal::Journals;
use super::entry::{Attempt, Claim, DeadAttempt, JobRef, Remains, Settlement, TaskRef};
use super::error::Failed;
use super::limits::{self, Stand};
use super::minutes::Sums;
use super::rows::{Beginning, Ran, Rows, TaskRow};
use super::spool::Spools;
use super::transition;
use super::worker::Me;
use crate::lives::{Holder, Lives};
use crate::task::Millis;
use crate::task::after::MOST_PARENTS;
use crate::task::command::{Commands, OnFailure, Plan};
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::payload::Refusal;
use crate::task::retry::{self, Budget, Rules};
use crate::task::state::{self, Found, Outcome, Status, Verdict, judge};

/// Whether the owner of a task's attempt is alive and is not the worker that asks. A worker that claims runs nothing:
/// what it still owns, it took over and could not end, or not record as lost. (A batch is recorded before anything is
/// claimed, or in the same transaction.)
fn answers(lives: &dyn Lives, owner: WorkerId, asks: WorkerId) -> Result<bool, Failed> {
    Ok(owner != asks && lives.is_held(Holder::Worker(owner))?)
}

/// What somebody says and asks, while it is written.
pub(super) struct Writing<'a> {
    pub rows: &'a dyn Rows,
    pub lives: &'a dyn Lives,
    pub journals: &'a dyn Journals,
    pub spools: &'a dyn Spools,
    pub commands: &'a Arc<Commands>,
    /// Who says it.
    pub me: &'a Me,
    pub now: Millis,
    /// An attempt that is recorded as lost in the same transaction: nothing of it is left.
    pub lost: Option<AttemptId>,
    /// What has ended in it.
    pub sums: Sums,
    /// How jobs are put, if that is done here.
    pub jobs: Option<Jobs>,
    /// What is to ring for those that are held no more.
    pub let_go: RefCell<Vec<Again>>,
}

impl Writing<'_> {
    pub fn claim(&self, job: &JobRef) -> Result<Claim, Failed> {
        let Some(task) = self.find_or_add(job)? else {
            return self.without_row(job);
        };
        if is_astray(&task, job) {
            return Ok(self.astray(&task, job));
        }
        if limits::waits_without_time(&task) {
            // It has a job when it may go, and that is not this one, which was given up when the task was held, say.
            return Ok(Claim::DeleteJob {
                task: (!job.is_pointer()).then_some(task.id),
            });
        }
        let verdict = judge(self.found(&task, job)?);
        match verdict {
            Verdict::Begin | Verdict::BeginEarly | Verdict::BeginAnew
                if self.may_have_left(&task, job)? =>
            {
                Ok(Claim::Remains(newest_attempt(&task, Remains::Unknown)))
            }
            Verdict::Begin => self.begin(task, job),
            Verdict::BeginEarly => {
                // The kick is used up from here on: whatever keeps the task from beginning, it is due.
                self.rows
                    .raise_kicks(task.id, task.status, job.kicks.unwrap_or(0))?;
                self.rows.set_due(task.id, self.now)?;
                self.begin(self.written(&task.uuid)?, job)
            }
            Verdict::BeginAnew => {
                // The kick is used up from here on. So the task waits in any case, whatever keeps it from beginning.
                self.rows
                    .raise_kicks(task.id, task.status, job.kicks.unwrap_or(0))?;
                let kin = transition::renew(self.rows, task.id, self.now, None)?;
                if kin.has_children {
                    self.sums.has_ended(task.id);
                }
                if kin.has_parents {
                    after::decided(self.rows, task.id)?;
                }
                self.begin(self.written(&task.uuid)?, job)
            }
            Verdict::Recover => Ok(Claim::Dead(newest_attempt(&task, self.remains(&task)))),
            Verdict::Later(delay) => Ok(Claim::Later {
                put: task.put(),
                delay,
                priority: task.priority,
            }),
            Verdict::DeleteJob => {
                self.is_over(task.id)?;
                Ok(Claim::DeleteJob {
                    task: Some(task.id),
                })
            }
            Verdict::BuryJob => Ok(Claim::BuryJob {
                task: task.id,
                priority: task.priority,
            }),
            Verdict::AskForKicks => Ok(Claim::AskForKicks),
        }
    }

    /// Claims a task ahead of its turn, if it has never been tried and nothing is in its way.
    pub fn claim_ahead(&self, job: &JobRef) -> Result<Option<Box<Attempt>>, Failed> {
        let Some(task) = self.find_or_add(job)? else {
            return Ok(None);
        };
        if task.attempt > 0
            || is_astray(&task, job)
            || limits::waits_without_time(&task)
            || judge(self.found(&task, job)?) != Verdict::Begin
        {
            return Ok(None);
        }
        let Ok(plan) = self.plan(&task) else {
            return Ok(None);
        };
        // Whoever waits for its turn takes no place from those who could begin.
        if self
            .commands
            .limits_of(&task.tube, &plan.name)
            .next()
            .is_some()
        {
            return Ok(None);
        }
        let first = AttemptId {
            task: task.id,
            number: 1,
        };
        self.run(task, job, first, plan, &[], true).map(Some)
    }

    /// A job in another tube than its task's is one too many: the task has its own where it belongs, or is to have it.
    /// No producer who may put into one tube runs another tube's tasks, and what has moved is announced where it is
    /// now.
    fn astray(&self, task: &TaskRow, job: &JobRef) -> Claim {
        tracing::warn!(
            task = %task.id,
            job = job.id,
            tube = %job.tube,
            belongs = %task.tube,
            "found a job too many: it names a task of another tube, which runs there"
        );
        Claim::DeleteJob {
            task: match job.task {
                // It is the very job that the row was made for, before the row moved.
                TaskRef::Nameless(_) => Some(task.id),
                // A copy: the row's own job may still be there.
                TaskRef::Pointer(_) | TaskRef::Named(..) => None,
            },
        }
    }

    /// Whether something of the attempt before may be left. Only the newest attempt can have left anything: it began
    /// after those before it were gone. Whoever has looked at the processes knows more than the attempt's lock says,
    /// which others may hold as well.
    fn may_have_left(&self, task: &TaskRow, job: &JobRef) -> Result<bool, Failed> {
        let newest = task.newest();
        if newest.number == 0 {
            return Ok(false);
        }
        if job.cleared == Some(newest.number) || self.lost == Some(newest) {
            return Ok(false);
        }
        if self.lives.is_held(Holder::Attempt(newest))? {
            return Ok(true);
        }
        let recorded = self.rows.outcome(newest)?;
        let recorded = recorded
            .as_ref()
            .map(|one| (one.outcome.as_str(), one.exit_code, one.has_reason));
        Ok(!matches!(
            recorded,
            Some(("refused" | "could_not_start", ..) | ("exited", Some(0), false))
        ))
    }

    /// Makes a dead worker's attempt ours, so that of several who find the attempt only one goes on. True if the
    /// attempt is ours now.
    pub fn take_over(&self, dead: &DeadAttempt) -> Result<bool, Failed> {
        if let Some(owner) = dead.owner
            && answers(self.lives, owner, self.me.id)?
        {
            return Ok(false);
        }
        self.rows.take_over(dead.id, dead.owner, self.me.id)
    }

    pub(super) fn found(&self, task: &TaskRow, job: &JobRef) -> Result<Found, Failed> {
        Ok(match task.status {
            Status::Waiting => Found::Waiting {
                due_in: self.due_in(task)?,
                kicked: kicked(task, job),
            },
            Status::Running => Found::Running {
                owner_lives: match task.owner {
                    Some(owner) => answers(self.lives, owner, self.me.id)?,
                    None => false,
                },
                running_for: self.now.saturating_sub(task.started.unwrap_or(self.now)),
            },
            Status::Failed => Found::Failed {
                kicked: kicked(task, job),
                buries: self.buries(task)?,
            },
            Status::Done | Status::Cancelled => Found::Over,
        })
    }

    /// Milliseconds until the task is due. If that is longer than the task was to wait, the clock was set back since,
    /// and the task waits as long as it was to, by the clock of today.
    fn due_in(&self, task: &TaskRow) -> Result<i64, Failed> {
        let due = task.due.unwrap_or(self.now);
        let left = due.saturating_sub(self.now);
        if left <= 0 {
            return Ok(left);
        }
        // It was due when it was parked.
        if task.is_parked {
            self.rows.set_due(task.id, self.now)?;
            return Ok(0);
        }
        let since = self.rows.waits_since(task.id)?;
        let asked = due.saturating_sub(since);
        // Due before the task began to wait: that was written here, the last time.
        if asked < 0 || left <= asked {
            return Ok(left);
        }
        self.rows.set_due(task.id, self.now.saturating_add(asked))?;
        Ok(asked)
    }

    /// Whether the job of a task that failed is kept for people: where its command says so, and where it may
    /// not run or has lost too many attempts.
    fn buries(&self, task: &TaskRow) -> Result<bool, Failed> {
        let recorded = self.rows.outcome(task.newest())?;
        if recorded.is_some_and(|one| matches!(one.outcome.as_str(), "refused" | "lost")) {
            return Ok(true);
        }
        let plan = self.plan(task);
        Ok(plan.is_ok_and(|plan| plan.command.on_failure == OnFailure::Bury))
    }

    /// How a task is run, or why not.
    pub(super) fn plan(&self, task: &TaskRow) -> Result<Plan, Refusal> {
        let own = task.own.as_deref();
        self.commands
            .plan_with(task.uuid, &task.tube, &task.content, own)
    }

    fn begin(&self, task: TaskRow, job: &JobRef) -> Result<Claim, Failed> {
        let next = AttemptId {
            task: task.id,
            number: task.attempt.saturating_add(1),
        };
        match self.plan(&task) {
            Err(refusal) => match self.may_wait(&task, &refusal) {
                Some(delay) => self.park(&task, delay, &refusal),
                None => {
                    self.is_over(task.id)?;
                    self.refuse(&task, next, refusal.to_string())
                }
            },
            Ok(plan) => {
                let stands = self.stands(&task, &plan)?;
                if self.is_held_back(&task, &stands)? {
                    return Ok(Claim::Held { task: task.id });
                }
                let begun = self.run(task, job, next, plan, &stands, false)?;
                Ok(Claim::Begun(begun))
            }
        }
    }

    fn run(
        &self,
        task: TaskRow,
        job: &JobRef,
        id: AttemptId,
        plan: Plan,
        stands: &[Stand],
        ahead: bool,
    ) -> Result<Box<Attempt>, Failed> {
        let alive = self.lives.hold(Holder::Attempt(id))?;
        let ran = Ran {
            tube: task.tube.to_string(),
            command: plan.name.clone(),
            started: self.now,
            since: self.could_run_since(&task, job)?,
            is_limited: !stands.is_empty(),
        };
        let beginning = Beginning {
            id,
            worker: self.me.id,
            started: self.now,
            budget: task.budget,
            ahead,
        };
        // The name may be in an index, which a store may write anew though the name stays what it was.
        if task.command.as_deref() != Some(plan.name.as_str()) {
            self.rows.name_command(task.id, plan.name.as_str())?;
        }
        transition::begin(self.rows, &beginning)?;
        self.take_places(&task, stands)?;
        Ok(Box::new(Attempt {
            id,
            uuid: task.uuid,
            plan,
            alive,
            budget: task.budget,
            ran: Arc::new(ran),
            priority: task.priority,
            ttr: task.ttr,
            put: task.put(),
            foreign: task.foreign && !job.is_pointer(),
            ahead,
            scheduled: match task.scheduled {
                true => self.rows.scheduled(task.id)?,
                false => None,
            },
            parents: match task.has_parents {
                true => self.parents(task.id)?,
                false => Vec::new(),
            },
        }))
    }

    /// All that a task has waited for.
    fn parents(&self, task: TaskId) -> Result<Vec<TaskId>, Failed> {
        let parents = self.rows.parents(task, TaskId::BEFORE_ALL, MOST_PARENTS)?;
        Ok(parents.into_iter().map(|edge| edge.task).collect())
    }

    /// Since when a task could have been run, if that is known. A producer's own job waits since the job was put. A row
    /// does not say when its task was regenerated.
    fn could_run_since(&self, task: &TaskRow, job: &JobRef) -> Result<Option<Millis>, Failed> {
        if task.attempt == 0 {
            return Ok(match &job.task {
                TaskRef::Pointer(_) => task.due,
                TaskRef::Named(_, foreign) | TaskRef::Nameless(foreign) => Some(foreign.birth),
            });
        }
        if task.budget != Budget::default() {
            return Ok(task.due);
        }
        let recorded = self.rows.outcome(task.newest())?;
        let is_interrupted = recorded.is_some_and(|one| one.outcome == "interrupted");
        Ok(task.due.filter(|_| is_interrupted))
    }

    /// When to look again at a task of ours that no command is configured for: whoever took the command out of the
    /// configuration, or misspelt it there, may put it back. Of other producers' bodies nobody ever knew a command.
    fn may_wait(&self, task: &TaskRow, refusal: &Refusal) -> Option<Duration> {
        if task.foreign || !refusal.is_for_want_of_a_command() {
            return None;
        }
        let found_missing = task.due.filter(|_| task.is_parked).unwrap_or(self.now);
        state::parked(self.now.saturating_sub(found_missing))
    }

    /// From the first time on the task is due since then: however old it is, it waits for its command as long as any.
    fn park(&self, task: &TaskRow, delay: Duration, refusal: &Refusal) -> Result<Claim, Failed> {
        if !task.is_parked {
            let reason = format!("waits for its command: {refusal}");
            self.rows.set_reason(task.id, &reason)?;
            self.rows.set_due(task.id, self.now)?;
        }
        Ok(Claim::Later {
            put: task.put(),
            delay,
            priority: task.priority,
        })
    }

    fn refuse(&self, task: &TaskRow, id: AttemptId, reason: String) -> Result<Claim, Failed> {
        let beginning = Beginning {
            id,
            worker: self.me.id,
            started: self.now,
            budget: task.budget,
            ahead: false,
        };
        transition::begin_to_refuse(self.rows, &beginning)?;
        let outcome = Outcome::Refused { reason };
        let (next, budget) = retry::next(&outcome, &Rules::default(), task.budget, id);
        let reason = outcome.reason().unwrap_or_default().to_owned();
        let settlement = Settlement {
            id,
            outcome,
            next,
            budget,
            output: Captured::default(),
            report: None,
            took: None,
            kicks: None,
            started: None,
            finished: self.now,
            ran: None,
        };
        transition::end(
            self.rows,
            &self.sums,
            &settlement,
            self.me.id,
            &self.me.name,
        )?;
        Ok(Claim::Refused {
            task: task.id,
            reason,
            priority: task.priority,
        })
    }
}

/// Whether a job waits in another tube than the task that it names.
pub(super) fn is_astray(task: &TaskRow, job: &JobRef) -> bool {
    task.tube != job.tube
}

/// Whether a job was kicked more often than is noted of its task; unknown where the broker was not asked.
fn kicked(task: &TaskRow, job: &JobRef) -> Option<bool> {
    let kicks = job.kicks?;
    Some(i64::try_from(kicks).unwrap_or(i64::MAX) > task.kicks)
}

/// Whoever runs a task, or ran it last.
fn newest_attempt(task: &TaskRow, remains: Remains) -> DeadAttempt {
    DeadAttempt {
        id: task.newest(),
        uuid: task.uuid,
        owner: task.owner,
        worker: task.worker,
        priority: task.priority,
        remains,
    }
}
