//! One job, from its reservation to its end: arrive, claim, run, settle.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::arrive::{Arrived, arrive};
use super::control::{Control, Mode};
use super::hold::Hold;
use super::run::{Ran, run};
use crate::broker::{self, Broker, NewJob, Reservation};
use crate::process::command::Spec;
use crate::process::leftover::{self, ATTEMPT_VARIABLE, Remains, UUID_VARIABLE};
use crate::store::ledger::{Arrival, Attempt, Claim, DeadAttempt, Settlement};
use crate::store::locks::Holder;
use crate::store::{self, Store, now};
use crate::task::command::{Commands, OnFailure};
use crate::task::payload::Pointer;
use crate::task::retry::{self, Next};
use crate::task::state::Outcome;
use crate::tube::TubeName;

/// A claim leads to a claim at most so often: ask for kicks, take over, end remains.
const MOST_CLAIMS: u32 = 8;

/// How long a job is left alone when its task cannot be looked at, or not be freed of what runs.
const LEAVE_ALONE: Duration = Duration::from_secs(5);

/// Between two tries to record an outcome.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// A command ran, and printed so many bytes.
    Ran {
        /// Bytes, both streams.
        output: u64,
    },
    /// Nothing was run.
    Nothing,
    /// The store could not be asked: no job should be taken for a while.
    Troubled,
}

/// What is to be done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Delete it; the row of a foreign task is told.
    Delete {
        task: Option<i64>,
    },
    Release {
        priority: u32,
        delay: Duration,
    },
    Bury {
        priority: u32,
    },
}

/// What a series of claims came to.
enum Decided {
    Run(Box<Attempt>),
    Fate(Fate),
}

