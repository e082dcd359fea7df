//! Claims and settlements: the two transactions that every attempt has.
//!
//! A job only says "look at this task now"; whether it runs is decided here, from the row. In one
//! transaction a claim finds the row (or makes it, for a foreign producer's job), lets the core judge,
//! and begins the attempt: status, owner, attempt row and attempt lock appear together or not at all.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::locks::{Holder, Lock, LockFile};
use super::put::{Columns, as_column, content, same_task};
use super::worker::note_gone;
use super::{Db, Error, Failed, Millis};
use crate::broker::JobId;

use crate::task::command::{Commands, Content, Plan};
use crate::task::output::Kept;
use crate::task::retry::{self, Budget, Next, Rules};
use crate::task::state::{Found, Outcome, Status, Verdict, judge};
use crate::tube::TubeName;

/// A reserved job, as the claim needs to know it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The tube it came from.
    pub tube: TubeName,
    /// Its number.
    pub job: JobId,
    /// How often it was kicked, if that was asked for.
    pub kicks: Option<u64>,
    /// Which task it is.
    pub who: Who,
}

/// How a job says which task it is.
#[derive(Debug, Clone)]
pub enum Who {
    /// It points to a row of this store.
    Pointer(Uuid),
    /// A foreign producer gave it a uuid.
    Named(Uuid, Stranger),
    /// Nothing but its number, its bytes and its age.
    Nameless(Stranger),
}

/// A job of a foreign producer.
#[derive(Debug, Clone)]
pub struct Stranger {
    /// What it asks for.
    pub content: Content,
    /// Its body as it came, for when `content` may not become a row of its own.
    pub body: bytes::Bytes,
    /// The first half of the SHA-256 of its body.
    pub hash: [u8; 16],
    /// The broker instance that numbered it.
    pub instance: String,
    /// When it was put, by its age.
    pub birth: Millis,
    /// Its priority.
    pub priority: u32,
    /// Its TTR in seconds.
    pub ttr: u32,
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claim {
    /// An attempt has begun.
    Begun(Box<Attempt>),
    /// The task may not run: it has failed, its job is to be buried.
    Refused {
        /// Its row.
        task: i64,
        /// Why.
        reason: String,
        /// Its job's priority.
        priority: u32,
    },
    /// Not now: release the job for this long.
    Later {
        /// Its row.
        task: i64,
        /// How long.
        delay: Duration,
        /// Its job's priority.
        priority: u32,
        /// The put that its job came from.
        generation: i64,
    },
    /// The job is one too many. The row is named where there is one.
    DeleteJob {
        /// The row.
        task: Option<i64>,
    },
    /// Claim again, with `kicks`.
    AskForKicks,
    /// The worker that ran it died: take it over, end what is left, claim again.
    Dead(DeadAttempt),
    /// Something of an attempt that has ended still runs: end it, claim again.
    Remains(DeadAttempt),
}

/// An attempt whose processes have to go before the next one may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadAttempt {
    /// The task's row.
    pub task: i64,
    /// Its identity.
    pub uuid: Uuid,
    /// The attempt's row.
    pub attempt: i64,
    /// The attempt's number.
    pub number: i64,
    /// The worker that answers for it.
    pub owner: Option<i64>,
    /// Its job's priority.
    pub priority: u32,
}

/// An attempt that has begun and is ours.
#[derive(Debug)]
pub struct Attempt {
    /// The task's row.
    pub task: i64,
    /// The task's identity.
    pub uuid: Uuid,
    /// The attempt's row.
    pub attempt: i64,
    /// The attempt's number.
    pub number: i64,
    /// What to start.
    pub plan: Plan,
    /// The lock that the command inherits.
    pub lock: Lock,
    /// What the task has used up before it.
    pub budget: Budget,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds, where known.
    pub ttr: Option<u32>,
    /// The put that its job came from.
    pub generation: i64,
    /// It was not ours to begin with, so that it matters whether its job is known to be gone.
    pub foreign: bool,
}

