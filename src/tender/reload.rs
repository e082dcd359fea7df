//! Reading the configuration again, and applying what has changed: all of it, or nothing.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use tokio::sync::watch;

use super::{Pool, PoolSettings, Protocol, SharedPool, Tender, check};
use crate::control::{Answer, Refusal};
use crate::link::Order;
use crate::pool::Limits;
use crate::reconcile::Scope;
use crate::scheduler::Written;
use crate::tube::TubeName;

/// Where a tender's settings come from, once it runs.
pub struct Configuration {
    /// Reads it all again; what is wrong with it, in words.
    pub read: Box<dyn FnMut() -> Result<Read, Refusal> + Send>,
    /// What the one who puts tubes right goes by.
    pub scope: watch::Sender<Scope>,
    /// What the scheduler has of it.
    pub schedules: watch::Sender<Written>,
    /// What was accepted last, for our own workers.
    pub accepted: OwnedFd,
}

/// What was read.
pub struct Read {
    /// One a tube.
    pub pools: Vec<PoolSettings>,
    /// Those of several tubes.
    pub shared: Vec<SharedPool>,
    /// How long commands may run on after the first TERM, INT or QUIT.
    pub grace: std::time::Duration,
    /// What may run; for the tubes of the pools.
    pub scope: Scope,
    /// What makes tasks at given times.
    pub schedules: Written,
    /// What has changed and cannot be changed while it runs.
    pub kept: Vec<String>,
    /// The configuration, for our own workers.
    pub accepted: OwnedFd,
}

/// What is to be done to come from some settings to others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Tubes that nobody tends yet.
    begin: BTreeSet<TubeName>,
    /// Tubes to be left.
    end: BTreeSet<TubeName>,
}

impl Plan {
    fn new(tended: &BTreeSet<TubeName>, wanted: &BTreeSet<TubeName>) -> Self {
        Self {
            begin: wanted.difference(tended).cloned().collect(),
            end: tended.difference(wanted).cloned().collect(),
        }
    }
}

