//! What is to be done about a schedule now.
//!
//! One step at a time: whoever has performed one looks at the rows again and asks anew. Each step is one transaction,
//! and names the nominal time up to which all is decided, so that of several who perform it only one does.
//!
//! ```text
//!                        nominal          newest      now
//!   ──────────────────────┼──────┼──────┼──────┼──────┤
//!   decided               │ missed, but for the newest if that came just now
//! ```

use super::calendar::Offsets;
use super::spec::{From, Missed, Overlap, Rules, SHORTEST, Spec, Timing};
use crate::task::Millis;

/// A time that passed no longer ago is on time: a tender was restarted, or had to wait for the store.
pub const ON_TIME: Millis = 60_000;

const HOUR: Millis = 3_600_000;

/// Where a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// All times up to then are decided.
    pub nominal: Millis,
    /// One of them waits until the schedule's tasks have ended.
    pub held: Option<Millis>,
    /// Nothing comes of it meanwhile.
    pub is_paused: bool,
    /// Tasks of it wait or run.
    pub is_open: bool,
    /// The newest of its tasks.
    pub last: Last,
    /// A task came of the time up to which all is decided.
    pub has_made: bool,
    /// When it was made.
    pub made: Millis,
}

/// The newest task of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// There is none, or it was deleted.
    None,
    /// It waits or runs.
    Open,
    /// It ended then.
    Ended(Millis),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A task is to be made for that time.
    Fire {
        /// The time.
        nominal: Millis,
        /// It was missed, and is made up for.
        backfilled: bool,
    },
    /// A task is to be made for the time that was held.
    FireHeld {
        /// The time.
        nominal: Millis,
    },
    /// That time is to wait until the schedule's tasks have ended.
    Hold {
        /// The time.
        nominal: Millis,
    },
    /// Nothing comes of the times up to that.
    PassOver {
        /// The last of them.
        nominal: Millis,
    },
}

/// What is to be done now, or when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// This, now.
    Do(Step),
    /// Nothing before then.
    Wait(Millis),
    /// Nothing before a task of it has ended.
    WaitForEnd,
    /// Nothing any more, unless somebody changes it.
    Nothing,
}

/// By how much a schedule of that name fires late, so that not all do at once.
pub fn lateness(name: &str, jitter: Millis) -> Millis {
    // FNV-1a, for it is to be the same on all machines.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let jitter = u64::try_from(jitter).unwrap_or(0);
    let late = (hash ^ hash >> 32).checked_rem(jitter).unwrap_or(0);
    Millis::try_from(late).unwrap_or(0)
}

impl Spec {
    /// What is to be done about a schedule of that name.
    pub fn decide(&self, name: &str, zone: &dyn Offsets, at: &Standing, now: Millis) -> Decision {
        if at.is_paused {
            return Decision::Nothing;
        }
        if let Some(nominal) = at.held
            && !at.is_open
        {
            return Decision::Do(Step::FireHeld { nominal });
        }
        let late = lateness(name, self.rules.jitter);
        if let Timing::Every {
            period,
            from: From::End,
            first,
        } = &self.timing
        {
            return match from_end(*period, first.unwrap_or(at.made), at) {
                None => Decision::WaitForEnd,
                Some(nominal) => match nominal.saturating_add(late) {
                    due if due <= now => Decision::Do(Step::Fire {
                        nominal,
                        backfilled: now.saturating_sub(due) > ON_TIME,
                    }),
                    due => Decision::Wait(due),
                },
            };
        }
        let until = now.saturating_sub(late);
        let wanted = match self.rules.missed {
            Missed::All => self.rules.limit as usize + 1,
            Missed::One | Missed::Skip => 1,
        };
        let due = self.latest(zone, at, until, wanted);
        let Some(newest) = due.last().copied() else {
            let next = self.timing.after(zone, at.made, at.nominal).next();
            return match (next, at.held) {
                (Some(next), _) => Decision::Wait(next.saturating_add(late)),
                (None, Some(_)) => Decision::WaitForEnd,
                (None, None) => Decision::Nothing,
            };
        };
        Decision::Do(self.rules.step(&due, newest, until, at))
    }

