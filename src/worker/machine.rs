//! What a worker does, decided without I/O: [`Machine::step`] takes an event and an instant, and says what is to be
//! done.
//!
//! A job's way through a worker:
//!
//! ```text
//!  ┌──────▶ Idle ──reserved──▶ Identifying ──known──▶ Claiming ◀─────────────────────────────────────────────┐
//!  │        │ ▲ ▲               (foreign)              │ │ │ └──▶ Counting (kicks) ──────────────────────────┤
//!  │        │ │ │                                      │ │ └────▶ TakingOver ──▶ Clearing ──▶ CleaningUpLost ┤
//!  │        │ │ └──deleted, later── Disposing ◀──over──┘ └──────▶ Clearing (remains) ────────────────────────┘
//!  │        │ │                        ▲
//!  │        │ └── its turn comes ──────┼───── begun ──▶ Beginning ──▶ Running ──▶ Leftovers ──▶ CleaningUp
//!  │        ▼                          │                                │            │            (cut short)
//!  │      Gone                         │        quick, well, others wait│            │ cleared      │ cleaned up
//!  │                                   │      ┌──── Journaling ◀────────┤◀───────────┴──────────────┘
//!  ├───────────────────────────────────┼──────┘                         ▼
//!  │                                   │                             Looking (kicks, further jobs)
//!  │                                   │       with the next claim ·    │ 20 ms are over · none there
//!  └──────────── settled ──────────────┴────────────── Recording ◀──────┘
//! ```
//!
//! Left out of the drawing are two phases. `Sifting`: where a claim says that a limit holds the task, the jobs behind
//! are reserved and looked at together (`sift.rs`). `Held`, between `Running` and `Leftovers`: a command that ended as
//! one does that is told to go is held back for a moment, in which the worker may be told too (`heard.rs`). Only what
//! has left something here goes by `Leftovers`, and only what was cut short, by a command with a `cleanup`, by
//! `CleaningUp`.
//!
//! A word is answered by whoever carries it out, once, by the ticket that came with it: what is only performed (a ping,
//! reading the configuration) by the loop, and what is decided by the machine, with a report. A word to the worker
//! (`Told`) is done when the worker has taken it in, and so is a word to one attempt:
//!
//! ```text
//!  called off(attempt)
//!    │  the attempt stands in ...
//!    ├─ Beginning, Running, Held: its stage becomes Terminated { cause: Cancelled }, or Killed, as by a timeout:
//!    │    Running ──ended──▶ Leftovers ──▶ Looking ──▶ Recording: cancelled, unless it exited with 0 before the signal
//!    ├─ Leftovers, Journaling, Looking, Recording: the ledger goes by the wish in the row (`Entered::called_off`)
//!    ├─ the batch, its turn to come: un-claimed with the next entry, and cancelled there
//!    └─ none of these: it is over, or another worker's: refused
//! ```
//!
//! The wish is in the task's row before anybody says the word: whatever the worker has heard, the row decides. So the
//! word only has to come soon. A worker that nobody tells looks into the row itself, each second that a command runs,
//! and before an attempt begins that was claimed ahead (`called_off.rs`).
//!
//! What else comes next fits in as events and effects of the same phases: a limit is one more claim that leads to
//! `Disposing`; a resident runner is another way to `Begin`, whose `Ended` comes from an answer.
//!
//! How far a command says that it is, is asked with each look at it, so once a second at most, and goes with the next
//! entry. All else that a command says comes with its end (`crate::task::report`).
//!
//! Beside the job's phase, the broker is asked one question at a time (`broker.rs`), and the ledger is told one entry
//! at a time (`ledger.rs`). What can be asked is asked as soon as it can: deadlines of a job that runs do not wait for
//! either. Jobs that were claimed together are a machine of their own (`batch.rs`), and so is the command
//! (`command.rs`).
//!
//! A command that does not end though it is to, and what one leaves that is not ours to end, is waited for
//! (`stuck.rs`). One that is stopped is noticed (`suspension.rs`).
//!
//! A command that cannot be started is the task's fault, or the worker's trouble (`lacks.rs`): then `Beginning` leads
//! to `Recording` that the attempt did not begin, to `Disposing` of its job, and to a pause.
//!
//! Rules that hold in every phase:
//!
//! - One attempt at a time.
//! - No job is deleted, released or buried before what that rests on is recorded.
//! - Every reservation is settled or given back, or goes with its connection.
//! - What is known goes with the next entry.