impl Tender {
    /// Reads the configuration and applies what has changed in it since it was read last.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub(super) fn reload(&mut self) -> Result<Answer, Refusal> {
        let done = self.read_again();
        match &done {
            Ok((changed, kept)) => {
                for change in changed {
                    tracing::info!(change, "configuration changed");
                }
                for change in kept {
                    tracing::warn!(change, "configuration not changed");
                }
                tracing::info!(changes = changed.len(), "configuration read again");
            }
            Err(refusal) => {
                let reason = refusal.reason.as_str();
                tracing::error!(reason, "configuration kept as it was");
            }
        }
        let (changed, kept) = done?;
        Ok(Answer::Reloaded { changed, kept })
    }

    fn read_again(&mut self) -> Result<(Vec<String>, Vec<String>), Refusal> {
        let configuration = self.configuration.as_mut();
        let configuration = configuration.ok_or("it has no configuration to read again")?;
        let Read {
            pools,
            shared,
            grace,
            scope,
            schedules,
            kept,
            accepted,
        } = (configuration.read)()?;
        check(&pools, &shared).map_err(|error| Refusal::wrong(error.to_string()))?;
        if self.ending {
            return Err("it is ending".into());
        }
        let tended = self.pools.iter().filter(|pool| !pool.left());
        let tended = tended.map(|pool| pool.settings.tube.clone()).collect();
        let wanted = pools.iter().map(|pool| pool.tube.clone()).collect();
        let plan = Plan::new(&tended, &wanted);
        // A pool that is on its way out has its right still.
        let free = plan.begin.iter().filter(|tube| !self.holds(tube));
        let free: BTreeSet<TubeName> = free.cloned().collect();
        self.ownership
            .add(&free)
            .map_err(|error| error.to_string())?;

        // From here on nothing fails.
        let mut changed = Vec::new();
        if self.grace != grace {
            changed.push(format!(
                "the grace period is {grace:?}, no longer {:?}",
                self.grace
            ));
            self.grace = grace;
        }
        if let Some(configuration) = &self.configuration
            && configuration.scope.borrow().retention != scope.retention
        {
            changed.push("tasks that have ended stay for other times than before".to_owned());
        }
        if let Some(configuration) = &self.configuration
            && *configuration.schedules.borrow() != schedules
        {
            changed.push("schedules are others than before".to_owned());
        }
        for settings in pools {
            let tube = settings.tube.clone();
            match self.find(&tube) {
                Ok(index) => self.apply(index, settings, &mut changed),
                Err(_) => {
                    changed.push(format!("{tube} is tended"));
                    self.pools.push(Pool::new(settings));
                    self.count(self.pools.len().saturating_sub(1));
                }
            }
        }
        for tube in &plan.end {
            changed.push(format!("{tube} is no longer tended"));
            self.leave(tube, false);
        }
        changed.extend(self.share_as(shared));
        if let Some(configuration) = &mut self.configuration {
            configuration.accepted = accepted;
            configuration.scope.send_replace(scope);
            configuration.schedules.send_replace(schedules);
            self.back.notify_one();
        }
        self.tell_all(Order::Reload);
        self.forgive();
        Ok((changed, kept))
    }

    /// Whether a pool of that tube is here, even one on its way out.
    fn holds(&self, tube: &TubeName) -> bool {
        let mut pools = self.pools.iter();
        pools.any(|pool| pool.settings.tube == *tube && !pool.crew.ended())
    }

    fn apply(&mut self, index: usize, new: PoolSettings, changed: &mut Vec<String>) {
        let now = self.now();
        let Some(pool) = self.pools.get_mut(index) else {
            return;
        };
        let tube = &new.tube;
        let old = &pool.settings;
        if pool.crew.closing().is_some() {
            changed.push(format!("{tube} is tended again"));
            pool.crew.reopen(now);
        }
        if old.limits != new.limits {
            let (from, to) = (said(&old.limits), said(&new.limits));
            changed.push(format!("{tube}: {to}, no longer {from}"));
            pool.crew.set_limits(new.limits, now);
        }
        if old.rules != new.rules {
            changed.push(format!("{tube}: workers are replaced by other rules"));
            pool.crew.set_rules(new.rules, now);
        }
        if old.command != new.command {
            // Our own goes by other words than before, which the link tells it too.
            let foreign = [old, &new]
                .iter()
                .any(|of| of.command.protocol != Protocol::Own);
            if foreign {
                changed.push(format!("{tube}: another program is its worker"));
                pool.crew.outdate(now);
            }
        }
        pool.settings = new;
        // Its right may be another than before, and what others left too.
        self.count(index);
    }

    /// Lets the workers of a tube go that was taken out of the configuration, or is to be let go; at once, or once
    /// their commands have had their time.
    pub(super) fn leave(&mut self, tube: &TubeName, at_once: bool) {
        let (now, grace) = (self.now(), self.grace);
        if let Ok(index) = self.find(tube)
            && let Some(pool) = self.pools.get_mut(index)
        {
            let effects = match at_once {
                true => pool.crew.stop(now),
                false => pool.crew.drain(grace, now),
            };
            self.perform(index, effects);
        }
    }

    /// Gives up the right to tubes whose pools were left and have ended: others may tend them.
    pub(super) fn release(&mut self) {
        for pool in self.pools.iter().filter(|pool| pool.crew.ended()) {
            self.ownership.release(&pool.settings.tube);
        }
    }

    /// What kept workers from starting may have been put right.
    fn forgive(&mut self) {
        let now = self.now();
        for pool in &mut self.pools {
            pool.crew.forgive(now);
        }
        self.tend_all();
    }

    /// Gives an order to every worker that can be reached.
    pub(super) fn tell_all(&mut self, order: Order) {
        let accepted = self.configuration.as_ref();
        let accepted = accepted.map(|configuration| configuration.accepted.as_fd());
        for child in self
            .pools
            .iter_mut()
            .flat_map(|pool| pool.children.values_mut())
        {
            if let Err(error) = child.order_with(order, accepted) {
                // One that dies at this moment, or does not read.
                tracing::debug!(
                    worker = child.name(),
                    reason = error.to_string(),
                    "worker could not be told"
                );
            }
        }
    }
}

impl Pool {
    /// Whether it is on its way out, or gone.
    fn left(&self) -> bool {
        self.crew.closing().is_some()
    }
}

fn said(limits: &Limits) -> String {
    let (min, spare, max) = (limits.min(), limits.spare(), limits.max());
    format!("{min} to {max} workers and {spare} spare")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tubes_come_and_go() {
        let tubes = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let plan = |tended: &[&str], wanted: &[&str]| Plan::new(&tubes(tended), &tubes(wanted));
        assert_eq!(plan(&["a", "b"], &["b", "a"]), Plan::default());
        let moved = plan(&["a", "b"], &["b", "c"]);
        assert_eq!((moved.begin, moved.end), (tubes(&["c"]), tubes(&["a"])));
    }
}
