//! What ended in each minute: summed up in the transaction that records the ends, and written once for each tube and
//! command of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::entry::Settlement;
use super::error::{Error, Failed};
use super::rows::{Ends, Of, Ran, Rows};
use super::{Ledger, Millis};
use crate::task::id::TaskId;
use crate::task::retry::Next;
use crate::task::state::Outcome;

/// So many minutes are kept. Nobody asks for more than the newest few.
pub const KEPT: i64 = 60;

/// So many commands of a tube are counted by their names in a minute, the others together: where a configuration has a
/// pattern of names, whoever puts tasks makes up the names.
pub const COMMANDS: usize = 32;

/// So many minutes, the one that is not over with them, say how fast work goes now.
pub const LATELY: i64 = 5;

const MINUTE: Millis = 60_000;

/// What ended lately, by tube.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lately {
    /// Over how many milliseconds: whole minutes, and what there is of this one.
    pub within: Millis,
    /// By tube.
    pub tubes: BTreeMap<String, Ends>,
    /// By tube and command, as far as the command is known by name.
    pub commands: BTreeMap<(String, String), Ends>,
}

impl Ledger {
    /// What ended in the newest minutes.
    pub fn lately(&self, now: Millis) -> Result<Lately, Error> {
        let this = now.div_euclid(MINUTE);
        let from = this.saturating_sub(LATELY - 1);
        let counted = self.look(|rows| rows.ends(from, this))?;
        let mut lately = Lately {
            within: now.saturating_sub(from.saturating_mul(MINUTE)),
            tubes: BTreeMap::new(),
            commands: BTreeMap::new(),
        };
        for (of, ends) in counted {
            if !of.command.is_empty() {
                let of = (of.tube.clone(), of.command);
                lately.commands.entry(of).or_default().add(&ends);
            }
            lately.tubes.entry(of.tube).or_default().add(&ends);
        }
        Ok(lately)
    }
}

/// What ended in a transaction.
#[derive(Debug, Default)]
pub(super) struct Sums {
    ends: RefCell<BTreeMap<Of, Ends>>,
    /// Those for which others wait.
    parents: RefCell<Vec<TaskId>>,
}

impl Sums {
    /// A task has ended, or waits again, for which others wait: they are to hear of that.
    pub fn has_ended(&self, task: TaskId) {
        self.parents.borrow_mut().push(task);
    }

    /// Those tasks.
    pub fn take_ended(&self) -> Vec<TaskId> {
        self.parents.take()
    }

    /// Counts an attempt that has ended.
    pub fn add(&self, settlement: &Settlement, ran: &Ran) {
        let Settlement {
            outcome,
            next,
            took,
            started,
            finished,
            ..
        } = settlement;
        let started = started.unwrap_or(ran.started);
        // Who puts what is refused may name a command of his own each time.
        let command = match outcome {
            Outcome::Refused { .. } => String::new(),
            Outcome::Exited(_)
            | Outcome::Signalled(_)
            | Outcome::OutOfMemory
            | Outcome::TimedOut(_)
            | Outcome::Cancelled(_)
            | Outcome::CouldNotStart { .. }
            | Outcome::Interrupted(_)
            | Outcome::CutOff
            | Outcome::Lost(_)
            | Outcome::Deferred { .. }
            | Outcome::GaveUp { .. } => ran.command.clone(),
        };
        let of = Of {
            minute: finished.div_euclid(MINUTE),
            tube: ran.tube.clone(),
            command,
        };
        let mut sums = self.ends.borrow_mut();
        let ends = sums.entry(of).or_default();
        match next {
            Next::Done => ends.done += 1,
            Next::Failed { .. } => ends.failed += 1,
            Next::Wait(_) if outcome.is_interrupted() => {}
            Next::Wait(_) => ends.retried += 1,
            Next::Cancelled => {}
        }
        if let Some(since) = ran.since {
            ends.waited.add(started.saturating_sub(since));
        }
        if let Some(took) = took {
            let cpu = took.user.saturating_add(took.system);
            ends.add_taken(
                u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
                took.peak_memory,
            );
        }
        if has_run(outcome) {
            ends.ran.add(finished.saturating_sub(started));
        }
    }

    /// Writes all of it.
    pub fn write(self, rows: &dyn Rows, now: Millis) -> Result<(), Failed> {
        let this = now.div_euclid(MINUTE);
        for (of, ends) in self.ends.into_inner() {
            rows.add_ends(&of, &ends, this.saturating_sub(KEPT)..=this, COMMANDS)?;
        }
        Ok(())
    }
}

/// Whether it is known how long a command ran.
fn has_run(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Exited(_)
        | Outcome::Signalled(_)
        | Outcome::OutOfMemory
        | Outcome::TimedOut(_)
        | Outcome::Cancelled(_)
        | Outcome::Interrupted(_)
        | Outcome::Deferred { .. }
        | Outcome::GaveUp { .. } => true,
        Outcome::Refused { .. }
        | Outcome::CouldNotStart { .. }
        | Outcome::CutOff
        | Outcome::Lost(_) => false,
    }
}
