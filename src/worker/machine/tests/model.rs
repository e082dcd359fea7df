//! Workers, a ledger, a broker and commands in made-up time, by the seed. Workers are killed in every gap between two
//! effects, the broker is restarted with its jobs or without them, connections break, and the ledger takes nothing for
//! a while. The promises are judged from outside: by what commands were started, and by what the ledger says in the
//! end.
//!
//! The machine and the ledger's protocol are the real ones. Rows, locks and batch journals are in memory, and so is the
//! broker. What a tender does beside its workers (a pass of reconciliation, a sweep after a death) is done here in a
//! few lines.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::broker::{Broker, TTR};
use super::dice::Dice;
use super::stage::{self, STORE};
use crate::broker::{self as port, JobId};
use crate::ledger::announce::Again;
use crate::ledger::batch_journal::{self, BatchJournal, Done, Journals};
use crate::ledger::counts::Counts;
use crate::ledger::memory::Memory;
use crate::ledger::put::{Added, NewTask};
use crate::ledger::recover::Fingerprint;
use crate::ledger::worker::{Me, NewWorker, Registered};
use crate::ledger::{AfterLoss, Attempt, DeadAttempt, Entry, Error, Ledger};
use crate::lives::{self, Alive};
use crate::process::lack::Lack;
use crate::task::command::{Cleanup, Commands, Content};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::output::Captured;
use crate::task::payload::{Call, Pointer};
use crate::task::report::{Progress, Reported};
use crate::task::retry::Next;
use crate::task::state::{Exit, Outcome};
use crate::tube::TubeName;
use crate::worker::machine::event::{
    Answer, Ask, Deleted, Effect, Ended, Event, Haste, How, Known, Now, Unentered,
};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::{Machine, Rules};

mod answers;
mod call_off;
mod effects;
mod stops;
mod tender;
mod workers;

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
    /// Once in so many steps a task is called off; 0: never.
    pub cancels: u64,
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
    pub unstarted: u64,
    /// Attempts of workers that were killed after they were told to go.
    pub cut_off: u64,
    /// Attempts whose commands said "not now".
    pub deferred: u64,
    /// Cleanups that came to their ends.
    pub cleanups: u64,
    /// Commands that were stopped with their workers.
    pub stopped: u64,
    /// Tasks that were called off while they waited, and attempts while they ran; what became of the latter: their
    /// commands had gone well, or they are cancelled.
    pub called_off: (u64, u64),
    pub in_time: u64,
    pub too_late: u64,
    /// Attempts that did not begin for that.
    pub withdrawn: u64,
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
    /// Tasks that were cancelled while they waited, and those that are to be: which attempt ran.
    cancelled: HashSet<TaskId>,
    wished: HashMap<TaskId, AttemptId>,
    /// Attempts whose commands exited with 0 before anything was sent.
    well: HashSet<AttemptId>,
    /// What commands have others do, elsewhere: of which attempt, by task. It ends with a command that comes to its end
    /// by itself, or by the attempt's cleanup.
    elsewhere: HashMap<TaskId, AttemptId>,
    /// Attempts whose commands were stopped with their workers, half done.
    stopped: HashSet<AttemptId>,
    /// Workers of which the ledger knows that they were told to go.
    told: HashSet<String>,
    /// The newest attempts of which the ledger has recorded what their commands said.
    reported: HashMap<TaskId, i64>,
    to_put: (u64, u64),
    trouble_until: Option<u64>,
    /// What no command can be started for, and until when.
    lacks_until: Option<(Lack, u64)>,
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
    cleans: Option<Arc<Cleanup>>,
    journal: Option<BatchJournal>,
    ready: VecDeque<Event>,
}

