//! What happens to a worker, and what it wants done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::mode::{CallOff, Mode};
use super::table::EventKind;
use crate::broker::{self, Held, JobId, JobStats, Reservation, Reserve};
use crate::crash::Point;
use crate::ledger::Millis;
use crate::ledger::announce::Again;
use crate::ledger::{Attempt, DeadAttempt, Entered, Entry, Settlement};
use crate::link::{Report, Ticket};
use crate::process::lack::Lack;
use crate::process::leftover::Cleared;
use crate::task::command::{Cleanup, Commands};
use crate::task::id::{AttemptId, TaskId};
use crate::task::output::Captured;
use crate::task::refused::Keep;
use crate::task::report::{Progress, Reported};
use crate::task::resources::Resources;
use crate::task::state::Exit;

/// An instant, as the loop hands it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic, since the worker's start. Every deadline is on this clock.
    pub at: Duration,
    /// The machine's clock, which rows are stamped with and nothing is measured by.
    pub wall: Millis,
    /// Jitter, drawn by the loop: what keeps workers from trying a broker again all at once.
    pub jitter: u8,
}

/// Who tells a worker to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A signal that came to the worker itself.
    Signal,
    /// The tender, by an order or by its death.
    Tender,
}

/// What happens to a worker.
#[derive(Debug)]
pub enum Event {
    /// The worker is told how soon to go, by a signal or by its tender.
    Told {
        /// How soon.
        mode: Mode,
        /// The tender's, by which the word is answered.
        ticket: Option<Ticket>,
        /// By whom.
        by: By,
    },
    /// The signal that told the worker to go was sent to everything around the worker, so to the command too.
    ToldAll,
    /// An attempt is to be cancelled: the tender says so, or it was read in the ledger.
    CalledOff {
        /// Which.
        attempt: AttemptId,
        /// How.
        how: CallOff,
        /// The tender's, by which the word is answered.
        ticket: Option<Ticket>,
    },
    /// The configuration was read again. The next job goes by the new one.
    Configured(Arc<Commands>),
    /// The broker's answer to the question that was put last.
    Answered(Answer),
    /// The ledger's answer to the entry that was made last.
    Entered(Result<Box<Entered>, Unentered>),
    /// Whether the ledger takes anything, when that was to be proved.
    Proved(bool),
    /// Whether there is a batch journal now.
    JournalMade(bool),
    /// The attempt's beginning could not be journaled: its command was not started.
    NotJournaled,
    /// The attempt, which was claimed ahead, is to be cancelled: its command was not started.
    Withdrawn,
    /// The command runs, in this process group.
    Began(i32),
    /// The command has ended, or could not be started.
    Ended(Box<Ended>),
    /// A signal did not reach the command, which is not ours to signal: who that is, in words.
    NotSignalled(String),
    /// The command was looked at: which signal has stopped it; `None`: it is not stopped.
    Looked(Option<i32>),
    /// The command has said how far it is. At most once a look.
    Reported(Progress),
    /// Whether the outcome stands in the batch journal now.
    Journaled(bool),
    /// What came of the attempt whose remains were to be ended.
    Cleared(Cleared),
    /// What was to be run after an attempt has ended, well or not: what of it belongs to the attempt's output.
    CleanedUp(Vec<u8>),
    /// Time has passed.
    Due,
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Told { .. } => EventKind::Told,
            Event::ToldAll => EventKind::ToldAll,
            Event::CalledOff { .. } => EventKind::CalledOff,
            Event::Configured(_) => EventKind::Configured,
            Event::Answered(_) => EventKind::Answered,
            Event::Entered(_) => EventKind::Entered,
            Event::Proved(_) => EventKind::Proved,
            Event::JournalMade(_) => EventKind::JournalMade,
            Event::NotJournaled => EventKind::NotJournaled,
            Event::Withdrawn => EventKind::Withdrawn,
            Event::Began(_) => EventKind::Began,
            Event::Ended(_) => EventKind::Ended,
            Event::NotSignalled(_) => EventKind::NotSignalled,
            Event::Looked(_) => EventKind::Looked,
            Event::Reported(_) => EventKind::Reported,
            Event::Journaled(_) => EventKind::Journaled,
            Event::Cleared(_) => EventKind::Cleared,
            Event::CleanedUp(_) => EventKind::CleanedUp,
            Event::Due => EventKind::Due,
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// How its process left, or why there was none.
    pub how: How,
    /// What the command printed.
    pub output: Captured,
    /// What it said of its attempt.
    pub reported: Reported,
    /// What the command took of the machine, if there was one.
    pub took: Option<Resources>,
    /// When the command ended, by the machine's clock.
    pub at: Millis,
    /// The command ended while the worker waited for nothing else, and all that the command printed is here.
    pub quick: bool,
    /// No signal of ours reached it: whatever was to be sent, the command had ended before.
    pub by_itself: bool,
    /// Something that the command started still holds the attempt's lock.
    pub has_remains: bool,
}

