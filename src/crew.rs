//! The workers of one pool, tended without touching a process: what happened and `now` in, what is to
//! be done out.
//!
//! A [`Crew`] joins the three decisions, how many ([`pool`]), what becomes of each ([`lifecycle`]) and
//! who is recycled. The tender performs what it says on real processes; a simulation performs it on
//! made-up ones, in made-up time, with the same calls.
//!
//! To be called: [`Crew::happened`], [`Crew::demanded`], [`Crew::heard`] and [`Crew::counted`] with what is seen,
//! [`Crew::tend`] after each of these and at [`Crew::deadline`]. Each [`Effect`] is performed in order, before the next
//! event is taken in; that a process was or was not spawned is itself told to [`Crew::happened`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backoff::BackOff;
use crate::lifecycle::{self, Class, Event, Rules, Why, Worker};
use crate::pool::share::Share;
use crate::pool::{self, Action, Census, Decision, Demand, Limits, Memory, Reason};

mod asking;
mod demand;
mod effect;
mod history;
mod recycling;
mod sharing;
#[cfg(test)]
mod tests;

pub use asking::ASK_EVERY;
pub use effect::{Closing, Effect, Error, Number};
pub use history::{Decided, History};

use asking::Asking;

/// A pool in which workers of an earlier tender still drain looks again this often how many.
pub const COUNT_EVERY: Duration = Duration::from_millis(250);

/// The workers of one pool.
#[derive(Debug, Clone)]
pub struct Crew {
    limits: Limits,
    rules: Rules,
    memory: Memory,
    demand: Demand,
    asking: Asking,
    workers: BTreeMap<Number, Worker>,
    next: Number,
    decide_at: Option<Duration>,
    closing: Option<Closing>,
    /// Workers that an earlier tender left draining.
    before: u32,
    count_at: Option<Duration>,
    history: History,
    /// What it may have of the pool that it shares with others; none if it shares none.
    share: Option<Share>,
}

impl Crew {
    /// A crew without workers; [`Crew::tend`] asks for the first.
    pub fn new(limits: Limits, rules: Rules) -> Self {
        Self {
            limits,
            rules,
            memory: Memory::default(),
            demand: Demand::Unknown,
            asking: Asking::NotBefore(Duration::ZERO),
            workers: BTreeMap::new(),
            next: 1,
            decide_at: None,
            closing: None,
            before: 0,
            count_at: None,
            history: History::default(),
            share: None,
        }
    }

    /// Its processes, counted.
    pub fn census(&self) -> Census {
        let mut census = Census {
            before: self.before,
            ..Census::default()
        };
        for worker in self.workers.values() {
            let count = match worker.class() {
                Class::Starting => &mut census.starting,
                Class::Idle => &mut census.idle,
                Class::Busy => &mut census.busy,
                Class::Stopping => &mut census.stopping,
                Class::Gone => continue,
            };
            *count = count.saturating_add(1);
            if worker.troubled() {
                census.troubled = census.troubled.saturating_add(1);
            }
            if !worker.proved() && worker.class() != Class::Stopping {
                census.unproven = census.unproven.saturating_add(1);
            }
        }
        census
    }

    /// Its workers, the oldest first.
    pub fn workers(&self) -> impl Iterator<Item = (Number, &Worker)> {
        self.workers
            .iter()
            .map(|(number, worker)| (*number, worker))
    }

    /// One of its workers.
    pub fn worker(&self, number: Number) -> Option<&Worker> {
        self.workers.get(&number)
    }

    /// Forgets that a worker refused to be started again, and how the latest starts went: what was wrong
    /// has been put right, as somebody who had the configuration read again believes.
    pub fn forgive(&mut self, now: Duration) {
        self.memory.back_off = BackOff::Calm;
        self.decide_at = Some(now);
    }

    /// Says how many workers may still be started, ever; any number if there is no such limit. To be said
    /// before each [`Crew::tend`].
    pub fn allow(&mut self, workers: Option<u32>) {
        self.memory.allowance = workers;
    }

    /// It has fewer workers than it should have at the least, wants more, and may never start another.
    pub fn spent(&self) -> bool {
        let least = self.limits.min().max(1);
        let reason = self.last().map(|last| last.reason);
        self.closing.is_none() && reason == Some(Reason::Spent) && self.census().live() < least
    }

    /// The sizes it may have.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Gives it other sizes; what is too many goes when it is idle.
    pub fn set_limits(&mut self, limits: Limits, now: Duration) {
        self.limits = limits;
        self.decide_at = Some(now);
    }

