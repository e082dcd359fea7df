//! The same done to many tasks: some of them in one transaction, each by itself.

use super::announce::Jobs;
use super::error::{Error, Failed};
use super::rows::{Rows, part};
use super::{Ledger, Millis};
use crate::task::id::TaskId;

/// What is done to a task, wherever it stands. Whatever is done to several is done to each of them by this.
pub trait Change: Send {
    /// What is known of a task to which it was done.
    type Done: Send;
    /// Why it was not done to a task, whose row is as it was then.
    type Refused: Send;

    /// Does it to one task.
    ///
    /// # Errors
    /// When the rows cannot be read or written. A row that makes no sense keeps the others from nothing.
    fn change(
        &self,
        on: &On<'_>,
        task: TaskId,
    ) -> Result<Result<Self::Done, Self::Refused>, Failed>;

    /// Whether there may be jobs now of which those who wait have not heard.
    fn puts_jobs(&self) -> bool;
}

/// The rows, and what is known beside them.
pub struct On<'a> {
    /// The rows.
    pub rows: &'a dyn Rows,
    /// The time.
    pub now: Millis,
    /// How jobs are put, if that is done here.
    pub(super) jobs: Option<Jobs>,
}

/// What became of one task: it was changed; or refused; or its row makes no sense.
pub type Changed<C> = Result<Result<<C as Change>::Done, <C as Change>::Refused>, Error>;

impl Ledger {
    /// Does it to tasks, in one transaction. One answer each, in their order. `begins` is called once the rows are
    /// ours: from then on others wait.
    ///
    /// # Errors
    /// When the transaction failed, and nothing was done.
    pub fn change_all<C: Change>(
        &mut self,
        change: &C,
        tasks: &[TaskId],
        now: Millis,
        mut begins: impl FnMut(),
    ) -> Result<Vec<Changed<C>>, Error> {
        let jobs = self.jobs();
        let changed = self.change(|rows| {
            begins();
            let on = On { rows, now, jobs };
            let one = |task: &TaskId| match part(rows, || change.change(&on, *task)) {
                Ok(changed) => Ok(Ok(changed)),
                Err(failed) => Ok(Err(Error::Row {
                    task: Some(*task),
                    what: failed.of_one_row()?,
                })),
            };
            tasks.iter().map(one).collect::<Result<Vec<_>, Failed>>()
        })?;
        if jobs.is_some() && change.puts_jobs() {
            self.backend.ring();
        }
        Ok(changed)
    }

    /// The same to one task.
    ///
    /// # Errors
    /// When the transaction failed, or the row makes no sense; nothing was done.
    pub fn change_one<C: Change>(
        &mut self,
        change: &C,
        task: TaskId,
        now: Millis,
    ) -> Result<Result<C::Done, C::Refused>, Error> {
        let changed = self.change_all(change, &[task], now, || {})?;
        changed
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(Error::closed()))
    }
}
