//! What may happen when: every phase and every kind of event, by name.
//!
//! | event | where it may happen | where it leads |
//! |---|---|---|
//! | told, configured, due | everywhere | |
//! | answered | while the broker is asked | by the question |
//! | entered, proved | while the ledger is told | by the entry |
//! | journal made | everywhere: it says something of the batch, not of the job | |
//! | not journaled | `Beginning` | `Recording` |
//! | began | `Beginning` | `Running` |
//! | ended | `Beginning`, `Running` | `Leftovers`, `Journaling`, `Looking` |
//! | journaled | `Journaling` | `Idle`, `Looking` |
//! | cleared | `Clearing`, `Leftovers` | `Claiming`, `Disposing`; `Journaling`, `Looking` |
//!
//! To come: cancelled and reported in `Beginning`, `Running` and `Leftovers`, held in `Claiming`.

use std::fmt;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `Event::Told`.
    Told,
    /// `Event::Configured`.
    Configured,
    /// `Event::Answered`.
    Answered,
    /// `Event::Entered`.
    Entered,
    /// `Event::Proved`.
    Proved,
    /// `Event::JournalMade`.
    JournalMade,
    /// `Event::NotJournaled`.
    NotJournaled,
    /// `Event::Began`.
    Began,
    /// `Event::Ended`.
    Ended,
    /// `Event::Journaled`.
    Journaled,
    /// `Event::Cleared`.
    Cleared,
    /// `Event::Due`.
    Due,
}

/// The kinds of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseKind {
    /// `Phase::Idle`.
    Idle,
    /// `Phase::Identifying`.
    Identifying,
    /// `Phase::Claiming`.
    Claiming,
    /// `Phase::Counting`.
    Counting,
    /// `Phase::TakingOver`.
    TakingOver,
    /// `Phase::Clearing`.
    Clearing,
    /// `Phase::Beginning`.
    Beginning,
    /// `Phase::Running`.
    Running,
    /// `Phase::Leftovers`.
    Leftovers,
    /// `Phase::Journaling`.
    Journaling,
    /// `Phase::Looking`.
    Looking,
    /// `Phase::Recording`.
    Recording,
    /// `Phase::Disposing`.
    Disposing,
    /// `Phase::Gone`.
    Gone,
}

/// An event that cannot happen where the worker stands: a bug of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illegal {
    /// What happened.
    pub event: EventKind,
    /// Where the worker stood.
    pub phase: PhaseKind,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot happen to a worker that is {:?}",
            self.event, self.phase
        )
    }
}

/// Whether an event of that kind may happen to a worker that stands there. Whether an answer is one to what was asked, the
/// question says.
pub fn may_happen(event: EventKind, phase: PhaseKind) -> bool {
    match event {
        EventKind::Told
        | EventKind::Configured
        | EventKind::Due
        | EventKind::Answered
        | EventKind::Entered
        | EventKind::Proved
        | EventKind::JournalMade => true,
        EventKind::NotJournaled | EventKind::Began => is_beginning(phase),
        EventKind::Ended => is_beginning(phase) || is_running(phase),
        EventKind::Journaled => is_journaling(phase),
        EventKind::Cleared => is_clearing(phase),
    }
}

fn is_beginning(phase: PhaseKind) -> bool {
    match phase {
        PhaseKind::Beginning => true,
        PhaseKind::Idle
        | PhaseKind::Identifying
        | PhaseKind::Claiming
        | PhaseKind::Counting
        | PhaseKind::TakingOver
        | PhaseKind::Clearing
        | PhaseKind::Running
        | PhaseKind::Leftovers
        | PhaseKind::Journaling
        | PhaseKind::Looking
        | PhaseKind::Recording
        | PhaseKind::Disposing
        | PhaseKind::Gone => false,
    }
}

fn is_running(phase: PhaseKind) -> bool {
    match phase {
        PhaseKind::Running => true,
        PhaseKind::Idle
        | PhaseKind::Identifying
        | PhaseKind::Claiming
        | PhaseKind::Counting
        | PhaseKind::TakingOver
        | PhaseKind::Clearing
        | PhaseKind::Beginning
        | PhaseKind::Leftovers
        | PhaseKind::Journaling
        | PhaseKind::Looking
        | PhaseKind::Recording
        | PhaseKind::Disposing
        | PhaseKind::Gone => false,
    }
}

fn is_journaling(phase: PhaseKind) -> bool {
    match phase {
        PhaseKind::Journaling => true,
        PhaseKind::Idle
        | PhaseKind::Identifying
        | PhaseKind::Claiming
        | PhaseKind::Counting
        | PhaseKind::TakingOver
        | PhaseKind::Clearing
        | PhaseKind::Beginning
        | PhaseKind::Running
        | PhaseKind::Leftovers
        | PhaseKind::Looking
        | PhaseKind::Recording
        | PhaseKind::Disposing
        | PhaseKind::Gone => false,
    }
}

fn is_clearing(phase: PhaseKind) -> bool {
    match phase {
        PhaseKind::Clearing | PhaseKind::Leftovers => true,
        PhaseKind::Idle
        | PhaseKind::Identifying
        | PhaseKind::Claiming
        | PhaseKind::Counting
        | PhaseKind::TakingOver
        | PhaseKind::Beginning
        | PhaseKind::Running
        | PhaseKind::Journaling
        | PhaseKind::Looking
        | PhaseKind::Recording
        | PhaseKind::Disposing
        | PhaseKind::Gone => false,
    }
}
