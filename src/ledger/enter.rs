//! One transaction for all that a worker says and asks.

use std::cell::RefCell;
use std::sync::Arc;

use super::after::{self, Heard};
use super::announce::{Again, Jobs, next_put, next_puts};
use super::claim::{Writing, is_astray};
use super::entry::{AfterLoss, Claim, Entered, Entry, JobRef, Jobless};
use super::minutes::Sums;
use super::rows::part;
use super::transition::{self, End};
use super::worker::{Me, note_deleted};
use super::{Error, Failed, Ledger};
use crate::crash::{self, Point};
use crate::task::Millis;
use crate::task::command::Commands;
use crate::task::id::TaskId;
use crate::task::state::Status;

/// So often in a row a task is interrupted before that is worth a word: its command takes longer than workers are
/// given.
const OFTEN: u32 = 3;

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
        let spools = Arc::clone(&self.spools);
        let jobs = self.jobs();
        self.tell_by(commands.telling());
        let mut entered = self.change(|rows| {
            let writing = Writing {
                rows,
                lives: &*lives,
                journals: &*journals,
                spools: &*spools,
                commands,
                me,
                now,
                lost: entry.lose.as_ref().map(|dead| dead.id),
                sums: Sums::default(),
                jobs,
                let_go: RefCell::default(),
            };
            let (ours, called_off) = writing.settle(entry)?;
            if let Some((attempt, progress)) = &entry.progress {
                transition::progress(rows, *attempt, me.id, progress, now)?;
            }
            note_deleted(rows, &entry.deleted)?;
            if entry.told {
                rows.set_told(me.id, now)?;
            }
            let mut puts = writing.put_again(&entry.again, jobs)?;
            let taken = match &entry.take_over {
                Some(dead) => writing.take_over(dead)?,
                None => false,
            };
            let cleanup = match &entry.take_over {
                Some(dead) if taken => writing.cleanup_of(dead)?,
                Some(_) | None => None,
            };
            let lost = entry
                .lose
                .as_ref()
                .map(|dead| writing.lose_or_give_up(dead));
            let lost = lost.transpose()?;
            let often = writing.often_interrupted(entry, &ours, lost.as_ref())?;
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
            let mut sifted = Vec::with_capacity(entry.sift.len());
            for job in &entry.sift {
                match writing.sift(job)? {
                    Some(task) => sifted.push(task),
                    None => break,
                }
            }
            let ended = writing.sums.take_ended();
            let goes_on = entry.again.iter().any(Jobless::is_of_children);
            let heard = match goes_on || !ended.is_empty() {
                true => after::tell(rows, ended, now, jobs)?,
                false => Heard::default(),
            };
            puts.extend(heard.puts);
            writing.sums.write(rows, now)?;
            puts.append(&mut writing.let_go.borrow_mut());
            Ok(Entered {
                unheard: heard.more,
                ours,
                called_off,
                often,
                puts,
                taken,
                cleanup,
                lost,
                claim,
                prefetch,
                sifted,
            })
        })?;
        if jobs.is_some() && !entered.puts.is_empty() {
            entered.puts.clear();
            self.backend.ring();
        }
        entered.puts.append(&mut self.take_fired());
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
    /// Those of the entry's tasks that are interrupted again and again: nobody counts that against them.
    fn often_interrupted(
        &self,
        entry: &Entry,
        ours: &[bool],
        lost: Option<&AfterLoss>,
    ) -> Result<Vec<(TaskId, u32)>, Failed> {
        let settled = entry.settle.iter().zip(ours);
        let settled = settled
            .filter(|(settlement, ours)| **ours && settlement.outcome.is_interrupted())
            .map(|(settlement, _)| settlement.id.task);
        let lost = match (&entry.lose, lost) {
            (Some(dead), Some(AfterLoss::Waits)) => Some(dead.id.task),
            (_, _) => None,
        };
        let mut often = Vec::new();
        for task in settled.chain(lost) {
            let times = self.rows.interrupted_in_a_row(task)?;
            if times >= OFTEN {
                often.push((task, times));
            }
        }
        Ok(often)
    }

    /// Records what an entry says has happened. Answers for each attempt that has ended whether it was still this
    /// worker's; and which tasks were to be cancelled, and are.
    fn settle(&self, entry: &Entry) -> Result<(Vec<bool>, Vec<TaskId>), Failed> {
        let mut ours = Vec::with_capacity(entry.settle.len());
        let mut called_off = Vec::new();
        for settlement in &entry.settle {
            let ended =
                transition::end(self.rows, &self.sums, settlement, self.me.id, &self.me.name)?;
            ours.push(ended.is_ours());
            if ended.is_ours() && settlement.ran.as_ref().is_some_and(|ran| ran.is_limited) {
                self.free_places(settlement.id.task, true)?;
            }
            if ended == End::CalledOff {
                called_off.push(settlement.id.task);
            }
        }
        if let Some((attempt, started)) = entry.begun {
            self.rows.note_begun(attempt, self.me.id, started)?;
        }
        for attempt in &entry.unclaim {
            let is_ours =
                transition::unclaim(self.rows, &self.sums, *attempt, self.me.id, self.now)?;
            if is_ours && !self.commands.limits().is_empty() {
                self.free_places(attempt.task, false)?;
            }
        }
        for (task, kicks) in &entry.kicks {
            self.rows.raise_kicks(*task, Status::Failed, *kicks)?;
        }
        Ok((ours, called_off))
    }

    /// Begins another put of each task that waits and whose job is lost.
    fn put_again(&self, jobless: &[Jobless], jobs: Option<Jobs>) -> Result<Vec<Again>, Failed> {
        let mut puts = Vec::with_capacity(jobless.len());
        for one in jobless {
            match one {
                Jobless::Put(put) => puts.extend(next_puts(self.rows, &[*put], self.now, jobs)?),
                Jobless::Job(job) => puts.extend(self.put_for(job, jobs)?),
                // When all else of the entry is written.
                Jobless::Children => {}
            }
        }
        Ok(puts)
    }

    /// The same for the task of a job. A row that makes no sense keeps no other task from being put.
    fn put_for(&self, job: &JobRef, jobs: Option<Jobs>) -> Result<Option<Again>, Failed> {
        let put = part(self.rows, || match self.find_or_add(job)? {
            Some(task) if is_astray(&task, job) => Ok(None),
            Some(task) => next_put(self.rows, task.id, None, self.now, jobs),
            None => Ok(None),
        });
        match put {
            Ok(put) => Ok(put),
            Err(failed) => {
                let wrong = failed.of_one_row()?;
                tracing::error!(job = job.id, wrong, "could not put a task's job again");
                Ok(None)
            }
        }
    }
}
