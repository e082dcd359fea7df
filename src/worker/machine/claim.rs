//! From a reserved job to an attempt that begins, or to what else becomes of the job.

use std::sync::Arc;
use std::time::Duration;

use super::command::Stage;
use super::event::{Effect, Known, Now, Said};
use super::identify::{Foreign, Identified, Read, identify, read, wanting};
use super::mode::Mode;
use super::pace::{SHORT, Sift};
use super::phase::{Claimant, Disposition, Facts, Last, Phase, Running};
use super::state::{AGAIN, Effects, KeepAlive, LEAVE_ALONE, Machine, gap};
use super::suspension::{LOOK_EVERY, Suspension};
use crate::broker::{self, Reservation};
use crate::crash::Point;
use crate::ledger::{Attempt, Claim, DeadAttempt, Jobless, Remains};
use crate::link::Report;
use crate::process::leftover::Cleared;
use crate::task::command::Cleanup;

/// A claim leads to a claim at most so often: ask for kicks, take over, end remains.
const MOST_CLAIMS: u32 = 8;

impl Machine {
    /// Begins to serve a job.
    pub(super) fn start(&mut self, reservation: Reservation, now: Now, out: &mut Effects) {
        out.push(gap(Point::JobReserved));
        self.busy_since = now.at;
        let read = read(
            &reservation,
            &self.rules.tube,
            self.rules.store,
            &self.commands,
        );
        self.phase = match read {
            Read::Ours(job) => {
                self.connected(out);
                self.rest.vain.ends();
                Phase::Claiming {
                    claimant: Claimant::new(reservation, job),
                    lose: None,
                }
            }
            Read::Foreign(foreign) => Phase::Identifying {
                wanting: wanting(&reservation, &foreign, &self.rules.tube, &self.commands),
                reservation,
                foreign,
            },
        };
    }

    /// The broker has said what it knows of a foreign job.
    pub(super) fn identified(
        &mut self,
        reservation: Reservation,
        foreign: Foreign,
        known: Known,
        now: Now,
        out: &mut Effects,
    ) {
        match identify(&reservation, foreign, &self.rules.tube, known, now) {
            Identified::Here(job) => {
                let claimant = Claimant::new(reservation, *job);
                self.phase = Phase::Claiming {
                    claimant,
                    lose: None,
                };
            }
            Identified::Elsewhere {
                store,
                leave: Some(delay),
                priority,
            } => {
                let job = reservation.id;
                out.push(Effect::Say(Said::Elsewhere { job, store }));
                self.release(reservation, None, Some(priority), delay);
            }
            Identified::Elsewhere {
                store,
                leave: None,
                priority,
            } => {
                let job = reservation.id;
                self.buried_elsewhere = self.buried_elsewhere.saturating_add(1);
                let buried = self.buried_elsewhere;
                out.push(Effect::Say(Said::BuriedElsewhere { job, store, buried }));
                self.bury(reservation, Some(priority));
            }
        }
    }

    /// Does what the claim of a job's task says.
    pub(super) fn follow(
        &mut self,
        mut claimant: Claimant,
        claim: Claim,
        now: Now,
        out: &mut Effects,
    ) {
        claimant.claims = claimant.claims.saturating_add(1);
        if std::mem::take(&mut self.rest.claims_fail) {
            out.push(Effect::Say(Said::LedgerBack));
        }
        if !matches!(claim, Claim::Held { .. }) {
            self.sift = Sift::default();
        }
        match claim {
            Claim::Begun(attempt) => {
                let kicks = claimant.job.kicks;
                self.begin(claimant.reservation, attempt, kicks, now, out);
            }
            Claim::Refused {
                task,
                reason,
                priority,
            } => {
                out.push(Effect::Say(Said::Refused { task, reason }));
                if !claimant.job.is_pointer() {
                    self.refused(claimant.reservation.body.len());
                }
                self.count(0);
                self.tell(now, out);
                self.bury(claimant.reservation, Some(priority));
            }
            Claim::Later {
                put,
                delay,
                priority,
            } => {
                let waiting = Some(Jobless::Put(put));
                self.release(claimant.reservation, waiting, Some(priority), delay);
            }
            Claim::Held { task } => {
                self.sift = self.sift.more();
                let task = (!claimant.job.is_pointer()).then_some(task);
                self.delete(claimant.reservation, task, now);
            }
            Claim::DeleteJob { task } => {
                let task = task.filter(|_| !claimant.job.is_pointer());
                self.delete(claimant.reservation, task, now);
            }
            Claim::NoRow { uuid, missing } => {
                let job = claimant.reservation.id;
                out.push(Effect::Say(Said::NoRow { job, uuid, missing }));
                match missing {
                    true => self.bury(claimant.reservation, Some(broker::DEFAULT_PRIORITY)),
                    false => self.delete(claimant.reservation, None, now),
                }
            }
            Claim::GivenUp {
                task,
                reason,
                priority,
            } => {
                out.push(Effect::Say(Said::GivenUp { task, reason }));
                self.bury(claimant.reservation, Some(priority));
            }
            Claim::BuryJob { task, priority } => {
                out.push(Effect::Say(Said::Buried(task)));
                self.bury(claimant.reservation, Some(priority));
            }
            _ if claimant.claims >= MOST_CLAIMS => {
                self.leave_claimant(claimant, Some(broker::DEFAULT_PRIORITY));
            }
            Claim::AskForKicks => self.phase = Phase::Counting(claimant),
            Claim::Dead(dead) => self.phase = Phase::TakingOver { claimant, dead },
            Claim::Remains(dead) => self.clear(claimant, dead, false, None, out),
        }
    }

