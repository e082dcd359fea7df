//! What a worker says to the ledger, what it asks, and what it hears.
//!
//! A job only says "look at this task now"; whether the task runs is decided here, from its row. In one transaction a
//! claim finds the row (or makes it, for a foreign producer's job), lets the core judge, and begins the attempt: the
//! task's status, the attempt's owner and its lock appear together or not at all. The attempt's own row is written when
//! the attempt has ended.
//!
//! Where short jobs follow each other, several share one transaction: the attempts of a batch are settled, and the
//! tasks of the next batch are claimed. What the ledger does not know meanwhile, the worker's batch journal does.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::announce::Again;
pub use super::rows::ForeignJob;
use super::rows::{Ran, Scheduled};
use crate::broker::JobId;
use crate::lives::Alive;
use crate::task::Millis;
use crate::task::command::{Cleanup, Plan};
use crate::task::id::{AttemptId, PutId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::report::{Progress, Report};
use crate::task::resources::Resources;
use crate::task::retry::{Budget, Next};
use crate::task::state::Outcome;
use crate::tube::TubeName;

/// A reserved job, as the claim needs to know it.
#[derive(Debug, Clone)]
pub struct JobRef {
    /// The tube that the job came from.
    pub tube: TubeName,
    /// The job's number.
    pub id: JobId,
    /// How often the job was kicked, if that was asked for.
    pub kicks: Option<u64>,
    /// Which task the job speaks of.
    pub task: TaskRef,
    /// The number of the task's attempt of which the worker has made sure that nothing is left.
    pub cleared: Option<i64>,
}

impl JobRef {
    /// The job is one that we put, whoever put the task's first.
    pub fn is_pointer(&self) -> bool {
        match self.task {
            TaskRef::Pointer(_) => true,
            TaskRef::Named(..) | TaskRef::Nameless(_) => false,
        }
    }
}

/// How a job says which task it is.
#[derive(Debug, Clone)]
pub enum TaskRef {
    /// The job points to a row of this store.
    Pointer(Uuid),
    /// A foreign producer gave the job a uuid.
    Named(Uuid, ForeignJob),
    /// By nothing but the job's number, its bytes and its age.
    Nameless(ForeignJob),
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claim {
    /// An attempt has begun.
    Begun(Box<Attempt>),
    /// The task may not run: it has failed, its job is to be buried.
    Refused {
        /// The task.
        task: TaskId,
        /// Why.
        reason: String,
        /// Its job's priority.
        priority: u32,
    },
    /// The task has lost too many attempts and has failed with the last of them: its job is to be buried.
    GivenUp {
        /// The task.
        task: TaskId,
        /// Why.
        reason: String,
        /// Its job's priority.
        priority: u32,
    },
    /// The task had failed before, and its job was to be buried.
    BuryJob {
        /// The task.
        task: TaskId,
        /// Its job's priority.
        priority: u32,
    },
    /// Not now: release the job for this long.
    Later {
        /// The put that the task's job came from.
        put: PutId,
        /// How long.
        delay: Duration,
        /// The job's priority.
        priority: u32,
    },
    /// A limit has no room for the task, which waits without a job from now on: the job is one too many.
    Held {
        /// The task.
        task: TaskId,
    },
    /// The job is one too many. The row is named where there is one.
    DeleteJob {
        /// The task.
        task: Option<TaskId>,
    },
    /// A pointer whose task has no row: the task was cleaned up, or was recorded in a file that this one was put in the
    /// place of.
    NoRow {
        /// The task.
        uuid: Uuid,
        /// It may be missing here, and its job is to be kept, buried; else the job is one too many.
        missing: bool,
    },
    /// The task has failed: claim again, and say how often the job was kicked.
    AskForKicks,
    /// The worker that answers for the task's attempt is dead: take the attempt over, end what is left, claim again.
    Dead(DeadAttempt),
    /// Something of an attempt that has ended may still run: end that, and claim again.
    Remains(DeadAttempt),
}

/// An attempt whose processes have to go before the next one may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadAttempt {
    /// Which.
    pub id: AttemptId,
    /// Its task's identity.
    pub uuid: Uuid,
    /// The worker that answers for it.
    pub owner: Option<WorkerId>,
    /// The worker that began it; `None`: whoever has it ended.
    pub worker: Option<WorkerId>,
    /// Its job's priority.
    pub priority: u32,
    /// What its worker has left.
    pub remains: Remains,
}

/// What a dead worker has left of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Nobody knows how the attempt ended, nor what of it still runs.
    Unknown,
    /// The attempt had ended well. What of it still runs was to stay.
    Done,
    /// The attempt had not begun.
    Unbegun,
}

