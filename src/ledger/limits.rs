//! Limits: who may begin, who is held, and who is let go.
//!
//! ```text
//! claim ─┬─ room in all its lines ─▶ takes a place in each, and begins
//!        └─ none in one ─▶ held: waits without a job ─▶ let go: waits with one ─▶ claim
//!                                    └── by whoever frees a place, or finds one ──┘
//! ```
//!
//! A place is taken by a claim, and by nothing else: since transactions that write come one after the other, there are
//! never more than are allowed. An attempt has its place while its row says that it runs and its lock is held; so one
//! whose worker and command are killed has none from then on, whoever finds that out when.
//!
//! Who is let go has no place yet. For a moment nobody else is let go for that place, nor takes it; after that whoever
//! comes first has it, for the tube of the one that was let go may be paused, or have nobody who works.

use std::sync::Arc;

use super::announce::{Again, Jobs, NEVER, put_ahead};
use super::error::{Error, Failed};
use super::read::HeldBy;
use super::rows::{HeldLine, HeldRow, Line, Reads, Rows, TaskRow, part};
use super::{Ledger, Millis};
use crate::lives::{Holder, Lives};
use crate::task::command::{Commands, Content, Plan};
use crate::task::id::TaskId;
use crate::task::limit::{AHEAD, Bounds, Room};
use crate::tube::TubeName;

/// For so long, in milliseconds, a place is kept for who was let go and has not begun.
pub const KEPT: Millis = 5000;

/// So many are let go in one transaction. Whoever begins or ends lets further ones go.
const SOME: usize = 64;

/// More tasks of a line are not counted.
pub const COUNTED: u32 = 10_000;

/// So many lines of a tube are looked at in one transaction.
const LINES: u32 = 256;

/// Where a task stands in a limit that is of concern to it.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    pub line: Line,
    pub label: Option<String>,
    pub bounds: Bounds,
}

/// Where a task stands in each of the limits that are of concern to it. It costs nothing where there are none.
pub(super) fn stands(
    rows: &dyn Reads,
    commands: &Commands,
    (task, tube, content): (TaskId, &TubeName, &Content),
    plan: &Plan,
) -> Result<Vec<Stand>, Failed> {
    let mut stands = Vec::new();
    for limit in commands.limits_of(tube, &plan.name) {
        let call = match content {
            Content::Call(call) => Some(call),
            Content::Raw(_) | Content::Unread(_) => None,
        };
        let key = limit.key(&plan.name, call, || rows.tags(task))?;
        let line = Line {
            limit: limit.name.clone(),
            key,
        };
        stands.push(Stand {
            line,
            label: limit.by.label(),
            bounds: limit.bounds,
        });
    }
    Ok(stands)
}

impl Stand {
    /// What is kept of a task that it holds from now on.
    pub fn held(
        self,
        task: TaskId,
        tube: &TubeName,
        priority: u32,
        due: Millis,
        now: Millis,
    ) -> HeldRow {
        HeldRow {
            task,
            line: self.line,
            label: self.label,
            tube: tube.to_string(),
            priority,
            since: now,
            due,
            let_go: None,
            bounds: self.bounds,
        }
    }
}

/// What is in the way of the next of a line.
pub(super) struct View {
    pub taken: u32,
    pub starts: Vec<Millis>,
}

/// What has to be at hand to look at a line.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub rows: &'a dyn Reads,
    pub lives: &'a dyn Lives,
    pub now: Millis,
}