/// How an attempt of ours ended.
#[derive(Debug)]
pub struct Settlement {
    /// The task's row.
    pub task: i64,
    /// The attempt's row.
    pub attempt: i64,
    /// The attempt's number.
    pub number: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What becomes of the task.
    pub next: Next,
    /// What the task has used up now.
    pub budget: Budget,
    /// What the command printed.
    pub output: Kept,
}

impl Db {
    /// Decides what becomes of a reserved job, and begins an attempt where it may. `gone` are tasks
    /// whose jobs are known to be gone, noted on the way.
    pub fn claim(
        &mut self,
        arrival: &Arrival,
        commands: &Arc<Commands>,
        worker: i64,
        gone: &[i64],
        now: Millis,
    ) -> Result<Claim, Error> {
        self.change(|change, locks| {
            note_gone(change, gone)?;
            Claiming {
                change,
                locks,
                commands,
                worker,
                now,
            }
            .claim(arrival)
        })
    }

    /// Makes a dead worker's attempt ours, so that of several that find it only one goes on. True if
    /// it is ours now.
    pub fn take_over(&mut self, dead: &DeadAttempt, worker: i64) -> Result<bool, Error> {
        self.change(|change, locks| {
            if let Some(owner) = dead.owner
                && locks
                    .is_held(Holder::Worker(owner))
                    .map_err(Failed::Locks)?
            {
                return Ok(false);
            }
            let taken = change.execute(
                "UPDATE tasks SET owner = ?4
                 WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
                params![dead.task, dead.number, dead.owner, worker],
            )?;
            Ok(taken == 1)
        })
    }

    /// Records an attempt that we took over, and of which nothing runs any more, as lost, and claims
    /// its task anew, both in one transaction.
    pub fn lose_and_claim(
        &mut self,
        dead: &DeadAttempt,
        arrival: &Arrival,
        commands: &Arc<Commands>,
        worker: i64,
        now: Millis,
    ) -> Result<Claim, Error> {
        self.change(|change, locks| {
            let claiming = Claiming {
                change,
                locks,
                commands,
                worker,
                now,
            };
            claiming.lose(dead)?;
            claiming.claim(arrival)
        })
    }

    /// Records how an attempt ended. False if it was not ours to settle: somebody took it over, and
    /// nothing else may be touched then.
    pub fn settle(
        &mut self,
        settlement: &Settlement,
        worker: i64,
        now: Millis,
    ) -> Result<bool, Error> {
        self.change(|change, _| settle(change, settlement, worker, now))
    }
}

struct Claiming<'a> {
    change: &'a Connection,
    locks: &'a LockFile,
    commands: &'a Arc<Commands>,
    worker: i64,
    now: Millis,
}

