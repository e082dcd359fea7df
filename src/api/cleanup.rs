//! Deleting what ended long ago.

use std::time::Duration;

use super::error::Error;
use super::queue::Queue;
use crate::clock::now;
use crate::ledger::Millis;
use crate::ledger::cleanup::{Old, SoFar};
use crate::reconcile::{Asking, Kept};
use crate::task::state::Status;

/// What is to go: a builder.
#[derive(Debug, Clone)]
pub struct Cleanup {
    age: Duration,
    /// None is named: those that are done.
    ended: Vec<Ended>,
    dry_run: bool,
    compact: bool,
}

/// How a task can have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The task's command ended well.
    Done,
    /// The task has failed.
    Failed,
    /// Somebody called the task off.
    Cancelled,
}

impl Ended {
    /// Every way.
    pub const ALL: [Ended; 3] = [Ended::Done, Ended::Failed, Ended::Cancelled];

    /// The word for it, as [`Status`](super::Status) has it.
    pub fn as_str(self) -> &'static str {
        self.status().as_str()
    }

    /// The way of that name.
    pub fn from_word(word: &str) -> Option<Ended> {
        Ended::ALL.into_iter().find(|ended| ended.as_str() == word)
    }

    fn status(self) -> Status {
        match self {
            Ended::Done => Status::Done,
            Ended::Failed => Status::Failed,
            Ended::Cancelled => Status::Cancelled,
        }
    }
}

/// What a cleanup came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// So many tasks were deleted, with their attempts and output.
    pub deleted: u64,
    /// So many would have been, had it not been a [dry run](Cleanup::dry_run).
    pub would_delete: u64,
    /// Why some tasks stay though they ended long enough ago.
    pub kept: Vec<Kept>,
    /// The store is shorter by so many bytes.
    pub given_back: u64,
    /// So many bytes of the store hold nothing, and cannot be given back but by [`Cleanup::compact`]: the store was
    /// made by an earlier version.
    pub stuck: u64,
}

impl Cleanup {
    /// Tasks that are done, and ended longer ago than this.
    pub fn older_than(age: Duration) -> Cleanup {
        Cleanup {
            age,
            ended: Vec::new(),
            dry_run: false,
            compact: false,
        }
    }

    /// Tasks that ended so too; those that are done only if they are named, then.
    #[must_use]
    pub fn ended(mut self, ended: Ended) -> Cleanup {
        self.ended.push(ended);
        self
    }

    /// Only counts them.
    #[must_use]
    pub fn dry_run(self) -> Cleanup {
        Cleanup {
            dry_run: true,
            ..self
        }
    }

    /// Writes the store anew afterwards, so that it can give room back: one that an earlier version made cannot. No
    /// worker may live, and whoever puts meanwhile waits.
    #[must_use]
    pub fn compact(self) -> Cleanup {
        Cleanup {
            compact: true,
            ..self
        }
    }

    fn old(&self, now: Millis) -> Old {
        let age = Millis::try_from(self.age.as_millis()).unwrap_or(Millis::MAX);
        let ended = match self.ended.as_slice() {
            [] => &[Ended::Done],
            named => named,
        };
        Old {
            statuses: ended.iter().map(|ended| ended.status()).collect(),
            before: now.saturating_sub(age),
        }
    }
}

impl Queue {
    /// Deletes old tasks with their attempts and output, a few at a time, and gives their room back to the disk:
    /// whoever uses the store hardly waits.
    ///
    /// Other producers' tasks go once their jobs are gone. Where that is not noted, the broker is asked: a job that is
    /// buried is deleted with its task, and tasks of which it is not known stay ([`Cleaned::kept`]).
    ///
    /// A future that is dropped leaves some deleted and others not.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Cleanup, Ended, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let month = Duration::from_secs(30 * 86_400);
    /// let old = Cleanup::older_than(month).ended(Ended::Done).ended(Ended::Cancelled);
    /// let cleaned = queue.cleanup(&old).await?;
    /// assert_eq!(cleaned.deleted, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cleanup(&self, cleanup: &Cleanup) -> Result<Cleaned, Error> {
        let old = cleanup.old(now());
        let asked = self.ask_for_jobs(&old, cleanup.dry_run).await?;
        if cleanup.dry_run {
            let known = self.store().call(move |db| db.count_old(&old)).await?;
            return Ok(Cleaned {
                would_delete: known.saturating_add(asked.gone()),
                kept: asked.kept(),
                ..Cleaned::default()
            });
        }
        let before = self.store().call(|db| db.room()).await?;
        let mut so_far = SoFar::default();
        while !so_far.is_over() {
            let old = old.clone();
            let step = self.change_rows(move |db| db.clean_up_some(&old, so_far, now()));
            so_far = step.await?;
            if let Some(pause) = so_far.pause() {
                tokio::time::sleep(pause).await;
            }
        }
        if cleanup.compact {
            self.store().call(|db| db.compact()).await?;
        }
        let after = self.store().call(|db| db.room()).await?;
        Ok(Cleaned {
            deleted: so_far.deleted,
            would_delete: 0,
            kept: asked.kept(),
            given_back: before.all.saturating_sub(after.all),
            stuck: if after.is_rigid { after.free } else { 0 },
        })
    }

    async fn ask_for_jobs(&self, old: &Old, dry_run: bool) -> Result<Asking, Error> {
        let mut asking = Asking::begin(old.clone(), dry_run);
        while let Some(unsure) = asking.next(self.store()).await? {
            // Let go of after each: others put meanwhile.
            match self.session().await {
                Ok(mut session) => {
                    let broker = session.broker.as_mut();
                    asking.ask(broker, self.store(), unsure).await?;
                }
                Err(error) => asking.could_not(unsure.len(), error),
            }
        }
        Ok(asking)
    }
}
