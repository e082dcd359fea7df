//! From the end of a command to its outcome being recorded, together with the claim of the next job where there is one.

use std::sync::Arc;
use std::time::Duration;

use super::batch::{Journal, Recorded, Turn};
use super::command::Stage;
use super::event::{Effect, Ended, How, Now, Said, ToDelete};
use super::heard::{Belief, Stop};
use super::lacks::Judged;
use super::mode::Mode;
use super::pace::Pace;
use super::phase::{Finished, Last, Looking, Phase, Recording, Running};
use super::state::{Effects, Machine, Told, gap};
use crate::broker::Reservation;
use crate::crash::Point;
use crate::ledger::{Claim, Entered, Jobless, Settlement};
use crate::link::Report;
use crate::task::command::{AFTER, AFTER_A_KILL, OnFailure};
use crate::task::id::TaskId;
use crate::task::retry::{self, Next};
use crate::task::state::Outcome;

/// Even a worker that is to leave at once gives the ledger so long.
pub const LAST_TRY: Duration = Duration::from_secs(2);

impl Machine {
    /// The command has ended, or could not be started. Whether that is its own end, or that of all around it, may show
    /// only in a moment.
    pub(super) fn ended(
        &mut self,
        running: Running,
        ended: Box<Ended>,
        now: Now,
        out: &mut Effects,
    ) {
        match self.heard.judge(&ended, now.at) {
            Belief::Known(stop) => self.has_ended(running, *ended, stop, now, out),
            Belief::Until(until) => {
                self.phase = Phase::Held {
                    running,
                    ended,
                    until,
                };
            }
        }
    }

    /// What was held back is judged by what has been heard since. False where there is still something to be heard.
    pub(super) fn judge_what_is_held(&mut self, now: Now, out: &mut Effects) -> bool {
        let Phase::Held { until, ended, .. } = &self.phase else {
            return false;
        };
        let (until, belief) = (*until, self.heard.judge(ended, now.at));
        let stop = match belief {
            Belief::Known(stop) => stop,
            Belief::Until(_) if self.is_due(until, now) => Stop::Itself,
            Belief::Until(_) => return false,
        };
        if let Phase::Held { running, ended, .. } = self.phase.take() {
            self.has_ended(running, *ended, stop, now, out);
        }
        true
    }

    fn has_ended(
        &mut self,
        running: Running,
        mut ended: Ended,
        stop: Stop,
        now: Now,
        out: &mut Effects,
    ) {
        if let How::NotStarted { lack, reason } = &mut ended.how {
            match self
                .lacks
                .could_not_start(*lack, running.facts.program(), now)
            {
                Judged::GiveBack { delay, is_new } => {
                    let reason = std::mem::take(reason);
                    return self.does_not_start(running, (delay, is_new, reason), now, out);
                }
                Judged::Fail { lasted } if lasted > Duration::ZERO => {
                    let lasted = lasted.as_secs();
                    reason.push_str(&format!(", for {lasted} s by now"));
                }
                Judged::Fail { .. } => {}
            }
        }
        let Running {
            reservation,
            facts,
            begun,
            started,
            stage,
            called_off,
            stuck,
            ..
        } = running;
        if stuck.is_some() {
            self.forget_trouble(now);
        }
        // What had ended before it could be asked to is judged by its exit.
        let stage = match ended.by_itself {
            true => Stage::Running,
            false => stage,
        };
        let outcome = match (stop, ended.how) {
            (Stop::WithAll, How::Exit { exit, .. }) => Outcome::Interrupted(exit),
            (Stop::WithAll | Stop::Itself, how) => stage.outcome(how),
        };
        let outcome = ended.reported.judge(outcome);
        // What the command has said since goes with its outcome.
        self.notes.progress = None;
        // What went well is done, whoever called it off meanwhile.
        let outcome = match (called_off, outcome) {
            (Some(_), well @ Outcome::Exited(0)) | (None, well) => well,
            (Some(_), other) => other.called_off(),
        };
        let (next, budget) = retry::next(&outcome, &facts.command.retry, facts.budget, facts.id);
        let (next, budget) = match (called_off, next) {
            (Some(_), Next::Failed { .. } | Next::Wait(_)) => (Next::Cancelled, facts.budget),
            (_, next) => (next, budget),
        };
        let kicks = facts.kicks.filter(|_| matches!(next, Next::Failed { .. }));
        let long = now.at.saturating_sub(begun);
        let printed = ended.output.size();
        let is_done = next == Next::Done;
        self.pace = Pace::of(long, printed, is_done);
        self.count(printed);
        let finished = Finished {
            settlement: Arc::new(Settlement {
                id: facts.id,
                outcome,
                next,
                budget,
                output: ended.output,
                report: ended.reported.kept(is_done),
                took: ended.took,
                kicks,
                started,
                finished: ended.at,
                ran: Some(Arc::clone(&facts.ran)),
            }),
            reservation,
            facts,
            long,
            quick: ended.quick,
        };
        // Only what is done may leave a daemon behind.
        if ended.has_remains && !is_done {
            out.push(Effect::EndRemains(finished.remains()));
            let stranger = None;
            self.phase = Phase::Leftovers { finished, stranger };
        } else {
            self.clean_up(finished, now, out);
        }
    }

