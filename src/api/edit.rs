//! Changing tasks that wait.

use std::time::Duration;

use super::bulk::{Answer, Bulk, Chosen, Page, Summary};
use super::error::Error;
use super::put::Receipt;
use super::queue::Queue;
use super::ring::Ringer;
use crate::crash::{self, Point};
use crate::ledger::Millis;
use crate::ledger::announce::Again;
use crate::ledger::edit::{self, Due, Edited, NotEdited};
use crate::task::id::TaskId;
use crate::task::payload::{Argument, OptionName, OptionValue, Refusal};
use crate::task::tag::Tag;

/// What of a task that waits is to be otherwise: a builder. What is not named stays as it is.
///
/// ```
/// use taskqueue::{Edit, Put, Queue, StoreUrl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let store = StoreUrl::from(folder.path().join("tasks.db"));
/// let queue = Queue::open(&"embedded".parse()?, &store)?;
/// let task = queue.put(&"t".parse()?, Put::command("report").argument("may")).await?;
/// let june = Edit::default().arguments(["june"]).option("format", "pdf")?.priority(1);
/// queue.edit(task.id, &june).await?;
/// let task = queue.show(task.id).await?.ok_or("gone")?;
/// assert_eq!((task.arguments.as_str(), task.priority), (r#"["june"]"#, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit(edit::Edit);

impl Edit {
    /// Nothing is to be otherwise.
    pub fn is_empty(&self) -> bool {
        self.0 == edit::Edit::default()
    }

    /// Its job's priority; 0 is the most urgent.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Edit {
        self.0.priority = Some(priority);
        self
    }

    /// It is due so much later than now.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Edit {
        let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
        self.0.due = Some(Due::In(delay));
        self
    }

    /// It is due then, in milliseconds since 1970.
    #[must_use]
    pub fn at(mut self, at: Millis) -> Edit {
        self.0.due = Some(Due::At(at));
        self
    }

    /// All of its arguments, in the place of those that it has.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Edit {
        let arguments = arguments
            .into_iter()
            .map(|text| Argument::of_text(text.into()));
        self.0.arguments = Some(arguments.collect());
        self
    }

    /// An option, in the place of the one of this name if it has one.
    ///
    /// # Errors
    /// When no option can have this name.
    pub fn option(self, name: impl AsRef<str>, value: impl Into<String>) -> Result<Edit, Refusal> {
        let value = OptionValue::Text(value.into());
        Ok(self.options([(name.as_ref().parse()?, value)]))
    }

    /// An option without a value.
    ///
    /// # Errors
    /// When no option can have this name.
    pub fn flag(self, name: impl AsRef<str>) -> Result<Edit, Refusal> {
        Ok(self.options([(name.as_ref().parse()?, OptionValue::Flag)]))
    }

    /// Several options.
    #[must_use]
    pub fn options(mut self, options: impl IntoIterator<Item = (OptionName, OptionValue)>) -> Edit {
        self.0.options.extend(options);
        self
    }

    /// The options that it has go.
    #[must_use]
    pub fn clear_options(mut self) -> Edit {
        self.0.clear_options = true;
        self
    }

    /// A tag, in the place of the one of this name if it has one.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Edit {
        self.0.tags.push(tag);
        self
    }

    /// The tags that it has go.
    #[must_use]
    pub fn clear_tags(mut self) -> Edit {
        self.0.clear_tags = true;
        self
    }
}

impl Queue {
    /// Changes a task that waits. Where its priority or its due time is otherwise, it gets another job, and the old one
    /// is removed where the broker answers; a broker that cannot be reached is no error, as with [`Queue::put`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Edit, Error, Put, Queue, StoreUrl, TaskId};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// let later = Edit::default().delay(Duration::from_secs(3600));
    /// queue.edit(task.id, &later).await?;
    /// assert!(queue.show(task.id).await?.ok_or("gone")?.due.is_some());
    /// let nobody = queue.edit(TaskId(99), &later).await;
    /// assert!(matches!(nobody, Err(Error::NotEdited(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotEdited`] if there is no such task, if it does not wait, or if it could never run then.
    pub async fn edit(&self, id: TaskId, edit: &Edit) -> Result<Receipt, Error> {
        self.do_to_one(id, &mut Editing::by(&edit.0)).await
    }

