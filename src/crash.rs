//! Where a process can be made to die, so that tests see what its death leaves and who repairs it.
//!
//! Each [`Point`] is a gap between two steps of which a process may have done the first and not the second. With the
//! feature `crash-points`, which the tests switch on and a release build does not have, a process dies by `kill -9` of
//! itself at the point that `TASKQUEUE_CRASH_AT` names, or stops at the one that `TASKQUEUE_STOP_AT` names. A service
//! or a thread that `TASKQUEUE_PANIC_IN` names panics once.
//! ARCHITECTURE.md has the table of what each leaves.

/// A gap between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// put: tasks are committed, their jobs not put.
    PutRecorded,
    /// put: jobs are put, and not noted.
    PutAnnounced,
    /// Something is committed of which those who wait have not heard.
    BellNotRung,
    /// A worker is known to the store and has done nothing.
    WorkerRegistered,
    /// A job is reserved, its task not claimed.
    JobReserved,
    /// An attempt is committed, its command not started.
    AttemptBegun,
    /// A command runs.
    CommandStarted,
    /// How far a command says that it is, is committed, and it runs on.
    ProgressKept,
    /// A command has ended, and what it left behind was not looked for.
    CommandEnded,
    /// Nothing of a command runs, and how it ended is not recorded.
    OutcomeKnown,
    /// Nothing of a command of a batch runs, and how it ended is in the worker's batch journal alone.
    OutcomeNoted,
    /// The next job is reserved, and how the command before it ended is not recorded.
    NextReserved,
    /// An outcome is committed and the next attempt begun with it, its command not started, the job before as it was.
    NextBegun,
    /// An outcome is committed, the job as it was.
    OutcomeRecorded,
    /// A job is deleted, released or buried, and that it has gone is not noted.
    JobEnded,
    /// A dead worker's attempt is taken over, and what it left still runs.
    TakenOver,
    /// What an attempt left is ended, and nothing recorded of it.
    RemainsEnded,
    /// An attempt is committed as lost by a reconciliation, its task's job not looked for.
    AttemptLost,
    /// A time of a schedule has come, and nothing is recorded of it.
    FireDecided,
    /// A task is recorded for a time of a schedule, its job not put.
    Fired,
    /// Its job is put, and noted.
    FireRung,
    /// Another put of a task is begun, its job not put.
    AgainBegun,
    /// Another job is put, and not noted.
    AgainAnnounced,
    /// Jobs were found in another instance of the broker, and that is not noted.
    JobsFound,
    /// regenerate: the task waits, its old job is there, and no new one.
    Regenerated,
    /// regenerate: the old job is removed, and no new one put.
    OldJobRemoved,
    /// delete: other producers' jobs are deleted, their tasks' rows are there.
    ForeignJobsRemoved,
    /// delete: some tasks are gone, their jobs are there.
    TasksDeleted,
    /// edit, run-now: some tasks are otherwise, their old jobs are there, and no new ones.
    TasksEdited,
    /// cleanup: some are deleted, and others not.
    BatchDeleted,
    /// backup and restore: a copy is written, and has not its name.
    CopyWritten,
    /// backup: the copy has its name. restore: it has the name that is to be that of the store before.
    CopyNamed,
    /// restore: the copy is at the store's place, and what workers of the store before had noted still beside it.
    StoreReplaced,
    /// cancel: what waited is cancelled, what runs is to be, and nobody was told.
    CancelRecorded,
    /// The command of a task that is called off was told to end, or killed, and has not ended.
    CallOffSent,
    /// An attempt that was claimed ahead is not to begin any more, and that is not recorded.
    WithdrawnAhead,
}

impl Point {
    /// Every one.
    pub const ALL: [Point; 36] = [
        Point::PutRecorded,
        Point::PutAnnounced,
        Point::BellNotRung,
        Point::WorkerRegistered,
        Point::JobReserved,
        Point::AttemptBegun,
        Point::CommandStarted,
        Point::ProgressKept,
        Point::CommandEnded,
        Point::OutcomeKnown,
        Point::OutcomeNoted,
        Point::NextReserved,
        Point::NextBegun,
        Point::OutcomeRecorded,
        Point::JobEnded,
        Point::TakenOver,
        Point::RemainsEnded,
        Point::AttemptLost,
        Point::FireDecided,
        Point::Fired,
        Point::FireRung,
        Point::AgainBegun,
        Point::AgainAnnounced,
        Point::JobsFound,
        Point::Regenerated,
        Point::OldJobRemoved,
        Point::ForeignJobsRemoved,
        Point::TasksDeleted,
        Point::TasksEdited,
        Point::BatchDeleted,
        Point::CopyWritten,
        Point::CopyNamed,
        Point::StoreReplaced,
        Point::CancelRecorded,
        Point::CallOffSent,
        Point::WithdrawnAhead,
    ];
}

/// The environment variable that names the point to die at, as it is written here: `JobReserved`.
pub const VARIABLE: &str = "TASKQUEUE_CRASH_AT";

/// The environment variable that names the point to be stopped at, the first time, until somebody sends CONT.
pub const STOP_VARIABLE: &str = "TASKQUEUE_STOP_AT";

/// Dies or is stopped here, if it was asked for.
#[cfg(feature = "crash-points")]
pub fn here(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static ASKED: OnceLock<[Option<Point>; 2]> = OnceLock::new();
    static STOPPED: AtomicBool = AtomicBool::new(false);
    let named = |variable| {
        let name = std::env::var(variable).ok()?;
        Point::ALL
            .into_iter()
            .find(|point| format!("{point:?}") == name)
    };
    let [die, stop] = *ASKED.get_or_init(|| [VARIABLE, STOP_VARIABLE].map(named));
    if die == Some(point) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
    if stop == Some(point) && !STOPPED.swap(true, Ordering::Relaxed) {
        let _ = kill_process(getpid(), Signal::STOP);
    }
}

/// Does nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn here(_: Point) {}

/// The environment variable that names a service or a thread that panics when it begins, the first time.
pub const PANIC_VARIABLE: &str = "TASKQUEUE_PANIC_IN";

/// Panics if it was asked for and has not happened yet. Called by each service and thread as it begins.
#[cfg(feature = "crash-points")]
#[allow(clippy::panic, reason = "that is what it is for")]
pub fn begins(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static ASKED: OnceLock<Option<String>> = OnceLock::new();
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let asked = ASKED.get_or_init(|| std::env::var(PANIC_VARIABLE).ok());
    if asked.as_deref() == Some(name) && !PANICKED.swap(true, Ordering::Relaxed) {
        panic!("asked for by {PANIC_VARIABLE}");
    }
}

/// Does nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn begins(_: &str) {}
