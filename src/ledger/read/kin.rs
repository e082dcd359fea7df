//! Tasks that wait for others, as they are shown.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::relatives::{DRAWN, GENERATIONS, Kinship, Leaf, RELATIVES, Relative, Tree, WaitsFor};
use super::types::{Key, Task};
use crate::ledger::announce::NEVER;
use crate::ledger::error::{Error, Failed};
use crate::ledger::rows::{Edge, Reads};
use crate::ledger::{Ledger, Millis};
use crate::task::after::{ParentEnd, Stands, Verdict, judge, reason};
use crate::task::id::TaskId;

/// So many parents are looked through for those that a task still waits for.
const LOOKED_THROUGH: usize = 1000;

/// So many of them are named.
const NAMED: usize = 3;

/// Says what a task waits for that waits for something else than a time, and when it is truly due.
pub(super) fn tell_what_it_waits_for(rows: &dyn Reads, task: &mut Task) -> Result<(), Failed> {
    if task.due != Some(NEVER) {
        return Ok(());
    }
    let found = waits_for(rows, task.id)?;
    task.due = found.as_ref().map(|(_, due)| *due);
    task.waits_for = found.map(|(waits, _)| waits);
    Ok(())
}

/// What a task waits for, and when it is due.
pub(in crate::ledger) fn waits_for(
    rows: &dyn Reads,
    task: TaskId,
) -> Result<Option<(WaitsFor, Millis)>, Failed> {
    let awaiting = rows.awaiting(task)?;
    let Some(awaiting) = awaiting.filter(|one| one.stands == Stands::Waits) else {
        return Ok(None);
    };
    let edges = rows.parents(task, TaskId::BEFORE_ALL, LOOKED_THROUGH)?;
    let open = edges.iter().filter(|edge| edge.ended.is_none());
    let is_held = judge(awaiting.terms, awaiting.counts) == Verdict::Held;
    let failed = edges.iter().find_map(|edge| match edge.ended {
        None | Some(ParentEnd::Done) => None,
        Some(end) => Some(reason(edge.task, end)),
    });
    let waits = WaitsFor {
        parents: open.take(NAMED).map(|edge| edge.task).collect(),
        open: awaiting.counts.open,
        any: awaiting.terms.any,
        held: is_held.then(|| failed.unwrap_or_else(|| "what it waits for has failed".into())),
    };
    Ok(Some((waits, awaiting.due)))
}

/// With whom a task has to do; `None`: with nobody.
pub(super) fn kinship(rows: &dyn Reads, task: TaskId) -> Result<Option<Box<Kinship>>, Failed> {
    if rows.count_kin(task, 1)? == (0, 0) {
        return Ok(None);
    }
    let most = RELATIVES.saturating_add(1);
    let parents = rows.parents(task, TaskId::BEFORE_ALL, most)?;
    let children = rows.children(task, TaskId::BEFORE_ALL, most)?;
    let relative = |edge: &Edge| {
        Ok(Relative {
            id: edge.task,
            status: rows.status(edge.task)?,
        })
    };
    let shown = |edges: &[Edge]| {
        let shown = edges.iter().take(RELATIVES).map(relative);
        shown.collect::<Result<Vec<_>, Failed>>()
    };
    Ok(Some(Box::new(Kinship {
        more_parents: parents.len() > RELATIVES,
        more_children: children.len() > RELATIVES,
        parents: shown(&parents)?,
        children: shown(&children)?,
    })))
}

impl Ledger {
    /// A task with all that it has to do with, as far as that can be drawn. `None`: there is no such task.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn tree(&self, key: Key) -> Result<Option<Tree>, Error> {
        self.look(|rows| {
            let Some(asked) = rows.newest(key)?.map(|newest| newest.task) else {
                return Ok(None);
            };
            let mut drawing = Drawing {
                rows,
                asked,
                drawn: HashSet::new(),
                tree: Tree::default(),
            };
            for root in drawing.roots()? {
                drawing.draw(root)?;
            }
            Ok(Some(drawing.tree))
        })
    }
}

struct Drawing<'a> {
    rows: &'a dyn Reads,
    asked: TaskId,
    drawn: HashSet<TaskId>,
    tree: Tree,
}

impl Drawing<'_> {
    /// Those above the task that wait for nothing, or the farthest that are looked at.
    fn roots(&mut self) -> Result<BTreeSet<TaskId>, Failed> {
        let (mut roots, mut seen) = (BTreeSet::new(), HashSet::from([self.asked]));
        let mut open = VecDeque::from([(self.asked, 0)]);
        while let Some((task, generation)) = open.pop_front() {
            let parents = self.rows.parents(task, TaskId::BEFORE_ALL, RELATIVES)?;
            let room = match generation < GENERATIONS.0 {
                true => DRAWN.saturating_sub(seen.len()),
                false => 0,
            };
            self.tree.is_cut |= parents.len() == RELATIVES;
            if parents.is_empty() || room == 0 {
                self.tree.is_cut |= !parents.is_empty();
                roots.insert(task);
            }
            for parent in parents.iter().take(room) {
                if seen.insert(parent.task) {
                    open.push_back((parent.task, generation + 1));
                }
            }
        }
        Ok(roots)
    }

    fn draw(&mut self, root: TaskId) -> Result<(), Failed> {
        let mut open = vec![(root, 0, true)];
        let mut known: HashMap<TaskId, Leaf> = HashMap::new();
        while let Some((task, depth, is_last)) = open.pop() {
            if self.tree.leaves.len() >= DRAWN {
                self.tree.is_cut = true;
                return Ok(());
            }
            let is_again = !self.drawn.insert(task);
            let leaf = match known.get(&task) {
                Some(leaf) => leaf.clone(),
                None => self.leaf(task)?,
            };
            known.insert(task, leaf.clone());
            self.tree.leaves.push(Leaf {
                depth,
                is_last,
                is_again,
                ..leaf
            });
            if is_again {
                continue;
            }
            let most = if depth < GENERATIONS.1 { RELATIVES } else { 1 };
            let children = self.rows.children(task, TaskId::BEFORE_ALL, most)?;
            self.tree.is_cut |= children.len() == most;
            if depth >= GENERATIONS.1 {
                continue;
            }
            let last = children.last().map(|edge| edge.task);
            // The first comes off first.
            for edge in children.iter().rev() {
                open.push((edge.task, depth + 1, Some(edge.task) == last));
            }
        }
        Ok(())
    }

    fn leaf(&self, task: TaskId) -> Result<Leaf, Failed> {
        let parents = self.rows.parents(task, TaskId::BEFORE_ALL, RELATIVES)?;
        Ok(Leaf {
            id: task,
            status: self.rows.status(task)?,
            // A row that makes no sense is drawn by its number.
            command: match self.rows.row(task) {
                Ok(row) => row.and_then(|row| row.command),
                Err(failed) => failed.of_one_row().map(|_| None)?,
            },
            depth: 0,
            is_last: true,
            is_again: false,
            is_asked: task == self.asked,
            parents: parents.iter().map(|edge| edge.task).collect(),
        })
    }
}