impl Claiming<'_> {
    fn claim(&self, arrival: &Arrival) -> Result<Claim, Failed> {
        let Some(task) = self.find_or_add(arrival)? else {
            return Ok(Claim::DeleteJob { task: None });
        };
        let verdict = judge(self.found(&task, arrival)?);
        match verdict {
            Verdict::Begin => self.begin(task),
            Verdict::BeginAnew => {
                self.change
                    .prepare_cached("UPDATE tasks SET job_kicks = ?2 WHERE id = ?1")?
                    .execute(params![task.id, as_column(arrival.kicks.unwrap_or(0))])?;
                self.begin(TaskRow {
                    budget: Budget::default(),
                    ..task
                })
            }
            Verdict::Recover => {
                let dead = self.newest_attempt(&task)?;
                dead.map(Claim::Dead).ok_or_else(|| {
                    Failed::Corrupt(format!("task {} runs without an attempt", task.id))
                })
            }
            Verdict::Later(delay) => Ok(Claim::Later {
                task: task.id,
                delay,
                priority: task.priority,
                generation: task.generation,
            }),
            Verdict::DeleteJob => Ok(Claim::DeleteJob {
                task: Some(task.id),
            }),
            Verdict::AskForKicks => Ok(Claim::AskForKicks),
        }
    }

    fn found(&self, task: &TaskRow, arrival: &Arrival) -> Result<Found, Failed> {
        Ok(match task.status {
            Status::Waiting => Found::Waiting {
                due_in: task.due.unwrap_or(self.now).saturating_sub(self.now),
            },
            Status::Running => Found::Running {
                owner_lives: match task.owner {
                    Some(owner) => self
                        .locks
                        .is_held(Holder::Worker(owner))
                        .map_err(Failed::Locks)?,
                    None => false,
                },
                running_for: self.now.saturating_sub(task.started.unwrap_or(self.now)),
            },
            Status::Failed => Found::Failed {
                kicked: arrival.kicks.map(|kicks| as_column(kicks) > task.kicks),
            },
            Status::Done | Status::Cancelled => Found::Over,
        })
    }

    fn find_or_add(&self, arrival: &Arrival) -> Result<Option<TaskRow>, Failed> {
        match &arrival.who {
            Who::Pointer(uuid) => self.by_uuid(uuid),
            Who::Named(uuid, stranger) => {
                if let Some(row) = self.by_uuid(uuid)? {
                    let columns = Columns::of(&stranger.content);
                    if same_task(self.change, uuid, &columns)?.is_some() {
                        return Ok(Some(row));
                    }
                    // Somebody else's uuid: the job becomes a task of its own, to be refused.
                    let body = Content::Unread(stranger.body.clone());
                    return self.nameless(arrival, stranger, &body).map(Some);
                }
                self.insert(*uuid, arrival, stranger, &stranger.content)?;
                self.by_uuid(uuid)
            }
            Who::Nameless(stranger) => self
                .nameless(arrival, stranger, &stranger.content)
                .map(Some),
        }
    }

    /// The row of a job that has no uuid we can use: known by its number, its bytes and its birth.
    fn nameless(
        &self,
        arrival: &Arrival,
        stranger: &Stranger,
        content: &Content,
    ) -> Result<TaskRow, Failed> {
        let known = self
            .change
            .prepare_cached(&by_foreign_job())?
            .query_row(
                params![
                    as_column(arrival.job),
                    stranger.hash,
                    stranger.instance,
                    stranger.birth
                ],
                TaskRow::read,
            )
            .optional()?;
        if let Some(row) = known {
            return row;
        }
        let uuid = Uuid::now_v7();
        self.insert(uuid, arrival, stranger, content)?;
        self.by_uuid(&uuid)?
            .ok_or_else(|| Failed::Corrupt("a row vanished in its own transaction".into()))
    }

    fn by_uuid(&self, uuid: &Uuid) -> Result<Option<TaskRow>, Failed> {
        self.change
            .prepare_cached(&by_uuid())?
            .query_row([uuid.as_bytes()], TaskRow::read)
            .optional()?
            .transpose()
    }

    fn insert(
        &self,
        uuid: Uuid,
        arrival: &Arrival,
        stranger: &Stranger,
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
                arrival.tube.as_str(),
                self.now,
                columns.command,
                columns.arguments,
                columns.options,
                columns.body,
                stranger.priority,
                stranger.ttr.max(1),
                as_column(arrival.job),
                stranger.instance,
                stranger.hash,
                stranger.birth,
                as_column(arrival.kicks.unwrap_or(0)),
            ])?;
        Ok(())
    }

    fn begin(&self, task: TaskRow) -> Result<Claim, Failed> {
        // The attempt before must be gone to its last process. Only the newest can have left any: it
        // began after those before it were gone.
        if let Some(before) = self.newest_attempt(&task)?
            && self
                .locks
                .is_held(Holder::Attempt(before.attempt))
                .map_err(Failed::Locks)?
        {
            return Ok(Claim::Remains(before));
        }
        let number = task.attempt.saturating_add(1);
        match self.commands.plan(task.uuid, &task.tube, &task.content) {
            Err(refusal) => self.refuse(&task, number, refusal.to_string()),
            Ok(plan) => self.run(task, number, plan),
        }
    }

    fn run(&self, task: TaskRow, number: i64, plan: Plan) -> Result<Claim, Failed> {
        let attempt = self.insert_attempt(task.id, number)?;
        let lock = self
            .locks
            .take(Holder::Attempt(attempt))
            .map_err(Failed::Locks)?;
        self.change
            .prepare_cached(
                "UPDATE tasks SET status = 'running', due = NULL, finished = NULL, reason = NULL,
                    attempt = ?2, owner = ?3, started = ?4, command = ?5, spent = ?6, lost = ?7
                 WHERE id = ?1",
            )?
            .execute(params![
                task.id,
                number,
                self.worker,
                self.now,
                plan.name,
                task.budget.spent,
                task.budget.lost
            ])?;
        Ok(Claim::Begun(Box::new(Attempt {
            task: task.id,
            uuid: task.uuid,
            attempt,
            number,
            plan,
            lock,
            budget: task.budget,
            priority: task.priority,
            ttr: task.ttr,
            generation: task.generation,
            foreign: task.foreign,
        })))
    }

    fn refuse(&self, task: &TaskRow, number: i64, reason: String) -> Result<Claim, Failed> {
        let attempt = self.insert_attempt(task.id, number)?;
        self.change
            .prepare_cached(
                "UPDATE tasks SET status = 'running', due = NULL, finished = NULL, attempt = ?2, owner = ?3,
                    started = ?4 WHERE id = ?1",
            )?
            .execute(params![task.id, number, self.worker, self.now])?;
        let outcome = Outcome::Refused { reason };
        let (next, budget) = retry::next(&outcome, &Rules::default(), task.budget);
        let reason = outcome.reason().unwrap_or_default().to_owned();
        let settlement = Settlement {
            task: task.id,
            attempt,
            number,
            outcome,
            next,
            budget,
            output: Kept::default(),
        };
        settle(self.change, &settlement, self.worker, self.now)?;
        Ok(Claim::Refused {
            task: task.id,
            reason,
            priority: task.priority,
        })
    }

    fn insert_attempt(&self, task: i64, number: i64) -> Result<i64, Failed> {
        Ok(self
            .change
            .prepare_cached(
                "INSERT INTO attempts (task, number, worker, started) VALUES (?1, ?2, ?3, ?4) RETURNING id",
            )?
            .query_row(params![task, number, self.worker, self.now], |row| {
                row.get(0)
            })?)
    }

    fn newest_attempt(&self, task: &TaskRow) -> Result<Option<DeadAttempt>, Failed> {
        if task.attempt == 0 {
            return Ok(None);
        }
        let attempt = self
            .change
            .prepare_cached("SELECT id FROM attempts WHERE task = ?1 AND number = ?2")?
            .query_row(params![task.id, task.attempt], |row| row.get(0))
            .optional()?;
        Ok(attempt.map(|attempt| DeadAttempt {
            task: task.id,
            uuid: task.uuid,
            attempt,
            number: task.attempt,
            owner: task.owner,
            priority: task.priority,
        }))
    }

    fn lose(&self, dead: &DeadAttempt) -> Result<(), Failed> {
        let Some(task) = self.by_uuid(&dead.uuid)? else {
            return Ok(());
        };
        let rules = self
            .commands
            .plan(task.uuid, &task.tube, &task.content)
            .map_or(Rules::default(), |plan| plan.command.retry);
        let (next, budget) = retry::next(&Outcome::Lost, &rules, task.budget);
        let settlement = Settlement {
            task: dead.task,
            attempt: dead.attempt,
            number: dead.number,
            outcome: Outcome::Lost,
            next,
            budget,
            output: Kept::default(),
        };
        settle(self.change, &settlement, self.worker, self.now).map(drop)
    }
}

