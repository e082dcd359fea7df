//! Where a task stands, how an attempt ended, and what a job that is reserved again may do to its task.
//!
//! ```text
//! waiting ──claim──▶ running ──▶ done
//!    ▲                  │ ├────▶ failed ──regenerate, kick──▶ waiting
//!    │◀──retry, deferred, interrupted, lost
//!                       └──────▶ cancelled
//! ```

use std::fmt;
use std::time::Duration;

/// What is said of [`Outcome::OutOfMemory`].
pub(super) const OUT_OF_MEMORY: &str = "killed while the kernel killed for memory where it ran";

/// Where a task stands, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It will be run, not before its due time.
    Waiting,
    /// An attempt has begun and has not ended.
    Running,
    /// Its command ended well.
    Done,
    /// It will not be run again unless somebody asks.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] = [
        Status::Waiting,
        Status::Running,
        Status::Done,
        Status::Failed,
        Status::Cancelled,
    ];

    /// The word used in the store, in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Waiting => "waiting",
            Status::Running => "running",
            Status::Done => "done",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Nothing more happens to it by itself.
    pub fn is_ended(self) -> bool {
        match self {
            Status::Waiting | Status::Running => false,
            Status::Done | Status::Failed | Status::Cancelled => true,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The command exited with this code.
    Exited(i32),
    /// The command was ended by this signal, which we did not send.
    Signalled(i32),
    /// The command was ended by a KILL that we did not send, and meanwhile, or at most a second before, the kernel
    /// killed for memory where it ran. It names nobody, so that this is as much as can be known.
    OutOfMemory,
    /// It ran longer than its `timeout` and was ended.
    TimedOut(Exit),
    /// Somebody called the task off while it ran.
    Cancelled(Exit),
    /// What the task asks for may not run, or cannot be read.
    Refused {
        /// Why.
        reason: String,
    },
    /// The program could not be started.
    CouldNotStart {
        /// What the system said.
        reason: String,
    },
    /// The worker was told to stop and ended the command.
    Interrupted(Exit),
    /// The worker was told to stop and was killed before the command had ended.
    CutOff,
    /// The worker died.
    Lost(Loss),
    /// The command said "not now", and exited.
    Deferred {
        /// With this code.
        code: i32,
        /// How long the task is to wait.
        wait: Duration,
    },
    /// The command said that the task has failed for good, and came to an end.
    GaveUp {
        /// Why, as the command said it.
        reason: String,
        /// How it ended: it exited, a signal that is not ours ended it, or it ran out of time.
        ended: Box<Outcome>,
    },
}

/// Why an attempt has no end that anybody saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its worker died. The task may be why.
    WorkerDied,
    /// Its worker did not answer, did not keep the command's time, and was killed for that.
    WorkerHung,
    /// The machine was restarted, and everything died.
    MachineRestarted,
}

const WORKER_HUNG: &str =
    "its worker did not answer, and was killed when the time of the command was up";

/// The signal that nobody survives, by its number.
const SIGKILL: i32 = 9;

