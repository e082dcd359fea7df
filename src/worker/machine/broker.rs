//! What the broker is asked, one question at a time, and what its answers lead to.

use std::time::Duration;

use super::event::{Answer, Ask, Deleted, Effect, Known, Now, Said, ToDelete};
use super::identify::{Read, for_others, read};
use super::phase::{Disposition, Look, Phase};
use super::state::{ALONE_AFTER, About, Asked, EVERY, Effects, Entering, Machine, gap};
use super::vain::is_early;
use crate::broker::{self, Held, JobId, Reservation, Reserve};
use crate::crash::Point;
use crate::ledger::Jobless;
use crate::task::id::TaskId;
use crate::task::refused::Counted;

/// How long no job is taken when a reservation of ours is about to run out that could not be settled.
const DEADLINE_PAUSE: Duration = Duration::from_secs(1);

impl Machine {
    /// Asks the broker what there is to be asked, if it is not asked anything.
    pub(super) fn ask_the_broker(&mut self, now: Now, out: &mut Effects) {
        if self.broker.is_some() {
            return;
        }
        let question = match &mut self.phase {
            Phase::Gone => None,
            Phase::Idle => self.ask_while_idle(now),
            Phase::Identifying {
                reservation: Reservation { id, .. },
                wanting,
                ..
            } => Some((
                Asked::Know(About::Job),
                match wanting {
                    Some(_) => Ask::KnowAmongOthers(*id),
                    None => Ask::Know(*id),
                },
            )),
            Phase::Counting(claimant) => {
                let job = claimant.reservation.id;
                Some((Asked::Know(About::Claim), Ask::Know(job)))
            }
            Phase::Disposing { .. } => self.ask_to_dispose(),
            Phase::Looking(_) => self.ask_while_looking(now),
            Phase::Sifting(sifting) => sifting.to_ask(),
            Phase::Claiming { .. }
            | Phase::TakingOver { .. }
            | Phase::Clearing { .. }
            | Phase::CleaningUpLost { .. }
            | Phase::Beginning(_)
            | Phase::Running(_)
            | Phase::Held { .. }
            | Phase::Leftovers { .. }
            | Phase::CleaningUp(_)
            | Phase::Journaling(_)
            | Phase::Recording(_) => self.ask_beside(now),
        };
        if let Some((asked, ask)) = question {
            self.broker = Some(asked);
            out.push(Effect::Ask(ask));
        }
    }

    fn ask_while_idle(&mut self, now: Now) -> Option<(Asked, Ask)> {
        if let Some(first) = self.announce() {
            return Some(first);
        }
        if !self.to_delete.is_empty() {
            let others = self.may_sift(now);
            return Some(self.exchange(others));
        }
        // A reserve would keep the broker from being told of another put.
        if !self.notes.again.is_empty() || self.ledger.as_ref().is_some_and(Entering::leads_to_puts)
        {
            return None;
        }
        if !self.takes_jobs(now) {
            return self.give_next_back();
        }
        if self
            .rest
            .reconcile_at
            .is_some_and(|at| self.is_due(at, now))
        {
            return Some((Asked::Reconcile, Ask::Reconcile));
        }
        if std::mem::take(&mut self.rest.keeps_some) {
            let keep = self.commands.keep_refused(&self.rules.tube);
            return Some((Asked::KeepSome, Ask::KeepSome(keep)));
        }
        // After an outage, whether the broker answers is to be known before there is a job.
        let wait = match self.rest.outage.lasts() {
            false => EVERY,
            true => Duration::ZERO,
        };
        Some((Asked::Reserve { at: now.at, wait }, Ask::Reserve { wait }))
    }

    /// The jobs before this one are deleted first, so that none is kept by a broker that is slow with this one.
    fn ask_to_dispose(&mut self) -> Option<(Asked, Ask)> {
        if !self.to_delete.is_empty() {
            return Some(self.exchange(0));
        }
        let Phase::Disposing { reservation, how } = &mut self.phase else {
            return None;
        };
        let reservation = reservation.take()?;
        let job = reservation.id;
        Some(match how {
            Disposition::Release {
                priority,
                delay,
                waiting,
            } => (
                Asked::Dispose {
                    job,
                    waiting: waiting.take(),
                    is_release: true,
                },
                Ask::Release {
                    reservation,
                    priority: *priority,
                    delay: *delay,
                },
            ),
            Disposition::Bury { priority } => (
                Asked::Dispose {
                    job,
                    waiting: None,
                    is_release: false,
                },
                Ask::Bury {
                    reservation,
                    priority: *priority,
                },
            ),
        })
    }

