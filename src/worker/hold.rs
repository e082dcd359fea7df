//! Keeping a reservation while its command runs: a long job is not a lost job.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ahead::{Beside, Deleted, exchange};
use super::fate::give_back_next;
use crate::broker::{Broker, JobStats, Reservation};
use crate::clock::now;
use crate::ledger::worker::Me;
use crate::ledger::{Ledger, Store};
use crate::task::command::Commands;

/// A foreign job's TTR is asked for only when its command has run for this long: most have ended by then.
const ASK_AFTER: Duration = Duration::from_millis(200);

/// When a command has run for so long, the jobs before it need not wait for the next reserve to be deleted, and those that
/// were to be next are for others.
const ALONE_AFTER: Duration = Duration::from_millis(20);

/// Between two tries of that where the store is at work or locked.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// What the one who works and the one who holds tell each other. A touch that is under way must be
/// waited for: dropped, it takes the connection and with it the reservation.
pub struct Hold<'a> {
    begun: Instant,
    store: &'a Store,
    commands: &'a Arc<Commands>,
    me: &'a Me,
    in_trouble: Cell<bool>,
    speaking: Cell<bool>,
    ended: Cell<bool>,
    beside: Cell<Beside>,
    deleted: Cell<Vec<Deleted>>,
}

impl<'a> Hold<'a> {
    /// One that also sees to the worker's other jobs, when what is done has begun so long ago that it comes to that.
    pub fn beside(
        beside: Beside,
        store: &'a Store,
        commands: &'a Arc<Commands>,
        me: &'a Me,
        begun: Instant,
    ) -> Hold<'a> {
        Hold {
            begun,
            store,
            commands,
            me,
            in_trouble: Cell::default(),
            speaking: Cell::default(),
            ended: Cell::default(),
            beside: Cell::new(beside),
            deleted: Cell::default(),
        }
    }

    /// What it did not come to, and what came of those that it deleted.
    pub fn left(self) -> (Beside, Vec<Deleted>) {
        (self.beside.into_inner(), self.deleted.into_inner())
    }

    /// Does `work` while touching the reservation at a third of its TTR, in seconds.
    pub async fn during<T>(
        &self,
        broker: &mut dyn Broker,
        reservation: &Reservation,
        ttr: Option<u32>,
        work: impl Future<Output = T>,
    ) -> T {
        let holding = self.keep(broker, reservation, ttr);
        tokio::pin!(holding, work);
        let mut lost = false;
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                () = &mut holding, if !lost => lost = true,
            }
        };
        self.ended.set(true);
        if self.speaking.get() {
            holding.await;
        }
        result
    }

    /// Ends when the reservation is lost, or after a word that was under way when the work was over.
    async fn keep(&self, broker: &mut dyn Broker, reservation: &Reservation, ttr: Option<u32>) {
        let beside = self.beside.take();
        let mut alone_at = (!beside.is_empty()).then(|| self.begun + ALONE_AFTER);
        self.beside.set(beside);
        let mut third = ttr.map(third_of);
        // Not when the reservation is lost.
        let mut touch_at = Some(self.begun + third.unwrap_or(ASK_AFTER));
        while !self.ended.get() {
            let Some(next) = alone_at.into_iter().chain(touch_at).min() else {
                return;
            };
            sleep_until(next).await;
            self.speaking.set(true);
            if alone_at == Some(next) {
                let alone = self.leave_alone(broker).await;
                alone_at = (!alone).then(|| Instant::now() + TRY_AGAIN);
            } else {
                let told = match third {
                    Some(_) => broker.touch(reservation).await.map(|()| third),
                    None => broker.stats_job(reservation.id).await.map(ttr_of),
                };
                third = told.unwrap_or_else(|error| {
                    report(reservation, &error);
                    None
                });
                touch_at = third.map(|third| Instant::now() + third);
            }
            self.speaking.set(false);
        }
    }

    /// Sees to the worker's other jobs. False if it has to be tried again.
    async fn leave_alone(&self, broker: &mut dyn Broker) -> bool {
        let mut beside = self.beside.take();
        let is_recorded = beside.round.is_over() || self.end_round(&mut beside);
        let over = std::mem::take(&mut beside.over);
        let (mut deleted, exchanged) = exchange(broker, over, &[], 0).await;
        let before = self.deleted.take();
        deleted.extend(before);
        self.deleted.set(deleted);
        // Or the next ones went with the connection.
        if exchanged.is_ok() {
            give_back_next(broker, &mut beside).await;
        }
        self.beside.set(beside);
        is_recorded
    }

    /// Records what there is of the round.
    fn end_round(&self, beside: &mut Beside) -> bool {
        let entry = beside.round.entry(None);
        // Not on the store's thread: waiting for a lock there, nobody would touch the job.
        let entering = |db: &mut Ledger| db.enter(&entry, self.commands, self.me, now());
        let settled = self.store.at_once(entering);
        match settled {
            None => false,
            Some(Err(error)) if error.is_locked() => false,
            Some(Ok(entered)) => {
                beside.recorded(Some(&entered.ours));
                true
            }
            Some(Err(error)) => {
                if !self.in_trouble.replace(true) {
                    tracing::error!(%error, "could not record what was before a command; will keep trying");
                }
                false
            }
        }
    }
}

/// How long after one touch the next is due, of a TTR in seconds.
fn third_of(ttr: u32) -> Duration {
    Duration::from_secs(ttr.max(1).into()) / 3
}

/// The same, as the broker has it.
fn ttr_of(stats: Option<JobStats>) -> Option<Duration> {
    stats.map(|stats| stats.ttr.max(Duration::from_secs(1)) / 3)
}

/// The command goes on: the job will come round again, and its claim will find the task running, or done.
fn report(reservation: &Reservation, error: &crate::broker::Error) {
    tracing::warn!(job = reservation.id, %error, "lost a reservation while its command ran");
}
