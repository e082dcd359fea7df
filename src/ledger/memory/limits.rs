//! Who takes a place of a limit, who began when, and who waits for a place, in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::Transaction;
use super::queries::limited;
use super::tables::Tables;
use crate::ledger::announce::NEVER;
use crate::ledger::error::Failed;
use crate::ledger::rows::{HeldLine, HeldRow, LATE, LimitReads, LimitRows, Line};
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId};
use crate::task::state::Status;
use crate::tube::TubeName;

impl Tables {
    /// What was changed since, and waits by a job or for its time, is held no more.
    fn is_held(&self, row: &HeldRow) -> bool {
        let task = self.task(row.task);
        row.let_go.is_none()
            && task.is_some_and(|task| {
                task.status == Status::Waiting && task.later && task.due == Some(NEVER)
            })
    }

    /// Those of a line that were let go and wait, with when they are due by now.
    fn let_go<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = HeldRow> + 'a {
        let of = self.held().values().filter(move |row| row.line == *line);
        of.filter(|row| row.let_go.is_some()).filter_map(|row| {
            let task = self.task(row.task)?;
            let due = task.due.filter(|_| task.status == Status::Waiting)?;
            Some(HeldRow { due, ..row.clone() })
        })
    }

    /// The first ones first.
    fn held_in(&self, line: &Line) -> Vec<HeldRow> {
        let of = self.held().values();
        let of = of.filter(|row| row.line == *line && self.is_held(row));
        let mut of: Vec<HeldRow> = of.cloned().collect();
        of.sort_by_key(|row| (row.priority, row.since, row.task));
        of
    }
}

/// When it was to begin at the latest.
fn from(row: &HeldRow) -> Millis {
    row.let_go.unwrap_or(row.due).max(row.due)
}

impl LimitReads for Transaction<'_> {
    fn places(&self, line: &Line) -> Result<Vec<AttemptId>, Failed> {
        let tables = self.0.borrow();
        let of = tables.places().iter().filter(|((of, _), _)| of == line);
        let attempts = of.map(|((_, task), number)| AttemptId {
            task: *task,
            number: *number,
        });
        let runs = |attempt: &AttemptId| {
            let row = tables.task(attempt.task);
            row.is_some_and(|row| row.status == Status::Running && row.attempt == attempt.number)
        };
        Ok(attempts.filter(runs).collect())
    }

    fn starts(&self, line: &Line, since: Millis, most: u32) -> Result<Vec<Millis>, Failed> {
        let tables = self.0.borrow();
        let of = tables.starts().keys().rev();
        let of = of.filter(|(of, at, _)| of == line && *at > since);
        Ok(of.map(|(_, at, _)| *at).take(limited(most)).collect())
    }

    fn let_go(&self, line: &Line, since: Millis, until: Millis) -> Result<Vec<HeldRow>, Failed> {
        let tables = self.0.borrow();
        let is_meant =
            |row: &HeldRow| from(row) > since && row.let_go.is_some_and(|at| at <= until);
        let let_go = tables.let_go(line).filter(is_meant);
        Ok(let_go.collect())
    }

    fn first_held(&self, line: &Line, since: Millis) -> Result<Option<HeldRow>, Failed> {
        let tables = self.0.borrow();
        let late = tables.let_go(line).filter(|row| from(row) <= since);
        let late: Vec<String> = late.map(|row| row.tube).collect();
        let mut held = tables.held_in(line).into_iter();
        Ok(held.find(|row| late.iter().filter(|tube| **tube == row.tube).count() < LATE))
    }

    fn held_by(&self, task: TaskId) -> Result<Option<HeldRow>, Failed> {
        Ok(self.0.borrow().held().get(&task).cloned())
    }

    fn lines(&self, tube: &TubeName, after: Option<&Line>, most: u32) -> Result<Vec<Line>, Failed> {
        let tables = self.0.borrow();
        let held = tables.held().values().filter(|row| row.let_go.is_none());
        let of = held.filter(|row| row.tube == tube.as_str());
        let lines: BTreeSet<&Line> = of.map(|row| &row.line).collect();
        let behind = lines
            .into_iter()
            .filter(|line| after.is_none_or(|after| *line > after));
        Ok(behind.take(limited(most)).cloned().collect())
    }

    fn lines_in_use(&self, most: u32, counted: u32) -> Result<Vec<HeldLine>, Failed> {
        let tables = self.0.borrow();
        let waits = |row: &&HeldRow| {
            let task = tables.task(row.task);
            task.is_some_and(|task| {
                task.status == Status::Waiting && (row.let_go.is_none() || task.due > Some(row.due))
            })
        };
        let mut lines: BTreeMap<&Line, HeldLine> = BTreeMap::new();
        for row in tables.held().values().filter(waits) {
            let line = lines.entry(&row.line).or_insert_with(|| HeldLine {
                line: row.line.clone(),
                label: row.label.clone(),
                bounds: row.bounds,
                held: 0,
                since: row.since,
            });
            line.held = line.held.saturating_add(1).min(counted.into());
            line.since = line.since.min(row.since);
        }
        Ok(lines.into_values().take(limited(most)).collect())
    }

    fn keeps_limits(&self) -> Result<bool, Failed> {
        Ok(true)
    }

    fn holds_any(&self, tube: &TubeName, line: &Line) -> Result<bool, Failed> {
        let held = self.0.borrow().held_in(line);
        Ok(held.iter().any(|row| row.tube == tube.as_str()))
    }

    fn held_of(&self, tube: &TubeName, line: &Line, most: u32) -> Result<Vec<HeldRow>, Failed> {
        let held = self.0.borrow().held_in(line).into_iter();
        let of = held.filter(|row| row.tube == tube.as_str());
        Ok(of.take(limited(most)).collect())
    }
}

