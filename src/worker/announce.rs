//! Ringing the doorbell for a task that waits.

use std::time::Duration;

use crate::broker::{self, Broker, NewJob};
use crate::store::announce::Again;
use crate::store::{self, Store, now};
use crate::task::payload::Pointer;
use crate::tube::TubeName;

/// Puts the job of a task that waits, and notes which it is; unless it was put when the put was begun.
pub async fn announce(
    broker: &mut dyn Broker,
    store: &Store,
    again: &Again,
) -> Result<(), broker::Error> {
    if again.has_job {
        return Ok(());
    }
    let pointer = Pointer {
        uuid: again.uuid,
        store: store.id(),
    };
    let job = NewJob {
        body: pointer.to_body().into(),
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

/// Tasks looked up at a time.
const SOME: u32 = 1000;

/// What kept tasks from being announced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}

/// Puts the jobs that could not be put when their tasks were recorded. Returns how many. Several may do
/// this at once: the put generation lets one of them put each task.
pub async fn announce_missing(
    broker: &mut dyn Broker,
    store: &Store,
    tube: &TubeName,
) -> Result<u64, Error> {
    let mut announced = 0;
    let mut more = true;
    while more {
        let of = tube.clone();
        let missing = store.call(move |db| db.unannounced(&of, SOME)).await?;
        more = missing.len() as u64 >= u64::from(SOME);
        for (task, generation) in missing {
            let again = store
                .call(move |db| db.put_again(task, generation, now()))
                .await?;
            if let Some(again) = again {
                announce(broker, store, &again).await?;
                announced += 1;
            }
        }
    }
    Ok(announced)
}
