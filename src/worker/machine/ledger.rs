//! What the ledger is told, one entry at a time, and what its answers lead to.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Effect, Haste, Now, Said, Unentered};
use super::phase::{Last, Look, Phase, Recording};
use super::state::{AGAIN, ALONE_AFTER, Effects, Entering, Machine, QUIET, gap};
use crate::crash::Point;
use crate::ledger::{Entered, Entry, Jobless};
use crate::link::Report;

/// Between two tries to record a batch beside a command, where the ledger is at work or locked.
const BATCH_AGAIN: Duration = Duration::from_millis(100);

/// An entry, how it is remembered while it is under way, and how it is made.
pub(super) type Letter = (fn(Arc<Entry>) -> Entering, Entry, Haste);

impl Machine {
    /// Tells the ledger what there is to be told, if it is not being told anything.
    pub(super) fn tell_the_ledger(&mut self, now: Now, out: &mut Effects) {
        if self.ledger.is_some() {
            return;
        }
        let told = match &mut self.phase {
            Phase::Claiming { claimant, lose } => {
                let entry = Entry {
                    claim: Some(claimant.job.clone()),
                    lose: lose.clone(),
                    ..Entry::default()
                };
                Some((Entering::Claim as fn(_) -> _, entry, Haste::Patient))
            }
            Phase::TakingOver { dead, .. } => {
                let entry = Entry {
                    take_over: Some(dead.clone()),
                    ..Entry::default()
                };
                Some((Entering::Claim as fn(_) -> _, entry, Haste::Patient))
            }
            Phase::Looking(_) => self.together(),
            Phase::Sifting(sifting) => sifting.entry(),
            Phase::Recording(_) => self.entry_of_outcomes(now),
            Phase::Running(_)
            | Phase::Held { .. }
            | Phase::Leftovers { .. }
            | Phase::CleaningUp(_) => self.entry_beside(now),
            Phase::Idle => return self.tell_while_idle(now, out),
            Phase::Identifying { .. }
            | Phase::Counting(_)
            | Phase::Clearing { .. }
            | Phase::CleaningUpLost { .. }
            | Phase::Beginning(_)
            | Phase::Journaling(_)
            | Phase::Disposing { .. }
            | Phase::Gone => None,
        };
        if let Some((kind, entry, haste)) = told {
            self.enter(kind, entry, haste, out);
        }
    }

    /// What is known goes with whatever is entered.
    fn enter(
        &mut self,
        kind: fn(Arc<Entry>) -> Entering,
        mut entry: Entry,
        haste: Haste,
        out: &mut Effects,
    ) {
        entry.deleted = std::mem::take(&mut self.notes.deleted);
        entry.kicks = std::mem::take(&mut self.notes.kicks);
        entry.again = std::mem::take(&mut self.notes.again);
        entry.told = std::mem::take(&mut self.notes.told);
        entry.progress = self.notes.progress.take();
        let entry = Arc::new(entry);
        self.ledger = Some(kind(Arc::clone(&entry)));
        out.push(Effect::Enter { entry, haste });
    }

    fn haste(&self) -> Haste {
        match self.rules.ledger_is_local {
            true => Haste::AtOnce,
            false => Haste::Patient,
        }
    }

    /// The outcome, and the claims of the next jobs.
    fn together(&mut self) -> Option<Letter> {
        let haste = self.haste();
        let Phase::Looking(looking) = &self.phase else {
            return None;
        };
        if looking.stage != Look::Enter {
            return None;
        }
        let mut jobs = looking.found.iter().map(|(_, job)| job.clone());
        let mut entry = Entry {
            claim: jobs.next(),
            prefetch: jobs.collect(),
            ..Entry::default()
        };
        self.batch
            .record(Some(&looking.finished.settlement), &mut entry);
        self.configured_since = false;
        Some((Entering::Together, entry, haste))
    }

    fn entry_of_outcomes(&mut self, now: Now) -> Option<Letter> {
        let Phase::Recording(recording) = &self.phase else {
            return None;
        };
        let (settlement, unstarted) = match &recording.last {
            Last::Ended(finished) => (Some(Arc::clone(&finished.settlement)), None),
            Last::Unstarted { facts, .. } => (None, Some(facts.id)),
            Last::Nothing => (None, None),
        };
        let not_before = recording.not_before;
        if !self.is_due(not_before, now) {
            return None;
        }
        let mut entry = Entry::default();
        self.batch.record(settlement.as_ref(), &mut entry);
        entry.unclaim.extend(unstarted);
        Some((Entering::Record, entry, Haste::Patient))
    }

