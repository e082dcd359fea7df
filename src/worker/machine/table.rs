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

use super::event::EventKind;
use super::phase::PhaseKind;

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