    /// Nothing of the command runs any more that must not, at least here. Where the command was cut short, what it had
    /// others do may go on elsewhere, and is ended before another attempt can begin.
    pub(super) fn clean_up(&mut self, finished: Finished, now: Now, out: &mut Effects) {
        let Settlement { outcome, next, .. } = &*finished.settlement;
        let within = match self.mode {
            Mode::Working => AFTER,
            Mode::Draining { .. } | Mode::Stopping => AFTER_A_KILL,
        };
        let cleanup = finished.facts.cleanup.as_ref();
        match cleanup.and_then(|cleanup| cleanup.at_the_end((outcome, next), within)) {
            Some(cleanup) => {
                out.push(Effect::CleanUp(cleanup));
                self.phase = Phase::CleaningUp(finished);
            }
            None => self.known(finished, now, out),
        }
    }

    /// What was to be run after the command has ended, and has printed that.
    pub(super) fn cleaned_up(
        &mut self,
        mut finished: Finished,
        printed: Vec<u8>,
        now: Now,
        out: &mut Effects,
    ) {
        if !printed.is_empty()
            && let Some(settlement) = Arc::get_mut(&mut finished.settlement)
        {
            settlement.output.append(&printed);
            // It is too long for others to wait behind it.
            finished.quick = false;
        }
        self.known(finished, now, out);
    }

    /// What the worker lacks is no fault of the task: the task is to wait as if nothing had been claimed, its job goes
    /// back, and the worker pauses.
    fn does_not_start(
        &mut self,
        running: Running,
        (delay, is_new, reason): (Duration, bool, String),
        now: Now,
        out: &mut Effects,
    ) {
        let Running {
            reservation, facts, ..
        } = running;
        if is_new {
            let (attempt, reason) = (facts.id, reason.clone());
            out.push(Effect::Say(Said::CouldNotStart { attempt, reason }));
        }
        self.report(Report::Troubled { task: 0, reason }, out);
        // Idle, once it tries again and there is nothing to try it with.
        self.told = Told::NotSince(now.at);
        self.batch.not_started(facts.id);
        let last = Last::Unstarted {
            reservation,
            facts,
            delay,
        };
        self.record(last, now);
    }

    /// Nothing of the command runs any more, here or elsewhere, that must not; its outcome is known.
    pub(super) fn known(&mut self, finished: Finished, now: Now, out: &mut Effects) {
        // What a command has said does not stand in the journal.
        let is_silent = finished.settlement.report.is_none();
        // Others may wait for the place that it had.
        let is_limited = finished.facts.ran.is_limited;
        let fits = finished.quick && is_silent && !is_limited && self.pace.fits_a_batch();
        if fits && self.mode == Mode::Working && self.batch.may_wait(now) {
            out.push(Effect::Journal(Arc::clone(&finished.settlement)));
            self.phase = Phase::Journaling(finished);
        } else {
            self.look(finished, now, out);
        }
    }

