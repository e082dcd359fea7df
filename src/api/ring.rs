//! The jobs of tasks that were changed: what rings for them at the broker.

use super::queue::Queue;
use crate::broker::{self, Broker};
use crate::crash::{self, Point};
use crate::ledger::announce::{Again, OldJob};
use crate::ledger::{self, Ledger};
use crate::reconcile::announce;
use crate::task::id::TaskId;

/// Sees to the jobs of many tasks, some at a time. A broker that does not answer is waited for once.
#[derive(Debug, Default)]
pub(super) struct Ringer {
    /// Nobody answered, and nobody is asked any more.
    silence: Option<broker::Error>,
}

impl Ringer {
    /// Removes the tasks' old jobs and puts new ones. What kept some from being put: these are put by whoever is next.
    pub async fn ring(&mut self, queue: &Queue, all: &[Again]) -> Option<broker::Error> {
        if all.is_empty() {
            return None;
        }
        if let Some(error) = &self.silence {
            give_up(queue, all).await;
            return Some(error.clone());
        }
        let mut session = match queue.session().await {
            Ok(session) => session,
            Err(error) => {
                give_up(queue, all).await;
                return self.heard(error);
            }
        };
        let old = all
            .iter()
            .filter_map(|again| Some((again.put.task, again.old_job.as_ref()?)));
        let old: Vec<(TaskId, &OldJob)> = old.collect();
        match remove(session.broker.as_mut(), &old).await {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => {
                crash::here(Point::OldJobRemoved);
                note_deleted(queue, removed).await;
            }
            Err(error) if error.is_of_no_answer() => {
                give_up(queue, all).await;
                return self.heard(error);
            }
            // A job too many is harmless.
            Err(error) => tracing::debug!(%error, "could not remove the old jobs of tasks"),
        }
        let announced = announce(session.broker.as_mut(), queue.store(), all).await;
        announced.err().and_then(|error| self.heard(error))
    }

    /// Removes jobs that nobody needs any more: those of tasks that are gone. A job too many is harmless.
    pub async fn remove(&mut self, queue: &Queue, old: &[(TaskId, OldJob)]) {
        if old.is_empty() || self.silence.is_some() {
            return;
        }
        let old: Vec<(TaskId, &OldJob)> = old.iter().map(|(task, old)| (*task, old)).collect();
        let removed = match queue.session().await {
            Ok(mut session) => remove(session.broker.as_mut(), &old).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::debug!(%error, "could not remove the jobs of tasks that are gone");
            self.heard(error);
        }
    }

    fn heard(&mut self, error: broker::Error) -> Option<broker::Error> {
        if error.is_of_no_answer() {
            self.silence = Some(error.clone());
        }
        Some(error)
    }
}

impl Queue {
    /// Changes rows, and puts the jobs of the hooks that come of it.
    pub(super) async fn change_rows<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Ledger) -> Result<R, ledger::Error> + Send + 'static,
    ) -> Result<R, ledger::Error> {
        let changing = self.store().call(move |db| {
            let changed = change(db)?;
            Ok((changed, db.take_fired()))
        });
        let (changed, fired) = changing.await?;
        if !fired.is_empty() {
            // Those that cannot be put are there for whoever is next.
            Ringer::default().ring(self, &fired).await;
        }
        Ok(changed)
    }
}

/// Removes jobs that no client has reserved. Whose were removed. In another instance of the broker a number may be
/// somebody else's job by now, so that those are left alone.
async fn remove(
    broker: &mut dyn Broker,
    old: &[(TaskId, &OldJob)],
) -> Result<Vec<TaskId>, broker::Error> {
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let instance = broker.instance().await?;
    let ours = old
        .iter()
        .filter(|(_, old)| old.instance.as_deref() == Some(instance.as_str()));
    let (tasks, jobs): (Vec<TaskId>, Vec<_>) = ours.map(|(task, old)| (*task, old.id)).unzip();
    let removed = match jobs.as_slice() {
        [] => Vec::new(),
        jobs => broker.remove_all(jobs).await?,
    };
    let of = tasks.into_iter().zip(removed);
    Ok(of
        .filter_map(|(task, removed)| removed.then_some(task))
        .collect())
}

/// Where the jobs are kept beside the tasks, a row of ours names its new job by now, and that is there.
async fn note_deleted(queue: &Queue, tasks: Vec<TaskId>) {
    let noting = queue.store().call(move |db| {
        let gone = match db.keeps_jobs() {
            true => db.foreign_jobs(&tasks)?.iter().map(|job| job.id).collect(),
            false => tasks,
        };
        db.note_deleted(&gone)
    });
    let noted = noting.await;
    if let Err(error) = noted {
        // The tasks wait again. Their old jobs are only looked for in vain.
        tracing::warn!(%error, "could not note that the old jobs of tasks are deleted");
    }
}

/// Leaves the puts to whoever is next.
async fn give_up(queue: &Queue, all: &[Again]) {
    let puts = all.iter().filter(|again| !again.has_job);
    let puts: Vec<_> = puts.map(|again| (again.put, None)).collect();
    if puts.is_empty() {
        return;
    }
    let noted = queue.store().call(move |db| db.note_puts("", &puts)).await;
    if let Err(error) = noted {
        // The puts are left to others once their time is over.
        tracing::warn!(%error, "could not note that jobs were not put");
    }
}
