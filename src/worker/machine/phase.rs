//! Where the job that a worker serves stands.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::command::Stage;
use super::event::Ended;
use super::identify::{Foreign, Read};
use super::mode::CallOff;
use super::suspension::Suspension;
use super::table::PhaseKind;
use crate::broker::{JobId, Reservation};
use crate::ledger::Millis;
use crate::ledger::rows::Ran;
use crate::ledger::{Attempt, DeadAttempt, JobRef, Jobless, Settlement};
use crate::link::Report;
use crate::task::command::{Cleanup, Command};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::payload::Refusal;
use crate::task::retry::Budget;
use crate::tube::TubeName;

/// Where the job that a worker serves stands, and all that is known of it there.
#[derive(Debug)]
pub enum Phase {
    /// No job is served.
    Idle,
    /// The job is foreign, and the broker is asked what it knows of the job.
    Identifying {
        /// The job.
        reservation: Reservation,
        /// What its body says.
        foreign: Foreign,
        /// Nothing is configured for it here.
        wanting: Option<Refusal>,
    },
    /// The ledger is asked whether the job's task may begin, perhaps after a dead worker's attempt is recorded.
    Claiming {
        /// Who claims.
        claimant: Claimant,
        /// What is recorded first.
        lose: Option<DeadAttempt>,
    },
    /// The broker is asked how often the job was kicked.
    Counting(Claimant),
    /// A dead worker's attempt is being taken over.
    TakingOver {
        /// Who claims.
        claimant: Claimant,
        /// The attempt.
        dead: DeadAttempt,
    },
    /// What is left of an attempt is being ended, before the next one may begin.
    Clearing {
        /// Who claims.
        claimant: Claimant,
        /// The attempt.
        dead: DeadAttempt,
        /// The attempt was taken over, and is to be recorded as lost.
        is_taken: bool,
        /// What is to be run then, before anything else.
        cleanup: Option<Arc<Cleanup>>,
    },
    /// The cleanup of an attempt that was taken over is being run, before that attempt is recorded as lost.
    CleaningUpLost {
        /// Who claims.
        claimant: Claimant,
        /// The attempt.
        dead: DeadAttempt,
    },
    /// The attempt's command is being started.
    Beginning(Running),
    /// The command runs.
    Running(Running),
    /// The command has ended as one does that is told to go, and the worker has not been told; or it is not known yet
    /// who else was told.
    Held {
        /// The attempt.
        running: Running,
        /// How its command ended.
        ended: Box<Ended>,
        /// When the end is taken for what it is.
        until: Duration,
    },
    /// The command has ended, and what it left running is being ended.
    Leftovers {
        /// The attempt.
        finished: Finished,
        /// What is not ours to end, and is waited for.
        stranger: Option<Stranger>,
    },
    /// The command was cut short, nothing of it runs any more here, and the attempt's cleanup is being run.
    CleaningUp(Finished),
    /// The outcome is being written to the batch journal.
    Journaling(Finished),
    /// The outcome is known, and the next jobs are looked for, to be claimed in the transaction that records the
    /// outcome.
    Looking(Looking),
    /// The outcome is being recorded, or what there is of a batch.
    Recording(Recording),
    /// A limit holds the task of the job before, and of the jobs behind that it is found out which are held too.
    Sifting(Sifting),
    /// The job is being released or buried.
    Disposing {
        /// The job; `None` when the broker has been asked.
        reservation: Option<Reservation>,
        /// How.
        how: Disposition,
    },
    /// The worker has left.
    Gone,
}

