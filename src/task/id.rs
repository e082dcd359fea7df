//! What tasks, attempts, puts and workers are known by. All are numbers, and no two kinds may be confused.

use std::fmt;

/// A task, by its row's number: for people and for logs. Counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub i64);

impl TaskId {
    /// Before every task: where a walk through all of them begins.
    pub const BEFORE_ALL: TaskId = TaskId(0);
    /// Behind every task.
    pub const AFTER_ALL: TaskId = TaskId(i64::MAX);

    /// The number after it.
    #[must_use]
    pub fn next(self) -> TaskId {
        TaskId(self.0.saturating_add(1))
    }
}

impl From<i64> for TaskId {
    fn from(id: i64) -> TaskId {
        TaskId(id)
    }
}

/// A worker, by its row's number. Counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub i64);

impl WorkerId {
    /// No worker: whoever asks as it owns nothing.
    pub const NOBODY: WorkerId = WorkerId(0);
}

/// An attempt of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which of the task's attempts. Counted from 1.
    pub number: i64,
}

/// A put of a task's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PutId {
    /// The task.
    pub task: TaskId,
    /// Which of the task's puts. Counted from 1; 0 stands for none yet, as of a task that came by its producer's own
    /// job.
    pub generation: i64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task, self.number)
    }
}

impl fmt::Display for PutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task, self.generation)
    }
}