impl Look<'_> {
    /// How many more of a line are to have a job.
    pub fn left(&self, line: &Line, bounds: Bounds) -> Result<u32, Failed> {
        let (since, until) = (
            self.now.saturating_sub(KEPT),
            self.now.saturating_add(AHEAD),
        );
        let expected = count(self.rows.let_go(line, since, until)?.len());
        Ok(bounds.left(self.living(line, bounds, expected)?, expected))
    }

    /// The attempts of a line that live. Their locks are looked at only where it matters: where, with so many others,
    /// there would be no room.
    fn living(&self, line: &Line, bounds: Bounds, others: u32) -> Result<u32, Failed> {
        let Some(most) = bounds.concurrency else {
            return Ok(0);
        };
        let places = self.rows.places(line)?;
        if count(places.len()).saturating_add(others) < most {
            return Ok(count(places.len()));
        }
        let mut living = 0;
        for attempt in places {
            living += u32::from(self.lives.is_held(Holder::Attempt(attempt))?);
        }
        Ok(living)
    }

    fn started(&self, line: &Line, bounds: Bounds) -> Result<Vec<Millis>, Failed> {
        let Some(rate) = bounds.rate else {
            return Ok(Vec::new());
        };
        let since = self.now.saturating_sub(rate.per);
        let mut starts = self.rows.starts(line, since, rate.allowed)?;
        starts.retain(|start| bounds.counts(*start, self.now));
        Ok(starts)
    }

    /// What is in the way of a task that was let go: what runs, and what has begun.
    pub fn in_fact(&self, line: &Line, bounds: Bounds) -> Result<View, Failed> {
        Ok(View {
            taken: self.living(line, bounds, 0)?,
            starts: self.started(line, bounds)?,
        })
    }

    /// The same of any other: also those that were let go, and are expected to begin.
    pub fn expected(&self, line: &Line, bounds: Bounds) -> Result<(View, u32), Failed> {
        let (since, until) = (
            self.now.saturating_sub(KEPT),
            self.now.saturating_add(AHEAD),
        );
        let let_go = self.rows.let_go(line, since, until)?;
        let expected = count(let_go.len());
        let mut starts = self.started(line, bounds)?;
        starts.extend(let_go.iter().map(|row| row.due.max(self.now)));
        let taken = self
            .living(line, bounds, expected)?
            .saturating_add(expected);
        Ok((View { taken, starts }, expected))
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What has to be at hand to let somebody go.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a> {
    pub rows: &'a dyn Rows,
    pub lives: &'a dyn Lives,
    pub now: Millis,
    pub jobs: Option<Jobs>,
}

impl Hand<'_> {
    /// Lets as many of a line go as there is room for, the first ones first. What is to ring for them.
    pub fn let_go(&self, line: &Line, bounds: Option<Bounds>) -> Result<Vec<Again>, Failed> {
        let Hand {
            rows, lives, now, ..
        } = *self;
        let since = now.saturating_sub(KEPT);
        let mut all = Vec::new();
        let Some(mut next) = rows.first_held(line, since)? else {
            return Ok(all);
        };
        let bounds = bounds.unwrap_or(next.bounds);
        let look = Look { rows, lives, now };
        let (mut view, mut expected) = look.expected(line, bounds)?;
        while all.len() < SOME && expected < bounds.most_let_go() {
            let due = match bounds.room(view.taken, &view.starts, now) {
                Room::Full => break,
                Room::Now => next.due,
                Room::At(at) => next.due.max(at),
            };
            all.extend(self.release(next.task, due)?);
            view.taken = view.taken.saturating_add(1);
            view.starts.push(due.max(now));
            expected = expected.saturating_add(1);
            match rows.first_held(line, since)? {
                Some(another) => next = another,
                None => break,
            }
        }
        Ok(all)
    }

    /// Lets one go, due then. One whose row makes no sense goes too, and keeps nobody else.
    fn release(&self, task: TaskId, due: Millis) -> Result<Option<Again>, Failed> {
        let Hand {
            rows, now, jobs, ..
        } = *self;
        rows.release(task, now, due)?;
        match part(rows, || put_ahead(rows, task, now, jobs)) {
            Ok(again) => Ok(again),
            Err(failed) => {
                let wrong = failed.of_one_row()?;
                tracing::error!(%task, wrong, "could not let a held task go");
                Ok(None)
            }
        }
    }
}

/// What a limit is by this configuration, if it has it.
pub(super) fn bounds(commands: &Commands, line: &Line) -> Option<Bounds> {
    let limit = commands
        .limits()
        .iter()
        .find(|limit| limit.name == line.limit);
    limit.map(|limit| limit.bounds)
}

/// Whether a task waits for a place, or for something else that is no time.
pub(super) fn waits_without_time(task: &TaskRow) -> bool {
    task.due == Some(NEVER)
}

/// What is known of a task that a limit holds, or has let go at a time that is still to come: with those that run.
pub(super) fn held_by(
    rows: &dyn Reads,
    lives: &dyn Lives,
    task: TaskId,
    due: Option<Millis>,
) -> Result<Option<HeldBy>, Failed> {
    let Some(held) = rows.held_by(task)? else {
        return Ok(None);
    };
    let is_put_off = held.let_go.is_some() && due.is_some_and(|due| due > held.due);
    if due != Some(NEVER) && !is_put_off {
        return Ok(None);
    }
    let next = match held.bounds.rate {
        None => None,
        Some(rate) => {
            let starts = rows.starts(&held.line, Millis::MIN, rate.allowed)?;
            let oldest = starts
                .last()
                .filter(|_| count(starts.len()) >= rate.allowed);
            oldest.map(|start| start.saturating_add(rate.per))
        }
    };
    Ok(Some(HeldBy {
        running: running(rows, lives, &held.line)?,
        limit: held.line.limit,
        label: held.label,
        key: held.line.key.as_str().to_owned(),
        bounds: held.bounds,
        since: held.since,
        due: held.due,
        next,
    }))
}

/// The tasks that have a place in a line.
fn running(rows: &dyn Reads, lives: &dyn Lives, line: &Line) -> Result<Vec<TaskId>, Failed> {
    let mut running = Vec::new();
    for attempt in rows.places(line)? {
        if lives.is_held(Holder::Attempt(attempt))? {
            running.push(attempt.task);
        }
    }
    Ok(running)
}

