//! Surroundings that answer whatever they may, as a tape of bytes decides, and a judge of the rules.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::stage::{self, Locks, attempt, dead, ended, known, lost_connection, pointer_job};
use crate::broker::{self, Reservation, Reserve};
use crate::store::announce::Again;
use crate::store::ledger::{Claim, Entered, Entry, JobRef, Remains, TaskRef};
use crate::task::command::{Command, Commands, OnFailure};
use crate::task::id::{AttemptId, PutId, TaskId};
use crate::task::retry::Next;
use crate::worker::machine::event::{
    Answer, Ask, Deleted, Effect, Event, Haste, How, Now, ToDelete, Unentered,
};
use crate::worker::machine::mode::Mode;
use crate::worker::machine::state::{Machine, Rules};
use crate::worker::machine::table::{EventKind, PhaseKind};

/// Where decisions come from: bytes, of which a test can take some away; or a seed.
enum Tape {
    Bytes(VecDeque<u8>),
    Seed { state: u64, left: u64 },
}

impl Tape {
    /// Below `bound`; 0 at the tape's end.
    fn pick(&mut self, bound: u64) -> u64 {
        match self {
            Tape::Bytes(bytes) => u64::from(bytes.pop_front().unwrap_or(0)) % bound,
            Tape::Seed { state, left } => {
                *left = left.saturating_sub(1);
                // splitmix64.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (z ^ (z >> 31)) % bound
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
    /// Attempts that the worker claimed and has not settled, un-claimed or begun to.
    claimed: HashSet<AttemptId>,
    /// Jobs of which a commit says that they may be deleted, or released or buried.
    is_over: HashSet<u64>,
    may_go: HashSet<u64>,
    deleted_since: BTreeSet<TaskId>,

    // The command.
    running: Option<AttemptId>,
    has_ended: HashSet<AttemptId>,
    of_job: HashMap<AttemptId, u64>,
    journal: HashSet<AttemptId>,
    clearing: bool,
    left: bool,
    told: Mode,
}

impl World {
    pub fn new(tape: Vec<u8>) -> World {
        World::of(Tape::Bytes(tape.into()))
    }

    pub fn from_seed(seed: u64, decisions: u64) -> World {
        World::of(Tape::Seed {
            state: seed,
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
        World {
            machine: Machine::new(rules, Arc::<Commands>::default(), now),
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
            claimed: HashSet::new(),
            is_over: HashSet::new(),
            may_go: HashSet::new(),
            deleted_since: BTreeSet::new(),
            running: None,
            has_ended: HashSet::new(),
            of_job: HashMap::new(),
            journal: HashSet::new(),
            clearing: false,
            left: false,
            told: Mode::Working,
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
            self.step(Event::Told(Mode::Stopping));
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
        if let Event::Told(mode) = &event {
            self.told = self.told.hurried(*mode);
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
        if let Some(event) = self.ready.pop_front() {
            return event;
        }
        for _ in 0..8 {
            let event = match self.tape.pick(8) {
                0 if self.asked.is_some() => Some(self.answer()),
                1 if self.pending.is_some() => Some(self.enter_pending()),
                2 if self.running.is_some() => Some(self.end(false)),
                3 if self.clearing => Some(self.cleared()),
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
            false => self.now.at + some,
        };
        // Never past the time that the worker wants to be woken at, but for a little.
        let late = Duration::from_micros(self.tape.pick(300));
        let due = self.machine.deadline().unwrap_or(self.now.at + some);
        let at = due.min(then).max(self.now.at) + late;
        // Where nothing else happens, the worker has to wait for it.
        self.now.at = at;
        self.now.wall = 1_000_000 + i64::try_from(at.as_millis()).unwrap();
        self.now.chance = u8::try_from(self.tape.pick(256)).unwrap();
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
        match self.tape.pick(kinds) {
            1 => Event::Told(Mode::Stopping),
            2 => Event::Told(Mode::Draining {
                until: Some(self.now.at + Duration::from_millis(self.tape.pick(100))),
            }),
            3 => Event::Told(Mode::Draining { until: None }),
            _ => Event::Configured(Arc::default()),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(ask) => self.is_asked(ask),
            Effect::Interrupt => {
                assert!(matches!(
                    self.asked,
                    Some(Ask::Reserve { .. } | Ask::Reconcile)
                ));
                self.loses_connection();
                self.ready.push_back(Event::Answered(Answer::Interrupted));
            }
            Effect::Enter { entry, haste } => self.is_told(entry, haste),
            Effect::Prove => {
                assert!(self.pending.is_none() && !self.proving);
                self.proving = true;
            }
            Effect::MakeJournal => {
                let made = !self.tape.one_in(10);
                self.ready.push_back(Event::JournalMade(made));
            }
            Effect::WipeJournal => self.journal.clear(),
            Effect::LeaveJournal => {}
            Effect::Journal(settlement) => {
                let well = !self.tape.one_in(20);
                if well {
                    self.journal.insert(settlement.id);
                }
                self.ready.push_back(Event::Journaled(well));
            }
            Effect::Begin {
                attempt,
                job,
                journal,
                ..
            } => {
                assert!(self.running.is_none(), "two attempts at once");
                assert!(
                    !self.clearing,
                    "an attempt begins while another's remains are being ended"
                );
                assert_eq!(
                    self.rows[&attempt.id.task.0],
                    Row::Ours(attempt.id),
                    "not claimed"
                );
                assert!(!self.has_ended.contains(&attempt.id), "begun twice");
                assert_eq!(
                    journal.is_some(),
                    attempt.ahead,
                    "journaled if it was claimed ahead"
                );
                if attempt.ahead && self.tape.one_in(8) {
                    self.ready.push_back(Event::NotJournaled);
                    return;
                }
                self.of_job.insert(attempt.id, job);
                if self.tape.one_in(25) {
                    self.has_ended.insert(attempt.id);
                    let mut ended = ended(0, false, false);
                    ended.how = How::NotStarted {
                        reason: "no such file".into(),
                    };
                    self.ready.push_back(Event::Ended(ended));
                    return;
                }
                self.running = Some(attempt.id);
                self.ready.push_back(Event::Began(7));
            }
            Effect::WaitBriefly { until } => {
                assert!(until > self.now.at);
                if self.running.is_some() && !self.tape.one_in(4) {
                    let event = self.end(true);
                    self.ready.push_back(event);
                }
            }
            // Or it has ended in this instant.
            Effect::Terminate | Effect::Kill => {
                assert!(
                    self.running.is_some() || !self.ready.is_empty(),
                    "nothing runs"
                );
            }
            Effect::EndRemains(_) => {
                assert!(!self.clearing && self.running.is_none());
                self.clearing = true;
            }
            Effect::Report(_) | Effect::Gap(_) | Effect::Say(_) => {}
            Effect::Leave {
                deleted,
                remove_journal,
            } => {
                assert!(self.asked.is_none() && self.running.is_none());
                assert!(
                    !remove_journal || self.journal.is_empty(),
                    "removes what is not recorded"
                );
                let noted: BTreeSet<TaskId> = deleted.into_iter().collect();
                assert_eq!(
                    noted, self.deleted_since,
                    "what is known goes with the sign-off"
                );
                // What is on its connection goes with it.
                self.left = true;
            }
        }
    }

    fn end(&mut self, quick: bool) -> Event {
        let id = self.running.take().unwrap();
        self.has_ended.insert(id);
        let exit = match self.tape.pick(6) {
            0 => 1,
            1 => 65,
            _ => 0,
        };
        let quick = quick && exit == 0;
        self.now.at +=
            Duration::from_micros(300 + if quick { 0 } else { 100 * self.tape.pick(400) });
        Event::Ended(ended(exit, quick, !quick && self.tape.one_in(5)))
    }

    fn cleared(&mut self) -> Event {
        self.clearing = false;
        Event::Cleared(!self.tape.one_in(6))
    }

    // The broker.

    fn is_asked(&mut self, ask: Ask) {
        assert!(self.asked.is_none(), "two questions at once");
        match &ask {
            Ask::Reserve { .. } => {
                assert!(self.running.is_none(), "reserves while a command runs");
                assert_eq!(self.told, Mode::Working, "told to go");
            }
            Ask::Exchange { over, most } => {
                for ToDelete { reservation, .. } in over {
                    assert!(
                        self.is_over.contains(&reservation.id),
                        "deleted before it is recorded"
                    );
                }
                assert!(*most == 0 || self.told == Mode::Working, "told to go");
            }
            Ask::Touch(_)
            | Ask::Release { .. }
            | Ask::Bury { .. }
            | Ask::Know(_)
            | Ask::Announce(_)
            | Ask::Reconcile => {}
        }
        self.asked = Some(ask);
    }

    /// What was reserved goes back.
    fn loses_connection(&mut self) {
        self.connection += 1;
        self.held.clear();
    }

    fn fails(&mut self, odds: u64) -> Option<broker::Error> {
        self.tape.one_in(odds).then(|| match self.tape.pick(3) {
            0 => broker::Error::NotFound,
            _ => {
                self.loses_connection();
                lost_connection()
            }
        })
    }

    fn new_job(&mut self) -> Reservation {
        self.jobs += 1;
        let id = self.jobs;
        // A new task, or one that had a job before.
        let task = match self.tape.pick(3) {
            0 if id > 1 => 1 + self.tape.pick(id - 1),
            _ => id,
        };
        self.held.insert(id, task.cast_signed());
        match self.tape.pick(8) {
            0 => {
                let uuid = Uuid::from_u128(task.into());
                let native = format!(r#"{{"taskqueue":1,"uuid":"{uuid}","command":"job"}}"#);
                stage::job(id, native, self.connection)
            }
            1 => stage::job(id, "raw", self.connection),
            _ => pointer_job(id, task.into(), self.connection),
        }
    }

    fn answer(&mut self) -> Event {
        let ask = self.asked.as_ref().unwrap();
        // Where the machine has given a reservation away, whatever is answered, it is not held any more.
        let given = match ask {
            Ask::Release { reservation, .. } | Ask::Bury { reservation, .. } => {
                Some(reservation.id)
            }
            _ => None,
        };
        let (over, most) = match self.asked.take() {
            Some(Ask::Exchange { over, most }) => {
                self.asked = Some(Ask::Exchange {
                    over: Vec::new(),
                    most,
                });
                (over, most)
            }
            other => {
                self.asked = other;
                (Vec::new(), 0)
            }
        };
        Event::Answered(match self.asked.as_ref().unwrap() {
            Ask::Reserve { .. } => Answer::Reserved(match self.tape.pick(10) {
                0 => Ok(Reserve::TimedOut),
                1 => Ok(Reserve::DeadlineSoon),
                2 => {
                    self.loses_connection();
                    Err(lost_connection())
                }
                _ => Ok(Reserve::Job(self.new_job())),
            }),
            Ask::Exchange { .. } => self.exchange(over, most),
            Ask::Know(job) => {
                let job = *job;
                Answer::Known(match self.tape.pick(24) {
                    22 | 23 => {
                        self.loses_connection();
                        Err(lost_connection())
                    }
                    21 => {
                        self.held.remove(&job);
                        Ok(None)
                    }
                    _ => Ok(Some(known(self.tape.pick(2)))),
                })
            }
            Ask::Touch(held) => {
                let id = held.id;
                Answer::Touched(match self.fails(8) {
                    Some(error) => {
                        self.held.remove(&id);
                        Err(error)
                    }
                    None => Ok(()),
                })
            }
            Ask::Release { .. } | Ask::Bury { .. } => {
                let failed = self.fails(8);
                self.held.remove(&given.unwrap());
                Answer::Settled(failed.map_or(Ok(()), Err))
            }
            Ask::Announce(_) => Answer::Announced,
            Ask::Reconcile => Answer::Reconciled,
        })
    }

    fn exchange(&mut self, over: Vec<ToDelete>, most: usize) -> Answer {
        let mut deleted = Vec::new();
        let broken = self.tape.one_in(12);
        for ToDelete { reservation, task } in over {
            let ours = self.held.remove(&reservation.id).is_some();
            let answer = match (broken, ours) {
                (false, true) => Ok(()),
                (true, _) => Err(lost_connection()),
                (false, false) => Err(broker::Error::ReservationLost { id: reservation.id }),
            };
            if answer.is_ok() {
                self.deleted_since.extend(task);
            }
            deleted.push(Deleted {
                job: reservation.id,
                task,
                answer,
            });
        }
        let reserved = match broken {
            true => {
                self.loses_connection();
                Err(lost_connection())
            }
            false => {
                let come = self.tape.pick(most as u64 + 1);
                // As many as are asked for, mostly.
                let come = if self.tape.one_in(3) {
                    come
                } else {
                    most as u64
                };
                Ok((0..come).map(|_| self.new_job()).collect())
            }
        };
        Answer::Exchanged { deleted, reserved }
    }

    // The ledger.

    fn is_told(&mut self, entry: Arc<Entry>, haste: Haste) {
        assert!(
            self.pending.is_none() && !self.proving,
            "two entries at once"
        );
        let noted: BTreeSet<TaskId> = entry.deleted.iter().copied().collect();
        assert_eq!(
            noted, self.deleted_since,
            "what is known goes with the next entry"
        );
        for settlement in &entry.settle {
            assert!(
                self.has_ended.contains(&settlement.id),
                "settled before it has ended"
            );
        }
        self.pending = Some(entry);
        match haste {
            Haste::AtOnce => {
                let event = self.enter_pending();
                self.ready.push_back(event);
            }
            Haste::Patient => {
                if self.tape.pick(2) == 0 {
                    let event = self.enter_pending();
                    self.ready.push_back(event);
                }
            }
        }
    }

    /// Takes the entry, or refuses it. The event is to be handed in next.
    fn enter_pending(&mut self) -> Event {
        let entry = Arc::clone(self.pending.as_ref().unwrap());
        let refusal = match self.tape.pick(24) {
            23 => Some(Unentered::Busy),
            22 => Some(Unentered::Trouble("the disk is full".into())),
            21 if entry.claim.is_some() => Some(Unentered::OfOneRow("nonsense".into())),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Event::Entered(Err(refusal));
        }
        for task in &entry.deleted {
            self.deleted_since.remove(task);
        }
        let mut entered = Entered::default();
        for settlement in &entry.settle {
            entered
                .ours
                .push(self.settle(settlement.id, &settlement.next));
        }
        for id in &entry.unclaim {
            assert!(
                !self.has_ended.contains(id),
                "has run, and was not to begin"
            );
            assert!(
                !self.locks.holds(*id),
                "its lock is to be free before it waits"
            );
            if self.rows[&id.task.0] == Row::Ours(*id) {
                self.rows.insert(
                    id.task.0,
                    Row::Waiting {
                        attempts: id.number,
                    },
                );
            }
        }
        for put in &entry.again {
            entered.puts.extend(self.again(*put));
        }
        entered.taken = entry.take_over.as_ref().is_some_and(|dead| {
            let taken = self.rows[&dead.id.task.0] == Row::Theirs(dead.id) && !self.tape.one_in(4);
            if taken {
                self.rows.insert(dead.id.task.0, Row::Ours(dead.id));
                self.has_ended.insert(dead.id);
            }
            taken
        });
        if let Some(dead) = &entry.lose {
            assert_eq!(
                self.rows[&dead.id.task.0],
                Row::Ours(dead.id),
                "not taken over"
            );
            self.rows.insert(
                dead.id.task.0,
                Row::Waiting {
                    attempts: dead.id.number,
                },
            );
        }
        if let Some(job) = &entry.claim {
            let claim = self.claim(job, false);
            let begins = matches!(claim, Claim::Begun(_));
            entered.claim = Some(claim);
            for job in &entry.prefetch {
                let attempt = match begins && !self.tape.one_in(6) {
                    true => match self.claim(job, true) {
                        Claim::Begun(attempt) => Some(attempt),
                        _ => None,
                    },
                    false => None,
                };
                entered.prefetch.push(attempt);
            }
        }
        Event::Entered(Ok(Box::new(entered)))
    }

    fn again(&mut self, put: PutId) -> Option<Again> {
        (!self.tape.one_in(3)).then(|| Again {
            put,
            uuid: Uuid::from_u128(put.task.0.unsigned_abs().into()),
            tube: "t".parse().unwrap(),
            priority: 1024,
            ttr: 60,
            due_in: 0,
            old_job: None,
            has_job: false,
        })
    }

    fn settle(&mut self, id: AttemptId, next: &Next) -> bool {
        let row = self.rows[&id.task.0];
        assert_ne!(
            row,
            Row::Waiting {
                attempts: id.number
            },
            "recorded twice"
        );
        if row != Row::Ours(id) {
            return false;
        }
        // Now and then somebody has taken it over: this worker was stopped for long.
        if self.tape.one_in(30) {
            let attempts = id.number;
            self.rows.insert(id.task.0, Row::Waiting { attempts });
            return false;
        }
        let job = self.of_job[&id];
        let attempts = id.number;
        let (row, is_over) = match next {
            Next::Done | Next::Cancelled => (
                Row::Ended {
                    attempts,
                    failed: false,
                },
                true,
            ),
            Next::Failed { .. } => (
                Row::Ended {
                    attempts,
                    failed: true,
                },
                true,
            ),
            Next::Wait(_) => (Row::Waiting { attempts }, false),
        };
        self.rows.insert(id.task.0, row);
        if is_over {
            self.is_over.insert(job);
        }
        self.may_go.insert(job);
        true
    }

    /// What a claim may come to.
    fn claim(&mut self, job: &JobRef, ahead: bool) -> Claim {
        let (task, foreign) = match &job.task {
            TaskRef::Pointer(uuid) => (uuid.as_u128(), false),
            TaskRef::Named(uuid, _) => (uuid.as_u128(), true),
            TaskRef::Nameless(_) => (u128::from(job.id) + 1_000_000, true),
        };
        let task = i64::try_from(task).unwrap();
        let row = *self
            .rows
            .entry(task)
            .or_insert(Row::Waiting { attempts: 0 });
        let (id, priority) = (TaskId(task), 1024);
        match row {
            Row::Waiting { attempts } if ahead && attempts > 0 => Claim::DeleteJob { task: None },
            Row::Waiting { attempts } => {
                let number = attempts + 1;
                if attempts > 0 && job.cleared != Some(attempts) && self.tape.one_in(2) {
                    let before = AttemptId {
                        task: id,
                        number: attempts,
                    };
                    return Claim::Remains(dead(before, Remains::Unknown));
                }
                match self.tape.pick(12) {
                    0 if !ahead => {
                        let put = PutId {
                            task: id,
                            generation: 1,
                        };
                        let delay = Duration::from_secs(self.tape.pick(3));
                        return Claim::Later {
                            put,
                            delay,
                            priority,
                        };
                    }
                    1 if !ahead => {
                        let failed = Row::Ended {
                            attempts: number,
                            failed: true,
                        };
                        self.rows.insert(task, failed);
                        let reason = "no".into();
                        return Claim::Refused {
                            task: id,
                            reason,
                            priority,
                        };
                    }
                    2 if !ahead => {
                        let theirs = AttemptId { task: id, number };
                        self.rows.insert(task, Row::Theirs(theirs));
                        return Claim::Dead(dead(theirs, Remains::Unknown));
                    }
                    _ => {}
                }
                let attempt_id = AttemptId { task: id, number };
                self.rows.insert(task, Row::Ours(attempt_id));
                self.claimed.insert(attempt_id);
                let mut command = Command::new(vec!["job".into()]);
                command.retry.max_attempts = 1 + u32::try_from(self.tape.pick(3)).unwrap();
                command.on_failure = match self.tape.pick(2) {
                    0 => OnFailure::Delete,
                    _ => OnFailure::Bury,
                };
                command.timeout = (self.tape.pick(5) == 0).then_some(Duration::from_millis(30));
                let lock = self.locks.take(attempt_id);
                Claim::Begun(attempt(attempt_id, command, foreign, ahead, lock))
            }
            Row::Ours(_) | Row::Ended { .. } if ahead => Claim::DeleteJob { task: None },
            Row::Ours(mine) if !self.has_ended.contains(&mine) || self.running == Some(mine) => {
                Claim::Later {
                    put: PutId {
                        task: id,
                        generation: 1,
                    },
                    delay: Duration::from_secs(1),
                    priority,
                }
            }
            Row::Ours(mine) | Row::Theirs(mine) => match ahead {
                true => Claim::DeleteJob { task: None },
                false => {
                    self.rows.insert(task, Row::Theirs(mine));
                    let remains = match self.tape.pick(3) {
                        0 => Remains::Unbegun,
                        1 => Remains::Done,
                        _ => Remains::Unknown,
                    };
                    Claim::Dead(dead(mine, remains))
                }
            },
            Row::Ended { failed: true, .. } if job.kicks.is_none() => Claim::AskForKicks,
            Row::Ended {
                attempts,
                failed: true,
            } if job.kicks > Some(0) && self.tape.one_in(2) => {
                self.rows.insert(task, Row::Waiting { attempts });
                self.claim(job, ahead)
            }
            Row::Ended { failed: true, .. } if self.tape.one_in(2) => {
                Claim::BuryJob { task: id, priority }
            }
            Row::Ended { .. } => {
                self.is_over.insert(job.id);
                Claim::DeleteJob { task: Some(id) }
            }
        }
    }
}
