//! A worker that a test leads by the hand, and the pieces that its surroundings are made of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{self, Reservation};
use crate::ledger::rows::Ran;
use crate::ledger::{Attempt, DeadAttempt, Remains};
use crate::lives::memory::Memory;
use crate::lives::{Alive, Holder, Lives};
use crate::process::leftover::Cleared;
use crate::task::command::{Cleanup, Command, Plan};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::output::Captured;
use crate::task::payload::Pointer;
use crate::task::report::{Progress, Reported};
use crate::task::retry::Budget;
use crate::task::state::Exit;
use crate::worker::machine::event::{Answer, By, Ended, Event, How, Known, Now, Unentered};
use crate::worker::machine::mode::CallOff;
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::Rules;
use crate::worker::machine::table::{EventKind, PhaseKind};

/// Every phase.
pub const PHASES: [PhaseKind; 18] = [
    PhaseKind::Idle,
    PhaseKind::Identifying,
    PhaseKind::Claiming,
    PhaseKind::Counting,
    PhaseKind::TakingOver,
    PhaseKind::Clearing,
    PhaseKind::CleaningUpLost,
    PhaseKind::Beginning,
    PhaseKind::Running,
    PhaseKind::Held,
    PhaseKind::Leftovers,
    PhaseKind::CleaningUp,
    PhaseKind::Journaling,
    PhaseKind::Looking,
    PhaseKind::Sifting,
    PhaseKind::Recording,
    PhaseKind::Disposing,
    PhaseKind::Gone,
];

/// Every kind of event.
pub const EVENTS: [EventKind; 19] = [
    EventKind::Told,
    EventKind::ToldAll,
    EventKind::CalledOff,
    EventKind::Configured,
    EventKind::Answered,
    EventKind::Entered,
    EventKind::Proved,
    EventKind::JournalMade,
    EventKind::NotJournaled,
    EventKind::Withdrawn,
    EventKind::Began,
    EventKind::Ended,
    EventKind::NotSignalled,
    EventKind::Looked,
    EventKind::Reported,
    EventKind::Journaled,
    EventKind::Cleared,
    EventKind::CleanedUp,
    EventKind::Due,
];

/// The store of all tests.
pub const STORE: Uuid = Uuid::from_u128(7);

/// So many microseconds after the worker's start.
pub fn at(micros: u64) -> Now {
    Now {
        at: Duration::from_micros(micros),
        wall: 1_000_000 + i64::try_from(micros / 1000).unwrap(),
        jitter: 0,
    }
}

/// What the loop would hand in.
pub fn rules() -> Rules {
    Rules {
        store: STORE,
        tube: "t".parse().unwrap(),
        has_tender: true,
        max_jobs: None,
        ledger_is_local: true,
    }
}

/// A connection that broke.
pub fn lost_connection() -> broker::Error {
    broker::Error::ConnectionLost {
        address: "there".into(),
        command: "reserve",
        reason: "it broke".into(),
    }
}

/// A job that points to the task of this number.
pub fn pointer_job(id: u64, task: u128, connection: u64) -> Reservation {
    let pointer = Pointer {
        uuid: Uuid::from_u128(task),
        store: STORE,
    };
    job(id, pointer.to_body(None), connection)
}

/// A job with this body.
pub fn job(id: u64, body: impl Into<Bytes>, connection: u64) -> Reservation {
    Reservation {
        id,
        body: body.into(),
        connection,
    }
}

/// What the broker knows of a job.
pub fn known(kicks: u64) -> Known {
    Known {
        stats: broker::JobStats {
            tube: "t".parse().unwrap(),
            state: broker::JobState::Reserved,
            priority: 1024,
            age: Duration::ZERO,
            ttr: Duration::from_secs(60),
            time_left: Duration::from_secs(60),
            reserves: 1,
            timeouts: 0,
            releases: 0,
            buries: 0,
            kicks,
        },
        instance: "today".into(),
        others: false,
    }
}

/// Whether attempts live, in memory.
pub struct Locks {
    lives: Memory,
}

impl Locks {
    pub fn new() -> Locks {
        Locks {
            lives: Memory::new(),
        }
    }

    pub fn take(&self, id: AttemptId) -> Alive {
        self.lives.hold(Holder::Attempt(id)).unwrap()
    }

    pub fn holds(&self, id: AttemptId) -> bool {
        self.lives.is_held(Holder::Attempt(id)).unwrap()
    }
}

/// An attempt that has begun.
pub fn attempt(
    id: AttemptId,
    command: Command,
    foreign: bool,
    ahead: bool,
    alive: Alive,
) -> Box<Attempt> {
    Box::new(Attempt {
        id,
        uuid: Uuid::from_u128(id.task.0.unsigned_abs().into()),
        plan: Plan {
            name: "job".into(),
            command: Arc::new(command),
            argv: vec!["job".into()],
            stdin: None,
        },
        alive,
        budget: Budget::default(),
        ran: Arc::new(Ran {
            tube: "t".into(),
            command: "job".into(),
            started: 0,
            since: None,
            is_limited: false,
        }),
        priority: 1024,
        ttr: Some(60),
        put: PutId {
            task: id.task,
            generation: 1,
        },
        foreign,
        scheduled: None,
        parents: Vec::new(),
        ahead,
    })
}

