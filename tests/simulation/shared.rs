//! Several tubes that share a pool, in made-up time: each is tended by its crew, and the places are divided by the
//! function that the tender calls, in the same order. Time goes in steps of [`STEP`].

use std::collections::BTreeMap;
use std::time::Duration;

use taskqueue::crew::{Crew, Effect, Number};
use taskqueue::lifecycle::{Ended, Event, Jitter, Rules, Unready};
use taskqueue::pool::share::{self, Account, Part};
use taskqueue::pool::{Demand, Limits};

use crate::chance::Chance;

pub const STEP: Duration = Duration::from_millis(10);

/// What a tube of the pool goes through.
#[derive(Debug, Clone)]
pub struct Plan {
    pub limits: Limits,
    pub part: Part,
    /// Seconds that a job takes, on average.
    pub job: f64,
    /// Jobs a second, while there are any.
    pub rate: f64,
    /// It has jobs at times, and none at others; each of these lasts so long on average. None: always.
    pub spell: Option<f64>,
    /// Jobs that are there at the beginning.
    pub burst: u32,
}

#[derive(Debug, Clone, Copy)]
enum Does {
    Starts(Duration),
    Waits,
    Works(Duration),
}

struct Process {
    does: Does,
    draining: bool,
    jobs: u64,
}

pub struct Tube {
    plan: Plan,
    crew: Crew,
    processes: BTreeMap<Number, Process>,
    waiting: u32,
    asked: bool,
    listens: bool,
    has_jobs: bool,
    changes: Duration,
    /// Since when jobs wait and none begins.
    since: Duration,
    pub put: u64,
    pub done: u64,
    pub started: u64,
    /// The longest time in which jobs waited and none of them began.
    pub starved: Duration,
}

pub struct Pool {
    pub tubes: Vec<Tube>,
    places: u32,
    account: Account,
    again: Option<Duration>,
    chance: Chance,
    now: Duration,
    /// The most workers that counted at any time.
    pub most: u32,
}

impl Pool {
    pub fn new(places: u32, plans: Vec<Plan>, chance: Chance) -> Self {
        let rules = Rules {
            unready: Unready::Killed(Duration::from_secs(30)),
            ..Rules::default()
        };
        let tubes = plans.into_iter().map(|plan| Tube {
            crew: Crew::new(plan.limits, rules),
            processes: BTreeMap::new(),
            waiting: plan.burst,
            asked: false,
            listens: false,
            has_jobs: true,
            changes: Duration::ZERO,
            since: Duration::ZERO,
            put: u64::from(plan.burst),
            done: 0,
            started: 0,
            starved: Duration::ZERO,
            plan,
        });
        let mut pool = Self {
            tubes: tubes.collect(),
            places,
            account: Account::default(),
            again: None,
            chance,
            now: Duration::ZERO,
            most: 0,
        };
        for tube in &mut pool.tubes {
            tube.crew.counted(Some(0), Duration::ZERO);
        }
        pool.tend();
        pool
    }

    /// Lives so long; jobs are put as long as `puts`.
    pub fn live(&mut self, length: Duration, puts: bool) {
        let end = self.now + length;
        while self.now < end {
            self.now += STEP;
            for at in 0..self.tubes.len() {
                if puts {
                    self.put(at);
                }
                self.happen(at);
                self.answer(at);
            }
            let due = |tube: &Tube| tube.crew.deadline().is_some_and(|at| at <= self.now);
            if self.again.is_some_and(|at| at <= self.now) || self.tubes.iter().any(due) {
                self.tend();
            }
            self.judge();
        }
    }

    pub fn is_idle(&self) -> bool {
        self.tubes.iter().all(|tube| tube.done == tube.put)
    }

    fn put(&mut self, at: usize) {
        let tube = &mut self.tubes[at];
        if let Some(mean) = tube.plan.spell
            && self.now >= tube.changes
        {
            tube.has_jobs = !tube.has_jobs;
            tube.changes = self.now + self.chance.time_of_mean(mean);
        }
        if tube.has_jobs && self.chance.part() < tube.plan.rate * STEP.as_secs_f64() {
            tube.waiting += 1;
            tube.put += 1;
        }
    }