/// How a process that we ended left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Outcome {
    /// The bare word used in the store and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Exited(_) => "exited",
            Outcome::Signalled(_) | Outcome::OutOfMemory => "signalled",
            Outcome::TimedOut(_) => "timed_out",
            Outcome::Cancelled(_) => "cancelled",
            Outcome::Refused { .. } => "refused",
            Outcome::CouldNotStart { .. } => "could_not_start",
            Outcome::Interrupted(_) | Outcome::CutOff => "interrupted",
            Outcome::Lost(_) => "lost",
            Outcome::Deferred { .. } => "deferred",
            Outcome::GaveUp { ended, .. } => ended.word(),
        }
    }

    /// Its worker was told to go before the command had ended: nobody counts that against the task.
    pub fn is_interrupted(&self) -> bool {
        match self {
            Outcome::Interrupted(_) | Outcome::CutOff => true,
            Outcome::Exited(_)
            | Outcome::Signalled(_)
            | Outcome::OutOfMemory
            | Outcome::TimedOut(_)
            | Outcome::Cancelled(_)
            | Outcome::Refused { .. }
            | Outcome::CouldNotStart { .. }
            | Outcome::Lost(_)
            | Outcome::Deferred { .. }
            | Outcome::GaveUp { .. } => false,
        }
    }

    /// The command did not come to its end by itself: something ended it, or nobody knows how it ended. What it had
    /// others do for it, elsewhere, may go on.
    pub fn is_cut_short(&self) -> bool {
        match self {
            Outcome::Signalled(_)
            | Outcome::OutOfMemory
            | Outcome::TimedOut(_)
            | Outcome::Cancelled(_)
            | Outcome::Interrupted(_)
            | Outcome::CutOff
            | Outcome::Lost(_) => true,
            Outcome::GaveUp { ended, .. } => ended.is_cut_short(),
            Outcome::Exited(_)
            | Outcome::Refused { .. }
            | Outcome::CouldNotStart { .. }
            | Outcome::Deferred { .. } => false,
        }
    }

    /// The same of an attempt whose task was called off while it ran: whatever its process exited with, it is
    /// cancelled. Of one that has no exit, what happened to it is said, and its task is cancelled all the same.
    #[must_use]
    pub fn called_off(self) -> Outcome {
        match self.exit() {
            Some(exit) => Outcome::Cancelled(exit),
            None => self,
        }
    }

    /// The exit code, if there was one.
    pub fn exit_code(&self) -> Option<i32> {
        match self.exit() {
            Some(Exit::Code(code)) => Some(code),
            Some(Exit::Signal(_)) | None => None,
        }
    }

    /// The signal that ended it, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self.exit() {
            Some(Exit::Signal(signal)) => Some(signal),
            Some(Exit::Code(_)) | None => None,
        }
    }

    /// Why, where there is more to say than the word does.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Refused { reason }
            | Outcome::CouldNotStart { reason }
            | Outcome::GaveUp { reason, .. } => Some(reason),
            Outcome::OutOfMemory => Some(OUT_OF_MEMORY),
            Outcome::CutOff => Some("its worker was told to go, and killed before it had gone"),
            Outcome::Lost(Loss::WorkerHung) => Some(WORKER_HUNG),
            Outcome::Lost(Loss::MachineRestarted) => Some("the machine was restarted"),
            Outcome::Exited(_)
            | Outcome::Signalled(_)
            | Outcome::TimedOut(_)
            | Outcome::Cancelled(_)
            | Outcome::Interrupted(_)
            | Outcome::Deferred { .. }
            | Outcome::Lost(Loss::WorkerDied) => None,
        }
    }

    fn exit(&self) -> Option<Exit> {
        match self {
            Outcome::Exited(code) | Outcome::Deferred { code, .. } => Some(Exit::Code(*code)),
            Outcome::GaveUp { ended, .. } => ended.exit(),
            Outcome::Signalled(signal) => Some(Exit::Signal(*signal)),
            Outcome::OutOfMemory => Some(Exit::Signal(SIGKILL)),
            Outcome::TimedOut(exit) | Outcome::Cancelled(exit) | Outcome::Interrupted(exit) => {
                Some(*exit)
            }
            Outcome::Refused { .. }
            | Outcome::CouldNotStart { .. }
            | Outcome::CutOff
            | Outcome::Lost(_) => None,
        }
    }
}

/// A task that a reserved job belongs to, as far as the decision what to do with both needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Waiting.
    Waiting {
        /// Milliseconds until it is due, zero or less when it is.
        due_in: i64,
        /// Whether its job was kicked since the task began to wait; unknown until the broker was asked.
        kicked: Option<bool>,
    },
    /// Running.
    Running {
        /// Whether the worker that answers for it lives.
        owner_lives: bool,
        /// Since when it has been running, in milliseconds.
        running_for: i64,
    },
    /// Failed.
    Failed {
        /// Whether its job was kicked since the task failed; unknown until the broker was asked.
        kicked: Option<bool>,
        /// Its job is to be set aside for people, not deleted.
        buries: bool,
    },
    /// Done or cancelled.
    Over,
}

/// What to do with a reserved job and its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Begin an attempt.
    Begin,
    /// Begin an attempt before the task is due: kicking its job is asking for it.
    BeginEarly,
    /// Begin an attempt, with a fresh budget: kicking its job is asking for it.
    BeginAnew,
    /// Its worker died: end what that left, then begin.
    Recover,
    /// Not now: release the job for this long.
    Later(Duration),
    /// The job is one too many.
    DeleteJob,
    /// Its task has failed, and people are to find the job: whoever was to bury it has died.
    BuryJob,
    /// It depends on whether the job was kicked: ask.
    AskForKicks,
}

