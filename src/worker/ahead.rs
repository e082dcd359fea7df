//! The next job, reserved before the last one is settled: where there is one, a job costs one transaction, and a part of a
//! round trip to the broker.
//!
//! ```text
//! … command A ends ──▶ delete Y and Z, reserve B and C ──▶ settle A, claim B ──▶ command B ends ──▶ settle B, claim C ──▶ …
//! ```
//!
//! A job that is over is deleted together with the next reserve, or when the next command has run for a moment. Then jobs
//! whose turn has not come are given back, too: whoever is free gets them sooner.

use std::collections::VecDeque;
use std::iter::repeat_with;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::arrive::{Arrived, arrive};
use super::control::Mode;
use super::fate::note;
use super::hold::Hold;
use super::record::record;
use super::round::{Round, Turn};
use super::serve::Server;
use crate::broker::{self, Broker, JobId, Reservation};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::Ledger;
use crate::ledger::{Claim, Entered, Entry, JobRef, Settlement};
use crate::task::command::Commands;
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// How long the broker may take to say what comes next. Then what has happened is recorded without it.
const PATIENCE: Duration = Duration::from_millis(20);

/// So long after the first, further jobs are looked at.
const MANY_WITHIN: Duration = Duration::from_millis(5);

/// How far a worker looks ahead: to jobs that it should begin within this time, as long as the last one took.
const FAR: Duration = Duration::from_millis(10);

/// The most jobs that are asked for at once.
const MOST: usize = 8;

/// How many jobs to ask for at once: in a tube that has given as many as were asked for, more the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion(usize);

impl Default for Portion {
    fn default() -> Portion {
        Portion(1)
    }
}

impl Portion {
    /// Where the last command took that long.
    fn where_each_takes(self, long: Duration) -> usize {
        let soon = FAR.as_micros() / long.as_micros().max(1);
        usize::try_from(soon).unwrap_or(MOST).clamp(1, self.0)
    }

    /// When so many had been asked for, and so many came.
    fn after(self, asked: usize, came: usize) -> Portion {
        match came < asked {
            true => Portion::default(),
            false => Portion(asked.saturating_mul(2).clamp(1, MOST)),
        }
    }
}

/// What a worker has of its broker beside the job that it serves.
#[derive(Debug, Default)]
pub struct Beside {
    /// Jobs whose ends are committed, still to be deleted.
    pub over: Vec<Over>,
    /// Jobs that were claimed together with the one that it serves.
    pub round: Round,
    /// Jobs whose turn has not come.
    pub next: VecDeque<Reservation>,
}

impl Beside {
    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.over.is_empty() && self.round.is_over() && self.next.is_empty()
    }

    /// The round was recorded, and of each that had ended whether it was ours; or it is left to others.
    pub fn recorded(&mut self, ours: Option<&[bool]>) {
        let next = match ours {
            Some(ours) => {
                let (over, next) = self.round.recorded(ours);
                self.over.extend(over);
                next
            }
            None => self.round.abandon(),
        };
        self.have_again(next);
    }

    /// Jobs whose turn is before those that it has.
    fn have_again(&mut self, next: impl IntoIterator<Item = Reservation>) {
        let after = std::mem::take(&mut self.next);
        self.next.extend(next);
        self.next.extend(after);
    }
}

/// A job whose end is committed, still to be deleted.
#[derive(Debug)]
pub struct Over {
    /// Ours.
    pub reservation: Reservation,
    /// Its row, if it is the producer's own job, not a pointer that we put since.
    pub task: Option<TaskId>,
}

/// What became of a job that was over.
#[derive(Debug)]
pub struct Deleted {
    /// Its number.
    pub job: JobId,
    /// As in [`Over`].
    pub task: Option<TaskId>,
    /// What the broker said.
    pub answer: Result<(), broker::Error>,
}

