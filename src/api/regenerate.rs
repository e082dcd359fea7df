//! Letting a failed task run again.

use super::error::Error;
use super::put::Receipt;
use super::queue::Queue;
use crate::broker::{self, Broker, JobState};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::announce::{Again, OldJob};
use crate::reconcile::announce;
use crate::task::id::TaskId;
use crate::tube::TubeName;

impl Queue {
    /// Lets a failed task wait again, in its tube or in another, with a fresh budget of attempts; those that it has
    /// had stay. Once this has returned, that survives a power cut.
    ///
    /// A broker that cannot be reached is no error, as with [`Queue::put`].
    ///
    /// # Errors
    /// [`Error::NotRegenerated`] if there is no such task, or if it has not failed.
    pub async fn regenerate(&self, id: TaskId, tube: Option<&TubeName>) -> Result<Receipt, Error> {
        let tube = tube.cloned();
        let regenerated = self
            .store()
            .call(move |db| db.regenerate(id, tube.as_ref(), now()));
        let again = regenerated.await??;
        crash::here(Point::Regenerated);
        Ok(Receipt {
            id,
            uuid: again.uuid,
            trouble: self.ring(&again).await.err(),
        })
    }

    /// Removes the task's old job and puts a new one.
    async fn ring(&self, again: &Again) -> Result<(), broker::Error> {
        let mut session = match self.session().await {
            Ok(session) => session,
            Err(error) => {
                self.give_up(again).await;
                return Err(error);
            }
        };
        let broker = session.broker.as_mut();
        if let Some(old) = &again.old_job
            && remove_buried(broker, old).await
        {
            crash::here(Point::OldJobRemoved);
            let id = again.put.task;
            let noted = self.store().call(move |db| db.note_deleted(&[id])).await;
            if let Err(error) = noted {
                // The task waits again. Its old job is only looked for in vain.
                tracing::warn!(%id, %error, "could not note that the old job of a task is deleted");
            }
        }
        announce(broker, self.store(), std::slice::from_ref(again)).await?;
        Ok(())
    }

    /// Leaves the put to whoever is next.
    async fn give_up(&self, again: &Again) {
        if again.has_job {
            return;
        }
        let puts = [(again.put, None)];
        let noted = self.store().call(move |db| db.note_puts("", &puts)).await;
        if let Err(error) = noted {
            // The put is left to others once its time is over.
            tracing::warn!(%error, "could not note that a job was not put");
        }
    }
}

/// A job that stays buried could be kicked and run the task once more. In another instance of the broker
/// the number may be somebody else's job by now, so that one is left alone. True if it was removed.
async fn remove_buried(broker: &mut dyn Broker, old: &OldJob) -> bool {
    let Ok(instance) = broker.instance().await else {
        return false;
    };
    if old.instance.as_deref() != Some(instance.as_str()) {
        return false;
    }
    match broker.stats_job(old.id).await {
        // Somebody may have kicked it in this instant; the claim copes with a job too many.
        Ok(Some(stats)) if stats.state == JobState::Buried => broker.remove(old.id).await.is_ok(),
        _ => false,
    }
}