    /// An outcome that stands in the batch journal is recorded later.
    pub(super) fn journaled(
        &mut self,
        finished: Finished,
        well: bool,
        now: Now,
        out: &mut Effects,
    ) {
        if !well {
            self.batch.has_journal(false);
            return self.look(finished, now, out);
        }
        out.push(gap(Point::OutcomeNoted));
        let Finished {
            reservation,
            facts,
            settlement,
            long,
            ..
        } = finished;
        out.push(ended(&settlement, long));
        self.tell(now, out);
        let task = facts.foreign_task();
        self.batch
            .ended(ToDelete { reservation, task }, settlement, now);
        self.rest(now);
    }

    /// Begins to record what there is: an attempt that has ended, with its batch, or only a batch.
    pub(super) fn record(&mut self, last: Last, now: Now) {
        // The next jobs are for others only if this takes its time.
        self.busy_since = now.at;
        self.phase = Phase::Recording(Recording {
            last,
            since: now.at,
            in_trouble: false,
            not_before: now.at,
        });
    }

    /// The outcome was recorded, and the next jobs claimed.
    pub(super) fn recorded_together(
        &mut self,
        looking: Looking,
        entered: Entered,
        now: Now,
        out: &mut Effects,
    ) {
        let Entered {
            ours,
            called_off,
            claim,
            prefetch,
            ..
        } = entered;
        if matches!(claim, Some(Claim::Begun(_))) {
            out.push(gap(Point::NextBegun));
        }
        let mut found = looking.found.into_iter();
        if let (Some((reservation, job)), Some(claim)) = (found.next(), claim) {
            self.claimed = Some(Box::new((reservation, job, claim)));
        }
        let last = Last::Ended(looking.finished);
        self.recorded(last, (&ours, &called_off), false, now, out);
        let mut later = Vec::new();
        let attempts = prefetch.into_iter().chain(std::iter::repeat_with(|| None));
        for ((reservation, job), attempt) in found.zip(attempts) {
            match attempt {
                Some(attempt) => self.batch.claimed(Turn {
                    reservation,
                    attempt,
                    kicks: job.kicks,
                }),
                None => later.push(reservation),
            }
        }
        if self.configured_since {
            // Claimed by the configuration of before.
            self.batch.configured();
        }
        self.have_again(later);
    }

    /// What there was is recorded. `ours` says for each attempt whether it was ours to record; `called_off`, which
    /// tasks are cancelled instead of what was said.
    pub(super) fn recorded(
        &mut self,
        last: Last,
        (ours, called_off): (&[bool], &[TaskId]),
        at_last: bool,
        now: Now,
        out: &mut Effects,
    ) {
        self.batch_recorded(ours, out);
        if at_last {
            out.push(Effect::Say(Said::RecordedAtLast(last.attempt())));
            self.forget_trouble(now);
        }
        let Finished {
            reservation,
            facts,
            settlement,
            long,
            ..
        } = match last {
            Last::Ended(finished) => finished,
            Last::Unstarted {
                reservation,
                facts,
                delay,
            } => {
                self.keep_alive = None;
                let waiting = Some(Jobless::Put(facts.put));
                return self.release(reservation, waiting, Some(facts.priority), delay);
            }
            Last::Nothing => return self.rest(now),
        };
        let settlement = match called_off.contains(&facts.id.task) {
            true => Arc::new(settlement.called_off(facts.budget)),
            false => settlement,
        };
        out.push(gap(Point::OutcomeRecorded));
        let is_ours = ours.last().is_some_and(|ours| *ours);
        if !is_ours {
            out.push(Effect::Say(Said::NotOurs(facts.id)));
        }
        out.push(ended(&settlement, long));
        self.tell(now, out);
        self.keep_alive = None;
        match &settlement.next {
            _ if !is_ours => self.release(reservation, None, Some(facts.priority), Duration::ZERO),
            Next::Done | Next::Cancelled => self.delete(reservation, facts.foreign_task(), now),
            Next::Failed { .. } => match facts.command.on_failure {
                OnFailure::Delete => self.delete(reservation, facts.foreign_task(), now),
                OnFailure::Bury => self.bury(reservation, Some(facts.priority)),
            },
            Next::Wait(delay) => {
                let waiting = Some(Jobless::Put(facts.put));
                self.release(reservation, waiting, Some(facts.priority), *delay);
            }
        }
    }

