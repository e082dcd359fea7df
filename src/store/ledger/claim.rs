//! From a job to an attempt, inside one transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::loss::newest_attempt;
use super::row::{TaskRow, by_foreign_job, by_uuid};
use super::settle::settle;
use super::{Attempt, Claim, DeadAttempt, ForeignJob, JobRef, Remains, Settlement, TaskRef};
use crate::lives::locks::LockFile;
use crate::lives::{Holder, Lives};
use crate::store::announce::WAITS_SINCE;
use crate::store::put::{Columns, as_column, same_task};
use crate::store::worker::Me;
use crate::store::{Failed, Millis};
use crate::task::command::{Commands, Content, OnFailure, Plan};
use crate::task::id::{AttemptId, WorkerId};
use crate::task::output::Captured;
use crate::task::retry::{self, Budget, Rules};
use crate::task::state::{Found, Outcome, Status, Verdict, judge};

/// Whether somebody other than the worker that asks answers for a task that it owns. One that claims runs
/// nothing: what it still owns it took over and could not end, or not record as lost. (A round is recorded before anything is
/// claimed, or in the same transaction.)
fn answers(locks: &LockFile, owner: WorkerId, asks: WorkerId) -> Result<bool, Failed> {
    Ok(owner != asks
        && locks
            .is_held(Holder::Worker(owner))
            .map_err(Failed::Locks)?)
}

/// A claim under way.
pub(super) struct Claiming<'a> {
    pub change: &'a Connection,
    pub locks: &'a LockFile,
    pub commands: &'a Arc<Commands>,
    /// Who claims.
    pub me: &'a Me,
    pub now: Millis,
    /// An attempt that is recorded as lost in the same transaction: nothing of it is left.
    pub lost: Option<AttemptId>,
}

