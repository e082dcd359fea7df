//! One job, from its reservation to its end: arrive, claim, run, settle.

use std::sync::Arc;
use std::time::Duration;

use super::arrive::{Arrived, arrive};
use super::attempt::work;
use super::control::Control;
use super::hold::Hold;
use crate::broker::{self, Broker, Reservation};
use crate::crash::{self, Point};
use crate::reconcile::{announce, end_remains};
use crate::store::ledger::{Arrival, Attempt, Claim, DeadAttempt};
use crate::store::{self, Store, now};
use crate::task::command::{Commands, OnFailure};
use crate::task::retry::Next;
use crate::tube::TubeName;

/// A claim leads to a claim at most so often: ask for kicks, take over, end remains.
const MOST_CLAIMS: u32 = 8;

/// How long a job is left alone when its task cannot be looked at, or not be freed of what runs.
const LEAVE_ALONE: Duration = Duration::from_secs(5);

/// Everything that serving a job needs.
pub struct Server<'a> {
    /// The session that reserves.
    pub broker: &'a mut dyn Broker,
    /// The ledger.
    pub store: &'a Store,
    /// What may run.
    pub commands: &'a Arc<Commands>,
    /// The tube served.
    pub tube: &'a TubeName,
    /// Environment variables that commands do not get.
    pub withheld: &'a [String],
    /// Our id in the store.
    pub worker: i64,
    /// Signals and orders.
    pub control: &'a mut Control,
    /// Tasks whose jobs are known to be gone, not noted yet.
    pub gone: &'a mut Vec<i64>,
}

/// What serving came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// An attempt was made, and its command printed so many bytes; none where it was refused.
    Attempted {
        /// Bytes, both streams.
        output: u64,
    },
    /// Nothing was run.
    Nothing,
    /// The broker could not say what job it was; the reservation may have gone with the connection.
    Lost(broker::Error),
    /// The store could not be asked: no job should be taken for a while.
    Troubled,
}

/// What is to be done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// End it for good; the row is told if it is the producer's own job, not a pointer that we put since.
    Delete { task: Option<i64> },
    /// Give it back. If it is gone, the task that waits is put again.
    Release {
        priority: u32,
        delay: Duration,
        waiting: Option<Put>,
    },
    /// Set it aside.
    Bury { priority: u32 },
}

impl Fate {
    /// To give it back and no more.
    fn leave(priority: u32, delay: Duration) -> Fate {
        Fate::Release {
            priority,
            delay,
            waiting: None,
        }
    }
}

/// A task's put, to be followed by another if its job is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Put {
    task: i64,
    generation: i64,
}

/// What a series of claims came to.
enum Decided {
    Run(Box<Attempt>),
    Refused { priority: u32 },
    Fate(Fate),
}

