//! What becomes of a task when an attempt has ended.

use std::time::Duration;

use super::id::AttemptId;
use super::state::{Loss, OUT_OF_MEMORY, Outcome};

mod attempts;
mod waits;

pub use attempts::{Attempts, ENDLESS, Failing, RetryOn};
pub use waits::{BadWaits, Jitter, Waits};

/// `EX_DATAERR` of sysexits.h: the command says that trying again is no use.
pub const EX_DATAERR: i32 = 65;

/// So many attempts whose workers died are one too many, unless configured.
pub const MAX_LOST: u32 = 3;

/// So often a task may be put off by its own command, unless configured.
pub const MAX_SNOOZES: u32 = 100;

/// How often a task is tried, and how long it waits in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Attempts in all. Those that were interrupted or lost are not counted.
    pub max_attempts: Attempts,
    /// So many attempts whose workers died, and the task is held to be what kills them. At least 1;
    /// [`MAX_LOST`] when `None`.
    pub max_lost: Option<u32>,
    /// So often the command may say "not now"; once more, and the task has failed.
    pub max_snoozes: u32,
    /// The wait before the second attempt and those after it, where there is no list.
    pub backoff: GrowingWait,
    /// The same one by one.
    pub waits: Option<Waits>,
    /// By how much each may be longer.
    pub jitter: Jitter,
    /// After what there is a second attempt at all.
    pub retry_on: RetryOn,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            max_attempts: Attempts::Most(1),
            max_lost: None,
            max_snoozes: MAX_SNOOZES,
            backoff: GrowingWait::default(),
            waits: None,
            jitter: Jitter::default(),
            retry_on: RetryOn::default(),
        }
    }
}

impl Rules {
    /// How long a task waits after that attempt, when so many have failed.
    fn wait(&self, failed: u32, attempt: AttemptId) -> Duration {
        let wait = match &self.waits {
            Some(waits) => waits.after(failed),
            None => self.backoff.after(failed),
        };
        self.jitter.spread(wait, attempt)
    }
}

/// A wait that grows by a factor, up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrowingWait {
    /// The first wait.
    pub first: Duration,
    /// What each wait is multiplied by for the next one; at least 1.
    pub factor: u32,
    /// No wait is longer, but for its jitter.
    pub max: Duration,
}

impl Default for GrowingWait {
    fn default() -> Self {
        GrowingWait {
            first: Duration::from_secs(10),
            factor: 2,
            max: Duration::from_secs(3600),
        }
    }
}

impl GrowingWait {
    /// The wait after that many failed attempts, counted from 1.
    pub fn after(&self, failed: u32) -> Duration {
        let factor = self.factor.max(1).saturating_pow(failed.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.max)
    }
}

/// What a task has used up since it was put or regenerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Attempts that count.
    pub spent: u32,
    /// Attempts whose worker died.
    pub lost: u32,
    /// Attempts whose command said "not now".
    pub deferred: u32,
}

/// What becomes of the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is done.
    Done,
    /// It is over.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// It was called off.
    Cancelled,
    /// It waits, and may run again after this long.
    Wait(Duration),
}