impl Phase {
    /// Its kind.
    pub fn kind(&self) -> PhaseKind {
        match self {
            Phase::Idle => PhaseKind::Idle,
            Phase::Identifying { .. } => PhaseKind::Identifying,
            Phase::Claiming { .. } => PhaseKind::Claiming,
            Phase::Counting(_) => PhaseKind::Counting,
            Phase::TakingOver { .. } => PhaseKind::TakingOver,
            Phase::Clearing { .. } => PhaseKind::Clearing,
            Phase::CleaningUpLost { .. } => PhaseKind::CleaningUpLost,
            Phase::Beginning(_) => PhaseKind::Beginning,
            Phase::Running(_) => PhaseKind::Running,
            Phase::Held { .. } => PhaseKind::Held,
            Phase::Leftovers { .. } => PhaseKind::Leftovers,
            Phase::CleaningUp(_) => PhaseKind::CleaningUp,
            Phase::Journaling(_) => PhaseKind::Journaling,
            Phase::Looking(_) => PhaseKind::Looking,
            Phase::Recording(_) => PhaseKind::Recording,
            Phase::Sifting(_) => PhaseKind::Sifting,
            Phase::Disposing { .. } => PhaseKind::Disposing,
            Phase::Gone => PhaseKind::Gone,
        }
    }

    /// Takes what is there, and leaves the worker without a job.
    pub fn take(&mut self) -> Phase {
        std::mem::replace(self, Phase::Idle)
    }
}

/// A job whose task is to be claimed.
#[derive(Debug)]
pub struct Claimant {
    /// The job.
    pub reservation: Reservation,
    /// Which task the job speaks of.
    pub job: JobRef,
    /// How many claims there have been.
    pub claims: u32,
}

impl Claimant {
    /// Nothing was claimed yet.
    pub fn new(reservation: Reservation, job: JobRef) -> Claimant {
        Claimant {
            reservation,
            job,
            claims: 0,
        }
    }
}

/// What is known of an attempt whose command is started, and of its job.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which attempt.
    pub id: AttemptId,
    /// The task's identity.
    pub uuid: Uuid,
    /// How the command is run.
    pub command: Arc<Command>,
    /// What is run if the command is cut short.
    pub cleanup: Option<Arc<Cleanup>>,
    /// What the task has used up before it.
    pub budget: Budget,
    /// What is counted of it when it ends.
    pub ran: Arc<Ran>,
    /// The job's priority.
    pub priority: u32,
    /// The put that the job came from, which is to be followed by another if the job is lost.
    pub put: PutId,
    /// The job is its producer's own, not a pointer that we put since.
    pub foreign: bool,
    /// How often the job was kicked, where that is known. A job that is reserved cannot be kicked.
    pub kicks: Option<u64>,
}

impl Facts {
    /// Of an attempt, and of its job: which one, from which tube, and its kicks.
    pub fn of(attempt: &Attempt, job: JobId, tube: &TubeName, kicks: Option<u64>) -> Facts {
        let (id, uuid) = (attempt.id, attempt.uuid);
        Facts {
            cleanup: attempt.plan.cleanup(id, uuid, tube, Some(job)),
            id: attempt.id,
            uuid: attempt.uuid,
            command: Arc::clone(&attempt.plan.command),
            budget: attempt.budget,
            ran: Arc::clone(&attempt.ran),
            priority: attempt.priority,
            put: attempt.put,
            foreign: attempt.foreign,
            kicks,
        }
    }

    /// The program that the command runs.
    pub fn program(&self) -> &str {
        self.command.run.first().map_or("", String::as_str)
    }

    /// The task's row, where it is of interest whether the job is known to be gone.
    pub fn foreign_task(&self) -> Option<TaskId> {
        self.foreign.then_some(self.id.task)
    }
}

/// An attempt whose command runs.
#[derive(Debug)]
pub struct Running {
    /// The job.
    pub reservation: Reservation,
    /// The attempt.
    pub facts: Facts,
    /// When it began.
    pub begun: Duration,
    /// When it began, by the machine's clock, if it was claimed ahead of its turn.
    pub started: Option<Millis>,
    /// The command's process group, once it is known.
    pub group: i32,
    /// When to tell the tender of the attempt.
    pub tell_at: Option<Duration>,
    /// When the command's time is up.
    pub times_out_at: Option<Duration>,
    /// How far the ending of the command has come.
    pub stage: Stage,
    /// Its task is called off.
    pub called_off: Option<CallOff>,
    /// Why the command does not end though it was to, which was said.
    pub stuck: Option<String>,
    /// When it is to be looked whether the command is stopped.
    pub look_at: Duration,
    /// Whether it is, as far as was seen.
    pub suspension: Suspension,
    /// What the tender is to show of the command, beside that it runs.
    pub notice: Option<String>,
}