    /// The same of all that were [chosen](Queue::choose), a page at a time, beside those who work.
    ///
    /// ```
    /// use taskqueue::{Edit, Filter, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// queue.put(&"mail".parse()?, Put::raw("hello").tag("urgent".parse()?)).await?;
    /// let urgent = Filter::default().tag("urgent".parse()?).status(Status::Waiting);
    /// let chosen = queue.choose(&urgent).await?;
    /// let first = Edit::default().priority(0);
    /// let done = queue.edit_all(&chosen, &first, |(id, answer)| {
    ///     if let Err(why) = answer {
    ///         eprintln!("task {id} stays as it is: {why}");
    ///     }
    /// });
    /// assert_eq!(done.await?.changed, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be used; what was changed by then is.
    pub async fn edit_all(
        &self,
        chosen: &Chosen,
        edit: &Edit,
        told: impl FnMut(&Answer),
    ) -> Result<Summary, Error> {
        let mut editing = Editing::by(&edit.0);
        self.do_to_all(chosen, &mut editing, told).await
    }

    /// Lets a task that waits be due now, whatever it waits for: its delay, or its next attempt.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let tomorrow = Put::raw("hello").delay(Duration::from_secs(86_400));
    /// let task = queue.put(&"mail".parse()?, tomorrow).await?;
    /// let due = queue.show(task.id).await?.ok_or("gone")?.due;
    /// queue.run_now(task.id).await?;
    /// assert!(queue.show(task.id).await?.ok_or("gone")?.due < due);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As with [`Queue::edit`].
    pub async fn run_now(&self, id: TaskId) -> Result<Receipt, Error> {
        let mut editing = Editing::by(&edit::Edit::run_now());
        self.do_to_one(id, &mut editing).await
    }

    /// The same of all that were [chosen](Queue::choose), a page at a time, beside those who work.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Filter, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let mail = "mail".parse()?;
    /// queue.put(&mail, Put::raw("hello").delay(Duration::from_secs(600))).await?;
    /// let delayed = Filter::default().tube(&mail).status(Status::Waiting);
    /// let chosen = queue.choose(&delayed).await?;
    /// assert_eq!(queue.run_all_now(&chosen, |_| {}).await?.changed, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be used; what was changed by then is.
    pub async fn run_all_now(
        &self,
        chosen: &Chosen,
        told: impl FnMut(&Answer),
    ) -> Result<Summary, Error> {
        let mut editing = Editing::by(&edit::Edit::run_now());
        self.do_to_all(chosen, &mut editing, told).await
    }
}

struct Editing {
    edit: edit::Edit,
    ringer: Ringer,
}

impl Editing {
    fn by(edit: &edit::Edit) -> Editing {
        Editing {
            edit: edit.clone(),
            ringer: Ringer::default(),
        }
    }
}

impl Bulk for Editing {
    type Done = Receipt;

    async fn page(&mut self, queue: &Queue, tasks: Vec<TaskId>) -> Result<Page, Error> {
        let (changed, held) = queue.change(&self.edit, &tasks).await?;
        crash::here(Point::TasksEdited);
        let done = changed
            .iter()
            .filter_map(|(_, changed)| changed.as_ref().ok()?.as_ref().ok());
        let again: Vec<Again> = done.filter_map(|edited| edited.again.clone()).collect();
        let trouble = self.ringer.ring(queue, &again).await;
        let answer = |(id, changed): (TaskId, Result<Result<Edited, NotEdited>, _>)| {
            let receipt = match changed {
                Ok(Ok(Edited { uuid, again })) => Ok(Receipt {
                    existing: None,
                    id,
                    uuid,
                    trouble: trouble
                        .clone()
                        .filter(|_| again.is_some_and(|again| !again.has_job)),
                }),
                Ok(Err(refused)) => Err(Error::NotEdited(refused)),
                Err(error) => Err(Error::Store(error)),
            };
            (id, receipt)
        };
        let answers = changed.into_iter().map(answer).collect();
        Ok(Page { answers, held })
    }
}
