//! For producers written in Rust: record a task, put its job, ask what became of it.
//!
//! `taskqueue put` is made of this. The task is recorded first, durably, and then announced to the broker; a
//! broker that cannot be reached is no failure.
//!
//! ```no_run
//! use taskqueue::api::{Put, Queue};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut queue = Queue::open(&"beanstalk://127.0.0.1:11300".parse()?, "tasks.db".as_ref())?;
//! let invoice = Put::command("invoice:send").argument("12").option("format", "pdf");
//! let task = queue.put(&"invoices".parse()?, invoice).await?;
//! println!("task {} is recorded", task.id);
//!
//! if let Some(task) = queue.status(task.id).await? {
//!     println!("it is {}", task.status);
//! }
//! # Ok(())
//! # }
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{self, Broker, Delivery, NewJob};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::put::{Added, NewTask};
use crate::ledger::read::{Key, Task};
use crate::ledger::{self, Ledger, Millis};
use crate::seconds::whole_seconds;
use crate::task::command::Content;
use crate::task::id::{PutId, TaskId};
use crate::task::payload::{Call, OptionValue, Pointer, Refusal};
use crate::tube::TubeName;

/// A job's TTR unless another is asked for. Workers touch their jobs, so that a command may run longer.
pub const DEFAULT_TTR: Duration = Duration::from_secs(60);

/// A store to record tasks in and a broker to announce them to. Made by [`Queue::open`].
pub struct Queue {
    broker: Box<dyn Broker>,
    /// Used on threads that may wait for a disk.
    db: Arc<Mutex<Ledger>>,
    /// The store's own id, for pointers.
    store: Uuid,
    /// The store puts the jobs itself.
    keeps_jobs: bool,
}

/// What to put, and how: a builder. What is wrong with it, [`Queue::put`] says.
#[derive(Debug)]
pub struct Put {
    /// Or the first thing that was wrong.
    content: Result<Content, Error>,
    uuid: Uuid,
    priority: u32,
    delay: Duration,
    ttr: Duration,
}

/// A task that is recorded: it will be run, whatever happens to whoever put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its number in the store.
    pub id: TaskId,
    /// Its identity.
    pub uuid: Uuid,
    /// What kept its job from being put. It is put when the broker is back.
    pub trouble: Option<broker::Error>,
}

impl Receipt {
    /// Whether the broker knows of it.
    pub fn announced(&self) -> bool {
        self.trouble.is_none()
    }
}