use std::time::Duration;

use crate::crash::Point;
use crate::grace::{KILL_TO_STUCK, TERM_TO_KILL};
use crate::ledger::Millis;
use crate::ledger::announce::Again;
use crate::link::{Reply, Report, Ticket};

mod batch;
mod broker;
mod called_off;
mod claim;
mod command;
mod ending;
mod event;
mod heard;
mod identify;
mod lacks;
mod ledger;
mod looking;
mod mode;
mod outage;
mod pace;
mod phase;
mod sift;
mod state;
mod stuck;
mod suspended;
mod suspension;
mod table;
#[cfg(test)]
mod tests;
mod vain;

pub use event::{
    Answer, Ask, By, Deleted, Effect, Ended, Event, Haste, How, Known, Now, Said, ToDelete,
    Unentered,
};
pub use heard::HELD_BACK;
pub use mode::{CallOff, Mode};
pub use state::{Machine, Rules};
pub use table::Illegal;

use command::{Ends, Send, Stage};
use phase::{Claimant, Last, Phase};
use state::{Asked, Effects, Entering, IDLE, NOW_AND_THEN, Told, gap};
use table::may_happen;

impl Machine {
    /// Takes in what has happened, and says what is to be done, in that order.
    ///
    /// # Errors
    /// When that cannot happen where the worker stands: a bug of ours. The worker is as it was.
    pub fn step(&mut self, event: Event, now: Now) -> Result<Effects, Illegal> {
        let mut effects = Vec::new();
        self.take_in(event, now, &mut effects)?;
        self.go_on(now, &mut effects);
        Ok(effects)
    }

    /// When something is to be done though nothing happens: [`Event::Due`] is due then.
    pub fn deadline(&self) -> Option<Duration> {
        self.wake
    }

    /// Jobs that are to be put beside those of this worker's tube: of hooks.
    pub fn is_to_put(&mut self, mut puts: Vec<Again>) {
        self.notes.puts.append(&mut puts);
    }

    /// Whether the worker has left.
    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Whether the ledger is in trouble, so that no job is taken.
    #[cfg(test)]
    fn is_in_trouble(&self) -> bool {
        self.rest.prove_at.is_some()
    }