/// A command that is a client of something else.
pub fn client() -> Command {
    Command {
        cleanup: Some(vec!["tidy".into(), "{command}".into()]),
        ..Command::new(vec!["job".into()])
    }
}

/// The cleanup of an attempt by it, as the ledger says it of one that is taken over.
pub fn cleanup(attempt: AttemptId) -> Arc<Cleanup> {
    Arc::new(Cleanup {
        attempt,
        uuid: Uuid::from_u128(attempt.task.0.unsigned_abs().into()),
        tube: "t".parse().unwrap(),
        job: None,
        command: "job".into(),
        argv: vec!["tidy".into(), "job".into()],
        after: None,
        conditions: Arc::default(),
    })
}

/// An attempt whose worker is dead.
pub fn dead(id: AttemptId, remains: Remains) -> DeadAttempt {
    DeadAttempt {
        id,
        uuid: Uuid::from_u128(id.task.0.unsigned_abs().into()),
        owner: None,
        worker: None,
        priority: 1024,
        remains,
    }
}

/// How a command ended.
pub fn ended(exit: i32, quick: bool, has_remains: bool) -> Box<Ended> {
    Box::new(Ended {
        how: How::Exit {
            exit: Exit::Code(exit),
            memory: false,
        },
        output: Captured::default(),
        reported: Reported::default(),
        took: None,
        at: 1_000_000,
        quick,
        by_itself: true,
        has_remains,
    })
}

/// So far is an attempt, by its command.
pub fn progress(percent: f64) -> Progress {
    Progress {
        percent: Some(percent),
        message: None,
    }
}

/// TERM.
pub const TERM: i32 = 15;

/// A command that was ended by a signal which we did not send.
pub fn ended_by(signal: i32, has_remains: bool) -> Box<Ended> {
    let mut ended = ended(0, false, has_remains);
    ended.how = How::Exit {
        exit: Exit::Signal(signal),
        memory: false,
    };
    ended
}

/// A word to go, which nobody waits for an answer to.
pub fn told(mode: Mode) -> Event {
    let (ticket, by) = (None, By::Tender);
    Event::Told { mode, ticket, by }
}

/// An event of that kind. Answers are to nothing that is asked in [`super::script::machine_in`].
pub fn event(kind: EventKind) -> Event {
    match kind {
        EventKind::Told => told(Mode::Draining { until: None }),
        EventKind::ToldAll => Event::ToldAll,
        EventKind::CalledOff => Event::CalledOff {
            attempt: AttemptId {
                task: TaskId(1),
                number: 1,
            },
            how: CallOff::Ask,
            ticket: None,
        },
        EventKind::Configured => Event::Configured(Arc::default()),
        EventKind::Answered => Event::Answered(Answer::Announced),
        EventKind::Entered => Event::Entered(Err(Unentered::Trouble("it is gone".into()))),
        EventKind::Proved => Event::Proved(true),
        EventKind::JournalMade => Event::JournalMade(true),
        EventKind::NotJournaled => Event::NotJournaled,
        EventKind::Withdrawn => Event::Withdrawn,
        EventKind::Began => Event::Began(7),
        EventKind::Ended => Event::Ended(ended(0, false, false)),
        EventKind::NotSignalled => Event::NotSignalled("somebody".into()),
        EventKind::Looked => Event::Looked(Some(19)),
        EventKind::Reported => Event::Reported(progress(40.0)),
        EventKind::Journaled => Event::Journaled(true),
        EventKind::Cleared => Event::Cleared(Cleared::Gone),
        EventKind::CleanedUp => Event::CleanedUp(Vec::new()),
        EventKind::Due => Event::Due,
    }
}

/// Whether the worker of [`super::script::machine_in`] waits for such an answer, if it is one.
pub fn is_answer_awaited(event: EventKind, phase: PhaseKind) -> bool {
    match event {
        EventKind::Answered | EventKind::Proved => false,
        EventKind::Entered => [
            PhaseKind::Claiming,
            PhaseKind::TakingOver,
            PhaseKind::Recording,
            PhaseKind::Sifting,
        ]
        .contains(&phase),
        EventKind::Told
        | EventKind::ToldAll
        | EventKind::CalledOff
        | EventKind::Configured
        | EventKind::JournalMade
        | EventKind::NotJournaled
        | EventKind::Withdrawn
        | EventKind::Began
        | EventKind::Ended
        | EventKind::NotSignalled
        | EventKind::Looked
        | EventKind::Reported
        | EventKind::Journaled
        | EventKind::Cleared
        | EventKind::CleanedUp
        | EventKind::Due => true,
    }
}