    /// What the processes of a tube do.
    fn happen(&mut self, at: usize) {
        let numbers: Vec<Number> = self.tubes[at].processes.keys().copied().collect();
        for number in numbers {
            let (now, mean) = (self.now, self.tubes[at].plan.job);
            let length = self.chance.time_of_mean(mean);
            let dies = self.chance.one_in(200_000);
            let tube = &mut self.tubes[at];
            let process = tube.processes.get_mut(&number).unwrap();
            if dies {
                let was_busy = matches!(process.does, Does::Works(_));
                tube.waiting += u32::from(was_busy);
                tube.processes.remove(&number);
                self.tell(at, number, Event::Ended(Ended::Signalled(9)));
                continue;
            }
            match process.does {
                Does::Starts(until) if now >= until => {
                    process.does = Does::Waits;
                    self.tell(at, number, Event::Ready);
                }
                Does::Works(until) if now >= until => {
                    process.does = Does::Waits;
                    process.jobs += 1;
                    let (jobs, output) = (process.jobs, 0);
                    tube.done += 1;
                    self.tell(at, number, Event::Idle { jobs, output });
                }
                Does::Waits if process.draining => {
                    tube.processes.remove(&number);
                    self.tell(at, number, Event::Ended(Ended::Exited(0)));
                }
                Does::Waits if tube.waiting > 0 => {
                    process.does = Does::Works(now + length);
                    tube.waiting -= 1;
                    tube.since = now;
                    let task = 1 + process.jobs as i64;
                    self.tell(at, number, Event::Busy { task, group: 1 });
                }
                Does::Starts(_) | Does::Works(_) | Does::Waits => {}
            }
        }
    }

    fn answer(&mut self, at: usize) {
        let now = self.now;
        let tube = &mut self.tubes[at];
        let jobs = u64::from(tube.waiting);
        if std::mem::take(&mut tube.asked) {
            tube.crew.demanded(Demand::Ready(jobs), now);
            self.tend();
        } else if tube.listens && jobs > 0 {
            tube.listens = false;
            tube.crew.heard(true, now);
            self.tend();
        }
    }

    fn tell(&mut self, at: usize, number: Number, event: Event) {
        let effects = self.tubes[at]
            .crew
            .happened(number, event, self.now)
            .unwrap();
        self.perform(at, effects);
        self.tend();
    }

    /// As the tender does it.
    fn tend(&mut self) {
        let claims = self
            .tubes
            .iter()
            .map(|tube| tube.crew.claim(tube.plan.part, self.now));
        let claims: Vec<_> = claims.collect();
        let (shares, account) = share::share(self.places, &claims, &self.account, self.now);
        (self.account, self.again) = (account, shares.again);
        for (at, share) in shares.of.into_iter().enumerate() {
            self.tubes[at].crew.set_share(Some(share));
            let effects = self.tubes[at].crew.tend(self.now);
            self.perform(at, effects);
        }
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            let tube = &mut self.tubes[at];
            match effect {
                Effect::Spawn { worker, .. } => {
                    let (least, most) = (Duration::from_millis(10), Duration::from_millis(300));
                    let ready = self.now + self.chance.time_between(least, most);
                    let process = Process {
                        does: Does::Starts(ready),
                        draining: false,
                        jobs: 0,
                    };
                    tube.processes.insert(worker, process);
                    tube.started += 1;
                    let jitter = Jitter(self.chance.number() as u8);
                    let spawned = tube
                        .crew
                        .happened(worker, Event::Spawned { jitter }, self.now);
                    self.perform(at, spawned.unwrap());
                }
                Effect::Drain { worker, grace, .. } => {
                    assert_eq!(grace, None, "a command was given an end");
                    tube.processes.get_mut(&worker).unwrap().draining = true;
                }
                Effect::Ask => tube.asked = true,
                Effect::Listen => tube.listens = true,
                Effect::Kill { .. } | Effect::Stop { .. } | Effect::Leave { .. } => {
                    panic!("{effect:?} at {:?}", self.now)
                }
                Effect::Ping { .. }
                | Effect::Look { .. }
                | Effect::Unresponsive { .. }
                | Effect::Responsive { .. }
                | Effect::Count
                | Effect::BackedOff { .. }
                | Effect::Recovered { .. }
                | Effect::Refused { .. } => {}
            }
        }
    }

    fn judge(&mut self) {
        let counted =
            |tube: &Tube| (tube.processes.len() as u32).saturating_sub(tube.plan.part.outside);
        let all = self.tubes.iter().map(counted).sum();
        assert!(
            all <= self.places,
            "{all} of {} at {:?}",
            self.places,
            self.now
        );
        self.most = self.most.max(all);
        for tube in &mut self.tubes {
            assert!(
                tube.processes.len() <= tube.plan.limits.max() as usize,
                "above its own max"
            );
            if tube.waiting == 0 {
                tube.since = self.now;
            }
            tube.starved = tube.starved.max(self.now - tube.since);
        }
    }
}