    /// Lets its workers be replaced when something else calls for it.
    pub fn set_rules(&mut self, rules: Rules, now: Duration) {
        self.rules = rules;
        self.decide_at = Some(now);
    }

    /// Decides anew, for something else than what it sees has changed.
    pub fn look_again(&mut self, now: Duration) {
        self.decide_at = Some(now);
    }

    /// Has every worker replaced, one after the other, when it is idle: what is started is another program now.
    pub fn outdate(&mut self, now: Duration) {
        self.workers.values_mut().for_each(Worker::outdate);
        self.decide_at = Some(now);
    }

    /// Wants workers again after it was told to let all go. Those that are on their way out go.
    pub fn reopen(&mut self, now: Duration) {
        self.closing = None;
        self.workers.values_mut().for_each(Worker::stay);
        self.decide_at = Some(now);
    }

    /// What was decided lately about its size.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many jobs wait for it, as far as that is known and still of interest.
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// How it ends, once it was told to.
    pub fn closing(&self) -> Option<Closing> {
        self.closing
    }

    /// What was decided last about its size.
    pub fn last(&self) -> Option<&Decision> {
        self.memory.last()
    }

    /// How the latest starts went.
    pub fn back_off(&self) -> &BackOff {
        &self.memory.back_off
    }

    /// It has no worker and wants none.
    pub fn ended(&self) -> bool {
        self.closing.is_some() && self.workers.is_empty()
    }

    /// Takes in what happened to a worker.
    ///
    /// # Errors
    /// When there is no such worker, or when this cannot happen to it; nothing has changed then.
    pub fn happened(
        &mut self,
        number: Number,
        event: Event,
        now: Duration,
    ) -> Result<Vec<Effect>, Error> {
        let ran = self.worker(number).and_then(Worker::running);
        let mut effects = self.step(number, event, now)?;
        self.decide_at = Some(now);
        match (event, self.closing) {
            // What it says again of the same task, it took no further job for.
            (Event::Busy { task, group }, _) if ran != Some(lifecycle::Running { task, group }) => {
                self.demand = self.demand.less_one();
            }
            (Event::Spawned { .. }, Some(closing)) => {
                effects.extend(self.step(number, last_order(closing), now)?);
            }
            (_, _) => {}
        }
        Ok(effects)
    }

    /// Takes in how many workers an earlier tender has left draining; `None` if that cannot be known, and
    /// then no worker is started. To be told before the first [`Crew::tend`] and after each
    /// [`Effect::Count`].
    pub fn counted(&mut self, before: Option<u32>, now: Duration) {
        self.before = before.unwrap_or(pool::UNCOUNTED);
        self.count_at = (self.before > 0).then(|| now.saturating_add(COUNT_EVERY));
        self.decide_at = Some(now);
    }

    /// Lets every worker go, each command with `grace` to end in, and wants no more of them. Once it closes
    /// already, nothing: an order to go only ever hurries.
    pub fn drain(&mut self, grace: Duration, now: Duration) -> Vec<Effect> {
        if self.closing.is_some() {
            return vec![];
        }
        self.close(Closing::Draining { grace }, now)
    }

    /// Lets every worker go at once, its command with it, and wants no more of them.
    pub fn stop(&mut self, now: Duration) -> Vec<Effect> {
        self.close(Closing::Stopping, now)
    }

    /// Does what is due, and decides how many workers there should be.
    pub fn tend(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = self.due(now);
        if self.closing.is_none() {
            effects.extend(
                self.count_at
                    .take_if(|at| *at <= now)
                    .map(|_| Effect::Count),
            );
            effects.extend(self.ask(now));
            effects.extend(self.resize(now));
            let recycled = self.recycle(now);
            if !recycled.is_empty() {
                effects.extend(recycled);
                effects.extend(self.resize(now));
            }
        }
        effects
    }

    /// When [`Crew::tend`] should be called if nothing happens before.
    pub fn deadline(&self) -> Option<Duration> {
        let workers = self.workers.values().filter_map(Worker::deadline);
        if self.closing.is_some() {
            return workers.min();
        }
        let recycle_at = self.may_recycle().then(|| self.next_recycling()).flatten();
        workers
            .chain(self.ask_at())
            .chain(recycle_at)
            .chain(self.decide_at)
            .chain(self.count_at)
            .min()
    }

