//! Sifting: where a limit holds the task of a job, those behind it may be held as well, for a key that is flooded fills
//! the tube. They are reserved together, and one entry holds all of them up to the first that is not held.
//!
//! ```text
//! held ──▶ delete that job, reserve 2 ──▶ held, both ──▶ delete these, reserve 4 ──▶ … ──▶ one that is not held:
//!                                                            it is claimed, and those behind it have their turns
//! ```
//!
//! What is put with the configuration at hand is held by its put, and is not met here. What is left is what others have
//! put, what was put before there was the limit, and what has become due.

use super::event::{Ask, Haste, Now, ToDelete, Unentered};
use super::identify::{foreign_jobs, read, tell_apart};
use super::ledger::Letter;
use super::mode::Mode;
use super::pace::Sift;
use super::phase::{Phase, Sifting};
use super::state::{Asked, Effects, Entering, Machine, gap};
use crate::broker::JobId;
use crate::crash::Point;
use crate::ledger::{Entered, Entry};

impl Machine {
    /// How many jobs behind one that is held may be reserved now.
    pub(super) fn may_sift(&mut self, now: Now) -> usize {
        let most = self.sift.most();
        let may = most > 0 && self.mode == Mode::Working && self.next.is_empty();
        match may && self.takes_jobs(now) {
            true => most.min(self.may_ask_for(now)),
            false => 0,
        }
    }

    /// Whether those that are there are to be looked at together.
    pub(super) fn sifts(&self) -> bool {
        self.sift != Sift::default() && self.next.len() > 1
    }

    /// Looks at them. Of foreign ones the broker has to be asked.
    pub(super) fn begin_to_sift(&mut self, now: Now, out: &mut Effects) {
        self.busy_since = now.at;
        let (tube, store, commands) = (&self.rules.tube, self.rules.store, &self.commands);
        let candidates = self.next.drain(..).map(|reservation| {
            out.push(gap(Point::NextReserved));
            let read = read(&reservation, tube, store, commands);
            (reservation, read)
        });
        let sifting = Sifting {
            candidates: candidates.collect(),
            found: Vec::new(),
        };
        let has_foreign = foreign_jobs(&sifting.candidates).next().is_some();
        self.phase = Phase::Sifting(sifting);
        if !has_foreign {
            self.told_apart(Vec::new(), now);
        }
    }

    /// The broker has said what it knows of the foreign ones.
    pub(super) fn told_apart(&mut self, known: Vec<Option<super::Known>>, now: Now) {
        let Phase::Sifting(sifting) = &mut self.phase else {
            return;
        };
        let candidates = std::mem::take(&mut sifting.candidates);
        let (found, later) = tell_apart(candidates, known, &self.rules.tube, &self.commands, now);
        let is_any = !found.is_empty();
        sifting.found = found;
        self.have_again(later);
        if !is_any {
            self.sift = Sift::default();
            self.rest(now);
        }
    }

    /// The ledger has held some of them. The others have their turns, one after the other.
    pub(super) fn sifted(
        &mut self,
        sifting: Sifting,
        entered: Result<Entered, Unentered>,
        now: Now,
    ) {
        // Where nothing could be entered, the next claim finds out why.
        let held = entered.map_or_else(|_| Vec::new(), |entered| entered.sifted);
        let is_all = held.len() == sifting.found.len();
        let mut found = sifting.found.into_iter();
        for (task, (reservation, job)) in held.into_iter().zip(found.by_ref()) {
            let task = (!job.is_pointer()).then_some(task);
            self.to_delete.push(ToDelete { reservation, task });
        }
        self.have_again(found.map(|(reservation, _)| reservation));
        self.sift = match is_all {
            true => self.sift.more(),
            false => Sift::default(),
        };
        self.rest(now);
    }
}

impl Sifting {
    /// What the broker is asked of them.
    pub(super) fn to_ask(&self) -> Option<(Asked, Ask)> {
        let jobs: Vec<JobId> = foreign_jobs(&self.candidates).collect();
        (!jobs.is_empty()).then(|| (Asked::KnowAll(jobs.clone()), Ask::KnowAll(jobs)))
    }

    /// What the ledger is told of them.
    pub(super) fn entry(&self) -> Option<Letter> {
        let sift: Vec<_> = self.found.iter().map(|(_, job)| job.clone()).collect();
        let entry = Entry {
            sift,
            ..Entry::default()
        };
        (!entry.sift.is_empty()).then_some((Entering::Claim as fn(_) -> _, entry, Haste::Patient))
    }
}