    /// Beside a command: what there is of a batch, or what cannot wait for the command's end.
    fn entry_beside(&mut self, now: Now) -> Option<Letter> {
        let notes = &self.notes;
        let has_to_say = !notes.again.is_empty() || notes.told || notes.progress.is_some();
        if has_to_say && self.is_due(self.note_not_before, now) {
            return Some((Entering::Note, Entry::default(), Haste::Patient));
        }
        if self.batch.is_recorded() {
            return None;
        }
        let alone_at = self.busy_since.saturating_add(ALONE_AFTER);
        if !self.is_due(alone_at.max(self.batch_not_before), now) {
            return None;
        }
        let mut entry = Entry::default();
        self.batch.record(None, &mut entry);
        Some((Entering::Batch, entry, self.haste()))
    }

    fn tell_while_idle(&mut self, now: Now, out: &mut Effects) {
        if let Some(at) = self.rest.prove_at
            && !self.is_leaving()
        {
            if self.is_due(at, now) {
                self.ledger = Some(Entering::Proof);
                out.push(Effect::Prove);
            }
            return;
        }
        let is_pressing =
            !self.notes.again.is_empty() || (self.is_leaving() && !self.notes.kicks.is_empty());
        let can_wait = !self.notes.deleted.is_empty() || !self.notes.kicks.is_empty();
        let quiet_at = self.rest.since.saturating_add(QUIET);
        if is_pressing || (can_wait && !self.is_leaving() && self.is_due(quiet_at, now)) {
            self.enter(Entering::Note, Entry::default(), Haste::Patient, out);
        }
    }

    /// Takes in the ledger's answer. `None` where nothing was asked.
    pub(super) fn entered(
        &mut self,
        entered: Result<Box<Entered>, Unentered>,
        now: Now,
        out: &mut Effects,
    ) -> Option<()> {
        let entering = self.ledger.take()?;
        let entered = entered.map(|mut entered| {
            for (task, times) in std::mem::take(&mut entered.often) {
                out.push(Effect::Say(Said::OftenInterrupted { task, times }));
            }
            self.notes.puts.append(&mut entered.puts);
            if entered.unheard {
                self.notes.again.push(Jobless::Children);
            }
            self.notes_in_trouble = false;
            *entered
        });
        if let (
            Entering::Claim(entry)
            | Entering::Together(entry)
            | Entering::Record(entry)
            | Entering::Batch(entry)
            | Entering::Note(entry),
            Err(_),
        ) = (&entering, &entered)
        {
            self.notes.take_back(entry);
        }
        match entering {
            Entering::Claim(_) => self.claim_entered(entered, now, out),
            Entering::Together(_) => match (self.phase.take(), entered) {
                (Phase::Looking(looking), Ok(entered)) => {
                    self.recorded_together(looking, entered, now, out)
                }
                (phase, _) => {
                    // One after the other, then, and however long it takes.
                    self.phase = phase;
                    self.stop_looking(now);
                }
            },
            Entering::Record(_) => self.record_entered(entered, now, out),
            Entering::Batch(_) => self.batch_entered(entered, now, out),
            Entering::Note(entry) => self.note_entered(&entry, entered, now, out),
            // To the proof there is another answer.
            Entering::Proof => {
                self.ledger = Some(Entering::Proof);
                return None;
            }
            Entering::Forgotten => {}
        }
        Some(())
    }

