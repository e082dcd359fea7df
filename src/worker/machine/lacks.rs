//! What a worker lacks to start commands, since when, and whose trouble that is.
//!
//! ```text
//!                  cannot be started                        started
//!   nothing lacks ──────────────────▶ the worker's trouble ─────────▶ nothing lacks
//!                                       │ the job goes back, nothing is spent, the worker pauses
//!                                       │ a program, after a minute
//!                                       ▼
//!                                     the task's fault
//! ```
//!
//! Without room or its folder a worker can start nothing, so it pauses for longer each time. Without one program it can
//! start others: it pauses for a moment, and the job of that program waits for longer each time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Now;
use crate::backoff::{FIRST, wait_after};
use crate::jitter;
use crate::process::lack::Lack;

/// A program that has been missing for so long is not just being replaced.
const MISSING: Duration = Duration::from_secs(60);

/// No pause and no job's wait is longer: most of what lacks is back within seconds.
const LONGEST: Duration = Duration::from_secs(10);

/// What was seen so long ago says nothing of now. Longer than a job may be with the other workers of a pool.
const FORGOTTEN: Duration = Duration::from_secs(180);

/// As many missing programs are remembered: those that were tried last.
const MOST: usize = 64;

/// Whose trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The worker's.
    Worker,
    /// The task's.
    Task,
}

/// Whose trouble it is when that has been lacking for so long.
fn whose(lack: Lack, lasted: Duration) -> Whose {
    match lack {
        Lack::Room | Lack::Folder | Lack::Condition => Whose::Worker,
        Lack::Program if lasted < MISSING => Whose::Worker,
        Lack::Program | Lack::Sense => Whose::Task,
    }
}

/// What is to be done about a command that could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// The job goes back.
    GiveBack {
        /// For how long.
        delay: Duration,
        /// This has not been so before, and is to be said.
        is_new: bool,
    },
    /// The task has failed, after its program was missing for so long.
    Fail {
        /// How long.
        lasted: Duration,
    },
}

/// What a worker lacks.
#[derive(Debug, Default)]
pub struct Lacks {
    /// For every command.
    own: Option<(Lack, Seen)>,
    /// For the commands that run them.
    programs: BTreeMap<String, Seen>,
    /// No command is started before then.
    until: Option<Duration>,
}

/// How often something was seen to lack.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Duration,
    last: Duration,
    times: u32,
}

impl Seen {
    fn first(now: Now) -> Seen {
        Seen {
            first: now.at,
            last: now.at,
            times: 1,
        }
    }

    fn is_forgotten(self, now: Now) -> bool {
        now.at.saturating_sub(self.last) > FORGOTTEN
    }

    /// Once more; `None`: what was seen before is forgotten.
    fn again(self, now: Now) -> Option<Seen> {
        (!self.is_forgotten(now)).then(|| Seen {
            last: now.at,
            times: self.times.saturating_add(1),
            ..self
        })
    }

    fn lasted(self) -> Duration {
        self.last.saturating_sub(self.first)
    }
}

impl Lacks {
    /// A command could not be started.
    pub fn could_not_start(&mut self, lack: Lack, program: &str, now: Now) -> Judged {
        let before = match lack {
            Lack::Room | Lack::Folder | Lack::Condition => self.own.filter(|(own, _)| *own == lack),
            Lack::Program => self.programs.get(program).map(|seen| (lack, *seen)),
            Lack::Sense => None,
        };
        let seen = before.and_then(|(_, seen)| seen.again(now));
        let (seen, is_new) = match seen {
            Some(seen) => (seen, false),
            None => (Seen::first(now), true),
        };
        let lasted = seen.lasted();
        let wait = wait_after(seen.times, LONGEST);
        let (pause, delay) = match lack {
            // Others may have room.
            Lack::Room | Lack::Folder | Lack::Condition => {
                self.own = Some((lack, seen));
                (wait, Duration::ZERO)
            }
            Lack::Program => {
                self.remember(program, seen, now);
                (FIRST, wait.min(MISSING.saturating_sub(lasted)).max(FIRST))
            }
            Lack::Sense => (Duration::ZERO, Duration::ZERO),
        };
        match whose(lack, lasted) {
            Whose::Worker => {
                let pause = jitter::shorten_by(pause, now.jitter);
                self.until = Some(now.at.saturating_add(pause));
                Judged::GiveBack { delay, is_new }
            }
            Whose::Task => Judged::Fail { lasted },
        }
    }

    fn remember(&mut self, program: &str, seen: Seen, now: Now) {
        if self.programs.len() >= MOST && !self.programs.contains_key(program) {
            self.programs.retain(|_, seen| !seen.is_forgotten(now));
        }
        self.programs.insert(program.to_owned(), seen);
        while self.programs.len() > MOST
            && let Some(oldest) = self.oldest()
        {
            self.programs.remove(&oldest);
        }
    }

    /// The program that was not tried for the longest time.
    fn oldest(&self) -> Option<String> {
        let oldest = self.programs.iter().min_by_key(|(_, seen)| seen.last);
        oldest.map(|(program, _)| program.clone())
    }

    /// A command has been started. True if something that had been lacking is there again.
    pub fn started(&mut self, program: &str) -> bool {
        self.until = None;
        if self.own.is_none() && self.programs.is_empty() {
            return false;
        }
        let is_back = self.programs.remove(program).is_some();
        self.own.take().is_some() || is_back
    }

