//! Surroundings that answer whatever they may, as a tape of bytes decides, and a judge of the rules.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::dice::Dice;
use super::stage::{self, Locks, attempt, dead, ended, known, lost_connection, pointer_job};
use crate::broker::{self as port, Reservation, Reserve};
use crate::ledger::announce::Again;
use crate::ledger::{Claim, Entered, Entry, JobRef, Jobless, Remains, TaskRef};
use crate::link::{Reply, Report, Ticket};
use crate::process::lack::Lack;
use crate::process::leftover::Cleared;
use crate::task::command::{Command, Commands, OnFailure};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::report::Reported;
use crate::task::retry::Next;
use crate::task::state::Exit;
use crate::worker::machine::event::{
    Answer, Ask, By, Deleted, Effect, Event, Haste, How, Now, ToDelete, Unentered,
};
use crate::worker::machine::mode::CallOff;
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::{Machine, Rules};
use crate::worker::machine::table::{EventKind, PhaseKind};

mod broker;
mod effects;
mod ledger;

/// Where decisions come from: bytes, of which a test can take some away; or a seed.
enum Tape {
    Bytes(VecDeque<u8>),
    Seed { dice: Dice, left: u64 },
}

impl Tape {
    /// Below `bound`; 0 at the tape's end.
    fn pick(&mut self, bound: u64) -> u64 {
        match self {
            Tape::Bytes(bytes) => u64::from(bytes.pop_front().unwrap_or(0)) % bound,
            Tape::Seed { dice, left } => {
                *left = left.saturating_sub(1);
                dice.below(bound)
            }
        }
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.pick(odds) == odds - 1
    }

    fn is_over(&self) -> bool {
        match self {
            Tape::Bytes(bytes) => bytes.is_empty(),
            Tape::Seed { left, .. } => *left == 0,
        }
    }
}

/// What the ledger knows of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Waiting {
        attempts: i64,
    },
    /// By this worker.
    Ours(AttemptId),
    /// By one that may die.
    Theirs(AttemptId),
    Ended {
        attempts: i64,
        failed: bool,
    },
}

pub struct World {
    tape: Tape,
    machine: Machine,
    now: Now,
    /// Every event of every phase that there was.
    pub seen: BTreeMap<(PhaseKind, EventKind), u64>,
    steps: u64,
    ready: VecDeque<Event>,
    locks: Locks,

    // The broker.
    asked: Option<Ask>,
    connection: u64,
    jobs: u64,
    /// Jobs that the worker holds on the connection of today, by number, and of which task.
    held: HashMap<u64, i64>,

    // The ledger.
    pending: Option<Arc<Entry>>,
    proving: bool,
    rows: BTreeMap<i64, Row>,
    /// Attempts that are to be cancelled.
    wished: HashSet<AttemptId>,
    /// Attempts that the worker claimed and has not settled, un-claimed or begun to.
    claimed: HashSet<AttemptId>,
    /// Jobs of which a commit says that they may be deleted, or released or buried.
    is_over: HashSet<u64>,
    may_go: HashSet<u64>,
    /// Tasks of which so many jobs were deleted, and no commit says so.
    deleted_since: BTreeMap<TaskId, usize>,

    // The command.
    running: Option<AttemptId>,
    signalled: bool,
    /// It was sent something, whether that reached it or not.
    was_sent: bool,
    believed_busy: bool,
    /// Since when the worker waits for a job.
    waits_since: Option<Duration>,
    has_ended: HashSet<AttemptId>,
    /// Those of them whose command could not be started.
    unstarted: HashMap<AttemptId, Lack>,
    /// Before then a worker that lacks what all commands take tries nothing.
    rests_until: Duration,
    of_job: HashMap<AttemptId, u64>,
    journal: HashSet<AttemptId>,
    clearing: bool,
    /// The cleanup that is being run, and those that have been: of which attempts.
    cleaning: Option<AttemptId>,
    cleaned: HashSet<AttemptId>,
    left: bool,
    told: Mode,
    /// What the word that was said last is to be answered by, and whether it may be refused.
    unanswered: Option<Ticket>,
    may_refuse: bool,
}

