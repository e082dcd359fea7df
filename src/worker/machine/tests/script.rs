//! A worker, and a test that says itself what each of its questions is answered.

use std::sync::Arc;
use std::time::Duration;

use super::stage::{
    self, Locks, TERM, at, attempt, dead, ended, ended_by, job, known, pointer_job, rules, told,
};
use crate::broker::{Reservation, Reserve};
use crate::ledger::{Attempt, Claim, Entered, Entry, Jobless, Remains};
use crate::link::Report;
use crate::process::leftover::Cleared;
use crate::task::command::{Cleanup, Command, Commands};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::worker::machine::event::{Answer, Ask, Effect, Event, Now, Said, Unentered};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::{Machine, Rules};
use crate::worker::machine::table::PhaseKind;

/// A worker, and what it wants from its surroundings.
pub struct Script {
    pub machine: Machine,
    pub starts_commands: bool,
    pub writes_journal: bool,
    pub reports: Vec<Report>,
    pub said: Vec<Said>,
    pub now: Now,
    asked: Option<Ask>,
    pending: Option<Arc<Entry>>,
    last: Option<Arc<Entry>>,
    /// The cleanups that were to be run.
    pub cleanups: Vec<Arc<Cleanup>>,
    /// How many outcomes the entries since the last end of a command had.
    recorded: Option<usize>,
    running: Option<Box<Attempt>>,
    locks: Locks,
    jobs: u64,
    /// How often the command was to be looked at.
    pub looks: usize,
    /// Of which attempts it was to be looked whether they are to be cancelled.
    pub wishes: Vec<AttemptId>,
    /// What the commands were sent.
    pub sent: Vec<&'static str>,
}