/// Deletes jobs that are over and asks for up to `most` others. What became of the first is told in any case.
pub async fn exchange(
    broker: &mut dyn Broker,
    over: Vec<Over>,
    tubes: &[TubeName],
    most: usize,
) -> (Vec<Deleted>, Result<Vec<Reservation>, broker::Error>) {
    let known = |over: &Over| (over.reservation.id, over.task);
    let known: Vec<(JobId, Option<TaskId>)> = over.iter().map(known).collect();
    let over = over.into_iter().map(|over| over.reservation).collect();
    let mut answers = Vec::new();
    let reserved = broker.exchange(over, &mut answers, tubes, most).await;
    let deleted = known
        .into_iter()
        .zip(answers)
        .map(|((job, task), answer)| Deleted { job, task, answer });
    (deleted.collect(), reserved)
}

/// A job that was reserved before the one before it was settled.
#[derive(Debug)]
pub enum Ahead {
    /// Not claimed yet.
    Reserved(Reservation),
    /// Claimed in the transaction that settled the one before it.
    Claimed(Reservation, Box<(JobRef, Claim)>),
    /// Claimed ahead of its turn, which has come.
    Turn(Turn),
}

/// What looking ahead came to.
#[derive(Debug, Default)]
struct Seen {
    /// What became of the jobs that were over.
    deleted: Vec<Deleted>,
    /// The next jobs, and which tasks they speak of.
    next: Vec<(Reservation, JobRef)>,
}

impl Server<'_> {
    /// Records how an attempt ended whose command took that long, with the round that it belongs to, and claims the next
    /// jobs in the same transaction if there are any. True if it was ours to record.
    ///
    /// Where the two cannot be done together, the next jobs wait for their turn, and not for long: while this is recorded,
    /// they are held as while a command runs.
    pub(super) async fn record(
        &mut self,
        reservation: &Reservation,
        ttr: Option<u32>,
        settlement: Arc<Settlement>,
        long: Duration,
    ) -> (bool, Option<Ahead>) {
        crash::here(Point::OutcomeKnown);
        // Nobody else is to record it meanwhile.
        let mut round = std::mem::take(&mut self.beside.round);
        let may_look =
            self.control.mode() == Mode::Working && !self.control.has_fresh() && !round.has_turns();
        let asked = self.portion.where_each_takes(long).min(self.may_ask_for);
        let several =
            may_look && asked > 1 && round.is_possible(&**self.store.journals(), self.me.id);
        let most = if several { asked } else { 1 };
        let entry = Arc::new(round.entry(Some(&settlement)));
        let mut recording = pin!(record(
            self.store,
            self.control,
            self.me,
            self.commands,
            &entry
        ));
        let (mut is_late, mut recorded, mut seen) = (false, None, Seen::default());
        if may_look {
            let mut looking = pin!(look(
                self.broker,
                self.tube,
                self.beside,
                self.portion,
                (asked, most),
                self.store.id(),
                self.commands,
            ));
            seen = match timeout(PATIENCE, &mut looking).await {
                Ok(seen) => seen,
                Err(_) => {
                    is_late = true;
                    tokio::select! {
                        biased;
                        seen = &mut looking => seen,
                        ours = &mut recording => {
                            recorded = Some(ours);
                            looking.await
                        }
                    }
                }
            };
        }
        note(self.gone, seen.deleted);
        let mut claimed = None;
        let (next, jobs): (Vec<_>, Vec<_>) = seen.next.into_iter().unzip();
        if !is_late && let Some((first, ahead)) = jobs.split_first() {
            let (commands, me) = (self.commands, self.me);
            let entry = Entry {
                claim: Some(first.clone()),
                prefetch: ahead.to_vec(),
                ..Entry::clone(&entry)
            };
            let together = |db: &mut Ledger| db.enter(&entry, commands, me, now());
            if let Some(Ok(Entered {
                ours,
                claim: Some(claim),
                prefetch,
                ..
            })) = self.store.at_once(together)
            {
                claimed = Some((first.clone(), ours, claim, prefetch));
            }
        }
        let Some((job, ours, claim, ahead)) = claimed else {
            self.beside.have_again(next);
            let ours = match recorded {
                Some(ours) => ours,
                None => {
                    let beside = std::mem::take(self.beside);
                    let hold =
                        Hold::beside(beside, self.store, self.commands, self.me, Instant::now());
                    let ours = hold.during(self.broker, reservation, ttr, recording).await;
                    take_back(hold, self.beside, self.gone);
                    ours
                }
            };
            self.beside.round = round;
            self.beside.recorded(ours.as_deref());
            return (is_last_ours(ours.as_deref()), None);
        };
        if matches!(claim, Claim::Begun(_)) {
            crash::here(Point::NextBegun);
        }
        self.beside.round = round;
        self.beside.recorded(Some(&ours));
        let mut next = next.into_iter();
        let first = next
            .next()
            .map(|reservation| Ahead::Claimed(reservation, Box::new((job, claim))));
        for (reservation, attempt) in next.zip(ahead.into_iter().chain(repeat_with(|| None))) {
            match attempt {
                Some(attempt) => self.beside.round.add(Turn {
                    reservation,
                    attempt,
                }),
                None => self.beside.next.push_back(reservation),
            }
        }
        (is_last_ours(Some(&ours)), first)
    }

    /// Records what there is of a round. Jobs whose turn has not come are to be looked at anew.
    pub(super) async fn end_round(&mut self) {
        let entry = Arc::new(self.beside.round.entry(None));
        let ours = record(self.store, self.control, self.me, self.commands, &entry).await;
        self.beside.recorded(ours.as_deref());
    }
}

