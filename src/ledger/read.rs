//! Looking: lists of tasks, one task with all there is to know of it.

use std::collections::HashMap;

use super::Ledger;
use super::announce::NEVER;
use super::error::{Error, Failed};
use super::limits;
use super::rows::{Listed, Newest, Reads};
use crate::lives::{Holder, Lives};
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::state::Status;

pub(super) mod kin;
mod relatives;
mod span;
mod types;

pub use super::filter::Filter;
use kin::{kinship, tell_what_it_waits_for};
pub use relatives::{Kinship, Leaf, Relative, Tree, WaitsFor};
use span::narrowed;
pub use types::{Attempt, DisplayedStatus, HeldBy, Key, Report, Standing, Task, line, run};

/// So many attempts of a task are in a list, at most: interrupted ones have no limit.
pub const LISTED: u32 = 20;

/// And so many are shown of one task.
pub const SHOWN: u32 = 1000;

/// A page of a list has at most so many tasks, and ends after the one with which it has so many bytes of text.
const PAGE: (usize, usize) = (200, 1024 * 1024);

/// Some tasks of a list, the newest first.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page begins: below this id. `None`: there is no more.
    pub next: Option<TaskId>,
}

impl Ledger {
    /// Hands the newest tasks that pass the filter to `each`, up to `limit`, one after the other. `each`
    /// ends it by returning false.
    ///
    /// The list is never in memory, nor are the rows held in one state while somebody takes their time
    /// to read it: a journal that cannot be written back grows and grows.
    pub fn list(
        &self,
        filter: &Filter,
        limit: u64,
        mut each: impl FnMut(Task) -> bool,
    ) -> Result<(), Error> {
        let mut left = limit;
        let mut below = Some(TaskId::AFTER_ALL);
        while let Some(id) = below.filter(|_| left > 0) {
            let page = self.page(filter, id, left)?;
            below = page.next;
            for task in page.tasks {
                left = left.saturating_sub(1);
                if !each(task) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The newest tasks below an id that pass the filter: as many as fit on a page, and `most` at most.
    pub fn page(&self, filter: &Filter, below: TaskId, most: u64) -> Result<Page, Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PAGE.0);
        if most == 0 {
            return Ok(Page::default());
        }
        self.look(|rows| {
            let mut living = Living::of(&*self.lives);
            let mut page = Page::default();
            let mut bytes = 0;
            let within = narrowed(rows, filter, TaskId::BEFORE_ALL..below)?;
            rows.page(filter, within, LISTED, &mut |listed| {
                let mut task = living.shown(rows, listed)?;
                tell_what_it_waits_for(rows, &mut task)?;
                if !filter.shows(task.status) {
                    return Ok(true);
                }
                let said = task.report.as_ref().and_then(|said| said.message.as_ref());
                bytes += task.arguments.len() + task.options.len() + said.map_or(0, String::len);
                let id = task.id;
                page.tasks.push(task);
                let is_full = page.tasks.len() >= most || bytes >= PAGE.1;
                page.next = is_full.then_some(id);
                Ok(!is_full)
            })?;
            Ok(page)
        })
    }

    /// What the commands of attempts that run have said of them, without results: of those of these tasks that have one
    /// whose command has said anything.
    pub fn reports(&self, tasks: &[TaskId]) -> Result<Vec<(TaskId, Report)>, Error> {
        self.look(|rows| {
            let mut reports = Vec::new();
            for task in tasks {
                let Some(report) = rows.report(*task)? else {
                    continue;
                };
                // Of an attempt before, it says nothing of this one.
                let row = rows.row(*task)?;
                let is_its = row.is_some_and(|row| {
                    row.status == Status::Running && row.attempt == report.attempt
                });
                reports.extend(is_its.then_some((*task, report)));
            }
            Ok(reports)
        })
    }

    /// The tasks behind one, up to another, that pass the filter, the oldest first: `most` of them.
    pub fn pick(
        &self,
        filter: &Filter,
        after: TaskId,
        up_to: TaskId,
        most: usize,
    ) -> Result<Vec<TaskId>, Error> {
        if most == 0 {
            return Ok(Vec::new());
        }
        self.look(|rows| {
            let mut living = Living::of(&*self.lives);
            let asks = filter.asks_who_lives();
            let mut picked = Vec::new();
            let within = narrowed(rows, filter, after.next()..up_to.next())?;
            rows.pick(filter, within, &mut |task, owner| {
                let passes = match owner.filter(|_| asks) {
                    None => true,
                    Some(owner) => filter.shows(match living.answers(Some(owner))? {
                        true => DisplayedStatus::Running,
                        false => DisplayedStatus::Stalled,
                    }),
                };
                picked.extend(passes.then_some(task));
                Ok(picked.len() < most)
            })?;
            Ok(picked)
        })
    }

    /// One task, with what its attempts printed.
    pub fn show(&self, key: Key) -> Result<Option<Task>, Error> {
        self.look(|rows| {
            let Some(listed) = rows.shown(key, SHOWN)? else {
                return Ok(None);
            };
            let mut task = Living::of(&*self.lives).shown(rows, listed)?;
            tell_what_it_waits_for(rows, &mut task)?;
            task.kin = kinship(rows, task.id)?;
            for attempt in &mut task.attempts {
                let (task, number) = (task.id, attempt.number);
                attempt.output = rows.output(AttemptId { task, number })?;
            }
            Ok(Some(task))
        })
    }

    /// Where a task stands, and the attempt of that number, or the newest where none is given, if it has ended.
    pub fn standing(&self, key: Key, number: Option<i64>) -> Result<Option<Standing>, Error> {
        self.look(|rows| {
            let Some(newest) = rows.newest(key)? else {
                return Ok(None);
            };
            let Newest { task, due, .. } = newest;
            let due = due.filter(|due| *due != NEVER);
            let runs = newest.worker.filter(|_| newest.status == Status::Running);
            let mut status = DisplayedStatus::from(newest.status);
            if status == DisplayedStatus::Running
                && !Living::of(&*self.lives).answers(newest.owner)?
            {
                status = DisplayedStatus::Stalled;
            }
            let number = number.unwrap_or(newest.attempt);
            let id = AttemptId { task, number };
            let mut ended = rows.attempt(id)?;
            if let Some(attempt) = &mut ended {
                attempt.output = rows.output(id)?;
            }
            Ok(Some(Standing {
                task,
                status,
                due,
                newest: newest.attempt,
                runs,
                ended,
            }))
        })
    }
}

/// Which workers live: asked once each, since many tasks may be theirs.
pub(super) struct Living<'a> {
    lives: &'a dyn Lives,
    known: HashMap<WorkerId, bool>,
}

