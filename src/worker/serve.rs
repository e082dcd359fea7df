//! One job, from its reservation to its end: arrive, claim, run, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ahead::{Ahead, Beside, Over, Portion, take_back};
use super::arrive::{Arrived, arrive};
use super::attempt::work;
use super::control::{Control, Mode};
use super::fate::{Fate, LEAVE_ALONE, Put, give_back, priority};
use super::hold::Hold;
use super::run::Habit;
use crate::broker::{self, Broker, Reservation};
use crate::crash::{self, Point};
use crate::process::environment::Environment;
use crate::reconcile::end_remains;
use crate::store::ledger::{Arrival, Attempt, Claim, DeadAttempt};
use crate::store::worker::Me;
use crate::store::{self, Store, now};
use crate::task::command::{Commands, OnFailure};
use crate::task::retry::Next;
use crate::tube::TubeName;

/// A claim leads to a claim at most so often: ask for kicks, take over, end remains.
const MOST_CLAIMS: u32 = 8;

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
    /// What commands have in their environment, beside what is their own.
    pub environment: &'a Environment,
    /// Who we are to the store.
    pub me: &'a Me,
    /// Signals and orders.
    pub control: &'a mut Control,
    /// Tasks whose jobs are known to be gone, not noted yet.
    pub gone: &'a mut Vec<i64>,
    /// What the worker has of the broker beside this job.
    pub beside: &'a mut Beside,
    /// How many jobs it asks for at once.
    pub portion: &'a mut Portion,
    /// What its last command was like.
    pub habit: &'a mut Habit,
    /// How many it may ask for before this one is settled.
    pub may_ask_for: usize,
}

/// What serving came to.
#[derive(Debug)]
pub enum Served {
    /// An attempt was made, and its command printed so many bytes; none where it was refused.
    Attempted {
        /// Bytes, both streams.
        output: u64,
        /// The next job.
        ahead: Option<Ahead>,
    },
    /// Nothing was run.
    Nothing,
    /// The broker could not say what job it was; the reservation may have gone with the connection.
    Lost(broker::Error),
    /// The store could not be asked: no job should be taken for a while.
    Troubled,
}

/// What a series of claims came to.
enum Decided {
    Run(Box<Attempt>),
    Refused { priority: u32 },
    Fate(Fate),
}

