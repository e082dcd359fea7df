//! One job, from its reservation to its end: arrive, claim, run, settle.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ahead::{Ahead, Beside, Over, Portion, take_back};
use super::arrive::{Arrived, arrive};
use super::attempt::{begin, end};
use super::control::{Control, Mode};
use super::decide::Decided;
use super::fate::{Fate, LEAVE_ALONE, give_back, priority};
use super::hold::Hold;
use super::round::Turn;
use super::run::{Habit, Run};
use crate::broker::{self, Broker, Reservation};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::Store;
use crate::ledger::worker::Me;
use crate::ledger::{Attempt, Claim, JobRef};
use crate::process::environment::Environment;
use crate::task::command::{Commands, OnFailure};
use crate::task::id::{AttemptId, TaskId};
use crate::task::retry::Next;
use crate::tube::TubeName;

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
    pub gone: &'a mut Vec<TaskId>,
    /// What the worker has of the broker beside this job.
    pub beside: &'a mut Beside,
    /// How many jobs it asks for at once.
    pub portion: &'a mut Portion,
    /// What its last command was like.
    pub habit: &'a mut Habit,
    /// How many it may ask for before this one is settled.
    pub may_ask_for: usize,
    /// The configuration is what it was when the job before this one was served.
    pub is_as_before: bool,
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
            Ahead::Turn(turn) if self.is_as_before && self.control.mode() == Mode::Working => {
                self.attempt(turn.reservation, *turn.attempt).await
            }
            Ahead::Turn(turn) => {
                self.beside.round.put_back(turn);
                self.end_round().await;
                Served::Nothing
            }
            Ahead::Claimed(reservation, claimed) => {
                let (job, claim) = *claimed;
                self.follow(reservation, job, Some(claim)).await
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
        let job = match arrived {
            Ok(Arrived::Here(job)) => *job,
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
        self.follow(reservation, job, None).await
    }

    /// Does what a job's claim says, which may have been made already.
    async fn follow(
        &mut self,
        reservation: Reservation,
        job: JobRef,
        claim: Option<Claim>,
    ) -> Served {
        match self.decide(job, claim).await {
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

    async fn attempt(&mut self, reservation: Reservation, attempt: Attempt) -> Served {
        let started = attempt.ahead.then(now);
        if let Some(at) = started
            && !self.beside.round.begins(&attempt, at)
        {
            let attempt = Box::new(attempt);
            self.beside.round.put_back(Turn {
                reservation,
                attempt,
            });
            self.end_round().await;
            return Served::Nothing;
        }
        crash::here(Point::AttemptBegun);
        let begun = Instant::now();
        let Attempt {
            id: AttemptId { task, .. },
            priority,
            put,
            foreign,
            ttr,
            ..
        } = attempt;
        let on_failure = attempt.plan.command.on_failure;
        let mut run = begin(
            &attempt,
            self.control,
            self.tube,
            self.environment,
            self.store.id(),
            reservation.id,
            *self.habit,
        );
        let may_wait = self.habit.is_quiet() && self.control.mode() == Mode::Working;
        let is_done = may_wait && run.as_mut().is_ok_and(Run::is_soon_done);
        let ending = end(self.store, self.control, attempt, run, started);
        let mut settlement = if is_done {
            ending.await
        } else {
            let beside = std::mem::take(self.beside);
            let hold = Hold::beside(beside, self.store, self.commands, self.me, begun);
            let settlement = hold.during(self.broker, &reservation, ttr, ending).await;
            take_back(hold, self.beside, self.gone);
            settlement
        };
        let long = begun.elapsed();
        let output = settlement.output.size();
        *self.habit = Habit::of(long, output);
        let foreign = foreign.then_some(task);
        if is_done
            && self.habit.is_quiet()
            && self.round_goes_on()
            && self.beside.round.defers(&settlement)
        {
            crash::here(Point::OutcomeNoted);
            let task = foreign;
            let over = Over { reservation, task };
            self.beside.round.ended(over, Arc::new(settlement));
            return Served::Attempted {
                output,
                ahead: None,
            };
        }
        let next = settlement.next.clone();
        // A kick that it has had already must not be taken for one that asks for another run.
        if matches!(next, Next::Failed { .. }) {
            // The broker may take its time.
            if !self.beside.round.is_over() {
                self.end_round().await;
            }
            settlement.kicks = self.kicks(reservation.id).await;
        }
        let settlement = Arc::new(settlement);
        let (ours, ahead) = self.record(&reservation, ttr, settlement, long).await;
        crash::here(Point::OutcomeRecorded);
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
                waiting: Some(put),
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

    /// Whether others of the round may follow without anything being recorded.
    fn round_goes_on(&self) -> bool {
        self.beside.round.may_wait()
            && self.control.mode() == Mode::Working
            && !self.control.has_fresh()
    }
}
