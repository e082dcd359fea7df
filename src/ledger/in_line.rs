//! What a put does about limits: it takes tasks into their lines.
//!
//! As many of a line have a job as can be let go at a time. Those are expected to begin, as if they had been held and
//! let go; all others are held by the put itself. So a line that is flooded has hardly a job in its tube, and no other
//! line waits for it.
//!
//! Nobody is held for whom nobody will ring: the beginning and the end of those that are expected, or run, let the next
//! go. Where those die, or run by a configuration that has no such limit, reconciliation does, which goes through
//! whatever is held in a tube.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::error::Failed;
use super::limits::{Look, Stand, stands};
use super::rows::{HeldRow, Line, Rows};
use super::{Ledger, Millis};
use crate::lives::Lives;
use crate::task::command::{Commands, Content};
use crate::task::id::TaskId;
use crate::task::own::Own;
use crate::tube::TubeName;

impl Ledger {
    /// Has tasks that are added from now on be held where a limit of these commands has no room for them. Without it
    /// that is found out when their jobs are reserved.
    pub fn hold_by(&mut self, commands: &Arc<Commands>) {
        let has_limits = !commands.limits().is_empty();
        self.holding = has_limits.then(|| Arc::clone(commands));
    }
}

/// A task that is recorded and has no job yet.
pub(super) struct Newcomer<'a> {
    pub id: TaskId,
    pub uuid: Uuid,
    pub tube: &'a TubeName,
    pub content: &'a Content,
    pub own: Option<&'a Own>,
    pub priority: u32,
    pub due: Millis,
}

/// The lines of the tasks that one transaction adds.
pub(super) struct Lines<'a> {
    rows: &'a dyn Rows,
    look: Look<'a>,
    commands: &'a Commands,
    /// How many more of each line are to have a job, of each tube.
    left: RefCell<HashMap<(Line, TubeName), u32>>,
}

impl<'a> Lines<'a> {
    /// `None` where nothing is held: there is no limit, or nowhere to note that.
    pub fn of(
        rows: &'a dyn Rows,
        lives: &'a dyn Lives,
        commands: Option<&'a Arc<Commands>>,
        now: Millis,
    ) -> Result<Option<Lines<'a>>, Failed> {
        let Some(commands) = commands else {
            return Ok(None);
        };
        Ok(rows.keeps_limits()?.then(|| Lines {
            rows,
            look: Look { rows, lives, now },
            commands,
            left: RefCell::default(),
        }))
    }

    /// Takes in a task. True if it is held, and is to have no job. What is due later is taken in when its job is
    /// reserved, and so is what may not run.
    pub fn take_in(&self, task: &Newcomer<'_>) -> Result<bool, Failed> {
        let now = self.look.now;
        if task.due > now {
            return Ok(false);
        }
        let Ok(plan) = (self.commands).plan_with(task.uuid, task.tube, task.content, task.own)
        else {
            return Ok(false);
        };
        let of = (task.id, task.tube, task.content);
        let stands = stands(self.rows, self.commands, of, &plan)?;
        let held = |stand: &Stand| {
            let stand = stand.clone();
            stand.held(task.id, task.tube, task.priority, task.due, now)
        };
        for stand in &stands {
            if self.left(stand, task.tube)? == 0 {
                return self.rows.set_held(&held(stand));
            }
        }
        // A task is remembered in one line: in the one that is full first.
        let tightest = stands.iter().min_by_key(|stand| stand.bounds.most_let_go());
        let Some(tightest) = tightest else {
            return Ok(false);
        };
        self.rows.expect(&HeldRow {
            let_go: Some(now),
            ..held(tightest)
        })?;
        for stand in &stands {
            let place = (stand.line.clone(), task.tube.clone());
            if let Some(left) = self.left.borrow_mut().get_mut(&place) {
                *left = left.saturating_sub(1);
            }
        }
        Ok(false)
    }

    /// How many more of a line and a tube are to have a job. None where others wait there: it waits behind them.
    fn left(&self, stand: &Stand, tube: &TubeName) -> Result<u32, Failed> {
        let place = (stand.line.clone(), tube.clone());
        if let Some(left) = self.left.borrow().get(&place) {
            return Ok(*left);
        }
        let left = match self.rows.holds_any(tube, &stand.line)? {
            true => 0,
            false => self.look.left(&stand.line, stand.bounds)?,
        };
        self.left.borrow_mut().insert(place, left);
        Ok(left)
    }
}
