//! Deleting what ended long ago.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::error::Error;
use super::queue::Queue;
use crate::broker;
use crate::clock::now;
use crate::ledger::cleanup::{Old, SoFar, Unsure};
use crate::ledger::{self, Ledger, Millis};
use crate::reconcile::gone_or_buried;
use crate::task::id::TaskId;
use crate::task::state::Status;

/// Bodies asked for and held at once.
const AT_ONCE: usize = 64;

/// What is to go: a builder.
#[derive(Debug, Clone)]
pub struct Cleanup {
    age: Duration,
    /// None is named: those that are done.
    ended: Vec<Ended>,
    dry_run: bool,
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
    pub kept: Option<Kept>,
}

/// Why tasks stay whose jobs, put by other producers, may still be there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// The broker could not be asked.
    Unasked(broker::Error),
    /// Another broker had the jobs, and this one would say of all that they are gone.
    Elsewhere {
        /// The tasks.
        tasks: u64,
    },
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Unasked(error) => error.fmt(f),
            Kept::Elsewhere { tasks } => {
                write!(f, "{tasks} came from another broker than this one")
            }
        }
    }
}

impl Cleanup {
    /// Tasks that are done, and ended longer ago than this.
    pub fn older_than(age: Duration) -> Cleanup {
        Cleanup {
            age,
            ended: Vec::new(),
            dry_run: false,
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
    /// Deletes old tasks with their attempts and output, a few at a time: whoever uses the store hardly waits.
    ///
    /// Other producers' tasks go once their jobs are gone. Where that is not noted, the broker is asked: a job that is
    /// buried is deleted with its task, and tasks of which it is not known stay ([`Cleaned::kept`]).
    ///
    /// A future that is dropped leaves some deleted and others not.
    pub async fn cleanup(&self, cleanup: &Cleanup) -> Result<Cleaned, Error> {
        let old = cleanup.old(now());
        let Asked { kept, may_go } = self.ask_for_jobs(&old, cleanup.dry_run).await?;
        if cleanup.dry_run {
            let known = self.store().call(move |db| db.count_old(&old)).await?;
            return Ok(Cleaned {
                deleted: 0,
                would_delete: known.saturating_add(may_go),
                kept,
            });
        }
        let mut so_far = SoFar::default();
        while !so_far.is_over() {
            let old = old.clone();
            let step = self.store().call(move |db| db.clean_up_some(&old, so_far));
            so_far = step.await?;
            if let Some(pause) = so_far.pause() {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(Cleaned {
            deleted: so_far.deleted,
            would_delete: 0,
            kept,
        })
    }

    /// A worker notes when a producer's own job has gone, and may die before it can; and it buries the job of a task
    /// that is refused. What has become of such a job, the broker knows; where it cannot be asked, these tasks stay.
    async fn ask_for_jobs(&self, old: &Old, dry_run: bool) -> Result<Asked, Error> {
        let (mut after, mut elsewhere, mut may_go) = (TaskId::BEFORE_ALL, 0, 0);
        loop {
            let old = old.clone();
            let unsure = self.store().call(move |db| db.unsure(&old, after)).await?;
            let Some(last) = unsure.last() else {
                break;
            };
            after = last.id;
            let all = unsure.len() as u64;
            match self.ask_for(unsure, dry_run).await? {
                Ok((ours, gone)) => {
                    elsewhere += all.saturating_sub(ours);
                    may_go += gone;
                }
                Err(error) => {
                    let kept = Some(Kept::Unasked(error));
                    return Ok(Asked { kept, may_go });
                }
            }
        }
        let kept = (elsewhere > 0).then_some(Kept::Elsewhere { tasks: elsewhere });
        Ok(Asked { kept, may_go })
    }

    /// Asks for the jobs of some tasks, deletes those that are buried, and notes which are gone; a dry run only asks.
    /// How many this broker knows of, and how many of them are gone.
    async fn ask_for(
        &self,
        unsure: Vec<Unsure>,
        dry_run: bool,
    ) -> Result<Result<(u64, u64), broker::Error>, Error> {
        let mut session = match self.session().await {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        let instance = match session.broker.instance().await {
            Ok(instance) => instance,
            Err(error) => return Ok(Err(error)),
        };
        let ours = self
            .store()
            .call(move |db| of_this_broker(db, unsure, &instance));
        let ours = ours.await?;
        let (mut gone, mut trouble) = (Vec::new(), None);
        for some in ours.chunks(AT_ONCE) {
            match gone_or_buried(session.broker.as_mut(), some, dry_run).await {
                Ok(these) => gone.extend(these),
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
        }
        let counts = (ours.len() as u64, gone.len() as u64);
        // Also of those before the trouble: their jobs are deleted.
        if !gone.is_empty() && !dry_run {
            self.store().call(move |db| db.note_deleted(&gone)).await?;
        }
        Ok(trouble.map_or(Ok(counts), Err))
    }
}

/// What the broker said of jobs of which nothing was noted.
struct Asked {
    kept: Option<Kept>,
    /// So many of their tasks go, or would.
    may_go: u64,
}

/// Those of which this broker knows whether their jobs are there: it had them, or has had later ones of their tube, and
/// so was started in the place of the one that had them. Another would say of all that they are gone.
fn of_this_broker(
    db: &Ledger,
    unsure: Vec<Unsure>,
    instance: &str,
) -> Result<Vec<Unsure>, ledger::Error> {
    let mut been: HashMap<String, bool> = HashMap::new();
    let mut ours = Vec::with_capacity(unsure.len());
    for task in unsure {
        let known = match been.get(&task.tube) {
            Some(known) => *known,
            None => {
                let known = db.has_been_at(&task.tube, instance)?;
                been.insert(task.tube.clone(), known);
                known
            }
        };
        if known || task.instance == instance {
            ours.push(task);
        }
    }
    Ok(ours)
}
