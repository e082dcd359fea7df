//! What may happen when: every phase and every kind of event, by name.
//!
//! | event | where it may happen | where it leads |
//! |---|---|---|
//! | told, told all, configured, due | everywhere | |
//! | called off | everywhere: the attempt that is meant may be another's, or over | |
//! | answered | while the broker is asked | by the question |
//! | entered, proved | while the ledger is told | by the entry |
//! | journal made | everywhere: it says something of the batch, not of the job | |
//! | not journaled, withdrawn | `Beginning` | `Recording` |
//! | began | `Beginning` | `Running` |
//! | ended | `Beginning`, `Running` | `Held`, `Leftovers`, `CleaningUp`, `Journaling`, `Looking`; `Recording` if the command could not be started |
//! | looked, reported | everywhere: the command may have ended since | |
//! | not signalled | `Running` | `Disposing` if the worker goes |
//! | journaled | `Journaling` | `Idle`, `Looking` |
//! | cleared | `Clearing`, `Leftovers` | `CleaningUpLost`, `Claiming`, `Disposing`; `CleaningUp`, `Journaling`, `Looking`, `Leftovers` again |
//! | cleaned up | `CleaningUp`, `CleaningUpLost` | `Journaling`, `Looking`; `Claiming` |
//!
//! To come: held in `Claiming`.

use std::fmt;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `Event::Told`.
    Told,
    /// `Event::ToldAll`.
    ToldAll,
    /// `Event::CalledOff`.
    CalledOff,
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
    /// `Event::Withdrawn`.
    Withdrawn,
    /// `Event::Began`.
    Began,
    /// `Event::Ended`.
    Ended,
    /// `Event::NotSignalled`.
    NotSignalled,
    /// `Event::Looked`.
    Looked,
    /// `Event::Reported`.
    Reported,
    /// `Event::Journaled`.
    Journaled,
    /// `Event::Cleared`.
    Cleared,
    /// `Event::CleanedUp`.
    CleanedUp,
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
    /// `Phase::CleaningUpLost`.
    CleaningUpLost,
    /// `Phase::Beginning`.
    Beginning,
    /// `Phase::Running`.
    Running,
    /// `Phase::Held`.
    Held,
    /// `Phase::Leftovers`.
    Leftovers,
    /// `Phase::CleaningUp`.
    CleaningUp,
    /// `Phase::Journaling`.
    Journaling,
    /// `Phase::Looking`.
    Looking,
    /// `Phase::Recording`.
    Recording,
    /// `Phase::Sifting`.
    Sifting,
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

/// What may happen wherever a worker stands. Whether an answer is one to what was asked, the question says.
const ANYWHERE: [EventKind; 11] = [
    EventKind::Told,
    EventKind::ToldAll,
    EventKind::CalledOff,
    EventKind::Configured,
    EventKind::Due,
    EventKind::Answered,
    EventKind::Entered,
    EventKind::Proved,
    EventKind::JournalMade,
    EventKind::Looked,
    EventKind::Reported,
];

/// What else may happen to a worker that stands there.
fn of_its_own(phase: PhaseKind) -> &'static [EventKind] {
    match phase {
        PhaseKind::Beginning => &[
            EventKind::NotJournaled,
            EventKind::Withdrawn,
            EventKind::Began,
            EventKind::Ended,
        ],
        PhaseKind::Running => &[EventKind::Ended, EventKind::NotSignalled],
        PhaseKind::Journaling => &[EventKind::Journaled],
        PhaseKind::Clearing | PhaseKind::Leftovers => &[EventKind::Cleared],
        PhaseKind::CleaningUp | PhaseKind::CleaningUpLost => &[EventKind::CleanedUp],
        PhaseKind::Idle
        | PhaseKind::Identifying
        | PhaseKind::Claiming
        | PhaseKind::Counting
        | PhaseKind::TakingOver
        | PhaseKind::Held
        | PhaseKind::Looking
        | PhaseKind::Recording
        | PhaseKind::Sifting
        | PhaseKind::Disposing
        | PhaseKind::Gone => &[],
    }
}

/// Whether an event of that kind may happen to a worker that stands there.
pub fn may_happen(event: EventKind, phase: PhaseKind) -> bool {
    ANYWHERE.contains(&event) || of_its_own(phase).contains(&event)
}