impl World {
    pub fn new(tape: Vec<u8>) -> World {
        World::of(Tape::Bytes(tape.into()))
    }

    pub fn from_seed(seed: u64, decisions: u64) -> World {
        World::of(Tape::Seed {
            dice: Dice::new(seed),
            left: decisions,
        })
    }

    fn of(mut tape: Tape) -> World {
        let now = stage::at(0);
        let rules = Rules {
            has_tender: tape.pick(2) == 0,
            max_jobs: match &mut tape {
                Tape::Bytes(_) => (tape.pick(4) == 3).then(|| 1 + tape.pick(20)),
                Tape::Seed { .. } => None,
            },
            ledger_is_local: tape.pick(3) != 2,
            ..stage::rules()
        };
        let mut commands = Commands::default();
        // Or other producers' bodies are perhaps somebody else's.
        if tape.pick(4) != 3 {
            commands.add("raw", stage::client());
            assert!(commands.take_raw(rules.tube.clone(), "raw"));
        }
        World {
            machine: Machine::new(rules, Arc::new(commands), now),
            tape,
            now,
            seen: BTreeMap::new(),
            steps: 0,
            ready: VecDeque::from([Event::Due]),
            locks: Locks::new(),
            asked: None,
            connection: 1,
            jobs: 0,
            held: HashMap::new(),
            pending: None,
            proving: false,
            rows: BTreeMap::new(),
            wished: HashSet::new(),
            claimed: HashSet::new(),
            is_over: HashSet::new(),
            may_go: HashSet::new(),
            deleted_since: BTreeMap::new(),
            running: None,
            signalled: false,
            was_sent: false,
            believed_busy: false,
            waits_since: None,
            has_ended: HashSet::new(),
            unstarted: HashMap::new(),
            rests_until: Duration::ZERO,
            of_job: HashMap::new(),
            journal: HashSet::new(),
            clearing: false,
            cleaning: None,
            cleaned: HashSet::new(),
            left: false,
            told: Mode::Working,
            unanswered: None,
            may_refuse: false,
        }
    }

    /// Plays until the tape is at its end, and then to the worker's. How many steps that were.
    pub fn play(&mut self) -> u64 {
        while !self.tape.is_over() && !self.left {
            let event = self.next();
            self.step(event);
        }
        self.finish();
        self.steps
    }

    /// The worker is told to go at once, and everybody answers: it has to.
    fn finish(&mut self) {
        let before = self.steps;
        if !self.left {
            self.step(stage::told(Mode::Stopping));
        }
        while !self.left {
            assert!(
                self.steps < before + 3000,
                "it does not go: {:?}",
                self.machine
            );
            let event = self.next();
            self.step(event);
        }
        assert_eq!(
            self.held,
            HashMap::new(),
            "reservations that nobody settled or gave back"
        );
        assert!(self.running.is_none(), "left a command");
    }

    fn step(&mut self, event: Event) {
        self.steps += 1;
        let phase = self.machine.phase.kind();
        *self.seen.entry((phase, event.kind())).or_default() += 1;
        if let Event::Told { mode, ticket, .. } = &event {
            self.told = self.told.hurried(*mode);
            assert!(self.unanswered.is_none());
            (self.unanswered, self.may_refuse) = (*ticket, false);
        }
        let mut called_off = None;
        if let Event::CalledOff {
            attempt, ticket, ..
        } = &event
        {
            (self.unanswered, self.may_refuse) = (*ticket, true);
            called_off = Some(*attempt);
        }
        if matches!(event, Event::Answered(_)) {
            assert!(self.asked.take().is_some());
        }
        if matches!(event, Event::Entered(_)) {
            assert!(self.pending.take().is_some());
        }
        let now = self.now.at;
        let effects = match self.machine.step(event, self.now) {
            Ok(effects) => effects,
            Err(illegal) => panic!("{illegal}"),
        };
        for effect in effects {
            self.perform(effect);
        }
        assert_eq!(self.unanswered, None, "a word was not answered");
        if phase == PhaseKind::Running && called_off.is_some() && called_off == self.running {
            assert!(self.was_sent, "called off, and nothing is done");
        }
        self.tender_believes_what_is_so(now);
        if let Some(at) = self.machine.deadline() {
            assert!(
                at > now,
                "would be woken at once, again and again: {:?}",
                self.machine
            );
        }
    }