impl Server<'_> {
    /// Serves one job.
    pub async fn serve(&mut self, reservation: Reservation) -> Served {
        crash::here(Point::JobReserved);
        let arrived = arrive(
            self.broker,
            self.tube,
            &reservation,
            self.store.id(),
            self.commands,
        )
        .await;
        let arrival = match arrived {
            Ok(Arrived::Here(arrival)) => arrival,
            Ok(Arrived::Elsewhere {
                store,
                delay,
                priority,
            }) => {
                tracing::warn!(
                    job = reservation.id, tube = %self.tube, %store,
                    "left a job to the workers of another store"
                );
                self.end(reservation, Fate::leave(priority, delay)).await;
                return Served::Nothing;
            }
            Ok(Arrived::Vanished) => return Served::Nothing,
            Err(error) => return Served::Lost(error),
        };
        match self.decide(arrival).await {
            Ok(Decided::Run(attempt)) => self.attempt(reservation, *attempt).await,
            Ok(Decided::Refused { priority }) => {
                self.end(reservation, Fate::Bury { priority }).await;
                Served::Attempted { output: 0 }
            }
            Ok(Decided::Fate(fate)) => {
                self.end(reservation, fate).await;
                Served::Nothing
            }
            // It says nothing of other rows.
            Err(error) if error.is_of_one_row() => {
                tracing::error!(job = reservation.id, %error, "could not claim a task; buried its job");
                let priority = self.priority(&reservation).await;
                self.end(reservation, Fate::Bury { priority }).await;
                Served::Nothing
            }
            Err(error) => {
                tracing::error!(job = reservation.id, %error, "could not claim a task; left its job");
                let priority = self.priority(&reservation).await;
                self.end(reservation, Fate::leave(priority, LEAVE_ALONE))
                    .await;
                Served::Troubled
            }
        }
    }

    /// Claims, does what the claim asks for first, and claims again.
    async fn decide(&mut self, mut arrival: Arrival) -> Result<Decided, store::Error> {
        let mut ours: Option<DeadAttempt> = None;
        for _ in 0..MOST_CLAIMS {
            let claim = self.claim(&arrival, ours.take()).await?;
            match claim {
                Claim::Begun(attempt) => return Ok(Decided::Run(attempt)),
                Claim::Refused {
                    task,
                    reason,
                    priority,
                } => {
                    tracing::warn!(task, reason, "refused a task and buried its job");
                    return Ok(Decided::Refused { priority });
                }
                Claim::Later {
                    task,
                    delay,
                    priority,
                    generation,
                } => {
                    return Ok(Decided::Fate(Fate::Release {
                        priority,
                        delay,
                        waiting: Some(Put { task, generation }),
                    }));
                }
                Claim::DeleteJob { task } => {
                    let task = task.filter(|_| !arrival.is_pointer());
                    return Ok(Decided::Fate(Fate::Delete { task }));
                }
                Claim::GivenUp {
                    task,
                    reason,
                    priority,
                } => {
                    tracing::error!(task, reason, "gave up a task and buried its job");
                    return Ok(Decided::Fate(Fate::Bury { priority }));
                }
                Claim::BuryJob { task, priority } => {
                    tracing::warn!(task, "buried the job of a task that had failed");
                    return Ok(Decided::Fate(Fate::Bury { priority }));
                }
                Claim::AskForKicks => {
                    let stats = self.broker.stats_job(arrival.job).await;
                    arrival.kicks = Some(stats.ok().flatten().map_or(0, |stats| stats.kicks));
                }
                Claim::Dead(dead) => {
                    let (taken, me) = (dead.clone(), self.worker);
                    if !self.store.call(move |db| db.take_over(&taken, me)).await? {
                        return Ok(Decided::Fate(leave_alone(&dead)));
                    }
                    tracing::warn!(
                        task = dead.task,
                        attempt = dead.number,
                        "took over a dead worker's attempt"
                    );
                    if !self.end_remains(&dead).await {
                        return Ok(Decided::Fate(leave_alone(&dead)));
                    }
                    ours = Some(dead);
                }
                Claim::Remains(dead) => {
                    if !self.end_remains(&dead).await {
                        return Ok(Decided::Fate(leave_alone(&dead)));
                    }
                }
            }
        }
        Ok(Decided::Fate(Fate::leave(
            broker::DEFAULT_PRIORITY,
            LEAVE_ALONE,
        )))
    }

    async fn claim(
        &mut self,
        arrival: &Arrival,
        ours: Option<DeadAttempt>,
    ) -> Result<Claim, store::Error> {
        let (arrival, commands) = (arrival.clone(), Arc::clone(self.commands));
        let worker = self.worker;
        let gone = self.gone.clone();
        let claim = self
            .store
            .soon(move |db| match &ours {
                Some(dead) => db.lose_and_claim(dead, &arrival, &commands, worker, now()),
                None => db.claim(&arrival, &commands, worker, &gone, now()),
            })
            .await?;
        // Noted twice is noted once; what was not committed is still here.
        self.gone.clear();
        Ok(claim)
    }

    /// Ends what an attempt left running. False if something could not be ended.
    async fn end_remains(&self, dead: &DeadAttempt) -> bool {
        let ended = end_remains(self.store, dead.uuid, dead.number, dead.attempt).await;
        if !ended {
            tracing::error!(
                task = dead.task,
                attempt = dead.number,
                "could not end what an attempt left running; did not run its task again"
            );
        }
        ended
    }

    async fn attempt(&mut self, reservation: Reservation, attempt: Attempt) -> Served {
        let Attempt {
            task,
            priority,
            generation,
            foreign,
            ttr,
            ..
        } = attempt;
        let on_failure = attempt.plan.command.on_failure;
        let work = work(
            self.store,
            self.control,
            self.worker,
            self.tube,
            self.withheld,
            reservation.id,
            attempt,
        );
        let hold = Hold::default();
        crash::here(Point::AttemptBegun);
        let worked = hold.during(self.broker, &reservation, ttr, work).await;
        crash::here(Point::OutcomeRecorded);
        let fate = match worked.next {
            None => Fate::leave(priority, Duration::ZERO),
            Some(Next::Done | Next::Cancelled) => Fate::Delete {
                task: foreign.then_some(task),
            },
            Some(Next::Failed { .. }) => match on_failure {
                OnFailure::Delete => Fate::Delete {
                    task: foreign.then_some(task),
                },
                OnFailure::Bury => Fate::Bury { priority },
            },
            Some(Next::Wait(delay)) => Fate::Release {
                priority,
                delay,
                waiting: Some(Put { task, generation }),
            },
        };
        self.end(reservation, fate).await;
        Served::Attempted {
            output: worked.output,
        }
    }

    /// Does with a job what is to be done with it. Its reservation may be lost by now: then the job
    /// comes round again, and its next claim finds what became of its task.
    async fn end(&mut self, reservation: Reservation, fate: Fate) {
        let job = reservation.id;
        let done = match fate {
            Fate::Delete { .. } => self.broker.delete(reservation).await,
            Fate::Release {
                priority, delay, ..
            } => self.broker.release(reservation, priority, delay).await,
            Fate::Bury { priority } => self.broker.bury(reservation, priority).await,
        };
        crash::here(Point::JobEnded);
        match (done, fate) {
            (Ok(()), Fate::Delete { task }) => self.gone.extend(task),
            (Ok(()), Fate::Release { .. } | Fate::Bury { .. }) => {}
            (Err(broker::Error::NotFound), Fate::Release { waiting, .. }) => {
                tracing::warn!(job, "found a job gone that was to be released");
                if let Some(put) = waiting {
                    self.put_again(put).await;
                }
            }
            (Err(error), _) => {
                tracing::warn!(job, %error, "could not settle a job; it may come round again");
            }
        }
    }

    /// The task waits and its job is gone: put another.
    async fn put_again(&mut self, Put { task, generation }: Put) {
        let asked = self
            .store
            .call(move |db| db.put_again(task, generation, now()))
            .await;
        let again = match asked {
            Ok(Some(again)) => again,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(task, %error, "could not put a task's job again");
                return;
            }
        };
        if let Err(error) = announce(self.broker, self.store, &[again]).await {
            tracing::error!(task, %error, "could not put a task's job again");
        }
    }

    async fn priority(&mut self, reservation: &Reservation) -> u32 {
        match self.broker.stats_job(reservation.id).await {
            Ok(Some(stats)) => stats.priority,
            Ok(None) | Err(_) => broker::DEFAULT_PRIORITY,
        }
    }
}

fn leave_alone(dead: &DeadAttempt) -> Fate {
    Fate::leave(dead.priority, LEAVE_ALONE)
}