impl<'a> Living<'a> {
    pub fn of(lives: &'a dyn Lives) -> Living<'a> {
        Living {
            lives,
            known: HashMap::new(),
        }
    }

    /// Whether somebody answers for a task that runs.
    pub fn answers(&mut self, owner: Option<WorkerId>) -> Result<bool, Failed> {
        let Some(owner) = owner else {
            return Ok(false);
        };
        if let Some(lives) = self.known.get(&owner) {
            return Ok(*lives);
        }
        let lives = self.lives.is_held(Holder::Worker(owner))?;
        self.known.insert(owner, lives);
        Ok(lives)
    }

    /// A task as people see it.
    pub fn shown(&mut self, rows: &dyn Reads, listed: Listed) -> Result<Task, Failed> {
        let Listed { mut task, owner } = listed;
        // What was due when it was recorded is held by nothing, or is due no more.
        if task.due.is_some_and(|due| due > task.created) {
            task.held = limits::held_by(rows, self.lives, task.id, task.due)?;
        }
        if let (Some(NEVER), Some(held)) = (task.due, &task.held) {
            task.due = Some(held.due);
        }
        if task.status == DisplayedStatus::Running && !self.answers(owner)? {
            task.status = DisplayedStatus::Stalled;
        }
        Ok(task)
    }
}
