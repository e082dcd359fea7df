//! Workers, a ledger, a broker and commands in made-up time, by the seed. Workers are killed in every gap between two
//! effects, the broker is restarted with its jobs or without them, connections break, and the ledger takes nothing for a
//! while. The promises are judged from outside: by what commands were started, and by what the ledger says in the end.
//!
//! The machine and the ledger's protocol are the real ones. Rows, locks and batch journals are in memory, and so is the
//! broker. What a tender does beside its workers (a pass of reconciliation, a sweep after a death) is done here in a few
//! lines.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::broker::{Broker, TTR};
use super::dice::Dice;
use super::stage::{self, STORE};
use crate::broker::{self as port, JobId};
use crate::ledger::announce::Again;
use crate::ledger::batch_journal::{self, BatchJournal, Done, Journals};
use crate::ledger::memory::Memory;
use crate::ledger::put::{Added, NewTask};
use crate::ledger::recover::Fingerprint;
use crate::ledger::worker::{Me, NewWorker, Registered};
use crate::ledger::{AfterLoss, Attempt, DeadAttempt, Entry, Error, Ledger};
use crate::lives::{self, Alive};
use crate::task::command::{Command, Commands, Content};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::output::Captured;
use crate::task::payload::{Call, Pointer};
use crate::task::retry::Next;
use crate::task::state::Exit;
use crate::tube::TubeName;
use crate::worker::machine::event::{
    Answer, Ask, Deleted, Effect, Ended, Event, Haste, How, Known, Now, Unentered,
};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::{Machine, Rules};

/// Between two passes of the tender.
const PASSES: u64 = 30_000_000;

/// What a history is like.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Tasks that are put by us, and jobs that foreign producers put.
    pub tasks: u64,
    pub foreign: u64,
    pub workers: usize,
    /// One effect in so many is not performed: its worker is killed there.
    pub kills: u64,
    /// The broker may lose its jobs.
    pub forgets: bool,
    /// The ledger runs transactions on the loop.
    pub is_local: bool,
}

/// What a history came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub steps: u64,
    pub kills: u64,
    pub restarts: u64,
    pub attempts: u64,
    pub lost: u64,
}

pub struct Model {
    dice: Dice,
    kind: Kind,
    /// Microseconds.
    now: u64,
    rows: Memory,
    lives: lives::memory::Memory,
    journals: batch_journal::memory::Memory,
    commands: Arc<Commands>,
    tube: TubeName,
    broker: Broker,
    workers: Vec<Worker>,
    named: u64,
    /// The tender's own connection, and who it is.
    tender: Ledger,
    tender_is: Me,
    _tender_lives: Alive,
    next_pass: u64,
    /// Commands whose workers are dead, until somebody ends them.
    orphans: Vec<Orphan>,
    /// Commands that live, by task.
    alive: HashMap<TaskId, AttemptId>,
    started: HashSet<AttemptId>,
    done: HashSet<TaskId>,
    to_put: (u64, u64),
    trouble_until: Option<u64>,
    tally: Tally,
}

struct Worker {
    machine: Machine,
    ledger: Ledger,
    me: Me,
    _alive: Alive,
    connection: u64,
    asked: Option<(Ask, u64)>,
    told: Option<Arc<Entry>>,
    proves: bool,
    run: Option<Run>,
    clears: Option<DeadAttempt>,
    journal: Option<BatchJournal>,
    ready: VecDeque<Event>,
}

struct Run {
    attempt: Box<Attempt>,
    ends_at: u64,
    exit: i32,
}

struct Orphan {
    attempt: Box<Attempt>,
    /// When the guard or the tender's sweep has ended it.
    gone_at: u64,
}