/// How a command's process left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The process exited, or a signal ended it.
    Exit {
        /// Which.
        exit: Exit,
        /// Meanwhile the kernel killed for memory where the command ran.
        memory: bool,
    },
    /// The command could not be started.
    NotStarted {
        /// What is lacking.
        lack: Lack,
        /// What the system said, in words.
        reason: String,
    },
}

/// Why an entry was not made. Nothing of it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unentered {
    /// Not at once: somebody else is at the ledger.
    Busy,
    /// The row that was asked for makes no sense; others may well be fine.
    OfOneRow(String),
    /// The ledger takes nothing.
    Trouble(String),
}

impl fmt::Display for Unentered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unentered::Busy => f.write_str("somebody else is at the store"),
            Unentered::OfOneRow(reason) | Unentered::Trouble(reason) => f.write_str(reason),
        }
    }
}

/// What is asked of the broker. One question is under way at a time.
#[derive(Debug)]
pub enum Ask {
    /// Wait for a job.
    Reserve {
        /// How long at most; zero asks once.
        wait: Duration,
    },
    /// Delete these jobs and reserve up to `most` others, in one go.
    Exchange {
        /// Jobs that are over.
        to_delete: Vec<ToDelete>,
        /// How many others.
        most: usize,
    },
    /// What the broker knows of a job.
    Know(JobId),
    /// The same, and whether others than this store's workers watch the tube.
    KnowAmongOthers(JobId),
    /// What the broker knows of several jobs.
    KnowAll(Vec<JobId>),
    /// Start a reservation's TTR anew.
    Touch(Held),
    /// Give a job back.
    Release {
        /// Ours.
        reservation: Reservation,
        /// `None`: as it is.
        priority: Option<u32>,
        /// How long the job waits.
        delay: Duration,
    },
    /// Set a job aside.
    Bury {
        /// Ours.
        reservation: Reservation,
        /// `None`: as it is.
        priority: Option<u32>,
    },
    /// Put the jobs of tasks that wait, and note which they are.
    Announce(Vec<Again>),
    /// Put the tube right: a pass of reconciliation.
    Reconcile,
    /// Delete the oldest of the refused tasks, beyond what is kept, with their jobs.
    KeepSome(Keep),
}

/// What the broker answers.
#[derive(Debug)]
pub enum Answer {
    /// To [`Ask::Reserve`].
    Reserved(Result<Reserve, broker::Error>),
    /// The question was given up, as was asked for.
    Interrupted,
    /// To [`Ask::Exchange`].
    Exchanged {
        /// What became of the jobs that were over.
        deleted: Vec<Deleted>,
        /// The others.
        reserved: Result<Vec<Reservation>, broker::Error>,
    },
    /// To [`Ask::Know`] and [`Ask::KnowAmongOthers`]; `None`: there is no such job.
    Known(Result<Option<Known>, broker::Error>),
    /// To [`Ask::KnowAll`], in order.
    AllKnown(Result<Vec<Option<Known>>, broker::Error>),
    /// To [`Ask::Touch`].
    Touched(Result<(), broker::Error>),
    /// To [`Ask::Release`] and [`Ask::Bury`].
    Settled(Result<(), broker::Error>),
    /// To [`Ask::Announce`].
    Announced,
    /// To [`Ask::Reconcile`].
    Reconciled,
    /// To [`Ask::KeepSome`].
    KeptSome,
}