/// Of those that were recorded, whether the last one was ours.
fn is_last_ours(ours: Option<&[bool]>) -> bool {
    ours.and_then(<[bool]>::last).is_some_and(|ours| *ours)
}

/// Takes back what was left to a hold, and notes what it did.
pub fn take_back(hold: Hold, beside: &mut Beside, gone: &mut Vec<TaskId>) {
    let (left, deleted) = hold.left();
    *beside = left;
    note(gone, deleted);
}

/// Looks for the next jobs, `most` of them, and asks for more where there is none; then those that are over are deleted with
/// that.
async fn look(
    broker: &mut dyn Broker,
    tube: &TubeName,
    beside: &mut Beside,
    portion: &mut Portion,
    (asked, most): (usize, usize),
    store: Uuid,
    commands: &Commands,
) -> Seen {
    let mut seen = Seen::default();
    if beside.next.is_empty() && asked > 0 {
        let over = std::mem::take(&mut beside.over);
        let (deleted, reserved) = exchange(broker, over, std::slice::from_ref(tube), asked).await;
        seen.deleted = deleted;
        // Why there is none, the next reserve finds out.
        let reserved = reserved.unwrap_or_default();
        *portion = portion.after(asked, reserved.len());
        beside.next.extend(reserved);
    }
    let begun = Instant::now();
    // A foreign job costs two questions, and what is too late is thrown away.
    while (seen.next.is_empty() || begun.elapsed() < MANY_WITHIN)
        && seen.next.len() < most
        && let Some(next) = beside.next.pop_front()
    {
        crash::here(Point::NextReserved);
        match arrive(broker, tube, &next, store, commands).await {
            Ok(Arrived::Here(job)) => seen.next.push((next, *job)),
            // Looked at again when it is its turn.
            Ok(Arrived::Elsewhere { .. } | Arrived::Vanished) | Err(_) => {
                beside.next.push_front(next);
                break;
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_tube_is_asked_for_more_and_one_that_is_not_for_one() {
        let (short, long) = (Duration::from_micros(900), Duration::from_millis(4));
        let mut portion = Portion::default();
        // How long each takes, how many are asked for then, how many come.
        for (takes, asked, came) in [
            (short, 1, 1),
            (short, 2, 2),
            (short, 4, 4),
            (short, 8, 8),
            (short, 8, 8),
            (long, 2, 2),
            (Duration::from_secs(1), 1, 1),
            (Duration::ZERO, 2, 2),
            (short, 4, 3),
            (short, 1, 0),
            (short, 1, 1),
        ] {
            assert_eq!(portion.where_each_takes(takes), asked);
            portion = portion.after(asked, came);
        }
    }
}
