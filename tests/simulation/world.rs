//! One pool's made-up world: jobs that come and go, processes that start, work and die, a broker that is away at
//! times. What is done with the pool is done by the functions that the tender calls, in the same order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use taskqueue::crew::{Crew, Effect, Number};
use taskqueue::lifecycle::{Ended, Event, Jitter, Rules};
use taskqueue::pool::{Demand, Limits};

use crate::chance::Chance;
use crate::tally::Tally;

/// From one time to another.
pub type Span = (Duration, Duration);

/// What a pool goes through.
pub struct Plan {
    pub limits: Limits,
    pub rules: Rules,
    /// Jobs are put so long.
    pub length: Duration,
    /// Jobs a second, on the average of a day; at its height twice as many.
    pub rate: f64,
    /// Of a day.
    pub day: Duration,
    /// Seconds that a job takes, on average.
    pub job: f64,
    /// Jobs that are there at the beginning.
    pub burst: u32,
    /// Seconds that a worker lives, on average, until something kills it; none: nothing does.
    pub death: Option<f64>,
    /// The broker cannot be reached.
    pub away: Vec<Span>,
    /// Workers crash when they start.
    pub broken: Vec<Span>,
    /// Workers that an earlier tender left draining.
    pub before: u32,
}

/// What happens next in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Put,
    Ready(Number),
    /// The worker's so manieth job ends.
    Done(Number, u64),
    Dies(Number),
    Exits(Number, i32),
    Answer,
    Listens,
    BeforeEnds,
}

/// A worker's process.
#[derive(Default)]
struct Process {
    ready: bool,
    busy: bool,
    jobs: u64,
    draining: bool,
    /// It hears no orders.
    deaf: bool,
}

pub struct World {
    plan: Plan,
    chance: Chance,
    crew: Crew,
    now: Duration,
    next: BinaryHeap<Reverse<(Duration, u64, Next)>>,
    serial: u64,
    processes: BTreeMap<Number, Process>,
    before: u32,
    waiting: VecDeque<Duration>,
    listening: bool,
    hurried: bool,
    /// Steps in this very instant.
    still: u32,
    pub tally: Tally,
}

fn within(spans: &[Span], now: Duration) -> bool {
    spans.iter().any(|(from, to)| (*from..*to).contains(&now))
}

impl World {
    pub fn new(plan: Plan, chance: Chance) -> Self {
        let mut crew = Crew::new(plan.limits, plan.rules);
        let now = Duration::ZERO;
        crew.counted(Some(plan.before), now);
        let mut world = Self {
            crew,
            chance,
            now,
            next: BinaryHeap::new(),
            serial: 0,
            processes: BTreeMap::new(),
            before: plan.before,
            waiting: (0..plan.burst).map(|_| now).collect(),
            listening: false,
            hurried: false,
            still: 0,
            tally: Tally {
                jobs: u64::from(plan.burst),
                ..Tally::default()
            },
            plan,
        };
        let first = world.plan_put();
        world.later(first, Next::Put);
        // Who waits gets what is there when the broker is back, though nothing else may happen then.
        for (_, back) in world.plan.away.clone() {
            world.later(back, Next::Listens);
        }
        for _ in 0..world.before {
            let drains = world.chance.time_of_mean(60.0);
            world.later(drains, Next::BeforeEnds);
        }
        world.tend();
        world
    }

    /// When the next job may be put, at the height of the day.
    fn plan_put(&mut self) -> Duration {
        self.chance.time_of_mean(1.0 / (2.0 * self.plan.rate))
    }

    /// Lives until everything is done, then drains.
    pub fn live(&mut self) {
        // Enough to catch up with what an outage at the end has left.
        let end = self.plan.length + Duration::from_secs(6 * 3600);
        while self.now < self.plan.length || !self.idle() {
            assert!(self.now < end, "{} jobs wait still", self.waiting.len());
            self.step();
        }
        let (grace, began) = (Duration::from_secs(30), self.now);
        let effects = self.crew.drain(grace, self.now);
        self.perform(effects);
        while !self.crew.ended() {
            assert!(self.now < began + grace + grace, "a stop does not end");
            self.step();
        }
        assert!(self.processes.is_empty(), "the crew has lost processes");
        self.tally.pool_time = self.now;
    }

    /// Lives until it is so; returns when.
    pub fn until(&mut self, so: impl Fn(usize) -> bool) -> Duration {
        while !so(self.processes.len()) {
            self.step();
        }
        self.now
    }