    /// How many jobs the worker has had.
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    fn take_in(&mut self, event: Event, now: Now, out: &mut Effects) -> Result<(), Illegal> {
        let illegal = Illegal {
            event: event.kind(),
            phase: self.phase.kind(),
        };
        if !may_happen(illegal.event, illegal.phase) {
            return Err(illegal);
        }
        match event {
            Event::Due => {}
            Event::Told { mode, ticket, by } => {
                self.heard.told(by, now.at);
                self.told(mode, ticket, by, now, out);
            }
            Event::ToldAll => self.heard.all(),
            Event::CalledOff {
                attempt,
                how,
                ticket,
            } => self.called_off(attempt, how, ticket, out),
            Event::Configured(commands) => {
                self.commands = commands;
                self.batch.configured();
                self.configured_since = true;
            }
            Event::Answered(answer) => return self.answered(answer, now, out).ok_or(illegal),
            Event::Entered(entered) => return self.entered(entered, now, out).ok_or(illegal),
            Event::Proved(well) => return self.proved(well, now, out).ok_or(illegal),
            Event::JournalMade(made) => self.batch.has_journal(made),
            Event::NotJournaled => match self.phase.take() {
                Phase::Beginning(running) => self.not_journaled(running, now),
                other => self.phase = other,
            },
            Event::Withdrawn => match self.phase.take() {
                Phase::Beginning(running) => self.withdrawn(running, now, out),
                other => self.phase = other,
            },
            Event::Began(group) => match self.phase.take() {
                Phase::Beginning(running) => self.runs(running, group, now, out),
                other => self.phase = other,
            },
            Event::Ended(ended) => match self.phase.take() {
                Phase::Beginning(running) | Phase::Running(running) => {
                    self.ended(running, ended, now, out);
                }
                other => self.phase = other,
            },
            Event::NotSignalled(who) => self.does_not_end(who, out),
            Event::Looked(stopped_by) => self.looked(stopped_by, now, out),
            Event::Reported(progress) => self.reported(progress),
            Event::Journaled(well) => match self.phase.take() {
                Phase::Journaling(finished) => self.journaled(finished, well, now, out),
                other => self.phase = other,
            },
            Event::Cleared(cleared) => match self.phase.take() {
                Phase::Clearing {
                    claimant,
                    dead,
                    is_taken,
                    cleanup,
                } => self.cleared(claimant, dead, (is_taken, cleanup), cleared, out),
                Phase::Leftovers { finished, stranger } => {
                    self.left_behind(finished, stranger, cleared, now, out);
                }
                other => self.phase = other,
            },
            Event::CleanedUp(printed) => match self.phase.take() {
                Phase::CleaningUp(finished) => self.cleaned_up(finished, printed, now, out),
                Phase::CleaningUpLost { claimant, dead } => {
                    self.is_gone_for_good(claimant, dead, true);
                }
                other => self.phase = other,
            },
        }
        Ok(())
    }

    fn told(&mut self, mode: Mode, ticket: Option<Ticket>, by: By, now: Now, out: &mut Effects) {
        if let Some(ticket) = ticket {
            let reply = Reply::Done;
            self.report(Report::Answered { ticket, reply }, out);
        }
        let mode = self.mode.hurried(mode);
        if self.mode == Mode::Working {
            self.notes.told = true;
        }
        if std::mem::replace(&mut self.mode, mode) != mode {
            self.say_what_may_finish(now, out);
        }
        self.wait_for_no_note();
        // No other job is wanted, unless its claim is under way.
        if !matches!(self.ledger, Some(Entering::Together(_))) {
            self.stop_looking(now);
        }
        if self.broker.as_ref().is_some_and(Asked::can_be_interrupted) {
            let mode = self.mode;
            out.push(Effect::Say(Said::Told { mode, by }));
            out.push(Effect::Interrupt);
        }
    }

