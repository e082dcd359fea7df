//! Where tasks stand, for those who wait for them.

use super::error::Error;
use super::{Ledger, Stamp};
use crate::task::id::TaskId;
use crate::task::state::Status;

impl Ledger {
    /// What is another whenever a task may stand elsewhere since: a question of microseconds. `None`: it is not known.
    pub fn stamp(&self) -> Result<Option<Stamp>, Error> {
        self.backend.stamp()
    }

    /// Where each of the tasks stands, in the same order; `None`: there is no such task, or no more.
    pub fn statuses(&self, tasks: &[TaskId]) -> Result<Vec<Option<Status>>, Error> {
        self.look(|rows| tasks.iter().map(|task| rows.status(*task)).collect())
    }
}
