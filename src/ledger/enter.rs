//! One transaction for all that a worker says and asks.

use std::sync::Arc;

use super::announce::next_puts;
use super::claim::Writing;
use super::entry::{AfterLoss, Claim, Entered, Entry};
use super::worker::{Me, note_deleted};
use super::{Error, Failed, Ledger, transition};
use crate::crash::{self, Point};
use crate::task::Millis;
use crate::task::command::Commands;

impl Ledger {
    /// Records what a worker has to say, and does what it asks, in one transaction: all of it, or nothing if that
    /// fails.
    pub fn enter(
        &mut self,
        entry: &Entry,
        commands: &Arc<Commands>,
        me: &Me,
        now: Millis,
    ) -> Result<Entered, Error> {
        let (lives, journals) = (Arc::clone(&self.lives), Arc::clone(&self.journals));
        let jobs = self.jobs();
        let mut entered = self.change(|rows| {
            let writing = Writing {
                rows,
                lives: &*lives,
                journals: &*journals,
                commands,
                me,
                now,
                lost: entry.lose.as_ref().map(|dead| dead.id),
            };
            let ours = writing.settle(entry)?;
            note_deleted(rows, &entry.deleted)?;
            let puts = next_puts(rows, &entry.again, now, jobs)?;
            let taken = match &entry.take_over {
                Some(dead) => writing.take_over(dead)?,
                None => false,
            };
            let lost = entry
                .lose
                .as_ref()
                .map(|dead| writing.lose_or_give_up(dead));
            let lost = lost.transpose()?;
            let claim = match (&entry.claim, &entry.lose, &lost) {
                // Not asked for its kicks: an old one must not pass for the wish to try again.
                (_, Some(dead), Some(AfterLoss::Failed { reason })) => Some(Claim::GivenUp {
                    task: dead.id.task,
                    reason: reason.clone(),
                    priority: dead.priority,
                }),
                (Some(job), _, _) => Some(writing.claim(job)?),
                (None, _, _) => None,
            };
            let begins = matches!(claim, Some(Claim::Begun(_)));
            let ahead = |job| match begins {
                true => writing.claim_ahead(job),
                false => Ok(None),
            };
            let prefetch = entry.prefetch.iter().map(ahead).collect::<Result<_, _>>()?;
            Ok(Entered {
                ours,
                puts,
                taken,
                lost,
                claim,
                prefetch,
            })
        })?;
        if jobs.is_some() && !entered.puts.is_empty() {
            entered.puts.clear();
            self.backend.ring();
        }
        if entry.take_over.is_some() {
            crash::here(Point::TakenOver);
        }
        if entry.lose.is_some() && entry.claim.is_none() {
            crash::here(Point::AttemptLost);
        }
        Ok(entered)
    }
}

impl Writing<'_> {
    /// Records what an entry says has happened. Answers for each attempt that has ended whether it was still this
    /// worker's.
    fn settle(&self, entry: &Entry) -> Result<Vec<bool>, Failed> {
        let mut ours = Vec::with_capacity(entry.settle.len());
        for settlement in &entry.settle {
            let ended = transition::end(self.rows, settlement, self.me.id, &self.me.name);
            ours.push(ended?);
        }
        if let Some((attempt, started)) = entry.begun {
            self.rows.note_begun(attempt, self.me.id, started)?;
        }
        for attempt in &entry.unclaim {
            transition::unclaim(self.rows, *attempt, self.me.id)?;
        }
        for (task, kicks) in &entry.kicks {
            self.rows.raise_kicks(*task, *kicks)?;
        }
        Ok(ours)
    }
}