    fn idle(&self) -> bool {
        self.waiting.is_empty() && !self.processes.values().any(|one| one.busy)
    }

    fn away(&self) -> bool {
        within(&self.plan.away, self.now)
    }

    fn later(&mut self, wait: Duration, next: Next) {
        self.serial += 1;
        self.next
            .push(Reverse((self.now + wait, self.serial, next)));
    }

    /// To the next event or the crew's next deadline, whichever is first.
    fn step(&mut self) {
        let due = self.crew.deadline().map(|at| at.max(self.now));
        let next = self.next.peek().map(|Reverse((at, ..))| *at);
        match (due, next) {
            (Some(due), Some(at)) if due > at => self.happen(),
            (None, Some(_)) => self.happen(),
            (Some(due), _) => {
                self.pass(due);
                self.tend();
            }
            (None, None) => panic!("the world stands still at {:?}", self.now),
        }
    }

    /// Lets time pass, and counts how it was.
    fn pass(&mut self, until: Duration) {
        let limits = &self.plan.limits;
        let time = until - self.now;
        self.still = if time.is_zero() { self.still + 1 } else { 0 };
        assert!(self.still < 10_000, "time stands still at {until:?}");
        let able = self.processes.values().filter(|one| !one.draining).count();
        if self.processes.len() + self.before as usize > limits.max() as usize {
            self.tally.above_max += time;
        }
        let closing = self.crew.closing().is_some();
        if able < limits.min() as usize && !closing {
            self.tally.below_min += time;
            let calm = self.crew.back_off() == &taskqueue::backoff::BackOff::Calm;
            if calm && self.before == 0 && !within(&self.plan.broken, self.now) {
                self.tally.below_min_unhindered += time;
            }
        }
        let waited = time * u32::try_from(self.waiting.len()).unwrap();
        *self.waits_for() += waited;
        self.now = until;
    }

    /// What jobs wait for that wait now.
    fn waits_for(&mut self) -> &mut Duration {
        let away = self.away();
        let broken = within(&self.plan.broken, self.now);
        let busy = self.processes.values().filter(|one| one.busy).count() + self.before as usize;
        let waits = &mut self.tally.waits;
        if away {
            &mut waits.broker
        } else if busy >= self.plan.limits.max() as usize {
            &mut waits.busy
        } else if broken {
            &mut waits.program
        } else {
            &mut waits.pool
        }
    }

    fn happen(&mut self) {
        let Some(Reverse((at, _, next))) = self.next.pop() else {
            return;
        };
        self.pass(at);
        self.tally.events += 1;
        match next {
            Next::Put => self.put(),
            Next::Ready(number) => self.ready(number),
            Next::Done(number, job) => self.done(number, job),
            Next::Dies(number) => self.dies(number),
            Next::Exits(number, code) => self.ended(number, Ended::Exited(code)),
            Next::Answer => {
                let jobs = self.waiting.len() as u64;
                let demand = if self.away() {
                    Demand::Unknown
                } else {
                    Demand::Ready(jobs)
                };
                self.crew.demanded(demand, self.now);
                self.tend();
            }
            // The crew learns of it when it counts.
            Next::BeforeEnds => self.before -= 1,
            // What comes of it is looked at after every event.
            Next::Listens => {}
        }
        self.listen();
        self.reserve();
    }

    /// As many are put at a time of day as are meant to be: some of those at its height are not.
    fn put(&mut self) {
        if self.now > self.plan.length {
            return;
        }
        let turn = self.now.as_secs_f64() / self.plan.day.as_secs_f64() * std::f64::consts::TAU;
        if self.chance.part() < 0.5 - 0.5 * turn.cos() {
            self.waiting.push_back(self.now);
            self.tally.jobs += 1;
        }
        let wait = self.plan_put();
        self.later(wait, Next::Put);
    }

    /// Workers without a job take what waits.
    fn reserve(&mut self) {
        if self.away() {
            return;
        }
        while let Some(since) = self.waiting.front().copied() {
            let free = |one: &Process| one.ready && !one.busy && !one.draining;
            let Some((number, process)) = self.processes.iter_mut().find(|(_, one)| free(one))
            else {
                return;
            };
            self.waiting.pop_front();
            process.busy = true;
            self.tally.longest_wait = self.tally.longest_wait.max(self.now - since);
            let (number, job) = (*number, process.jobs);
            let takes = self.chance.time_of_mean(self.plan.job);
            self.later(takes, Next::Done(number, job));
            let task = 1 + job as i64;
            self.tell(number, Event::Busy { task, group: 1 });
        }
    }

