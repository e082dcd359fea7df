//! Tasks that wait for others: how they come to wait, and how they hear of those that they wait for.
//!
//! A child is told where its parent stands, and what that means to it is decided from how many of its parents stand
//! where (`task::after`). It is told in the transaction that ends the parent, if few are to be told. What is left over
//! then is noted in that transaction (`unheard`), and whoever comes next goes on: the worker with its next entry, the
//! command that has cancelled the parent, or a reconciliation. To tell a child twice does nothing.
//!
//! ```text
//!  put ──▶ waits ──its parents mean: go──▶ its job is put        over: they matter to it no more
//!           │ ▲
//!   cancel  ▼ │ its parent waits again
//!         cancelled ──a person regenerates it──▶ its job is put  over
//! ```

use std::collections::VecDeque;

use super::announce::{Again, Jobs, NEVER, next_put};
use super::error::{Error, Failed};
use super::rows::{Awaiting, Edge, Kin, Rows, part};
use super::{Ledger, Millis, transition};
use crate::task::after::{Act, After, Counts, ParentEnd, Stands, Verdict, act, judge, reason};
use crate::task::id::TaskId;
use crate::task::state::Status;

/// So many children hear of their parents in one transaction. Each takes some 40 us; others wait meanwhile.
pub const SOME: usize = 200;

/// What came of children having been told.
#[derive(Debug, Default)]
pub struct Heard {
    /// Those that go now, and what is to ring for them.
    pub puts: Vec<Again>,
    /// There are others to be told.
    pub more: bool,
}

impl Ledger {
    /// Whether there are children who have not heard where their parents stand now.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn has_unheard(&self) -> Result<bool, Error> {
        self.look(|rows| Ok(rows.unheard()?.is_some()))
    }

    /// Tells some of them.
    ///
    /// # Errors
    /// When the rows cannot be written.
    pub fn tell_children(&mut self, now: Millis) -> Result<Heard, Error> {
        let jobs = self.jobs();
        let heard = self.change(|rows| tell(rows, Vec::new(), now, jobs))?;
        if jobs.is_some() && !heard.puts.is_empty() {
            self.backend.ring();
        }
        Ok(heard)
    }
}

/// How a task that others wait for has ended; `None`: it has not.
fn ended(rows: &dyn Rows, parent: TaskId) -> Result<Option<ParentEnd>, Failed> {
    Ok(match rows.status(parent)? {
        Some(status) => ParentEnd::of(status),
        None => Some(ParentEnd::Deleted),
    })
}

/// Tells the children of tasks that have just ended, or wait again, and then those that are noted as not having heard:
/// as many as may hear in one transaction. What is left over is noted.
pub(super) fn tell(
    rows: &dyn Rows,
    parents: Vec<TaskId>,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Heard, Failed> {
    let mut telling = Telling {
        rows,
        now,
        jobs,
        left: SOME,
        parents: parents
            .into_iter()
            .map(|id| (id, TaskId::BEFORE_ALL))
            .collect(),
        heard: Heard::default(),
    };
    loop {
        let next = match telling.parents.pop_front() {
            Some(next) => Some(next),
            None => rows.unheard()?,
        };
        let Some((parent, behind)) = next else {
            return Ok(telling.heard);
        };
        if telling.left == 0 {
            rows.set_unheard(parent, Some(behind))?;
            for (parent, behind) in telling.parents {
                rows.set_unheard(parent, Some(behind))?;
            }
            telling.heard.more = true;
            return Ok(telling.heard);
        }
        telling.some_of(parent, behind)?;
    }
}

/// Children that are told in one transaction.
struct Telling<'a> {
    rows: &'a dyn Rows,
    now: Millis,
    jobs: Option<Jobs>,
    /// So many may still be told.
    left: usize,
    /// Whose children are to be told, behind one of them.
    parents: VecDeque<(TaskId, TaskId)>,
    heard: Heard,
}

impl Telling<'_> {
    fn some_of(&mut self, parent: TaskId, behind: TaskId) -> Result<(), Failed> {
        let rows = self.rows;
        let end = ended(rows, parent)?;
        let edges = rows.children(parent, behind, self.left)?;
        let is_all = edges.len() < self.left;
        self.left = self.left.saturating_sub(edges.len());
        for edge in &edges {
            // A child whose row makes no sense keeps neither its parent from ending nor others from hearing of that.
            match part(rows, || self.one(parent, *edge, end)) {
                Ok(told) => {
                    self.heard.puts.extend(told.again);
                    let child = (edge.task, TaskId::BEFORE_ALL);
                    self.parents.extend(told.has_children.then_some(child));
                }
                Err(failed) => {
                    let wrong = failed.of_one_row()?;
                    let task = edge.task;
                    tracing::error!(%task, %parent, wrong, "could not tell a task that it need not wait any more");
                }
            }
        }
        match edges.last().filter(|_| !is_all) {
            Some(last) => self.parents.push_front((parent, last.task)),
            None => rows.set_unheard(parent, None)?,
        }
        Ok(())
    }

    /// Tells a child where its parent stands.
    fn one(&self, parent: TaskId, edge: Edge, end: Option<ParentEnd>) -> Result<Told, Failed> {
        // How it ended is known though it is gone.
        let end = match (end, edge.ended) {
            (Some(ParentEnd::Deleted), Some(before)) => Some(before),
            (end, _) => end,
        };
        if edge.ended == end {
            return Ok(Told::default());
        }
        let (rows, child) = (self.rows, edge.task);
        rows.set_edge(parent, child, end)?;
        let Some(mut awaiting) = rows.awaiting(child)? else {
            return Ok(Told::default());
        };
        awaiting.counts.moved(edge.ended, end);
        let verdict = judge(awaiting.terms, awaiting.counts);
        let because = end.map(|end| reason(parent, end));
        let todo = act(awaiting.stands, verdict);
        let told = do_to(
            rows,
            child,
            &mut awaiting,
            todo,
            because.as_deref(),
            self.now,
            self.jobs,
        )?;
        rows.set_awaiting(child, &awaiting)?;
        Ok(told)
    }
}