    fn say_what_may_finish(&self, now: Now, out: &mut Effects) {
        let (Phase::Running(running), Mode::Draining { until }) = (&self.phase, self.mode) else {
            return;
        };
        let millis = |time: Duration| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX);
        let wall = now.wall;
        out.push(Effect::Say(Said::LetsFinish {
            attempt: running.facts.id,
            since: wall.saturating_sub(millis(now.at.saturating_sub(running.begun))),
            until: until.map(|at| wall.saturating_add(millis(at.saturating_sub(now.at)))),
        }));
    }

    /// A worker that goes need not know whether the ledger is well, nor wait for what can be noted as well when it
    /// signs off.
    fn wait_for_no_note(&mut self) {
        match &mut self.ledger {
            Some(proof @ Entering::Proof) => proof.forget(),
            Some(Entering::Note(entry)) => {
                self.notes.take_back(entry);
                self.ledger = Some(Entering::Forgotten);
            }
            Some(
                Entering::Claim(_)
                | Entering::Together(_)
                | Entering::Record(_)
                | Entering::Batch(_)
                | Entering::Forgotten,
            )
            | None => {}
        }
    }

    /// Does all that can be done now.
    fn go_on(&mut self, now: Now, out: &mut Effects) {
        self.wake = None;
        while self.advance(now, out) {}
        self.mind_command(now, out);
        self.look_at_command(now, out);
        self.tell_the_ledger(now, out);
        self.ask_the_broker(now, out);
        self.tell_when_idle(now, out);
    }

    /// To be woken at that time, or before.
    fn wake_at(&mut self, at: Duration) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Whether it is time; else to be woken then.
    fn is_due(&mut self, at: Duration, now: Now) -> bool {
        let due = at <= now.at;
        if !due {
            self.wake_at(at);
        }
        due
    }

    /// Moves on where nothing has to be waited for. False where nothing moved.
    fn advance(&mut self, now: Now, out: &mut Effects) -> bool {
        match self.phase {
            Phase::Idle => self.take_up(now, out),
            Phase::Held { .. } => self.judge_what_is_held(now, out),
            Phase::Looking(_) => self.look_on(now, out),
            Phase::Recording(_) => self.leave_unrecorded(now, out),
            Phase::Running(_) => self.leave_running(now, out),
            Phase::Leftovers { .. } => self.look_for_strangers(now, out),
            Phase::Identifying { .. }
            | Phase::Sifting(_)
            | Phase::Claiming { .. }
            | Phase::Counting(_)
            | Phase::TakingOver { .. }
            | Phase::Clearing { .. }
            | Phase::CleaningUpLost { .. }
            | Phase::Beginning(_)
            | Phase::CleaningUp(_)
            | Phase::Journaling(_)
            | Phase::Disposing { .. }
            | Phase::Gone => false,
        }
    }

    /// Takes up the next job, if there is one that is ours already; or leaves.
    fn take_up(&mut self, now: Now, out: &mut Effects) -> bool {
        if let Some(claimed) = self.claimed.take() {
            let (reservation, job, claim) = *claimed;
            self.busy_since = now.at;
            self.follow(Claimant::new(reservation, job), claim, now, out);
            return true;
        }
        if !self.batch.is_recorded() {
            // A turn that was taken and does not begin would be forgotten, with its job.
            let turn = match self.mode {
                Mode::Working => self.batch.next(),
                Mode::Draining { .. } | Mode::Stopping => None,
            };
            match turn {
                Some(turn) => self.begin(turn.reservation, turn.attempt, turn.kicks, now, out),
                None => self.record(Last::Nothing, now),
            }
            return true;
        }
        if self.sifts() && self.takes_jobs(now) {
            self.begin_to_sift(now, out);
            return true;
        }
        if self.takes_jobs(now)
            && let Some(reservation) = self.next.pop_front()
        {
            self.start(reservation, now, out);
            return true;
        }
        self.leave(out)
    }

    /// Whether a job may be begun now.
    fn takes_jobs(&mut self, now: Now) -> bool {
        let until = self.rest.pause_until.max(self.lacks.until());
        !self.is_leaving()
            && self.rest.prove_at.is_none()
            && match until {
                Some(until) => self.is_due(until, now),
                None => true,
            }
    }

    fn is_leaving(&self) -> bool {
        self.mode != Mode::Working || self.may_have() == 0
    }

    /// How many jobs more the worker may have.
    fn may_have(&self) -> usize {
        let max = self.rules.max_jobs.unwrap_or(u64::MAX);
        usize::try_from(max.saturating_sub(self.jobs)).unwrap_or(usize::MAX)
    }

    fn leave(&mut self, out: &mut Effects) -> bool {
        let has_jobs = !self.next.is_empty() || !self.to_delete.is_empty();
        // Where the ledger does not even answer what was said before, reconciliation finds the rest.
        let can_speak = self.ledger.is_none();
        let has_words = !self.notes.puts.is_empty()
            || can_speak && (!self.notes.again.is_empty() || !self.notes.kicks.is_empty());
        let waits = self.broker.is_some() || self.ledger.as_ref().is_some_and(Entering::is_awaited);
        if !self.is_leaving() || has_jobs || has_words || waits {
            return false;
        }
        self.tell_now(out);
        out.push(Effect::Leave {
            deleted: std::mem::take(&mut self.notes.deleted),
            remove_journal: self.batch.has_clean_journal(),
        });
        self.phase = Phase::Gone;
        true
    }

    /// Sends the command what is due, and tells the tender of it.
    fn mind_command(&mut self, now: Now, out: &mut Effects) {
        let mode = self.mode;
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        let conditions = running.facts.command.conditions.of(&self.rules.tube);
        let kill_after = conditions.kill_after.unwrap_or(TERM_TO_KILL);
        let ends = Ends {
            mode,
            times_out_at: running.times_out_at,
            called_off: running.called_off,
        };
        let (at, send) = running.stage.advance(ends, kill_after, now.at);
        running.stage = at;
        let alarm = match (at, &running.stuck) {
            // Whether the KILL was of use.
            (Stage::Killed { at, .. }, None) => Some(at.saturating_add(KILL_TO_STUCK)),
            (Stage::Killed { .. } | Stage::Terminated { .. } | Stage::Running, _) => {
                at.alarm(mode, running.times_out_at)
            }
        };
        let is_called_off = running.called_off.is_some();
        out.extend(send.map(|send| match send {
            Send::Term => Effect::Terminate,
            Send::Kill => Effect::Kill,
        }));
        if send.is_some() && is_called_off {
            out.push(gap(Point::CallOffSent));
        }
        let is_told = running.tell_at.take_if(|at| *at <= now.at).is_some();
        let tell_at = running.tell_at;
        if is_told {
            self.report_running(now, out);
        }
        for at in alarm.into_iter().chain(tell_at) {
            self.wake_at(at);
        }
    }

    /// Tells the tender of the command that runs.
    fn report_running(&mut self, now: Now, out: &mut Effects) {
        if let Phase::Running(running) = &self.phase {
            self.believed_over_at = running.times_out_at;
            let busy = running.busy(now.at);
            self.report(busy, out);
        }
    }

    fn report(&mut self, report: Report, out: &mut Effects) {
        self.taken_for_busy = match report {
            Report::Busy { .. } => true,
            Report::Ready | Report::Idle { .. } => false,
            Report::Troubled { .. } | Report::Answered { .. } => self.taken_for_busy,
        };
        out.push(Effect::Report(report));
    }

    /// The worker has had one job more, which printed so many bytes.
    fn count(&mut self, printed: u64) {
        self.jobs = self.jobs.saturating_add(1);
        self.output = self.output.saturating_add(printed);
    }

    /// A job is over as far as the ledger is concerned. The tender hears of it, but not after every job of a full tube.
    fn tell(&mut self, now: Now, out: &mut Effects) {
        match self.told {
            Told::All => self.told = Told::NotSince(now.at),
            Told::NotSince(began) if now.at.saturating_sub(began) < NOW_AND_THEN => {}
            Told::NotSince(_) => self.tell_now(out),
        }
    }

    fn tell_now(&mut self, out: &mut Effects) {
        let (jobs, output) = (self.jobs, self.output);
        self.report(Report::Idle { jobs, output }, out);
        self.told = Told::All;
    }

    fn tell_when_idle(&mut self, now: Now, out: &mut Effects) {
        let is_idle = matches!(self.phase, Phase::Idle) && self.rest.prove_at.is_none();
        // A worker that cannot start commands is in trouble until it tries again.
        let since = self.lacks.until().unwrap_or_default().max(self.rest.since);
        if is_idle
            && matches!(self.told, Told::NotSince(_))
            && self.is_due(since.saturating_add(IDLE), now)
        {
            self.tell_now(out);
        }
    }

    /// No job is served from now on.
    fn rest(&mut self, now: Now) {
        self.phase = Phase::Idle;
        self.keep_alive = None;
        self.rest.since = now.at;
    }
}