impl Claiming<'_> {
    pub fn claim(&self, job: &JobRef) -> Result<Claim, Failed> {
        let Some(task) = self.find_or_add(job)? else {
            return Ok(Claim::DeleteJob { task: None });
        };
        let verdict = judge(self.found(&task, job)?);
        match verdict {
            Verdict::Begin | Verdict::BeginAnew if self.may_have_left(&task, job)? => {
                Ok(Claim::Remains(newest_attempt(&task, Remains::Unknown)))
            }
            Verdict::Begin => self.begin(task, job),
            Verdict::BeginAnew => {
                self.change
                    .prepare_cached("UPDATE tasks SET job_kicks = ?2 WHERE id = ?1")?
                    .execute(params![task.id, as_column(job.kicks.unwrap_or(0))])?;
                let task = TaskRow {
                    budget: Budget::default(),
                    ..task
                };
                self.begin(task, job)
            }
            Verdict::Recover => Ok(Claim::Dead(newest_attempt(&task, self.remains(&task)))),
            Verdict::Later(delay) => Ok(Claim::Later {
                put: task.put(),
                delay,
                priority: task.priority,
            }),
            Verdict::DeleteJob => Ok(Claim::DeleteJob {
                task: Some(task.id),
            }),
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
        if task.attempt > 0 || judge(self.found(&task, job)?) != Verdict::Begin {
            return Ok(None);
        }
        let Ok(plan) = self.commands.plan(task.uuid, &task.tube, &task.content) else {
            return Ok(None);
        };
        let first = AttemptId {
            task: task.id,
            number: 1,
        };
        self.run(task, job, first, plan, true).map(Some)
    }

    /// Whether something of the attempt before may be left. Only the newest can have left anything: it began after those
    /// before it were gone. Where its lock is held, something is, whoever has looked.
    fn may_have_left(&self, task: &TaskRow, job: &JobRef) -> Result<bool, Failed> {
        let newest = task.newest();
        if newest.number == 0 {
            return Ok(false);
        }
        let is_held = self.locks.is_held(Holder::Attempt(newest));
        if is_held.map_err(Failed::Locks)? {
            return Ok(true);
        }
        if job.cleared == Some(newest.number) || self.lost == Some(newest) {
            return Ok(false);
        }
        let outcome: Option<(String, Option<i32>)> = self
            .change
            .prepare_cached(
                "SELECT outcome, exit_code FROM attempts WHERE task = ?1 AND number = ?2",
            )?
            .query_row(params![newest.task, newest.number], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let outcome = outcome.as_ref().map(|(word, code)| (word.as_str(), *code));
        Ok(!matches!(
            outcome,
            Some(("refused" | "could_not_start", _) | ("exited", Some(0)))
        ))
    }

    /// Makes a dead worker's attempt ours, so that of several that find it only one goes on. True if it is ours now.
    pub fn take_over(&self, dead: &DeadAttempt) -> Result<bool, Failed> {
        if let Some(owner) = dead.owner
            && answers(self.locks, owner, self.me.id)?
        {
            return Ok(false);
        }
        let taken = self
            .change
            .prepare_cached(
                "UPDATE tasks SET owner = ?4
                 WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
            )?
            .execute(params![
                dead.id.task,
                dead.id.number,
                dead.owner,
                self.me.id
            ])?;
        Ok(taken == 1)
    }

    fn found(&self, task: &TaskRow, job: &JobRef) -> Result<Found, Failed> {
        Ok(match task.status {
            Status::Waiting => Found::Waiting {
                due_in: self.due_in(task)?,
            },
            Status::Running => Found::Running {
                owner_lives: match task.owner {
                    Some(owner) => answers(self.locks, owner, self.me.id)?,
                    None => false,
                },
                running_for: self.now.saturating_sub(task.started.unwrap_or(self.now)),
            },
            Status::Failed => Found::Failed {
                kicked: job.kicks.map(|kicks| as_column(kicks) > task.kicks),
                buries: self.buries(task)?,
            },
            Status::Done | Status::Cancelled => Found::Over,
        })
    }

    /// Milliseconds until it is due. If that is longer than it was to wait, the clock was set back since, and it
    /// waits that long by the clock of today.
    fn due_in(&self, task: &TaskRow) -> Result<i64, Failed> {
        let due = task.due.unwrap_or(self.now);
        let left = due.saturating_sub(self.now);
        if left <= 0 {
            return Ok(left);
        }
        let since = format!("SELECT {WAITS_SINCE} FROM tasks WHERE id = ?1");
        let since: Millis = self
            .change
            .prepare_cached(&since)?
            .query_row([task.id], |row| row.get(0))?;
        let asked = due.saturating_sub(since);
        // Due before it began to wait: that was written here, the last time.
        if asked < 0 || left <= asked {
            return Ok(left);
        }
        self.change
            .prepare_cached("UPDATE tasks SET due = ?2 WHERE id = ?1")?
            .execute(params![task.id, self.now.saturating_add(asked)])?;
        Ok(asked)
    }

    /// Whether the job of a task that failed is kept for people: where its command says so, and where it may
    /// not run or has lost too many attempts.
    fn buries(&self, task: &TaskRow) -> Result<bool, Failed> {
        let outcome: Option<String> = self
            .change
            .prepare_cached("SELECT outcome FROM attempts WHERE task = ?1 AND number = ?2")?
            .query_row(params![task.id, task.attempt], |row| row.get(0))
            .optional()?;
        if matches!(outcome.as_deref(), Some("refused" | "lost")) {
            return Ok(true);
        }
        let plan = self.commands.plan(task.uuid, &task.tube, &task.content);
        Ok(plan.is_ok_and(|plan| plan.command.on_failure == OnFailure::Bury))
    }

    fn find_or_add(&self, job: &JobRef) -> Result<Option<TaskRow>, Failed> {
        match &job.task {
            TaskRef::Pointer(uuid) => self.by_uuid(uuid),
            TaskRef::Named(uuid, foreign) => {
                if let Some(row) = self.by_uuid(uuid)? {
                    let columns = Columns::of(&foreign.content);
                    if same_task(self.change, uuid, &columns)?.is_some() {
                        return Ok(Some(row));
                    }
                    // Somebody else's uuid: the job becomes a task of its own, to be refused.
                    let body = Content::Unread(foreign.body.clone());
                    return self.nameless(job, foreign, &body).map(Some);
                }
                self.insert(*uuid, job, foreign, &foreign.content)?;
                self.by_uuid(uuid)
            }
            TaskRef::Nameless(foreign) => self.nameless(job, foreign, &foreign.content).map(Some),
        }
    }

    /// The row of a job that has no uuid we can use: known by its number, its bytes and its birth.
    fn nameless(
        &self,
        job: &JobRef,
        foreign: &ForeignJob,
        content: &Content,
    ) -> Result<TaskRow, Failed> {
        let known = self
            .change
            .prepare_cached(&by_foreign_job())?
            .query_row(
                params![
                    as_column(job.id),
                    foreign.hash,
                    foreign.instance,
                    foreign.birth
                ],
                TaskRow::read,
            )
            .optional()?;
        if let Some(row) = known {
            return row;
        }
        let uuid = Uuid::now_v7();
        self.insert(uuid, job, foreign, content)?;
        self.by_uuid(&uuid)?
            .ok_or_else(|| Failed::Corrupt("a row vanished in its own transaction".into()))
    }

    pub(super) fn by_uuid(&self, uuid: &Uuid) -> Result<Option<TaskRow>, Failed> {
        self.change
            .prepare_cached(&by_uuid())?
            .query_row([uuid.as_bytes()], TaskRow::read)
            .optional()?
            .transpose()
    }

    fn insert(
        &self,
        uuid: Uuid,
        job: &JobRef,
        foreign: &ForeignJob,
        content: &Content,
    ) -> Result<(), Failed> {
        let columns = Columns::of(content);
        self.change
            .prepare_cached(
                "INSERT INTO tasks (uuid, tube, status, due, command, arguments, options, body, priority, ttr,
                    created, foreign_job, job, job_instance, job_hash, job_birth, job_kicks)
                 VALUES (?1, ?2, 'waiting', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?3, 1, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                uuid.as_bytes(),
                job.tube.as_str(),
                self.now,
                columns.command,
                columns.arguments,
                columns.options,
                columns.body,
                foreign.priority,
                foreign.ttr.max(1),
                as_column(job.id),
                foreign.instance,
                foreign.hash,
                foreign.birth,
                as_column(job.kicks.unwrap_or(0)),
            ])?;
        Ok(())
    }

    fn begin(&self, task: TaskRow, job: &JobRef) -> Result<Claim, Failed> {
        let next = AttemptId {
            task: task.id,
            number: task.attempt.saturating_add(1),
        };
        match self.commands.plan(task.uuid, &task.tube, &task.content) {
            Err(refusal) => self.refuse(&task, next, refusal.to_string()),
            Ok(plan) => Ok(Claim::Begun(self.run(task, job, next, plan, false)?)),
        }
    }

    fn run(
        &self,
        task: TaskRow,
        job: &JobRef,
        id: AttemptId,
        plan: Plan,
        ahead: bool,
    ) -> Result<Box<Attempt>, Failed> {
        let alive = self
            .locks
            .hold(Holder::Attempt(id))
            .map_err(Failed::Lives)?;
        self.change
            .prepare_cached(
                "UPDATE tasks SET status = 'running', due = NULL, finished = NULL, reason = NULL,
                    attempt = ?2, owner = ?3, worker = ?3, started = ?4, spent = ?5, lost = ?6, ahead = ?7
                 WHERE id = ?1",
            )?
            .execute(params![
                id.task,
                id.number,
                self.me.id,
                self.now,
                task.budget.spent,
                task.budget.lost,
                ahead
            ])?;
        // SQLite writes the index anew for a column that is set, though it stays what it was.
        if task.command.as_deref() != Some(plan.name.as_str()) {
            self.change
                .prepare_cached("UPDATE tasks SET command = ?2 WHERE id = ?1")?
                .execute(params![task.id, plan.name])?;
        }
        Ok(Box::new(Attempt {
            id,
            uuid: task.uuid,
            plan,
            alive,
            budget: task.budget,
            priority: task.priority,
            ttr: task.ttr,
            put: task.put(),
            foreign: task.foreign && !job.is_pointer(),
            ahead,
        }))
    }

    fn refuse(&self, task: &TaskRow, id: AttemptId, reason: String) -> Result<Claim, Failed> {
        self.change
            .prepare_cached(
                "UPDATE tasks SET status = 'running', due = NULL, finished = NULL, attempt = ?2, owner = ?3,
                    worker = ?3, started = ?4 WHERE id = ?1",
            )?
            .execute(params![id.task, id.number, self.me.id, self.now])?;
        let outcome = Outcome::Refused { reason };
        let (next, budget) = retry::next(&outcome, &Rules::default(), task.budget);
        let reason = outcome.reason().unwrap_or_default().to_owned();
        let settlement = Settlement {
            id,
            outcome,
            next,
            budget,
            output: Captured::default(),
            kicks: None,
            started: None,
            finished: self.now,
        };
        settle(self.change, &settlement, self.me.id, &self.me.name)?;
        Ok(Claim::Refused {
            task: task.id,
            reason,
            priority: task.priority,
        })
    }
}
