//! What has happened: told in the transaction in which it did, of tasks in `transition.rs` and nowhere else.
//!
//! An event is a row. A hook is a task, which is made here: so neither of them is there without the other, or without
//! what happened. Whoever has the ledger puts the hooks' jobs: [`Ledger::take_fired`].

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::announce::{Again, Announced, Jobs, PUT_TIME};
use super::error::{Error, Failed};
pub use super::rows::{About, EventFilter, EventRow};
use super::rows::{BegunPut, NewEvent, NewRow, Origin, Reads, Rows};
use super::{Ledger, Millis};
use crate::task::command::Content;
use crate::task::event::{self, What};
use crate::task::hooks::{Hook, Keeping, Subject, Telling};
use crate::task::id::PutId;
use crate::task::payload::CommandName;
use crate::task::retry::Next;
use crate::task::state::Outcome;
use crate::task::tag::Tag;
use crate::tube::TubeName;

/// As jobs of hooks have them.
const PRIORITY: u32 = 1024;
const TTR: u32 = 60;

/// As many bytes of a reason are in what a hook reads.
const LONGEST_REASON: usize = 4096;

/// Events deleted in one transaction.
const BATCH: u32 = 1000;

/// Some events, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// Those that are meant, of those that were looked at.
    pub rows: Vec<EventRow>,
    /// All up to that number were looked at.
    pub up_to: i64,
    /// The oldest that is kept and the newest.
    pub kept: Option<(i64, i64)>,
}

/// What an attempt's end is.
pub(super) fn of_end(next: &Next, outcome: &Outcome) -> What {
    match (next, outcome) {
        (Next::Done, _) => What::Done,
        (Next::Failed { .. }, _) => What::Failed,
        (Next::Cancelled, _) => What::Cancelled,
        (Next::Wait(_), Outcome::Lost(_)) => What::Lost,
        (Next::Wait(_), Outcome::Interrupted(_) | Outcome::CutOff) => What::Interrupted,
        (Next::Wait(_), Outcome::Deferred { .. }) => What::Deferred,
        (
            Next::Wait(_),
            Outcome::Exited(_)
            | Outcome::Signalled(_)
            | Outcome::OutOfMemory
            | Outcome::TimedOut(_)
            | Outcome::Cancelled(_)
            | Outcome::Refused { .. }
            | Outcome::CouldNotStart { .. }
            | Outcome::GaveUp { .. },
        ) => What::Retried,
    }
}

/// Tells of what has happened to a task.
pub(super) fn tell(rows: &dyn Rows, what: What, at: Millis, about: About) -> Result<(), Failed> {
    tell_more(rows, what, at, about, None)
}

/// The same, with what is known from nowhere else.
pub(super) fn tell_more(
    rows: &dyn Rows,
    what: What,
    at: Millis,
    about: About,
    detail: Option<&Value>,
) -> Result<(), Failed> {
    let told = rows.told();
    let text = detail.map(Value::to_string);
    if told.telling.events {
        rows.add_event(&NewEvent {
            what,
            at,
            about,
            detail: text.as_deref(),
        })?;
    }
    if !told.telling.hooks.wants(what) {
        return Ok(());
    }
    let number = match told.telling.events {
        true => rows.last_event()?,
        false => None,
    };
    // A store of an earlier version has no room for either.
    if told.telling.events && number.is_none() {
        return Ok(());
    }
    fire(rows, number, what, at, about, detail)
}