impl Running {
    /// What the tender is told of it.
    pub fn busy(&self, now: Duration) -> Report {
        Report::Busy {
            task: self.facts.id.task.0,
            group: self.group,
            left: self.times_out_at.map(|at| at.saturating_sub(now)),
            notice: self.notice.clone(),
        }
    }
}

/// What an attempt has left that is not ours to end.
#[derive(Debug)]
pub struct Stranger {
    /// Who, in words.
    pub who: String,
    /// When it is looked for again; `None` while it is.
    pub again_at: Option<Duration>,
}

/// An attempt whose outcome is known and not recorded.
#[derive(Debug)]
pub struct Finished {
    /// The job.
    pub reservation: Reservation,
    /// The attempt.
    pub facts: Facts,
    /// What is to be recorded.
    pub settlement: Arc<Settlement>,
    /// How long its command took.
    pub long: Duration,
    /// The command ended quickly, as [`super::event::Ended::quick`] says.
    pub quick: bool,
}

/// An attempt that has ended, while the next jobs are looked for.
#[derive(Debug)]
pub struct Looking {
    /// The attempt.
    pub finished: Finished,
    /// When the outcome is recorded without further ado.
    pub until: Duration,
    /// How many jobs are asked for where none is there; `None`: no other job is wanted.
    pub asked: Option<usize>,
    /// How far the look has come.
    pub stage: Look,
    /// The next jobs, and which tasks they speak of.
    pub found: Vec<(Reservation, JobRef)>,
    /// Jobs that are looked at, of some of which the broker is asked what it knows.
    pub candidates: Vec<(Reservation, Read)>,
}

/// Jobs that were reserved together, since the task of the one before them was held.
#[derive(Debug)]
pub struct Sifting {
    /// Jobs that are looked at, of some of which the broker is asked what it knows.
    pub candidates: Vec<(Reservation, Read)>,
    /// Those of which the ledger is asked, and which tasks they speak of.
    pub found: Vec<(Reservation, JobRef)>,
}

/// How far the look for the next jobs has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The broker is to be asked how often the job of the failed task was kicked.
    Kicks,
    /// The broker is to be asked for further jobs.
    Exchange,
    /// The broker is asked about those of the next jobs that are foreign.
    Identify,
    /// The ledger is to be asked.
    Enter,
}

/// What is being recorded.
#[derive(Debug)]
pub struct Recording {
    /// What came of the attempt that was served last.
    pub last: Last,
    /// Since when the worker tries to record.
    pub since: Duration,
    /// The ledger has refused the entry already, which was said.
    pub in_trouble: bool,
    /// Not before then.
    pub not_before: Duration,
}

/// What came of the attempt that was served last, with its job.
#[derive(Debug)]
pub enum Last {
    /// There is none: only a batch is recorded.
    Nothing,
    /// The attempt has ended.
    Ended(Finished),
    /// The command could not be started, and that is the worker's trouble: the task is to wait as if nothing had been
    /// claimed.
    Unstarted {
        /// The job.
        reservation: Reservation,
        /// The attempt.
        facts: Facts,
        /// For how long the job is given back.
        delay: Duration,
    },
}

impl Last {
    /// Which attempt.
    pub fn attempt(&self) -> Option<AttemptId> {
        match self {
            Last::Nothing => None,
            Last::Ended(Finished { facts, .. }) | Last::Unstarted { facts, .. } => Some(facts.id),
        }
    }
}

/// What is to be done with a job.
#[derive(Debug)]
pub enum Disposition {
    /// Release the job. If the job is lost, the task that waits is put again.
    Release {
        /// `None`: as it is.
        priority: Option<u32>,
        /// How long the job waits.
        delay: Duration,
        /// The task that waits for the job, as far as that is known.
        waiting: Option<Jobless>,
    },
    /// Bury the job.
    Bury {
        /// `None`: as it is.
        priority: Option<u32>,
    },
}
