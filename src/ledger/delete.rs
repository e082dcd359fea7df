//! Deleting tasks that do not run, whoever put them.

use uuid::Uuid;

use super::after::note_children;
use super::bulk::{Change, On};
use super::error::{Error, Failed};
use super::rows::{OldJob, Unsure};
use super::{Ledger, transition};
use crate::task::id::TaskId;
use crate::task::state::Status;

/// Deletes a task with its attempts and what they printed, unless it runs.
#[derive(Debug, Clone, Copy)]
pub struct Delete;

/// A task that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Its identity.
    pub uuid: Uuid,
    /// The job that was put for it, if that is not known to be deleted: whoever reserves it finds no task.
    pub job: Option<OldJob>,
}

/// Why a task was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDeleted {
    /// There is no such row.
    #[error("No such task :{id}")]
    NoSuchTask {
        /// The id asked for.
        id: TaskId,
    },
    /// What runs is not deleted.
    #[error(
        "task {id} is running, and what runs is not deleted; wait for its end, or end it first"
    )]
    Running {
        /// The task.
        id: TaskId,
    },
    /// Its producer's own job would come again, and be another task then.
    #[error(
        "task {id} came by another producer's job, which the broker still has, or may have: the job would become a \
         task again; try it again when the broker answers and nobody has reserved the job"
    )]
    JobThere {
        /// The task.
        id: TaskId,
    },
}

impl Change for Delete {
    type Done = Deleted;
    type Refused = NotDeleted;

    fn change(&self, on: &On<'_>, id: TaskId) -> Result<Result<Deleted, NotDeleted>, Failed> {
        let Some(held) = on.rows.held(id)? else {
            return Ok(Err(NotDeleted::NoSuchTask { id }));
        };
        match held.status {
            Status::Running => return Ok(Err(NotDeleted::Running { id })),
            Status::Waiting | Status::Done | Status::Failed | Status::Cancelled => {}
        }
        if held.foreign_job.is_some() {
            return Ok(Err(NotDeleted::JobThere { id }));
        }
        let kin = transition::delete(on.rows, id, on.now)?;
        note_children(on.rows, id, kin)?;
        Ok(Ok(Deleted {
            uuid: held.uuid,
            job: held.job,
        }))
    }

    fn puts_jobs(&self) -> bool {
        false
    }
}

impl Ledger {
    /// Of tasks that do not run, the jobs of other producers that are not known to be deleted.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn foreign_jobs(&self, tasks: &[TaskId]) -> Result<Vec<Unsure>, Error> {
        self.look(|rows| {
            let mut jobs = Vec::new();
            for task in tasks {
                let held = rows.held(*task)?;
                let held = held.filter(|held| held.status != Status::Running);
                jobs.extend(held.and_then(|held| held.foreign_job));
            }
            Ok(jobs)
        })
    }
}