impl LimitRows for Transaction<'_> {
    fn set_held(&self, row: &HeldRow) -> Result<bool, Failed> {
        let mut tables = self.0.borrow_mut();
        let waits = tables.change(
            row.task,
            |task| task.status == Status::Waiting,
            |task| {
                (task.later, task.due, task.put_until) = (true, Some(NEVER), None);
                if task.noted < task.generation {
                    task.noted = task.generation;
                    task.pointer = None;
                    if task.foreign.is_none() {
                        (task.job, task.job_deleted) = (None, false);
                    }
                }
            },
        )?;
        if !waits {
            return Ok(false);
        }
        let before = tables.held().get(&row.task).cloned();
        let row = HeldRow {
            since: before.as_ref().map_or(row.since, |before| before.since),
            due: before.map_or(row.due, |before| before.due.min(row.due)),
            let_go: None,
            ..row.clone()
        };
        tables.write_held(row.task, Some(row));
        Ok(true)
    }

    fn expect(&self, row: &HeldRow) -> Result<(), Failed> {
        self.0.borrow_mut().write_held(row.task, Some(row.clone()));
        Ok(())
    }

    fn release(&self, task: TaskId, at: Millis, due: Millis) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        if let Some(row) = tables.held().get(&task).cloned() {
            let let_go = Some(at);
            tables.write_held(task, Some(HeldRow { let_go, ..row }));
        }
        tables.change(
            task,
            |row| row.status == Status::Waiting && row.later && row.due == Some(NEVER),
            |row| row.due = Some(due),
        )?;
        Ok(())
    }

    fn forget_held(&self, task: TaskId) -> Result<Option<Line>, Failed> {
        let mut tables = self.0.borrow_mut();
        let line = tables.held().get(&task).map(|row| row.line.clone());
        if line.is_some() {
            tables.write_held(task, None);
        }
        Ok(line)
    }

    fn take_place(
        &self,
        line: &Line,
        attempt: AttemptId,
        start: Option<(Millis, Millis)>,
    ) -> Result<(), Failed> {
        let mut tables = self.0.borrow_mut();
        tables.take_place(line, attempt);
        let Some((at, until)) = start else {
            return Ok(());
        };
        let over = tables.starts().iter().filter(|(_, until)| **until <= at);
        let over: Vec<_> = over.map(|(of, _)| of.clone()).collect();
        for of in over {
            tables.write_start(of, None);
        }
        tables.write_start((line.clone(), at, attempt), Some(until));
        Ok(())
    }

    fn free_places(&self, task: TaskId, began: bool) -> Result<Vec<Line>, Failed> {
        let mut tables = self.0.borrow_mut();
        let freed = tables.free_places(task);
        if !began {
            let is_its = |of: &(Line, Millis, AttemptId)| {
                freed
                    .iter()
                    .any(|(line, attempt)| of.0 == *line && of.2 == *attempt)
            };
            let its: Vec<_> = tables
                .starts()
                .keys()
                .filter(|of| is_its(of))
                .cloned()
                .collect();
            for of in its {
                tables.write_start(of, None);
            }
        }
        Ok(freed.into_iter().map(|(line, _)| line).collect())
    }
}
