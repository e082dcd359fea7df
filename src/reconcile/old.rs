//! The jobs of tasks that ended long ago: a task goes once it is known that its producer's own job has gone.
//!
//! A worker notes when a producer's own job has gone, and may die before it can; and it buries the job of a task that
//! is refused. What has become of such a job, the broker knows. Where it cannot be asked, these tasks stay.

use std::fmt;

use super::refused::gone_or_buried;
use super::whose::of_this_broker;
use crate::broker::{self, Broker};
use crate::ledger::cleanup::{Old, Unsure};
use crate::ledger::{self, Store};
use crate::task::id::TaskId;

/// Bodies asked for and held at once.
const AT_ONCE: usize = 64;

/// Why tasks stay whose jobs, put by other producers, may still be there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// The broker could not be asked.
    Unasked {
        /// The tasks.
        tasks: u64,
        /// Why not.
        error: broker::Error,
    },
    /// Another broker had the jobs, and this one would say of all that they are gone.
    Elsewhere {
        /// The tasks.
        tasks: u64,
    },
    /// The jobs are there, and not buried: whoever kicked or has them gets them.
    Waiting {
        /// The tasks.
        tasks: u64,
    },
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Unasked { tasks, error } => {
                let why = match tasks {
                    1 => "is gone",
                    _ => "are gone",
                };
                let (stay, whose) = told(*tasks);
                write!(
                    f,
                    "{stay}: the broker could not be asked whether {whose} {why}: {error}"
                )
            }
            Kept::Elsewhere { tasks } => {
                let (stay, whose) = told(*tasks);
                write!(f, "{stay}: {whose} came from another broker than this one")
            }
            Kept::Waiting { tasks: 1 } => write!(
                f,
                "{}: its job, put by another producer, is still at the broker and not buried",
                told(1).0
            ),
            Kept::Waiting { tasks } => write!(
                f,
                "{}: their jobs, put by other producers, are still at the broker and not buried",
                told(*tasks).0
            ),
        }
    }
}

/// That so many stay, and whose jobs that is about.
fn told(tasks: u64) -> (String, &'static str) {
    match tasks {
        1 => ("1 task that ended long ago stays".into(), "its job"),
        tasks => (
            format!("{tasks} tasks that ended long ago stay"),
            "their jobs",
        ),
    }
}

/// Asking for the jobs of all old tasks of which nothing was noted, some tasks at a time.
#[derive(Debug)]
pub struct Asking {
    old: Old,
    /// Only asks.
    dry_run: bool,
    after: TaskId,
    gone: u64,
    elsewhere: u64,
    waiting: u64,
    unasked: u64,
    /// Why the others were not asked for.
    error: Option<broker::Error>,
}

impl Asking {
    /// From the first of them on.
    pub fn begin(old: Old, dry_run: bool) -> Asking {
        Asking {
            old,
            dry_run,
            after: TaskId::BEFORE_ALL,
            gone: 0,
            elsewhere: 0,
            waiting: 0,
            unasked: 0,
            error: None,
        }
    }

    /// The next tasks to [ask](Asking::ask) for; none if there are no more, or no more can be asked for.
    ///
    /// # Errors
    /// When the store cannot be looked at.
    pub async fn next(&mut self, store: &Store) -> Result<Option<Vec<Unsure>>, ledger::Error> {
        loop {
            let (old, after) = (self.old.clone(), self.after);
            let unsure = store.call(move |db| db.unsure(&old, after)).await?;
            let Some(last) = unsure.last() else {
                return Ok(None);
            };
            self.after = last.id;
            match self.error {
                None => return Ok(Some(unsure)),
                Some(_) => self.unasked += unsure.len() as u64,
            }
        }
    }

    /// Asks for the jobs of some tasks, deletes those that are buried, and notes which are gone; a dry run only asks.
    ///
    /// # Errors
    /// When the store cannot be used. A broker that cannot be asked is why tasks stay.
    pub async fn ask(
        &mut self,
        broker: &mut dyn Broker,
        store: &Store,
        unsure: Vec<Unsure>,
    ) -> Result<(), ledger::Error> {
        let instance = match broker.instance().await {
            Ok(instance) => instance,
            Err(error) => {
                self.could_not(unsure.len(), error);
                return Ok(());
            }
        };
        let all = unsure.len();
        let ours = store
            .call(move |db| of_this_broker(db, unsure, &instance))
            .await?;
        self.elsewhere += all.saturating_sub(ours.len()) as u64;
        let (mut gone, mut asked, mut trouble) = (Vec::new(), 0, None);
        for some in ours.chunks(AT_ONCE) {
            match gone_or_buried(broker, some, self.dry_run).await {
                Ok(these) => gone.extend(these),
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
            asked += some.len();
        }
        self.gone += gone.len() as u64;
        self.waiting += asked.saturating_sub(gone.len()) as u64;
        if let Some(error) = trouble {
            self.could_not(ours.len().saturating_sub(asked), error);
        }
        // Also of those before the trouble: their jobs are deleted.
        if !gone.is_empty() && !self.dry_run {
            store.call(move |db| db.note_deleted(&gone)).await?;
        }
        Ok(())
    }

    /// The broker could not be asked for so many, and is asked no more.
    pub fn could_not(&mut self, tasks: usize, error: broker::Error) {
        self.unasked += tasks as u64;
        self.error = Some(error);
    }

    /// So many tasks may go, that could not before.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// How many stay, and why.
    pub fn kept(self) -> Vec<Kept> {
        let of = |tasks: u64, kept: fn(u64) -> Kept| (tasks > 0).then(|| kept(tasks));
        let unasked = self.error.map(|error| Kept::Unasked {
            tasks: self.unasked,
            error,
        });
        let others = [
            of(self.elsewhere, |tasks| Kept::Elsewhere { tasks }),
            of(self.waiting, |tasks| Kept::Waiting { tasks }),
        ];
        unasked
            .into_iter()
            .chain(others.into_iter().flatten())
            .collect()
    }
}
