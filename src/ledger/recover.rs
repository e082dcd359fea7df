//! What reconciliation asks of the ledger: whose attempts are dead, and which tasks that wait may have no job.

use super::announce::{LATER, PUT_TIME};
use super::entry::DeadAttempt;
use super::error::Error;
use super::loss::remains;
use super::read::Living;
use super::rows::Running;
pub use super::rows::{Fingerprint, UnverifiedJob};
use super::{Ledger, Millis};
use crate::task::id::{PutId, TaskId, WorkerId};
use crate::tube::TubeName;

impl Ledger {
    /// The tubes in which something waits or runs.
    pub fn tubes_in_use(&self) -> Result<Vec<TubeName>, Error> {
        let names = self.look(|rows| rows.tubes_in_use())?;
        // A text that is no tube's name is none that a broker could have.
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Attempts in any tube whose workers died without settling them.
    pub fn abandoned(&self) -> Result<Vec<DeadAttempt>, Error> {
        let dead = self.running_dead(None, WorkerId::NOBODY)?;
        if dead.is_empty() {
            return Ok(dead);
        }
        // A worker may have settled and gone between the look at the row and the look at its lock. Of one that
        // was seen dead, a row that still says `running` afterwards says it for good.
        self.look(|rows| {
            let mut still = Vec::with_capacity(dead.len());
            for one in &dead {
                if rows.is_running(one.id, one.owner)? {
                    still.push(one.clone());
                }
            }
            Ok(still)
        })
    }

    /// Attempts in a tube for which nobody answers: their workers are dead, or took them over as `asks` and
    /// could not end what was left.
    pub fn dead_attempts(
        &self,
        tube: &TubeName,
        asks: WorkerId,
    ) -> Result<Vec<DeadAttempt>, Error> {
        self.running_dead(Some(tube), asks)
    }

    fn running_dead(
        &self,
        tube: Option<&TubeName>,
        asks: WorkerId,
    ) -> Result<Vec<DeadAttempt>, Error> {
        self.look(|rows| {
            let mut living = Living::of(&*self.lives);
            let mut dead = Vec::new();
            for running in rows.running(tube)? {
                let Running {
                    id,
                    uuid,
                    owner,
                    worker,
                    priority,
                    ahead,
                } = running;
                if owner == asks || !living.answers(Some(owner))? {
                    dead.push(DeadAttempt {
                        id,
                        uuid,
                        owner: Some(owner),
                        worker,
                        priority,
                        remains: remains(&*self.journals, worker, id, ahead),
                    });
                }
            }
            Ok(dead)
        })
    }

    /// Tasks of a tube that wait and of whose job nothing is known: the broker could not be reached, or whoever
    /// put it died in between. The newest put of each, from a task on. Those that somebody is putting are
    /// left to them.
    pub fn missing(
        &self,
        tube: &TubeName,
        after: TaskId,
        limit: u32,
        now: Millis,
    ) -> Result<Vec<PutId>, Error> {
        // Until a time that is too far away: the clock was set back.
        let latest = now.saturating_add(PUT_TIME);
        self.look(|rows| rows.missing(tube, after, now, latest, limit))
    }

    /// Tasks of a tube that have no job yet, since they were due much later, and whose time is near, behind one of
    /// them in the order of their due times. With each its due time.
    pub fn near(
        &self,
        tube: &TubeName,
        after: (Millis, TaskId),
        limit: u32,
        now: Millis,
    ) -> Result<Vec<(Millis, PutId)>, Error> {
        let until = now.saturating_add(LATER);
        self.look(|rows| rows.near(tube, after, until, limit))
    }

    /// Tasks of a tube that wait, from one on, and whose job is known; of those of `instance` only if none is
    /// named.
    pub fn unverified(
        &self,
        tube: &TubeName,
        instance: Option<&str>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<UnverifiedJob>, Error> {
        self.look(|rows| rows.unverified(tube, instance, after, limit))
    }

    /// The same of certain tasks.
    pub fn unverified_of(&self, tasks: &[TaskId]) -> Result<Vec<UnverifiedJob>, Error> {
        self.look(|rows| {
            let mut found = Vec::new();
            for task in tasks {
                found.extend(rows.unverified_of(*task)?);
            }
            Ok(found)
        })
    }

    /// Whether a task of a tube waits, announced or not, that is not due much later.
    pub fn anything_waits(&self, tube: &TubeName) -> Result<bool, Error> {
        self.look(|rows| rows.waits(tube))
    }

    /// Whether a task of a tube is due and has been announced.
    pub fn anything_due(&self, tube: &TubeName, now: Millis) -> Result<bool, Error> {
        self.look(|rows| rows.is_due(tube, now))
    }

    /// Notes that jobs were found in an instance of the broker that calls itself otherwise than before: the puts
    /// that they came from.
    pub fn note_found(&mut self, instance: &str, found: &[PutId]) -> Result<(), Error> {
        self.change(|rows| {
            found
                .iter()
                .try_for_each(|put| rows.note_found(*put, instance))
        })
    }
}
