//! Keeping a reservation while its command runs: a long job is not a lost job.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::sleep;

use super::ahead::{Beside, Deleted, exchange};
use super::fate::give_back_next;
use crate::broker::{Broker, Reservation};

/// A foreign job's TTR is asked for only when its command has run for this long: most have ended by then.
const ASK_AFTER: Duration = Duration::from_millis(200);

/// When a command has run for so long, the jobs before it need not wait for the next reserve to be deleted.
const CLEAR_AFTER: Duration = Duration::from_millis(50);

/// When a command has run for so long, jobs that were to be next are for others.
const GIVE_BACK_AFTER: Duration = Duration::from_millis(20);

/// What the one who works and the one who holds tell each other. A touch that is under way must be
/// waited for: dropped, it takes the connection and with it the reservation.
#[derive(Default)]
pub struct Hold {
    speaking: Cell<bool>,
    ended: Cell<bool>,
    beside: Cell<Beside>,
    deleted: Cell<Vec<Deleted>>,
}

impl Hold {
    /// One that also sees to the worker's other jobs, if it comes to that.
    pub fn beside(beside: Beside) -> Hold {
        Hold {
            beside: Cell::new(beside),
            ..Hold::default()
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
        if !beside.is_empty() {
            let wait = match beside.next.is_empty() {
                true => CLEAR_AFTER,
                false => GIVE_BACK_AFTER,
            };
            self.beside.set(beside);
            sleep(wait).await;
            self.speaking.set(true);
            let mut beside = self.beside.take();
            let over = std::mem::take(&mut beside.over);
            let (deleted, exchanged) = exchange(broker, over, &[], 0).await;
            self.deleted.set(deleted);
            // Or the next ones went with the connection.
            if exchanged.is_ok() {
                give_back_next(broker, &mut beside).await;
            }
            self.speaking.set(false);
            if self.ended.get() {
                return;
            }
        }
        let ttr = match ttr {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => {
                sleep(ASK_AFTER).await;
                self.speaking.set(true);
                let stats = broker.stats_job(reservation.id).await;
                self.speaking.set(false);
                match stats {
                    Ok(Some(stats)) => stats.ttr,
                    Ok(None) => return,
                    Err(error) => return report(reservation, &error),
                }
            }
        };
        while !self.ended.get() {
            sleep(ttr.max(Duration::from_secs(1)) / 3).await;
            self.speaking.set(true);
            let touched = broker.touch(reservation).await;
            self.speaking.set(false);
            if let Err(error) = touched {
                return report(reservation, &error);
            }
        }
    }
}

/// The command goes on: the job will come round again, and its claim will find the task running, or done.
fn report(reservation: &Reservation, error: &crate::broker::Error) {
    tracing::warn!(job = reservation.id, %error, "lost a reservation while its command ran");
}
