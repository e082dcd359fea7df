//! Ringing the doorbell for tasks that wait.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::{self, Broker, Delivery, NewJob};
use crate::crash::{self, Point};
use crate::ledger::announce::Again;
use crate::ledger::{self, Ledger, Store};
use crate::task::hooks::Telling;
use crate::task::payload::Pointer;
use crate::tube::TubeName;

/// Puts the jobs of tasks that wait, and notes which they are; unless they were put when the puts were begun.
/// Returns how many have a job now, or the first thing that kept one from being put: those that were not put are
/// there for whoever is next.
pub async fn announce(
    broker: &mut dyn Broker,
    store: &Store,
    all: &[Again],
) -> Result<u64, broker::Error> {
    crash::here(Point::AgainBegun);
    let mut announced = 0;
    let mut trouble = None;
    let mut rest: Vec<&Again> = all.iter().filter(|again| !again.has_job).collect();
    let have = all.len() - rest.len();
    while let Some(first) = rest.first() {
        let tube = &first.tube;
        let (these, others): (Vec<&Again>, _) = rest.iter().partition(|a| a.tube == *tube);
        match announce_in(broker, store, tube, &these).await {
            Ok(put) => announced += put,
            Err(error) => trouble = trouble.or(Some(error)),
        }
        rest = others;
    }
    match trouble {
        None => Ok(announced + have as u64),
        Some(error) => Err(error),
    }
}

/// Changes rows, tells of it, and puts the jobs of the hooks that come of it.
pub(super) async fn with_hooks<R: Send + 'static>(
    broker: &mut dyn Broker,
    store: &Store,
    telling: &Arc<Telling>,
    step: impl FnOnce(&mut Ledger) -> Result<R, ledger::Error> + Send + 'static,
) -> Result<R, ledger::Error> {
    let telling = Arc::clone(telling);
    let (done, fired) = store.call(move |db| db.told_by(&telling, step)).await?;
    if let Err(error) = announce(broker, store, &fired).await {
        // Recorded they are, and the next pass puts their jobs.
        tracing::debug!(%error, "could not put the jobs of hooks");
    }
    Ok(done)
}

async fn announce_in(
    broker: &mut dyn Broker,
    store: &Store,
    tube: &TubeName,
    these: &[&Again],
) -> Result<u64, broker::Error> {
    let jobs: Vec<NewJob> = these.iter().map(|again| job(store, again)).collect();
    let Delivery { instance, answers } = broker.deliver(tube, &jobs).await;
    crash::here(Point::AgainAnnounced);
    let instance = instance.unwrap_or_default();
    let (mut puts, mut count, mut trouble) = (Vec::with_capacity(these.len()), 0, None);
    for (again, answer) in these.iter().zip(answers) {
        puts.push((again.put, answer.as_ref().ok().copied()));
        match answer {
            Ok(_) => count += 1,
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    let noted = store.call(move |db| db.note_puts(&instance, &puts)).await;
    if let Err(error) = noted {
        // The jobs are there and will be looked at; only which they are is not known.
        tracing::warn!(%tube, %error, "could not note the jobs of tasks");
    }
    match trouble {
        None => Ok(count),
        Some(error) => Err(error),
    }
}

fn job(store: &Store, again: &Again) -> NewJob {
    let pointer = Pointer {
        uuid: again.uuid,
        store: store.id(),
    };
    NewJob {
        body: pointer.to_body(again.about.as_ref()).into(),
        priority: again.priority,
        delay: Duration::from_millis(u64::try_from(again.due_in).unwrap_or(0)),
        ttr: Duration::from_secs(again.ttr.into()),
    }
}
