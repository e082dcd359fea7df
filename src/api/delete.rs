//! Deleting tasks that do not run, and emptying tubes.

use super::bulk::{Answer, Bulk, Chosen, Page, Summary};
use super::error::Error;
use super::put::Receipt;
use super::queue::Queue;
use super::ring::Ringer;
use crate::broker::{self, JobState};
use crate::crash::{self, Point};
use crate::ledger::announce::OldJob;
use crate::ledger::delete::{Delete, Deleted, NotDeleted};
use crate::reconcile::remove_foreign;
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// Jobs of a tube that are looked for and deleted at a time.
const SOME: usize = 500;

impl Queue {
    /// Deletes a task with its attempts and what they printed, unless it runs. Its job goes too, where the broker
    /// answers; otherwise whoever reserves the job finds no task, and deletes it.
    ///
    /// A task that came by another producer's job goes once that job is deleted: the job would become a task again.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// queue.delete(task.id).await?;
    /// assert!(queue.show(task.id).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotDeleted`] if there is no such task, if it runs, or if its producer's job may still be there.
    pub async fn delete(&self, id: TaskId) -> Result<Receipt, Error> {
        self.do_to_one(id, &mut Deleting::default()).await
    }

    /// The same of all that were [chosen](Queue::choose), a page at a time, beside those who work.
    ///
    /// ```
    /// use taskqueue::{Filter, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// queue.put(&"mail".parse()?, Put::raw("hello").tag("test".parse()?)).await?;
    /// let tests = Filter::default().tag("test".parse()?).status(Status::Waiting);
    /// let chosen = queue.choose(&tests).await?;
    /// assert_eq!(queue.delete_all(&chosen, |_| {}).await?.changed, 1);
    /// assert_eq!(queue.matching(&tests).await?, []);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be used; what was deleted by then is.
    pub async fn delete_all(
        &self,
        chosen: &Chosen,
        told: impl FnMut(&Answer),
    ) -> Result<Summary, Error> {
        self.do_to_all(chosen, &mut Deleting::default(), told).await
    }

    /// Deletes the jobs of a tube that are ready or delayed, whoever put them: what is reserved or buried stays. How
    /// many there were. A task of which such a job rang is put again by a reconciliation: [delete](Queue::delete_all)
    /// those that wait first.
    ///
    /// ```
    /// use taskqueue::{Filter, Put, Queue, Status, StoreUrl, TubeName};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let mail: TubeName = "mail".parse()?;
    /// queue.put(&mail, Put::raw("hello")).await?;
    /// // What `taskqueue flush` does.
    /// let waiting = Filter::default().tube(&mail).status(Status::Waiting);
    /// let chosen = queue.choose(&waiting).await?;
    /// queue.delete_all(&chosen, |_| {}).await?;
    /// let others = queue.delete_jobs(&mail).await?;
    /// assert_eq!(others, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the broker cannot be asked; what was deleted by then is.
    pub async fn delete_jobs(&self, tube: &TubeName) -> Result<u64, broker::Error> {
        let mut session = self.session().await?;
        let stats = session.broker.stats_tube(tube).await?;
        // Whoever goes on putting is not run after for ever.
        let mut left = stats.map_or(0, |stats| stats.ready.saturating_add(stats.delayed));
        let mut deleted = 0u64;
        for state in [JobState::Ready, JobState::Delayed] {
            while left > 0 {
                let jobs = session.broker.next_jobs(tube, state, SOME).await?;
                if jobs.is_empty() {
                    break;
                }
                let removed = session.broker.remove_all(&jobs).await?;
                let count = removed.iter().filter(|removed| **removed).count() as u64;
                deleted = deleted.saturating_add(count);
                left = left.saturating_sub(jobs.len() as u64);
            }
        }
        Ok(deleted)
    }
}

#[derive(Default)]
struct Deleting {
    ringer: Ringer,
    /// The broker could not be asked for others' jobs, and is asked no more.
    is_silent: bool,
}

impl Deleting {
    /// Others' jobs go first: whoever is killed after that leaves tasks that wait without a job, which a reconciliation
    /// puts again.
    async fn remove_foreign(&mut self, queue: &Queue, tasks: &[TaskId]) -> Result<(), Error> {
        let tasks = tasks.to_vec();
        let foreign = queue
            .store()
            .call(move |db| db.foreign_jobs(&tasks))
            .await?;
        if foreign.is_empty() || self.is_silent {
            return Ok(());
        }
        let removed = match queue.session().await {
            Ok(mut session) => {
                remove_foreign(session.broker.as_mut(), queue.store(), foreign).await?
            }
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => crash::here(Point::ForeignJobsRemoved),
            Err(error) => {
                tracing::warn!(%error, "could not delete other producers' jobs, so that their tasks stay");
                self.is_silent = error.is_of_no_answer();
            }
        }
        Ok(())
    }
}

impl Bulk for Deleting {
    type Done = Receipt;

    async fn page(&mut self, queue: &Queue, tasks: Vec<TaskId>) -> Result<Page, Error> {
        self.remove_foreign(queue, &tasks).await?;
        let (changed, held) = queue.change(&Delete, &tasks).await?;
        crash::here(Point::TasksDeleted);
        let mut jobs: Vec<(TaskId, OldJob)> = Vec::new();
        let answer = |(id, changed): (TaskId, Result<Result<Deleted, NotDeleted>, _>)| {
            let receipt = match changed {
                Ok(Ok(Deleted { uuid, job })) => {
                    jobs.extend(job.map(|job| (id, job)));
                    Ok(Receipt {
                        existing: None,
                        id,
                        uuid,
                        trouble: None,
                    })
                }
                Ok(Err(refused)) => Err(Error::NotDeleted(refused)),
                Err(error) => Err(Error::Store(error)),
            };
            (id, receipt)
        };
        let answers = changed.into_iter().map(answer).collect();
        self.ringer.remove(queue, &jobs).await;
        Ok(Page { answers, held })
    }
}
