//! What a task's attempts print, while they run and afterwards.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::Error;
use super::queue::Queue;
use crate::ledger::Millis;
use crate::ledger::read::{Attempt, DisplayedStatus, Key, Standing};
use crate::ledger::spool::{Looked, Reader};
use crate::task::id::{AttemptId, TaskId, WorkerId};

mod rest;

use rest::rest;

/// Between two looks into what a command has printed.
const LOOK: Duration = Duration::from_millis(100);

/// Between two looks at where the task stands, unless there is a sign that it has gone on.
const ASK: Duration = Duration::from_millis(250);

/// As much of what was printed as is handed over at once.
const PIECE: usize = 128 * 1024;

/// Something about what a task's attempts print. Bytes are counted from the beginning of each attempt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Logged {
    /// The task waits: for its first attempt, or for another one.
    Waits {
        /// The newest attempt; 0 before the first.
        attempt: i64,
        /// When the task may run.
        due: Option<Millis>,
    },
    /// The worker of an attempt is dead, and nobody has recorded that yet.
    Stalled {
        /// Which attempt.
        attempt: i64,
    },
    /// What the command printed, on both streams, in the order in which it was printed.
    Output {
        /// Which attempt.
        attempt: i64,
        /// How many bytes the command had printed before.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes that are not to be had: the command printed more than is kept, or faster than they were read.
    Missed {
        /// Which attempt.
        attempt: i64,
        /// How many bytes the command had printed before.
        offset: u64,
        /// How many are missing.
        bytes: u64,
    },
    /// The attempt has ended, and all that was kept of its output has been handed over. Its own `output` is `None`.
    Ended(Attempt),
}

/// What a task's attempts print: made by [`Queue::logs`], and asked for with [`Logs::next`].
#[derive(Debug)]
pub struct Logs {
    queue: Queue,
    key: Key,
    task: Option<TaskId>,
    /// The one attempt that is wanted.
    one: Option<i64>,
    follows: bool,
    at: Option<At>,
    ready: VecDeque<Logged>,
    /// What was said last of a task about which nothing new is to be said.
    said: Option<Said>,
    ask_at: Instant,
    is_over: bool,
}

/// How far an attempt has been read.
#[derive(Debug)]
struct At {
    id: AttemptId,
    worker: Option<WorkerId>,
    offset: u64,
    reader: Option<Reader>,
    /// Whoever does not follow reads no further than this.
    until: Option<u64>,
    /// The attempt has ended. What its worker has spooled is read to the end first: the ledger keeps less.
    has_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Waits(i64),
    Stalled(i64),
}

impl Queue {
    /// What the newest attempt of a task prints: all that is kept of one that has ended, and what one that runs has
    /// printed by now.
    ///
    /// With [`Logs::follow`] it goes on, as the command prints and from attempt to attempt, until the task is done, has
    /// failed or is cancelled. No command waits for a reader: one that is too slow misses bytes, and is told how many.
    ///
    /// ```
    /// use taskqueue::{Logged, Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// let mut logs = queue.logs(task.id);
    /// while let Some(logged) = logs.next().await? {
    ///     match logged {
    ///         Logged::Output { bytes, .. } => print!("{}", String::from_utf8_lossy(&bytes)),
    ///         Logged::Missed { bytes, .. } => println!("[… {bytes} bytes left out …]"),
    ///         Logged::Waits { .. } => println!("nobody has begun on it"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn logs(&self, key: impl Into<Key>) -> Logs {
        Logs {
            queue: self.clone(),
            key: key.into(),
            task: None,
            one: None,
            follows: false,
            at: None,
            ready: VecDeque::new(),
            said: None,
            ask_at: Instant::now(),
            is_over: false,
        }
    }
}

impl Logs {
    /// Only this attempt, counted from 1.
    #[must_use]
    pub fn attempt(self, number: i64) -> Logs {
        let one = Some(number);
        Logs { one, ..self }
    }

    /// Goes on until nothing more will be printed.
    #[must_use]
    pub fn follow(self) -> Logs {
        let follows = true;
        Logs { follows, ..self }
    }

    /// The task, once it has been asked for.
    pub fn task(&self) -> Option<TaskId> {
        self.task
    }

    /// What comes next; `None` at the end. May be dropped and called again: nothing is lost by that.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], also when the task is deleted meanwhile, and [`Error::NoSuchAttempt`]; when the store is
    /// in trouble. It may be called again.
    pub async fn next(&mut self) -> Result<Option<Logged>, Error> {
        loop {
            if let Some(logged) = self.ready.pop_front() {
                return Ok(Some(logged));
            }
            if self.is_over {
                return Ok(None);
            }
            let has_read = self.read().await?;
            if !has_read && self.ready.is_empty() && Instant::now() >= self.ask_at {
                self.ask().await?;
            }
            if self.ready.is_empty() && !has_read && !self.is_over {
                sleep(LOOK.min(self.ask_at.saturating_duration_since(Instant::now()))).await;
            }
        }
    }

