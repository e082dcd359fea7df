//! What is shown of tasks that wait for others.

use std::fmt;

use crate::task::id::TaskId;
use crate::task::state::Status;

/// So many parents, and so many children, are shown of a task.
pub const RELATIVES: usize = 100;

/// So many tasks are drawn.
pub const DRAWN: usize = 1000;

/// From a task so many generations up, and from there so many down: what stands further to the right nobody reads.
pub const GENERATIONS: (usize, usize) = (20, 40);

/// What a task waits for that waits for others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitsFor {
    /// The first of those that have not ended.
    pub parents: Vec<TaskId>,
    /// How many have not ended.
    pub open: u32,
    /// The first of them that ends well lets it go.
    pub any: bool,
    /// Why it waits for a person, if it does: a parent has failed.
    pub held: Option<String>,
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.held {
            return write!(f, "is held: {why}");
        }
        let joined = if self.any { "or" } else { "and" };
        let rest = (self.open as usize).saturating_sub(self.parents.len());
        let mut names: Vec<String> = self.parents.iter().map(ToString::to_string).collect();
        match (names.is_empty(), rest) {
            (true, _) if self.any => return write!(f, "waits for any of {} tasks", self.open),
            (true, _) => return write!(f, "waits for {} tasks", self.open),
            (false, 0) => {}
            (false, 1) => names.push("another".into()),
            (false, rest) => names.push(format!("{rest} others")),
        }
        match names.as_slice() {
            [one] => write!(f, "waits for task {one}"),
            [first @ .., last] => {
                write!(f, "waits for tasks {} {joined} {last}", first.join(", "))
            }
            [] => Ok(()),
        }
    }
}

/// A task that another waits for, or that waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relative {
    /// Which.
    pub id: TaskId,
    /// Where it stands, as that is recorded; `None`: it is gone.
    pub status: Option<Status>,
}

/// With whom a task has to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Kinship {
    /// The first 100 tasks that it waits for, or has waited for.
    pub parents: Vec<Relative>,
    /// There are more.
    pub more_parents: bool,
    /// The first 100 tasks that wait for it, or have.
    pub children: Vec<Relative>,
    /// There are more.
    pub more_children: bool,
}

/// A task in a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaf {
    /// Which.
    pub id: TaskId,
    /// Where it stands, as that is recorded; `None`: it is gone.
    pub status: Option<Status>,
    /// The name of its command, where it is known.
    pub command: Option<String>,
    /// How many tasks stand between it and one that waits for nothing, on the way by which it is drawn.
    pub depth: usize,
    /// It is the last of those that stand beside it.
    pub is_last: bool,
    /// It was drawn before, with what waits for it.
    pub is_again: bool,
    /// It is the one that was asked for.
    pub is_asked: bool,
    /// The first tasks that it waits for.
    pub parents: Vec<TaskId>,
}

/// A task with all that it waits for, and all that waits for these: each below what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tree {
    /// The tasks, from above.
    pub leaves: Vec<Leaf>,
    /// There are more.
    pub is_cut: bool,
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whether a line goes on below, for each depth.
        let mut lines: Vec<bool> = Vec::new();
        for leaf in &self.leaves {
            lines.truncate(leaf.depth);
            for goes_on in lines.iter().skip(1) {
                f.write_str(if *goes_on { "│  " } else { "   " })?;
            }
            if leaf.depth > 0 {
                f.write_str(if leaf.is_last { "└─ " } else { "├─ " })?;
            }
            lines.push(!leaf.is_last);
            let status = leaf.status.map_or("gone", Status::as_str);
            write!(f, "{} {status}", leaf.id)?;
            if let Some(command) = &leaf.command {
                write!(f, " {command}")?;
            }
            if leaf.is_asked {
                f.write_str(" ◀")?;
            }
            if leaf.is_again {
                f.write_str(" (see above)")?;
            }
            writeln!(f)?;
        }
        if self.is_cut {
            writeln!(f, "… there are more than are drawn")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_waits_for_is_said_in_words() {
        let table: [(&[i64], u32, bool, &str); 8] = [
            (&[4], 1, false, "waits for task 4"),
            (&[4, 5], 2, false, "waits for tasks 4 and 5"),
            (&[4, 5], 2, true, "waits for tasks 4 or 5"),
            (&[4, 5, 6], 3, false, "waits for tasks 4, 5 and 6"),
            (&[4, 5, 6], 4, false, "waits for tasks 4, 5, 6 and another"),
            (&[4, 5, 6], 9, true, "waits for tasks 4, 5, 6 or 6 others"),
            (&[], 7, false, "waits for 7 tasks"),
            (&[], 7, true, "waits for any of 7 tasks"),
        ];
        for (parents, open, any, words) in table {
            let waits = WaitsFor {
                parents: parents.iter().map(|id| TaskId(*id)).collect(),
                open,
                any,
                held: None,
            };
            assert_eq!(waits.to_string(), words);
            let held = Some("task 4, which it waits for, failed".to_owned());
            let held = WaitsFor { held, ..waits };
            assert_eq!(
                held.to_string(),
                "is held: task 4, which it waits for, failed"
            );
        }
    }
}
