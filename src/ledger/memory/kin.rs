//! Tasks that wait for others, in memory.

use super::Transaction;
use crate::ledger::announce::NEVER;
use crate::ledger::error::Failed;
use crate::ledger::rows::{Awaiting, Edge, KinReads, KinRows};
use crate::task::after::{ParentEnd, Stands};
use crate::task::id::TaskId;
use crate::task::state::Status;

impl KinReads for Transaction<'_> {
    fn count_awaiting(&self, tube: &str, most: u64) -> Result<u64, Failed> {
        let tables = self.0.borrow();
        let waits = |child: TaskId| {
            let awaiting = tables.awaiting(child);
            awaiting.is_some_and(|awaiting| awaiting.stands == Stands::Waits)
        };
        let children = tables.tasks().iter().filter(|(id, row)| {
            let is_of = row.status == Status::Waiting && row.tube.as_str() == tube;
            is_of && row.due == Some(NEVER) && waits(**id)
        });
        Ok((children.count() as u64).min(most))
    }

    fn awaiting(&self, child: TaskId) -> Result<Option<Awaiting>, Failed> {
        Ok(self.0.borrow().awaiting(child).copied())
    }

    fn parents(&self, child: TaskId, behind: TaskId, limit: usize) -> Result<Vec<Edge>, Failed> {
        let tables = self.0.borrow();
        let parents = tables.parents_of(child, behind).take(limit);
        let edge = |task| Edge {
            task,
            ended: tables.edges().get(&(task, child)).copied().flatten(),
        };
        Ok(parents.map(edge).collect())
    }

    fn children(&self, parent: TaskId, behind: TaskId, limit: usize) -> Result<Vec<Edge>, Failed> {
        let tables = self.0.borrow();
        let children = tables.edges().range((parent, behind.next())..);
        let children = children.take_while(|((other, _), _)| *other == parent);
        let edge = |((_, task), ended): (&(TaskId, TaskId), &Option<ParentEnd>)| Edge {
            task: *task,
            ended: *ended,
        };
        Ok(children.take(limit).map(edge).collect())
    }

    fn count_kin(&self, task: TaskId, most: usize) -> Result<(usize, usize), Failed> {
        let all = TaskId::BEFORE_ALL;
        let parents = self.parents(task, all, most)?.len();
        Ok((parents, self.children(task, all, most)?.len()))
    }

    fn unheard(&self) -> Result<Option<(TaskId, TaskId)>, Failed> {
        let tables = self.0.borrow();
        let first = tables.unheard().iter().next();
        Ok(first.map(|(parent, behind)| (*parent, *behind)))
    }
}

impl KinRows for Transaction<'_> {
    fn set_awaiting(&self, child: TaskId, awaiting: &Awaiting) -> Result<(), Failed> {
        self.0.borrow_mut().set_awaiting(child, *awaiting)
    }

    fn add_edge(
        &self,
        parent: TaskId,
        child: TaskId,
        ended: Option<ParentEnd>,
    ) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        if tables.edges().contains_key(&(parent, child)) {
            return Ok(false);
        }
        tables.write_edge(parent, child, ended);
        tables.change(parent, |_| true, |row| row.kin.has_children = true)?;
        Ok(true)
    }

    fn set_edge(
        &self,
        parent: TaskId,
        child: TaskId,
        ended: Option<ParentEnd>,
    ) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        if tables.edges().contains_key(&(parent, child)) {
            tables.write_edge(parent, child, ended);
        }
        Ok(())
    }

    fn set_unheard(&self, parent: TaskId, behind: Option<TaskId>) -> Result<(), Failed> {
        self.0.borrow_mut().set_unheard(parent, behind);
        Ok(())
    }
}