    /// Reads what the command that runs has printed since. True if it has to be read on at once.
    async fn read(&mut self) -> Result<bool, Error> {
        let Some(at) = &mut self.at else {
            return Ok(false);
        };
        let (id, from, worker) = (at.id, at.offset, at.worker);
        if worker.is_none() && at.reader.is_none() {
            return Ok(false);
        }
        let most = at.until.map_or(PIECE, |until| {
            usize::try_from(until.saturating_sub(from)).map_or(PIECE, |left| left.min(PIECE))
        });
        // A future that is dropped takes the reader along, and the next one opens another.
        let reader = at.reader.take();
        let read = self.queue.store().call(move |db| {
            let open = |worker| Some(Reader::of(db.spools().open(worker)?, id));
            let Some(reader) = reader.or_else(|| worker.and_then(open)) else {
                return Ok(None);
            };
            let looked = reader.look(from, most);
            Ok(Some((reader, looked)))
        });
        let Some((reader, looked)) = read.await? else {
            return Ok(false);
        };
        let Looked::Has {
            missed,
            bytes,
            written,
            is_over,
        } = looked
        else {
            // The worker has begun another attempt, or not yet this one.
            return Ok(false);
        };
        let Some(at) = &mut self.at else {
            return Ok(false);
        };
        at.reader = Some(reader);
        if !self.follows {
            at.until.get_or_insert(written);
        }
        if is_over && bytes.is_empty() {
            // So the attempt is about to be recorded.
            self.ask_at = self.ask_at.min(Instant::now());
        }
        let has_read = missed > 0 || !bytes.is_empty();
        self.take(missed, bytes);
        Ok(has_read)
    }

    /// Hands over what follows in the output of the attempt that is read.
    fn take(&mut self, missed: u64, bytes: Vec<u8>) {
        let Some(at) = &mut self.at else {
            return;
        };
        let attempt = at.id.number;
        if missed > 0 {
            self.ready.push_back(Logged::Missed {
                attempt,
                offset: at.offset,
                bytes: missed,
            });
            at.offset = at.offset.saturating_add(missed);
        }
        if !bytes.is_empty() {
            let offset = at.offset;
            at.offset = at.offset.saturating_add(bytes.len() as u64);
            self.ready.push_back(Logged::Output {
                attempt,
                offset,
                bytes,
            });
        }
    }

    /// Asks where the task stands, and goes on from there.
    async fn ask(&mut self) -> Result<(), Error> {
        let (key, number) = (
            self.key,
            self.at.as_ref().map(|at| at.id.number).or(self.one),
        );
        let standing = self.queue.store().call(move |db| db.standing(key, number));
        let Some(standing) = standing.await? else {
            self.is_over = true;
            return Err(Error::NoSuchTask { key });
        };
        self.task = Some(standing.task);
        self.ask_at = Instant::now() + ASK;
        // Whoever waits for the first attempt misses none of those that come.
        let first = i64::from(self.follows);
        let number = number.unwrap_or_else(|| standing.newest.max(first));
        if self.at.is_none() && number > 0 {
            let id = AttemptId {
                task: standing.task,
                number,
            };
            self.begin(id);
        }
        match (&standing.ended, standing.runs) {
            (Some(_), _) => self.has_ended(standing),
            (None, Some(worker)) if number == standing.newest => self.runs(worker, &standing),
            (None, _) => self.is_not_there(number, &standing)?,
        }
        Ok(())
    }

    fn begin(&mut self, id: AttemptId) {
        self.at = Some(At {
            id,
            worker: None,
            offset: 0,
            reader: None,
            until: None,
            has_ended: false,
        });
    }

    /// The attempt runs, or its worker has died over it.
    fn runs(&mut self, worker: WorkerId, standing: &Standing) {
        let attempt = standing.newest;
        let Some(at) = &mut self.at else {
            return;
        };
        let was_known = at.worker.replace(worker) == Some(worker);
        if !was_known {
            at.reader = None;
            // What the command has printed by now, before anything is said or done.
            self.ask_at = Instant::now();
            return;
        }
        if standing.status == DisplayedStatus::Stalled {
            self.say(Said::Stalled(attempt), Logged::Stalled { attempt });
        }
        if !self.follows {
            self.is_over = true;
        }
    }

    /// The attempt has ended, and what the worker has spooled of it has been read.
    fn has_ended(&mut self, standing: Standing) {
        let (Some(mut ended), Some(at)) = (standing.ended, &mut self.at) else {
            return;
        };
        let was_known = std::mem::replace(&mut at.has_ended, true);
        if at.reader.is_some() && !was_known {
            self.ask_at = Instant::now();
            return;
        }
        let number = at.id.number;
        let output = ended.output.take().unwrap_or_default();
        for (missed, bytes) in rest(at.offset, output) {
            self.take(missed, bytes);
        }
        self.ready.push_back(Logged::Ended(ended));
        let goes_on = standing.newest > number || !standing.status.is_ended();
        if !self.follows || self.one.is_some() || !goes_on {
            self.is_over = true;
            return;
        }
        let next = AttemptId {
            task: standing.task,
            number: number.saturating_add(1),
        };
        self.begin(next);
        self.ask_at = Instant::now();
    }

    /// There is no such attempt, at least not yet.
    fn is_not_there(&mut self, number: i64, standing: &Standing) -> Result<(), Error> {
        let may_come = !standing.status.is_ended() && self.follows;
        if let Some(at) = &mut self.at {
            at.worker = None;
        }
        match (self.one, may_come) {
            (Some(_), false) => {
                self.is_over = true;
                return Err(Error::NoSuchAttempt {
                    task: standing.task,
                    number,
                    newest: standing.newest,
                });
            }
            (None, false) => self.is_over = true,
            (_, true) => {}
        }
        if standing.status == DisplayedStatus::Waiting {
            let (attempt, due) = (standing.newest, standing.due);
            self.say(Said::Waits(attempt), Logged::Waits { attempt, due });
        }
        Ok(())
    }

    /// Says something once.
    fn say(&mut self, said: Said, logged: Logged) {
        if self.said.replace(said) != Some(said) {
            self.ready.push_back(logged);
        }
    }
}
