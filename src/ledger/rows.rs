//! The rows of a ledger: the thinnest possible layer of operations, which every adapter has. Nothing here knows what the
//! operations are for; that is the protocol's, above.
//!
//! What an adapter must never let stand, whoever writes it, is what the CHECKs of `migrations/` say.

use uuid::Uuid;

use super::announce::OldJob;
use super::cleanup::{Old, Unsure};
use super::entry::ForeignJob;
use super::error::Failed;
use super::read::{Filter, Key, Task};
use super::recover::UnverifiedJob;
use super::worker::{Known, NewWorker};
use crate::broker::JobId;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::retry::Budget;
use crate::task::state::{Outcome, Status};
use crate::tube::TubeName;

/// A task's row, as far as a claim needs it.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// The task.
    pub id: TaskId,
    /// The task's identity.
    pub uuid: Uuid,
    /// Where its jobs wait.
    pub tube: TubeName,
    /// Where it stands.
    pub status: Status,
    /// When it may run, while it waits.
    pub due: Option<Millis>,
    /// The command that it runs or ran, if that is known.
    pub command: Option<String>,
    /// What to run.
    pub content: Content,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds, where known.
    pub ttr: Option<u32>,
    /// The number of the attempt that has begun last; 0 before the first.
    pub attempt: i64,
    /// What it has used up.
    pub budget: Budget,
    /// Who answers for it while it runs.
    pub owner: Option<WorkerId>,
    /// Who runs or ran the newest attempt.
    pub worker: Option<WorkerId>,
    /// The newest attempt was claimed ahead of its turn.
    pub ahead: bool,
    /// When the newest attempt began.
    pub started: Option<Millis>,
    /// How often its job had been kicked when that was last asked for.
    pub kicks: i64,
    /// The put that was begun last; 0 before the first.
    pub generation: i64,
    /// It came by its producer's own job.
    pub foreign: bool,
}

impl TaskRow {
    /// The attempt that has begun last.
    pub fn newest(&self) -> AttemptId {
        AttemptId {
            task: self.id,
            number: self.attempt,
        }
    }

    /// The put that was begun last.
    pub fn put(&self) -> PutId {
        PutId {
            task: self.id,
            generation: self.generation,
        }
    }
}

/// A task to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewRow<'a> {
    /// The task's identity.
    pub uuid: Uuid,
    /// Where its jobs wait.
    pub tube: &'a TubeName,
    /// What to run.
    pub content: &'a Content,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds, at least 1.
    pub ttr: u32,
    /// When it may run.
    pub due: Millis,
    /// When it is recorded.
    pub created: Millis,
    /// How it came.
    pub origin: Origin<'a>,
}

/// How a task came.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// It is put by us: its put number 1 has begun, and is left until then to whoever began it.
    Ours {
        /// When that is over.
        put_until: Millis,
    },
    /// By its producer's own job.
    Foreign {
        /// The job's number.
        job: JobId,
        /// The job.
        foreign: &'a ForeignJob,
        /// How often the job was kicked.
        kicks: u64,
    },
}

/// The beginning of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Which attempt.
    pub id: AttemptId,
    /// Who runs it.
    pub worker: WorkerId,
    /// When it begins.
    pub started: Millis,
    /// What the task has used up before it.
    pub budget: Budget,
    /// It is claimed ahead of its turn.
    pub ahead: bool,
}

/// The end of an attempt, as the task's row says it.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Which attempt.
    pub id: AttemptId,
    /// Who has to answer for it.
    pub owner: WorkerId,
    /// Where the task stands then: not running.
    pub status: Status,
    /// When it may run again, if it waits.
    pub due: Option<Millis>,
    /// Why it has failed, if it has.
    pub reason: Option<&'a str>,
    /// When it ended, unless it waits.
    pub finished: Option<Millis>,
    /// What the task has used up now.
    pub budget: Budget,
    /// How often its job was kicked, if that was asked for.
    pub kicks: Option<u64>,
    /// When the attempt began, if that is known only now.
    pub started: Option<Millis>,
}

/// An attempt that has ended, as its own row says it.
#[derive(Debug, Clone, Copy)]
pub struct EndedAttempt<'a> {
    /// Which attempt. It is the newest of its task, whose row says when it began.
    pub id: AttemptId,
    /// The name of who ran it.
    pub worker: &'a str,
    /// When it ended.
    pub finished: Millis,
    /// How it ended.
    pub outcome: &'a Outcome,
}

/// How an attempt is recorded to have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The bare word.
    pub outcome: String,
    /// The exit code, if there was one.
    pub exit_code: Option<i32>,
}

/// Who runs or ran the newest attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanBy {
    /// The worker's name, or its number where its row is gone.
    pub name: String,
    /// The boot that the worker was started in, if its row is there.
    pub boot: Option<String>,
}