impl Script {
    pub fn new() -> Script {
        Script::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Rules)) -> Script {
        let mut rules = rules();
        change(&mut rules);
        let now = at(0);
        let mut script = Script {
            machine: Machine::new(rules, Arc::<Commands>::default(), now),
            starts_commands: true,
            writes_journal: true,
            reports: Vec::new(),
            cleanups: Vec::new(),
            said: Vec::new(),
            now,
            asked: None,
            pending: None,
            last: None,
            recorded: None,
            running: None,
            locks: Locks::new(),
            jobs: 0,
            looks: 0,
            wishes: Vec::new(),
            sent: Vec::new(),
        };
        script.step(Event::Due);
        script
    }

    /// With a command that runs.
    pub fn running() -> Script {
        let mut script = Script::new();
        script.reserves_pointer();
        script.begins(
            AttemptId {
                task: TaskId(1),
                number: 1,
            },
            false,
        );
        script
    }

    /// The same with a command that may run for so long.
    pub fn running_for(timeout: Option<Duration>) -> Script {
        let mut script = Script::new();
        script.reserves_pointer();
        script.claims_for(TaskId(1), timeout);
        script
    }

    /// What was entered is, and a command begins that may run for so long.
    pub fn claims_for(&mut self, task: TaskId, timeout: Option<Duration>) {
        let id = AttemptId { task, number: 1 };
        let command = Command {
            timeout,
            ..Command::new(vec!["job".into()])
        };
        let alive = self.locks.take(id);
        let ours = self.pending.as_ref().map_or(0, |entry| entry.settle.len());
        self.is_told(Entered {
            ours: vec![true; ours],
            claim: Some(Claim::Begun(attempt(id, command, false, false, alive))),
            ..Entered::default()
        });
    }

    /// The same for a foreign producer's job.
    pub fn running_foreign() -> Script {
        let mut script = Script::new();
        script.reserves(job(1, "raw", 1));
        script.answer_known();
        script.begins(
            AttemptId {
                task: TaskId(1),
                number: 1,
            },
            true,
        );
        script
    }

    pub fn step(&mut self, event: Event) {
        if matches!(event, Event::Answered(_)) {
            self.asked = None;
        }
        let effects = self.machine.step(event, self.now).unwrap();
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(ask) => {
                assert!(self.asked.is_none(), "two questions at once");
                self.asked = Some(ask);
            }
            Effect::Enter { entry, .. } => {
                self.recorded = Some(self.recorded.unwrap_or(0) + entry.settle.len());
                self.last = Some(Arc::clone(&entry));
                self.pending = Some(entry);
            }
            Effect::Report(report) => self.reports.push(report),
            Effect::Say(said) => self.said.push(said),
            Effect::Look => self.looks += 1,
            Effect::AskForWish(attempt) => self.wishes.push(attempt),
            Effect::Terminate => self.sent.push("TERM"),
            Effect::Kill => self.sent.push("KILL"),
            Effect::CleanUp(cleanup) => self.cleanups.push(cleanup),
            Effect::MakeJournal => self.step(Event::JournalMade(true)),
            Effect::Journal(_) if self.writes_journal => self.step(Event::Journaled(true)),
            Effect::Begin { attempt, .. } => {
                self.running = Some(attempt);
                if self.starts_commands {
                    self.step(Event::Began(7));
                }
            }
            Effect::Interrupt
            | Effect::Prove
            | Effect::WipeJournal
            | Effect::LeaveJournal
            | Effect::Journal(_)
            | Effect::WaitBriefly { .. }
            | Effect::Abandon
            | Effect::EndRemains(_)
            | Effect::Gap(_)
            | Effect::Leave { .. } => {}
        }
    }

    /// The attempt whose command was to be started.
    pub fn begun(&self) -> Option<AttemptId> {
        self.running.as_ref().map(|attempt| attempt.id)
    }

    /// Of a command that could not be started nothing is left, nor is its lock held.
    pub fn lets_go(&mut self) {
        self.running = None;
    }

    pub fn reserves(&mut self, job: Reservation) {
        assert!(
            matches!(self.asked, Some(Ask::Reserve { .. })),
            "{:?}",
            self.asked
        );
        self.step(Event::Answered(Answer::Reserved(Ok(Reserve::Job(job)))));
    }

    pub fn reserves_pointer(&mut self) {
        self.jobs += 1;
        self.reserves(pointer_job(self.jobs, self.jobs.into(), 1));
    }

    pub fn is_told(&mut self, entered: Entered) {
        assert!(self.pending.take().is_some(), "nothing was entered");
        self.step(Event::Entered(Ok(Box::new(entered))));
    }

    pub fn is_refused(&mut self, why: &str) {
        assert!(self.pending.take().is_some(), "nothing was entered");
        self.step(Event::Entered(Err(Unentered::Trouble(why.into()))));
    }

    pub fn claim_says(&mut self, claim: Claim) {
        self.is_told(Entered {
            claim: Some(claim),
            ..Entered::default()
        });
    }

    pub fn begins(&mut self, id: AttemptId, foreign: bool) {
        let alive = self.locks.take(id);
        let attempt = attempt(id, Command::new(vec!["job".into()]), foreign, false, alive);
        self.claim_says(Claim::Begun(attempt));
    }

    /// The same by a command that has a cleanup.
    pub fn begins_client(&mut self, id: AttemptId) {
        let alive = self.locks.take(id);
        let attempt = attempt(id, stage::client(), false, false, alive);
        self.claim_says(Claim::Begun(attempt));
    }

    pub fn ends(&mut self, exit: i32, now: Now) {
        self.now = now;
        self.running = None;
        self.recorded = None;
        self.step(Event::Ended(ended(exit, false, false)));
    }

    pub fn ends_by(&mut self, signal: i32, now: Now) {
        self.now = now;
        self.running = None;
        self.recorded = None;
        self.step(Event::Ended(ended_by(signal, false)));
    }

    pub fn ends_as(&mut self, by_itself: bool, now: Now) {
        self.now = now;
        self.running = None;
        let mut ended = ended(0, false, false);
        ended.by_itself = by_itself;
        self.step(Event::Ended(ended));
    }

    /// The next job's task begins; and of the one before, of which this is a put, the job is lost.
    pub fn claims_although_lost(&mut self, put: PutId) {
        self.loses(put);
        self.claims();
    }

    /// The job of a task that waits is lost, of which this is a put.
    pub fn loses(&mut self, put: PutId) {
        self.machine.notes.again.push(Jobless::Put(put));
    }

    pub fn ends_quickly(&mut self, now: Now) {
        self.now = now;
        self.running = None;
        self.step(Event::Ended(ended(0, true, false)));
    }

    /// The command that runs ends, and so many others are claimed in the transaction that records it. The first of them
    /// runs.
    pub fn ends_with_batch(&mut self, size: u64, now: Now) -> Vec<AttemptId> {
        // One job after the other, until as many are asked for at once.
        let mut now = now;
        loop {
            self.ends_quickly(now);
            // Others of the batch before have their turns.
            let Some(Ask::Exchange { most, .. }) = self.asked else {
                continue;
            };
            let count = if most as u64 >= size {
                size
            } else {
                most as u64
            };
            self.answer_exchange(count);
            let claimed = self.claims();
            if count == size {
                return claimed;
            }
            now = at(u64::try_from(now.at.as_micros()).unwrap() + 100);
        }
    }

    /// Answers what was entered: all that are to be claimed begin.
    pub fn claims(&mut self) -> Vec<AttemptId> {
        let entry = self.pending.clone().expect("an entry");
        let ours = vec![true; entry.settle.len()];
        let jobs = entry.claim.iter().chain(&entry.prefetch);
        let ids: Vec<AttemptId> = jobs
            .map(|job| AttemptId {
                task: TaskId(job.id.cast_signed()),
                number: 1,
            })
            .collect();
        let begun = |id: &AttemptId, ahead| {
            let alive = self.locks.take(*id);
            attempt(*id, Command::new(vec!["job".into()]), false, ahead, alive)
        };
        let claim = ids.first().map(|id| Claim::Begun(begun(id, false)));
        let prefetch = ids.iter().skip(1).map(|id| Some(begun(id, true))).collect();
        self.is_told(Entered {
            ours,
            claim,
            prefetch,
            ..Entered::default()
        });
        ids
    }

    pub fn answer_entered(&mut self) {
        let entry = self.pending.clone().expect("an entry");
        self.is_told(Entered {
            ours: vec![true; entry.settle.len()],
            ..Entered::default()
        });
    }

    /// All that was to be deleted is, and so many other jobs come.
    pub fn answer_exchange(&mut self, jobs: u64) {
        let Some(Ask::Exchange { to_delete, .. }) = self.asked.take() else {
            panic!("no exchange was asked for");
        };
        let deleted = to_delete
            .into_iter()
            .map(|one| super::super::event::Deleted {
                job: one.reservation.id,
                task: one.task,
                answer: Ok(()),
            })
            .collect();
        let reserved = (0..jobs).map(|_| {
            self.jobs += 1;
            pointer_job(self.jobs, self.jobs.into(), 1)
        });
        let reserved = Ok(reserved.collect());
        self.step(Event::Answered(Answer::Exchanged { deleted, reserved }));
    }

    pub fn answer_known(&mut self) {
        if matches!(self.asked, Some(Ask::Know(_) | Ask::KnowAmongOthers(_))) {
            self.step(Event::Answered(Answer::Known(Ok(Some(known(0))))));
        }
    }

    pub fn due(&mut self, at: Duration) {
        self.now.at = self.now.at.max(at);
        self.step(Event::Due);
    }

    pub fn asked(&self) -> Option<&Ask> {
        self.asked.as_ref()
    }

    /// How many outcomes were entered since a command ended; `None`: nothing was entered.
    pub fn entered(&self) -> Option<usize> {
        self.recorded
    }

    /// Whether an entry has not been answered.
    pub fn has_entry(&self) -> bool {
        self.pending.is_some()
    }

    pub fn last_entry(&self) -> Option<&Entry> {
        self.last.as_deref()
    }

    pub fn holds(&self, id: AttemptId) -> bool {
        self.locks.holds(id)
    }
}

