//! What a worker wants done, and what becomes of it.

use super::*;
use crate::worker::machine::mode::CallOff;

impl Model {
    pub(super) fn perform(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Ask(ask) => {
                let worker = &mut self.workers[at];
                assert!(worker.asked.is_none());
                worker.asked = Some((ask, self.now));
            }
            Effect::Interrupt => {
                self.reconnect(at);
                self.workers[at].asked = None;
                self.workers[at]
                    .ready
                    .push_back(Event::Answered(Answer::Interrupted));
            }
            Effect::Enter { entry, haste } => {
                if haste == Haste::AtOnce || self.dice.one_in(2) {
                    let event = self.enter(at, &entry);
                    self.workers[at].ready.push_back(event);
                } else {
                    self.workers[at].told = Some(entry);
                }
            }
            Effect::Prove => self.workers[at].proves = true,
            Effect::MakeJournal => {
                let worker = &mut self.workers[at];
                worker.journal = self.journals.make(worker.me.id).ok();
                let made = worker.journal.is_some();
                worker.ready.push_back(Event::JournalMade(made));
            }
            Effect::WipeJournal => {
                if let Some(journal) = &mut self.workers[at].journal {
                    journal.wipe();
                }
            }
            Effect::LeaveJournal => self.workers[at].journal = None,
            Effect::Journal(settlement) => {
                let done = Done {
                    started: settlement.started,
                    finished: settlement.finished,
                    output: Vec::new(),
                };
                let fails = self.dice.one_in(50);
                let worker = &mut self.workers[at];
                let journal = worker.journal.as_mut().filter(|_| !fails);
                let well =
                    journal.is_some_and(|journal| journal.is_done(settlement.id, &done).is_ok());
                worker.ready.push_back(Event::Journaled(well));
            }
            Effect::Begin {
                attempt, journal, ..
            } => self.begin(at, attempt, journal),
            Effect::WaitBriefly { until } => {
                let until = u64::try_from(until.as_micros()).unwrap();
                let worker = &self.workers[at];
                if let Some(run) = &worker.run
                    && run.ends_at <= until
                    && run.exit == Exit::Code(0)
                {
                    self.now = self.now.max(run.ends_at);
                    let event = self.command_ends(at, true);
                    self.workers[at].ready.push_back(event);
                }
            }
            Effect::Terminate | Effect::Kill => {
                let now = self.now;
                if let Some(run) = &mut self.workers[at].run {
                    // What has ended cannot hear it.
                    if run.ends_at > now {
                        run.ends_at = run.ends_at.min(now + 1000);
                        run.is_signalled = true;
                    }
                }
            }
            Effect::Look => {
                let stopped_by = self.dice.one_in(2).then_some(19);
                let worker = &mut self.workers[at];
                worker.ready.push_back(Event::Looked(stopped_by));
                if let Some(run) = &worker.run
                    && self.dice.one_in(2)
                {
                    let progress = progress_of(run.attempt.id);
                    worker.ready.push_back(Event::Reported(progress));
                }
            }
            Effect::AskForWish(attempt) => {
                if let Ok(Some(wish)) = self.workers[at].ledger.wish(attempt) {
                    self.workers[at].ready.push_back(Event::CalledOff {
                        attempt,
                        how: CallOff::of(wish.now),
                        ticket: None,
                    });
                }
            }
            // Each is ours to kill, and ends in time.
            Effect::Abandon => panic!("left a command"),
            Effect::EndRemains(dead) => self.workers[at].clears = Some(dead),
            Effect::CleanUp(cleanup) => self.workers[at].cleans = Some(cleanup),
            Effect::Report(_) | Effect::Gap(_) | Effect::Say(_) => {}
            Effect::Leave {
                deleted,
                remove_journal,
            } => {
                let wall = self.wall();
                let mut worker = self.workers.swap_remove(at);
                assert!(worker.run.is_none(), "left a command");
                if remove_journal {
                    self.journals.remove(worker.me.id);
                }
                let _ = worker.ledger.sign_off(worker.me.id, &deleted, wall);
                self.broker.disconnect(worker.connection);
                drop(worker);
                self.hire();
            }
        }
    }

    pub(super) fn begin(&mut self, at: usize, attempt: Box<Attempt>, journal: Option<i64>) {
        if let Some(began) = journal {
            if let Ok(Some(_)) = self.workers[at].ledger.wish(attempt.id) {
                self.tally.withdrawn += 1;
                drop(attempt);
                self.workers[at].ready.push_back(Event::Withdrawn);
                return;
            }
            let fails = self.dice.one_in(50);
            let worker = &mut self.workers[at];
            let journal = worker.journal.as_mut().filter(|_| !fails);
            if journal.is_none_or(|journal| journal.begins(attempt.id, began).is_err()) {
                worker.ready.push_back(Event::NotJournaled);
                return;
            }
        }
        if let Some((lack, _)) = self.lacks_until {
            self.tally.unstarted += 1;
            let mut ended = stage::ended(0, false, false);
            ended.how = How::NotStarted {
                lack,
                reason: "not now".into(),
            };
            // Its lock is free before anything is said.
            drop(attempt);
            self.workers[at].ready.push_back(Event::Ended(ended));
            return;
        }
        let id = attempt.id;
        self.may_begin(id);
        let before = self.alive.insert(id.task, id);
        assert_eq!(before, None, "a second run at once, by attempt {id}");
        assert!(self.started.insert(id), "attempt {id} was started twice");
        let before = self.elsewhere.insert(id.task, id);
        assert_eq!(before, None, "goes on elsewhere, beside attempt {id}");
        assert!(
            !self.done.contains(&id.task),
            "what was recorded as done is run again: {id}"
        );
        let exit = match self.dice.below(12) {
            0 => Exit::Code(1),
            1 => Exit::Code(75),
            _ => Exit::Code(0),
        };
        let long = match self.dice.below(20) {
            0 => 100_000 + self.dice.below(4_000_000),
            1 | 2 => 10_000 + self.dice.below(60_000),
            _ => 300 + self.dice.below(2_000),
        };
        let worker = &mut self.workers[at];
        worker.run = Some(Run {
            attempt,
            ends_at: self.now + long,
            exit,
            is_signalled: false,
        });
        worker.ready.push_back(Event::Began(7));
    }

    pub(super) fn command_ends(&mut self, at: usize, quick: bool) -> Event {
        let run = self.workers[at].run.take().unwrap();
        let (id, exit) = (run.attempt.id, run.exit);
        self.ends(&run.attempt);
        let ends_by_itself = matches!(exit, Exit::Code(_)) && !run.is_signalled;
        if ends_by_itself && exit == Exit::Code(0) && !self.stopped.contains(&id) {
            self.well.insert(id);
        }
        if ends_by_itself && !self.stopped.contains(&id) {
            self.elsewhere.remove(&id.task);
        }
        let reported = self.reports(id);
        Event::Ended(Box::new(Ended {
            how: How::Exit {
                exit,
                memory: false,
            },
            output: Captured::default(),
            reported,
            took: None,
            at: self.wall(),
            quick,
            by_itself: !run.is_signalled,
            has_remains: false,
        }))
    }

    /// What a command has said by its end: most say nothing.
    fn reports(&mut self, id: AttemptId) -> Reported {
        let mut reported = Reported::default();
        match self.dice.below(20) {
            0 => reported.progress = progress_of(id),
            1 => reported.result = Some(id.number.to_string()),
            2 => reported.retry_in = Some(Duration::from_millis(self.dice.below(800))),
            3 if self.dice.one_in(4) => reported.fail = Some("no such customer".into()),
            _ => {}
        }
        reported
    }

    pub(super) fn ends(&mut self, attempt: &Attempt) {
        assert_eq!(self.alive.remove(&attempt.id.task), Some(attempt.id));
    }

    /// Nothing that its command started runs here any more.
    pub(super) fn clean_up(&mut self, cleanup: &Cleanup) {
        let id = cleanup.attempt;
        assert_ne!(
            self.alive.get(&id.task),
            Some(&id),
            "cleaned up after what runs"
        );
        self.tally.cleanups += 1;
        // Or the command had come to its end, and nobody knows.
        if self.elsewhere.get(&id.task) == Some(&id) {
            self.elsewhere.remove(&id.task);
        }
    }

    pub(super) fn end_orphans(&mut self, id: AttemptId) {
        let (these, others): (Vec<_>, Vec<_>) = self
            .orphans
            .drain(..)
            .partition(|orphan| orphan.attempt.id == id);
        self.orphans = others;
        for orphan in these {
            self.ends(&orphan.attempt);
        }
    }

    pub(super) fn enter(&mut self, at: usize, entry: &Entry) -> Event {
        let wall = self.wall();
        let worker = &mut self.workers[at];
        let entered = worker.ledger.enter(entry, &self.commands, &worker.me, wall);
        match entered {
            Ok(entered) => {
                if entry.told {
                    self.told.insert(self.workers[at].me.name.to_string());
                }
                self.note_done(entry, &entered.ours);
                Event::Entered(Ok(Box::new(entered)))
            }
            Err(error) if error.is_locked() => Event::Entered(Err(Unentered::Busy)),
            Err(error) if error.is_of_one_row() => {
                Event::Entered(Err(Unentered::OfOneRow(error.to_string())))
            }
            Err(error) => Event::Entered(Err(Unentered::Trouble(error.to_string()))),
        }
    }

    pub(super) fn note_done(&mut self, entry: &Entry, ours: &[bool]) {
        for (settlement, is_ours) in entry.settle.iter().zip(ours) {
            let outcome = &settlement.outcome;
            assert!(
                !self.stopped.contains(&settlement.id)
                    || matches!(outcome, Outcome::Interrupted(_) | Outcome::Cancelled(_)),
                "stopped with its worker, and {outcome:?}: {}",
                settlement.id
            );
            if *is_ours && settlement.report.is_some() {
                let id = settlement.id;
                self.reported.insert(id.task, id.number);
            }
            if *is_ours && settlement.next == Next::Done {
                assert!(self.done.insert(settlement.id.task), "done twice");
            }
        }
    }
}

/// Each attempt says of itself that it is as far as its number says.
#[allow(clippy::cast_precision_loss, reason = "there are not that many")]
fn progress_of(id: AttemptId) -> Progress {
    stage::progress((id.number % 101) as f64)
}