    fn ask_while_looking(&mut self, now: Now) -> Option<(Asked, Ask)> {
        let Phase::Looking(looking) = &self.phase else {
            return None;
        };
        let job = looking.finished.reservation.id;
        let task = looking.finished.facts.id.task;
        match (looking.stage, looking.asked) {
            (Look::Kicks, _) => Some((Asked::Know(About::Failed(task)), Ask::Know(job))),
            (Look::Exchange, Some(asked)) => Some(self.exchange(asked)),
            (Look::Identify, _) => {
                let jobs: Vec<JobId> = looking.foreign_jobs().collect();
                Some((Asked::KnowAll(jobs.clone()), Ask::KnowAll(jobs)))
            }
            // The outcome is on its way to a ledger that may be far away.
            (Look::Enter, _) if self.ledger.is_some() => self.ask_beside(now),
            (Look::Exchange | Look::Enter, _) => self.touch(now),
        }
    }

    /// Beside a job that takes its time: keeps its reservation, and sees to the worker's other jobs.
    fn ask_beside(&mut self, now: Now) -> Option<(Asked, Ask)> {
        if let Some(first) = self.touch(now).or_else(|| self.announce()) {
            return Some(first);
        }
        let has_others = !self.to_delete.is_empty() || !self.next.is_empty();
        let alone_at = self.busy_since.saturating_add(ALONE_AFTER);
        if !has_others || !self.is_due(alone_at, now) {
            return None;
        }
        match self.to_delete.is_empty() {
            false => Some(self.exchange(0)),
            true => self.give_next_back(),
        }
    }

    fn touch(&mut self, now: Now) -> Option<(Asked, Ask)> {
        let at = self.keep_alive.as_ref()?.touch_at?;
        if !self.is_due(at, now) {
            return None;
        }
        let keep_alive = self.keep_alive.as_mut()?;
        keep_alive.touch_at = None;
        Some((Asked::Touch(keep_alive.held), Ask::Touch(keep_alive.held)))
    }

    /// Rings for tasks whose jobs were lost.
    fn announce(&mut self) -> Option<(Asked, Ask)> {
        if self.notes.puts.is_empty() {
            return None;
        }
        let puts = std::mem::take(&mut self.notes.puts);
        Some((Asked::Announce, Ask::Announce(puts)))
    }

    fn give_next_back(&mut self) -> Option<(Asked, Ask)> {
        let reservation = self.next.pop_front()?;
        let (tube, store) = (&self.rules.tube, self.rules.store);
        let waiting = match read(&reservation, tube, store, &self.commands) {
            Read::Ours(job) => Some(Jobless::Job(Box::new(job))),
            // The broker would have to be asked. beanstalkd needs no room for a release without delay.
            Read::Foreign(_) => None,
        };
        let job = reservation.id;
        let asked = Asked::GiveBack { job, waiting };
        let ask = Ask::Release {
            priority: None,
            delay: Duration::ZERO,
            reservation,
        };
        Some((asked, ask))
    }

    fn exchange(&mut self, most: usize) -> (Asked, Ask) {
        let to_delete: Vec<ToDelete> = std::mem::take(&mut self.to_delete);
        (Asked::Exchange(most), Ask::Exchange { to_delete, most })
    }

    /// Takes in an answer. `None` where it is none to what was asked.
    pub(super) fn answered(&mut self, answer: Answer, now: Now, out: &mut Effects) -> Option<()> {
        match (self.broker.take()?, answer) {
            (asked, Answer::Interrupted) if asked.can_be_interrupted() => {}
            (Asked::Reserve { at, wait }, Answer::Reserved(reserved)) => {
                let is_early = is_early(wait, now.at.saturating_sub(at));
                self.reserved(reserved, is_early, now, out);
            }
            (Asked::Exchange(asked), Answer::Exchanged { deleted, reserved }) => {
                self.note(deleted, out);
                self.exchanged(asked, reserved, out);
            }
            (Asked::Know(about), Answer::Known(known)) => self.knows(about, known, now, out),
            (Asked::KnowAll(jobs), Answer::AllKnown(known)) => {
                self.knows_all(&jobs, known.ok(), now)
            }
            (Asked::Touch(held), Answer::Touched(touched)) => self.touched(held, touched, now, out),
            (
                Asked::Dispose {
                    job,
                    waiting,
                    is_release,
                },
                Answer::Settled(answer),
            ) => {
                self.disposed(job, waiting, is_release, answer, out);
                self.rest(now);
            }
            (Asked::GiveBack { job, waiting }, Answer::Settled(answer)) => {
                self.disposed(job, waiting, true, answer, out);
            }
            (Asked::Announce, Answer::Announced) => {}
            (Asked::KeepSome, Answer::KeptSome) => {}
            (Asked::Reconcile, Answer::Reconciled) => {
                self.rest.reconcile_at = Some(now.at.saturating_add(EVERY));
            }
            (asked, _) => {
                self.broker = Some(asked);
                return None;
            }
        }
        Some(())
    }

