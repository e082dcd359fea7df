//! What the loop does on real processes because of what the crews say, and what it logs of it.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::child::{self, Child};
use super::departure::Departed;
use super::{Pool, Protocol, Tender, WorkerId};
use crate::clock;
use crate::crew::{Closing, Effect, Number};
use crate::guard::Guard;
use crate::jitter;
use crate::lifecycle::{self, Ended, Jitter, State, Why};
use crate::link::{BadLine, Order, Reply, Report, Ticket};
use crate::pool::{Reason, UNCOUNTED};
use crate::process::limit;

/// Descriptors that a tender has for each worker: the link, and what tells of its end.
const A_WORKER: u64 = 2;

/// And beside them for one that is not ours: what it prints.
const ITS_OUTPUT: u64 = 2;

/// Those that it has not opened yet when it begins: its sessions with the broker, and the store; each of them for the
/// loop, and once more for what looks after schedules.
const OPENED_LATER: u64 = 16;

impl Tender {
    /// Lets one pool do what is due, and those that share places with it what comes of that.
    pub(super) fn tend(&mut self, pool: usize) {
        match self.pools.get(pool).and_then(|pool| pool.shared) {
            Some(shared) => self.tend_shared(shared, Some(pool)),
            None => self.tend_one(pool),
        }
    }

    pub(super) fn tend_one(&mut self, pool: usize) {
        let now = self.now();
        if let Some(tended) = self.pools.get_mut(pool) {
            tended.crew.allow(self.left);
            let effects = tended.crew.tend(now);
            self.perform(pool, effects);
        }
        if self.pools.get(pool).is_some_and(|pool| pool.crew.spent()) {
            tracing::info!("limit of workers was reached");
            self.close(Closing::Draining { grace: self.grace }, now);
        }
    }

    /// Tells a worker's crew what happened to it.
    pub(super) fn tell(&mut self, id: WorkerId, event: lifecycle::Event, now: Duration) {
        self.tell_only(id, event, now);
        self.tend(id.pool);
    }

    /// Tells a worker's crew what it said. One whose task has ended is looked at first, so that it can be
    /// recycled before it takes another.
    pub(super) fn reported(&mut self, id: WorkerId, report: Report, now: Duration) {
        if let Some(pool) = self.pools.get_mut(id.pool)
            && let Some(child) = pool.children.get_mut(&id.number)
        {
            child.said(&report);
            if matches!(report, Report::Idle { .. }) {
                self.measure(id, now);
            }
        }
        let event = match report {
            Report::Ready => lifecycle::Event::Ready,
            Report::Busy {
                task, group, left, ..
            } => return self.is_busy(id, lifecycle::Event::Busy { task, group }, left, now),
            Report::Troubled { task, .. } => lifecycle::Event::Troubled { task },
            Report::Idle { jobs, output } => lifecycle::Event::Idle { jobs, output },
            Report::Answered { ticket, reply } => return self.answered(id, ticket, &reply),
        };
        self.tell(id, event, now);
    }

    /// Tells a worker's crew what can be seen of it from outside.
    fn measure(&mut self, id: WorkerId, now: Duration) {
        if let Some(pool) = self.pools.get(id.pool)
            && let Some(child) = pool.children.get(&id.number)
        {
            let memory = match pool.settings.rules.max_memory {
                0 => 0,
                _ => child.memory(),
            };
            let printed = child.printed();
            if memory > 0 || printed > 0 {
                self.tell_only(id, lifecycle::Event::Measured { memory, printed }, now);
            }
        }
    }

    /// Looks at a worker that says nothing.
    pub(super) fn look(&mut self, id: WorkerId, now: Duration) {
        self.measure(id, now);
        self.tend(id.pool);
    }

    /// A worker has answered an order. That it was told to go, it shows by going.
    fn answered(&mut self, id: WorkerId, ticket: Ticket, reply: &Reply) {
        self.ponged(id, ticket);
        let now = self.now();
        self.tell(id, lifecycle::Event::Answered, now);
        let Some(pool) = self.pools.get_mut(id.pool) else {
            return;
        };
        let tube = &pool.settings.tube;
        if let Some(child) = pool.children.get_mut(&id.number)
            && child.has_reloaded(ticket)
            && let Reply::Refused { reason } = reply
        {
            let (worker, pid) = (child.name(), child.pid());
            tracing::warn!(worker, pid, %tube, reason, "worker kept its configuration as it was");
        }
    }