    /// No command is started before then.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            at: Duration::from_secs(seconds),
            jitter: 255,
            ..Now::default()
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn whose_trouble_it_is() {
        let minute = MISSING - Duration::from_millis(1);
        for (lack, at_once, within_a_minute, later) in [
            (Lack::Room, Whose::Worker, Whose::Worker, Whose::Worker),
            (Lack::Folder, Whose::Worker, Whose::Worker, Whose::Worker),
            (Lack::Condition, Whose::Worker, Whose::Worker, Whose::Worker),
            (Lack::Program, Whose::Worker, Whose::Worker, Whose::Task),
            (Lack::Sense, Whose::Task, Whose::Task, Whose::Task),
        ] {
            assert_eq!(whose(lack, Duration::ZERO), at_once, "{lack:?}");
            assert_eq!(whose(lack, minute), within_a_minute, "{lack:?}");
            assert_eq!(whose(lack, MISSING), later, "{lack:?}");
            assert_eq!(whose(lack, secs(86_400)), later, "{lack:?}");
        }
    }

    #[test]
    fn without_room_a_worker_pauses_for_longer_each_time_and_says_so_once() {
        let mut lacks = Lacks::default();
        let (mut now, mut pauses, mut said) = (1000, Vec::new(), 0);
        for _ in 0..7 {
            match lacks.could_not_start(Lack::Room, "job", at(now)) {
                Judged::GiveBack { delay, is_new } => {
                    assert_eq!(delay, Duration::ZERO, "others may have room");
                    said += u32::from(is_new);
                }
                other => panic!("{other:?}"),
            }
            // Shorter by a bit, by chance.
            let pause = lacks.until().unwrap().as_secs() + 1 - now;
            pauses.push(pause);
            now += pause;
        }
        assert_eq!((pauses, said), (vec![1, 2, 4, 8, 10, 10, 10], 1));
        assert!(lacks.started("another"));
        assert_eq!(lacks.until(), None);
        assert!(!lacks.started("another"), "said once");
    }

    #[test]
    fn a_program_that_has_been_missing_for_a_minute_fails_its_tasks() {
        let mut lacks = Lacks::default();
        let (mut now, mut delays) = (0, Vec::new());
        let lasted = loop {
            match lacks.could_not_start(Lack::Program, "job", at(now)) {
                Judged::GiveBack { delay, is_new } => {
                    assert_eq!(is_new, now == 0);
                    assert!(lacks.until() <= Some(secs(now + 1)), "others may start");
                    delays.push(delay.as_secs());
                    now += delay.as_secs();
                }
                Judged::Fail { lasted } => break lasted,
            }
        };
        assert_eq!(
            (delays, lasted),
            (vec![1, 2, 4, 8, 10, 10, 10, 10, 5], MISSING)
        );
        // At once from now on, but another program has its own minute.
        let again = lacks.could_not_start(Lack::Program, "job", at(now));
        assert_eq!(again, Judged::Fail { lasted: MISSING });
        let another = lacks.could_not_start(Lack::Program, "another", at(now));
        assert!(matches!(another, Judged::GiveBack { is_new: true, .. }));
        assert!(lacks.started("job"));
        let begun_anew = lacks.could_not_start(Lack::Program, "job", at(now));
        assert!(matches!(begun_anew, Judged::GiveBack { is_new: true, .. }));
    }

    #[test]
    fn what_was_missing_long_ago_says_nothing_of_now() {
        let mut lacks = Lacks::default();
        lacks.could_not_start(Lack::Program, "job", at(0));
        let later = lacks.could_not_start(Lack::Program, "job", at(3600));
        assert!(matches!(later, Judged::GiveBack { is_new: true, .. }));
    }

    #[test]
    fn what_makes_no_sense_fails_at_once_and_keeps_nothing_else_waiting() {
        let mut lacks = Lacks::default();
        let judged = lacks.could_not_start(Lack::Sense, "job", at(0));
        assert!(matches!(judged, Judged::Fail { .. }));
        assert_eq!(lacks.until(), None);
    }

    #[test]
    fn no_more_than_so_many_programs_are_remembered() {
        let mut lacks = Lacks::default();
        for program in 0..1000 {
            lacks.could_not_start(Lack::Program, &program.to_string(), at(program));
            assert!(lacks.programs.len() <= MOST);
        }
        let newest = (1000 - MOST as u64..1000).map(|program| program.to_string());
        assert!(newest.eq({
            let mut programs: Vec<_> = lacks.programs.keys().cloned().collect();
            programs.sort_by_key(|program| program.parse::<u64>().unwrap());
            programs
        }));
    }

    /// However many others were missing before it.
    #[test]
    fn a_program_fails_its_tasks_though_many_others_were_missing_long_ago() {
        let mut lacks = Lacks::default();
        for program in 0..MOST {
            lacks.could_not_start(Lack::Program, &program.to_string(), at(0));
        }
        let hour = 3600;
        lacks.could_not_start(Lack::Program, "job", at(hour));
        assert_eq!(lacks.programs.len(), 1, "the others are forgotten");
        let later = lacks.could_not_start(Lack::Program, "job", at(hour + 60));
        assert_eq!(later, Judged::Fail { lasted: MISSING });
    }
}
