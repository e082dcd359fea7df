//! Looking: lists of tasks, one task with all there is to know of it.

use std::collections::HashMap;
use std::fmt;

use rusqlite::{CachedStatement, OptionalExtension, Row, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::{Db, Error, Failed, Millis};
use crate::lives::Holder;
use crate::lives::locks::LockFile;
use crate::task::id::{TaskId, WorkerId};
use crate::task::output::Captured;
use crate::task::state::Status;

/// Where a task stands, as people see it: a task that is recorded as running while its worker is dead
/// is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayedStatus {
    /// As it is recorded.
    As(Status),
    /// Running, and its worker is dead: the tender or the next claim puts it right.
    Stalled,
}

impl DisplayedStatus {
    /// Every word that can be shown, and asked for.
    pub const WORDS: [&str; 6] = [
        "waiting",
        "running",
        "stalled",
        "done",
        "failed",
        "cancelled",
    ];

    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            DisplayedStatus::As(status) => status.as_str(),
            DisplayedStatus::Stalled => "stalled",
        }
    }

    /// What that word shows.
    pub fn from_word(word: &str) -> Option<DisplayedStatus> {
        match word {
            "stalled" => Some(DisplayedStatus::Stalled),
            other => Status::from_word(other).map(DisplayedStatus::As),
        }
    }

    /// The status recorded for it.
    fn recorded(self) -> Status {
        match self {
            DisplayedStatus::As(status) => status,
            DisplayedStatus::Stalled => Status::Running,
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
    /// Its attempts, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// An attempt as it is shown.
#[derive(Debug, Clone)]
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

/// Which tasks a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those that stand there.
    pub status: Option<DisplayedStatus>,
    /// Those of this tube.
    pub tube: Option<String>,
    /// Those of this command.
    pub command: Option<String>,
}

impl Filter {
    /// The query for those below an id, which is its first value, the newest first; and its other values.
    pub(super) fn query(&self) -> (String, Vec<&dyn ToSql>) {
        let mut sql = format!("SELECT {COLUMNS}, NULL FROM tasks WHERE id < ?1");
        let mut values: Vec<&dyn ToSql> = Vec::new();
        match self.status.map(DisplayedStatus::recorded) {
            None => {}
            Some(Status::Done) => sql.push_str(" AND status = 'done'"),
            // In the words of the index that leaves out what is done, or it is not used.
            Some(other) => {
                sql.push_str(&format!(" AND status = '{other}' AND status <> 'done'"));
            }
        }
        for (column, value) in [("tube", &self.tube), ("command", &self.command)] {
            if let Some(value) = value {
                values.push(value);
                sql.push_str(&format!(" AND {column} = ?{}", values.len() + 1));
            }
        }
        sql.push_str(" ORDER BY id DESC");
        (sql, values)
    }
}

/// Whose task is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

const COLUMNS: &str =
    "id, uuid, tube, command, coalesce(arguments, '[]'), coalesce(options, '{}'), length(body),
    status, due, reason, priority, job, created, started, finished, owner, attempt,
    iif(status = 'running', coalesce((SELECT name FROM workers WHERE workers.id = worker), CAST(worker AS TEXT)), NULL)";

/// A page of a list has at most so many tasks, and ends after the one with which it has so many bytes of text.
const PAGE: (usize, usize) = (200, 1024 * 1024);

/// Some tasks of a list.
struct Page {
    tasks: Vec<Task>,
    /// Where the next page begins: below this id.
    next: Option<TaskId>,
}

impl Db {
    /// Hands the newest tasks that pass the filter to `each`, up to `limit`, one after the other. `each`
    /// ends it by returning false.
    ///
    /// The list is never in memory, nor is the store held in one state while somebody takes their time
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

    fn page(&self, filter: &Filter, below: TaskId, left: u64) -> Result<Page, Error> {
        let (sql, values) = filter.query();
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE.0);
        self.look(|look, locks| {
            let mut statement = look.prepare_cached(&sql)?;
            let mut reader = Reader::new(look.prepare_cached(ATTEMPTS)?, locks);
            let first: &dyn ToSql = &below;
            let values = std::iter::once(first).chain(values.iter().copied());
            let mut rows = statement.query(params_from_iter(values))?;
            let mut tasks: Vec<Task> = Vec::new();
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                let task = reader.task(row)?;
                if filter.status.is_some_and(|wanted| wanted != task.status) {
                    continue;
                }
                bytes += task.arguments.len() + task.options.len();
                let next = Some(task.id);
                tasks.push(task);
                if tasks.len() >= most || bytes >= PAGE.1 {
                    return Ok(Page { tasks, next });
                }
            }
            Ok(Page { tasks, next: None })
        })
    }

    /// One task, with what its attempts printed.
    pub fn show(&self, key: Key) -> Result<Option<Task>, Error> {
        self.look(|look, locks| {
            let by = match key {
                Key::Id(_) => "id",
                Key::Uuid(_) => "uuid",
            };
            let mut statement = look.prepare_cached(&format!(
                "SELECT {COLUMNS}, body FROM tasks WHERE {by} = ?1"
            ))?;
            let mut reader = Reader::new(look.prepare_cached(ATTEMPTS)?, locks);
            let read = |row: &Row<'_>| Ok(reader.task(row));
            let found = match key {
                Key::Id(id) => statement.query_row([id], read),
                Key::Uuid(uuid) => statement.query_row([uuid.as_bytes()], read),
            };
            let Some(mut task) = found.optional()?.transpose()? else {
                return Ok(None);
            };
            let mut output = look.prepare_cached(
                "SELECT head, tail, dropped FROM output WHERE task = ?1 AND number = ?2",
            )?;
            for attempt in &mut task.attempts {
                attempt.output = output
                    .query_row(params![task.id, attempt.number], |row| {
                        Ok(Captured {
                            head: row.get(0)?,
                            tail: row.get(1)?,
                            dropped: row.get::<_, i64>(2)?.unsigned_abs(),
                        })
                    })
                    .optional()?;
            }
            Ok(Some(task))
        })
    }
}