fn settle(
    change: &Connection,
    settlement: &Settlement,
    worker: i64,
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
            "UPDATE tasks SET status = ?4, due = ?5, reason = ?6, owner = NULL, finished = ?7, spent = ?8, lost = ?9
             WHERE id = ?1 AND status = 'running' AND attempt = ?2 AND owner = ?3",
        )?
        .execute(params![
            settlement.task,
            settlement.number,
            worker,
            status.as_str(),
            due,
            reason,
            status.is_ended().then_some(now),
            settlement.budget.spent,
            settlement.budget.lost,
        ])?;
    if ours == 0 {
        return Ok(false);
    }
    let outcome = &settlement.outcome;
    change
        .prepare_cached(
            "UPDATE attempts SET finished = ?2, outcome = ?3, exit_code = ?4, signal = ?5, reason = ?6 WHERE id = ?1",
        )?
        .execute(params![
            settlement.attempt,
            now,
            outcome.word(),
            outcome.exit_code(),
            outcome.signal(),
            outcome.reason(),
        ])?;
    if settlement.output.size() > 0 {
        change
            .prepare_cached(
                "INSERT INTO output (attempt, head, tail, dropped) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                settlement.attempt,
                settlement.output.head,
                settlement.output.tail,
                as_column(settlement.output.dropped),
            ])?;
    }
    Ok(true)
}

