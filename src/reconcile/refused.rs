//! Tasks that came by others' jobs, have ended, and go with these jobs.

use crate::broker::{self, Broker, JobId, JobState};
use crate::ledger::cleanup::Unsure;
use crate::ledger::{self, Store};
use crate::task::fingerprint::fingerprint;
use crate::task::id::TaskId;
use crate::task::refused::Keep;
use crate::tube::TubeName;

use super::Error;
use super::whose::of_this_broker;

/// So many batches go at a time, some thousand tasks: whoever asks has jobs to serve, and asks again.
const ROUNDS: u32 = 4;

/// Bodies asked for and held at once.
const AT_ONCE: usize = 64;

/// Deletes the oldest of a tube's refused tasks with their jobs, beyond what is kept. How many went.
///
/// # Errors
/// When the broker or the store cannot be asked; what had gone by then has gone.
pub async fn keep_some(
    broker: &mut dyn Broker,
    store: &Store,
    tube: &TubeName,
    keep: Keep,
) -> Result<u64, Error> {
    let mut deleted = 0;
    for _ in 0..ROUNDS {
        let tube = tube.clone();
        let beyond = store.call(move |db| db.refused_beyond(&tube, keep)).await?;
        let mut gone = Vec::new();
        for some in beyond.chunks(AT_ONCE) {
            gone.extend(gone_or(Idle::Buried, broker, some, false).await?);
        }
        // What is left of them is another's just now, or was kicked.
        if gone.is_empty() {
            break;
        }
        deleted += store.call(move |db| db.delete_refused(&gone)).await?;
    }
    Ok(deleted)
}

/// Those of the tasks whose jobs are not there, once those that are buried are deleted; a dry run only looks. What
/// waits at the broker comes round by itself, and is deleted then by whoever finds that its task has ended.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn gone_or_buried(
    broker: &mut dyn Broker,
    some: &[Unsure],
    dry_run: bool,
) -> Result<Vec<TaskId>, broker::Error> {
    gone_or(Idle::Buried, broker, some, dry_run).await
}

/// Deletes other producers' jobs of tasks that are to be deleted, unless somebody has reserved them, and notes which
/// are gone. What kept the broker from being asked.
///
/// # Errors
/// When the store cannot be used.
pub async fn remove_foreign(
    broker: &mut dyn Broker,
    store: &Store,
    jobs: Vec<Unsure>,
) -> Result<Result<(), broker::Error>, ledger::Error> {
    let instance = match broker.instance().await {
        Ok(instance) => instance,
        Err(error) => return Ok(Err(error)),
    };
    let ours = store
        .call(move |db| of_this_broker(db, jobs, &instance))
        .await?;
    for some in ours.chunks(AT_ONCE) {
        match gone_or(Idle::Unreserved, broker, some, false).await {
            Ok(gone) => store.call(move |db| db.note_deleted(&gone)).await?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

/// Which jobs may be deleted that are still there.
#[derive(Debug, Clone, Copy)]
enum Idle {
    /// Those that are set aside.
    Buried,
    /// Those that nobody has.
    Unreserved,
}

impl Idle {
    fn is(self, state: JobState) -> bool {
        match (self, state) {
            (Idle::Buried, JobState::Buried) => true,
            (Idle::Buried, JobState::Ready | JobState::Delayed | JobState::Reserved) => false,
            (Idle::Unreserved, JobState::Reserved) => false,
            (Idle::Unreserved, JobState::Ready | JobState::Delayed | JobState::Buried) => true,
        }
    }
}

async fn gone_or(
    idle: Idle,
    broker: &mut dyn Broker,
    some: &[Unsure],
    dry_run: bool,
) -> Result<Vec<TaskId>, broker::Error> {
    let jobs: Vec<JobId> = some.iter().map(|task| task.job).collect();
    let bodies = broker.peek_all(&jobs).await?;
    let (mut gone, mut there) = (Vec::new(), Vec::new());
    for (task, body) in some.iter().zip(bodies) {
        // Another body under its number is a job of another instance of the broker.
        match body.is_some_and(|body| fingerprint(&body) == task.hash) {
            true => there.push(task),
            false => gone.push(task.id),
        }
    }
    let jobs: Vec<JobId> = there.iter().map(|task| task.job).collect();
    let stats = match jobs.as_slice() {
        [] => Vec::new(),
        jobs => broker.stats_jobs(jobs).await?,
    };
    for (task, stats) in there.into_iter().zip(stats) {
        let is_gone = match stats {
            None => true,
            Some(stats) if !idle.is(stats.state) => false,
            Some(_) if dry_run => true,
            // Somebody may have kicked it in this instant: whoever has it keeps it, and its task stays.
            Some(_) => match broker.remove(task.job).await {
                Ok(()) => true,
                Err(broker::Error::NotFound) => false,
                Err(error) => return Err(error),
            },
        };
        gone.extend(is_gone.then_some(task.id));
    }
    Ok(gone)
}