    fn close(&mut self, closing: Closing, now: Duration) -> Vec<Effect> {
        self.closing = Some(closing);
        let all: Vec<Number> = self.workers.keys().copied().collect();
        all.into_iter()
            // One that is being spawned is told as soon as it has a process.
            .filter_map(|number| self.step(number, last_order(closing), now).ok())
            .flatten()
            .collect()
    }

    fn due(&mut self, now: Duration) -> Vec<Effect> {
        let due: Vec<Number> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.deadline().is_some_and(|at| at <= now))
            .map(|(number, _)| *number)
            .collect();
        due.into_iter()
            .filter_map(|number| self.step(number, Event::Due, now).ok())
            .flatten()
            .collect()
    }

    fn resize(&mut self, now: Duration) -> Vec<Effect> {
        let census = self.census();
        let share = self.share.as_ref();
        let (decision, memory) =
            pool::decide(&self.limits, &census, self.demand, share, &self.memory, now);
        self.memory = memory;
        self.history.add(decision, now);
        self.decide_at = decision.again;
        match decision.action {
            Action::Hold => vec![],
            Action::Start { n } => (0..n).map(|_| self.add(decision.reason, now)).collect(),
            Action::Retire { n } => self.retire(n, now),
            Action::Yield { n } => self.give_up(n, now),
        }
    }

    fn add(&mut self, reason: Reason, now: Duration) -> Effect {
        let worker = self.next;
        self.next = self.next.saturating_add(1);
        self.workers.insert(worker, Worker::new(now));
        Effect::Spawn { worker, reason }
    }

    /// Lets the `n` oldest go of those that wait for a job.
    fn retire(&mut self, n: u32, now: Duration) -> Vec<Effect> {
        let oldest: Vec<Number> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.class() == Class::Idle)
            .map(|(number, _)| *number)
            .take(usize::try_from(n).unwrap_or(usize::MAX))
            .collect();
        let why = Why::Surplus;
        oldest
            .into_iter()
            .filter_map(|number| self.step(number, Event::Retire { why }, now).ok())
            .flatten()
            .collect()
    }

    fn step(&mut self, number: Number, event: Event, now: Duration) -> Result<Vec<Effect>, Error> {
        let Some(worker) = self.workers.get_mut(&number) else {
            return Err(Error::NoSuchWorker { worker: number });
        };
        let stepped = worker.step(&self.rules, event, now);
        let born = worker.born();
        let effects = stepped.map_err(|illegal| Error::Illegal {
            worker: number,
            illegal,
        })?;
        if worker.class() == Class::Gone {
            self.workers.remove(&number);
        }
        Ok(effects
            .into_iter()
            .filter_map(|effect| self.effect(number, born, effect, now))
            .collect())
    }

    /// What a worker's effect means for its pool.
    fn effect(
        &mut self,
        worker: Number,
        born: Duration,
        effect: lifecycle::Effect,
        now: Duration,
    ) -> Option<Effect> {
        let before = self.memory.back_off;
        match effect {
            lifecycle::Effect::Drain { grace, why } => Some(Effect::Drain { worker, grace, why }),
            lifecycle::Effect::Stop => Some(Effect::Stop { worker }),
            lifecycle::Effect::Kill => Some(Effect::Kill { worker }),
            lifecycle::Effect::Leave => Some(Effect::Leave { worker }),
            lifecycle::Effect::Ping => Some(Effect::Ping { worker }),
            lifecycle::Effect::Look => Some(Effect::Look { worker }),
            lifecycle::Effect::Unresponsive => Some(Effect::Unresponsive { worker }),
            lifecycle::Effect::Responsive => Some(Effect::Responsive { worker }),
            lifecycle::Effect::Proved => {
                self.memory.back_off = before.proved(born);
                (self.memory.back_off != before).then_some(Effect::Recovered { worker })
            }
            lifecycle::Effect::Crashed => {
                self.memory.back_off = before.crashed(born, now);
                let back_off = self.memory.back_off;
                (back_off != before).then_some(Effect::BackedOff { worker, back_off })
            }
            lifecycle::Effect::Refused => {
                if let BackOff::Refused { .. } = before {
                    return None;
                }
                self.memory.back_off = BackOff::Refused { since: now };
                Some(Effect::Refused { worker })
            }
        }
    }
}

/// What a worker is told when its crew closes.
fn last_order(closing: Closing) -> Event {
    match closing {
        Closing::Draining { grace } => Event::Drain { grace },
        Closing::Stopping => Event::Stop,
    }
}
