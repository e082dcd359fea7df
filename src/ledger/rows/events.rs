//! Events as rows, and who is told of what happens.

use std::cell::RefCell;
use std::sync::Arc;

use uuid::Uuid;

use super::BegunPut;
use crate::task::Millis;
use crate::task::event::What;
use crate::task::hooks::Telling;
use crate::task::id::{AttemptId, TaskId};

/// What an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct About {
    /// The task.
    pub task: Option<TaskId>,
    /// Its attempt.
    pub attempt: Option<i64>,
}

impl From<TaskId> for About {
    fn from(task: TaskId) -> About {
        About {
            task: Some(task),
            attempt: None,
        }
    }
}

impl From<AttemptId> for About {
    fn from(attempt: AttemptId) -> About {
        About {
            task: Some(attempt.task),
            attempt: Some(attempt.number),
        }
    }
}

/// An event to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// What has happened.
    pub what: What,
    /// When.
    pub at: Millis,
    /// To what.
    pub about: About,
    /// JSON: what is known from nowhere else.
    pub detail: Option<&'a str>,
}

/// An event as it was recorded, and what other rows say of it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventRow {
    /// Its number: greater than that of all before it.
    pub number: i64,
    /// When it happened.
    pub at: Millis,
    /// The number of what has happened.
    pub what: i64,
    /// The task.
    pub task: Option<i64>,
    /// Its attempt.
    pub attempt: Option<i64>,
    /// JSON: what is known from nowhere else.
    pub detail: Option<String>,
    /// The task's identity.
    pub uuid: Option<Uuid>,
    /// Its tube.
    pub tube: Option<String>,
    /// Its command.
    pub command: Option<String>,
    /// How the attempt ended.
    pub outcome: Option<String>,
    /// What its command exited with.
    pub exit_code: Option<i64>,
    /// What signal ended it.
    pub signal: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// Who ran it.
    pub worker: Option<String>,
    /// Of which schedule the task came.
    pub schedule: Option<String>,
}

/// Which events are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only these; none: all.
    pub what: Vec<What>,
    /// Only of that tube.
    pub tube: Option<String>,
    /// Only of that task.
    pub task: Option<TaskId>,
}

impl Told {
    /// By nobody yet.
    pub fn of(keeps_jobs_of: Option<Uuid>) -> Told {
        Told {
            keeps_jobs_of,
            ..Told::default()
        }
    }
}

/// Who is told of what happens in the transactions of a ledger.
#[derive(Debug, Default)]
pub struct Told {
    /// What of.
    pub telling: Arc<Telling>,
    /// The store that the jobs of hooks point to, if they are put with their tasks.
    pub keeps_jobs_of: Option<Uuid>,
    /// The puts of hooks that were made, for whoever puts their jobs.
    pub fired: RefCell<Vec<BegunPut>>,
}
