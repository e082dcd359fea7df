//! The next job, asked for before the last one is settled: where there is one, a job costs one round trip to the broker
//! and one transaction.
//!
//! ```text
//! … command A ends ──▶ delete Z, reserve B ──▶ settle A, claim B ──▶ command B ends ──▶ delete A, reserve C ──▶ …
//! ```
//!
//! A job that is over is deleted together with the next reserve, or when the next command has run for a moment.

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
use crate::broker::{self, Broker, JobId, Reservation, Reserve};
use crate::crash::{self, Point};
use crate::store::ledger::{Arrival, Claim, Settlement};
use crate::store::now;
use crate::task::command::Commands;
use crate::tube::TubeName;

/// How long the broker may take to say what comes next. Then what has happened is recorded without it.
const PATIENCE: Duration = Duration::from_millis(20);

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

impl Over {
    /// Deletes it, and no more.
    pub async fn delete(self, broker: &mut dyn Broker) -> Deleted {
        let (job, task) = (self.reservation.id, self.task);
        let answer = broker.delete(self.reservation).await;
        Deleted { job, task, answer }
    }
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
    /// What became of the job that was over.
    deleted: Option<Deleted>,
    /// The next job, and which task it speaks of, if it is one of ours.
    next: Option<(Reservation, Option<Arrival>)>,
}

impl Server<'_> {
    /// Records how an attempt ended, and claims the next job in the same transaction if there is one. True if it was ours
    /// to record.
    pub(super) async fn record(
        &mut self,
        reservation: &Reservation,
        ttr: Option<u32>,
        settlement: Arc<Settlement>,
    ) -> (bool, Option<Ahead>) {
        crash::here(Point::OutcomeKnown);
        let (recorded, next) = self.look(&settlement).await;
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
                        self.give_back(next).await;
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
    async fn look(
        &mut self,
        settlement: &Arc<Settlement>,
    ) -> (Option<bool>, Option<(Reservation, Option<Arrival>)>) {
        if !self.look_ahead || self.control.mode() != Mode::Working || self.control.has_fresh() {
            return (None, None);
        }
        let looking = look(
            self.broker,
            self.tube,
            self.over.take(),
            self.store.id(),
            self.commands,
        );
        let mut looking = pin!(looking);
        let (seen, recorded) = match timeout(PATIENCE, &mut looking).await {
            Ok(seen) => (seen, None),
            Err(_) => {
                let recording = record(self.store, self.control, self.me, settlement);
                let (seen, recorded) = tokio::join!(looking, recording);
                (seen, Some(recorded))
            }
        };
        if let Some(deleted) = seen.deleted {
            note(self.gone, deleted);
        }
        (recorded, seen.next)
    }
}

/// Deletes the job that is over and asks for the next. Why there is none, the next reserve finds out.
async fn look(
    broker: &mut dyn Broker,
    tube: &TubeName,
    over: Option<Over>,
    store: Uuid,
    commands: &Commands,
) -> Seen {
    let tubes = std::slice::from_ref(tube);
    let (deleted, reserved) = match over {
        None => (None, broker.reserve(tubes, Duration::ZERO).await),
        Some(Over { reservation, task }) => {
            let (job, mut answer) = (reservation.id, None);
            let reserved = broker
                .delete_and_reserve(reservation, &mut answer, tubes, Duration::ZERO)
                .await;
            let deleted = answer.map(|answer| Deleted { job, task, answer });
            (deleted, reserved)
        }
    };
    let next = match reserved {
        Ok(Reserve::Job(reservation)) => {
            crash::here(Point::NextReserved);
            let arrival = match arrive(broker, tube, &reservation, store, commands).await {
                Ok(Arrived::Here(arrival)) => Some(arrival),
                // Looked at again when it is its turn.
                Ok(Arrived::Elsewhere { .. } | Arrived::Vanished) | Err(_) => None,
            };
            Some((reservation, arrival))
        }
        Ok(Reserve::TimedOut | Reserve::DeadlineSoon) | Err(_) => None,
    };
    Seen { deleted, next }
}