/// Why a task was not recorded, or is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it asks for can never run: a name, an argument or an option that is none, or another task's uuid.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An argument or an option was given to a raw body.
    #[error(
        "a raw body takes no arguments and no options: its command reads it from standard input"
    )]
    Raw,
    /// The store. Nothing was recorded.
    #[error(transparent)]
    Store(#[from] ledger::Error),
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
            delay: Duration::ZERO,
            ttr: DEFAULT_TTR,
        }
    }

    /// Roughly how many bytes it takes up.
    pub(crate) fn size(&self) -> usize {
        self.content.as_ref().map_or(0, Content::size)
    }

    /// Adds an argument: one element of the argv, whatever is in it.
    #[must_use]
    pub fn argument(self, argument: impl Into<String>) -> Put {
        self.change(|call| {
            call.arguments.push(argument.into());
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

    /// 0 is the most urgent; 1024 unless it is named.
    #[must_use]
    pub fn priority(self, priority: u32) -> Put {
        Put { priority, ..self }
    }

    /// Runs it this much later, up to 4294967295 seconds.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Put {
        let delay = delay.min(Duration::from_secs(u32::MAX.into()));
        Put { delay, ..self }
    }

    /// How long a reservation lasts without a touch, in whole seconds, a part of one counted as one: 1 to
    /// 4294967295, and 60 unless it is named. It does not bound how long the command may run.
    #[must_use]
    pub fn ttr(self, ttr: Duration) -> Put {
        Put { ttr, ..self }
    }

    fn into_task(self, tube: &TubeName, now: Millis) -> Result<NewTask, Error> {
        let content = match self.content? {
            // As strict as with everybody else's bodies: no NUL, no option twice.
            Content::Call(call) => Content::Call(Call::from_parts(
                call.command.as_str(),
                &call.arguments_json(),
                &call.options_json(),
            )?),
            raw => raw,
        };
        let delay = Millis::try_from(self.delay.as_millis()).unwrap_or(Millis::MAX);
        Ok(NewTask {
            uuid: self.uuid,
            tube: tube.clone(),
            content,
            priority: self.priority,
            ttr: whole_seconds(self.ttr).max(1),
            due: now.saturating_add(delay),
        })
    }
}

impl From<Call> for Put {
    fn from(call: Call) -> Put {
        Put::new(Ok(Content::Call(call)))
    }
}

impl Queue {
    /// Records tasks in `db`, opened with [`ledger::Durability::PowerCut`], and announces them to `broker`.
    pub fn new(broker: Box<dyn Broker>, db: Ledger) -> Queue {
        Queue {
            broker,
            store: db.id(),
            keeps_jobs: db.keeps_jobs(),
            db: Arc::new(Mutex::new(db)),
        }
    }

    /// Records a task and puts its job. Once this has returned, the task survives a power cut.
    ///
    /// A broker that cannot be reached is no error. The task is recorded, and its job is put when the broker
    /// is back:
    ///
    /// ```
    /// use taskqueue::api::{Put, Queue};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = folder.path().join("tasks.db");
    /// let nobody = "beanstalk://127.0.0.1:1".parse()?;
    /// let mut queue = Queue::open(&nobody, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("any bytes")).await?;
    /// assert!(!task.announced());
    /// let task = queue.status(task.uuid).await?.ok_or("gone")?;
    /// assert_eq!(task.status.as_str(), "waiting");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A future that is dropped leaves the task recorded or not, and announced or not; name a
    /// [`Put::uuid`] to put it again without fear of doing so twice.
    pub async fn put(&mut self, tube: &TubeName, put: Put) -> Result<Receipt, Error> {
        let mut put = self.put_all(tube, vec![put]).await?;
        // One answer each.
        put.pop()
            .unwrap_or_else(|| Err(ledger::Error::closed().into()))
    }

    /// Records tasks in one transaction and puts their jobs in one go. One answer each, in the same order:
    /// one that is refused does not keep the others from being put.
    pub async fn put_all(
        &mut self,
        tube: &TubeName,
        puts: Vec<Put>,
    ) -> Result<Vec<Result<Receipt, Error>>, Error> {
        let now = now();
        let mut tasks = Vec::with_capacity(puts.len());
        let mut jobs = Vec::with_capacity(puts.len());
        for put in puts {
            let delay = put.delay;
            jobs.push(put.into_task(tube, now).map(|task| {
                let job = self.job(&task, delay);
                let uuid = task.uuid;
                tasks.push(task);
                (uuid, job)
            }));
        }
        let mut added = match tasks.as_slice() {
            [] => Vec::new(),
            _ => self.with_db(move |db| db.add(&tasks, now)).await?,
        }
        .into_iter();
        crash::here(Point::PutRecorded);

        let mut answers = Vec::with_capacity(jobs.len());
        let mut new = Vec::with_capacity(jobs.len());
        for (place, job) in jobs.into_iter().enumerate() {
            answers.push(job.and_then(|(uuid, job)| {
                let id = match added.next() {
                    Some(Added::New { id }) => {
                        new.push((place, id, job));
                        id
                    }
                    Some(Added::Known { id }) => id,
                    Some(Added::UuidTaken) => return Err(Refusal::UuidTaken { uuid }.into()),
                    None => return Err(ledger::Error::closed().into()),
                };
                Ok(Receipt {
                    id,
                    uuid,
                    trouble: None,
                })
            }));
        }
        for (place, trouble) in self.announce(tube, new).await {
            if let Some(Ok(receipt)) = answers.get_mut(place) {
                receipt.trouble = Some(trouble);
            }
        }
        Ok(answers)
    }

    /// Looks a task up by its id or its uuid, with its attempts and what they printed. `None`: it is not
    /// there, or was cleaned up.
    pub async fn status(&self, key: impl Into<Key>) -> Result<Option<Task>, Error> {
        let key = key.into();
        self.with_db(move |db| db.show(key)).await
    }

    /// The job that announces a task.
    fn job(&self, task: &NewTask, delay: Duration) -> NewJob {
        let pointer = Pointer {
            uuid: task.uuid,
            store: self.store,
        };
        NewJob {
            body: pointer.to_body().into(),
            priority: task.priority,
            delay,
            ttr: Duration::from_secs(task.ttr.into()),
        }
    }

    /// Puts the jobs of tasks that were just recorded: place, row, job. What kept which from being put.
    async fn announce(
        &mut self,
        tube: &TubeName,
        new: Vec<(usize, TaskId, NewJob)>,
    ) -> Vec<(usize, broker::Error)> {
        // A store that keeps the jobs itself has put them along with the rows.
        if new.is_empty() || self.keeps_jobs {
            return Vec::new();
        }
        let (rows, jobs): (Vec<_>, Vec<_>) = new
            .into_iter()
            .map(|(place, task, job)| ((place, task), job))
            .unzip();
        let Delivery { instance, answers } = self.broker.deliver(tube, &jobs).await;
        crash::here(Point::PutAnnounced);
        let instance = instance.unwrap_or_default();
        let (mut puts, mut trouble) = (Vec::with_capacity(rows.len()), Vec::new());
        for ((place, task), answer) in rows.into_iter().zip(answers) {
            // A task's first put is its put number 1.
            let put = PutId {
                task,
                generation: 1,
            };
            puts.push((put, answer.as_ref().ok().copied()));
            trouble.extend(answer.err().map(|error| (place, error)));
        }
        let noted = self.with_db(move |db| db.note_puts(&instance, &puts)).await;
        if let Err(error) = noted {
            // The jobs are there and will be looked at; only which they are is not known.
            tracing::warn!(%tube, %error, "could not note the jobs of new tasks");
        }
        trouble
    }

    /// Uses the store on a thread that may wait for it.
    async fn with_db<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Ledger) -> Result<R, ledger::Error> + Send + 'static,
    ) -> Result<R, Error> {
        let db = Arc::clone(&self.db);
        tokio::task::spawn_blocking(move || {
            // A transaction that was given up in the middle has been rolled back.
            f(&mut db.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .map_err(|_| ledger::Error::closed())?
        .map_err(Error::from)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