struct Run {
    attempt: Box<Attempt>,
    ends_at: u64,
    exit: Exit,
    is_signalled: bool,
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
        let mut command = stage::client();
        command.retry.max_attempts = 3.into();
        command.retry.max_lost = Some(1000);
        command.retry.max_snoozes = 2;
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
            cancelled: HashSet::new(),
            wished: HashMap::new(),
            well: HashSet::new(),
            elsewhere: HashMap::new(),
            stopped: HashSet::new(),
            told: HashSet::new(),
            reported: HashMap::new(),
            to_put: (kind.tasks, kind.foreign),
            trouble_until: None,
            lacks_until: None,
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
            self.call_some_off();
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
        let over = |counts: BTreeMap<String, Counts>| {
            let mut all = counts.values();
            all.all(|of| of.running + of.stalled + of.waiting == 0)
        };
        self.to_put == (0, 0) && self.broker.is_empty() && self.tender.counts().is_ok_and(over)
    }

    fn judge(&mut self) {
        let (mut tasks, mut attempts) = (0, 0);
        let (mut lost, mut cut_off, mut deferred) = (0, 0, 0);
        let (mut in_time, mut too_late) = (0, 0);
        let all = crate::ledger::read::Filter::default();
        let tender = &self.tender;
        tender
            .list(&all, u64::MAX, |task| {
                tasks += 1;
                let status = task.status.as_str();
                let wished = self.wished.get(&task.id);
                let fits = match (self.cancelled.contains(&task.id), wished) {
                    (true, _) => status == "cancelled" && !self.done.contains(&task.id),
                    (false, Some(attempt)) => match status {
                        "done" => self.well.contains(attempt),
                        "cancelled" => !self.done.contains(&task.id),
                        _ => false,
                    },
                    (false, None) => status == "done" || status == "failed",
                };
                assert!(fits, "task {} is {status}, {wished:?}", task.id);
                in_time += u64::from(wished.is_some() && status == "cancelled");
                too_late += u64::from(wished.is_some() && status == "done");
                // What is shown of an attempt is its own, and nobody who came late has written over it.
                let said = task.report.as_ref();
                let recorded = self.reported.get(&task.id);
                assert!(
                    recorded.is_none_or(|number| said.is_some_and(|said| said.attempt >= *number)),
                    "{recorded:?} {said:?}"
                );
                if let Some(said) = said {
                    let percent = said.percent.map(|percent| percent as i64);
                    assert!(
                        percent.is_none_or(|percent| percent == said.attempt % 101),
                        "{said:?}"
                    );
                    assert!(!said.has_result || status == "done", "{said:?}");
                }
                for attempt in &task.attempts {
                    attempts += 1;
                    let is_lost = attempt.outcome.as_deref() == Some("lost");
                    assert!(
                        !is_lost || !self.told.contains(&attempt.worker),
                        "lost by {}, who was told to go",
                        attempt.worker
                    );
                    lost += u64::from(is_lost);
                    deferred += u64::from(attempt.outcome.as_deref() == Some("deferred"));
                    cut_off += u64::from(attempt.reason.as_deref() == Outcome::CutOff.reason());
                    // What a worker lacks costs no task anything.
                    assert_ne!(attempt.outcome.as_deref(), Some("could_not_start"));
                }
                true
            })
            .unwrap();
        assert_eq!(
            tasks,
            self.kind.tasks + self.kind.foreign,
            "as many as were acknowledged"
        );
        assert_eq!(self.elsewhere, HashMap::new(), "goes on elsewhere for ever");
        // Each death costs the attempt whose command ran, or was about to, and no other.
        assert!(
            lost + cut_off <= self.tally.kills,
            "{lost} lost and {cut_off} cut off by {} kills",
            self.tally.kills
        );
        self.tally.attempts = attempts;
        self.tally.lost = lost;
        self.tally.cut_off = cut_off;
        self.tally.deferred = deferred;
        self.tally.in_time = in_time;
        self.tally.too_late = too_late;
    }

    // Who puts, and what goes wrong.

    fn put_some(&mut self) {
        let (ours, foreign) = self.to_put;
        if ours > 0 && self.dice.one_in(3) {
            self.to_put.0 -= 1;
            let uuid = Uuid::from_u128(u128::from(ours));
            let task = NewTask {
                unique: None,
                own: None,
                after: None,
                tags: Vec::new(),
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
        if self.lacks_until.is_none() && self.dice.one_in(1500) {
            let lack = match self.dice.below(3) {
                0 => Lack::Room,
                1 => Lack::Folder,
                // For less than a minute.
                _ => Lack::Program,
            };
            self.lacks_until = Some((lack, self.now + self.dice.below(20_000_000)));
        }
        if self.dice.one_in(1000) {
            self.is_stopped();
        }
        if self.dice.one_in(500) && !self.workers.is_empty() {
            let worker = self.dice.below(self.workers.len() as u64) as usize;
            let mode = match self.dice.below(3) {
                0 => Mode::Stopping,
                1 => Mode::Draining { until: None },
                _ => Mode::Draining {
                    until: Some(Duration::from_micros(self.now) + Duration::from_millis(50)),
                },
            };
            self.workers[worker].ready.push_front(stage::told(mode));
        }
    }

    fn look_after(&mut self) {
        if self.trouble_until.is_some_and(|until| until <= self.now) {
            self.trouble_until = None;
            self.rows.set_trouble(None);
        }
        let now = self.now;
        self.lacks_until.take_if(|(_, until)| *until <= now);
        let (gone, stay): (Vec<_>, Vec<_>) = self
            .orphans
            .drain(..)
            .partition(|orphan| orphan.gone_at <= now);
        self.orphans = stay;
        for orphan in gone {
            self.ends(&orphan.attempt);
        }
        if self.next_pass <= self.now && self.trouble_until.is_none() {
            self.next_pass = self.now + PASSES;
            self.pass();
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
            jitter: u8::try_from(self.dice.below(256)).unwrap(),
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
            self.lacks_until.map(|(_, until)| until),
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
    Pointer { uuid, store: STORE }.to_body(None)
}
