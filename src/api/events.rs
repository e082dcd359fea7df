//! What has happened: events, as they are recorded, and as they come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::error::Error;
use super::json::rfc3339;
use super::queue::Queue;
#[cfg(feature = "cli")]
use crate::clock::now;
use crate::ledger::events::{EventFilter, EventRow};
#[cfg(feature = "cli")]
use crate::ledger::{Ledger, pace::PAUSE};
use crate::ledger::{Millis, Stamp};
use crate::task::event::What;
#[cfg(feature = "cli")]
use crate::task::hooks::Keeping;
use crate::task::id::TaskId;
use crate::tube::TubeName;

/// Between two looks whether there is more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After so many looks that found nothing changed the rows are looked at all the same.
const LOOK_ANYWAY: u32 = 50;

/// So many are read at a time.
const PAGE: u32 = 500;

/// What has happened. What the task's row and its attempt say of it now is told with it; of a task that is gone there
/// is only its number, but for the event that says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Its number. Greater than that of all before it, and never given again.
    pub number: i64,
    /// When, in milliseconds since 1970.
    #[serde(serialize_with = "as_time")]
    pub at: Millis,
    /// What.
    #[serde(serialize_with = "as_word")]
    pub what: Option<What>,
    /// To which task.
    pub task: Option<i64>,
    /// That task's identity.
    pub uuid: Option<String>,
    /// Its tube, or the worker's, or the one that was paused.
    pub tube: Option<String>,
    /// Its command, where that is known.
    pub command: Option<String>,
    /// In which attempt.
    pub attempt: Option<i64>,
    /// How that ended.
    pub outcome: Option<String>,
    /// With which code its command exited.
    pub exit_code: Option<i64>,
    /// By which signal it ended.
    pub signal: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// Who ran it; or which worker has begun or ended.
    pub worker: Option<String>,
    /// Of which schedule the task came.
    pub schedule: Option<String>,
    /// What else was recorded.
    pub detail: Option<Value>,
}

fn as_time<S: serde::Serializer>(at: &Millis, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

fn as_word<S: serde::Serializer>(what: &Option<What>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(what.map_or("unknown", What::as_str))
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Event {
        let detail = row.detail.as_deref().map(serde_json::from_str);
        let mut detail: Option<Value> = detail.and_then(Result::ok);
        // What has a place of its own stands there.
        let mut take = |key: &str| {
            let members = detail.as_mut().and_then(Value::as_object_mut);
            members
                .and_then(|members| members.remove(key))
                .and_then(|value| Some(value.as_str()?.to_owned()))
        };
        let (uuid, tube, command) = (take("uuid"), take("tube"), take("command"));
        let (worker, reason, schedule) = (take("worker"), take("reason"), take("schedule"));
        // How it ended is what the rows say now, and was not known before.
        let row = match What::from_number(row.what).is_none_or(What::is_an_end) {
            true => row,
            false => EventRow {
                outcome: None,
                exit_code: None,
                signal: None,
                reason: None,
                ..row
            },
        };
        let is_empty = |detail: &Value| detail.as_object().is_some_and(serde_json::Map::is_empty);
        Event {
            number: row.number,
            at: row.at,
            what: What::from_number(row.what),
            task: row.task,
            uuid: row.uuid.map(|uuid| uuid.to_string()).or(uuid),
            tube: row.tube.or(tube),
            command: row.command.or(command),
            attempt: row.attempt,
            outcome: row.outcome,
            exit_code: row.exit_code,
            signal: row.signal,
            reason: row.reason.or(reason),
            worker: row.worker.or(worker),
            // Whose time it was, whatever the task came of.
            schedule: schedule.or(row.schedule),
            detail: detail.filter(|detail| !is_empty(detail)),
        }
    }
}

/// Which events are meant. The default means all.
#[derive(Debug, Clone, Default)]
pub struct Events {
    filter: EventFilter,
    since: Option<i64>,
    newest: Option<u32>,
}

impl Events {
    /// Those of that kind, and of others that are named so.
    #[must_use]
    pub fn what(mut self, what: What) -> Events {
        self.filter.what.push(what);
        self
    }

    /// Those of a tube.
    #[must_use]
    pub fn tube(mut self, tube: &TubeName) -> Events {
        self.filter.tube = Some(tube.to_string());
        self
    }

    /// Those of a task.
    #[must_use]
    pub fn task(mut self, task: TaskId) -> Events {
        self.filter.task = Some(task);
        self
    }

    /// Those after that number, the oldest first. Whoever has handed on up to a number goes on so.
    #[must_use]
    pub fn since(mut self, number: i64) -> Events {
        self.since = Some(number);
        self
    }

    /// No more than so many of the newest, where no number is given.
    #[must_use]
    pub fn newest(mut self, count: u32) -> Events {
        self.newest = Some(count);
        self
    }
}

/// What comes of following.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// This has happened.
    Event(Box<Event>),
    /// Events are not there any more that were to come next: those up to `until` were deleted. Or, where `until` is
    /// less than `since`, no event has had the number `since` yet: the store was put back to an earlier state.
    Gap {
        /// What had been handed on last.
        since: i64,
        /// What comes next is after that.
        until: i64,
    },
}

