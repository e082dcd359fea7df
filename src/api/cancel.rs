//! Calling tasks off.

use super::bulk::{Answer, Bulk, Chosen, Done, Page, Summary};
use super::error::Error;
use super::queue::Queue;
use super::tell::tell;
use crate::broker;
use crate::control::Request;
use crate::crash::{self, Point};
use crate::ledger::bulk::Changed;
use crate::ledger::cancel::{CallOff, CalledOff, NotCancelled};
use crate::task::id::TaskId;
use crate::task::state::Status;
use crate::thread::OneShot;

/// How a task is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cancel {
    /// A command that runs is killed, and not asked to end first.
    pub now: bool,
    /// Why, for people: `show` and `list` tell it.
    pub reason: Option<String>,
}

impl Cancel {
    /// A command that runs is killed, and not asked to end first.
    #[must_use]
    pub fn now(self) -> Cancel {
        Cancel { now: true, ..self }
    }

    /// Why, for people.
    #[must_use]
    pub fn reason(self, reason: impl Into<String>) -> Cancel {
        let reason = Some(reason.into());
        Cancel { reason, ..self }
    }
}

/// What came of a task that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// It waited, and is cancelled.
    Now,
    /// It was cancelled before.
    Before,
    /// It runs, and is to be cancelled: it will end as that, unless its command exits with 0 before it could be told to
    /// end. [`Queue::show`] tells.
    #[non_exhaustive]
    Asked {
        /// The number of the attempt that runs.
        attempt: i64,
    },
}

impl Queue {
    /// Calls a task off. Once this has returned, that survives a power cut.
    ///
    /// What waits is cancelled at once. What runs is to be cancelled: its worker is told by its tender, or sees it
    /// within two seconds. It asks the command to end, and kills it with all that it started after the command's
    /// `kill_after` (5 s), or at once with [`Cancel::now`]. A command that exits with 0 before it was sent a signal has
    /// done its work: the task is done then. However else the attempt ends, the task is cancelled, none of its attempts
    /// is used up, and it is not tried again unless somebody regenerates it.
    ///
    /// ```
    /// use taskqueue::{Cancel, Cancelled, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let mail = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// let how = Cancel::default().reason("sent by hand");
    /// assert_eq!(queue.cancel(mail.id, &how).await?, Cancelled::Now);
    /// let task = queue.show(mail.id).await?.ok_or("gone")?;
    /// assert_eq!(task.status, Status::Cancelled);
    /// assert_eq!(task.reason.as_deref(), Some("sent by hand"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotCancelled`] if there is no such task, or if it was done or had failed.
    pub async fn cancel(&self, id: TaskId, how: &Cancel) -> Result<Cancelled, Error> {
        self.do_to_one(id, &mut Cancelling::by(how)).await
    }

    /// The same of all that were [chosen](Queue::choose), a page at a time, beside those who work. `told` hears what
    /// became of each; [`Queue::wait`] waits for those that run.
    ///
    /// ```
    /// use taskqueue::{Cancel, Cancelled, Filter, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// for _ in 0..3 {
    ///     let mail = Put::raw("hello").tag("campaign=spring".parse()?);
    ///     queue.put(&"mail".parse()?, mail).await?;
    /// }
    /// let campaign = Filter::default().tag("campaign".parse()?);
    /// let open = campaign.status(Status::Waiting).status(Status::Running);
    /// let chosen = queue.choose(&open).await?;
    /// let (how, mut runs) = (Cancel::default().reason("the prices are wrong"), Vec::new());
    /// let done = queue.cancel_all(&chosen, &how, |(id, answer)| {
    ///     if let Ok(Cancelled::Asked { .. }) = answer {
    ///         runs.push(*id);
    ///     }
    /// });
    /// let done = done.await?;
    /// assert_eq!((done.changed, done.refused), (3, 0));
    /// queue.wait(&runs, false, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be used; what was cancelled by then is.
    pub async fn cancel_all(
        &self,
        chosen: &Chosen,
        how: &Cancel,
        told: impl FnMut(&Answer<Cancelled>),
    ) -> Result<Summary, Error> {
        let mut cancelling = Cancelling::by(how);
        self.do_to_all(chosen, &mut cancelling, told).await
    }

    /// Has workers hear of it at once, if a tender can tell them. They look for themselves, too.
    async fn tell_workers(&self, requests: Vec<Request>) {
        let Some(store) = self.tenders().map(ToOwned::to_owned) else {
            return;
        };
        if requests.is_empty() {
            return;
        }
        let told = match OneShot::start("words to tenders") {
            Ok(thread) => thread.run(move || tell(&store, &requests)).await,
            Err(not_run) => Err(not_run),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "could not tell the tenders");
        }
    }
}

struct Cancelling(CallOff);

impl Cancelling {
    fn by(how: &Cancel) -> Cancelling {
        Cancelling(CallOff {
            now: how.now,
            reason: how.reason.clone(),
        })
    }

    /// The word to the worker that runs it, if one does.
    fn word(&self, changed: &Changed<CallOff>) -> Option<Request> {
        match changed {
            Ok(Ok(CalledOff::Asked { attempt, worker })) => Some(Request::Cancel {
                worker: worker.clone(),
                task: attempt.task.0,
                attempt: attempt.number,
                now: self.0.now,
            }),
            Ok(Ok(CalledOff::Cancelled) | Err(_)) | Err(_) => None,
        }
    }
}

impl Bulk for Cancelling {
    type Done = Cancelled;

    async fn page(&mut self, queue: &Queue, tasks: Vec<TaskId>) -> Result<Page<Cancelled>, Error> {
        let (changed, held) = queue.change(&self.0, &tasks).await?;
        crash::here(Point::CancelRecorded);
        let words = changed.iter().filter_map(|(_, changed)| self.word(changed));
        queue.tell_workers(words.collect()).await;
        let answers = changed
            .into_iter()
            .map(|(id, changed)| (id, answer(changed)))
            .collect();
        Ok(Page { answers, held })
    }
}

fn answer(changed: Changed<CallOff>) -> Result<Cancelled, Error> {
    match changed {
        Ok(Ok(CalledOff::Cancelled)) => Ok(Cancelled::Now),
        Ok(Ok(CalledOff::Asked { attempt, .. })) => Ok(Cancelled::Asked {
            attempt: attempt.number,
        }),
        Ok(Err(NotCancelled::Ended {
            status: Status::Cancelled,
            ..
        })) => Ok(Cancelled::Before),
        Ok(Err(refused)) => Err(refused.into()),
        Err(error) => Err(error.into()),
    }
}

impl Done for Cancelled {
    /// Its job is one too many.
    fn trouble(&self) -> Option<&broker::Error> {
        None
    }
}
