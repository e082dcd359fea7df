//! What is done with a job.

use std::time::Duration;

use super::ahead::{Beside, Deleted, Over, exchange};
use super::serve::Server;
use crate::broker::{self, Broker, Reservation};
use crate::crash::{self, Point};
use crate::ledger::{DeadAttempt, Entered, Entry};
use crate::reconcile::announce;
use crate::task::id::{PutId, TaskId};

/// How long a job is left alone when its task cannot be looked at, or not be freed of what runs.
pub const LEAVE_ALONE: Duration = Duration::from_secs(5);

/// What is to be done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// End it for good; the row is told if it is the producer's own job, not a pointer that we put since.
    Delete { task: Option<TaskId> },
    /// Give it back. If it is gone, the task that waits is put again.
    Release {
        priority: u32,
        delay: Duration,
        waiting: Option<PutId>,
    },
    /// Set it aside.
    Bury { priority: u32 },
}

impl Fate {
    /// To give it back and no more.
    pub fn leave(priority: u32, delay: Duration) -> Fate {
        Fate::Release {
            priority,
            delay,
            waiting: None,
        }
    }

    /// What cannot be freed of what runs is tried again later.
    pub fn leave_alone(dead: &DeadAttempt) -> Fate {
        Fate::leave(dead.priority, LEAVE_ALONE)
    }
}

impl Server<'_> {
    /// Does with a job what is to be done with it. Its reservation may be lost by now: then the job
    /// comes round again, and its next claim finds what became of its task.
    pub(super) async fn end(&mut self, reservation: Reservation, fate: Fate) {
        let job = reservation.id;
        let (answer, waiting) = match fate {
            // With those before it.
            Fate::Delete { task } => {
                self.beside.over.push(Over { reservation, task });
                return self.clear().await;
            }
            Fate::Release {
                priority,
                delay,
                waiting,
            } => {
                self.clear().await;
                let answer = self.broker.release(reservation, priority, delay).await;
                (answer, waiting)
            }
            Fate::Bury { priority } => {
                self.clear().await;
                (self.broker.bury(reservation, priority).await, None)
            }
        };
        crash::here(Point::JobEnded);
        match answer {
            Ok(()) => {}
            Err(error) if loses_job(&error) && matches!(fate, Fate::Release { .. }) => {
                tracing::warn!(job, %error, "lost a job that was to be released");
                if let Some(put) = waiting {
                    self.put_again(put).await;
                }
            }
            Err(error) => unsettled(job, &error),
        }
    }

    /// Deletes the jobs that are over, if there are any.
    pub(super) async fn clear(&mut self) {
        let over = std::mem::take(&mut self.beside.over);
        if !over.is_empty() {
            let (deleted, _) = exchange(self.broker, over, &[], 0).await;
            note(self.gone, deleted);
        }
    }

    /// The task waits and its job is gone: put another.
    async fn put_again(&mut self, put: PutId) {
        let task = put.task.0;
        let asking = Entry {
            again: vec![put],
            ..Entry::default()
        };
        let puts = match self.enter(asking).await {
            Ok(Entered { puts, .. }) => puts,
            Err(error) => {
                tracing::error!(task, %error, "could not put a task's job again");
                return;
            }
        };
        if let Err(error) = announce(self.broker, self.store, &puts).await {
            tracing::error!(task, %error, "could not put a task's job again");
        }
    }
}

/// Gives all jobs back whose turn has not come.
pub async fn give_back_next(broker: &mut dyn Broker, beside: &mut Beside) {
    while let Some(reservation) = beside.next.pop_front() {
        if let Err(error) = give_back(broker, reservation).await
            && !error.is_of_one_job()
        {
            // The others went with the connection, or come back when their time is over.
            beside.next.clear();
        }
    }
}

/// Gives a job back that nothing was done with.
pub async fn give_back(
    broker: &mut dyn Broker,
    reservation: Reservation,
) -> Result<(), broker::Error> {
    let job = reservation.id;
    let given = match broker.stats_job(job).await {
        Ok(Some(stats)) => {
            let release = broker.release(reservation, stats.priority, Duration::ZERO);
            release.await
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    crash::here(Point::JobEnded);
    given.inspect_err(|error| unsettled(job, error))
}

/// The priority that a job has.
pub async fn priority(broker: &mut dyn Broker, reservation: &Reservation) -> u32 {
    match broker.stats_job(reservation.id).await {
        Ok(Some(stats)) => stats.priority,
        Ok(None) | Err(_) => broker::DEFAULT_PRIORITY,
    }
}

/// Remembers what became of jobs.
pub fn note(gone: &mut Vec<TaskId>, deleted: Vec<Deleted>) {
    for Deleted { job, task, answer } in deleted {
        crash::here(Point::JobEnded);
        match answer {
            Ok(()) => gone.extend(task),
            Err(error) => unsettled(job, &error),
        }
    }
}

/// Whether a release that was answered so leaves no job behind that anybody could reserve.
fn loses_job(error: &broker::Error) -> bool {
    matches!(error, broker::Error::NotFound | broker::Error::OutOfMemory)
}

fn unsettled(job: broker::JobId, error: &broker::Error) {
    tracing::warn!(job, %error, "could not settle a job; it may come round again");
}
