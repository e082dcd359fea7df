//! What is put, and what is answered.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::error::Error;
use crate::broker;
use crate::ledger::Millis;
use crate::ledger::edit::Due;
use crate::ledger::put::NewTask;
use crate::ledger::unique::{NotReplaced, Taken};
use crate::seconds::whole_seconds;
use crate::task::after::{IfParentFails, Links, Parent};
use crate::task::command::{Commands, Content};
use crate::task::id::TaskId;
use crate::task::own::{BadOwn, Own};
use crate::task::payload::{Argument, Call, OptionValue, Refusal};
use crate::task::retry::{Attempts, Waits};
use crate::task::tag::{self, Tag};
use crate::task::unique::Unique;
use crate::tube::TubeName;

/// The end of the year 9999, for who wants more has no calendar for it.
const LATEST: Millis = 253_402_300_799_000;

/// A job's TTR unless another is asked for. Workers touch their jobs, so that a command may run longer.
pub const DEFAULT_TTR: Duration = Duration::from_secs(60);

/// What to put, and how: a builder. What is wrong with it, [`Queue::put`](super::Queue::put) says.
#[derive(Debug)]
pub struct Put {
    /// Or the first thing that was wrong.
    content: Result<Content, Error>,
    uuid: Uuid,
    priority: u32,
    /// `None`: at once.
    due: Option<Due>,
    /// Its arguments are not to be seen at the broker.
    pub(super) discreet: bool,
    ttr: Duration,
    tags: Vec<Tag>,
    unique: Option<Unique>,
    own: Own,
    pub(super) links: Links,
}

/// A task that is recorded: it will be run, whatever happens to whoever put it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its number in the store.
    pub id: TaskId,
    /// Its identity.
    pub uuid: Uuid,
    /// What kept its job from being put. It is put when the broker is back.
    pub trouble: Option<broker::Error>,
    /// It was there before, and has the key that the put asked for: no other task was recorded.
    pub existing: Option<Existing>,
}

/// What became of a task that has the key of what was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// It is as it was.
    Kept,
    /// It is given what the put says.
    Replaced,
    /// It was to be given that, and is as it was.
    NotReplaced(NotReplaced),
}

/// The task that has the key of what was put, and what became of that task.
pub(super) fn existing(taken: &Taken) -> Result<(TaskId, Uuid, Existing), Error> {
    match *taken {
        Taken::Kept { id, uuid, because } => {
            let kept = because.map_or(Existing::Kept, Existing::NotReplaced);
            Ok((id, uuid, kept))
        }
        Taken::Replaced { id, uuid, .. } => Ok((id, uuid, Existing::Replaced)),
        Taken::Refused(holder) => Err(Error::KeyTaken(holder)),
    }
}

impl Receipt {
    /// Whether the broker knows of it.
    pub fn announced(&self) -> bool {
        self.trouble.is_none()
    }
}

impl Put {
    /// Runs a configured command: `invoice:send`.
    pub fn command(name: impl AsRef<str>) -> Put {
        Put::new(name.as_ref().parse().map_err(Error::from).map(|command| {
            Content::Call(Call {
                command,
                arguments: Vec::new(),
                options: Vec::new(),
            })
        }))
    }

    /// Any bytes, of any number, for the command that the tube names.
    pub fn raw(body: impl Into<Bytes>) -> Put {
        Put::new(Ok(Content::Raw(body.into())))
    }

    fn new(content: Result<Content, Error>) -> Put {
        Put {
            content,
            uuid: Uuid::now_v7(),
            priority: broker::DEFAULT_PRIORITY,
            due: None,
            discreet: false,
            ttr: DEFAULT_TTR,
            tags: Vec::new(),
            unique: None,
            own: Own::default(),
            links: Links::default(),
        }
    }

    /// Why a worker that has these commands would not run it, were it put into this tube.
    pub fn refusal(&self, commands: &Commands, tube: &TubeName) -> Option<Refusal> {
        let content = self.content.as_ref().ok()?;
        let own = Some(&self.own).filter(|own| !own.is_empty());
        commands.plan_with(self.uuid, tube, content, own).err()
    }

