//! Changing tasks that wait.

use std::sync::Arc;
use std::time::Duration;

use super::bulk::{Answer, Bulk, Chosen, Page, Summary};
use super::error::Error;
use super::put::Receipt;
use super::queue::Queue;
use super::ring::Ringer;
use crate::crash::{self, Point};
use crate::ledger::Millis;
use crate::ledger::announce::Again;
use crate::ledger::edit::{self, Bounded, Due, Edited, NotEdited};
use crate::task::command::Commands;
use crate::task::id::TaskId;
use crate::task::own::Own;
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
#[derive(Debug, Clone, Default)]
pub struct Edit {
    edit: edit::Edit,
    /// What is configured, if that is known.
    commands: Option<Arc<Commands>>,
}

impl Edit {
    /// Nothing is to be otherwise.
    pub fn is_empty(&self) -> bool {
        self.edit == edit::Edit::default()
    }

    /// Its job's priority; 0 is the most urgent.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Edit {
        self.edit.priority = Some(priority);
        self
    }

    /// It is due so much later than now.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Edit {
        let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
        self.edit.due = Some(Due::In(delay));
        self
    }

    /// It is due then, in milliseconds since 1970.
    #[must_use]
    pub fn at(mut self, at: Millis) -> Edit {
        self.edit.due = Some(Due::At(at));
        self
    }

    /// All of its arguments, in the place of those that it has.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Edit {
        let arguments = arguments
            .into_iter()
            .map(|text| Argument::of_text(text.into()));
        self.edit.arguments = Some(arguments.collect());
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
        self.edit.options.extend(options);
        self
    }

    /// The options that it has go.
    #[must_use]
    pub fn clear_options(mut self) -> Edit {
        self.edit.clear_options = true;
        self
    }

    /// A tag, in the place of the one of this name if it has one.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Edit {
        self.edit.tags.push(tag);
        self
    }

    /// The tags that it has go.
    #[must_use]
    pub fn clear_tags(mut self) -> Edit {
        self.edit.clear_tags = true;
        self
    }

    /// What it says of its own attempts: how often it is tried, after what waits, how long an attempt may take, and
    /// variables, each in the place of the one of this name if it has one. What is not said stays as it is.
    #[must_use]
    pub fn own(mut self, own: Own) -> Edit {
        self.edit.own = own;
        self
    }

    /// All that it says of its own attempts goes.
    #[must_use]
    pub fn clear_own(mut self) -> Edit {
        self.edit.clear_own = true;
        self
    }

    /// The variables that it brings go.
    #[must_use]
    pub fn clear_env(mut self) -> Edit {
        self.edit.clear_environment = true;
        self
    }

    /// Refuses of what it is to say of its own attempts what these commands do not let it. Without them whoever claims
    /// the task refuses it.
    #[must_use]
    pub fn within(mut self, commands: &Arc<Commands>) -> Edit {
        self.commands = Some(Arc::clone(commands));
        self
    }

    fn bounded(&self) -> Bounded {
        Bounded {
            edit: self.edit.clone(),
            commands: self.commands.clone(),
        }
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
        self.do_to_one(id, &mut Editing::by(edit.bounded())).await
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
        let mut editing = Editing::by(edit.bounded());
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
        let mut editing = Editing::by(run_now());
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
        let mut editing = Editing::by(run_now());
        self.do_to_all(chosen, &mut editing, told).await
    }
}

fn run_now() -> Bounded {
    Bounded {
        edit: edit::Edit::run_now(),
        commands: None,
    }
}

struct Editing {
    edit: Bounded,
    ringer: Ringer,
}

impl Editing {
    fn by(edit: Bounded) -> Editing {
        Editing {
            edit,
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