/// A line that holds tasks, with those that have a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The line.
    pub held: HeldLine,
    /// Who runs.
    pub running: Vec<TaskId>,
}

/// When a task was due that is held.
pub(super) fn due_of_held(rows: &dyn Reads, task: &TaskRow) -> Result<Option<Millis>, Failed> {
    if !waits_without_time(task) {
        return Ok(None);
    }
    Ok(rows.held_by(task.id)?.map(|held| held.due))
}

impl Ledger {
    /// The first lines in which tasks wait, so many at most.
    pub fn lines_in_use(&self, most: u32) -> Result<Vec<InUse>, Error> {
        self.look(|rows| {
            let mut lines = Vec::new();
            for held in rows.lines_in_use(most, COUNTED)? {
                let running = running(rows, &*self.lives, &held.line)?;
                lines.push(InUse { held, running });
            }
            Ok(lines)
        })
    }

    /// Whether a limit holds tasks of one of these tubes.
    pub fn holds(&self, tubes: &[TubeName]) -> Result<bool, Error> {
        self.look(|rows| {
            for tube in tubes {
                if !rows.lines(tube, None, 1)?.is_empty() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Lets go what of a tube is held and need not be: since a place is free that nobody has rung for, since what it is
    /// held by is no limit any more, or is another. Lines behind one of them, some at a time; what is to ring, and the
    /// last line that was looked at. `None`: there are no more.
    pub fn let_held_go(
        &mut self,
        tube: &TubeName,
        after: Option<&Line>,
        commands: &Commands,
        now: Millis,
    ) -> Result<Option<(Vec<Again>, Line)>, Error> {
        let lives = Arc::clone(&self.lives);
        let lines = self.look(|rows| rows.lines(tube, after, LINES))?;
        let Some(last) = lines.last().cloned() else {
            return Ok(None);
        };
        // Nobody is kept from writing where there is nothing to be done.
        let stuck = self.look(|rows| {
            let look = Look {
                rows,
                lives: &*lives,
                now,
            };
            let mut stuck = Vec::new();
            for line in &lines {
                if is_to_move(look, tube, line, commands)? {
                    stuck.push(line.clone());
                }
            }
            Ok(stuck)
        })?;
        if stuck.is_empty() {
            return Ok(Some((Vec::new(), last)));
        }
        let jobs = self.jobs();
        let again = self.change(|rows| {
            let hand = Hand {
                rows,
                lives: &*lives,
                now,
                jobs,
            };
            let mut again = Vec::new();
            for line in &stuck {
                again.extend(hand.move_on(tube, line, commands)?);
            }
            Ok(again)
        })?;
        if jobs.is_some() && !again.is_empty() {
            self.backend.ring();
        }
        Ok(Some((again, last)))
    }
}

/// Whether there is something to be done about a line that holds tasks of a tube.
fn is_to_move(
    look: Look<'_>,
    tube: &TubeName,
    line: &Line,
    commands: &Commands,
) -> Result<bool, Failed> {
    let first = look.rows.held_of(tube, line, 1)?;
    let Some(first) = first.first() else {
        return Ok(false);
    };
    if !is_held_by(look.rows, first, commands)? {
        return Ok(true);
    }
    let bounds = bounds(commands, line).unwrap_or(first.bounds);
    let since = look.now.saturating_sub(KEPT);
    if look.rows.first_held(line, since)?.is_none() {
        return Ok(false);
    }
    let (view, expected) = look.expected(line, bounds)?;
    let is_full = bounds.room(view.taken, &view.starts, look.now) == Room::Full;
    Ok(!is_full && expected < bounds.most_let_go())
}

/// Whether a task would stand in the line that holds it by this configuration. Whoever may not run is told so by its
/// claim.
fn is_held_by(rows: &dyn Reads, held: &HeldRow, commands: &Commands) -> Result<bool, Failed> {
    let Some(task) = rows.row(held.task)? else {
        return Ok(false);
    };
    let Ok(plan) = commands.plan(task.uuid, &task.tube, &task.content) else {
        return Ok(false);
    };
    let of = (task.id, &task.tube, &task.content);
    let stands = stands(rows, commands, of, &plan)?;
    Ok(stands.iter().any(|stand| stand.line == held.line))
}

impl Hand<'_> {
    /// Lets go what need not be held. Those of a limit that is none any more, some at a time: there may be many.
    fn move_on(
        &self,
        tube: &TubeName,
        line: &Line,
        commands: &Commands,
    ) -> Result<Vec<Again>, Failed> {
        let mut again = Vec::new();
        for held in self.rows.held_of(tube, line, count(SOME))? {
            if is_held_by(self.rows, &held, commands)? {
                again.extend(self.let_go(line, bounds(commands, line))?);
                break;
            }
            again.extend(self.release(held.task, held.due)?);
            self.rows.forget_held(held.task)?;
        }
        Ok(again)
    }
}