    /// Roughly how many bytes it takes up, for those who put many in one go.
    pub fn size(&self) -> usize {
        let variables = self.own.environment.values().map(String::len);
        let content = self.content.as_ref().map_or(0, Content::size);
        variables.fold(content, usize::saturating_add)
    }

    /// Adds an argument: one element of the argv, whatever is in it. One that begins with a hyphen needs the
    /// command's leave, unless it is a number.
    #[must_use]
    pub fn argument(self, argument: impl Into<String>) -> Put {
        self.change(|call| {
            call.arguments.push(Argument::of_text(argument.into()));
            Ok(())
        })
    }

    /// Adds an option: `--name=value`.
    #[must_use]
    pub fn option(self, name: impl AsRef<str>, value: impl Into<String>) -> Put {
        self.change(|call| {
            let value = OptionValue::Text(value.into());
            call.options.push((name.as_ref().parse()?, value));
            Ok(())
        })
    }

    /// Adds an option without a value: `--name`.
    #[must_use]
    pub fn flag(self, name: impl AsRef<str>) -> Put {
        self.change(|call| {
            let name = name.as_ref().parse()?;
            call.options.push((name, OptionValue::Flag));
            Ok(())
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Call) -> Result<(), Refusal>) -> Put {
        let changed = match &mut self.content {
            Ok(Content::Call(call)) => change(call).map_err(Error::from),
            Ok(Content::Raw(_) | Content::Unread(_)) => Err(Error::Raw),
            Err(_) => Ok(()),
        };
        if let Err(error) = changed {
            self.content = Err(error);
        }
        self
    }

    /// The task's identity, a new one unless it is named. A uuid that is put again with the same content is
    /// the same task, and runs once.
    #[must_use]
    pub fn uuid(self, uuid: Uuid) -> Put {
        Put { uuid, ..self }
    }

    /// Calls it so: `urgent`, or `customer=4711`. At most 20 tags of at most 100 bytes, each name once.
    /// [`Filter::tag`](super::Filter::tag) finds it by that.
    ///
    /// ```
    /// use taskqueue::{Filter, Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let hello = Put::raw("hello").tag("customer=4711".parse()?);
    /// queue.put(&"mail".parse()?, hello).await?;
    /// let all = Filter::default().tag("customer".parse()?);
    /// assert_eq!(queue.list(&all, None, 10).await?.tasks.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Put {
        self.tags.push(tag);
        self
    }