/// What came of one child.
#[derive(Default)]
struct Told {
    /// What is to ring for it.
    again: Option<Again>,
    /// It has ended, or waits again, and others wait for it.
    has_children: bool,
}

fn do_to(
    rows: &dyn Rows,
    child: TaskId,
    awaiting: &mut Awaiting,
    todo: Act,
    because: Option<&str>,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Told, Failed> {
    let mut told = Told::default();
    let stands_as = match todo {
        Act::Nothing => return Ok(told),
        Act::Go | Act::Cancel => Status::Waiting,
        Act::Revive | Act::ReviveAndGo => Status::Cancelled,
    };
    // A person has been quicker.
    if rows.status(child)? != Some(stands_as) {
        awaiting.stands = match todo {
            // Who has called it off has not said that it is to be forgotten what it waits for.
            Act::Nothing | Act::Go | Act::Cancel => awaiting.stands,
            Act::Revive | Act::ReviveAndGo => Stands::Over,
        };
        return Ok(told);
    }
    match todo {
        Act::Nothing => {}
        Act::Go => {
            awaiting.stands = Stands::Over;
            told.again = release(rows, child, awaiting.due, now, jobs)?;
        }
        Act::Cancel => {
            awaiting.stands = Stands::Cancelled;
            let kin = transition::cancel(rows, child, now, because)?;
            told.has_children = kin.is_some_and(|kin| kin.has_children);
        }
        Act::Revive => {
            awaiting.stands = Stands::Waits;
            let kin = transition::renew(rows, child, now, None)?;
            hold_back(rows, child)?;
            told.has_children = kin.has_children;
        }
        Act::ReviveAndGo => {
            awaiting.stands = Stands::Over;
            let kin = transition::renew(rows, child, now, None)?;
            told.has_children = kin.has_children;
            told.again = release(rows, child, awaiting.due, now, jobs)?;
        }
    }
    Ok(told)
}

/// Has a task wait without a job, for something else than a time.
fn hold_back(rows: &dyn Rows, task: TaskId) -> Result<(), Failed> {
    rows.set_due(task, NEVER)?;
    rows.set_later(task)?;
    Ok(())
}

/// Has a task that waits without a job have one.
fn release(
    rows: &dyn Rows,
    task: TaskId,
    due: Millis,
    now: Millis,
    jobs: Option<Jobs>,
) -> Result<Option<Again>, Failed> {
    rows.set_due(task, due.max(now))?;
    next_put(rows, task, None, now, jobs)
}

/// That a task waits for its parents and for nothing else, if it does.
pub(super) fn waits_for_parents(
    rows: &dyn Rows,
    task: TaskId,
    due: Option<Millis>,
) -> Result<Option<Awaiting>, Failed> {
    if due != Some(NEVER) {
        return Ok(None);
    }
    let awaiting = rows.awaiting(task)?;
    Ok(awaiting.filter(|awaiting| awaiting.stands == Stands::Waits))
}

/// A person has decided that a task need not wait for its parents: they matter to it no more.
pub(super) fn decided(rows: &dyn Rows, task: TaskId) -> Result<(), Failed> {
    if let Some(awaiting) = rows.awaiting(task)? {
        let stands = Stands::Over;
        rows.set_awaiting(task, &Awaiting { stands, ..awaiting })?;
    }
    Ok(())
}

/// A person has had a task that had ended wait again, or has ended one: whoever waits for it is to hear of that.
pub(super) fn note_children(rows: &dyn Rows, task: TaskId, kin: Kin) -> Result<(), Failed> {
    match kin.has_children {
        true => rows.set_unheard(task, Some(TaskId::BEFORE_ALL)),
        false => Ok(()),
    }
}

/// The first of those that a task is to wait for that is not there.
pub(super) fn no_parent(rows: &dyn Rows, parents: &[TaskId]) -> Result<Option<TaskId>, Failed> {
    for parent in parents {
        if rows.status(*parent)?.is_none() {
            return Ok(Some(*parent));
        }
    }
    Ok(None)
}

/// Has a task that is new, and due as it says, wait for others. True if it is to have its job now.
pub(super) fn begin_to_wait(
    rows: &dyn Rows,
    child: TaskId,
    due: Millis,
    after: &After,
    now: Millis,
) -> Result<bool, Failed> {
    let (mut counts, mut failed) = (Counts::default(), None);
    for parent in &after.parents {
        let end = ended(rows, *parent)?;
        if rows.add_edge(*parent, child, end)? {
            counts.add(end);
            if let Some(end) = end.filter(|end| *end != ParentEnd::Done) {
                failed.get_or_insert((*parent, end));
            }
        }
    }
    let verdict = judge(after.terms, counts);
    let stands = match verdict {
        Verdict::Goes => Stands::Over,
        Verdict::Cancelled => Stands::Cancelled,
        Verdict::Waits | Verdict::Held => Stands::Waits,
    };
    rows.set_awaiting(
        child,
        &Awaiting {
            terms: after.terms,
            due,
            stands,
            counts,
        },
    )?;
    match verdict {
        Verdict::Goes => return Ok(true),
        Verdict::Waits | Verdict::Held => hold_back(rows, child)?,
        Verdict::Cancelled => {
            // It never had a job, and is to have none.
            hold_back(rows, child)?;
            let because = failed.map(|(parent, end)| reason(parent, end));
            transition::cancel(rows, child, now, because.as_deref())?;
        }
    }
    Ok(false)
}