    /// Whether a dead worker's attempt is ours now.
    pub(super) fn took_over(
        &mut self,
        claimant: Claimant,
        dead: DeadAttempt,
        (taken, cleanup): (bool, Option<Arc<Cleanup>>),
        out: &mut Effects,
    ) {
        if !taken {
            return self.leave_claimant(claimant, Some(dead.priority));
        }
        // Of one that is stuck that was said, and it is taken over again and again.
        if !self.stuck.contains(dead.id) {
            out.push(Effect::Say(Said::TookOver(dead.id)));
        }
        match dead.remains {
            Remains::Unknown => self.clear(claimant, dead, true, cleanup, out),
            // What still runs may stay.
            Remains::Done | Remains::Unbegun => self.is_gone_for_good(claimant, dead, true),
        }
    }

    fn clear(
        &mut self,
        claimant: Claimant,
        dead: DeadAttempt,
        is_taken: bool,
        cleanup: Option<Arc<Cleanup>>,
        out: &mut Effects,
    ) {
        out.push(Effect::EndRemains(dead.clone()));
        self.phase = Phase::Clearing {
            claimant,
            dead,
            is_taken,
            cleanup,
        };
    }

    /// Whether nothing is left of an attempt. What cannot be ended is not run again.
    pub(super) fn cleared(
        &mut self,
        claimant: Claimant,
        dead: DeadAttempt,
        (is_taken, cleanup): (bool, Option<Arc<Cleanup>>),
        cleared: Cleared,
        out: &mut Effects,
    ) {
        if let Some(reason) = cleared.reason() {
            let (attempt, reason) = (dead.id, reason.to_owned());
            // Once an attempt, and not once a try.
            if self.stuck.insert(attempt) {
                out.push(Effect::Say(Said::Stuck { attempt, reason }));
            }
            return self.leave_claimant(claimant, Some(dead.priority));
        }
        match cleanup {
            Some(cleanup) => {
                out.push(Effect::CleanUp(cleanup));
                self.phase = Phase::CleaningUpLost { claimant, dead };
            }
            None => self.is_gone_for_good(claimant, dead, is_taken),
        }
    }

    /// Nothing is left of an attempt that must not be, here or elsewhere.
    pub(super) fn is_gone_for_good(
        &mut self,
        mut claimant: Claimant,
        dead: DeadAttempt,
        is_taken: bool,
    ) {
        self.stuck.remove(dead.id);
        claimant.job.cleared = Some(dead.id.number);
        let lose = is_taken.then_some(dead);
        self.phase = Phase::Claiming { claimant, lose };
    }

    /// Starts the command of an attempt.
    pub(super) fn begin(
        &mut self,
        reservation: Reservation,
        attempt: Box<Attempt>,
        kicks: Option<u64>,
        now: Now,
        out: &mut Effects,
    ) {
        let facts = Facts::of(&attempt, reservation.id, &self.rules.tube, kicks);
        let started = attempt.ahead.then_some(now.wall);
        if let Some(at) = started {
            self.batch.began(facts.id, at);
        }
        self.busy_since = now.at;
        self.keep_alive = Some(KeepAlive::begin(&reservation, attempt.ttr, now));
        let job = reservation.id;
        self.phase = Phase::Beginning(Running {
            reservation,
            facts,
            begun: now.at,
            started,
            group: 0,
            tell_at: None,
            times_out_at: None,
            stage: Stage::Running,
            called_off: None,
            stuck: None,
            look_at: now.at.saturating_add(LOOK_EVERY),
            suspension: Suspension::Going,
            notice: None,
        });
        out.push(Effect::Begin {
            attempt,
            job,
            journal: started,
            listen: !self.pace.is_short(),
        });
    }

