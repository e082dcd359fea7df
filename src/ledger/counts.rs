//! How many tasks stand where, for those who look at everything at once.

use std::collections::BTreeMap;

use super::Ledger;
use super::announce::NEVER;
use super::error::Error;
use super::read::Living;
use super::rows::Backlog;
use crate::task::Millis;
use crate::task::state::Status;

/// More tasks of a tube that wait, that have failed, or that are cancelled are not counted: one more than these stands
/// for any number above. A backlog of millions would take seconds.
pub const COUNTED: u64 = 100_000;

/// The tasks of one tube that are not done with. A number above [`COUNTED`] says that there are more than these; the
/// broker knows how many jobs wait, however many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// They will be run.
    pub waiting: u64,
    /// So many of these wait for others to end, and have no job.
    pub waiting_for_others: u64,
    /// An attempt has begun, and its worker lives.
    pub running: u64,
    /// An attempt has begun, and its worker is dead.
    pub stalled: u64,
    /// They will not be run again by themselves.
    pub failed: u64,
    /// When the first of those that wait is due, or was.
    pub due: Option<Millis>,
    /// Somebody called them off.
    pub cancelled: u64,
}

impl Ledger {
    /// How many tasks wait, by tube, and by command as far as `put` recorded one.
    pub fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        self.look(|rows| rows.backlog())
    }

    /// How many tasks of each tube stand where; tubes in which all is done are left out.
    pub fn counts(&self) -> Result<BTreeMap<String, Counts>, Error> {
        self.counts_up_to(COUNTED + 1)
    }

    /// The same, with `most` for any number above it: with 1, only whether there are any.
    pub fn counts_up_to(&self, most: u64) -> Result<BTreeMap<String, Counts>, Error> {
        self.look(|rows| {
            let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
            let mut living = Living::of(&*self.lives);
            for tally in rows.tallies(most)? {
                let waiting_for_others = match tally.status {
                    Status::Waiting => rows.count_awaiting(&tally.tube, most)?,
                    Status::Running | Status::Failed | Status::Cancelled | Status::Done => 0,
                };
                let of = counts.entry(tally.tube).or_default();
                match tally.status {
                    Status::Waiting => {
                        of.waiting += tally.count;
                        of.waiting_for_others = waiting_for_others;
                        of.due = tally.due.filter(|due| *due != NEVER);
                    }
                    Status::Failed => of.failed += tally.count,
                    Status::Running if living.answers(tally.owner)? => of.running += tally.count,
                    Status::Running => of.stalled += tally.count,
                    Status::Cancelled => of.cancelled += tally.count,
                    Status::Done => {}
                }
            }
            Ok(counts)
        })
    }
}
