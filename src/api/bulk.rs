//! The same done to many tasks: chosen by a filter, a page of them at a time.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::time::{Duration, Instant};

use super::error::Error;
use super::put::Receipt;
use super::queue::Queue;
use crate::broker;
use crate::clock::now;
use crate::ledger::bulk::{Change, Changed};
use crate::ledger::filter::Filter;
use crate::ledger::pace::{MOST, PAUSE, Pace};
use crate::task::id::TaskId;

/// Tasks counted at a time.
const COUNTED: usize = 10_000;

/// Tasks that were chosen and counted, for something to be done to them. Those that are recorded later are not among
/// them. Made by [`Queue::choose`].
#[derive(Debug, Clone)]
pub struct Chosen {
    filter: Filter,
    count: u64,
    /// The last of them.
    up_to: TaskId,
}

impl Chosen {
    /// How many they are. Numbers that were named are counted whether or not there are such tasks.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// They are some numbers that were named, and so few that nobody has to be asked whether they are meant.
    pub fn is_a_page(&self) -> bool {
        let ids = self.filter.ids.as_ref();
        ids.is_some_and(|ids| ids.len() <= MOST)
    }
}

/// What became of one task: what is known of it now, or why it stays as it was.
pub type Answer<Done = Receipt> = (TaskId, Result<Done, Error>);

/// What something that was done to many tasks came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// To so many tasks it was done.
    pub changed: u64,
    /// So many stay as they were.
    pub refused: u64,
    /// What kept jobs from being put, of so many of those that were changed. They are put when the broker is back.
    pub unannounced: Option<(u64, broker::Error)>,
}

/// What is done to tasks, and what follows at the broker.
pub(super) trait Bulk: Send {
    /// What is known of a task to which it was done.
    type Done: Done;

    /// Does it to some tasks, in one transaction, and sees to their jobs.
    ///
    /// # Errors
    /// When the store cannot be used: nothing was done to these, nor will be to those after them.
    fn page(
        &mut self,
        queue: &Queue,
        tasks: Vec<TaskId>,
    ) -> impl Future<Output = Result<Page<Self::Done>, Error>> + Send;
}

/// What is known of a task to which something was done.
pub(super) trait Done: Send {
    /// What kept its job from being put.
    fn trouble(&self) -> Option<&broker::Error>;
}

impl Done for Receipt {
    fn trouble(&self) -> Option<&broker::Error> {
        self.trouble.as_ref()
    }
}

/// What became of some tasks.
pub(super) struct Page<Done = Receipt> {
    /// One each, in their order.
    pub answers: Vec<Answer<Done>>,
    /// For so long others had to wait to write.
    pub held: Duration,
}