/// How long a job waits before we look again at a task that another worker is running.
const HELD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How long a job waits before we look again whether the command of its task is configured by now.
const PARKED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long a task waits for its command to be configured, once that was found missing.
const GIVEN_UP: Duration = Duration::from_secs(7 * 24 * 3600);

/// When to look again at a task whose command is not configured, which was found so many milliseconds ago: half as late
/// again each time. `None`: it has waited for long enough.
pub fn parked(missing_for: i64) -> Option<Duration> {
    let so_far = Duration::from_millis(missing_for.max(0).unsigned_abs());
    (so_far < GIVEN_UP).then(|| (so_far / 2).clamp(PARKED.0, PARKED.1))
}

/// Decides what a job may do to its task.
pub fn judge(found: Found) -> Verdict {
    match found {
        Found::Waiting { due_in, kicked } => match (u64::try_from(due_in), kicked) {
            (Ok(0) | Err(_), _) => Verdict::Begin,
            (Ok(_), None) => Verdict::AskForKicks,
            (Ok(_), Some(true)) => Verdict::BeginEarly,
            (Ok(wait), Some(false)) => Verdict::Later(Duration::from_millis(wait)),
        },
        Found::Running {
            owner_lives: true,
            running_for,
        } => {
            let so_far = Duration::from_millis(running_for.max(0).unsigned_abs());
            Verdict::Later(so_far.clamp(HELD.0, HELD.1))
        }
        Found::Running {
            owner_lives: false, ..
        } => Verdict::Recover,
        Found::Failed { kicked: None, .. } => Verdict::AskForKicks,
        Found::Failed {
            kicked: Some(true), ..
        } => Verdict::BeginAnew,
        Found::Failed {
            kicked: Some(false),
            buries: true,
        } => Verdict::BuryJob,
        Found::Failed {
            kicked: Some(false),
            buries: false,
        }
        | Found::Over => Verdict::DeleteJob,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_may_do() {
        let running = |owner_lives, running_for| Found::Running {
            owner_lives,
            running_for,
        };
        let waiting = |due_in, kicked| Found::Waiting { due_in, kicked };
        let failed = |kicked, buries| Found::Failed { kicked, buries };
        let ms = Duration::from_millis;
        let table = [
            (waiting(0, None), Verdict::Begin),
            (waiting(0, Some(true)), Verdict::Begin),
            (waiting(-5, Some(false)), Verdict::Begin),
            (waiting(1, None), Verdict::AskForKicks),
            (waiting(1, Some(false)), Verdict::Later(ms(1))),
            (waiting(90_000, Some(false)), Verdict::Later(ms(90_000))),
            (waiting(90_000, Some(true)), Verdict::BeginEarly),
            (running(true, 0), Verdict::Later(ms(1_000))),
            (running(true, -3_600_000), Verdict::Later(ms(1_000))),
            (running(true, 3_000), Verdict::Later(ms(3_000))),
            (running(true, 60_000), Verdict::Later(ms(5_000))),
            (running(false, 10), Verdict::Recover),
            (failed(None, false), Verdict::AskForKicks),
            (failed(None, true), Verdict::AskForKicks),
            (failed(Some(false), false), Verdict::DeleteJob),
            (failed(Some(false), true), Verdict::BuryJob),
            (failed(Some(true), false), Verdict::BeginAnew),
            (failed(Some(true), true), Verdict::BeginAnew),
            (Found::Over, Verdict::DeleteJob),
        ];
        for (found, verdict) in table {
            assert_eq!(judge(found), verdict, "{found:?}");
        }
    }

    #[test]
    fn a_task_is_parked_ever_longer_and_not_for_ever() {
        let seconds = Duration::from_secs;
        for (missing_for, expected) in [
            (-7, Some(5)),
            (0, Some(5)),
            (10_000, Some(5)),
            (60_000, Some(30)),
            (600_000, Some(300)),
            (86_400_000, Some(300)),
            (7 * 86_400_000, None),
            (i64::MAX, None),
        ] {
            assert_eq!(parked(missing_for), expected.map(seconds), "{missing_for}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), Some(status));
        }
        assert_eq!(Status::from_word("stalled"), None);
    }
}