/// A put that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunPut {
    /// Which put.
    pub put: PutId,
    /// The task's identity.
    pub uuid: Uuid,
    /// Where the job will wait.
    pub tube: TubeName,
    /// The job's priority.
    pub priority: u32,
    /// The job's TTR in seconds, where known.
    pub ttr: Option<u32>,
    /// Milliseconds until the task is due, not longer than it was to wait since it began to; zero or less when it is.
    pub due_in: i64,
    /// The job that the task had, if that is not known to be deleted.
    pub old_job: Option<OldJob>,
}

/// A job to be kept beside the tasks.
#[derive(Debug, Clone, Copy)]
pub struct KeptJob<'a> {
    /// The tube.
    pub tube: &'a TubeName,
    /// 0 is the most urgent.
    pub priority: u32,
    /// Milliseconds until it is ready; nothing and less: at once.
    pub delay: i64,
    /// Seconds, at least 1.
    pub ttr: u32,
    /// The body.
    pub body: &'a [u8],
}

/// An attempt that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Which attempt.
    pub id: AttemptId,
    /// The task's identity.
    pub uuid: Uuid,
    /// Who answers for it.
    pub owner: WorkerId,
    /// Who runs it.
    pub worker: Option<WorkerId>,
    /// The priority of the task's job.
    pub priority: u32,
    /// It was claimed ahead of its turn.
    pub ahead: bool,
}

/// So many tasks of one tube stand there; those that run, by who answers for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The tube's name.
    pub tube: String,
    /// Where they stand.
    pub status: Status,
    /// Who answers for them, if they run.
    pub owner: Option<WorkerId>,
    /// How many.
    pub count: u64,
}

/// A task as it is recorded, to be shown.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The task, its status as it is recorded.
    pub task: Task,
    /// Who answers for it, if it runs.
    pub owner: Option<WorkerId>,
}

/// Hears of one task of a list after the other, and ends it by returning false.
pub type Each<'a> = dyn FnMut(Listed) -> Result<bool, Failed> + 'a;

/// What may be looked at in one moment of the rows.
pub trait Reads {
    /// The tubes in which something waits or runs, by name.
    fn tubes_in_use(&self) -> Result<Vec<String>, Failed>;

    /// All attempts that have not ended, or those of a tube, in the order of their tasks.
    fn running(&self, tube: Option<&TubeName>) -> Result<Vec<Running>, Failed>;

    /// Whether an attempt has not ended, and that worker answers for it.
    fn is_running(&self, attempt: AttemptId, owner: Option<WorkerId>) -> Result<bool, Failed>;

    /// Tasks of a tube that wait, from one on, the newest puts of which are not noted: those that nobody is left to at
    /// `now`, or until later than `latest`.
    fn missing(
        &self,
        tube: &TubeName,
        after: TaskId,
        now: Millis,
        latest: Millis,
        limit: u32,
    ) -> Result<Vec<PutId>, Failed>;