/// A worker that stands there.
pub fn machine_in(phase: PhaseKind) -> Machine {
    let mut script = Script::new();
    let first = AttemptId {
        task: TaskId(1),
        number: 1,
    };
    match phase {
        PhaseKind::Idle => {}
        PhaseKind::Identifying => script.reserves(job(1, "raw", 1)),
        PhaseKind::Claiming => script.reserves_pointer(),
        PhaseKind::Counting => {
            script.reserves_pointer();
            script.claim_says(Claim::AskForKicks);
        }
        PhaseKind::TakingOver | PhaseKind::Clearing | PhaseKind::CleaningUpLost => {
            script.reserves_pointer();
            script.claim_says(Claim::Dead(dead(first, Remains::Unknown)));
            if phase != PhaseKind::TakingOver {
                script.is_told(Entered {
                    taken: true,
                    cleanup: (phase == PhaseKind::CleaningUpLost).then(|| stage::cleanup(first)),
                    ..Entered::default()
                });
            }
            if phase == PhaseKind::CleaningUpLost {
                script.step(Event::Cleared(Cleared::Gone));
            }
        }
        PhaseKind::Beginning => {
            script.reserves_pointer();
            script.starts_commands = false;
            script.begins(first, false);
        }
        PhaseKind::Running => script = Script::running(),
        PhaseKind::Held => {
            script = Script::running();
            script.step(Event::Ended(ended_by(TERM, false)));
        }
        PhaseKind::Leftovers => {
            script = Script::running();
            script.step(Event::Ended(ended(1, false, true)));
        }
        PhaseKind::CleaningUp => {
            script.reserves_pointer();
            script.begins_client(first);
            script.step(Event::Ended(ended_by(9, false)));
        }
        PhaseKind::Journaling => {
            script = Script::running();
            script.ends_with_batch(2, at(1_000));
            script.writes_journal = false;
            script.ends_quickly(at(2_000));
        }
        PhaseKind::Looking => {
            script = Script::running();
            script.ends(0, at(1_000));
        }
        PhaseKind::Sifting => {
            script.reserves_pointer();
            script.claim_says(Claim::Held { task: TaskId(1) });
            script.answer_exchange(2);
        }
        PhaseKind::Recording => {
            script = Script::running();
            script.step(told(Mode::Draining { until: None }));
            script.ends(0, at(1_000));
        }
        PhaseKind::Disposing => {
            script.reserves_pointer();
            let (task, priority) = (TaskId(1), 1024);
            script.claim_says(Claim::BuryJob { task, priority });
        }
        PhaseKind::Gone => {
            script.step(told(Mode::Stopping));
            script.step(Event::Answered(Answer::Interrupted));
        }
    }
    script.machine
}
