//! Waiting until tasks have ended.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::cleanup::Ended;
use super::error::Error;
use super::queue::Queue;
use crate::ledger::Stamp;
use crate::task::id::TaskId;
use crate::task::state::Status;

/// Between two looks whether anything has changed. Of many tasks a look takes longer, and ten times as long is between
/// two of them then: nobody who waits keeps a processor busy.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After so many looks in which nothing has changed the tasks are looked at all the same.
const LOOK_ANYWAY: u32 = 50;

/// What came of waiting for tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Waited {
    /// Those that have ended, in the order in which they were named.
    pub ended: Vec<(TaskId, Ended)>,
    /// Those that have not: nobody waited for them any longer.
    pub open: Vec<TaskId>,
    /// Those of which there is no row, or no more: a cleanup may have deleted it meanwhile.
    pub gone: Vec<TaskId>,
}

impl Queue {
    /// Waits until all of the tasks have ended, or any one of them, and for `within` at most if that is given.
    ///
    /// A task ends once: an attempt that failed and is tried again is no end. A task that runs again later, since
    /// somebody regenerated it, had ended. One that is not there is not waited for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Cancel, Ended, Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let mail = queue.put(&"mail".parse()?, Put::raw("hello")).await?.id;
    /// let waited = queue.wait(&[mail], false, Some(Duration::from_millis(1))).await?;
    /// assert_eq!(waited.open, [mail]);
    ///
    /// queue.cancel(mail, &Cancel::default()).await?;
    /// let waited = queue.wait(&[mail], false, None).await?;
    /// assert_eq!(waited.ended, [(mail, Ended::Cancelled)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn wait(
        &self,
        tasks: &[TaskId],
        any: bool,
        within: Option<Duration>,
    ) -> Result<Waited, Error> {
        let mut waiting = Waiting {
            found: tasks.iter().map(|task| (*task, Found::Open)).collect(),
            any,
            stamp: None,
            unchanged: 0,
        };
        let waited = async {
            loop {
                let begun = Instant::now();
                waiting.look(self).await?;
                if waiting.is_over() {
                    return Ok(());
                }
                sleep(LOOK_EVERY.max(begun.elapsed().saturating_mul(10))).await;
            }
        };
        let outcome = match within {
            None => waited.await,
            // At the time's end there is one look more: what ended by then has ended in time.
            Some(within) => match timeout(within, waited).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => waiting.look(self).await,
            },
        };
        outcome.map(|()| waiting.told())
    }
}

/// What is known of a task that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Open,
    Ended(Ended),
    Gone,
}

impl Found {
    fn of(status: Option<Status>) -> Found {
        match status {
            None => Found::Gone,
            Some(Status::Waiting | Status::Running) => Found::Open,
            Some(Status::Done) => Found::Ended(Ended::Done),
            Some(Status::Failed) => Found::Ended(Ended::Failed),
            Some(Status::Cancelled) => Found::Ended(Ended::Cancelled),
        }
    }
}

struct Waiting {
    found: Vec<(TaskId, Found)>,
    /// One end is enough.
    any: bool,
    /// What the ledger was known by at the last look.
    stamp: Option<Stamp>,
    unchanged: u32,
}

impl Waiting {
    /// Looks where those stand that have not ended, if anything has changed since the last look.
    async fn look(&mut self, queue: &Queue) -> Result<(), Error> {
        let open = self.found.iter().filter(|(_, found)| *found == Found::Open);
        let open: Vec<TaskId> = open.map(|(task, _)| *task).collect();
        let before = self.stamp.filter(|_| self.unchanged < LOOK_ANYWAY);
        let looked = queue.store().call(move |db| {
            // Before the rows: what changes in between is seen the next time.
            let stamp = db.stamp()?;
            let is_unchanged = stamp.is_some() && stamp == before;
            let statuses = match is_unchanged {
                true => Vec::new(),
                false => db.statuses(&open)?,
            };
            Ok((stamp, is_unchanged, open, statuses))
        });
        let (stamp, is_unchanged, open, statuses) = looked.await?;
        self.stamp = stamp;
        if is_unchanged {
            self.unchanged = self.unchanged.saturating_add(1);
            return Ok(());
        }
        self.unchanged = 0;
        let mut statuses = open.into_iter().zip(statuses);
        for (task, found) in &mut self.found {
            if *found == Found::Open
                && let Some((looked_at, status)) = statuses.next()
            {
                debug_assert_eq!(*task, looked_at);
                *found = Found::of(status);
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let mut found = self.found.iter().map(|(_, found)| *found);
        let is_open = |found: Found| found == Found::Open;
        match self.any {
            true => found.any(|found| !is_open(found)) || self.found.is_empty(),
            false => !found.any(is_open),
        }
    }

    fn told(self) -> Waited {
        let mut waited = Waited::default();
        for (task, found) in self.found {
            match found {
                Found::Open => waited.open.push(task),
                Found::Ended(ended) => waited.ended.push((task, ended)),
                Found::Gone => waited.gone.push(task),
            }
        }
        waited
    }
}