impl Server<'_> {
    /// Serves one job.
    pub async fn serve(&mut self, reservation: Reservation) -> Served {
        let unread = self.commands.takes_every_body();
        let arrived = arrive(
            self.broker,
            self.tube,
            &reservation,
            self.store.id(),
            unread,
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
                self.end(reservation, Fate::Release { priority, delay })
                    .await;
                return Served::Nothing;
            }
            Ok(Arrived::Vanished) => return Served::Nothing,
            Err(error) => {
                tracing::warn!(job = reservation.id, %error, "lost a job before it was looked at");
                return Served::Nothing;
            }
        };
        match self.decide(arrival).await {
            Ok(Decided::Run(attempt)) => self.attempt(reservation, *attempt).await,
            Ok(Decided::Fate(fate)) => {
                self.end(reservation, fate).await;
                Served::Nothing
            }
            Err(error) => {
                tracing::error!(job = reservation.id, %error, "could not claim a task; left its job");
                let priority = self.priority(&reservation).await;
                let delay = LEAVE_ALONE;
                self.end(reservation, Fate::Release { priority, delay })
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
                    return Ok(Decided::Fate(Fate::Bury { priority }));
                }
                Claim::Later {
                    delay, priority, ..
                } => return Ok(Decided::Fate(Fate::Release { priority, delay })),
                Claim::DeleteJob { task } => return Ok(Decided::Fate(Fate::Delete { task })),
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
        Ok(Decided::Fate(Fate::Release {
            priority: broker::DEFAULT_PRIORITY,
            delay: LEAVE_ALONE,
        }))
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
            .call(move |db| match ours {
                Some(dead) => db.lose_and_claim(&dead, &arrival, &commands, worker, now()),
                None => db.claim(&arrival, &commands, worker, &gone, now()),
            })
            .await?;
        // Noted twice is noted once; what was not committed is still here.
        self.gone.clear();
        Ok(claim)
    }

    /// Ends what an attempt left running. False if something could not be ended.
    async fn end_remains(&self, dead: &DeadAttempt) -> bool {
        let ended = end_remains(
            self.store,
            Remains {
                uuid: dead.uuid,
                number: dead.number,
                byte: Holder::Attempt(dead.attempt).byte(),
            },
            dead.attempt,
        )
        .await;
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
        let worked = hold.during(self.broker, &reservation, ttr, work).await;
        let fate = match worked.next {
            None => Fate::Release {
                priority,
                delay: Duration::ZERO,
            },
            Some(Next::Done | Next::Cancelled) => Fate::Delete {
                task: foreign.then_some(task),
            },
            Some(Next::Failed { .. }) => match on_failure {
                OnFailure::Delete => Fate::Delete {
                    task: foreign.then_some(task),
                },
                OnFailure::Bury => Fate::Bury { priority },
            },
            Some(Next::Wait(delay)) => Fate::Release { priority, delay },
        };
        let waits = matches!(fate, Fate::Release { .. });
        if self.end(reservation, fate).await == Ended::Unknown && waits {
            self.put_again(task, generation).await;
        }
        Served::Ran {
            output: worked.output,
        }
    }

    /// Does with a job what is to be done with it. Its reservation may be lost by now: then the job
    /// comes round again, and its next claim finds what became of its task.
    async fn end(&mut self, reservation: Reservation, fate: Fate) -> Ended {
        let job = reservation.id;
        let done = match fate {
            Fate::Delete { .. } => self.broker.delete(reservation).await,
            Fate::Release { priority, delay } => {
                self.broker.release(reservation, priority, delay).await
            }
            Fate::Bury { priority } => self.broker.bury(reservation, priority).await,
        };
        match (done, fate) {
            (Ok(()), Fate::Delete { task }) => {
                self.gone.extend(task);
                Ended::AsAsked
            }
            (Ok(()), _) => Ended::AsAsked,
            (Err(broker::Error::NotFound), _) => {
                tracing::warn!(job, "found a job gone that was to be settled");
                Ended::Unknown
            }
            (Err(error), _) => {
                tracing::warn!(job, %error, "could not settle a job; it will come round again");
                Ended::ComesRound
            }
        }
    }

    /// The task waits and its job is gone: put another.
    async fn put_again(&mut self, task: i64, generation: i64) {
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
        if let Err(error) = announce(self.broker, self.store, &again).await {
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

/// What became of a job that was to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// What was asked for.
    AsAsked,
    /// The queue does not know it as ours: it may be gone.
    Unknown,
    /// Its reservation was lost, so that it is ready again.
    ComesRound,
}

/// What the command of an attempt came to.
struct Worked {
    /// What becomes of the task; `None` if that was not ours to say, or could not be recorded.
    next: Option<Next>,
    /// Bytes printed.
    output: u64,
}

/// Runs an attempt's command and records how it ended.
async fn work(
    store: &Store,
    control: &mut Control,
    worker: i64,
    tube: &TubeName,
    withheld: &[String],
    job: u64,
    attempt: Attempt,
) -> Worked {
    let Attempt { plan, lock, .. } = &attempt;
    let spec = Spec {
        argv: &plan.argv,
        environment: vec![
            ("TASKQUEUE_TASK_ID", attempt.task.to_string()),
            (UUID_VARIABLE, attempt.uuid.to_string()),
            ("TASKQUEUE_TUBE", tube.to_string()),
            ("TASKQUEUE_JOB_ID", job.to_string()),
            (ATTEMPT_VARIABLE, attempt.number.to_string()),
            ("TASKQUEUE_COMMAND", plan.name.clone()),
        ],
        withheld,
        stdin: plan.stdin.clone(),
        inherited: std::os::fd::AsFd::as_fd(lock),
    };
    let Ran { outcome, output } = run(spec, plan.command.timeout, attempt.task, control).await;
    let bytes = output.size();
    let (next, budget) = retry::next(&outcome, &plan.command.retry, attempt.budget);
    tell(&attempt, &outcome, &next);
    // From here on the lock is held only by what the command left behind.
    drop(attempt.lock);
    if matches!(next, Next::Wait(_)) {
        let remains = Remains {
            uuid: attempt.uuid,
            number: attempt.number,
            byte: Holder::Attempt(attempt.attempt).byte(),
        };
        // What cannot be ended now keeps the next attempt from beginning.
        end_remains(store, remains, attempt.attempt).await;
    }
    let settlement = Arc::new(Settlement {
        task: attempt.task,
        attempt: attempt.attempt,
        number: attempt.number,
        outcome,
        next,
        budget,
        output,
    });
    let ours = record(store, control, worker, &settlement).await;
    Worked {
        next: ours.then(|| settlement.next.clone()),
        output: bytes,
    }
}

/// What went well is in the store; the log is for what did not.
fn tell(attempt: &Attempt, outcome: &Outcome, next: &Next) {
    let Attempt { task, number, .. } = attempt;
    let (command, outcome) = (&attempt.plan.name, outcome.word());
    match next {
        Next::Done => tracing::debug!(task, attempt = number, command, outcome, "did a task"),
        Next::Cancelled => {
            tracing::info!(task, attempt = number, command, outcome, "cancelled a task")
        }
        Next::Failed { reason } => {
            tracing::warn!(
                task,
                attempt = number,
                command,
                outcome,
                reason,
                "failed a task"
            );
        }
        Next::Wait(delay) => {
            let delay = delay.as_secs_f32();
            tracing::info!(
                task,
                attempt = number,
                command,
                outcome,
                delay,
                "left a task for later"
            );
        }
    }
}

/// Records an outcome, however long the store takes. False if it was not ours to record, or if we were
/// told to stop before we could.
async fn record(
    store: &Store,
    control: &mut Control,
    worker: i64,
    settlement: &Arc<Settlement>,
) -> bool {
    let mut reported = false;
    loop {
        let settling = Arc::clone(settlement);
        let recorded = store
            .call(move |db| db.settle(&settling, worker, now()))
            .await;
        match recorded {
            Ok(true) => return true,
            Ok(false) => {
                tracing::warn!(
                    task = settlement.task,
                    attempt = settlement.number,
                    "found an attempt taken over; left its task alone"
                );
                return false;
            }
            Err(error) if !reported => {
                tracing::error!(task = settlement.task, %error, "could not record an outcome; tried again");
                reported = true;
            }
            Err(_) => {}
        }
        if control.mode() == Mode::Stopping {
            tracing::error!(
                task = settlement.task,
                "stopped before an outcome was recorded"
            );
            return false;
        }
        tokio::select! {
            _ = control.changed() => {}
            () = tokio::time::sleep(RECORD_AGAIN) => {}
        }
    }
}

/// Ends what an attempt left running, on a thread of its own: it may take seconds. False if it could not.
async fn end_remains(store: &Store, remains: Remains, attempt: i64) -> bool {
    let locks = store.locks().clone();
    let held = move || locks.is_held(Holder::Attempt(attempt));
    match held() {
        Ok(false) => return true,
        Ok(true) => {}
        Err(error) => {
            tracing::error!(%error, "could not ask for an attempt's lock");
            return false;
        }
    }
    tokio::task::spawn_blocking(move || leftover::end(&remains, held).unwrap_or(false))
        .await
        .unwrap_or(false)
}

fn leave_alone(dead: &DeadAttempt) -> Fate {
    Fate::Release {
        priority: dead.priority,
        delay: LEAVE_ALONE,
    }
}

/// Puts the job of a task that waits, and notes which it is.
pub async fn announce(
    broker: &mut dyn Broker,
    store: &Store,
    again: &store::put::Again,
) -> Result<(), broker::Error> {
    let job = NewJob {
        body: Bytes::from(
            Pointer {
                uuid: again.uuid,
                store: store.id(),
            }
            .to_body(),
        ),
        priority: again.priority,
        delay: Duration::from_millis(u64::try_from(again.due_in).unwrap_or(0)),
        ttr: Duration::from_secs(again.ttr.into()),
    };
    let instance = broker.instance().await?.id;
    let mut put = broker.put(&again.tube, &[job]).await;
    let job = put.pop().unwrap_or(Err(broker::Error::NotFound))?;
    let (task, generation) = (again.id, again.generation);
    let noted = store
        .call(move |db| db.note_jobs(Some(&instance), &[(task, generation, job)]))
        .await;
    if let Err(error) = noted {
        // The job is there and will be looked at; only that it is this one is not known.
        tracing::warn!(task, %error, "could not note a task's job");
    }
    Ok(())
}