/// What a broker knows of a job.
#[derive(Debug, Clone)]
pub struct Known {
    /// Of the job itself.
    pub stats: JobStats,
    /// The instance of the broker that numbered the job.
    pub instance: String,
    /// Others than this store's workers watch the tube, if that was asked.
    pub others: bool,
}

/// A job whose end is committed, still to be deleted.
#[derive(Debug)]
pub struct ToDelete {
    /// Ours.
    pub reservation: Reservation,
    /// The task's row, if the job is its producer's own and not a pointer that we put since.
    pub task: Option<TaskId>,
}

/// What became of a job that was to be deleted.
#[derive(Debug)]
pub struct Deleted {
    /// The job's number.
    pub job: JobId,
    /// As in [`ToDelete`].
    pub task: Option<TaskId>,
    /// What the broker said.
    pub answer: Result<(), broker::Error>,
}

/// How an entry is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Now or not at all: [`Unentered::Busy`].
    AtOnce,
    /// However long the ledger takes.
    Patient,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Ask the broker.
    Ask(Ask),
    /// Give up what the broker was asked.
    Interrupt,
    /// Tell the ledger.
    Enter {
        /// What.
        entry: Arc<Entry>,
        /// How.
        haste: Haste,
    },
    /// Find out whether the ledger takes anything.
    Prove,
    /// Make the batch journal.
    MakeJournal,
    /// All that stands in the batch journal has been recorded.
    WipeJournal,
    /// The batch journal is for whoever finds this worker dead: nothing more is written to it.
    LeaveJournal,
    /// Write to the batch journal that the attempt has ended so.
    Journal(Arc<Settlement>),
    /// Start an attempt's command.
    Begin {
        /// Which.
        attempt: Box<Attempt>,
        /// The job that the attempt came by.
        job: JobId,
        /// The attempt was claimed ahead: look first whether it is to be cancelled by now, and write to the batch
        /// journal that it begins now.
        journal: Option<Millis>,
        /// Listen to what the command prints from the beginning.
        listen: bool,
    },
    /// Wait for the command's end until then, and for nothing else.
    WaitBriefly {
        /// On the clock of [`Now::at`].
        until: Duration,
    },
    /// Ask the command to end.
    Terminate,
    /// Kill the command.
    Kill,
    /// Look whether the command is stopped, and how far it says that it is.
    Look,
    /// Look in the ledger whether the attempt is to be cancelled.
    AskForWish(AttemptId),
    /// Leave the command to itself, with its attempt's lock.
    Abandon,
    /// End what is left of an attempt.
    EndRemains(DeadAttempt),
    /// Run an attempt's cleanup, and what is run after it.
    CleanUp(Arc<Cleanup>),
    /// Tell the tender.
    Report(Report),
    /// A gap between two steps, in which tests let the worker die.
    Gap(Point),
    /// Log it.
    Say(Said),
    /// Sign off, and end.
    Leave {
        /// Tasks whose producers' jobs are deleted, which is still to be noted.
        deleted: Vec<TaskId>,
        /// The batch journal holds nothing that is not recorded.
        remove_journal: bool,
    },
}