    /// Puts no other task while one has this key, or one that is made of what it asks for. The task that has the key is
    /// the answer then, and its [`Receipt::existing`] says so.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl, Unique};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let tube = "reports".parse()?;
    /// let report = || Put::command("report").argument("may").unique(Unique::default());
    /// let first = queue.put(&tube, report()).await?;
    /// let second = queue.put(&tube, report()).await?;
    /// assert_eq!(second.id, first.id);
    /// assert!(first.existing.is_none() && second.existing.is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unique(self, unique: Unique) -> Put {
        Put {
            unique: Some(unique),
            ..self
        }
    }

    /// Whether it was said that no other is to have its key.
    pub fn is_unique(&self) -> bool {
        self.unique.is_some()
    }

    /// Tries it so often, whatever its command's configuration says; as far as that lets it: `task_max_attempts`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use taskqueue::{Attempts, Put};
    ///
    /// let minutes = [5, 10, 20].map(|minutes| Duration::from_secs(minutes * 60));
    /// // Four attempts, and at most a minute for each.
    /// let report = Put::command("report").retry(&minutes).timeout(Duration::from_secs(60));
    /// // Until it is done, with those waits and the last one again and again.
    /// let mail = Put::command("mail").retry(&minutes).max_attempts(Attempts::Endless);
    /// # let _ = (report, mail);
    /// ```
    #[must_use]
    pub fn max_attempts(mut self, attempts: impl Into<Attempts>) -> Put {
        self.own.max_attempts = Some(attempts.into());
        self
    }

    /// Waits so long after each attempt that failed; the last wait is also that of all attempts after it. Without
    /// [`Put::max_attempts`] it is tried as often as uses each of these once.
    #[must_use]
    pub fn retry(mut self, waits: &[Duration]) -> Put {
        match Waits::new(waits) {
            Ok(waits) => {
                self.own.waits = Some(waits);
                self
            }
            Err(bad) => self.bad(BadOwn::Waits(bad)),
        }
    }

    /// Lets each attempt take so long at the most; as far as its command's configuration lets it: `task_timeout`.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Put {
        self.own.timeout = Some(timeout);
        self
    }

    /// Has its command find that in its environment, where its configuration names the variable:
    /// `task_environment`.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Put {
        match self.own.add_variable(name.as_ref(), value.into()) {
            Ok(()) => self,
            Err(bad) => self.bad(bad),
        }
    }

    /// The same as another says it, where it does not say it itself.
    #[must_use]
    pub fn own(mut self, own: &Own) -> Put {
        self.own = self.own.or(own);
        self
    }

    /// Whether it says anything of its own attempts.
    pub fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    fn bad(mut self, bad: BadOwn) -> Put {
        if self.content.is_ok() {
            self.content = Err(Error::Own(bad));
        }
        self
    }

    /// Runs it once that task is done, which was recorded before. Said several times: once all of them are. What
    /// becomes of it if one of them fails, is cancelled or deleted, [`Put::if_parent_fails`] says.
    ///
    /// Its command finds their numbers in `TASKQUEUE_PARENTS`.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let tube = "reports".parse()?;
    /// let fetch = queue.put(&tube, Put::command("fetch")).await?;
    /// let report = queue.put(&tube, Put::command("report").after(fetch.id)).await?;
    /// let report = queue.show(report.id).await?.ok_or("gone")?;
    /// assert_eq!(report.waits_for.ok_or("it goes at once")?.parents, [fetch.id]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after(mut self, parent: TaskId) -> Put {
        self.links.parents.push(Parent::Id(parent));
        self
    }

    /// The same of a task that is [put with it](super::Queue::put_all), which has that [reference](Put::reference). All
    /// of those that are put together are recorded then, or none is.
    ///
    /// ```
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let tube = "reports".parse()?;
    /// let graph = vec![
    ///     Put::command("fetch").reference("fetch"),
    ///     Put::command("draw").reference("draw").after_reference("fetch"),
    ///     Put::command("count").reference("count").after_reference("fetch"),
    ///     Put::command("send").after_reference("draw").after_reference("count"),
    /// ];
    /// let answers = queue.put_all(&tube, graph).await?;
    /// let send = answers.into_iter().last().ok_or("one answer each")??;
    /// println!("{}", queue.tree(send.id).await?.ok_or("gone")?);
    /// let circle = vec![
    ///     Put::command("hen").reference("hen").after_reference("egg"),
    ///     Put::command("egg").reference("egg").after_reference("hen"),
    /// ];
    /// let refused = queue.put_all(&tube, circle).await.unwrap_err();
    /// assert!(refused.to_string().contains("hen waits for egg, egg for hen"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after_reference(mut self, parent: impl Into<String>) -> Put {
        self.links.parents.push(Parent::Reference(parent.into()));
        self
    }

    /// What those call it that are put with it. It is forgotten then.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Put {
        self.links.reference = Some(reference.into());
        self
    }

    /// The first of those that it waits for that is done lets it run, whatever becomes of the others.
    #[must_use]
    pub fn after_any(mut self) -> Put {
        self.links.terms.any = true;
        self
    }

    /// What becomes of it if one of those that it waits for does not end well, for good: it is cancelled, unless
    /// something else is said. Where [any](Put::after_any) of them will do, that is asked when none has ended well.
    ///
    /// ```
    /// use taskqueue::{Cancel, IfParentFails, Put, Queue, Status, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let tube = "reports".parse()?;
    /// let fetch = queue.put(&tube, Put::command("fetch")).await?.id;
    /// let report = queue.put(&tube, Put::command("report").after(fetch)).await?.id;
    /// let tidy = Put::command("tidy").after(fetch).if_parent_fails(IfParentFails::Run);
    /// let tidy = queue.put(&tube, tidy).await?.id;
    /// queue.cancel(fetch, &Cancel::default()).await?;
    /// let (report, tidy) = (queue.show(report).await?, queue.show(tidy).await?);
    /// assert_eq!(report.ok_or("gone")?.status, Status::Cancelled);
    /// assert!(tidy.ok_or("gone")?.waits_for.is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn if_parent_fails(mut self, what: IfParentFails) -> Put {
        self.links.terms.if_parent_fails = what;
        self
    }

    /// The same as a body says it.
    #[must_use]
    pub fn links(self, links: Links) -> Put {
        Put { links, ..self }
    }

    /// Has it wait for others as is said here; what others call it stays.
    #[must_use]
    pub fn waits_for(mut self, others: &Links) -> Put {
        self.links.parents.clone_from(&others.parents);
        self.links.terms = others.terms;
        self
    }

    /// Whether it speaks of others that are put with it, by reference.
    pub fn is_of_a_batch(&self) -> bool {
        self.links.is_of_a_batch()
    }

    /// Whether it waits for others.
    pub fn is_after(&self) -> bool {
        !self.links.parents.is_empty()
    }

    /// 0 is the most urgent; 1024 unless it is named.
    #[must_use]
    pub fn priority(self, priority: u32) -> Put {
        Put { priority, ..self }
    }

    /// Runs it this much later, up to 4294967295 seconds.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Put {
        let delay = delay.min(Duration::from_secs(u32::MAX.into()));
        let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX);
        let due = Some(Due::In(delay));
        Put { due, ..self }
    }

    /// Runs it then: milliseconds since 1970. A time that is past is now.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    /// use taskqueue::Put;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let in_a_week = SystemTime::now() + Duration::from_secs(7 * 86_400);
    /// let at = i64::try_from(in_a_week.duration_since(UNIX_EPOCH)?.as_millis())?;
    /// let report = Put::command("report").at(at);
    /// # let _ = report;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn at(self, at: Millis) -> Put {
        let due = Some(Due::At(at));
        Put { due, ..self }
    }

    /// Whether it was said when it is to run.
    pub fn is_timed(&self) -> bool {
        self.due.is_some()
    }

    /// Shows no argument to whoever looks at the job at the broker. Otherwise its body names the command and, where
    /// that is short and plain, the first argument. Options are never in it.
    #[must_use]
    pub fn discreet(self) -> Put {
        Put {
            discreet: true,
            ..self
        }
    }

    /// The same where its command gets its arguments on standard input, and nobody sees them on its machine either.
    #[must_use]
    pub fn discreet_as(self, commands: &Commands) -> Put {
        let command = match &self.content {
            Ok(Content::Call(call)) => commands.find(call.command.as_str()),
            Ok(Content::Raw(_) | Content::Unread(_)) | Err(_) => None,
        };
        match command.is_some_and(|command| command.body_on_stdin) {
            true => self.discreet(),
            false => self,
        }
    }

    /// How long a reservation lasts without a touch, in whole seconds, a part of one counted as one: 1 to
    /// 4294967295, and 60 unless it is named. It does not bound how long the command may run.
    #[must_use]
    pub fn ttr(self, ttr: Duration) -> Put {
        Put { ttr, ..self }
    }

    pub(super) fn into_task(self, tube: &TubeName, now: Millis) -> Result<NewTask, Error> {
        let content = match self.content? {
            // As strict as with everybody else's bodies: no NUL, no option twice.
            Content::Call(call) => Content::Call(Call::from_parts(
                call.command.as_str(),
                &call.arguments_json(),
                &call.options_json(),
            )?),
            raw => raw,
        };
        Ok(NewTask {
            uuid: self.uuid,
            tube: tube.clone(),
            content,
            priority: self.priority,
            ttr: whole_seconds(self.ttr).max(1),
            due: self.due.map_or(now, |due| due.at(now)).clamp(now, LATEST),
            tags: tag::of_a_task(self.tags).map_err(Error::Tag)?,
            unique: self.unique,
            own: self.own.checked().map_err(Error::Own)?.map(Box::new),
            after: None,
        })
    }
}

impl From<Call> for Put {
    fn from(call: Call) -> Put {
        Put::new(Ok(Content::Call(call)))
    }
}