/// Decides what becomes of a task after that attempt, and what the task has used up then.
pub fn next(
    outcome: &Outcome,
    rules: &Rules,
    before: Budget,
    attempt: AttemptId,
) -> (Next, Budget) {
    let after = spent(outcome, before);
    let again = |reason, failing| again(reason, failing, rules, after, attempt);
    let next = match outcome {
        Outcome::Exited(0) => Next::Done,
        Outcome::Cancelled(_) => Next::Cancelled,
        Outcome::Interrupted(_) | Outcome::CutOff | Outcome::Lost(Loss::MachineRestarted) => {
            Next::Wait(Duration::ZERO)
        }
        Outcome::Refused { reason } => failed(reason.clone()),
        Outcome::Exited(EX_DATAERR) => failed(format!("exit code {EX_DATAERR}: bad data")),
        Outcome::Lost(Loss::WorkerDied | Loss::WorkerHung)
            if after.lost >= rules.max_lost.unwrap_or(MAX_LOST) =>
        {
            failed(format!("its worker died {} times", after.lost))
        }
        Outcome::Lost(Loss::WorkerDied | Loss::WorkerHung) => Next::Wait(Duration::ZERO),
        Outcome::Exited(code) => again(format!("exit code {code}"), Failing::Exit),
        Outcome::Signalled(signal) => again(format!("ended by signal {signal}"), Failing::Signal),
        Outcome::OutOfMemory => again(OUT_OF_MEMORY.into(), Failing::Signal),
        Outcome::TimedOut(_) => again("ran longer than its timeout".into(), Failing::Timeout),
        Outcome::CouldNotStart { reason } => again(reason.clone(), Failing::Start),
        Outcome::GaveUp { reason, .. } => failed(reason.clone()),
        Outcome::Deferred { .. } if after.deferred > rules.max_snoozes => failed(format!(
            "it has put itself off {} times, and its max_snoozes is {}",
            after.deferred, rules.max_snoozes
        )),
        Outcome::Deferred { wait, .. } => Next::Wait(*wait),
    };
    (next, after)
}

/// What a task has used up after an attempt that ended so.
fn spent(outcome: &Outcome, before: Budget) -> Budget {
    match outcome {
        Outcome::Exited(_)
        | Outcome::Signalled(_)
        | Outcome::OutOfMemory
        | Outcome::TimedOut(_)
        | Outcome::CouldNotStart { .. }
        | Outcome::Refused { .. }
        | Outcome::GaveUp { .. } => Budget {
            spent: before.spent.saturating_add(1),
            ..before
        },
        Outcome::Cancelled(_)
        | Outcome::Interrupted(_)
        | Outcome::CutOff
        | Outcome::Lost(Loss::MachineRestarted) => before,
        Outcome::Lost(Loss::WorkerDied | Loss::WorkerHung) => Budget {
            lost: before.lost.saturating_add(1),
            ..before
        },
        Outcome::Deferred { .. } => Budget {
            deferred: before.deferred.saturating_add(1),
            ..before
        },
    }
}

fn failed(reason: String) -> Next {
    Next::Failed { reason }
}