    pub(super) fn tell_only(&mut self, id: WorkerId, event: lifecycle::Event, now: Duration) {
        let Some(pool) = self.pools.get_mut(id.pool) else {
            return;
        };
        match pool.crew.happened(id.number, event, now) {
            Ok(effects) => self.perform(id.pool, effects),
            Err(error) => self.complain(id, &error.to_string()),
        }
    }

    pub(super) fn close(&mut self, how: Closing, now: Duration) {
        let running = self.pools.iter().flat_map(|pool| pool.crew.workers());
        // One that is in trouble may run nothing.
        let runs = |running: lifecycle::Running| running.task != 0 || running.group != 0;
        let running = running
            .filter(|(_, worker)| worker.running().is_some_and(runs))
            .count();
        let reason = how.to_string();
        match how {
            // What was told first holds on.
            Closing::Draining { .. } if self.ending => {}
            Closing::Draining { grace } => {
                let until = clock::now()
                    .saturating_add(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX));
                let until = clock::written(until);
                tracing::info!(
                    reason,
                    running,
                    until,
                    "shutdown began; commands that run until then will be ended"
                );
            }
            Closing::Stopping => tracing::info!(reason, running, "shutdown began"),
        }
        self.ending = true;
        // The next tender need not wait for the last command: what still drains here counts there.
        if let Err(error) = self.ownership.leave() {
            tracing::warn!(reason = error.to_string(), "kept the tubes until the end");
        }
        for pool in 0..self.pools.len() {
            let Some(closed) = self.pools.get_mut(pool) else {
                continue;
            };
            let effects = match how {
                Closing::Draining { grace } => closed.crew.drain(grace, now),
                Closing::Stopping => closed.crew.stop(now),
            };
            self.perform(pool, effects);
        }
    }

    pub(super) fn garbled(&mut self, id: WorkerId, error: &BadLine) {
        self.complain(id, &error.to_string());
    }

    pub(super) fn ended_with(&mut self, id: WorkerId, ended: Ended, now: Duration) {
        if let Some(pool) = self.pools.get_mut(id.pool)
            && let Some(child) = pool.children.remove(&id.number)
        {
            let tube = &pool.settings.tube;
            let known = pool.crew.worker(id.number);
            let was_busy = known.is_some_and(|worker| worker.running().is_some());
            // Only what ended in its own time may have left a daemon behind.
            if was_busy || ended != Ended::Exited(0) {
                child.end_marked(&mut self.ends);
            }
            let departed = Departed {
                worker: child.name(),
                pid: child.pid(),
                tube,
                known,
                ended,
            };
            if !departed.say(now) {
                pool.restarts = pool.restarts.saturating_add(1);
                pool.failed = Some(how_it_failed(&child, ended));
            }
        }
        if ended != Ended::Exited(0) {
            self.sweeper.died();
        }
        self.tell(id, lifecycle::Event::Ended(ended), now);
    }

    /// A worker that says what makes no sense is heard on, but complained of only once: what it
    /// writes, it may write without end.
    fn complain(&mut self, id: WorkerId, reason: &str) {
        let Some(pool) = self.pools.get_mut(id.pool) else {
            return;
        };
        let tube = &pool.settings.tube;
        if let Some(child) = pool.children.get_mut(&id.number)
            && child.first_complaint()
        {
            tracing::warn!(worker = child.name(), pid = child.pid(), %tube, reason, "worker misunderstood");
        }
    }

    pub(super) fn perform(&mut self, pool: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn { worker, reason } => self.spawn(pool, worker, reason),
                Effect::Drain { worker, grace, why } => {
                    if why == Why::Yields {
                        self.say_yields(pool, worker);
                    }
                    self.order(pool, worker, Order::drain(grace), &why.to_string());
                }
                Effect::Stop { worker } => self.order(pool, worker, Order::Stop, "stop at once"),
                Effect::Kill { worker } => self.kill(pool, worker),
                Effect::Leave { worker } => self.leave_behind(pool, worker),
                Effect::Ping { worker } => self.poke(pool, worker),
                Effect::Look { worker } => self.look_at(pool, worker),
                Effect::Unresponsive { worker } => self.say_unresponsive(pool, worker),
                Effect::Responsive { worker } => self.say_responsive(pool, worker),
                Effect::Ask => self.ask(pool),
                Effect::Listen => self.listen(pool),
                Effect::Count => self.count(pool),
                Effect::BackedOff { .. } | Effect::Recovered { .. } | Effect::Refused { .. } => {
                    self.note(pool, effect);
                }
            }
        }
    }

    fn spawn(&mut self, index: usize, worker: Number, reason: Reason) {
        let Some(pool) = self.pools.get_mut(index) else {
            return;
        };
        let id = WorkerId {
            pool: index,
            number: worker,
        };
        let tube = &pool.settings.tube;
        let slot = self.ownership.slot(tube);
        let guarded = self.guard.as_ref().map(Guard::held_by_workers);
        let accepted = self.configuration.as_ref();
        let accepted = accepted.map(|configuration| configuration.accepted.as_fd());
        let events = self.events.clone();
        let beside = &mut self.beside;
        let store = Arc::clone(&self.existing);
        let spawned = slot.and_then(|slot| {
            Child::spawn(
                &pool.settings,
                (id, store),
                slot,
                guarded,
                accepted,
                events,
                beside,
            )
        });
        let event = match spawned {
            Ok(child) => {
                let (name, pid, reason) = (child.name(), child.pid(), reason.to_string());
                tracing::info!(worker = name, pid, %tube, reason, "worker started");
                pool.spawn_error = None;
                pool.children.insert(worker, child);
                self.left = self.left.map(|left| left.saturating_sub(1));
                pool.started = pool.started.saturating_add(1);
                lifecycle::Event::Spawned {
                    jitter: Jitter(jitter::byte()),
                }
            }
            Err(error) => {
                let program = pool.settings.command.program.to_string_lossy();
                let reason = error.to_string();
                // Once, and not for every try.
                if pool.spawn_error.as_ref() != Some(&reason) {
                    tracing::error!(%tube, %program, reason, "worker could not be started; will keep trying");
                }
                pool.failed = Some(reason.clone());
                pool.spawn_error = Some(reason);
                lifecycle::Event::CouldNotSpawn
            }
        };
        let now = self.now();
        self.tell_only(id, event, now);
    }

    /// Says if there are fewer descriptors than the workers take that may be wanted.
    pub(super) fn say_what_fits(&self) {
        let each = |pool: &Pool| {
            let each = match pool.settings.command.protocol {
                Protocol::Own => A_WORKER,
                Protocol::Lines | Protocol::Tokens | Protocol::None => {
                    A_WORKER.saturating_add(ITS_OUTPUT)
                }
            };
            (u64::from(pool.crew.limits().max()), each)
        };
        let alone = self
            .pools
            .iter()
            .filter(|pool| pool.shared.is_none())
            .map(each);
        let shared = self.shared.iter().enumerate().map(|(at, shared)| {
            let members = self
                .pools
                .iter()
                .filter(|pool| pool.shared == Some(at))
                .map(each);
            let (max, most_each) = members.fold((0u64, 0u64), |(all, most), (max, each)| {
                (all.saturating_add(max), most.max(each))
            });
            let together = u64::from(shared.settings.max.saturating_add(shared.outside()));
            (max.min(together), most_each)
        });
        let (wanted, descriptors) =
            alone
                .chain(shared)
                .fold((0u64, 0u64), |(workers, all), (max, each)| {
                    let descriptors = max.saturating_mul(each);
                    (workers.saturating_add(max), all.saturating_add(descriptors))
                });
        let Ok(newest) = File::open("/dev/null") else {
            return;
        };
        let Some((limit, left)) = limit::left(&newest) else {
            return;
        };
        let left = left.saturating_sub(OPENED_LATER);
        if left < descriptors {
            let fit = left.saturating_mul(wanted) / descriptors;
            tracing::warn!(
                limit,
                wanted,
                fit,
                "cannot have all workers within the limit of open files; raise it, with ulimit -n or LimitNOFILE="
            );
        }
    }

    fn order(&mut self, pool: usize, worker: Number, order: Order, reason: &str) {
        let Some(pool) = self.pools.get_mut(pool) else {
            return;
        };
        let tube = &pool.settings.tube;
        let Some(child) = pool.children.get_mut(&worker) else {
            return;
        };
        match child.order(order) {
            Ok(_) => {
                tracing::debug!(worker = child.name(), pid = child.pid(), %tube, reason, "worker told to go");
            }
            // One that dies at this moment, or will be killed at its deadline.
            Err(error) => {
                let (name, pid, reason) = (child.name(), child.pid(), error.to_string());
                tracing::debug!(worker = name, pid, %tube, reason, "worker could not be told to go");
            }
        }
    }

    fn kill(&mut self, pool: usize, worker: Number) {
        if let Some(pool) = self.pools.get(pool)
            && let Some(child) = pool.children.get(&worker)
        {
            let tube = &pool.settings.tube;
            let state = pool.crew.worker(worker).map(|worker| *worker.state());
            let hangs = matches!(
                state,
                Some(State::Killed {
                    why: Why::Unresponsive,
                    ..
                })
            );
            let reason = match state {
                _ if hangs => "does not answer, and the time of its command is up",
                Some(State::Killed {
                    why: Why::NotReady, ..
                }) => "did not say in time that it is ready",
                _ => "did not go in time",
            };
            tracing::warn!(worker = child.name(), pid = child.pid(), %tube, reason, "worker killed");
            match hangs {
                true => child.kill_hung(),
                false => child.kill(),
            }
        }
    }

    /// Whoever looks after the machine has to end it: its slot says to the next tender that it is there.
    fn leave_behind(&mut self, pool: usize, worker: Number) {
        if let Some(pool) = self.pools.get_mut(pool)
            && let Some(child) = pool.children.remove(&worker)
        {
            let (tube, worker, pid) = (&pool.settings.tube, child.name(), child.pid());
            tracing::error!(worker, pid, %tube, "worker was killed and has not ended; left it");
        }
    }

    fn listen(&mut self, index: usize) {
        let now = self.now();
        if let Some(pool) = self.pools.get_mut(index)
            && !self.listener.listen(index, pool.settings.tube.clone())
        {
            pool.crew.heard(false, now);
        }
    }

    fn ask(&mut self, index: usize) {
        if let Some(pool) = self.pools.get(index) {
            self.asker.ask(index, pool.settings.tube.clone());
        }
    }

    /// Tells a crew how many workers an earlier tender has left, and logs it when it has changed.
    pub(super) fn count(&mut self, index: usize) {
        let now = self.now();
        let Some(pool) = self.pools.get_mut(index) else {
            return;
        };
        let tube = &pool.settings.tube;
        let known = pool.crew.census().before;
        match self.ownership.left(tube) {
            Ok(workers) => {
                if workers != known {
                    tracing::info!(%tube, workers, "workers of an earlier tender counted");
                }
                pool.crew.counted(Some(workers), now);
            }
            Err(error) => {
                if known != UNCOUNTED {
                    let reason = error.to_string();
                    tracing::error!(%tube, reason, "workers of an earlier tender could not be counted");
                }
                pool.crew.counted(None, now);
            }
        }
    }

    fn note(&self, pool: usize, effect: Effect) {
        let Some(pool) = self.pools.get(pool) else {
            return;
        };
        let tube = &pool.settings.tube;
        let named = |number| child::named(tube, number);
        match effect {
            // Of those that lack something it was said what that is.
            Effect::BackedOff { worker, back_off } if pool.spawn_error.is_some() => {
                tracing::debug!(worker = named(worker), %tube, reason = back_off.to_string(), "pool backed off");
            }
            Effect::BackedOff { worker, back_off } => {
                tracing::warn!(worker = named(worker), %tube, reason = back_off.to_string(), "pool backed off");
            }
            Effect::Recovered { worker } => {
                tracing::info!(worker = named(worker), %tube, "pool recovered");
            }
            Effect::Refused { worker } => {
                tracing::error!(worker = named(worker), %tube, reason = "exit code 125", "pool refused to start again");
            }
            Effect::Spawn { .. }
            | Effect::Drain { .. }
            | Effect::Stop { .. }
            | Effect::Kill { .. }
            | Effect::Leave { .. }
            | Effect::Ping { .. }
            | Effect::Look { .. }
            | Effect::Unresponsive { .. }
            | Effect::Responsive { .. }
            | Effect::Ask
            | Effect::Listen
            | Effect::Count => {}
        }
    }
}

/// For those who ask why a pool backs off.
fn how_it_failed(child: &Child, ended: Ended) -> String {
    let name = child.name();
    match child.trouble() {
        Some(trouble) => format!("worker {name} ended: {ended}; it lacked: {trouble}"),
        None => format!("worker {name} ended: {ended}"),
    }
}
