//! What is known of a task, for whoever asks why it does not run.

use super::announce::NEVER;
use super::error::Error;
use super::limits;
use super::read::kin::waits_for;
use super::read::{Key, Task, WaitsFor};
use super::rows::TaskRow;
use super::{DeadAttempt, Ledger, Remains};
use crate::lives::Holder;
use crate::task::state::Status;

/// A task, and who answers for it.
#[derive(Debug, Clone)]
pub struct Known {
    /// As it is shown, with its newest attempt.
    pub task: Task,
    /// As a claim sees it.
    pub row: TaskRow,
    /// Whoever answers for its attempt lives.
    pub owner_lives: bool,
    /// The newest attempt, if something of it holds the attempt's lock and its worker is dead, or has recorded it.
    pub left: Option<DeadAttempt>,
    /// It waits, and its job is known.
    pub is_announced: bool,
    /// It waits for others: for which.
    pub waits_for: Option<WaitsFor>,
}

impl Ledger {
    /// What is known of a task; `None`: it is not there.
    ///
    /// # Errors
    /// When the rows cannot be read, or this one makes no sense.
    pub fn known(&self, key: Key) -> Result<Option<Known>, Error> {
        self.look(|rows| {
            let Some(listed) = rows.shown(key, 1)? else {
                return Ok(None);
            };
            let mut task = listed.task;
            let Some(row) = rows.row(task.id)? else {
                return Ok(None);
            };
            if row.status == Status::Waiting {
                task.held = limits::held_by(rows, &*self.lives, task.id, row.due)?;
            }
            let owner_lives = match row.owner {
                Some(owner) => self.lives.is_held(Holder::Worker(owner))?,
                None => false,
            };
            let may_be_left = match row.status {
                Status::Waiting => row.attempt > 0,
                Status::Running => !owner_lives,
                Status::Done | Status::Failed | Status::Cancelled => false,
            };
            let newest = row.newest();
            let is_left = may_be_left && self.lives.is_held(Holder::Attempt(newest))?;
            Ok(Some(Known {
                owner_lives,
                left: is_left.then_some(DeadAttempt {
                    id: newest,
                    uuid: row.uuid,
                    owner: row.owner,
                    worker: row.worker,
                    priority: row.priority,
                    remains: Remains::Unknown,
                }),
                is_announced: rows.unverified_of(row.id)?.is_some(),
                waits_for: match row.due == Some(NEVER) {
                    true => waits_for(rows, row.id)?.map(|(waits, _)| waits),
                    false => None,
                },
                task,
                row,
            }))
        })
    }
}
