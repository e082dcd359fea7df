//! Tasks that wait for others, as rows.

use crate::ledger::error::Failed;
use crate::task::Millis;
use crate::task::after::{Counts, ParentEnd, Stands, Terms};
use crate::task::id::TaskId;

/// Whether a task has to do with others, as its own row says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kin {
    /// Others wait, or have waited, for it.
    pub has_children: bool,
    /// It waits, or has waited, for others.
    pub has_parents: bool,
}

/// That a task waits for others, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaiting {
    /// On what terms.
    pub terms: Terms,
    /// When it may run, once it may go.
    pub due: Millis,
    /// What has become of that.
    pub stands: Stands,
    /// How many of them stand where, as far as it has heard.
    pub counts: Counts,
}

/// The other end of an edge between a parent and a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The task there.
    pub task: TaskId,
    /// How the parent ended, as far as its child has heard.
    pub ended: Option<ParentEnd>,
}

/// What may be looked at of tasks that wait for others.
pub trait KinReads {
    /// That a task waits for others, or has.
    fn awaiting(&self, child: TaskId) -> Result<Option<Awaiting>, Failed>;

    /// The parents of a task, behind one of them, in the order of their numbers.
    fn parents(&self, child: TaskId, behind: TaskId, limit: usize) -> Result<Vec<Edge>, Failed>;

    /// The children of a task, behind one of them, in the order of their numbers. The task need not be there any more.
    fn children(&self, parent: TaskId, behind: TaskId, limit: usize) -> Result<Vec<Edge>, Failed>;

    /// How many parents a task has, and how many children; so many at most.
    fn count_kin(&self, task: TaskId, most: usize) -> Result<(usize, usize), Failed>;

    /// How many tasks of a tube wait for others and for nothing else; so many at most.
    fn count_awaiting(&self, tube: &str, most: u64) -> Result<u64, Failed>;

    /// A parent not all of whose children have heard where it stands, and up to which of them all have.
    fn unheard(&self) -> Result<Option<(TaskId, TaskId)>, Failed>;
}

/// What may be done to them.
pub trait KinRows {
    /// Writes that a task waits for others, in the place of what is written.
    fn set_awaiting(&self, child: TaskId, awaiting: &Awaiting) -> Result<(), Failed>;

    /// Has a task wait for another, which stands so, if it does not yet. True if so.
    fn add_edge(
        &self,
        parent: TaskId,
        child: TaskId,
        ended: Option<ParentEnd>,
    ) -> Result<bool, Failed>;

    /// Writes how a parent ended, or that it has not, for one of its children.
    fn set_edge(
        &self,
        parent: TaskId,
        child: TaskId,
        ended: Option<ParentEnd>,
    ) -> Result<(), Failed>;

    /// Writes that the children of a task have heard where it stands only up to one of them; `None`: all have.
    fn set_unheard(&self, parent: TaskId, behind: Option<TaskId>) -> Result<(), Failed>;
}
