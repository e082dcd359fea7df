//! Looking: lists of tasks, one task with all there is to know of it.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

use super::error::{Error, Failed};
use super::rows::Listed;
use super::{Ledger, Millis};
use crate::lives::{Holder, Lives};
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::state::Status;
use crate::tube::TubeName;

/// Where a task stands, as people see it: a task that is recorded as running while its worker is dead
/// is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisplayedStatus {
    /// The task will be run, not before its due time.
    Waiting,
    /// An attempt has begun, and its worker lives.
    Running,
    /// An attempt has begun, and its worker is dead: the tender or the next claim puts it right.
    Stalled,
    /// The task's command ended well.
    Done,
    /// The task will not be run again unless somebody asks.
    Failed,
    /// Somebody called the task off.
    Cancelled,
}

impl DisplayedStatus {
    /// Every status.
    pub const ALL: [DisplayedStatus; 6] = [
        DisplayedStatus::Waiting,
        DisplayedStatus::Running,
        DisplayedStatus::Stalled,
        DisplayedStatus::Done,
        DisplayedStatus::Failed,
        DisplayedStatus::Cancelled,
    ];

    /// The word shown, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            DisplayedStatus::Stalled => "stalled",
            DisplayedStatus::Waiting
            | DisplayedStatus::Running
            | DisplayedStatus::Done
            | DisplayedStatus::Failed
            | DisplayedStatus::Cancelled => self.recorded().as_str(),
        }
    }

    /// What that word shows.
    pub fn from_word(word: &str) -> Option<DisplayedStatus> {
        let mut all = DisplayedStatus::ALL.into_iter();
        all.find(|status| status.as_str() == word)
    }

    /// Nothing more happens to the task by itself.
    pub fn is_ended(self) -> bool {
        self.recorded().is_ended()
    }

    /// The status recorded for it.
    pub(super) fn recorded(self) -> Status {
        match self {
            DisplayedStatus::Waiting => Status::Waiting,
            DisplayedStatus::Running | DisplayedStatus::Stalled => Status::Running,
            DisplayedStatus::Done => Status::Done,
            DisplayedStatus::Failed => Status::Failed,
            DisplayedStatus::Cancelled => Status::Cancelled,
        }
    }
}

/// As it is recorded, before anybody has asked whether its worker lives.
impl From<Status> for DisplayedStatus {
    fn from(status: Status) -> DisplayedStatus {
        match status {
            Status::Waiting => DisplayedStatus::Waiting,
            Status::Running => DisplayedStatus::Running,
            Status::Done => DisplayedStatus::Done,
            Status::Failed => DisplayedStatus::Failed,
            Status::Cancelled => DisplayedStatus::Cancelled,
        }
    }
}

impl fmt::Display for DisplayedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A task as it is shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// Its number, for people.
    pub id: TaskId,
    /// Its identity.
    pub uuid: Uuid,
    /// Its tube.
    pub tube: String,
    /// The command's name; `None` while it is not known what would run.
    pub command: Option<String>,
    /// A JSON array of strings.
    pub arguments: String,
    /// A JSON object.
    pub options: String,
    /// A body as it was put, where it is not a call; only where it was asked for.
    pub body: Option<Vec<u8>>,
    /// How many bytes it has.
    pub body_size: Option<i64>,
    /// Where it stands.
    pub status: DisplayedStatus,
    /// When it may run, while it waits.
    pub due: Option<Millis>,
    /// Why it failed.
    pub reason: Option<String>,
    /// Its job's priority.
    pub priority: u32,
    /// Its job's number, as last known.
    pub job: Option<i64>,
    /// When it was recorded.
    pub created: Millis,
    /// When its newest attempt began.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Option<Millis>,
    /// How many attempts there have been.
    pub attempts_total: u64,
    /// The newest of them, the oldest first: [`LISTED`] in a list, [`SHOWN`] of one task.
    pub attempts: Vec<Attempt>,
}

/// An attempt as it is shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// Counted from 1.
    pub number: i64,
    /// The worker's name.
    pub worker: String,
    /// When it began.
    pub started: Millis,
    /// When it ended.
    pub finished: Option<Millis>,
    /// The bare word.
    pub outcome: Option<String>,
    /// The command's exit code.
    pub exit_code: Option<i64>,
    /// The signal that ended it.
    pub signal: Option<i64>,
    /// Why it was not run.
    pub reason: Option<String>,
    /// What was printed; only where it was asked for.
    pub output: Option<Captured>,
}

/// Which tasks a list shows: all of them, unless it is told less.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Those that stand there.
    pub status: Option<DisplayedStatus>,
    /// Those of this tube.
    pub tube: Option<String>,
    /// Those of this command.
    pub command: Option<String>,
}