/// An attempt that has begun and is ours.
#[derive(Debug)]
pub struct Attempt {
    /// Which.
    pub id: AttemptId,
    /// The task's identity.
    pub uuid: Uuid,
    /// What to start.
    pub plan: Plan,
    /// The lock that says that the attempt lives: the command inherits it.
    pub alive: Alive,
    /// What the task has used up before this attempt.
    pub budget: Budget,
    /// What is counted of the attempt when it ends.
    pub ran: Arc<Ran>,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's TTR in seconds, where known.
    pub ttr: Option<u32>,
    /// The put that its job came from.
    pub put: PutId,
    /// The attempt came by its producer's own job, of which it matters whether the job is known to be deleted.
    pub foreign: bool,
    /// The attempt is to begin only when others have ended: the batch journal says when it does.
    pub ahead: bool,
    /// Of which schedule its task came.
    pub scheduled: Option<Scheduled>,
    /// Which tasks its task has waited for.
    pub parents: Vec<TaskId>,
}

/// A task whose job is lost.
#[derive(Debug, Clone)]
pub enum Jobless {
    /// The job came from this put. Where there has been another since, nobody need put one.
    Put(PutId),
    /// The job was given back unclaimed, and says itself which task it is. A foreign producer's job whose task has no
    /// row yet gets that row: nobody else knows of the job.
    Job(Box<JobRef>),
    /// Those that wait for tasks that have ended, and have not heard of that: the entry before had no room for all.
    Children,
}

impl Jobless {
    /// Whether it speaks of [`Jobless::Children`].
    pub fn is_of_children(&self) -> bool {
        match self {
            Jobless::Children => true,
            Jobless::Put(_) | Jobless::Job(_) => false,
        }
    }
}

/// How an attempt of ours ended.
#[derive(Debug)]
pub struct Settlement {
    /// Which.
    pub id: AttemptId,
    /// How it ended.
    pub outcome: Outcome,
    /// What becomes of the task.
    pub next: Next,
    /// What the task has used up now.
    pub budget: Budget,
    /// What the command printed.
    pub output: Captured,
    /// What is kept of what the command said of the attempt, if there is anything.
    pub report: Option<Report>,
    /// What the command took of the machine, where that is known.
    pub took: Option<Resources>,
    /// How often the job was kicked, where that was asked for. Kicking the job once more asks for a failed task to be
    /// run again.
    pub kicks: Option<u64>,
    /// When it began, if it was claimed ahead of its turn.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Millis,
    /// [`Attempt::ran`], where that is at hand: the task's row says the most of it.
    pub ran: Option<Arc<Ran>>,
}

impl Settlement {
    /// The same of an attempt that was to be cancelled before it ended, and did not end well. What the task had used up
    /// before is all that it has used up.
    #[must_use]
    pub fn called_off(&self, before: Budget) -> Settlement {
        Settlement {
            id: self.id,
            outcome: self.outcome.clone().called_off(),
            next: Next::Cancelled,
            budget: before,
            output: self.output.clone(),
            report: self.report.clone(),
            took: self.took,
            kicks: self.kicks,
            started: self.started,
            finished: self.finished,
            ran: self.ran.clone(),
        }
    }
}

