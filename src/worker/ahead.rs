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
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::arrive::{Arrived, arrive};
use super::control::Mode;
use super::fate::note;
use super::hold::Hold;
use super::record::record;
use super::serve::Server;
use crate::broker::{self, Broker, JobId, Reservation};
use crate::crash::{self, Point};
use crate::store::ledger::{Arrival, Claim, Settlement};
use crate::store::now;
use crate::task::command::Commands;
use crate::tube::TubeName;

/// How long the broker may take to say what comes next. Then what has happened is recorded without it.
const PATIENCE: Duration = Duration::from_millis(20);

/// How far a worker looks ahead: to jobs that it should begin within this time, as long as the last one took.
const FAR: Duration = Duration::from_millis(10);

/// The most jobs that are asked for at once.
const MOST: usize = 4;

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
    /// Jobs whose turn has not come.
    pub next: VecDeque<Reservation>,
}

impl Beside {
    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.over.is_empty() && self.next.is_empty()
    }
}

/// A job whose end is committed, still to be deleted.
#[derive(Debug)]
pub struct Over {
    /// Ours.
    pub reservation: Reservation,
    /// Its row, if it is the producer's own job, not a pointer that we put since.
    pub task: Option<i64>,
}

/// What became of a job that was over.
#[derive(Debug)]
pub struct Deleted {
    /// Its number.
    pub job: JobId,
    /// As in [`Over`].
    pub task: Option<i64>,
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
    let known: Vec<(JobId, Option<i64>)> = over.iter().map(known).collect();
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
    Claimed(Reservation, Box<(Arrival, Claim)>),
}

/// What looking ahead came to.
#[derive(Debug, Default)]
struct Seen {
    /// What became of the jobs that were over.
    deleted: Vec<Deleted>,
    /// The next job, and which task it speaks of, if it is one of ours.
    next: Option<(Reservation, Option<Arrival>)>,
}

impl Server<'_> {
    /// Records how an attempt ended whose command took that long, and claims the next job in the same transaction if there
    /// is one. True if it was ours to record.
    ///
    /// Where the two cannot be done together, the next job waits for its turn, and not for long: while this is recorded,
    /// it is held as while a command runs.
    pub(super) async fn record(
        &mut self,
        reservation: &Reservation,
        ttr: Option<u32>,
        settlement: Arc<Settlement>,
        long: Duration,
    ) -> (bool, Option<Ahead>) {
        crash::here(Point::OutcomeKnown);
        let may_look = self.control.mode() == Mode::Working && !self.control.has_fresh();
        let asked = self.portion.where_each_takes(long).min(self.may_ask_for);
        let mut recording = pin!(record(self.store, self.control, self.me, &settlement));
        let (mut is_late, mut recorded, mut seen) = (false, None, Seen::default());
        if may_look {
            let mut looking = pin!(look(
                self.broker,
                self.tube,
                self.beside,
                self.portion,
                asked,
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
        match seen.next {
            Some((next, Some(arrival))) if !is_late => {
                let (commands, me) = (self.commands, self.me);
                let both = self
                    .store
                    .at_once(|db| db.settle_and_claim(&settlement, &arrival, commands, me, now()));
                if let Some(Ok((ours, claim))) = both {
                    if matches!(claim, Claim::Begun(_)) {
                        crash::here(Point::NextBegun);
                    }
                    let claimed = Box::new((arrival, claim));
                    return (ours, Some(Ahead::Claimed(next, claimed)));
                }
                self.beside.next.push_front(next);
            }
            Some((next, _)) => self.beside.next.push_front(next),
            None => {}
        }
        let ours = match recorded {
            Some(ours) => ours,
            None => {
                let hold = Hold::beside(std::mem::take(self.beside));
                let ours = hold.during(self.broker, reservation, ttr, recording).await;
                take_back(hold, self.beside, self.gone);
                ours
            }
        };
        (ours, None)
    }
}

/// Takes back what was left to a hold, and notes what it did.
pub fn take_back(hold: Hold, beside: &mut Beside, gone: &mut Vec<i64>) {
    let (left, deleted) = hold.left();
    *beside = left;
    note(gone, deleted);
}

/// Looks for the next job, and asks for more where there is none; then those that are over are deleted with that.
async fn look(
    broker: &mut dyn Broker,
    tube: &TubeName,
    beside: &mut Beside,
    portion: &mut Portion,
    asked: usize,
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
    if let Some(next) = beside.next.pop_front() {
        crash::here(Point::NextReserved);
        let arrival = match arrive(broker, tube, &next, store, commands).await {
            Ok(Arrived::Here(arrival)) => Some(arrival),
            // Looked at again when it is its turn.
            Ok(Arrived::Elsewhere { .. } | Arrived::Vanished) | Err(_) => None,
        };
        seen.next = Some((next, arrival));
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
            (short, 4, 4),
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