const ATTEMPTS: &str =
    "SELECT number, worker, started, finished, outcome, exit_code, signal, reason
    FROM attempts WHERE task = ?1 ORDER BY number";

struct Reader<'a> {
    attempts: CachedStatement<'a>,
    locks: &'a LockFile,
    /// Which workers live: asked once each, since many tasks may be theirs.
    lives: HashMap<WorkerId, bool>,
}

impl<'a> Reader<'a> {
    fn new(attempts: CachedStatement<'a>, locks: &'a LockFile) -> Reader<'a> {
        Reader {
            attempts,
            locks,
            lives: HashMap::new(),
        }
    }

    fn task(&mut self, row: &Row<'_>) -> Result<Task, Failed> {
        let id = row.get(0)?;
        let ended = self.attempts.query_map([id], ended)?;
        let mut attempts: Vec<Attempt> = ended.collect::<Result<_, _>>()?;
        attempts.extend(running(row)?);
        Ok(Task {
            id,
            uuid: Uuid::from_bytes(row.get(1)?),
            tube: row.get(2)?,
            command: row.get(3)?,
            arguments: row.get(4)?,
            options: row.get(5)?,
            body: row.get(18)?,
            body_size: row.get(6)?,
            status: self.status(row)?,
            due: row.get(8)?,
            reason: row.get(9)?,
            priority: row.get(10)?,
            job: row.get(11)?,
            created: row.get(12)?,
            started: row.get(13)?,
            finished: row.get(14)?,
            attempts,
        })
    }

    fn status(&mut self, row: &Row<'_>) -> Result<DisplayedStatus, Failed> {
        let word = row.get_ref(7)?.as_str().map_err(rusqlite::Error::from)?;
        let status = Status::from_word(word)
            .ok_or_else(|| Failed::Corrupt(format!("a task with the status '{word}'")))?;
        let owner: Option<WorkerId> = row.get(15)?;
        match (status, owner) {
            (Status::Running, Some(owner)) if !self.lives(owner)? => Ok(DisplayedStatus::Stalled),
            _ => Ok(DisplayedStatus::As(status)),
        }
    }

    fn lives(&mut self, worker: WorkerId) -> Result<bool, Failed> {
        if let Some(lives) = self.lives.get(&worker) {
            return Ok(*lives);
        }
        let lives = self
            .locks
            .is_held(Holder::Worker(worker))
            .map_err(Failed::Locks)?;
        self.lives.insert(worker, lives);
        Ok(lives)
    }
}

/// The attempt that a task's row speaks of, if that has not ended.
fn running(row: &Row<'_>) -> rusqlite::Result<Option<Attempt>> {
    let Some(worker) = row.get(17)? else {
        return Ok(None);
    };
    Ok(Some(Attempt {
        number: row.get(16)?,
        worker,
        started: row.get(13)?,
        finished: None,
        outcome: None,
        exit_code: None,
        signal: None,
        reason: None,
        output: None,
    }))
}

fn ended(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get(0)?,
        worker: row.get(1)?,
        started: row.get(2)?,
        finished: row.get(3)?,
        outcome: row.get(4)?,
        exit_code: row.get(5)?,
        signal: row.get(6)?,
        reason: row.get(7)?,
        output: None,
    })
}