/// What a worker has to say to the ledger and what it asks, in one transaction, in this order.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Attempts of this worker that have ended.
    pub settle: Vec<Arc<Settlement>>,
    /// An attempt that was claimed ahead of its turn and has begun since, and when it began.
    pub begun: Option<(AttemptId, Millis)>,
    /// Attempts that were claimed and do not begin, ahead of their turns or because the worker lacked what it takes to
    /// start a command: their tasks wait again.
    pub unclaim: Vec<AttemptId>,
    /// How often jobs of failed tasks had been kicked by then, where that was learnt late.
    pub kicks: Vec<(TaskId, u64)>,
    /// Tasks whose producers' own jobs are deleted. One that has no row is passed over.
    pub deleted: Vec<TaskId>,
    /// Tasks that wait and whose jobs are lost: the right to put another is asked for.
    pub again: Vec<Jobless>,
    /// How far an attempt of this worker is that runs, by its command.
    pub progress: Option<(AttemptId, Progress)>,
    /// This worker was told to go: what it runs then is interrupted, and not lost, if the worker is killed.
    pub told: bool,
    /// A dead worker's attempt, to be taken over before what it left is ended.
    pub take_over: Option<DeadAttempt>,
    /// An attempt that this worker took over and of which nothing runs any more: lost, or what its batch journal says.
    pub lose: Option<DeadAttempt>,
    /// The job whose task is to be claimed. An attempt that `lose` names counts as cleared.
    pub claim: Option<JobRef>,
    /// Further jobs, claimed only if `claim` begins, and only those that may begin.
    pub prefetch: Vec<JobRef>,
    /// Jobs that come behind one whose task was held: their tasks are held too, up to the first for which that is not
    /// all there is to be said.
    pub sift: Vec<JobRef>,
}

/// What came of an [`Entry`].
#[derive(Debug, Default)]
pub struct Entered {
    /// For each settlement, whether the attempt was ours to record. If not, somebody has taken the attempt over, and
    /// nothing else of it may be touched.
    pub ours: Vec<bool>,
    /// Tasks of those that were to be cancelled, which the worker may not have known: so they are cancelled, whatever
    /// the settlement said but that they are done.
    pub called_off: Vec<TaskId>,
    /// Tasks whose attempt was interrupted now as several before had been, and how many in a row.
    pub often: Vec<(TaskId, u32)>,
    /// The puts that were granted, and those of tasks that waited for what has ended, to be announced (none where the
    /// store keeps the jobs: there they have been put).
    pub puts: Vec<Again>,
    /// There are more tasks that wait for what has ended than could hear of that: [`Jobless::Children`] is to be asked
    /// for with the next entry.
    pub unheard: bool,
    /// Whether the dead attempt that was to be taken over is ours now; false where none was named.
    pub taken: bool,
    /// What is to be run once nothing is left of the attempt that was taken over, and before anything is recorded.
    pub cleanup: Option<Arc<Cleanup>>,
    /// What became of the task whose attempt was lost; none where none was named.
    pub lost: Option<AfterLoss>,
    /// What the claim came to; none where none was asked for. A task that has failed with the attempt lost is not
    /// claimed: [`Claim::GivenUp`].
    pub claim: Option<Claim>,
    /// One for each job of `prefetch`: those that may begin, in order. The others are to be claimed when it is their
    /// turn.
    pub prefetch: Vec<Option<Box<Attempt>>>,
    /// The tasks that were held, of the first jobs of `sift`, in order: these jobs are too many. The others are to be
    /// claimed.
    pub sifted: Vec<TaskId>,
}

/// What became of a task whose worker is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterLoss {
    /// The task waits.
    Waits,
    /// The attempt was not lost: the task is done.
    Done,
    /// The attempt was not lost: it had not begun, and the task waits, or is cancelled if it was to be.
    Unbegun,
    /// The task was to be cancelled, and is.
    CalledOff,
    /// That was one lost attempt too many: the task has failed.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// Somebody else was quicker.
    NotOurs,
}