    fn reserved(
        &mut self,
        reserved: Result<Reserve, broker::Error>,
        is_early: bool,
        now: Now,
        out: &mut Effects,
    ) {
        match reserved {
            Ok(Reserve::Job(reservation)) => match self.is_leaving() {
                true => self.next.push_back(reservation),
                false => self.start(reservation, now, out),
            },
            Ok(Reserve::TimedOut) => {
                self.connected(out);
                match is_early {
                    true => self.asked_in_vain(now, out),
                    false => self.rest.vain.ends(),
                }
            }
            Ok(Reserve::DeadlineSoon) => {
                self.rest.pause_until = Some(now.at.saturating_add(DEADLINE_PAUSE));
            }
            Err(error) => self.disconnected(error, now, out),
        }
    }

    /// Remembers what became of jobs that were to be deleted.
    fn note(&mut self, deleted: Vec<Deleted>, out: &mut Effects) {
        for Deleted { job, task, answer } in deleted {
            out.push(gap(Point::JobEnded));
            match answer {
                Ok(()) => self.notes.deleted.extend(task),
                Err(error) => out.push(Effect::Say(Said::Unsettled { job, error })),
            }
        }
    }

    fn exchanged(
        &mut self,
        asked: usize,
        reserved: Result<Vec<Reservation>, broker::Error>,
        out: &mut Effects,
    ) {
        match reserved {
            Ok(reserved) => {
                if asked > 0 && self.sift.most() == 0 {
                    self.prefetch = self.prefetch.after(asked, reserved.len());
                }
                self.next.extend(reserved);
            }
            // Why, the next reserve finds out.
            Err(error) => {
                self.prefetch = self.prefetch.after(asked.max(1), 0);
                self.lose_others(&error);
            }
        }
        if let Phase::Looking(looking) = &self.phase
            && looking.stage == Look::Exchange
        {
            self.examine(asked, out);
        }
    }

    /// Jobs whose turn has not come went with the connection, or come back when their time is over.
    fn lose_others(&mut self, error: &broker::Error) {
        if !error.is_of_one_job() {
            self.next.clear();
        }
    }

    fn knows(
        &mut self,
        about: About,
        known: Result<Option<Known>, broker::Error>,
        now: Now,
        out: &mut Effects,
    ) {
        match about {
            About::Job => self.knows_the_job(known, now, out),
            About::Claim => self.knows_the_kicks(known),
            About::Failed(task) => self.knows_the_failed(task, known),
        }
    }

    fn knows_the_job(
        &mut self,
        known: Result<Option<Known>, broker::Error>,
        now: Now,
        out: &mut Effects,
    ) {
        match self.phase.take() {
            Phase::Identifying {
                reservation,
                foreign,
                wanting,
            } => match known {
                Ok(Some(known)) => {
                    self.connected(out);
                    self.rest.vain.ends();
                    let leave = wanting.zip(for_others(&known));
                    match leave {
                        Some((refusal, delay)) => {
                            let (job, refusal) = (reservation.id, refusal.to_string());
                            out.push(Effect::Say(Said::LeftToOthers { job, refusal }));
                            self.release(reservation, None, Some(known.stats.priority), delay);
                        }
                        None => self.identified(reservation, foreign, known, now, out),
                    }
                }
                // The job is not ours any more.
                Ok(None) => {
                    self.connected(out);
                    self.rest(now);
                    self.asked_in_vain(now, out);
                }
                // The reservation may have gone with the connection. A broker that gives jobs and dies of the first
                // question must not be asked again at once.
                Err(error) => {
                    self.rest(now);
                    self.disconnected(error, now, out);
                }
            },
            other => self.phase = other,
        }
    }

    fn knows_the_kicks(&mut self, known: Result<Option<Known>, broker::Error>) {
        match self.phase.take() {
            Phase::Counting(mut claimant) => match known {
                Ok(known) => {
                    claimant.job.kicks = Some(known.map_or(0, |known| known.stats.kicks));
                    self.phase = Phase::Claiming {
                        claimant,
                        lose: None,
                    };
                }
                // Not known is not "not kicked": somebody may have asked for another run.
                Err(_) => self.leave_claimant(claimant, None),
            },
            other => self.phase = other,
        }
    }