    /// What happens next.
    fn next(&mut self) -> Event {
        // A word is heard before what has happened by then.
        if !self.tape.is_over() && self.tape.one_in(200) {
            return self.word();
        }
        if let Some(event) = self.ready.pop_front() {
            return event;
        }
        for _ in 0..8 {
            let event = match self.tape.pick(8) {
                0 if self.asked.is_some() => Some(self.answer()),
                1 if self.pending.is_some() => Some(self.enter_pending()),
                2 if self.running.is_some() => Some(self.end(false)),
                3 if self.clearing => Some(self.cleared()),
                6 if self.cleaning.is_some() => Some(self.cleans()),
                4 if self.tape.one_in(30) => Some(self.word()),
                5 if self.proving => {
                    self.proving = false;
                    Some(Event::Proved(!self.tape.one_in(4)))
                }
                _ => None,
            };
            if let Some(event) = event {
                return event;
            }
        }
        self.time_passes()
    }

    fn time_passes(&mut self) -> Event {
        let some = Duration::from_micros(200 * (1 + self.tape.pick(250)));
        let then = match self.tape.is_over() {
            true => Duration::MAX,
            // Some commands run for long.
            false if self.running.is_some() && self.tape.one_in(4) => self.now.at + some * 40,
            false => self.now.at + some,
        };
        // Never past the time that the worker wants to be woken at, but for a little.
        let late = Duration::from_micros(self.tape.pick(300));
        let due = self.machine.deadline().unwrap_or(self.now.at + some);
        let at = due.min(then).max(self.now.at) + late;
        // Where nothing else happens, the worker has to wait for it.
        self.now.at = at;
        self.now.wall = 1_000_000 + i64::try_from(at.as_millis()).unwrap();
        self.now.jitter = u8::try_from(self.tape.pick(256)).unwrap();
        let waits = self.asked.is_some() || self.pending.is_some() || self.running.is_some();
        if self.tape.is_over() && waits {
            // Nobody is silent for ever.
            if self.pending.is_some() {
                return self.enter_pending();
            }
            if self.asked.is_some() && !matches!(self.asked, Some(Ask::Reserve { .. })) {
                return self.answer();
            }
            if self.running.is_some() {
                return self.end(false);
            }
        }
        if self.tape.is_over() && self.clearing {
            return self.cleared();
        }
        if self.tape.is_over() && self.cleaning.is_some() {
            return self.cleans();
        }
        if self.tape.is_over() && self.proving {
            self.proving = false;
            return Event::Proved(true);
        }
        Event::Due
    }

    fn is_long(&self) -> bool {
        matches!(self.tape, Tape::Seed { .. })
    }

    fn word(&mut self) -> Event {
        // A long history is not to end at once.
        let kinds = if self.is_long() { 400 } else { 8 };
        if self.tape.one_in(2) {
            return self.call_off();
        }
        match self.tape.pick(kinds) {
            1 => self.told(Mode::Stopping),
            2 => {
                let time = Duration::from_millis(self.tape.pick(100));
                self.told(Mode::Draining {
                    until: Some(self.now.at + time),
                })
            }
            3 => self.told(Mode::Draining { until: None }),
            4..=40 => Event::ToldAll,
            _ => Event::Configured(Arc::default()),
        }
    }

    /// Some attempt that the worker may have.
    fn call_off(&mut self) -> Event {
        let mut ids: Vec<AttemptId> = self.claimed.iter().chain(&self.running).copied().collect();
        ids.sort();
        let at = self.tape.pick(ids.len().max(1) as u64);
        let nobody_s = AttemptId {
            task: TaskId(1),
            number: 77,
        };
        let attempt = ids.get(usize::try_from(at).unwrap());
        let attempt = attempt.copied().unwrap_or(nobody_s);
        // Its row says so first.
        self.wished.insert(attempt);
        Event::CalledOff {
            attempt,
            how: CallOff::of(self.tape.one_in(3)),
            ticket: Some(Ticket(self.steps)),
        }
    }