    fn listen(&mut self) {
        let away = self.away();
        if self.listening && (away || !self.waiting.is_empty()) {
            self.listening = false;
            self.crew.heard(!away, self.now);
            self.tend();
        }
    }

    fn ready(&mut self, number: Number) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.ready = true;
            self.tell(number, Event::Ready);
        }
    }

    fn done(&mut self, number: Number, job: u64) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        if !process.busy || process.jobs != job {
            return;
        }
        process.busy = false;
        process.jobs += 1;
        let (jobs, draining) = (process.jobs, process.draining);
        self.tally.done += 1;
        let output = jobs * 1000;
        self.tell(number, Event::Idle { jobs, output });
        if draining {
            self.later(Duration::from_millis(5), Next::Exits(number, 0));
        }
    }

    fn dies(&mut self, number: Number) {
        if self.processes.contains_key(&number) {
            self.tally.deaths += 1;
            if self.chance.one_in(2) {
                self.tell(number, Event::LinkClosed);
            }
            self.ended(number, Ended::Signalled(9));
        }
    }

    fn ended(&mut self, number: Number, ended: Ended) {
        if let Some(process) = self.processes.remove(&number) {
            if process.busy {
                self.waiting.push_back(self.now);
            }
            self.tell(number, Event::Ended(ended));
        }
    }

    fn tell(&mut self, number: Number, event: Event) {
        match self.crew.happened(number, event, self.now) {
            Ok(effects) => self.perform(effects),
            Err(error) => panic!("at {:?}: {error}", self.now),
        }
        self.tend();
    }

    fn tend(&mut self) {
        self.tally.tended += 1;
        let effects = self.crew.tend(self.now);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn { worker, .. } => self.spawn(worker),
                Effect::Drain { worker, grace, .. } => {
                    self.hurried |= grace.is_some();
                    self.drain(worker);
                }
                Effect::Stop { worker } => self.later(Duration::ZERO, Next::Exits(worker, 0)),
                Effect::Kill { worker } => {
                    self.tally.kills += 1;
                    self.later(Duration::ZERO, Next::Exits(worker, -9));
                }
                // Whatever is killed ends.
                Effect::Leave { .. } => {}
                // None promises to answer.
                Effect::Ping { .. }
                | Effect::Look { .. }
                | Effect::Unresponsive { .. }
                | Effect::Responsive { .. } => {}
                Effect::Ask => {
                    let takes = if self.away() { 2000 } else { 1 };
                    self.later(Duration::from_millis(takes), Next::Answer);
                }
                Effect::Listen => {
                    self.listening = true;
                    // Whoever listens where a job is ready hears at once.
                    self.later(Duration::from_millis(1), Next::Listens);
                }
                Effect::Count => self.crew.counted(Some(self.before), self.now),
                Effect::BackedOff { .. } | Effect::Recovered { .. } | Effect::Refused { .. } => {}
            }
        }
    }

    fn spawn(&mut self, number: Number) {
        self.tally.started += 1;
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        let deaf = self.chance.one_in(200);
        let process = Process {
            deaf,
            ..Process::default()
        };
        self.processes.insert(number, process);
        let starts = self.chance.time_between(ms(5), ms(500));
        if within(&self.plan.broken, self.now) {
            self.later(starts, Next::Exits(number, 1));
        } else if !self.chance.one_in(1000) {
            // The others are never ready.
            self.later(starts, Next::Ready(number));
        }
        if let Some(mean) = self.plan.death {
            let lives = self.chance.time_of_mean(mean).min(s(1_000_000));
            self.later(lives, Next::Dies(number));
        }
        let jitter = Jitter(self.chance.number() as u8);
        let effects = self
            .crew
            .happened(number, Event::Spawned { jitter }, self.now);
        self.perform(effects.unwrap());
    }

    fn drain(&mut self, number: Number) {
        if let Some(process) = self.processes.get_mut(&number)
            && !process.deaf
        {
            process.draining = true;
            let wait = match process.busy {
                false => Duration::from_millis(5),
                // At a shutdown the command has an end within its grace; otherwise the worker goes after its job.
                true if self.hurried => Duration::from_secs(31),
                true => return,
            };
            self.later(wait, Next::Exits(number, 0));
        }
    }
}
