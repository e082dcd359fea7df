//! Letting failed tasks run again.

use super::bulk::{Answer, Bulk, Chosen, Page, Summary};
use super::error::Error;
use super::put::Receipt;
use super::queue::Queue;
use super::ring::Ringer;
use crate::crash::{self, Point};
use crate::ledger::announce::Again;
use crate::ledger::put::Regenerate;
use crate::task::id::TaskId;
use crate::tube::TubeName;

impl Queue {
    /// Lets a failed task wait again, in its tube or in another, with a fresh budget of attempts; those that it has
    /// had stay. Once this has returned, that survives a power cut.
    ///
    /// A broker that cannot be reached is no error, as with [`Queue::put`].
    ///
    /// ```
    /// use taskqueue::{Cancel, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// queue.cancel(task.id, &Cancel::default()).await?;
    /// let slow = "slow".parse()?;
    /// queue.regenerate(task.id, Some(&slow)).await?;
    /// let task = queue.show(task.id).await?.ok_or("gone")?;
    /// assert_eq!((task.status, task.tube.as_str()), (Status::Waiting, "slow"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotRegenerated`] if there is no such task, or if it has not failed.
    pub async fn regenerate(&self, id: TaskId, tube: Option<&TubeName>) -> Result<Receipt, Error> {
        self.do_to_one(id, &mut Regenerating::to(tube)).await
    }

    /// The same of all that were [chosen](Queue::choose), a page at a time, beside those who work. `told` hears what
    /// became of each. A broker that does not answer is waited for once.
    ///
    /// A future that is dropped leaves some regenerated and others not.
    ///
    /// ```
    /// use taskqueue::{Cancel, Filter, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// queue.cancel(task.id, &Cancel::default()).await?;
    /// let ended = Filter::default().status(Status::Failed).status(Status::Cancelled);
    /// let chosen = queue.choose(&ended).await?;
    /// let done = queue.regenerate_all(&chosen, None, |_| {}).await?;
    /// if let Some((count, error)) = done.unannounced {
    ///     eprintln!("{count} wait for the broker: {error}");
    /// }
    /// assert_eq!(done.changed, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be used; what was done by then is done.
    pub async fn regenerate_all(
        &self,
        chosen: &Chosen,
        tube: Option<&TubeName>,
        told: impl FnMut(&Answer),
    ) -> Result<Summary, Error> {
        self.do_to_all(chosen, &mut Regenerating::to(tube), told)
            .await
    }
}

struct Regenerating {
    change: Regenerate,
    ringer: Ringer,
}

impl Regenerating {
    fn to(tube: Option<&TubeName>) -> Regenerating {
        Regenerating {
            change: Regenerate {
                tube: tube.cloned(),
            },
            ringer: Ringer::default(),
        }
    }
}

impl Bulk for Regenerating {
    type Done = Receipt;

    async fn page(&mut self, queue: &Queue, tasks: Vec<TaskId>) -> Result<Page, Error> {
        let (changed, held) = queue.change(&self.change, &tasks).await?;
        crash::here(Point::Regenerated);
        let done = changed
            .iter()
            .filter_map(|(_, changed)| changed.as_ref().ok()?.as_ref().ok());
        let again: Vec<Again> = done.cloned().collect();
        let trouble = self.ringer.ring(queue, &again).await;
        let answer = |(id, changed): (TaskId, Result<Result<Again, _>, _>)| {
            let receipt = match changed {
                Ok(Ok(again)) => Ok(Receipt {
                    existing: None,
                    id,
                    uuid: again.uuid,
                    trouble: trouble.clone().filter(|_| !again.has_job),
                }),
                Ok(Err(refused)) => Err(Error::NotRegenerated(refused)),
                Err(error) => Err(Error::Store(error)),
            };
            (id, receipt)
        };
        let answers = changed.into_iter().map(answer).collect();
        Ok(Page { answers, held })
    }
}