/// Events as they come. Made by [`Queue::events`].
pub struct Following {
    queue: Queue,
    meant: Events,
    /// All up to that number were handed on, or not meant.
    after: Option<i64>,
    ready: VecDeque<Heard>,
    /// There may be more than what is ready.
    has_more: bool,
    stamp: Option<Stamp>,
    unchanged: u32,
}

impl Queue {
    /// The events that are meant: those that are kept, in the order of their numbers, and then those that come.
    ///
    /// ```
    /// use taskqueue::api::{Events, Heard};
    /// use taskqueue::{Put, Queue, StoreUrl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let queue = Queue::open(&"embedded".parse()?, &store)?;
    /// let task = queue.put(&"mail".parse()?, Put::raw("hello")).await?;
    /// let mut events = queue.events(Events::default());
    /// let mut last = 0;
    /// // `next` waits for further ones.
    /// while let Some(heard) = events.kept().await? {
    ///     if let Heard::Event(event) = heard {
    ///         assert_eq!(event.task, Some(task.id.0));
    ///         last = event.number;
    ///     }
    /// }
    /// queue.put(&"mail".parse()?, Put::raw("more")).await?;
    /// // Whoever comes back later goes on where he was.
    /// let mut events = queue.events(Events::default().since(last));
    /// assert!(matches!(events.next().await?, Heard::Event(event) if event.number > last));
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, meant: Events) -> Following {
        Following {
            queue: self.clone(),
            after: meant.since,
            meant,
            ready: VecDeque::new(),
            has_more: true,
            stamp: None,
            unchanged: 0,
        }
    }

    /// Deletes events that are not to be kept any more, a few at a time.
    #[cfg(feature = "cli")]
    pub(crate) async fn forget_events(&self, keeping: Keeping) -> Result<(), Error> {
        let forget = move |db: &mut Ledger| db.forget_events(keeping, now());
        while self.store().call(forget).await? > 0 {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Records that something has happened that is no task's.
    #[cfg(feature = "cli")]
    pub(crate) async fn note_event(&self, what: What, detail: &Value) -> Result<(), Error> {
        let detail = detail.clone();
        let noting = self.change_rows(move |db| db.note_event(what, &detail, now()));
        Ok(noting.await?)
    }
}

impl Following {
    /// The next one. It waits for that. Nothing is lost if it is dropped.
    ///
    /// # Errors
    /// When the store cannot be read; it may be asked again.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            if let Some(heard) = self.kept().await? {
                return Ok(heard);
            }
            let begun = Instant::now();
            sleep(LOOK_EVERY).await;
            self.look_whether_there_is_more().await?;
            let took = begun.elapsed().saturating_sub(LOOK_EVERY);
            if !self.has_more {
                sleep(took.saturating_mul(10)).await;
            }
        }
    }

    /// The next one, if it is there already.
    ///
    /// # Errors
    /// As [`Following::next`].
    pub async fn kept(&mut self) -> Result<Option<Heard>, Error> {
        while self.ready.is_empty() && self.has_more {
            self.read().await?;
        }
        Ok(self.ready.pop_front())
    }

    async fn read(&mut self) -> Result<(), Error> {
        let (filter, after) = (self.meant.filter.clone(), self.after);
        let newest = self.meant.newest;
        let reading = self.queue.store().call(move |db| {
            // Before the rows: what changes in between is seen the next time.
            let stamp = db.stamp()?;
            let events = match (after, newest) {
                (Some(after), _) => db.events_after(after, &filter, PAGE)?,
                (None, Some(newest)) => db.newest_events(&filter, newest)?,
                (None, None) => db.events_after(0, &filter, PAGE)?,
            };
            Ok((stamp, events))
        });
        let (stamp, events) = reading.await?;
        let mut from = self.after;
        if let Some(since) = self.after {
            let gap = match events.kept {
                Some((oldest, _)) if oldest > since.saturating_add(1) && since >= 0 => {
                    Some(oldest.saturating_sub(1))
                }
                Some((_, newest)) if newest < since => Some(newest),
                None if since > 0 => Some(0),
                Some(_) | None => None,
            };
            if let Some(until) = gap {
                self.ready.push_back(Heard::Gap { since, until });
                from = Some(until);
            }
        }
        let is_back = from
            .zip(self.after)
            .is_some_and(|(from, after)| from < after);
        if is_back {
            // What is there now comes after that, and is read from there.
            self.after = from;
            return Ok(());
        }
        self.has_more = events.rows.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX)
            && !(self.after.is_none() && newest.is_some());
        self.after = Some(events.up_to);
        self.stamp = stamp;
        let rows = events.rows.into_iter();
        self.ready
            .extend(rows.map(|row| Heard::Event(Box::new(row.into()))));
        Ok(())
    }

    async fn look_whether_there_is_more(&mut self) -> Result<(), Error> {
        let stamp = self.queue.store().call(|db| db.stamp()).await?;
        let is_unchanged = stamp.is_some() && stamp == self.stamp;
        self.unchanged = match is_unchanged && self.unchanged < LOOK_ANYWAY {
            true => self.unchanged.saturating_add(1),
            false => 0,
        };
        self.has_more = self.unchanged == 0;
        Ok(())
    }
}
