//! What a claim and an end do about limits, inside one transaction.

use super::claim::{Writing, is_astray};
use super::entry::JobRef;
use super::error::Failed;
use super::limits::{Hand, Look, Stand, bounds, stands, waits_without_time};
use super::rows::{Line, TaskRow};
use crate::task::command::Plan;
use crate::task::id::{AttemptId, TaskId};
use crate::task::limit::Room;
use crate::task::state::{Verdict, judge};

impl Writing<'_> {
    fn look(&self) -> Look<'_> {
        Look {
            rows: self.rows,
            lives: self.lives,
            now: self.now,
        }
    }

    /// Where a task stands that is to begin.
    pub(super) fn stands(&self, task: &TaskRow, plan: &Plan) -> Result<Vec<Stand>, Failed> {
        match self.commands.limits() {
            [] => Ok(Vec::new()),
            _ => {
                let of = (task.id, &task.tube, &task.content);
                stands(self.rows, self.commands, of, plan)
            }
        }
    }

    /// Holds a task that is to begin, if there is no room for it. True if so: its job is one too many then.
    pub(super) fn is_held_back(&self, task: &TaskRow, stands: &[Stand]) -> Result<bool, Failed> {
        if stands.is_empty() {
            return Ok(false);
        }
        let before = self.rows.held_by(task.id)?;
        let look = self.look();
        for stand in stands {
            let Stand { line, bounds, .. } = stand;
            let was_let_go = before
                .as_ref()
                .is_some_and(|row| row.line == *line && row.let_go.is_some());
            let view = match was_let_go {
                true => look.in_fact(line, *bounds)?,
                false => look.expected(line, *bounds)?.0,
            };
            let room = bounds.room(view.taken, &view.starts, self.now);
            if room == Room::Now {
                continue;
            }
            self.hold(task, stand)?;
            // Whoever is held for its rate alone is let go by nobody's end.
            if matches!(room, Room::At(_)) {
                self.let_go(line)?;
            }
            if let Some(before) = before.filter(|row| row.line != *line) {
                self.let_go(&before.line)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Holds the task of a job, if nothing but a limit keeps it from beginning. `None`: its claim says what becomes of
    /// it.
    pub(super) fn sift(&self, job: &JobRef) -> Result<Option<TaskId>, Failed> {
        let Some(task) = self.find_or_add(job)? else {
            return Ok(None);
        };
        if is_astray(&task, job)
            || waits_without_time(&task)
            || judge(self.found(&task, job)?) != Verdict::Begin
        {
            return Ok(None);
        }
        let Ok(plan) = self.plan(&task) else {
            return Ok(None);
        };
        let stands = self.stands(&task, &plan)?;
        Ok(self.is_held_back(&task, &stands)?.then_some(task.id))
    }

    fn hold(&self, task: &TaskRow, stand: &Stand) -> Result<(), Failed> {
        let line = &stand.line;
        tracing::debug!(task = %task.id, limit = line.limit, key = line.key.as_str(), "held a task");
        let due = task.due.unwrap_or(self.now);
        let row = stand
            .clone()
            .held(task.id, &task.tube, task.priority, due, self.now);
        self.rows.set_held(&row)?;
        Ok(())
    }

    /// A task that begins takes its places, and waits for none any more.
    pub(super) fn take_places(&self, task: &TaskRow, stands: &[Stand]) -> Result<(), Failed> {
        if stands.is_empty() {
            return Ok(());
        }
        let attempt = AttemptId {
            task: task.id,
            number: task.attempt.saturating_add(1),
        };
        for Stand { line, bounds, .. } in stands {
            let start = bounds
                .rate
                .map(|rate| (self.now, self.now.saturating_add(rate.per)));
            self.rows.take_place(line, attempt, start)?;
        }
        let before = self.rows.forget_held(task.id)?;
        for Stand { line, .. } in stands {
            self.let_go(line)?;
        }
        let elsewhere = before.filter(|line| !stands.iter().any(|stand| stand.line == *line));
        elsewhere.map_or(Ok(()), |line| self.let_go(&line))
    }

    /// A task takes no place any more, and the next of its lines are let go.
    pub(super) fn free_places(&self, task: TaskId, began: bool) -> Result<(), Failed> {
        for line in self.rows.free_places(task, began)? {
            self.let_go(&line)?;
        }
        Ok(())
    }

    /// A task that was let go, or held, will not begin: somebody has called it off, or it may not run.
    pub(super) fn is_over(&self, task: TaskId) -> Result<(), Failed> {
        if self.commands.limits().is_empty() {
            return Ok(());
        }
        match self.rows.forget_held(task)? {
            Some(line) => self.let_go(&line),
            None => Ok(()),
        }
    }

    fn let_go(&self, line: &Line) -> Result<(), Failed> {
        let hand = Hand {
            rows: self.rows,
            lives: self.lives,
            now: self.now,
            jobs: self.jobs,
        };
        let again = hand.let_go(line, bounds(self.commands, line))?;
        self.let_go.borrow_mut().extend(again);
        Ok(())
    }
}