/// What is worth a line in the log.
#[derive(Debug, Clone)]
pub enum Said {
    /// The worker was told to go while it ran nothing.
    Told {
        /// How soon.
        mode: Mode,
        /// By whom.
        by: By,
    },
    /// The worker was told to go and lets its command finish first.
    LetsFinish {
        /// Which attempt runs.
        attempt: AttemptId,
        /// Since when.
        since: Millis,
        /// When its command is ended; `None`: it has all the time it takes.
        until: Option<Millis>,
    },
    /// The command is ended, since its task is called off.
    CallsOff {
        /// Which attempt.
        attempt: AttemptId,
        /// How.
        how: CallOff,
    },
    /// The attempt does not begin, since its task was called off before its turn came.
    Withdrawn(AttemptId),
    /// The broker could not be asked; said once an outage.
    Unreachable(broker::Error),
    /// The broker answers again.
    Reachable,
    /// A pointer into another store.
    Elsewhere {
        /// The job.
        job: JobId,
        /// The store that it points into.
        store: uuid::Uuid,
    },
    /// A job that nothing is configured for here, and for which others watch the tube.
    LeftToOthers {
        /// The job.
        job: JobId,
        /// Why it is not run here.
        refusal: String,
    },
    /// A pointer into another store, for which nobody has come for long.
    BuriedElsewhere {
        /// The job.
        job: JobId,
        /// The store that it points into.
        store: uuid::Uuid,
        /// How many this worker has buried, with this one.
        buried: u64,
    },
    /// The broker has answered at once and with nothing, again and again; said once until it does otherwise.
    InVain,
    /// No claim could be made.
    CouldNotClaim {
        /// The job.
        job: JobId,
        /// Why.
        error: String,
        /// The job was buried, and not left for later.
        buried: bool,
    },
    /// The task may not run.
    Refused {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// A job is of a task that has no row.
    NoRow {
        /// The job.
        job: JobId,
        /// Its task.
        uuid: uuid::Uuid,
        /// It may be missing, and the job was buried; else the job was deleted.
        missing: bool,
    },
    /// The task has lost too many attempts.
    GivenUp {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// The job of a task that had failed was buried.
    Buried(TaskId),
    /// A dead worker's attempt is ours.
    TookOver(AttemptId),
    /// Something of an attempt could not be ended, so that its task does not run again; said once an attempt.
    Stuck {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: String,
    },
    /// The command does not end though it was to; said once an attempt.
    DoesNotEnd {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: String,
    },
    /// The command is stopped, and not only for a moment.
    IsStopped {
        /// Which.
        attempt: AttemptId,
        /// The signal that has stopped it.
        signal: String,
        /// For how long that has been seen.
        since: Duration,
        /// It is ended when its time is up.
        times_out: bool,
    },
    /// The command goes on that was said to be stopped.
    GoesOn {
        /// Which.
        attempt: AttemptId,
        /// For how long that had been seen.
        after: Duration,
    },
    /// The command has ended, and something that it left is not ours to end; said once an attempt.
    LeftBehind {
        /// Which.
        attempt: AttemptId,
        /// Who.
        who: String,
    },
    /// The worker left while something of the attempt ran.
    LeftRunning {
        /// Which.
        attempt: AttemptId,
        /// What.
        reason: String,
    },
    /// A job could not be deleted, released or buried.
    Unsettled {
        /// The job.
        job: JobId,
        /// What the broker said.
        error: broker::Error,
    },
    /// A job that was to be released is lost.
    LostJob {
        /// The job.
        job: JobId,
        /// What the broker said.
        error: broker::Error,
    },
    /// A reservation was lost while its command ran.
    LostReservation {
        /// The job.
        job: JobId,
        /// What the broker said.
        error: broker::Error,
    },
    /// The worker lacks what it takes to start a command; said once a lack.
    CouldNotStart {
        /// The attempt, which did not begin.
        attempt: AttemptId,
        /// What is lacking.
        reason: String,
    },
    /// What was lacking is there again.
    StartsAgain {
        /// The program that was started.
        program: String,
    },
    /// A task was interrupted so often in a row.
    OftenInterrupted {
        /// Which.
        task: TaskId,
        /// How often.
        times: u32,
    },
    /// How an attempt ended.
    Ended {
        /// What is recorded of it.
        settlement: Arc<Settlement>,
        /// How long its command took.
        long: Duration,
    },
    /// An attempt was somebody else's when its outcome was to be recorded.
    NotOurs(AttemptId),
    /// An outcome could not be recorded; said once a trouble.
    CouldNotRecord {
        /// Whose.
        attempt: Option<AttemptId>,
        /// Why.
        error: String,
    },
    /// The outcome could be recorded at last.
    RecordedAtLast(Option<AttemptId>),
    /// The worker left before an outcome was recorded.
    LeftUnrecorded(Option<AttemptId>),
    /// What was before the command that runs could not be recorded; said once a trouble.
    CouldNotRecordBatch(String),
    /// Something that could wait could not be noted; said once a trouble.
    CouldNotNote {
        /// It was that the worker was told to go, perhaps among others; else what became of jobs.
        told: bool,
        /// Why.
        error: String,
    },
    /// The ledger takes entries again.
    LedgerBack,
}