    /// What is learnt in time is recorded with the outcome, and what is learnt late is noted after it.
    fn knows_the_failed(&mut self, task: TaskId, known: Result<Option<Known>, broker::Error>) {
        let kicks = known.ok().flatten().map(|known| known.stats.kicks);
        match &mut self.phase {
            Phase::Looking(looking)
                if looking.stage == Look::Kicks && looking.finished.facts.id.task == task =>
            {
                looking.stage = Look::Exchange;
                if let Some(settlement) = std::sync::Arc::get_mut(&mut looking.finished.settlement)
                {
                    settlement.kicks = kicks;
                }
            }
            _ => self.notes.kicks.extend(kicks.map(|kicks| (task, kicks))),
        }
    }

    fn touched(
        &mut self,
        held: Held,
        touched: Result<(), broker::Error>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(keep_alive) = self.keep_alive.as_mut().filter(|kept| kept.held == held) else {
            return;
        };
        match touched {
            Ok(()) => keep_alive.touch_at = Some(now.at.saturating_add(keep_alive.third)),
            // The command goes on: the job comes round again, and its claim finds the task running, or done.
            Err(error) => {
                let job = held.id;
                out.push(Effect::Say(Said::LostReservation { job, error }));
            }
        }
    }

    fn disposed(
        &mut self,
        job: JobId,
        waiting: Option<Jobless>,
        is_release: bool,
        answer: Result<(), broker::Error>,
        out: &mut Effects,
    ) {
        out.push(gap(Point::JobEnded));
        match answer {
            Ok(()) => {}
            Err(error) if is_release && loses_job(&error, waiting.as_ref()) => {
                self.notes.again.extend(waiting);
                out.push(Effect::Say(Said::LostJob { job, error }));
            }
            Err(error) => {
                self.lose_others(&error);
                out.push(Effect::Say(Said::Unsettled { job, error }));
            }
        }
    }

    /// The broker has given a job and said all that was asked of it, or has no job to give.
    pub(super) fn connected(&mut self, out: &mut Effects) {
        if self.rest.outage.ends() {
            out.push(Effect::Say(Said::Reachable));
        }
    }

    /// A body that may not run is kept, and now and then it is looked at how many there are.
    pub(super) fn refused(&mut self, bytes: usize) {
        let keep = self.commands.keep_refused(&self.rules.tube);
        let since = self.rest.refused.unwrap_or_default().with(bytes as u64);
        let is_first = self.rest.refused.is_none();
        self.rest.refused = Some(since);
        if is_first || keep.is_to_be_looked_at(since) {
            self.rest.keeps_some = true;
            self.rest.refused = Some(Counted::default());
        }
    }

    /// The broker has answered at once, and there is nothing to do.
    fn asked_in_vain(&mut self, now: Now, out: &mut Effects) {
        let slower = self.rest.vain.comes(now.jitter);
        if slower.is_told {
            out.push(Effect::Say(Said::InVain));
        }
        if !slower.wait.is_zero() {
            // What the worker lacks may keep it from jobs for longer.
            let until = Some(now.at.saturating_add(slower.wait));
            self.rest.pause_until = self.rest.pause_until.max(until);
        }
    }

    /// Tried again before long. Then a worker without a tender puts its tube right first: its jobs may be what the tube
    /// is waiting for, and another broker may have been started.
    fn disconnected(&mut self, error: broker::Error, now: Now, out: &mut Effects) {
        if self.rest.outage.fails(&error, now.at) {
            out.push(Effect::Say(Said::Unreachable(error)));
        }
        let wait = self.rest.outage.wait(now.jitter);
        let until = now.at.saturating_add(wait);
        self.rest.pause_until = Some(until);
        self.rest.reconcile_at = self.rest.reconcile_at.map(|_| until);
    }
}

/// Whether a release that was answered so leaves no job behind that anybody could reserve. A job that is not found may
/// be another worker's by now. The task of one that nobody has claimed is that worker's then; but one that is to be
/// tried again later is put again rather than not.
fn loses_job(error: &broker::Error, waiting: Option<&Jobless>) -> bool {
    match error {
        broker::Error::OutOfMemory => true,
        broker::Error::NotFound => matches!(waiting, Some(Jobless::Put(_))),
        broker::Error::Unreachable { .. }
        | broker::Error::ConnectionLost { .. }
        | broker::Error::NoAnswer { .. }
        | broker::Error::Nonsense { .. }
        | broker::Error::TooBig { .. }
        | broker::Error::Draining
        | broker::Error::Failed { .. }
        | broker::Error::ReservationLost { .. } => false,
    }
}
