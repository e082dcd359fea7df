//! What an adapter keeps of limits: who takes a place, who began when, and who waits.

use crate::ledger::error::Failed;
use crate::task::Millis;
use crate::task::id::{AttemptId, TaskId};
use crate::task::limit::{Bounds, Key};
use crate::tube::TubeName;

/// So many may have been let go in a tube and be late, before nobody else is let go there: one of them may have no job,
/// since whoever was to put that has died; where so many are late, nobody comes for them.
pub const LATE: usize = 3;

/// Those who wait for each other: of one limit, by one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The limit's name.
    pub limit: String,
    /// What those in the line have in common.
    pub key: Key,
}

/// A task that was held, until it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// The task.
    pub task: TaskId,
    /// By what.
    pub line: Line,
    /// What the key is the value of.
    pub label: Option<String>,
    /// The task's tube.
    pub tube: String,
    /// The task's priority.
    pub priority: u32,
    /// Since when it waits for a place.
    pub since: Millis,
    /// When it was due.
    pub due: Millis,
    /// Since when it waits for a place no more, but to begin.
    pub let_go: Option<Millis>,
    /// What it was held by.
    pub bounds: Bounds,
}

/// How many of a line wait, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLine {
    /// The line.
    pub line: Line,
    /// What the key is the value of.
    pub label: Option<String>,
    /// What they are held by.
    pub bounds: Bounds,
    /// How many, as far as that was counted.
    pub held: u64,
    /// Since when the first of them waits.
    pub since: Millis,
}

/// What may be looked at of limits.
pub trait LimitReads {
    /// The attempts that take a place in a line: their tasks run, by their rows.
    fn places(&self, line: &Line) -> Result<Vec<AttemptId>, Failed>;

    /// When the newest attempts of a line began, the newest first, since then: so many at most.
    fn starts(&self, line: &Line, since: Millis, most: u32) -> Result<Vec<Millis>, Failed>;

    /// Those of a line that were let go, or are due, since then, and wait: each with when it is due by now. Left out
    /// are those that were let go later than `until`, since the clock was set back.
    fn let_go(&self, line: &Line, since: Millis, until: Millis) -> Result<Vec<HeldRow>, Failed>;

    /// The first that a line holds, by priority and by age. Passed over are those of tubes in which [`LATE`] of it
    /// have been let go for longer than since then, and have not begun.
    fn first_held(&self, line: &Line, since: Millis) -> Result<Option<HeldRow>, Failed>;

    /// How a task is or was held.
    fn held_by(&self, task: TaskId) -> Result<Option<HeldRow>, Failed>;

    /// Lines that hold tasks of a tube, behind one of them.
    fn lines(&self, tube: &TubeName, after: Option<&Line>, most: u32) -> Result<Vec<Line>, Failed>;

    /// The first lines in which tasks wait for a place, or were let go for a time that is still to come; of each, so
    /// many are counted at most.
    fn lines_in_use(&self, most: u32, counted: u32) -> Result<Vec<HeldLine>, Failed>;

    /// Whether limits are kept here: not in a file of an earlier version, which is only put into.
    fn keeps_limits(&self) -> Result<bool, Failed>;

    /// Whether a line holds any of a tube.
    fn holds_any(&self, tube: &TubeName, line: &Line) -> Result<bool, Failed>;

    /// Those that a line holds, of a tube, the first ones first.
    fn held_of(&self, tube: &TubeName, line: &Line, most: u32) -> Result<Vec<HeldRow>, Failed>;
}

/// What may be done about limits.
pub trait LimitRows: LimitReads {
    /// Has a task that waits be held: it has no job, and is due at no time that anybody lives to see. A task that was
    /// held before waits since then. True if it waits.
    fn set_held(&self, row: &HeldRow) -> Result<bool, Failed>;

    /// Notes that a task that waits with a job of its own is expected to begin, as if it had been held and let go.
    fn expect(&self, row: &HeldRow) -> Result<(), Failed>;

    /// Has a held task wait as another does, due then. What it was held by is remembered until it begins.
    fn release(&self, task: TaskId, at: Millis, due: Millis) -> Result<(), Failed>;

    /// Forgets that a task was held. By what it was.
    fn forget_held(&self, task: TaskId) -> Result<Option<Line>, Failed>;

    /// An attempt takes a place in a line. If it counts as a start, it does until then.
    fn take_place(
        &self,
        line: &Line,
        attempt: AttemptId,
        start: Option<(Millis, Millis)>,
    ) -> Result<(), Failed>;

    /// A task's attempts take no place any more. In which lines they did. If none of them began, no start is noted.
    fn free_places(&self, task: TaskId, began: bool) -> Result<Vec<Line>, Failed>;
}
