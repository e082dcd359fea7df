//! Calling tasks off.

use super::error::Error;
use super::queue::Queue;
use super::tell::tell;
use crate::clock::now;
use crate::control::Request;
use crate::crash::{self, Point};
use crate::ledger::cancel::{CallOff, CalledOff, NotCancelled};
use crate::task::id::{AttemptId, TaskId};
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
        let call_off = CallOff {
            now: how.now,
            reason: how.reason.clone(),
        };
        let changing = self
            .store()
            .call(move |db| db.change_one(&call_off, id, now()));
        let answer = changing.await?;
        crash::here(Point::CancelRecorded);
        match answer {
            Ok(CalledOff::Cancelled) => Ok(Cancelled::Now),
            Ok(CalledOff::Asked { attempt, worker }) => {
                self.tell_worker(attempt, worker, how.now).await;
                let attempt = attempt.number;
                Ok(Cancelled::Asked { attempt })
            }
            Err(NotCancelled::Ended {
                status: Status::Cancelled,
                ..
            }) => Ok(Cancelled::Before),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Has the worker hear of it at once, if a tender can tell it. It looks for itself, too.
    async fn tell_worker(&self, attempt: AttemptId, worker: String, now: bool) {
        let Some(store) = self.tenders().map(ToOwned::to_owned) else {
            return;
        };
        let request = Request::Cancel {
            worker,
            task: attempt.task.0,
            attempt: attempt.number,
            now,
        };
        let told = match OneShot::start("words to tenders") {
            Ok(thread) => thread.run(move || tell(&store, &request)).await,
            Err(not_run) => Err(not_run),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "could not tell the tenders");
        }
    }
}