impl Queue {
    /// Counts the tasks that pass a filter, for something to be done to them.
    ///
    /// ```
    /// use taskqueue::{Filter, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// let failed = Filter::default().status(Status::Failed).reason("connection refused");
    /// let chosen = queue.choose(&failed).await?;
    /// println!("{} tasks will run again", chosen.count());
    /// let done = queue.regenerate_all(&chosen, None, |_| {}).await?;
    /// assert_eq!((done.changed, done.refused), (0, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn choose(&self, filter: &Filter) -> Result<Chosen, Error> {
        if let Some(ids) = filter.only_ids() {
            let mut seen = HashSet::with_capacity(ids.len());
            let ids: Vec<TaskId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
            return Ok(Chosen {
                count: ids.len() as u64,
                filter: Filter::default().ids(ids),
                up_to: TaskId::AFTER_ALL,
            });
        }
        let mut filter = filter.clone();
        if let Some(ids) = &mut filter.ids {
            ids.sort_unstable();
            ids.dedup();
        }
        let mut chosen = Chosen {
            filter,
            count: 0,
            up_to: TaskId::BEFORE_ALL,
        };
        loop {
            let (filter, after) = (chosen.filter.clone(), chosen.up_to);
            let found = self
                .store()
                .call(move |db| db.pick(&filter, after, TaskId::AFTER_ALL, COUNTED))
                .await?;
            let Some(last) = found.last() else {
                return Ok(chosen);
            };
            chosen.up_to = *last;
            chosen.count = chosen.count.saturating_add(found.len() as u64);
        }
    }

    /// Does something to all that were chosen, a page at a time; after each page whoever works has a pause to write.
    pub(super) async fn do_to_all<B: Bulk>(
        &self,
        chosen: &Chosen,
        bulk: &mut B,
        mut told: impl FnMut(&Answer<B::Done>),
    ) -> Result<Summary, Error> {
        let (mut pace, mut summary) = (Pace::default(), Summary::default());
        let mut left = Left::of(chosen);
        loop {
            let tasks = left.next(self, pace.most()).await?;
            if tasks.is_empty() {
                return Ok(summary);
            }
            let count = tasks.len();
            let page = bulk.page(self, tasks).await?;
            self.tell_children().await?;
            pace = pace.after(count, page.held);
            for answer in &page.answers {
                summary.add(answer);
                told(answer);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Does something to one task.
    pub(super) async fn do_to_one<B: Bulk>(
        &self,
        task: TaskId,
        bulk: &mut B,
    ) -> Result<B::Done, Error> {
        let page = bulk.page(self, vec![task]).await?;
        self.tell_children().await?;
        let answer = page.answers.into_iter().next();
        // One answer each.
        answer.map_or_else(
            || Err(crate::ledger::Error::closed().into()),
            |(_, answer)| answer,
        )
    }

    /// Changes rows in one transaction. Says also for how long others had to wait.
    pub(super) async fn change<C: Change + Clone + 'static>(
        &self,
        change: &C,
        tasks: &[TaskId],
    ) -> Result<(Vec<(TaskId, Changed<C>)>, Duration), Error> {
        let (change, tasks) = (change.clone(), tasks.to_vec());
        let changing = self.change_rows(move |db| {
            let mut began = None;
            let begins = || began = Some(Instant::now());
            let changed = db.change_all(&change, &tasks, now(), begins)?;
            let held = began.map_or(Duration::ZERO, |began: Instant| began.elapsed());
            Ok((tasks.into_iter().zip(changed).collect(), held))
        });
        Ok(changing.await?)
    }
}

impl Summary {
    fn add(&mut self, (_, answer): &Answer<impl Done>) {
        match answer {
            Err(_) => self.refused = self.refused.saturating_add(1),
            Ok(done) => {
                self.changed = self.changed.saturating_add(1);
                if let Some(error) = done.trouble() {
                    let first = || (0, error.clone());
                    let (count, _) = self.unannounced.get_or_insert_with(first);
                    *count = count.saturating_add(1);
                }
            }
        }
    }
}

/// Those of the chosen to whom it was not done yet.
enum Left<'a> {
    /// Numbers that were named, whether or not there are such tasks.
    Ids(VecDeque<TaskId>),
    /// Those behind one that pass a filter.
    Behind { chosen: &'a Chosen, after: TaskId },
}

impl<'a> Left<'a> {
    fn of(chosen: &'a Chosen) -> Left<'a> {
        match chosen.filter.only_ids() {
            Some(ids) => Left::Ids(ids.iter().copied().collect()),
            None => Left::Behind {
                chosen,
                after: TaskId::BEFORE_ALL,
            },
        }
    }

    async fn next(&mut self, queue: &Queue, most: usize) -> Result<Vec<TaskId>, Error> {
        match self {
            Left::Ids(ids) => Ok(ids.drain(..most.min(ids.len())).collect()),
            Left::Behind { chosen, after } => {
                let (filter, from, up_to) = (chosen.filter.clone(), *after, chosen.up_to);
                let picking = queue
                    .store()
                    .call(move |db| db.pick(&filter, from, up_to, most));
                let picked = picking.await?;
                *after = picked.last().copied().unwrap_or(*after);
                Ok(picked)
            }
        }
    }
}
