//! Rows, or what of them an operation takes and gives.

use uuid::Uuid;

use crate::broker::JobId;
use crate::ledger::read::Task;
use crate::task::Millis;
use crate::task::after::After;
use crate::task::command::Content;
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::own::Own;
use crate::task::report::Progress;
use crate::task::resources::Resources;
use crate::task::retry::Budget;
use crate::task::state::{Outcome, Status};
use crate::task::tag::Tag;
use crate::task::unique::{Hold, Unique};
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
    /// It waits for its command, which was found missing when it was due: then, since it is parked.
    pub is_parked: bool,
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
    /// It came of a schedule.
    pub scheduled: bool,
    /// What it says of its own attempts.
    pub own: Option<Box<Own>>,
    /// It waits, or has waited, for others.
    pub has_parents: bool,
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
    /// What its producer calls it.
    pub tags: &'a [Tag],
    /// The key that no other is to have, which no other has.
    pub hold: Option<&'a Hold>,
    /// What it says of its own attempts.
    pub own: Option<&'a Own>,
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

/// What is counted of an attempt besides how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The name of the task's tube.
    pub tube: String,
    /// The name of its command; nothing where that is not known.
    pub command: String,
    /// When the attempt began, or was claimed ahead of its turn.
    pub started: Millis,
    /// Since when the task could have been run, if that is known.
    pub since: Option<Millis>,
    /// The attempt takes a place of a limit.
    pub is_limited: bool,
}

/// That an attempt that runs is to be cancelled, as its task's row says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which attempt.
    pub attempt: AttemptId,
    /// When somebody first asked.
    pub asked: Millis,
    /// Its command is to be killed at once.
    pub now: bool,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
    /// What the task had used up before the attempt.
    pub budget: Budget,
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
    /// What its command took of the machine, where that is known.
    pub took: Option<Resources>,
}

/// What a command has said of its attempt.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Which attempt. It is the newest of its task.
    pub id: AttemptId,
    /// When that was kept.
    pub at: Millis,
    /// How far the attempt is.
    pub progress: &'a Progress,
    /// What the task came to, as JSON; `None`: nothing was said, or the attempt is not done.
    pub result: Option<&'a str>,
}

/// How an attempt is recorded to have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The bare word.
    pub outcome: String,
    /// The exit code, if there was one.
    pub exit_code: Option<i32>,
    /// There is a reason beside them: of one that exited, that its command said that the task failed.
    pub has_reason: bool,
}

/// Who runs or ran the newest attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanBy {
    /// The worker.
    pub worker: Option<WorkerId>,
    /// The worker's name, or its number where its row is gone.
    pub name: String,
    /// The boot that the worker was started in, if its row is there.
    pub boot: Option<String>,
    /// The worker had been told to go.
    pub was_told: bool,
    /// The worker was killed since it did not answer and its command's time was up.
    pub was_hung: bool,
}

/// A put that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunPut {
    /// Which put.
    pub put: PutId,
    /// The task's identity.
    pub uuid: Uuid,
    /// The name of its command, where it is known.
    pub command: Option<String>,
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
    /// When the first of them is due, if they wait.
    pub due: Option<Millis>,
    /// How many.
    pub count: u64,
}

/// So many tasks of one tube wait, for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The tube's name.
    pub tube: String,
    /// What for.
    pub wants: Wants,
    /// How many.
    pub count: u64,
}

/// What a task that waits wants to be run by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// The command of this name.
    Command(String),
    /// Its tube's command for raw bodies.
    RawCommand,
    /// It came by another producer's job, and its claim finds out.
    Unknown,
}

/// A task as it is recorded, to be shown.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The task, its status as it is recorded.
    pub task: Task,
    /// Who answers for it, if it runs.
    pub owner: Option<WorkerId>,
}

/// Where a task stands, and its newest attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// The task.
    pub task: TaskId,
    /// Where it stands, as that is recorded.
    pub status: Status,
    /// When it may run, while it waits.
    pub due: Option<Millis>,
    /// The number of the attempt that has begun last; 0 before the first.
    pub attempt: i64,
    /// Who runs or ran that.
    pub worker: Option<WorkerId>,
    /// Who answers for it while it runs.
    pub owner: Option<WorkerId>,
}

/// A job of a foreign producer.
#[derive(Debug, Clone)]
pub struct ForeignJob {
    /// What it asks for.
    pub content: Content,
    /// What its producer calls the task.
    pub tags: Vec<Tag>,
    /// When the task is due, if not at once.
    pub at: Option<Millis>,
    /// That it is not to become a task while another has its key.
    pub unique: Option<Unique>,
    /// What it says of its task's own attempts.
    pub own: Option<Box<Own>>,
    /// That the task is to wait for others.
    pub after: Option<After>,
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

/// A job that a task had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldJob {
    /// Its number.
    pub id: JobId,
    /// The broker instance that numbered it, if it was known.
    pub instance: Option<String>,
}

/// A task that waits, and the job that is to ring for it, if that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedJob {
    /// Its newest put.
    pub put: PutId,
    /// Its identity.
    pub uuid: Uuid,
    /// The job's number.
    pub job: Option<JobId>,
    /// The broker instance that numbered the job.
    pub instance: Option<String>,
    /// How to know the job from another of that number.
    pub fingerprint: Fingerprint,
}

/// How a job is known from another that has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fingerprint {
    /// The job points to the task.
    Pointer,
    /// The job is its producer's own.
    Foreign {
        /// The first half of the SHA-256 of its body.
        hash: [u8; 16],
        /// When it was put.
        birth: Millis,
    },
}

/// A task that ended and may go, if its producer's own job has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsure {
    /// Its row.
    pub id: TaskId,
    /// Its job's number.
    pub job: JobId,
    /// The first half of the SHA-256 of its job's body.
    pub hash: [u8; 16],
    /// Its tube.
    pub tube: String,
    /// The broker instance that numbered its job.
    pub instance: String,
}

/// A task, and what rings for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The task's identity.
    pub uuid: Uuid,
    /// Where it stands.
    pub status: Status,
    /// The job that we put for it, if that is not known to be deleted.
    pub job: Option<OldJob>,
    /// Its producer's own job, by which it came, if that is not known to be deleted.
    pub foreign_job: Option<Unsure>,
}

/// Which tasks are to go.
#[derive(Debug, Clone)]
pub struct Old {
    /// Those that stand there; only ended ones are ever deleted.
    pub statuses: Vec<Status>,
    /// Those that ended before then.
    pub before: Millis,
}

/// A worker as it introduces itself.
#[derive(Debug, Clone)]
pub struct NewWorker {
    /// What people call it.
    pub name: String,
    /// The tube it works for.
    pub tube: String,
    /// The machine's host name.
    pub host: String,
    /// Its process id, for people: whether it lives is asked of its lock.
    pub pid: u32,
}

/// A worker that has ended without a word.
#[derive(Debug, Clone)]
pub struct Gone {
    /// As it introduced itself.
    pub worker: NewWorker,
    /// It was killed since it hung.
    pub was_hung: bool,
}

/// A worker as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What people call it.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// How many attempts of its name have ended well, and how many otherwise.
    pub ended: (u64, u64),
    /// The task that it runs.
    pub task: Option<TaskId>,
}