/// Makes the tasks of the hooks that are for an event. Of what happens to a hook there is none.
fn fire(
    rows: &dyn Rows,
    number: Option<i64>,
    what: What,
    at: Millis,
    about: About,
    detail: Option<&Value>,
) -> Result<(), Failed> {
    let told = rows.told();
    let hooks = &told.telling.hooks;
    let Some(tube) = &hooks.tube else {
        return Ok(());
    };
    let event = match about.task {
        Some(task) => rows.event_of(task, about.attempt)?.unwrap_or_default(),
        None => EventRow::default(),
    };
    let member = |key: &str| detail.and_then(|detail| Some(detail.get(key)?.as_str()?.to_owned()));
    let event = EventRow {
        number: number.unwrap_or_default(),
        at,
        what: what.number(),
        task: about.task.map(|task| task.0),
        attempt: about.attempt,
        tube: event.tube.or_else(|| member("tube")),
        command: event.command.or_else(|| member("command")),
        worker: event.worker.or_else(|| member("worker")),
        schedule: member("schedule").or(event.schedule),
        ..event
    };
    let tags = match about.task {
        Some(task) => rows.tags(task)?,
        None => Vec::new(),
    };
    let subject = Subject {
        tube: event.tube.as_deref(),
        command: event.command.as_deref(),
        tags: &tags,
    };
    // Nor of the workers that run hooks: each of them would be a reason for the next.
    let is_of_the_hooks_workers = about.task.is_none() && subject.tube == Some(tube.as_str());
    if subject.command.is_some_and(CommandName::is_a_hook) || is_of_the_hooks_workers {
        return Ok(());
    }
    let mut text = None;
    for hook in hooks.of(what, &subject) {
        let text = text.get_or_insert_with(|| said(&event, what, number, &tags).to_string());
        make(rows, hook, tube, text, at)?;
    }
    Ok(())
}