    /// By a signal or by the tender.
    fn told(&mut self, mode: Mode) -> Event {
        let ticket = (self.tape.pick(3) > 0).then_some(Ticket(self.steps));
        let by = match ticket {
            Some(_) => By::Tender,
            None => By::Signal,
        };
        Event::Told { mode, ticket, by }
    }

    /// Of a program nobody here says how long it has been missing.
    pub(super) fn is_worker_s_trouble(&self, attempt: AttemptId) -> bool {
        match self.unstarted.get(&attempt) {
            Some(Lack::Room | Lack::Folder | Lack::Condition) => true,
            Some(Lack::Program | Lack::Sense) | None => false,
        }
    }

    /// A worker that waits for a job is idle to its tender a moment later.
    fn tender_believes_what_is_so(&mut self, now: Duration) {
        let waits =
            matches!(self.asked, Some(Ask::Reserve { .. })) && !self.machine.is_in_trouble();
        let since = *self.waits_since.get_or_insert(now);
        if !waits {
            self.waits_since = None;
        } else if now >= since + Duration::from_millis(2) {
            assert!(
                !self.believed_busy,
                "waits for a job, and its tender believes that it is busy"
            );
        }
    }

    /// What the tender believes.
    fn hears(&mut self, report: Report) {
        match report {
            Report::Ready => {}
            Report::Answered { ticket, reply } => {
                assert_eq!(self.unanswered.take(), Some(ticket));
                assert!(self.may_refuse || reply == Reply::Done);
            }
            Report::Busy { .. } | Report::Troubled { .. } => self.believed_busy = true,
            Report::Idle { .. } => {
                assert!(
                    self.running.is_none(),
                    "calls itself idle while a command runs"
                );
                self.believed_busy = false;
            }
        }
    }

    fn end(&mut self, quick: bool) -> Event {
        let id = self.running.take().unwrap();
        self.has_ended.insert(id);
        let exit = match self.tape.pick(if quick { 24 } else { 6 }) {
            0 => 1,
            1 => 65,
            _ => 0,
        };
        let quick = quick && exit == 0;
        self.now.at +=
            Duration::from_micros(300 + if quick { 0 } else { 100 * self.tape.pick(400) });
        let mut ended = ended(exit, quick, !quick && self.tape.one_in(5));
        ended.by_itself = !self.signalled;
        ended.reported = self.reports();
        if exit != 0 && self.tape.one_in(2) {
            let signal = [15, 9, 11][usize::try_from(self.tape.pick(3)).unwrap()];
            ended.how = How::Exit {
                exit: Exit::Signal(signal),
                memory: false,
            };
        }
        Event::Ended(ended)
    }

    /// What a command has said by its end: most say nothing.
    fn reports(&mut self) -> Reported {
        let mut reported = Reported::default();
        match self.tape.pick(24) {
            20 => reported.progress = stage::progress(100.0),
            21 => reported.result = Some("[1]".into()),
            22 => reported.retry_in = Some(Duration::from_secs(self.tape.pick(3))),
            23 => reported.fail = Some("no such customer".into()),
            _ => {}
        }
        reported
    }

    /// Every second task's command has a cleanup.
    pub(super) fn has_cleanup(id: AttemptId) -> bool {
        id.task.0 % 2 == 0
    }

    fn cleans(&mut self) -> Event {
        self.cleaned.extend(self.cleaning.take());
        Event::CleanedUp(Vec::new())
    }

    fn cleared(&mut self) -> Event {
        self.clearing = false;
        Event::Cleared(match self.tape.pick(12) {
            0 | 1 => Cleared::Left,
            2 | 3 => Cleared::Stranger("somebody".into()),
            _ => Cleared::Gone,
        })
    }
}
