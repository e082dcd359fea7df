//! Schedules as rows, and the tasks that came of them.

use crate::task::Millis;
use crate::task::id::TaskId;

/// A schedule. What its texts mean is for whoever fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// What people call it.
    pub name: String,
    /// The configuration that it is of; none: it was made by a command.
    pub source: Option<String>,
    /// When.
    pub timing: String,
    /// What is done when that did not go as planned.
    pub rules: String,
    /// What is made.
    pub template: String,
    /// All its times up to then are decided.
    pub nominal: Millis,
    /// One of them that waits for the schedule's tasks to end.
    pub held: Option<Millis>,
    /// Since when it is paused, if it is.
    pub paused: Option<Millis>,
    /// Since when it is as it is.
    pub made: Millis,
}

/// A task that came of a schedule, as the schedule sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FireRow {
    /// The task.
    pub task: TaskId,
    /// The time that it came of; none: it was made by hand.
    pub nominal: Option<Millis>,
    /// It waits or runs.
    pub is_open: bool,
    /// When it ended, if it has.
    pub finished: Option<Millis>,
}

/// That a task comes of a schedule.
#[derive(Debug, Clone, Copy)]
pub struct NewFire<'a> {
    /// The task.
    pub task: TaskId,
    /// The schedule's name.
    pub schedule: &'a str,
    /// The time that it comes of; none: it is made by hand.
    pub nominal: Option<Millis>,
    /// The same for the command.
    pub scheduled_for: Option<&'a str>,
    /// The time was missed.
    pub backfilled: bool,
}

/// Of which schedule a task came, for its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// The schedule's name.
    pub schedule: String,
    /// The time that it came of, as RFC 3339 has it; none: it was made by hand.
    pub scheduled_for: Option<String>,
    /// The time was missed.
    pub backfilled: bool,
}
