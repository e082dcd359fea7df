//! Looking: one task, lists of tasks, how many there are.

use std::collections::BTreeMap;

use super::error::Error;
use super::queue::Queue;
use crate::ledger::counts::Counts;
use crate::ledger::read::{Filter, Key, Page, Task, Tree};
use crate::task::id::TaskId;
#[cfg(feature = "cli")]
use crate::{task::Millis, tube::TubeName};

/// Numbers asked for at a time.
const PICKED: usize = 10_000;

impl Queue {
    /// Looks a task up by its id or its uuid, with its attempts and what they printed. `None`: it is not
    /// there, or was cleaned up.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl, TaskId};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// let by_uuid = queue.show(task.uuid).await?.ok_or("gone")?;
    /// assert_eq!(by_uuid.id, task.id);
    /// for attempt in &by_uuid.attempts {
    ///     println!("{} by {}", attempt.number, attempt.worker);
    /// }
    /// // What a shell would have seen of its command, once that has ended.
    /// assert_eq!(by_uuid.exit_status(), None);
    /// assert!(queue.show(TaskId(99)).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn show(&self, key: impl Into<Key>) -> Result<Option<Task>, Error> {
        let key = key.into();
        Ok(self.store().call(move |db| db.show(key)).await?)
    }

    /// A task with all that it waits for, and all that waits for these, as far as that can be drawn; its `Display`
    /// draws it. `None`: there is no such task.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let tube = "t".parse()?;
    /// let first = queue.put(&tube, Put::command("fetch")).await?.id;
    /// let second = queue.put(&tube, Put::command("report").after(first)).await?.id;
    /// let tree = queue.tree(second).await?.ok_or("gone")?;
    /// assert_eq!(tree.to_string(), "1 waiting fetch\n└─ 2 waiting report ◀\n");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tree(&self, key: impl Into<Key>) -> Result<Option<Tree>, Error> {
        let key = key.into();
        Ok(self.store().call(move |db| db.tree(key)).await?)
    }

    /// The newest tasks that pass the filter: a page of them, with `most` at most, and never more than 200. The next
    /// page begins below [`Page::next`]; without a `below` it is the first one.
    ///
    /// ```
    /// use taskqueue::{Filter, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let failed = Filter::default().status(Status::Failed);
    /// let mut page = queue.list(&failed, None, 100).await?;
    /// loop {
    ///     for task in &page.tasks {
    ///         println!("{}: {}", task.id, task.reason.as_deref().unwrap_or("no reason"));
    ///     }
    ///     let Some(next) = page.next else { break };
    ///     page = queue.list(&failed, Some(next), 100).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list(
        &self,
        filter: &Filter,
        below: Option<TaskId>,
        most: u64,
    ) -> Result<Page, Error> {
        let filter = filter.clone();
        let below = below.unwrap_or(TaskId::AFTER_ALL);
        let page = self.store().call(move |db| db.page(&filter, below, most));
        Ok(page.await?)
    }

    /// Whether a worker of a tube lives, with a tender or without one, or has ended since then.
    #[cfg(feature = "cli")]
    pub(crate) async fn has_worker(&self, tube: &TubeName, since: Millis) -> Result<bool, Error> {
        let tube = tube.clone();
        let asked = self.store().call(move |db| db.has_worker(&tube, since));
        Ok(asked.await?)
    }

    /// The numbers of all tasks that pass the filter now, the oldest first: those to [wait](Queue::wait) for, say.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Filter, Put, Queue, StoreUrl};
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
    /// let campaign = Filter::default().tag("campaign=spring".parse()?);
    /// let tasks = queue.matching(&campaign).await?;
    /// let waited = queue.wait(&tasks, false, Some(Duration::from_millis(1))).await?;
    /// assert_eq!(waited.open.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn matching(&self, filter: &Filter) -> Result<Vec<TaskId>, Error> {
        let (mut found, mut after) = (Vec::new(), TaskId::BEFORE_ALL);
        loop {
            let filter = filter.clone();
            let picking = self
                .store()
                .call(move |db| db.pick(&filter, after, TaskId::AFTER_ALL, PICKED));
            let picked = picking.await?;
            let Some(last) = picked.last() else {
                return Ok(found);
            };
            after = *last;
            found.extend(picked);
        }
    }

    /// How many tasks of each tube wait, run, are stalled or have failed; tubes in which all is done are left out.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// for (tube, counts) in queue.counts().await? {
    ///     println!("{tube}: {} wait, {} have failed", counts.waiting, counts.failed);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn counts(&self) -> Result<BTreeMap<String, Counts>, Error> {
        Ok(self.store().call(|db| db.counts()).await?)
    }
}