    /// Tasks of a tube that wait, from one on, and whose job is known; of those of `instance` only if none is named.
    fn unverified(
        &self,
        tube: &TubeName,
        instance: Option<&str>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<UnverifiedJob>, Failed>;

    /// The job of a task, if the task waits and its job is known.
    fn unverified_of(&self, task: TaskId) -> Result<Option<UnverifiedJob>, Failed>;

    /// Whether a task of a tube waits.
    fn waits(&self, tube: &TubeName) -> Result<bool, Failed>;

    /// Whether a task of a tube waits, is due by then and has been announced.
    fn is_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Failed>;

    /// Tasks that would go if it were known that their jobs are deleted, from one on.
    fn unsure(&self, old: &Old, after: TaskId, limit: usize) -> Result<Vec<Unsure>, Failed>;

    /// Whether any of the newest tasks of a tube has had a job in this instance of the broker.
    fn has_been_at(&self, tube: &str, instance: &str) -> Result<bool, Failed>;

    /// How many old tasks may go.
    fn count_old(&self, old: &Old) -> Result<u64, Failed>;

    /// Old tasks that may go and ended at that time or later, in the order of their ends, each with its end.
    fn old(&self, old: &Old, from: Millis, limit: usize) -> Result<Vec<(TaskId, Millis)>, Failed>;

    /// Workers, from one on, who run nothing and answer for nothing; never the newest.
    fn idle_workers(&self, after: WorkerId, limit: usize) -> Result<Vec<WorkerId>, Failed>;

    /// How many tasks that wait, run or have failed stand where, by tube.
    fn tallies(&self) -> Result<Vec<Tally>, Failed>;

    /// The tasks below one that pass the filter as far as the rows tell, the newest first, without bodies and output.
    fn page(&self, filter: &Filter, below: TaskId, each: &mut Each<'_>) -> Result<(), Failed>;

    /// One task, with its body.
    fn shown(&self, key: Key) -> Result<Option<Listed>, Failed>;

    /// What an attempt printed.
    fn output(&self, attempt: AttemptId) -> Result<Option<Captured>, Failed>;

    /// Every worker that has a row, the oldest first.
    fn workers(&self) -> Result<Vec<Known>, Failed>;
}

/// What may be done in one transaction.
pub trait Rows: Reads {
    /// The task of that uuid.
    fn task(&self, uuid: &Uuid) -> Result<Option<TaskRow>, Failed>;

    /// The newest task that came by this job: the same number and bytes, and either the same instance or a birth within 2 s.
    fn foreign_task(&self, job: JobId, foreign: &ForeignJob) -> Result<Option<TaskRow>, Failed>;

    /// The task of that uuid, if it asks for the same thing.
    fn same_task(&self, uuid: &Uuid, content: &Content) -> Result<Option<TaskId>, Failed>;

    /// Where a task stands.
    fn status(&self, task: TaskId) -> Result<Option<Status>, Failed>;

    /// Adds a task that waits; `None` if its uuid is another's.
    fn insert(&self, row: &NewRow<'_>) -> Result<Option<TaskId>, Failed>;

    /// Begins an attempt: its task runs.
    fn begin(&self, beginning: &Beginning) -> Result<(), Failed>;

    /// Names the command that a task runs.
    fn name_command(&self, task: TaskId, command: &str) -> Result<(), Failed>;

    /// Ends an attempt, if its task runs, the attempt is the task's newest, and its owner is that one. True if so.
    fn end(&self, ending: &Ending<'_>) -> Result<bool, Failed>;

    /// Has a task wait as if an attempt had not been claimed, if that was claimed ahead and its owner is that one. True if
    /// so.
    fn unclaim(&self, attempt: AttemptId, owner: WorkerId) -> Result<bool, Failed>;

    /// Has a task wait that has failed, due now or when it ended if that was earlier, with a fresh budget.
    fn renew(&self, task: TaskId, now: Millis, tube: Option<&TubeName>) -> Result<(), Failed>;

    /// Gives an attempt that has not ended another owner, if that is the one expected. True if so.
    fn take_over(
        &self,
        attempt: AttemptId,
        from: Option<WorkerId>,
        to: WorkerId,
    ) -> Result<bool, Failed>;

    /// Notes that an attempt that was claimed ahead has begun, if its owner is that one.
    fn note_begun(
        &self,
        attempt: AttemptId,
        owner: WorkerId,
        started: Millis,
    ) -> Result<(), Failed>;

    /// Writes how an attempt has ended.
    fn add_attempt(&self, ended: &EndedAttempt<'_>) -> Result<(), Failed>;

    /// Writes what an attempt printed.
    fn add_output(&self, attempt: AttemptId, output: &Captured) -> Result<(), Failed>;

    /// How an attempt is recorded to have ended.
    fn outcome(&self, attempt: AttemptId) -> Result<Option<Recorded>, Failed>;

    /// Who runs or ran the newest attempt of a task.
    fn ran_by(&self, task: TaskId) -> Result<RanBy, Failed>;

    /// When a task that waits began to: since its newest attempt ended, or else since it was recorded.
    fn waits_since(&self, task: TaskId) -> Result<Millis, Failed>;

    /// Writes anew when a task is due.
    fn set_due(&self, task: TaskId, due: Millis) -> Result<(), Failed>;

    /// Notes how often the job of a task that has failed was kicked, if that is more than was known.
    fn raise_kicks(&self, task: TaskId, kicks: u64) -> Result<(), Failed>;

    /// Begins another put of a task that waits, if its newest is that one, or whichever that is; it is left until then to
    /// whoever begins it.
    fn begin_put(
        &self,
        task: TaskId,
        generation: Option<i64>,
        until: Millis,
        now: Millis,
    ) -> Result<Option<BegunPut>, Failed>;

    /// Notes the job of a put, unless there has been another put since. A foreign task's row goes on naming the producer's
    /// job as well, which may come round again and is known by nothing else.
    fn note_put(&self, put: PutId, job: JobId, instance: &str) -> Result<(), Failed>;

    /// Leaves a put that came to nothing to whoever is next.
    fn give_up_put(&self, put: PutId) -> Result<(), Failed>;

    /// Notes that the job of a put is in an instance of the broker that calls itself otherwise than before.
    fn note_found(&self, put: PutId, instance: &str) -> Result<(), Failed>;

    /// Notes that the producer's own job of a task is deleted, if there is such a task.
    fn note_deleted(&self, task: TaskId) -> Result<(), Failed>;

    /// Puts a job beside the tasks. Only asked of those who keep jobs.
    fn put_job(&self, job: &KeptJob<'_>) -> Result<JobId, Failed>;

    /// Adds a worker.
    fn insert_worker(
        &self,
        worker: &NewWorker,
        boot: &str,
        now: Millis,
    ) -> Result<WorkerId, Failed>;

    /// Writes that a worker has stopped, or that it has not.
    fn set_stopped(&self, worker: WorkerId, stopped: Option<Millis>) -> Result<(), Failed>;

    /// Deletes a worker, if it runs nothing and answers for nothing. True if so.
    fn forget_worker(&self, worker: WorkerId) -> Result<bool, Failed>;

    /// Deletes a task with its attempts and what they printed, if it is old and may go. True if so.
    fn delete_old(&self, old: &Old, task: TaskId) -> Result<bool, Failed>;
}
