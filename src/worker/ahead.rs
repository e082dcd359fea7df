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

use super::arrive::{Arrived, arrive};
use super::control::Mode;
use super::fate::{give_back_next, note};
use super::hold::Hold;
use super::record::record;
use super::serve::Server;
use crate::broker::{self, Broker, JobId, Reservation};
use crate::crash::{self, Point};
use crate::store::ledger::{Arrival, Claim, Settlement};
use crate::store::now;
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

/// The next job, and which task it speaks of, if it is one of ours.
type Next = Option<(Reservation, Option<Arrival>)>;

impl Server<'_> {
    /// Records how an attempt ended whose command took that long, and claims the next job in the same transaction if there
    /// is one. True if it was ours to record.
    pub(super) async fn record(
        &mut self,
        reservation: &Reservation,
        ttr: Option<u32>,
        settlement: Arc<Settlement>,
        long: Duration,
    ) -> (bool, Option<Ahead>) {
        crash::here(Point::OutcomeKnown);
        let (recorded, next) = self.look(&settlement, long).await;
        let ahead = match next {
            Some((next, Some(arrival))) if recorded.is_none() => {
                let (commands, me) = (self.commands, self.me);
                let both = self
                    .store
                    .at_once(|db| db.settle_and_claim(&settlement, &arrival, commands, me, now()));
                match both {
                    Some(Ok((ours, claim))) => {
                        if matches!(claim, Claim::Begun(_)) {
                            crash::here(Point::NextBegun);
                        }
                        let claimed = Box::new((arrival, claim));
                        return (ours, Some(Ahead::Claimed(next, claimed)));
                    }
                    // It says nothing of the next.
                    Some(Err(error)) if error.is_of_one_row() => Some(Ahead::Reserved(next)),
                    // A store that does not take this one's end now does not take another's beginning, and nobody knows
                    // for how long: nothing would hold the next meanwhile.
                    Some(Err(_)) | None => {
                        self.beside.next.push_front(next);
                        give_back_next(self.broker, self.beside).await;
                        None
                    }
                }
            }
            Some((next, _)) => Some(Ahead::Reserved(next)),
            None => None,
        };
        let ours = match recorded {
            Some(ours) => ours,
            None => {
                let recording = record(self.store, self.control, self.me, &settlement);
                let hold = Hold::default();
                hold.during(self.broker, reservation, ttr, recording).await
            }
        };
        (ours, ahead)
    }

    /// Looks for the next job, where one may follow. If the broker takes its time, what has happened is recorded
    /// meanwhile; then it says, too, whether that was ours.
    async fn look(&mut self, settlement: &Arc<Settlement>, long: Duration) -> (Option<bool>, Next) {
        if self.control.mode() != Mode::Working || self.control.has_fresh() {
            return (None, None);
        }
        let asked = self.portion.where_each_takes(long).min(self.may_ask_for);
        let looking = async {
            let deleted = match self.beside.next.is_empty() && asked > 0 {
                true => {
                    let over = std::mem::take(&mut self.beside.over);
                    let tubes = std::slice::from_ref(self.tube);
                    let (deleted, reserved) = exchange(self.broker, over, tubes, asked).await;
                    // Why there is none, the next reserve finds out.
                    let reserved = reserved.unwrap_or_default();
                    *self.portion = self.portion.after(asked, reserved.len());
                    self.beside.next.extend(reserved);
                    deleted
                }
                false => Vec::new(),
            };
            let Some(next) = self.beside.next.pop_front() else {
                return (deleted, None);
            };
            crash::here(Point::NextReserved);
            let store = self.store.id();
            let arrived = arrive(self.broker, self.tube, &next, store, self.commands).await;
            let arrival = match arrived {
                Ok(Arrived::Here(arrival)) => Some(arrival),
                // Looked at again when it is its turn.
                Ok(Arrived::Elsewhere { .. } | Arrived::Vanished) | Err(_) => None,
            };
            (deleted, Some((next, arrival)))
        };
        let mut looking = pin!(looking);
        let ((deleted, next), recorded) = match timeout(PATIENCE, &mut looking).await {
            Ok(seen) => (seen, None),
            Err(_) => {
                let recording = record(self.store, self.control, self.me, settlement);
                let (seen, recorded) = tokio::join!(looking, recording);
                (seen, Some(recorded))
            }
        };
        for deleted in deleted {
            note(self.gone, deleted);
        }
        (recorded, next)
    }
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
