//! Recording tasks, and announcing them to the broker.

use std::time::Duration;

use super::error::Error;
use super::links::waits_for;
use super::put::{Put, Receipt, existing};
use super::queue::Queue;
use super::ring::Ringer;
use crate::broker::{self, Delivery, NewJob};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger;
use crate::ledger::announce::Again;
use crate::ledger::put::{Added, NewTask};
use crate::ledger::unique::Taken;
use crate::task::command::Content;
use crate::task::id::{PutId, TaskId};
use crate::task::payload::{About, Pointer, Refusal};
use crate::tube::TubeName;

impl Queue {
    /// Records a task and puts its job. Once this has returned, the task survives a power cut.
    ///
    /// A broker that cannot be reached is no error. The task is recorded, and its job is put when the broker
    /// is back:
    ///
    /// ```
    /// use taskqueue::{Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let nobody = "beanstalk://127.0.0.1:1".parse()?;
    /// let queue = Queue::open(&nobody, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("any bytes")).await?;
    /// assert!(!task.announced());
    /// let task = queue.show(task.uuid).await?.ok_or("gone")?;
    /// assert_eq!(task.status, Status::Waiting);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A future that is dropped leaves the task recorded or not, and announced or not; name a
    /// [`Put::uuid`] to put it again without fear of doing so twice.
    pub async fn put(&self, tube: &TubeName, put: Put) -> Result<Receipt, Error> {
        let mut put = self.put_all(tube, vec![put]).await?;
        // One answer each.
        put.pop()
            .unwrap_or_else(|| Err(ledger::Error::closed().into()))
    }

    /// Records tasks in one transaction and puts their jobs in one go. One answer each, in the same order:
    /// one that is refused does not keep the others from being put.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let letters = ["ann", "bob"].map(|name| Put::command("send").argument(name));
    /// let wrong = Put::raw("hello").argument("a raw body takes none");
    /// let puts = letters.into_iter().chain([wrong]).collect();
    /// let answers = queue.put_all(&"mail".parse()?, puts).await?;
    /// assert!(answers[0].is_ok() && answers[1].is_ok() && answers[2].is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn put_all(
        &self,
        tube: &TubeName,
        puts: Vec<Put>,
    ) -> Result<Vec<Result<Receipt, Error>>, Error> {
        let now = now();
        let mut tasks = Vec::with_capacity(puts.len());
        let mut jobs = Vec::with_capacity(puts.len());
        let waits_for = waits_for(&puts)?;
        let is_graph = puts.iter().any(Put::is_of_a_batch);
        for (put, after) in puts.into_iter().zip(waits_for) {
            let discreet = put.discreet;
            let task = put.into_task(tube, now);
            // Of those that wait for each other all are recorded, or none is.
            let task = if is_graph { Ok(task?) } else { task };
            jobs.push(task.map(|mut task| {
                task.after = after;
                let delay = u64::try_from(task.due.saturating_sub(now)).unwrap_or(0);
                let job = self.job(&task, Duration::from_millis(delay), discreet);
                let uuid = task.uuid;
                tasks.push(task);
                (uuid, job)
            }));
        }
        let mut added = match tasks.as_slice() {
            [] => Vec::new(),
            _ => self.change_rows(move |db| db.add(&tasks, now)).await?,
        }
        .into_iter();
        crash::here(Point::PutRecorded);

        let mut answers = Vec::with_capacity(jobs.len());
        let mut new = Vec::with_capacity(jobs.len());
        let mut again = Vec::new();
        for (place, job) in jobs.into_iter().enumerate() {
            answers.push(job.and_then(|(uuid, job)| {
                let (id, uuid, existing) = match added.next() {
                    Some(Added::New { id }) => {
                        new.push((place, id, job));
                        (id, uuid, None)
                    }
                    Some(Added::Known { id } | Added::Later { id }) => (id, uuid, None),
                    Some(Added::Taken(taken)) => {
                        let (id, uuid, existing) = existing(&taken)?;
                        if let Taken::Replaced { again: next, .. } = taken {
                            again.extend(next.map(|next| (place, *next)));
                        }
                        (id, uuid, Some(existing))
                    }
                    Some(Added::NotAfter(why)) => return Err(Error::NotAfter(why)),
                    Some(Added::UuidTaken) => return Err(Refusal::UuidTaken { uuid }.into()),
                    None => return Err(ledger::Error::closed().into()),
                };
                Ok(Receipt {
                    id,
                    uuid,
                    trouble: None,
                    existing,
                })
            }));
        }
        for (place, trouble) in self.announce(tube, new).await {
            if let Some(Ok(receipt)) = answers.get_mut(place) {
                receipt.trouble = Some(trouble);
            }
        }
        let (places, again): (Vec<usize>, Vec<Again>) = again.into_iter().unzip();
        if let Some(trouble) = Ringer::default().ring(self, &again).await {
            for (place, again) in places.into_iter().zip(&again) {
                if let Some(Ok(receipt)) = answers.get_mut(place) {
                    receipt.trouble = Some(trouble.clone()).filter(|_| !again.has_job);
                }
            }
        }
        Ok(answers)
    }

    /// The job that announces a task.
    fn job(&self, task: &NewTask, delay: Duration, discreet: bool) -> NewJob {
        let about = match &task.content {
            Content::Call(call) => Some(About::call(call, discreet)),
            Content::Raw(_) | Content::Unread(_) => None,
        };
        let pointer = Pointer {
            uuid: task.uuid,
            store: self.store().id(),
        };
        NewJob {
            body: pointer.to_body(about.as_ref()).into(),
            priority: task.priority,
            delay,
            ttr: Duration::from_secs(task.ttr.into()),
        }
    }

    /// Puts the jobs of tasks that were just recorded: place, row, job. What kept which from being put.
    async fn announce(
        &self,
        tube: &TubeName,
        new: Vec<(usize, TaskId, NewJob)>,
    ) -> Vec<(usize, broker::Error)> {
        // A store that keeps the jobs itself has put them along with the rows.
        if new.is_empty() || self.keeps_jobs() {
            return Vec::new();
        }
        let (rows, jobs): (Vec<_>, Vec<_>) = new
            .into_iter()
            .map(|(place, task, job)| ((place, task), job))
            .unzip();
        let Delivery { instance, answers } = match self.session().await {
            Ok(mut session) => session.deliver(tube, &jobs).await,
            Err(error) => Delivery::to_nobody(jobs.len(), &error),
        };
        crash::here(Point::PutAnnounced);
        let instance = instance.unwrap_or_default();
        let (mut puts, mut trouble) = (Vec::with_capacity(rows.len()), Vec::new());
        for ((place, task), answer) in rows.into_iter().zip(answers) {
            // A task's first put is its put number 1.
            let put = PutId {
                task,
                generation: 1,
            };
            puts.push((put, answer.as_ref().ok().copied()));
            trouble.extend(answer.err().map(|error| (place, error)));
        }
        let noted = self.store().call(move |db| db.note_puts(&instance, &puts));
        if let Err(error) = noted.await {
            // The jobs are there and will be looked at; only which they are is not known.
            tracing::warn!(%tube, %error, "could not note the jobs of new tasks");
        }
        trouble
    }
}