impl Model {
    pub fn new(seed: u64, kind: Kind) -> Model {
        let rows = match kind.is_local {
            true => Memory::new(STORE),
            false => Memory::new(STORE).remote(),
        };
        let lives = lives::memory::Memory::new();
        let journals = batch_journal::memory::Memory::new();
        let mut commands = Commands::default();
        let mut command = Command::new(vec!["job".into()]);
        command.retry.max_attempts = 3;
        command.retry.max_lost = Some(1000);
        command.retry.backoff.first = Duration::from_millis(500);
        commands.add("job", command);
        let mut tender = rows.open(Arc::new(lives.clone()), Arc::new(journals.clone()));
        let Registered { me, alive } = tender.register(&new_worker("tender"), 1).unwrap();
        let mut model = Model {
            dice: Dice::new(seed),
            kind,
            now: 0,
            rows,
            lives,
            journals,
            commands: Arc::new(commands),
            tube: "t".parse().unwrap(),
            broker: Broker::new(),
            workers: Vec::new(),
            named: 0,
            tender,
            tender_is: me,
            _tender_lives: alive,
            next_pass: PASSES,
            orphans: Vec::new(),
            alive: HashMap::new(),
            started: HashSet::new(),
            done: HashSet::new(),
            to_put: (kind.tasks, kind.foreign),
            trouble_until: None,
            tally: Tally::default(),
        };
        for _ in 0..kind.workers {
            model.hire();
        }
        model
    }

    /// Plays until every task has ended, and judges.
    pub fn play(mut self) -> Tally {
        let most = 4_000 * (self.kind.tasks + self.kind.foreign) + 400_000;
        loop {
            self.tally.steps += 1;
            assert!(
                self.tally.steps < most,
                "does not come to an end at {} s",
                self.now / 1_000_000
            );
            self.put_some();
            self.have_accidents();
            self.look_after();
            if !self.somebody_acts() {
                if self.all_is_over() {
                    break;
                }
                self.time_passes();
            }
        }
        self.judge();
        self.tally
    }

    fn all_is_over(&mut self) -> bool {
        self.to_put == (0, 0)
            && self.broker.is_empty()
            && !self.tender.anything_waits(&self.tube).unwrap()
            && {
                let counts = self.tender.counts().unwrap();
                counts
                    .values()
                    .all(|of| of.running + of.stalled + of.waiting == 0)
            }
    }

    fn judge(&mut self) {
        let (mut tasks, mut attempts) = (0, 0);
        let mut lost = 0;
        let all = crate::ledger::read::Filter::default();
        let tender = &self.tender;
        tender
            .list(&all, u64::MAX, |task| {
                tasks += 1;
                let status = task.status.as_str();
                assert!(
                    status == "done" || status == "failed",
                    "task {} is {status}",
                    task.id
                );
                for attempt in &task.attempts {
                    attempts += 1;
                    lost += u64::from(attempt.outcome.as_deref() == Some("lost"));
                }
                true
            })
            .unwrap();
        assert_eq!(
            tasks,
            self.kind.tasks + self.kind.foreign,
            "as many as were acknowledged"
        );
        // Each death costs the attempt whose command ran, or was about to, and no other.
        assert!(
            lost <= self.tally.kills,
            "{lost} lost by {} kills",
            self.tally.kills
        );
        self.tally.attempts = attempts;
        self.tally.lost = lost;
    }

    // Who puts, and what goes wrong.