    /// An attempt that was claimed ahead cannot be journaled: nothing of the batch begins any more.
    pub(super) fn not_journaled(&mut self, running: Running, now: Now) {
        self.keep_alive = None;
        self.batch
            .not_journaled(running.reservation, running.facts.id);
        self.record(Last::Nothing, now);
    }

    /// The command runs. After a short one, its end is waited for, and nothing else for a moment.
    pub(super) fn runs(&mut self, mut running: Running, group: i32, now: Now, out: &mut Effects) {
        running.group = group;
        let program = running.facts.program();
        if self.lacks.started(program) {
            let program = program.to_owned();
            out.push(Effect::Say(Said::StartsAgain { program }));
        }
        let timeout = running.facts.command.timeout;
        running.times_out_at = timeout.map(|timeout| now.at.saturating_add(timeout));
        let soon = now.at.saturating_add(SHORT);
        let until = running.times_out_at.map_or(soon, |at| at.min(soon));
        let is_known = self.taken_for_busy && may_last(self.believed_over_at, running.times_out_at);
        running.tell_at = is_known.then_some(soon);
        self.phase = Phase::Running(running);
        if !is_known {
            self.report_running(now, out);
        }
        if self.pace.is_short() && self.mode == Mode::Working {
            out.push(Effect::WaitBriefly { until });
        }
        // Told while the command was being started.
        self.say_what_may_finish(now, out);
    }

    /// No claim could be made, for a reason that may concern this row alone.
    pub(super) fn could_not_claim(
        &mut self,
        claimant: Claimant,
        error: String,
        is_of_one_row: bool,
        now: Now,
        out: &mut Effects,
    ) {
        let (job, buried) = (claimant.reservation.id, is_of_one_row);
        // Once a trouble, and not once a try.
        let is_said = !buried && std::mem::replace(&mut self.rest.claims_fail, true);
        if !is_said {
            out.push(Effect::Say(Said::CouldNotClaim {
                job,
                error: error.clone(),
                buried,
            }));
        }
        match is_of_one_row {
            true => self.bury(claimant.reservation, None),
            false => {
                self.leave_claimant(claimant, None);
                self.trouble(error, now, out);
            }
        }
    }

    /// The ledger takes nothing: no job is taken before it does.
    pub(super) fn trouble(&mut self, reason: String, now: Now, out: &mut Effects) {
        if self.rest.prove_at.is_none() {
            self.report(Report::Troubled { task: 0, reason }, out);
        }
        self.rest.prove_at = Some(now.at.saturating_add(AGAIN));
    }

    fn dispose(&mut self, reservation: Reservation, how: Disposition) {
        let reservation = Some(reservation);
        self.phase = Phase::Disposing { reservation, how };
    }

    pub(super) fn bury(&mut self, reservation: Reservation, priority: Option<u32>) {
        self.dispose(reservation, Disposition::Bury { priority });
    }

    /// To give the job back for a while, unclaimed.
    pub(super) fn leave_claimant(&mut self, claimant: Claimant, priority: Option<u32>) {
        let Claimant {
            reservation, job, ..
        } = claimant;
        let waiting = Some(Jobless::Job(Box::new(job)));
        self.release(reservation, waiting, priority, LEAVE_ALONE);
    }

    /// To give the job back. Which task waits for it, and is to be put again if the job is lost, is said as far as that
    /// is known; `None` where it is not ours to put.
    pub(super) fn release(
        &mut self,
        reservation: Reservation,
        waiting: Option<Jobless>,
        priority: Option<u32>,
        delay: Duration,
    ) {
        self.dispose(
            reservation,
            Disposition::Release {
                priority,
                delay,
                waiting,
            },
        );
    }
}

/// Whether a tender that believes that a command's time is up then need not hear at once of one whose time is up later:
/// it would end a worker that does not answer too soon.
fn may_last(believed: Option<Duration>, over_at: Option<Duration>) -> bool {
    match (believed, over_at) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(believed), Some(at)) => at <= believed.saturating_add(LOOK_EVERY),
    }
}