    /// The newest times that are not decided, up to one.
    fn latest(
        &self,
        zone: &dyn Offsets,
        at: &Standing,
        until: Millis,
        wanted: usize,
    ) -> Vec<Millis> {
        let mut span = HOUR;
        loop {
            let from = at.nominal.max(until.saturating_sub(span));
            let times = self.timing.after(zone, at.made, from);
            let mut times: Vec<Millis> = times.take_while(|time| *time <= until).collect();
            if times.len() >= wanted || from == at.nominal {
                return times.split_off(times.len().saturating_sub(wanted));
            }
            span = span.saturating_mul(4);
        }
    }
}

impl Rules {
    /// What to do where times have come, of which these are the newest.
    fn step(&self, due: &[Millis], newest: Millis, until: Millis, at: &Standing) -> Step {
        let passed = |nominal: Millis| until.saturating_sub(nominal);
        let is_missed = passed(newest) > ON_TIME;
        let is_within =
            |nominal: Millis| self.window.is_none_or(|window| passed(nominal) <= window);
        match self.missed {
            Missed::Skip if is_missed => return Step::PassOver { nominal: newest },
            Missed::One if is_missed && !is_within(newest) => {
                return Step::PassOver { nominal: newest };
            }
            Missed::Skip | Missed::One => {}
            Missed::All => {
                let missed = if is_missed {
                    due
                } else {
                    due.get(..due.len().saturating_sub(1)).unwrap_or_default()
                };
                let first = missed.len().saturating_sub(self.limit as usize);
                let mut made_up = missed
                    .iter()
                    .skip(first)
                    .copied()
                    .filter(|nominal| is_within(*nominal));
                // Whoever wants them all wants none of them for the sake of another.
                if let Some(nominal) = made_up.next() {
                    return Step::Fire {
                        nominal,
                        backfilled: true,
                    };
                }
                if is_missed {
                    return Step::PassOver { nominal: newest };
                }
            }
        }
        let nominal = newest;
        match self.overlap {
            Overlap::Skip if at.is_open => Step::PassOver { nominal },
            Overlap::Queue if at.held.is_some() => Step::PassOver { nominal },
            Overlap::Queue if at.is_open => Step::Hold { nominal },
            Overlap::Allow | Overlap::Skip | Overlap::Queue => Step::Fire {
                nominal,
                backfilled: is_missed,
            },
        }
    }
}

/// The next time of what is counted from the end of the task before; `None` while that has not ended.
pub fn from_end(period: Millis, first: Millis, at: &Standing) -> Option<Millis> {
    if at.nominal < first {
        return Some(first);
    }
    let after = match at.last {
        Last::Open => return None,
        Last::Ended(ended) => ended,
        Last::None => at.nominal,
    };
    let next = after.saturating_add(period);
    Some(match (next > at.nominal, at.has_made) {
        (true, _) => next,
        (false, true) => at.nominal.saturating_add(1),
        // Nothing came of the time after that end, for another task had the key: the next is not at once.
        (false, false) => at.nominal.saturating_add(period.max(SHORTEST)),
    })
}

impl Timing {
    /// All its times after one, in their order, as far as they are known beforehand. `made`: when the schedule was.
    pub fn after<'a>(
        &'a self,
        zone: &'a dyn Offsets,
        made: Millis,
        after: Millis,
    ) -> Box<dyn Iterator<Item = Millis> + 'a> {
        match self {
            Timing::Cron { cron, .. } => {
                let times = cron.after(after.div_euclid(1000), zone);
                Box::new(times.map(|at| at.saturating_mul(1000)))
            }
            Timing::Every {
                period,
                from: From::Start,
                first,
            } => {
                let (first, period) = (first.unwrap_or(made), (*period).max(1));
                let gone = after.saturating_sub(first).div_euclid(period);
                let next = if after < first {
                    first
                } else {
                    first + (gone + 1) * period
                };
                Box::new(std::iter::successors(Some(next), move |at| {
                    at.checked_add(period)
                }))
            }
            Timing::Every {
                from: From::End,
                first,
                ..
            } => Box::new(
                Some(first.unwrap_or(made))
                    .into_iter()
                    .filter(move |at| *at > after),
            ),
            Timing::At(at) => Box::new(Some(*at).into_iter().filter(move |at| *at > after)),
        }
    }

    /// Up to when all is decided of a schedule that is made, or is otherwise, since then.
    pub fn decided_when_made(&self, made: Millis) -> Millis {
        match self {
            // The first time may be that very moment.
            Timing::Every { .. } => made.saturating_sub(1),
            Timing::Cron { .. } | Timing::At(_) => made,
        }
    }
}

#[cfg(test)]
mod tests;
