//! What does not end though it is to: a command, or what it has left.
//!
//! A command that becomes another user's may not be signalled, nor may what it starts as one. Such a command is waited
//! for, as long as the worker may: then it is its exit that says how the attempt ended. So is what a command has left;
//! only then is the attempt's end recorded, for nothing else keeps the next attempt from beginning beside it. The
//! worker holds on to the job meanwhile, and says once what it waits for.
//!
//! ```text
//!  Running ── TERM, KILL: refused, or of no use ──▶ said ──── its exit ────▶ as ever
//!                                                    └── the worker must go ──▶ job released, the attempt not recorded
//!  Leftovers ── not ours to end ──▶ said ──── it is gone ───▶ as ever
//!                                    └──── the worker must go ──▶ job released, the attempt not recorded
//! ```
//!
//! Whoever claims an attempt that was left so finds its worker dead, and what runs by the note of its session: the next
//! attempt waits for that.

use std::time::Duration;

use super::command::Stage;
use super::event::{Effect, Now, Said};
use super::mode::Mode;
use super::phase::{Finished, Phase, Running, Stranger};
use super::state::{AGAIN, Effects, Machine, Told};
use crate::grace::KILL_TO_STUCK;
use crate::ledger::{DeadAttempt, Remains};
use crate::link::Report;
use crate::process::leftover::Cleared;

/// What is said of a command that no signal has reached.
const NOT_OURS: &str = "which is not ours to signal";

/// What is said of one that KILL did not end.
const KILLED: &str = "it was killed and has not ended";

impl Machine {
    /// A signal did not reach the command.
    pub(super) fn does_not_end(&mut self, who: String, out: &mut Effects) {
        self.is_stuck(format!("it is {who}, {NOT_OURS}"), out);
    }

    /// Says once that the command goes on, and why.
    fn is_stuck(&mut self, reason: String, out: &mut Effects) {
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        if running.stuck.is_some() {
            return;
        }
        running.stuck = Some(reason.clone());
        let attempt = running.facts.id;
        let task = attempt.task.0;
        let trouble = format!("cannot end the command of task {task}: {reason}");
        let reason_to_say = reason;
        out.push(Effect::Say(Said::DoesNotEnd {
            attempt,
            reason: reason_to_say,
        }));
        self.report(
            Report::Troubled {
                task,
                reason: trouble,
            },
            out,
        );
    }

    /// A command that was killed and does not end is left to itself by a worker that must go. True if it was left.
    pub(super) fn leave_running(&mut self, now: Now, out: &mut Effects) -> bool {
        let Phase::Running(Running { stage, stuck, .. }) = &self.phase else {
            return false;
        };
        let Stage::Killed { at, .. } = *stage else {
            return false;
        };
        if stuck.is_none() {
            if !self.is_due(at.saturating_add(KILL_TO_STUCK), now) {
                return false;
            }
            self.is_stuck(KILLED.to_owned(), out);
        }
        if !self.must_go(now) {
            return false;
        }
        let Phase::Running(running) = self.phase.take() else {
            return false;
        };
        let Running {
            reservation,
            facts,
            stuck,
            ..
        } = running;
        out.push(Effect::Say(Said::LeftRunning {
            attempt: facts.id,
            reason: stuck.unwrap_or_default(),
        }));
        out.push(Effect::Abandon);
        self.keep_alive = None;
        self.count(0);
        self.release(reservation, None, Some(facts.priority), Duration::ZERO);
        true
    }

    /// What came of what an attempt has left.
    pub(super) fn left_behind(
        &mut self,
        finished: Finished,
        before: Option<Stranger>,
        cleared: Cleared,
        now: Now,
        out: &mut Effects,
    ) {
        let who = match cleared {
            Cleared::Stranger(who) => who,
            // What holds the attempt's lock keeps the next attempt from beginning.
            Cleared::Gone | Cleared::Left => {
                if before.is_some() {
                    self.forget_trouble(now);
                }
                return self.clean_up(finished, now, out);
            }
        };
        if before.is_none() {
            let attempt = finished.facts.id;
            let task = attempt.task.0;
            let reason = format!("cannot end what the command of task {task} left: {who}");
            let said = who.clone();
            out.push(Effect::Say(Said::LeftBehind { attempt, who: said }));
            self.report(Report::Troubled { task, reason }, out);
        }
        let stranger = Some(Stranger {
            who,
            again_at: Some(now.at.saturating_add(AGAIN)),
        });
        self.phase = Phase::Leftovers { finished, stranger };
    }

    /// Looks again for what is not ours to end; a worker that must go leaves it. True if it was left.
    pub(super) fn look_for_strangers(&mut self, now: Now, out: &mut Effects) -> bool {
        let Phase::Leftovers {
            stranger: Some(stranger),
            ..
        } = &self.phase
        else {
            return false;
        };
        let Some(again_at) = stranger.again_at else {
            return false;
        };
        let (must_go, is_time) = (self.must_go(now), self.is_due(again_at, now));
        let Phase::Leftovers {
            finished,
            stranger: Some(mut stranger),
        } = self.phase.take()
        else {
            return false;
        };
        if must_go {
            let (attempt, reason) = (finished.facts.id, stranger.who);
            out.push(Effect::Say(Said::LeftRunning { attempt, reason }));
            self.keep_alive = None;
            let priority = Some(finished.facts.priority);
            self.release(finished.reservation, None, priority, Duration::ZERO);
            return true;
        }
        if is_time {
            out.push(Effect::EndRemains(finished.remains()));
            stranger.again_at = None;
        }
        let stranger = Some(stranger);
        self.phase = Phase::Leftovers { finished, stranger };
        false
    }

    /// Whether the worker waits for no command any more; else it is woken when it is so.
    fn must_go(&mut self, now: Now) -> bool {
        match self.mode {
            Mode::Working | Mode::Draining { until: None } => false,
            Mode::Draining { until: Some(until) } => self.is_due(until, now),
            Mode::Stopping => true,
        }
    }

    /// The tender believes that the worker is in trouble, and is told when it is idle.
    pub(super) fn forget_trouble(&mut self, now: Now) {
        self.told = Told::NotSince(now.at);
    }
}

impl Finished {
    /// What is to be ended of it.
    pub(super) fn remains(&self) -> DeadAttempt {
        DeadAttempt {
            id: self.facts.id,
            uuid: self.facts.uuid,
            owner: None,
            worker: None,
            priority: self.facts.priority,
            remains: Remains::Unknown,
        }
    }
}