fn again(
    reason: String,
    failing: Failing,
    rules: &Rules,
    after: Budget,
    attempt: AttemptId,
) -> Next {
    if rules.max_attempts == Attempts::Most(1) {
        failed(reason)
    } else if !rules.retry_on.has(failing) {
        let word = failing.word();
        failed(format!(
            "{reason}; it is not tried again, for retry_on has no \"{word}\""
        ))
    } else if rules.max_attempts.allow_another(after.spent) {
        Next::Wait(rules.wait(after.spent, attempt))
    } else {
        failed(format!("{reason}, in the last of {} attempts", after.spent))
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::TaskId;
    use super::super::state::Exit;
    use super::*;

    const ATTEMPT: AttemptId = AttemptId {
        task: TaskId(7),
        number: 1,
    };

    fn next(outcome: &Outcome, rules: &Rules, before: Budget) -> (Next, Budget) {
        super::next(outcome, rules, before, ATTEMPT)
    }

    #[test]
    fn what_becomes_of_a_task() {
        let secs = Duration::from_secs;
        let wait = |s| Next::Wait(secs(s));
        let failed = |reason: &str| Next::Failed {
            reason: reason.into(),
        };
        let rules = Rules {
            max_attempts: Attempts::Most(3),
            jitter: Jitter::NONE,
            ..Rules::default()
        };
        let spent = |spent, lost| Budget {
            spent,
            lost,
            deferred: 0,
        };
        let killed = Exit::Signal(9);
        let table = [
            (Outcome::Exited(0), spent(0, 0), Next::Done, spent(1, 0)),
            (Outcome::Exited(1), spent(0, 0), wait(10), spent(1, 0)),
            (Outcome::Exited(75), spent(1, 0), wait(20), spent(2, 0)),
            (
                Outcome::Exited(75),
                spent(2, 0),
                failed("exit code 75, in the last of 3 attempts"),
                spent(3, 0),
            ),
            (
                Outcome::Exited(65),
                spent(0, 0),
                failed("exit code 65: bad data"),
                spent(1, 0),
            ),
            (Outcome::Signalled(11), spent(0, 0), wait(10), spent(1, 0)),
            (
                Outcome::TimedOut(killed),
                spent(0, 0),
                wait(10),
                spent(1, 0),
            ),
            (
                Outcome::Interrupted(killed),
                spent(2, 1),
                wait(0),
                spent(2, 1),
            ),
            (Outcome::CutOff, spent(2, 2), wait(0), spent(2, 2)),
            (
                Outcome::Cancelled(killed),
                spent(1, 1),
                Next::Cancelled,
                spent(1, 1),
            ),
            (
                Outcome::OutOfMemory,
                spent(2, 0),
                failed(
                    "killed while the kernel killed for memory where it ran, in the last of 3 attempts",
                ),
                spent(3, 0),
            ),
            (
                Outcome::Lost(Loss::WorkerDied),
                spent(2, 0),
                wait(0),
                spent(2, 1),
            ),
            (
                Outcome::Lost(Loss::WorkerHung),
                spent(2, 0),
                wait(0),
                spent(2, 1),
            ),
            (
                Outcome::Lost(Loss::WorkerHung),
                spent(0, 2),
                failed("its worker died 3 times"),
                spent(0, 3),
            ),
            (
                Outcome::Lost(Loss::MachineRestarted),
                spent(2, 2),
                wait(0),
                spent(2, 2),
            ),
            (
                Outcome::Lost(Loss::WorkerDied),
                spent(0, 2),
                failed("its worker died 3 times"),
                spent(0, 3),
            ),
            (
                Outcome::Refused {
                    reason: "no".into(),
                },
                spent(0, 0),
                failed("no"),
                spent(1, 0),
            ),
        ];
        for (outcome, before, then, after) in table {
            assert_eq!(next(&outcome, &rules, before), (then, after), "{outcome:?}");
        }
    }

    #[test]
    fn what_a_command_says_of_its_task() {
        let rules = Rules {
            max_attempts: Attempts::Most(3),
            max_snoozes: 2,
            ..Rules::default()
        };
        let wait = Duration::from_secs(300);
        let not_now = Outcome::Deferred { code: 0, wait };
        let put_off = |deferred| Budget {
            spent: 1,
            lost: 1,
            deferred,
        };
        for before in [0, 1] {
            let then = (Next::Wait(wait), put_off(before + 1));
            assert_eq!(next(&not_now, &rules, put_off(before)), then);
        }
        let reason = "it has put itself off 3 times, and its max_snoozes is 2".to_owned();
        let failed = Next::Failed { reason };
        assert_eq!(next(&not_now, &rules, put_off(2)), (failed, put_off(3)));
        let never = Rules {
            max_snoozes: 0,
            ..rules.clone()
        };
        let (then, _) = next(&not_now, &never, Budget::default());
        assert!(matches!(then, Next::Failed { .. }), "{then:?}");
        for ended in [
            Outcome::Exited(0),
            Outcome::Exited(75),
            Outcome::Signalled(11),
            Outcome::TimedOut(Exit::Signal(9)),
        ] {
            let reason = "no such customer".to_owned();
            let gave_up = Outcome::GaveUp {
                reason: reason.clone(),
                ended: Box::new(ended),
            };
            let after = Budget {
                spent: 2,
                ..put_off(1)
            };
            let then = (Next::Failed { reason }, after);
            assert_eq!(next(&gave_up, &rules, put_off(1)), then);
        }
    }

    #[test]
    fn one_attempt_by_default() {
        let (then, _) = next(&Outcome::Exited(2), &Rules::default(), Budget::default());
        assert_eq!(
            then,
            Next::Failed {
                reason: "exit code 2".into()
            }
        );
    }

    #[test]
    fn the_wait_grows_to_its_limit() {
        let backoff = GrowingWait::default();
        let waits: Vec<u64> = (1..=11).map(|n| backoff.after(n).as_secs()).collect();
        assert_eq!(
            waits,
            [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
        assert_eq!(backoff.after(u32::MAX), backoff.max);
    }

    #[test]
    fn a_list_is_followed_and_its_end_is_repeated() {
        let minutes = [5, 10, 20].map(|minutes| Duration::from_secs(minutes * 60));
        let rules = |max_attempts| Rules {
            max_attempts,
            waits: Some(Waits::new(&minutes).unwrap()),
            jitter: Jitter::NONE,
            ..Rules::default()
        };
        let table = [
            (Attempts::Most(4), 0, Some(5)),
            (Attempts::Most(4), 1, Some(10)),
            (Attempts::Most(4), 2, Some(20)),
            (Attempts::Most(4), 3, None),
            (Attempts::Most(2), 1, None),
            (Attempts::Most(6), 3, Some(20)),
            (Attempts::Most(6), 4, Some(20)),
            (Attempts::Most(6), 5, None),
            (Attempts::Endless, 0, Some(5)),
            (Attempts::Endless, 1_000_000, Some(20)),
            (Attempts::Endless, u32::MAX, Some(20)),
        ];
        for (max_attempts, spent, minutes) in table {
            let before = Budget {
                spent,
                ..Budget::default()
            };
            let (then, after) = next(&Outcome::Exited(1), &rules(max_attempts), before);
            match minutes {
                Some(minutes) => {
                    let wait = Duration::from_secs(minutes * 60);
                    assert_eq!(then, Next::Wait(wait), "{max_attempts} {spent}");
                }
                None => assert!(
                    matches!(then, Next::Failed { .. }),
                    "{max_attempts} {spent}"
                ),
            }
            assert_eq!(after.spent, spent.saturating_add(1));
        }
    }

    #[test]
    fn what_is_not_to_be_tried_again_fails_at_once_and_says_so() {
        let killed = Exit::Signal(9);
        let no_such = Outcome::CouldNotStart {
            reason: "no such file".into(),
        };
        let table = [
            (Outcome::Exited(1), Failing::Exit, "exit code 1"),
            (Outcome::Signalled(11), Failing::Signal, "signal 11"),
            (Outcome::OutOfMemory, Failing::Signal, "memory"),
            (Outcome::TimedOut(killed), Failing::Timeout, "its timeout"),
            (no_such, Failing::Start, "no such file"),
        ];
        for (outcome, failing, what) in table {
            let only = |those: Vec<Failing>| Rules {
                max_attempts: Attempts::Endless,
                retry_on: RetryOn::these(those),
                ..Rules::default()
            };
            let (then, _) = next(&outcome, &only(vec![failing]), Budget::default());
            assert!(matches!(then, Next::Wait(_)), "{outcome:?}: {then:?}");
            let others = Failing::ALL.into_iter().filter(|other| *other != failing);
            let (then, after) = next(&outcome, &only(others.collect()), Budget::default());
            let Next::Failed { reason } = then else {
                panic!("{outcome:?}: {then:?}");
            };
            let word = format!("retry_on has no \"{}\"", failing.word());
            assert!(reason.contains(what) && reason.ends_with(&word), "{reason}");
            assert_eq!(after.spent, 1);
        }
        // A worker that dies is no failure of the command.
        let none = Rules {
            retry_on: RetryOn::these([]),
            max_attempts: Attempts::Most(2),
            ..Rules::default()
        };
        let lost = Outcome::Lost(Loss::WorkerDied);
        let (then, _) = next(&lost, &none, Budget::default());
        assert_eq!(then, Next::Wait(Duration::ZERO));
    }

    #[test]
    fn a_growing_wait_has_its_jitter_too() {
        let rules = Rules {
            max_attempts: Attempts::Most(2),
            ..Rules::default()
        };
        let (then, _) = next(&Outcome::Exited(1), &rules, Budget::default());
        let again = next(&Outcome::Exited(1), &rules, Budget::default());
        assert_eq!(then, again.0);
        let Next::Wait(wait) = then else {
            panic!("{then:?}");
        };
        let usual = Duration::from_secs(10)..=Duration::from_secs(12);
        assert!(usual.contains(&wait), "{wait:?}");
    }
}