/// A task's row, as far as a claim needs it.
struct TaskRow {
    id: i64,
    uuid: Uuid,
    tube: TubeName,
    status: Status,
    due: Option<Millis>,
    content: Content,
    priority: u32,
    ttr: Option<u32>,
    attempt: i64,
    budget: Budget,
    owner: Option<i64>,
    started: Option<Millis>,
    kicks: i64,
    generation: i64,
    foreign: bool,
}

const SELECT_TASK: &str =
    "SELECT id, uuid, tube, status, due, foreign_job, command, arguments, options, body,
    priority, ttr, attempt, spent, lost, owner, started, job_kicks, put_generation FROM tasks";

pub(super) fn by_uuid() -> String {
    format!("{SELECT_TASK} WHERE uuid = ?1")
}

pub(super) fn by_foreign_job() -> String {
    format!(
        "{SELECT_TASK} WHERE job = ?1 AND job_hash = ?2
            AND (job_instance = ?3 OR abs(job_birth - ?4) <= 2000) ORDER BY id DESC LIMIT 1"
    )
}

impl TaskRow {
    /// The outer error is SQLite's, the inner one is about what the row holds.
    fn read(row: &Row<'_>) -> rusqlite::Result<Result<TaskRow, Failed>> {
        let id = row.get(0)?;
        let uuid = Uuid::from_bytes(row.get(1)?);
        let tube = row.get_ref(2)?.as_str()?.parse::<TubeName>();
        let status = Status::from_word(row.get_ref(3)?.as_str()?);
        let content = content(
            id,
            row.get(5)?,
            row.get_ref(6)?.as_str_or_null()?,
            row.get_ref(7)?.as_str_or_null()?,
            row.get_ref(8)?.as_str_or_null()?,
            row.get(9)?,
        );
        let foreign = row.get(5)?;
        let corrupt = |what: String| Failed::Corrupt(format!("task {id}: {what}"));
        let budget = Budget {
            spent: row.get(13)?,
            lost: row.get(14)?,
        };
        let (due, priority, ttr, attempt) = (row.get(4)?, row.get(10)?, row.get(11)?, row.get(12)?);
        let (owner, started, kicks, generation) =
            (row.get(15)?, row.get(16)?, row.get(17)?, row.get(18)?);
        let read = || {
            Ok(TaskRow {
                id,
                uuid,
                tube: tube.map_err(|e| corrupt(e.to_string()))?,
                status: status.ok_or_else(|| corrupt("unknown status".into()))?,
                due,
                content: content?,
                priority,
                ttr,
                attempt,
                budget,
                owner,
                started,
                kicks,
                generation,
                foreign,
            })
        };
        Ok(read())
    }
}