impl Server<'_> {
    /// Serves one job.
    pub async fn serve(&mut self, ahead: Ahead) -> Served {
        match ahead {
            Ahead::Reserved(reservation) if self.control.mode() == Mode::Working => {
                self.clear().await;
                self.arrived(reservation).await
            }
            Ahead::Reserved(reservation) => {
                self.clear().await;
                // What is wrong was said; at the latest it comes back with the end of the session.
                let _ = give_back(self.broker, reservation).await;
                Served::Nothing
            }
            Ahead::Claimed(reservation, claimed) => {
                let (arrival, claim) = *claimed;
                self.follow(reservation, arrival, Some(claim)).await
            }
        }
    }

    async fn arrived(&mut self, reservation: Reservation) -> Served {
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
        self.follow(reservation, arrival, None).await
    }

    /// Does what a job's claim says, which may have been made already.
    async fn follow(
        &mut self,
        reservation: Reservation,
        arrival: Arrival,
        claim: Option<Claim>,
    ) -> Served {
        match self.decide(arrival, claim).await {
            Ok(Decided::Run(attempt)) => self.attempt(reservation, *attempt).await,
            Ok(Decided::Refused { priority }) => {
                self.end(reservation, Fate::Bury { priority }).await;
                Served::Attempted {
                    output: 0,
                    ahead: None,
                }
            }
            Ok(Decided::Fate(fate)) => {
                self.end(reservation, fate).await;
                Served::Nothing
            }
            // It says nothing of other rows.
            Err(error) if error.is_of_one_row() => {
                tracing::error!(job = reservation.id, %error, "could not claim a task; buried its job");
                let priority = priority(self.broker, &reservation).await;
                self.end(reservation, Fate::Bury { priority }).await;
                Served::Nothing
            }
            Err(error) => {
                tracing::error!(job = reservation.id, %error, "could not claim a task; left its job");
                let priority = priority(self.broker, &reservation).await;
                self.end(reservation, Fate::leave(priority, LEAVE_ALONE))
                    .await;
                Served::Troubled
            }
        }
    }

    /// Claims, does what the claim asks for first, and claims again.
    async fn decide(
        &mut self,
        mut arrival: Arrival,
        mut claimed: Option<Claim>,
    ) -> Result<Decided, store::Error> {
        let mut ours: Option<DeadAttempt> = None;
        for _ in 0..MOST_CLAIMS {
            let claim = match claimed.take() {
                Some(claim) => claim,
                None => self.claim(&arrival, ours.take()).await?,
            };
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
                    arrival.kicks = Some(self.kicks(arrival.job).await.unwrap_or(0));
                }
                Claim::Dead(dead) => {
                    let (taken, me) = (dead.clone(), self.me.id);
                    if !self.store.call(move |db| db.take_over(&taken, me)).await? {
                        return Ok(Decided::Fate(Fate::leave_alone(&dead)));
                    }
                    tracing::warn!(
                        task = dead.task,
                        attempt = dead.number,
                        "took over a dead worker's attempt"
                    );
                    if !self.end_remains(&dead).await {
                        return Ok(Decided::Fate(Fate::leave_alone(&dead)));
                    }
                    ours = Some(dead);
                }
                Claim::Remains(dead) => {
                    if !self.end_remains(&dead).await {
                        return Ok(Decided::Fate(Fate::leave_alone(&dead)));
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
        let me = self.me.clone();
        let gone = self.gone.clone();
        let claim = self
            .store
            .soon(move |db| match &ours {
                Some(dead) => db.lose_and_claim(dead, &arrival, &commands, &me, now()),
                None => db.claim(&arrival, &commands, &me, &gone, now()),
            })
            .await?;
        // Noted twice is noted once; what was not committed is still here.
        self.gone.clear();
        Ok(claim)
    }

    /// Ends what an attempt left running. False if something could not be ended.
    async fn end_remains(&self, dead: &DeadAttempt) -> bool {
        let ended = end_remains(self.store, dead.task, dead.uuid, dead.number).await;
        if !ended {
            tracing::error!(
                task = dead.task,
                attempt = dead.number,
                "could not end what an attempt left running; did not run its task again"
            );
        }
        ended
    }

    /// How often a job was kicked, as far as the broker tells.
    async fn kicks(&mut self, job: broker::JobId) -> Option<u64> {
        let stats = self.broker.stats_job(job).await;
        stats.ok().flatten().map(|stats| stats.kicks)
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
            self.tube,
            self.environment,
            reservation.id,
            *self.habit,
            attempt,
        );
        let hold = Hold::beside(std::mem::take(self.beside));
        crash::here(Point::AttemptBegun);
        let begun = Instant::now();
        let mut settlement = hold.during(self.broker, &reservation, ttr, work).await;
        let long = begun.elapsed();
        take_back(hold, self.beside, self.gone);
        let output = settlement.output.size();
        *self.habit = Habit::of(long, output);
        let next = settlement.next.clone();
        // A kick that it has had already must not be taken for one that asks for another run.
        if matches!(next, Next::Failed { .. }) {
            settlement.kicks = self.kicks(reservation.id).await;
        }
        let settlement = Arc::new(settlement);
        let (ours, ahead) = self.record(&reservation, ttr, settlement, long).await;
        crash::here(Point::OutcomeRecorded);
        let foreign = foreign.then_some(task);
        let fate = match next {
            _ if !ours => Fate::leave(priority, Duration::ZERO),
            Next::Done | Next::Cancelled => Fate::Delete { task: foreign },
            Next::Failed { .. } => match on_failure {
                OnFailure::Delete => Fate::Delete { task: foreign },
                OnFailure::Bury => Fate::Bury { priority },
            },
            Next::Wait(delay) => Fate::Release {
                priority,
                delay,
                waiting: Some(Put { task, generation }),
            },
        };
        match fate {
            // With the next reserve.
            Fate::Delete { task } if ahead.is_some() => {
                self.beside.over.push(Over { reservation, task });
            }
            Fate::Delete { .. } | Fate::Release { .. } | Fate::Bury { .. } => {
                self.end(reservation, fate).await;
            }
        }
        Served::Attempted { output, ahead }
    }
}
