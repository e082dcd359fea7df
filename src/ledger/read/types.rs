//! Tasks and attempts as they are shown, and which are asked for.

use std::fmt;

use uuid::Uuid;

use super::relatives::{Kinship, WaitsFor};
use crate::task::Millis;
use crate::task::id::{TaskId, WorkerId};
use crate::task::limit::Bounds;
use crate::task::output::Captured;
use crate::task::own::Own;
use crate::task::resources::Resources;
use crate::task::state::Status;
use crate::task::tag::Tag;

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
    pub fn recorded(self) -> Status {
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
    /// What its producer calls it, by the names.
    pub tags: Vec<Tag>,
    /// The key that no other task is to have, if it has one. Whether it keeps others off, where it stands decides.
    pub key: Option<String>,
    /// The schedule that it came of.
    pub schedule: Option<String>,
    /// Where it stands.
    pub status: DisplayedStatus,
    /// When it may run, while it waits.
    pub due: Option<Millis>,
    /// Why it failed or was cancelled, or is to be.
    pub reason: Option<String>,
    /// Since when it is to be cancelled, while it runs.
    pub cancel_asked: Option<Millis>,
    /// What it says of its own attempts.
    pub own: Option<Box<Own>>,
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
    /// The newest of them, the oldest first: [`LISTED`](super::LISTED) in a list, [`SHOWN`](super::SHOWN) of one task.
    pub attempts: Vec<Attempt>,
    /// What its command has said of it through its report descriptor, if it has said anything.
    pub report: Option<Report>,
    /// Which tasks it waits for, if it waits for others.
    pub waits_for: Option<WaitsFor>,
    /// Which tasks it has waited for, and which for it; only where that was asked for, and if there are any.
    pub kin: Option<Box<Kinship>>,
    /// By which limit it is held, if it is.
    pub held: Option<HeldBy>,
}

/// By which limit a task is held, or was let go for a time that is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBy {
    /// The limit's name.
    pub limit: String,
    /// What the key is the value of, where tasks are told apart.
    pub label: Option<String>,
    /// What the task has in common with those that it waits for; empty: it has nothing there.
    pub key: String,
    /// What it was held by.
    pub bounds: Bounds,
    /// Since when it waits for them.
    pub since: Millis,
    /// When it was due.
    pub due: Millis,
    /// The tasks that run, of those that it waits for.
    pub running: Vec<TaskId>,
    /// When the next may begin by the limit's rate, if so many have begun lately as may.
    pub next: Option<Millis>,
}

/// So many tasks are named, where there are more.
const NAMED: usize = 5;

/// A limit's name, and what those have in common that count together.
pub fn line(limit: &str, label: Option<&str>, key: &str) -> String {
    match label {
        None => limit.to_owned(),
        Some(label) if key.is_empty() => format!("{limit}, without {label}"),
        Some(label) if label == limit => format!("{label}={key}"),
        Some(label) => format!("{limit}, {label}={key}"),
    }
}

/// Who runs, of how many: "2 of 2 run: tasks 4, 9".
pub fn run(running: &[TaskId], bounds: Bounds) -> Option<String> {
    let most = bounds.concurrency?;
    let mut said = format!("{} of {most} run", running.len());
    let named = running.iter().take(NAMED).map(ToString::to_string);
    let named: Vec<String> = named.collect();
    match running.len() {
        0 => {}
        1 => said.push_str(&format!(": task {}", named.join(", "))),
        2..=NAMED => said.push_str(&format!(": tasks {}", named.join(", "))),
        _ => said.push_str(&format!(": tasks {}, …", named.join(", "))),
    }
    Some(said)
}

impl HeldBy {
    /// What people are told: "held by limit account=7 (2 of 2 run: tasks 4, 9)".
    pub fn words(&self, now: Millis) -> String {
        let line = self.line();
        let rate = self.bounds.rate.map(|rate| {
            let left = self.next.map_or(0, |next| next.saturating_sub(now));
            match left {
                ..=0 => rate.to_string(),
                left => format!("{rate}; next in {:.1}s", left as f64 / 1000.0),
            }
        });
        let all = [run(&self.running, self.bounds), rate];
        let all: Vec<String> = all.into_iter().flatten().collect();
        format!("held by limit {line} ({})", all.join(", "))
    }

    /// The limit, and what those have in common that it waits for.
    pub fn line(&self) -> String {
        line(&self.limit, self.label.as_deref(), &self.key)
    }
}

/// What a task's command has said of it, as it is shown.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The number of the attempt that said it, which need not be the newest.
    pub attempt: i64,
    /// When it was kept.
    pub at: Millis,
    /// How far the attempt was, from 0 to 100.
    pub percent: Option<f64>,
    /// What the attempt was at.
    pub message: Option<String>,
    /// What the task came to: JSON, as it was written. Only of a task that is done, and only where it was asked for.
    pub result: Option<String>,
    /// There is a result.
    pub has_result: bool,
}

impl Report {
    /// How far the attempt is, in words; `None` where its command has said nothing of that.
    pub fn words(&self) -> Option<String> {
        // To a tenth, and a whole number as one.
        let percent = self
            .percent
            .map(|percent| format!("{} %", (percent * 10.0).round() / 10.0));
        let said = [percent, self.message.clone()];
        let said: Vec<String> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

impl Task {
    /// What a shell would have seen of its command: the exit code of its last attempt, 128 and the number of the signal
    /// that ended it, and 1 where there is neither, or where a task that is not done exited with 0. `None`: the task
    /// has not ended.
    pub fn exit_status(&self) -> Option<u8> {
        if !self.status.is_ended() {
            return None;
        }
        let last = self.attempts.last();
        let code = last.and_then(|last| {
            let by_signal = last.signal.map(|signal| signal.saturating_add(128));
            last.exit_code.or(by_signal)
        });
        let code = code.and_then(|code| u8::try_from(code).ok());
        Some(match (self.status == DisplayedStatus::Done, code) {
            (true, _) => 0,
            (false, None | Some(0)) => 1,
            (false, Some(code)) => code,
        })
    }
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
    /// What its command took of the machine, where that is known.
    pub took: Option<Resources>,
    /// What was printed; only where it was asked for.
    pub output: Option<Captured>,
}

/// Where a task stands, for whoever follows what its attempts print.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub status: DisplayedStatus,
    /// When it may run, while it waits.
    pub due: Option<Millis>,
    /// The number of its newest attempt; 0 before the first.
    pub newest: i64,
    /// Who runs that, if it has not ended.
    pub runs: Option<WorkerId>,
    /// The attempt that was asked for, if that has ended, with what it printed.
    pub ended: Option<Attempt>,
}

/// Whose task is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Id(id) => id.fmt(f),
            Key::Uuid(uuid) => uuid.fmt(f),
        }
    }
}