/// What a hook reads.
fn said(event: &EventRow, what: What, number: Option<i64>, tags: &[Tag]) -> Value {
    let cut = |text: &String| {
        let mut text = text.clone();
        text.truncate(text.floor_char_boundary(LONGEST_REASON));
        text
    };
    json!({
        "number": number,
        "at": event::rfc3339(event.at),
        "what": what.as_str(),
        "task": event.task,
        "uuid": event.uuid.map(|uuid| uuid.to_string()),
        "tube": event.tube,
        "command": event.command,
        "attempt": event.attempt,
        "outcome": event.outcome,
        "exit_code": event.exit_code,
        "signal": event.signal,
        "reason": event.reason.as_ref().map(cut),
        "worker": event.worker,
        "schedule": event.schedule,
        "tags": tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Whoever has the ledger puts its job, or whoever reconciles.
fn make(
    rows: &dyn Rows,
    hook: &Hook,
    tube: &TubeName,
    event: &str,
    now: Millis,
) -> Result<(), Failed> {
    let (uuid, content) = (Uuid::now_v7(), Content::of_a_hook(hook, event));
    let row = NewRow {
        own: None,
        uuid,
        tube,
        content: &content,
        priority: PRIORITY,
        ttr: TTR,
        due: now,
        created: now,
        tags: &[],
        hold: None,
        origin: Origin::Ours {
            put_until: now.saturating_add(PUT_TIME),
        },
    };
    let Some(task) = rows.insert(&row)? else {
        return Err(Failed::row(None, "a uuid that is new is another task's"));
    };
    // Which is of a hook, and fires none.
    tell(rows, What::Put, now, task.into())?;
    let put = PutId {
        task,
        generation: 1,
    };
    let told = rows.told();
    if let Some(store) = told.keeps_jobs_of {
        let announced = Announced {
            put,
            uuid,
            tube,
            priority: PRIORITY,
            ttr: TTR,
            due_in: 0,
        };
        Jobs::of(store).put(rows, &announced)?;
    }
    told.fired.borrow_mut().push(BegunPut {
        put,
        uuid,
        command: Some(hook.name()),
        tube: tube.clone(),
        priority: PRIORITY,
        ttr: Some(TTR),
        due_in: 0,
        old_job: None,
    });
    Ok(())
}

impl Ledger {
    /// The same ledger, of whose changes is told so from now on.
    #[must_use]
    pub fn telling(mut self, telling: &Arc<Telling>) -> Ledger {
        self.tell_by(telling);
        self
    }

    /// Tells of what happens so from now on.
    pub fn tell_by(&mut self, telling: &Arc<Telling>) {
        let told = self.backend.told();
        if !Arc::ptr_eq(&told.telling, telling) {
            told.telling = Arc::clone(telling);
        }
    }

    /// Does something, and tells of it so; with the jobs of hooks that are to be put for it.
    pub fn told_by<R>(
        &mut self,
        telling: &Arc<Telling>,
        step: impl FnOnce(&mut Ledger) -> Result<R, Error>,
    ) -> Result<(R, Vec<Again>), Error> {
        self.tell_by(telling);
        let done = step(self)?;
        Ok((done, self.take_fired()))
    }

    /// The jobs of hooks that were made since this was asked before: whoever asks puts them, unless they are put. What
    /// nobody puts, reconciliation does.
    pub fn take_fired(&mut self) -> Vec<Again> {
        let told = self.backend.told();
        let fired = std::mem::take(told.fired.get_mut());
        match told.keeps_jobs_of {
            Some(_) => Vec::new(),
            None => fired.into_iter().map(Again::from).collect(),
        }
    }

    /// Records that something has happened that is no task's.
    pub fn note_event(&mut self, what: What, detail: &Value, now: Millis) -> Result<(), Error> {
        self.change_lightly(|rows| tell_more(rows, what, now, About::default(), Some(detail)))
    }

    /// So many events after a number that pass a filter, the oldest of them.
    pub fn events_after(
        &self,
        after: i64,
        filter: &EventFilter,
        limit: u32,
    ) -> Result<Events, Error> {
        self.look(|rows| {
            let kept = rows.kept_events()?;
            let rows = rows.events(after, filter, false, limit)?;
            let is_all = rows.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let newest = kept.map_or(after, |(_, newest)| newest.max(after));
            let last = rows.last().map_or(newest, |row| row.number);
            Ok(Events {
                up_to: if is_all { newest } else { last },
                rows,
                kept,
            })
        })
    }

    /// The newest so many events that pass a filter, in their order.
    pub fn newest_events(&self, filter: &EventFilter, limit: u32) -> Result<Events, Error> {
        self.look(|rows| {
            let kept = rows.kept_events()?;
            let mut rows = rows.events(0, filter, true, limit)?;
            rows.reverse();
            Ok(Events {
                up_to: kept.map_or(0, |(_, newest)| newest),
                rows,
                kept,
            })
        })
    }

    /// Whether there are events that are not to be kept any more.
    pub fn has_old_events(&self, keeping: Keeping, now: Millis) -> Result<bool, Error> {
        self.look(|rows| Ok(old(rows, keeping, now, 1)?.is_some()))
    }

    /// Deletes some of the oldest events that are not to be kept any more, in one short transaction. How many. The
    /// newest stays, so that no number is ever given again.
    pub fn forget_events(&mut self, keeping: Keeping, now: Millis) -> Result<u64, Error> {
        match self.look(|rows| old(rows, keeping, now, BATCH))? {
            // What a power cut brings back goes the next time.
            Some(up_to) => self.change_lightly(|rows| rows.forget_events(up_to)),
            None => Ok(0),
        }
    }
}

/// Up to which number events are to go, of so many of the oldest.
fn old(rows: &dyn Reads, keeping: Keeping, now: Millis, most: u32) -> Result<Option<i64>, Failed> {
    let keep = Millis::try_from(keeping.keep.as_millis()).unwrap_or(Millis::MAX);
    let before = now.saturating_sub(keep);
    let kept = i64::try_from(keeping.most).unwrap_or(i64::MAX);
    let Some((_, newest)) = rows.kept_events()? else {
        return Ok(None);
    };
    let oldest = rows.oldest_events(most)?;
    let goes = |(number, at): &&(i64, Millis)| {
        *number < newest
            && (!keeping.is_on() || *at < before || *number <= newest.saturating_sub(kept))
    };
    Ok(oldest.iter().rfind(goes).map(|(number, _)| *number))
}
