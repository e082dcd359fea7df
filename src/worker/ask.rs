//! Asking the broker: one question, one answer, nothing decided.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::machine::{Answer, Ask, Deleted, Known, ToDelete};
use crate::broker::{self, Broker, JobId, Reservation};
use crate::ledger::Store;
use crate::process::environment::Environment;
use crate::reconcile::{self, Memory, Pass, Standing, announce};
use crate::task::command::Commands;
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// Everything that questions need.
#[derive(Clone)]
pub struct Questions {
    /// The session, and what is remembered of reconciliations. Nobody else has them while a question is under way.
    pub session: Arc<Mutex<Session>>,
    /// The ledger.
    pub store: Store,
    /// The tube that is served.
    pub tube: TubeName,
    /// What may run.
    pub commands: Arc<Commands>,
    /// What commands and cleanups have in their environment, beside what is their own.
    pub environment: Arc<Environment>,
}

/// A session with the broker, and what reconciliation remembers.
pub struct Session {
    /// The broker.
    pub broker: Box<dyn Broker>,
    /// What passes remember.
    pub memory: Memory,
    /// On whose behalf dead attempts are taken over.
    pub standing: Standing,
}

impl Questions {
    /// Asks. When this is dropped before there is an answer, the connection goes, and what it had reserved.
    pub async fn ask(self, ask: Ask) -> Answer {
        let mut session = self.session.lock().await;
        let broker = session.broker.as_mut();
        let tubes = std::slice::from_ref(&self.tube);
        match ask {
            Ask::Reserve { wait } => Answer::Reserved(broker.reserve(tubes, wait).await),
            Ask::Exchange { to_delete, most } => exchange(broker, to_delete, tubes, most).await,
            Ask::Know(job) => {
                let known = know(broker, &[job]).await;
                Answer::Known(known.map(|mut known| known.pop().flatten()))
            }
            Ask::KnowAmongOthers(job) => {
                Answer::Known(know_among_others(broker, job, &self.store, &self.tube).await)
            }
            Ask::KnowAll(jobs) => Answer::AllKnown(know(broker, &jobs).await),
            Ask::Touch(held) => Answer::Touched(broker.touch(held).await),
            Ask::Release {
                reservation,
                priority,
                delay,
            } => Answer::Settled(release(broker, reservation, priority, delay).await),
            Ask::Bury {
                reservation,
                priority,
            } => Answer::Settled(bury(broker, reservation, priority).await),
            Ask::Announce(puts) => {
                if let Err(error) = announce(broker, &self.store, &puts).await {
                    tracing::error!(%error, "could not put tasks' jobs again");
                }
                Answer::Announced
            }
            Ask::KeepSome(keep) => {
                match reconcile::keep_some(broker, &self.store, &self.tube, keep).await {
                    Ok(0) => {}
                    Ok(tasks) => tracing::warn!(
                        tube = %self.tube,
                        tasks,
                        kept = keep.tasks,
                        bytes = keep.bytes,
                        "deleted the oldest refused tasks with their jobs; no more are kept"
                    ),
                    // The next reserve finds the same broker, and the next claim the same store.
                    Err(error) => tracing::debug!(%error, "could not delete refused tasks"),
                }
                Answer::KeptSome
            }
            Ask::Reconcile => {
                self.reconcile(&mut session).await;
                Answer::Reconciled
            }
        }
    }

    async fn reconcile(&self, session: &mut Session) {
        let Session {
            broker,
            memory,
            standing,
        } = session;
        let mut pass = Pass {
            broker: broker.as_mut(),
            store: &self.store,
            commands: &self.commands,
            environment: &self.environment,
            standing,
            tube: &self.tube,
            dry_run: false,
        };
        match pass.run(memory).await {
            Ok(done) => reconcile::tell(&self.tube, done),
            // The next reserve finds the same broker and tells.
            Err(reconcile::Error::Broker(_)) => {}
            Err(reconcile::Error::Store(error)) => {
                tracing::warn!(tube = %self.tube, %error, "could not reconcile a tube");
            }
        }
    }
}

async fn exchange(
    broker: &mut dyn Broker,
    to_delete: Vec<ToDelete>,
    tubes: &[TubeName],
    most: usize,
) -> Answer {
    let known = |one: &ToDelete| (one.reservation.id, one.task);
    let known: Vec<(JobId, Option<TaskId>)> = to_delete.iter().map(known).collect();
    let to_delete = to_delete.into_iter().map(|one| one.reservation).collect();
    let mut answers = Vec::new();
    let reserved = broker.exchange(to_delete, &mut answers, tubes, most).await;
    let deleted = known
        .into_iter()
        .zip(answers)
        .map(|((job, task), answer)| Deleted { job, task, answer });
    Answer::Exchanged {
        deleted: deleted.collect(),
        reserved,
    }
}

async fn know_among_others(
    broker: &mut dyn Broker,
    job: JobId,
    store: &Store,
    tube: &TubeName,
) -> Result<Option<Known>, broker::Error> {
    let Some(known) = know(broker, &[job]).await?.pop().flatten() else {
        return Ok(None);
    };
    let others = others_watch(broker, store, tube).await?;
    Ok(Some(Known { others, ..known }))
}

/// Whether a tube is watched by more clients than this store has workers for it. Where the ledger cannot say how many
/// those are, nobody else does.
async fn others_watch(
    broker: &mut dyn Broker,
    store: &Store,
    tube: &TubeName,
) -> Result<bool, broker::Error> {
    let stats = broker.stats_tube(tube).await?;
    let Some(watching) = stats.and_then(|stats| stats.watching) else {
        return Ok(false);
    };
    let of_whom = tube.clone();
    let ours = store.call(move |db| db.living_workers(&of_whom)).await;
    Ok(ours.is_ok_and(|ours| watching > ours))
}

async fn know(
    broker: &mut dyn Broker,
    jobs: &[JobId],
) -> Result<Vec<Option<Known>>, broker::Error> {
    let stats = broker.stats_jobs(jobs).await?;
    let instance = broker.instance().await?;
    let known = |stats| {
        let instance = instance.clone();
        Known {
            stats,
            instance,
            others: false,
        }
    };
    Ok(stats.into_iter().map(|stats| stats.map(known)).collect())
}

async fn release(
    broker: &mut dyn Broker,
    reservation: Reservation,
    priority: Option<u32>,
    delay: Duration,
) -> Result<(), broker::Error> {
    match priority_of(broker, reservation.id, priority).await? {
        Some(priority) => broker.release(reservation, priority, delay).await,
        None => Ok(()),
    }
}

async fn bury(
    broker: &mut dyn Broker,
    reservation: Reservation,
    priority: Option<u32>,
) -> Result<(), broker::Error> {
    match priority_of(broker, reservation.id, priority).await? {
        Some(priority) => broker.bury(reservation, priority).await,
        None => Ok(()),
    }
}

/// The priority that is named, or else the job's own; `None`: the job is not there any more.
async fn priority_of(
    broker: &mut dyn Broker,
    job: JobId,
    named: Option<u32>,
) -> Result<Option<u32>, broker::Error> {
    match named {
        Some(priority) => Ok(Some(priority)),
        None => Ok(broker.stats_job(job).await?.map(|stats| stats.priority)),
    }
}