    fn claim_entered(&mut self, entered: Result<Entered, Unentered>, now: Now, out: &mut Effects) {
        let (claimant, dead) = match self.phase.take() {
            Phase::Sifting(sifting) => return self.sifted(sifting, entered, now),
            Phase::Claiming { claimant, .. } => (claimant, None),
            Phase::TakingOver { claimant, dead } => (claimant, Some(dead)),
            other => {
                self.phase = other;
                return;
            }
        };
        match (entered, dead) {
            (Ok(Entered { taken, cleanup, .. }), Some(dead)) => {
                self.took_over(claimant, dead, (taken, cleanup), out);
            }
            (
                Ok(Entered {
                    claim: Some(claim), ..
                }),
                None,
            ) => self.follow(claimant, claim, now, out),
            (Ok(Entered { claim: None, .. }), None) => {
                let error = "the ledger did not say what the claim came to".to_owned();
                self.could_not_claim(claimant, error, false, now, out);
            }
            (Err(Unentered::OfOneRow(error)), _) => {
                self.could_not_claim(claimant, error, true, now, out);
            }
            (Err(Unentered::Trouble(error)), _) => {
                self.could_not_claim(claimant, error, false, now, out);
            }
            (Err(Unentered::Busy), _) => {
                let error = "it is locked".to_owned();
                self.could_not_claim(claimant, error, false, now, out);
            }
        }
    }

    fn record_entered(&mut self, entered: Result<Entered, Unentered>, now: Now, out: &mut Effects) {
        let recording = match self.phase.take() {
            Phase::Recording(recording) => recording,
            other => {
                self.phase = other;
                return;
            }
        };
        match entered {
            Ok(entered) => self.recorded(
                recording.last,
                (&entered.ours, &entered.called_off),
                recording.in_trouble,
                now,
                out,
            ),
            Err(why) => {
                let attempt = recording.last.attempt();
                // Once, and not for every try.
                if !recording.in_trouble {
                    let error = why.to_string();
                    let task = attempt.map_or(0, |attempt| attempt.task.0);
                    let reason = format!("cannot record an outcome: {error}");
                    out.push(Effect::Say(Said::CouldNotRecord { attempt, error }));
                    self.report(Report::Troubled { task, reason }, out);
                }
                self.phase = Phase::Recording(Recording {
                    in_trouble: true,
                    not_before: now.at.saturating_add(AGAIN),
                    ..recording
                });
            }
        }
    }

    fn batch_entered(&mut self, entered: Result<Entered, Unentered>, now: Now, out: &mut Effects) {
        match entered {
            Ok(entered) => self.batch_recorded(&entered.ours, out),
            Err(why) => {
                self.batch_not_before = now.at.saturating_add(BATCH_AGAIN);
                let is_trouble =
                    why != Unentered::Busy && !std::mem::replace(&mut self.batch_in_trouble, true);
                if is_trouble {
                    out.push(Effect::Say(Said::CouldNotRecordBatch(why.to_string())));
                }
            }
        }
    }

    fn note_entered(
        &mut self,
        entry: &Entry,
        entered: Result<Entered, Unentered>,
        now: Now,
        out: &mut Effects,
    ) {
        let Err(why) = entered else {
            if entry.progress.is_some() {
                out.push(gap(Point::ProgressKept));
            }
            return;
        };
        let told = entry.told;
        let error = why.to_string();
        // Once, and not for every try.
        if !std::mem::replace(&mut self.notes_in_trouble, true) {
            let error = error.clone();
            out.push(Effect::Say(Said::CouldNotNote { told, error }));
        }
        match (matches!(self.phase, Phase::Idle), self.is_leaving()) {
            // It goes without. Reconciliation puts what is lost, and cleanup asks for what is deleted.
            (true, true) => {
                self.notes.again.clear();
                self.notes.kicks.clear();
            }
            (true, false) => self.trouble(error, now, out),
            (false, _) => self.note_not_before = now.at.saturating_add(AGAIN),
        }
    }

    /// Whether the ledger takes entries. `None` where that was not to be proved.
    pub(super) fn proved(&mut self, well: bool, now: Now, out: &mut Effects) -> Option<()> {
        match self.ledger.take()? {
            Entering::Proof => {}
            Entering::Forgotten => return Some(()),
            other => {
                self.ledger = Some(other);
                return None;
            }
        }
        match well {
            true => {
                self.rest.prove_at = None;
                self.notes_in_trouble = false;
                // Else that is seen when a claim can be made.
                if !self.rest.claims_fail {
                    out.push(Effect::Say(Said::LedgerBack));
                }
                self.tell_now(out);
            }
            // What is wrong was said when it began.
            false => self.rest.prove_at = Some(now.at.saturating_add(AGAIN)),
        }
        Some(())
    }
}