impl Filter {
    /// Only those that stand there.
    #[must_use]
    pub fn status(self, status: DisplayedStatus) -> Filter {
        let status = Some(status);
        Filter { status, ..self }
    }

    /// Only those of this tube.
    #[must_use]
    pub fn tube(self, tube: &TubeName) -> Filter {
        let tube = Some(tube.to_string());
        Filter { tube, ..self }
    }

    /// Only those of this command.
    #[must_use]
    pub fn command(self, command: impl Into<String>) -> Filter {
        let command = Some(command.into());
        Filter { command, ..self }
    }
}

/// Whose task is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Key {
    /// By its number.
    Id(TaskId),
    /// By its identity.
    Uuid(Uuid),
}

impl From<TaskId> for Key {
    fn from(id: TaskId) -> Key {
        Key::Id(id)
    }
}

impl From<i64> for Key {
    fn from(id: i64) -> Key {
        Key::Id(TaskId(id))
    }
}

impl From<Uuid> for Key {
    fn from(uuid: Uuid) -> Key {
        Key::Uuid(uuid)
    }
}

/// So many attempts of a task are in a list, at most: interrupted ones have no limit.
pub const LISTED: u32 = 20;

/// And so many are shown of one task.
pub const SHOWN: u32 = 1000;

/// A page of a list has at most so many tasks, and ends after the one with which it has so many bytes of text.
const PAGE: (usize, usize) = (200, 1024 * 1024);

/// Some tasks of a list, the newest first.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page begins: below this id. `None`: there is no more.
    pub next: Option<TaskId>,
}

impl Ledger {
    /// Hands the newest tasks that pass the filter to `each`, up to `limit`, one after the other. `each`
    /// ends it by returning false.
    ///
    /// The list is never in memory, nor are the rows held in one state while somebody takes their time
    /// to read it: a journal that cannot be written back grows and grows.
    pub fn list(
        &self,
        filter: &Filter,
        limit: u64,
        mut each: impl FnMut(Task) -> bool,
    ) -> Result<(), Error> {
        let mut left = limit;
        let mut below = Some(TaskId::AFTER_ALL);
        while let Some(id) = below.filter(|_| left > 0) {
            let page = self.page(filter, id, left)?;
            below = page.next;
            for task in page.tasks {
                left = left.saturating_sub(1);
                if !each(task) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The newest tasks below an id that pass the filter: as many as fit on a page, and `most` at most.
    pub fn page(&self, filter: &Filter, below: TaskId, most: u64) -> Result<Page, Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PAGE.0);
        if most == 0 {
            return Ok(Page::default());
        }
        self.look(|rows| {
            let mut living = Living::of(&*self.lives);
            let mut page = Page::default();
            let mut bytes = 0;
            rows.page(filter, below, LISTED, &mut |listed| {
                let task = living.shown(listed)?;
                if filter.status.is_some_and(|wanted| wanted != task.status) {
                    return Ok(true);
                }
                bytes += task.arguments.len() + task.options.len();
                let id = task.id;
                page.tasks.push(task);
                let is_full = page.tasks.len() >= most || bytes >= PAGE.1;
                page.next = is_full.then_some(id);
                Ok(!is_full)
            })?;
            Ok(page)
        })
    }

    /// One task, with what its attempts printed.
    pub fn show(&self, key: Key) -> Result<Option<Task>, Error> {
        self.look(|rows| {
            let Some(listed) = rows.shown(key, SHOWN)? else {
                return Ok(None);
            };
            let mut task = Living::of(&*self.lives).shown(listed)?;
            for attempt in &mut task.attempts {
                let (task, number) = (task.id, attempt.number);
                attempt.output = rows.output(AttemptId { task, number })?;
            }
            Ok(Some(task))
        })
    }
}

/// Which workers live: asked once each, since many tasks may be theirs.
pub(super) struct Living<'a> {
    lives: &'a dyn Lives,
    known: HashMap<WorkerId, bool>,
}

impl<'a> Living<'a> {
    pub fn of(lives: &'a dyn Lives) -> Living<'a> {
        Living {
            lives,
            known: HashMap::new(),
        }
    }

    /// Whether somebody answers for a task that runs.
    pub fn answers(&mut self, owner: Option<WorkerId>) -> Result<bool, Failed> {
        let Some(owner) = owner else {
            return Ok(false);
        };
        if let Some(lives) = self.known.get(&owner) {
            return Ok(*lives);
        }
        let lives = self.lives.is_held(Holder::Worker(owner))?;
        self.known.insert(owner, lives);
        Ok(lives)
    }

    /// A task as people see it.
    fn shown(&mut self, listed: Listed) -> Result<Task, Failed> {
        let Listed { mut task, owner } = listed;
        if task.status == DisplayedStatus::Running && !self.answers(owner)? {
            task.status = DisplayedStatus::Stalled;
        }
        Ok(task)
    }
}
