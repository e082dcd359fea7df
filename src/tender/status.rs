//! How everything stands, in the words of the control socket.

use std::time::Duration;

use super::child::Child;
use super::{Pool, Tender};
use crate::backoff::BackOff;
use crate::control::words::{self, Status};
use crate::crew::{Closing, Decided, History};
use crate::lifecycle::{State, Why, Worker};
use crate::ownership;
use crate::pool::{Census, Demand, Limits, UNCOUNTED};
use crate::tube::TubeName;

impl Tender {
    pub(super) fn status(&self) -> Status {
        let now = self.now();
        Status {
            pid: std::process::id(),
            host: ownership::host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            age: seconds(now),
            pools: self
                .pools
                .iter()
                .enumerate()
                .filter(|(_, p)| !p.crew.ended())
                .map(|(index, p)| pool(p, self.shared_by(index), now))
                .collect(),
        }
    }
}

impl Tender {
    /// What a pool of one tube has of the one that it shares with others.
    fn shared_by(&self, index: usize) -> Option<words::SharedPool> {
        let (shared, pool) = (self.shared_of(index)?, self.pools.get(index)?);
        let part = shared.part(index)?;
        Some(words::SharedPool {
            name: shared.settings.name.clone(),
            max: shared.settings.max,
            workers: pool.crew.share().map_or(0, |share| share.counted),
            weight: part.weight,
            outside_max: part.outside,
        })
    }
}

fn pool(pool: &Pool, shared: Option<words::SharedPool>, now: Duration) -> words::Pool {
    let crew = &pool.crew;
    let limits = crew.limits();
    let last = crew.last();
    let (ready, paused) = match crew.demand() {
        Demand::Unknown => (None, false),
        Demand::Ready(jobs) => (Some(jobs), false),
        Demand::Paused => (None, true),
    };
    let worker = |(number, worker)| one(worker, pool.children.get(&number), now);
    words::Pool {
        tube: pool.settings.tube.to_string(),
        state: match crew.closing() {
            None => "tended",
            Some(Closing::Draining { .. }) => "draining",
            Some(Closing::Stopping) => "stopping",
        }
        .to_owned(),
        min: limits.min(),
        spare: limits.spare(),
        max: limits.max(),
        target: last.map(|decision| decision.target),
        decision: last.map(|decision| decision.action.to_string()),
        reason: last.map(|decision| {
            let name = shared.as_ref().map(|shared| shared.name.as_str());
            decision.reason.named(name)
        }),
        ready,
        paused,
        census: census(crew.census()),
        shared_pool: shared,
        back_off: match crew.back_off() {
            BackOff::Calm => None,
            other @ (BackOff::Waiting { .. } | BackOff::Refused { .. }) => Some(other.to_string()),
        },
        backing_off: backing_off(crew.back_off(), pool.failed.as_ref(), now),
        lack: pool.spawn_error.clone(),
        started: pool.started,
        restarts: pool.restarts,
        workers: crew.workers().map(worker).collect(),
    }
}

fn backing_off(
    back_off: &BackOff,
    failed: Option<&String>,
    now: Duration,
) -> Option<words::BackingOff> {
    let (failures, since, next) = match *back_off {
        BackOff::Calm => return None,
        BackOff::Waiting {
            failures,
            since,
            until,
            ..
        } => (failures, since, Some(until)),
        BackOff::Refused { since } => (1, since, None),
    };
    Some(words::BackingOff {
        failures,
        reason: failed.cloned(),
        since: seconds(now.saturating_sub(since)),
        next: next.map(|until| seconds(until.saturating_sub(now))),
    })
}

pub(super) fn limits(tube: &TubeName, limits: Limits) -> words::Limits {
    words::Limits {
        tube: tube.to_string(),
        min: limits.min(),
        spare: limits.spare(),
        max: limits.max(),
    }
}

pub(super) fn decisions(
    history: &History,
    shared: Option<&str>,
    now: Duration,
) -> Vec<words::Decision> {
    let decision = |decided: &Decided| words::Decision {
        age: seconds(now.saturating_sub(decided.first)),
        until: seconds(now.saturating_sub(decided.last)),
        times: decided.times,
        decision: decided.decision.action.to_string(),
        reason: decided.decision.reason.named(shared),
        target: decided.decision.target,
    };
    history.iter().map(decision).collect()
}

fn census(census: Census) -> words::Census {
    words::Census {
        starting: census.starting,
        idle: census.idle,
        busy: census.busy,
        stopping: census.stopping,
        before: (census.before != UNCOUNTED).then_some(census.before),
        troubled: census.troubled,
    }
}

fn one(worker: &Worker, child: Option<&Child>, now: Duration) -> words::Worker {
    let (state, why) = match worker.state() {
        // Nobody knows whether it works.
        State::Idle { .. } if worker.silent() => ("alive", None),
        known => state(known),
    };
    words::Worker {
        name: child.map_or_else(String::new, |child| child.name().to_owned()),
        pid: child.map(Child::pid),
        state: state.to_owned(),
        reason: why.map(|why| why.to_string()),
        age: seconds(now.saturating_sub(worker.born())),
        // 0 is said where there is none to tell.
        task: worker
            .running()
            .map(|running| running.task)
            .filter(|task| *task != 0),
        troubled: worker.troubled(),
        trouble: child
            .filter(|_| worker.troubled())
            .and_then(Child::trouble)
            .map(str::to_owned),
        notice: notice(worker, child, now),
        jobs: worker.jobs(),
        output: worker.output(),
        memory: child.map(Child::memory).filter(|bytes| *bytes > 0),
    }
}

fn notice(worker: &Worker, child: Option<&Child>, now: Duration) -> Option<String> {
    let child = child?;
    let Some(since) = worker.unresponsive_since() else {
        return child.notice().map(str::to_owned);
    };
    let (seconds, why) = (now.saturating_sub(since).as_secs(), child.state_in_words());
    Some(format!("has not answered for {seconds} s: {why}"))
}

fn state(state: &State) -> (&'static str, Option<Why>) {
    match state {
        State::Spawning => ("spawning", None),
        State::Starting { .. } => ("starting", None),
        State::Idle { .. } => ("idle", None),
        State::Busy { .. } => ("busy", None),
        State::Stopping { why, .. } => ("stopping", Some(*why)),
        State::Killed { why, .. } => ("killed", Some(*why)),
        State::Gone => ("gone", None),
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}