    fn put_some(&mut self) {
        let (ours, foreign) = self.to_put;
        if ours > 0 && self.dice.one_in(3) {
            self.to_put.0 -= 1;
            let uuid = Uuid::from_u128(u128::from(ours));
            let task = NewTask {
                uuid,
                tube: self.tube.clone(),
                content: Content::Call(Call::from_parts("job", "[]", "{}").unwrap()),
                priority: 1024,
                ttr: u32::try_from(TTR / 1_000_000).unwrap(),
                due: self.wall(),
            };
            let wall = self.wall();
            let added = match self.tender.add(&[task], wall) {
                Ok(added) => added,
                // Nothing was acknowledged.
                Err(_) => return self.to_put.0 += 1,
            };
            let Some(Added::New { id }) = added.first() else {
                panic!("{added:?}");
            };
            // Whoever puts dies now and then before the job is there, or before it is noted.
            let put = PutId {
                task: *id,
                generation: 1,
            };
            if !self.dice.one_in(10) {
                let job = self.broker.put(pointer(uuid), TTR, 0, self.now);
                if !self.dice.one_in(10) {
                    let instance = self.broker.instance();
                    let _ = self.tender.note_puts(&instance, &[(put, Some(job))]);
                }
            }
        }
        if foreign > 0 && self.dice.one_in(5) {
            self.to_put.1 -= 1;
            let body = format!(r#"{{"taskqueue":1,"command":"job","arguments":["{foreign}"]}}"#);
            self.broker.put(body.into_bytes(), TTR, 0, self.now);
        }
    }

    fn have_accidents(&mut self) {
        if self.to_put == (0, 0) && self.dice.one_in(2) {
            return;
        }
        if self.dice.one_in(800) {
            self.tally.restarts += 1;
            let forgets = self.kind.forgets && self.dice.one_in(2);
            self.broker.restart(forgets);
        }
        if self.dice.one_in(1000) {
            let trouble = Error::trouble("the disk is full");
            self.rows.set_trouble(Some(trouble));
            self.trouble_until = Some(self.now + self.dice.below(5_000_000));
        }
        if self.dice.one_in(500) {
            let worker = self.dice.below(self.workers.len() as u64) as usize;
            let mode = match self.dice.below(3) {
                0 => Mode::Stopping,
                1 => Mode::Draining { until: None },
                _ => Mode::Draining {
                    until: Some(Duration::from_micros(self.now) + Duration::from_millis(50)),
                },
            };
            self.workers[worker].ready.push_front(Event::Told(mode));
        }
    }

    fn look_after(&mut self) {
        if self.trouble_until.is_some_and(|until| until <= self.now) {
            self.trouble_until = None;
            self.rows.set_trouble(None);
        }
        let now = self.now;
        let (gone, stay): (Vec<_>, Vec<_>) = self
            .orphans
            .drain(..)
            .partition(|orphan| orphan.gone_at <= now);
        self.orphans = stay;
        for orphan in gone {
            self.ends(orphan.attempt.id);
        }
        if self.next_pass <= self.now && self.trouble_until.is_none() {
            self.next_pass = self.now + PASSES;
            self.pass();
        }
    }

    /// The tender's: dead attempts, tasks without a job, jobs that the broker has forgotten.
    fn pass(&mut self) {
        let (tube, me, wall) = (self.tube.clone(), self.tender_is.clone(), self.wall());
        for dead in self.tender.dead_attempts(&tube, me.id).unwrap() {
            let taking = Entry {
                take_over: Some(dead.clone()),
                ..Entry::default()
            };
            let entered = self
                .tender
                .enter(&taking, &self.commands, &me, wall)
                .unwrap();
            if entered.taken {
                self.end_orphans(dead.id);
                let lose = Some(DeadAttempt {
                    owner: Some(me.id),
                    ..dead
                });
                let losing = Entry {
                    lose,
                    ..Entry::default()
                };
                let entered = self
                    .tender
                    .enter(&losing, &self.commands, &me, wall)
                    .unwrap();
                assert_ne!(entered.lost, Some(AfterLoss::NotOurs));
            }
        }
        let missing = self
            .tender
            .missing(&tube, TaskId::BEFORE_ALL, 10_000, wall)
            .unwrap();
        let again = self.tender.put_again(&missing, wall).unwrap();
        self.announce(again);
        let (instance, mut forgotten) = (self.broker.instance(), Vec::new());
        for job in self
            .tender
            .unverified(&tube, None, TaskId::BEFORE_ALL, 10_000)
            .unwrap()
        {
            let body = job.job.and_then(|id| self.broker.peek(id));
            let is_there = match job.fingerprint {
                Fingerprint::Pointer => body == Some(pointer(job.uuid)),
                // Where the broker keeps its jobs, its number is enough.
                Fingerprint::Foreign { .. } => body.is_some(),
            };
            match is_there {
                true => self.tender.note_found(&instance, &[job.put]).unwrap(),
                false => forgotten.push(job.put),
            }
        }
        let again = self.tender.put_again(&forgotten, wall).unwrap();
        self.announce(again);
    }

    fn announce(&mut self, puts: Vec<Again>) {
        let instance = self.broker.instance();
        for again in puts {
            let delay = u64::try_from(again.due_in.max(0)).unwrap() * 1000;
            let job = self.broker.put(pointer(again.uuid), TTR, delay, self.now);
            let _ = self.tender.note_puts(&instance, &[(again.put, Some(job))]);
        }
    }

    // Workers.

    fn hire(&mut self) {
        self.named += 1;
        let mut ledger = self.rows.open(
            Arc::new(self.lives.clone()),
            Arc::new(self.journals.clone()),
        );
        let wall = self.wall();
        let Ok(Registered { me, alive }) =
            ledger.register(&new_worker(&format!("w{}", self.named)), wall)
        else {
            // The ledger is in trouble: the tender tries again later.
            self.named -= 1;
            return;
        };
        let rules = Rules {
            has_tender: true,
            ledger_is_local: self.kind.is_local,
            ..stage::rules()
        };
        let connection = self.broker.connect();
        let machine = Machine::new(rules, Arc::clone(&self.commands), self.instant());
        self.workers.push(Worker {
            machine,
            ledger,
            me,
            _alive: alive,
            connection,
            asked: None,
            told: None,
            proves: false,
            run: None,
            clears: None,
            journal: None,
            ready: VecDeque::from([Event::Due]),
        });
    }

    /// Kill -9: everything goes at once but the command, which the guard ends a little later.
    fn kill(&mut self, at: usize) {
        self.tally.kills += 1;
        let mut worker = self.workers.swap_remove(at);
        // What was on its way to the ledger may have been recorded.
        if let Some(entry) = worker.told.take()
            && self.dice.one_in(2)
        {
            let wall = self.wall();
            if let Ok(entered) = worker
                .ledger
                .enter(&entry, &self.commands, &worker.me, wall)
            {
                self.note_done(&entry, &entered.ours);
            }
        }
        self.broker.disconnect(worker.connection);
        if let Some(run) = worker.run.take() {
            let gone_at = self.now + self.dice.below(200_000);
            self.orphans.push(Orphan {
                attempt: run.attempt,
                gone_at,
            });
        }
        drop(worker);
        self.hire();
    }

    /// Lets one of the workers take a step. False if none has anything to do now.
    fn somebody_acts(&mut self) -> bool {
        while self.workers.len() < self.kind.workers && self.trouble_until.is_none() {
            self.hire();
        }
        let count = self.workers.len();
        let first = self.dice.below(count.max(1) as u64) as usize;
        for offset in 0..count {
            let at = (first + offset) % count;
            if let Some(event) = self.next(at) {
                self.step(at, event);
                return true;
            }
        }
        false
    }

    fn next(&mut self, at: usize) -> Option<Event> {
        if let Some(event) = self.workers[at].ready.pop_front() {
            return Some(event);
        }
        let worker = &self.workers[at];
        if worker
            .run
            .as_ref()
            .is_some_and(|run| run.ends_at <= self.now)
        {
            return Some(self.command_ends(at, false));
        }
        if worker
            .machine
            .deadline()
            .is_some_and(|due| due <= Duration::from_micros(self.now))
        {
            return Some(Event::Due);
        }
        let kinds = [
            worker.asked.is_some(),
            worker.told.is_some(),
            worker.proves,
            worker.clears.is_some(),
        ];
        let first = self.dice.below(4) as usize;
        for offset in 0..4 {
            let kind = (first + offset) % 4;
            let event = match (kind, kinds[kind]) {
                (_, false) => None,
                (0, true) => self.answer(at).map(Event::Answered),
                (1, true) => self.workers[at]
                    .told
                    .take()
                    .map(|entry| self.enter(at, &entry)),
                (2, true) => {
                    let worker = &mut self.workers[at];
                    worker.proves = false;
                    let id = worker.me.id;
                    Some(Event::Proved(worker.ledger.prove(id).is_ok()))
                }
                (_, true) => self.workers[at].clears.take().map(|dead| {
                    self.end_orphans(dead.id);
                    Event::Cleared(true)
                }),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn step(&mut self, at: usize, event: Event) {
        let now = self.instant();
        let name = self.workers[at].me.name.clone();
        let effects = match self.workers[at].machine.step(event, now) {
            Ok(effects) => effects,
            Err(illegal) => panic!("{illegal}"),
        };
        for effect in effects {
            if self.dice.one_in(self.kind.kills) && self.to_put != (0, 0) {
                self.kill(at);
                return;
            }
            self.perform(at, effect);
            if self
                .workers
                .get(at)
                .is_none_or(|worker| worker.me.name != name)
            {
                return;
            }
        }
    }

    fn perform(&mut self, at: usize, effect: Effect) {
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
                    && run.exit == 0
                {
                    self.now = self.now.max(run.ends_at);
                    let event = self.command_ends(at, true);
                    self.workers[at].ready.push_back(event);
                }
            }
            Effect::Terminate | Effect::Kill => {
                let now = self.now;
                if let Some(run) = &mut self.workers[at].run {
                    run.ends_at = run.ends_at.min(now + 1000);
                }
            }
            Effect::EndRemains(dead) => self.workers[at].clears = Some(dead),
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

    fn begin(&mut self, at: usize, attempt: Box<Attempt>, journal: Option<i64>) {
        if let Some(began) = journal {
            let fails = self.dice.one_in(50);
            let worker = &mut self.workers[at];
            let journal = worker.journal.as_mut().filter(|_| !fails);
            if journal.is_none_or(|journal| journal.begins(attempt.id, began).is_err()) {
                worker.ready.push_back(Event::NotJournaled);
                return;
            }
        }
        let id = attempt.id;
        let before = self.alive.insert(id.task, id);
        assert_eq!(before, None, "a second run at once, by attempt {id}");
        assert!(self.started.insert(id), "attempt {id} was started twice");
        assert!(
            !self.done.contains(&id.task),
            "what was recorded as done is run again: {id}"
        );
        let exit = match self.dice.below(12) {
            0 => 1,
            1 => 75,
            _ => 0,
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
        });
        worker.ready.push_back(Event::Began(7));
    }

    fn command_ends(&mut self, at: usize, quick: bool) -> Event {
        let run = self.workers[at].run.take().unwrap();
        let exit = run.exit;
        self.ends(run.attempt.id);
        Event::Ended(Box::new(Ended {
            how: How::Exit {
                exit: Exit::Code(exit),
                memory: false,
            },
            output: Captured::default(),
            at: self.wall(),
            quick,
            has_remains: false,
        }))
    }

    fn ends(&mut self, id: AttemptId) {
        assert_eq!(self.alive.remove(&id.task), Some(id));
    }

    fn end_orphans(&mut self, id: AttemptId) {
        let (these, others): (Vec<_>, Vec<_>) = self
            .orphans
            .drain(..)
            .partition(|orphan| orphan.attempt.id == id);
        self.orphans = others;
        for orphan in these {
            self.ends(orphan.attempt.id);
        }
    }

    fn enter(&mut self, at: usize, entry: &Entry) -> Event {
        let wall = self.wall();
        let worker = &mut self.workers[at];
        let entered = worker.ledger.enter(entry, &self.commands, &worker.me, wall);
        match entered {
            Ok(entered) => {
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

    fn note_done(&mut self, entry: &Entry, ours: &[bool]) {
        for (settlement, is_ours) in entry.settle.iter().zip(ours) {
            if *is_ours && settlement.next == Next::Done {
                assert!(self.done.insert(settlement.id.task), "done twice");
            }
        }
    }

    // The broker's answers.

    fn reconnect(&mut self, at: usize) {
        let old = self.workers[at].connection;
        self.broker.disconnect(old);
        self.workers[at].connection = self.broker.connect();
    }

    fn answer(&mut self, at: usize) -> Option<Answer> {
        let connection = self.workers[at].connection;
        // A connection breaks now and then, and after every restart.
        if self.dice.one_in(200) || !self.broker.is_connected(connection) {
            return Some(self.breaks(at));
        }
        let now = self.now;
        let (ask, since) = self.workers[at].asked.take()?;
        Some(match ask {
            Ask::Reserve { wait } => {
                let until = since + u64::try_from(wait.as_micros()).unwrap();
                match self.broker.reserve(connection, now) {
                    Some(job) => Answer::Reserved(Ok(port::Reserve::Job(job))),
                    None if until <= now => Answer::Reserved(Ok(port::Reserve::TimedOut)),
                    None => {
                        self.workers[at].asked = Some((Ask::Reserve { wait }, since));
                        return None;
                    }
                }
            }
            Ask::Exchange { over, most } => {
                let deleted = over
                    .into_iter()
                    .map(|over| Deleted {
                        job: over.reservation.id,
                        task: over.task,
                        answer: self.broker.delete(&over.reservation, connection),
                    })
                    .collect();
                let reserved = (0..most)
                    .map_while(|_| self.broker.reserve(connection, now))
                    .collect();
                Answer::Exchanged {
                    deleted,
                    reserved: Ok(reserved),
                }
            }
            Ask::Know(job) => Answer::Known(Ok(self.known(job))),
            Ask::KnowAll(jobs) => {
                Answer::AllKnown(Ok(jobs.iter().map(|job| self.known(*job)).collect()))
            }
            Ask::Touch(held) => Answer::Touched(self.broker.touch(held.id, connection, now)),
            Ask::Release {
                reservation, delay, ..
            } => {
                let delay = u64::try_from(delay.as_micros()).unwrap();
                Answer::Settled(self.broker.release(&reservation, connection, delay, now))
            }
            Ask::Bury { reservation, .. } => {
                Answer::Settled(self.broker.bury(&reservation, connection))
            }
            Ask::Announce(puts) => {
                self.announce(puts);
                Answer::Announced
            }
            Ask::Reconcile => Answer::Reconciled,
        })
    }

    fn known(&self, job: JobId) -> Option<Known> {
        let mut known = stage::known(self.broker.kicks(job)?);
        known.instance = self.broker.instance();
        known.stats.age = Duration::from_micros(self.now - self.broker.put_at(job)?);
        Some(known)
    }

    fn breaks(&mut self, at: usize) -> Answer {
        self.reconnect(at);
        let error = stage::lost_connection;
        match self.workers[at].asked.take().unwrap().0 {
            Ask::Reserve { .. } => Answer::Reserved(Err(error())),
            Ask::Exchange { over, .. } => {
                let deleted = over.into_iter().map(|over| Deleted {
                    job: over.reservation.id,
                    task: over.task,
                    answer: Err(error()),
                });
                Answer::Exchanged {
                    deleted: deleted.collect(),
                    reserved: Err(error()),
                }
            }
            Ask::Know(_) => Answer::Known(Err(error())),
            Ask::KnowAll(_) => Answer::AllKnown(Err(error())),
            Ask::Touch(_) => Answer::Touched(Err(error())),
            Ask::Release { .. } | Ask::Bury { .. } => Answer::Settled(Err(error())),
            Ask::Announce(_) => Answer::Announced,
            Ask::Reconcile => Answer::Reconciled,
        }
    }

    // Time.

    fn wall(&self) -> i64 {
        1_000_000 + i64::try_from(self.now / 1000).unwrap()
    }

    fn instant(&mut self) -> Now {
        Now {
            at: Duration::from_micros(self.now),
            wall: self.wall(),
            chance: u8::try_from(self.dice.below(256)).unwrap(),
        }
    }

    /// To the next moment in which something happens.
    fn time_passes(&mut self) {
        let micros = |at: Duration| u64::try_from(at.as_micros()).unwrap() + 1;
        let workers = self.workers.iter().flat_map(|worker| {
            let run = worker.run.as_ref().map(|run| run.ends_at);
            let reserve = match &worker.asked {
                Some((Ask::Reserve { wait }, since)) => Some(since + micros(*wait)),
                _ => None,
            };
            [worker.machine.deadline().map(micros), run, reserve]
        });
        let others = [
            Some(self.next_pass),
            self.broker.next_at(self.now),
            self.trouble_until,
        ];
        let orphans = self.orphans.iter().map(|orphan| Some(orphan.gone_at));
        let next = workers
            .chain(others)
            .chain(orphans)
            .flatten()
            .filter(|at| *at > self.now)
            .min();
        self.now = next.expect("something happens");
    }
}

fn new_worker(name: &str) -> NewWorker {
    NewWorker {
        name: name.into(),
        tube: "t".into(),
        host: "here".into(),
        pid: 1,
    }
}

fn pointer(uuid: Uuid) -> Vec<u8> {
    Pointer { uuid, store: STORE }.to_body()
}
