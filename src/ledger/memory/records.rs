//! The rows of the tables.

use uuid::Uuid;

use crate::broker::JobId;
use crate::ledger::rows::Kin;
use crate::ledger::worker::NewWorker;
use crate::task::Millis;
use crate::task::command::Content;
use crate::task::id::WorkerId;
use crate::task::own::Own;
use crate::task::report::Progress;
use crate::task::resources::Resources;
use crate::task::retry::Budget;
use crate::task::state::{Outcome, Status};
use crate::task::tag::Tag;
use crate::task::unique::{Hold, Key, Span};
use crate::tube::TubeName;

/// A task.
#[derive(Debug, Clone)]
pub(super) struct TaskRow {
    pub uuid: Uuid,
    pub tube: TubeName,
    pub status: Status,
    pub due: Option<Millis>,
    pub command: Option<String>,
    pub content: Content,
    pub priority: u32,
    pub ttr: u32,
    pub attempt: i64,
    pub budget: Budget,
    pub owner: Option<WorkerId>,
    pub worker: Option<WorkerId>,
    pub ahead: bool,
    pub cancel_asked: Option<Millis>,
    pub cancel_now: bool,
    pub reason: Option<String>,
    /// By their names.
    pub tags: Vec<Tag>,
    pub created: Millis,
    pub started: Option<Millis>,
    pub finished: Option<Millis>,
    /// What tells its producer's own job apart, if it came by one.
    pub foreign: Option<ForeignMark>,
    /// Its job, or its producer's own.
    pub job: Option<Numbered>,
    /// The job that rings for a foreign task whose own is deleted.
    pub pointer: Option<Numbered>,
    pub kicks: i64,
    pub job_deleted: bool,
    pub generation: i64,
    pub noted: i64,
    pub put_until: Option<Millis>,
    /// It waits, and has no job before it is near.
    pub later: bool,
    /// Its key, and for how long it has that.
    pub hold: Option<Hold>,
    /// What it says of its own attempts.
    pub own: Option<Box<Own>>,
    /// Whether it has to do with others.
    pub kin: Kin,
}

impl TaskRow {
    /// The key that no other row may have now.
    pub fn holds(&self) -> Option<&Key> {
        let Hold { key, span } = self.hold.as_ref()?;
        let counts = match span {
            Span::Waiting => self.status == Status::Waiting,
            Span::Unfinished => matches!(self.status, Status::Waiting | Status::Running),
            Span::Until(_) => true,
        };
        counts.then_some(key)
    }
}

/// What tells a producer's own job apart from another of its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForeignMark {
    pub hash: [u8; 16],
    pub birth: Millis,
}

/// A job's number, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    pub job: JobId,
    pub instance: String,
}

/// An attempt that has ended.
#[derive(Debug, Clone)]
pub(super) struct AttemptRow {
    pub worker: String,
    pub started: Millis,
    pub finished: Millis,
    pub outcome: Outcome,
    pub took: Option<Resources>,
}

/// That a task came of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Fire {
    pub schedule: String,
    pub nominal: Option<Millis>,
    pub scheduled_for: Option<String>,
    pub backfilled: bool,
}

/// What a command has said of its attempt.
#[derive(Debug, Clone)]
pub(super) struct ReportRow {
    pub number: i64,
    pub at: Millis,
    pub progress: Progress,
    pub result: Option<String>,
}

/// A worker.
#[derive(Debug, Clone)]
pub(super) struct WorkerRow {
    pub worker: NewWorker,
    pub boot: String,
    pub stopped: Option<Millis>,
    pub told: Option<Millis>,
    pub hung: Option<Millis>,
}