    /// The batch is recorded, as the first of what there was.
    pub(super) fn batch_recorded(&mut self, ours: &[bool], out: &mut Effects) {
        let Recorded {
            to_delete,
            next,
            not_ours,
        } = self.batch.recorded(ours);
        self.batch_in_trouble = false;
        out.extend(
            not_ours
                .into_iter()
                .map(|attempt| Effect::Say(Said::NotOurs(attempt))),
        );
        if self.batch.journal() == Journal::Ready {
            out.push(Effect::WipeJournal);
        }
        self.to_delete.extend(to_delete);
        self.have_again(next);
    }

    /// A job that is over goes with the next question to the broker.
    pub(super) fn delete(&mut self, reservation: Reservation, task: Option<TaskId>, now: Now) {
        self.to_delete.push(ToDelete { reservation, task });
        self.rest(now);
    }

    /// A worker that is to go does not try to record for ever: whoever gets the jobs next finds out.
    pub(super) fn leave_unrecorded(&mut self, now: Now, out: &mut Effects) -> bool {
        let Phase::Recording(recording) = &self.phase else {
            return false;
        };
        let leave_at = leave_at(self.mode, recording.since);
        if !leave_at.is_some_and(|at| self.is_due(at, now)) {
            return false;
        }
        let Phase::Recording(Recording { last, .. }) = self.phase.take() else {
            return false;
        };
        let attempt = last.attempt();
        out.push(Effect::Say(Said::LeftUnrecorded(attempt)));
        if self.batch.journal() == Journal::Ready {
            out.push(Effect::LeaveJournal);
        }
        let jobs = self.batch.abandon();
        self.have_again(jobs);
        if let Some(ledger) = &mut self.ledger {
            ledger.forget();
        }
        match last {
            Last::Ended(Finished {
                reservation, facts, ..
            })
            | Last::Unstarted {
                reservation, facts, ..
            } => self.release(reservation, None, Some(facts.priority), Duration::ZERO),
            Last::Nothing => self.rest(now),
        }
        true
    }
}

fn ended(settlement: &Arc<Settlement>, long: Duration) -> Effect {
    Effect::Say(Said::Ended {
        settlement: Arc::clone(settlement),
        long,
    })
}

/// When a worker goes although an outcome is not recorded; `since` is when the worker began to try.
fn leave_at(mode: Mode, since: Duration) -> Option<Duration> {
    let last_try = since.saturating_add(LAST_TRY);
    match mode {
        Mode::Working | Mode::Draining { until: None } => None,
        Mode::Draining { until: Some(until) } => Some(until.max(last_try)),
        Mode::Stopping => Some(last_try),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_worker_tries_to_record() {
        let since = Duration::from_secs(100);
        let later = |seconds| since + Duration::from_secs(seconds);
        let draining = |until| Mode::Draining { until };
        for (mode, leaves) in [
            (Mode::Working, None),
            (draining(None), None),
            // Its grace period is over, and the command has only just ended.
            (draining(Some(since)), Some(since + LAST_TRY)),
            (draining(Some(later(30))), Some(later(30))),
            (Mode::Stopping, Some(since + LAST_TRY)),
        ] {
            assert_eq!(leave_at(mode, since), leaves, "{mode:?}");
        }
    }
}
