//! Looking for the next jobs when a command has ended, so that their tasks are claimed in the transaction that records
//! the command's outcome: where there is a next job, a job costs one transaction, and a part of a round trip to the
//! broker.
//!
//! ```text
//! command A ends ──▶ delete Y and Z, reserve B and C ──▶ settle A, claim B ──▶ command B ends ──▶ settle B, claim C …
//! ```
//!
//! The look takes 20 ms at the most. Then what has happened is recorded without the next jobs, whose turn comes later.

use std::time::Duration;

use super::batch::Journal;
use super::event::{Effect, Known, Now};
use super::identify::{foreign_jobs, read, tell_apart};
use super::mode::Mode;
use super::phase::{Finished, Last, Look, Looking, Phase};
use super::state::{Effects, Entering, Machine, gap};
use crate::broker::{JobId, Reservation};
use crate::crash::Point;
use crate::task::retry::Next;

/// How long the broker may take to say what comes next.
const PATIENCE: Duration = Duration::from_millis(20);

impl Machine {
    /// Looks for the next jobs.
    pub(super) fn look(&mut self, finished: Finished, now: Now, out: &mut Effects) {
        out.push(gap(Point::OutcomeKnown));
        let is_failed = matches!(finished.settlement.next, Next::Failed { .. });
        // A kick that the job has had already must not be taken for one that asks for another run.
        let stage = match is_failed && finished.settlement.kicks.is_none() {
            true => Look::Kicks,
            false => Look::Exchange,
        };
        let asked = (self.mode == Mode::Working && !self.batch.has_turns()).then(|| {
            let soon = self.prefetch.where_each_takes(finished.long);
            soon.min(self.may_ask_for(now))
        });
        let is_for_several = asked.is_some_and(|asked| asked > 1) && self.pace.fits_a_batch();
        if is_for_several && self.batch.journal() == Journal::Unmade {
            out.push(Effect::MakeJournal);
        }
        self.phase = Phase::Looking(Looking {
            finished,
            until: now.at.saturating_add(PATIENCE),
            asked,
            stage,
            found: Vec::new(),
            candidates: Vec::new(),
        });
    }

    /// How many jobs may be asked for before the one that has just ended is recorded: none where the tube is to be put
    /// right first.
    pub(super) fn may_ask_for(&self, now: Now) -> usize {
        match self.rest.reconcile_at {
            Some(at) if at <= now.at => 0,
            Some(_) | None => self.may_have(),
        }
    }

    /// Goes on looking, as far as no answer has to be waited for.
    pub(super) fn look_on(&mut self, now: Now, out: &mut Effects) -> bool {
        // What is under way records the outcome.
        if matches!(self.ledger, Some(Entering::Together(_))) {
            return false;
        }
        let Phase::Looking(looking) = &mut self.phase else {
            return false;
        };
        let until = looking.until;
        if until <= now.at {
            self.stop_looking(now);
            return true;
        }
        let is_to_ask = looking.asked.is_some_and(|asked| asked > 0) && self.next.is_empty();
        let moved = match (looking.stage, looking.asked) {
            (Look::Kicks, _) => false,
            (Look::Exchange, _) if is_to_ask => false,
            (Look::Exchange, None) => {
                looking.stage = Look::Enter;
                true
            }
            (Look::Exchange, Some(asked)) => {
                self.examine(asked, out);
                true
            }
            (Look::Identify, _) => false,
            (Look::Enter, _) if looking.found.is_empty() => {
                self.stop_looking(now);
                true
            }
            (Look::Enter, _) => false,
        };
        if !moved {
            self.wake_at(until);
        }
        moved
    }

    /// Looks at the next jobs: at one, or at as many as fit a batch. Of foreign ones the broker has to be asked.
    pub(super) fn examine(&mut self, asked: usize, out: &mut Effects) {
        let most = match self.batch.journal() {
            Journal::Ready if self.pace.fits_a_batch() => asked.max(1),
            Journal::Ready | Journal::Unmade | Journal::Lost => 1,
        };
        let Phase::Looking(looking) = &mut self.phase else {
            return;
        };
        let count = most.min(self.next.len());
        let next = self.next.drain(..count);
        let (tube, store, commands) = (&self.rules.tube, self.rules.store, &self.commands);
        looking.candidates = next
            .map(|reservation| {
                out.push(gap(Point::NextReserved));
                let read = read(&reservation, tube, store, commands);
                (reservation, read)
            })
            .collect();
        looking.stage = Look::Identify;
        if looking.foreign_jobs().next().is_none() {
            self.examined(Some(Vec::new()), Now::default());
        }
    }

    /// The broker has said what it knows of these jobs, which may not be looked at any more.
    pub(super) fn knows_all(
        &mut self,
        jobs: &[JobId],
        known: Option<Vec<Option<Known>>>,
        now: Now,
    ) {
        match &self.phase {
            Phase::Looking(looking)
                if looking.stage == Look::Identify
                    && looking.foreign_jobs().eq(jobs.iter().copied()) =>
            {
                self.examined(known, now);
            }
            Phase::Sifting(sifting)
                if foreign_jobs(&sifting.candidates).eq(jobs.iter().copied()) =>
            {
                self.told_apart(known.unwrap_or_default(), now);
            }
            _ => {}
        }
    }

    /// The broker has said what it knows of the foreign jobs that are looked at, in order. From the first one on that
    /// is not to be claimed, or about which nothing could be learnt, jobs are looked at again when their turns come.
    pub(super) fn examined(&mut self, known: Option<Vec<Option<Known>>>, now: Now) {
        let Phase::Looking(looking) = &mut self.phase else {
            return;
        };
        looking.stage = Look::Enter;
        let candidates = std::mem::take(&mut looking.candidates);
        let known = known.unwrap_or_default();
        let (found, later) = tell_apart(candidates, known, &self.rules.tube, &self.commands, now);
        looking.found = found;
        self.have_again(later);
    }

    /// Records without the next jobs: their turn comes later.
    pub(super) fn stop_looking(&mut self, now: Now) {
        match self.phase.take() {
            Phase::Looking(looking) => {
                let found = looking
                    .found
                    .into_iter()
                    .map(|(reservation, _)| reservation);
                let candidates = looking
                    .candidates
                    .into_iter()
                    .map(|(reservation, _)| reservation);
                self.have_again(found.chain(candidates));
                self.record(Last::Ended(looking.finished), now);
            }
            other => self.phase = other,
        }
    }

    /// Jobs whose turn is before those that are there.
    pub(super) fn have_again(&mut self, jobs: impl IntoIterator<Item = Reservation>) {
        let after = std::mem::take(&mut self.next);
        self.next.extend(jobs);
        self.next.extend(after);
    }
}

impl Looking {
    /// The foreign jobs that are looked at, in order.
    pub fn foreign_jobs(&self) -> impl Iterator<Item = JobId> {
        foreign_jobs(&self.candidates)
    }
}
