//! Asking busy workers whether they still answer, and what is said of one that does not.

use std::time::Duration;

use super::{Protocol, Tender, WorkerId};
use crate::crew::Number;
use crate::lifecycle;
use crate::link::Order;

impl Tender {
    /// A worker has said that it runs a command. Our own answer meanwhile, and so do those that say how long the
    /// command may run on.
    pub(super) fn is_busy(
        &mut self,
        id: WorkerId,
        busy: lifecycle::Event,
        left: Option<Duration>,
        now: Duration,
    ) {
        self.tell_only(id, busy, now);
        let protocol = self
            .pools
            .get(id.pool)
            .map(|pool| pool.settings.command.protocol);
        let answers = match protocol {
            Some(Protocol::Own) => true,
            Some(Protocol::Lines) => left.is_some(),
            Some(Protocol::Tokens | Protocol::None) | None => false,
        };
        if answers {
            self.tell_only(id, lifecycle::Event::Watched { left }, now);
        }
        self.tend(id.pool);
    }

    pub(super) fn poke(&mut self, pool: usize, worker: Number) {
        if let Some(pool) = self.pools.get_mut(pool)
            && let Some(child) = pool.children.get_mut(&worker)
            && let Err(error) = child.order(Order::Ping)
        {
            // As one that does not answer.
            let (worker, pid, reason) = (child.name(), child.pid(), error.to_string());
            tracing::debug!(worker, pid, reason, "worker could not be asked");
        }
    }

    /// Looks at the process of a worker that has not answered.
    pub(super) fn look_at(&mut self, pool: usize, worker: Number) {
        let children = self.pools.get(pool).map(|pool| &pool.children);
        let child = children.and_then(|children| children.get(&worker));
        let is_stopped = child.is_some_and(|child| child.state() == Some('T'));
        let id = WorkerId {
            pool,
            number: worker,
        };
        let now = self.now();
        self.tell_only(id, lifecycle::Event::Looked { is_stopped }, now);
    }

    pub(super) fn say_unresponsive(&self, pool: usize, worker: Number) {
        if let Some(pool) = self.pools.get(pool)
            && let Some(child) = pool.children.get(&worker)
        {
            let tube = &pool.settings.tube;
            let known = pool.crew.worker(worker);
            let task = known
                .and_then(|worker| worker.running())
                .map(|ran| ran.task);
            let (worker, pid, reason) = (child.name(), child.pid(), child.state_in_words());
            tracing::warn!(
                worker,
                pid,
                %tube,
                task,
                reason,
                "worker does not answer; will be killed once its command has timed out, if that can"
            );
        }
    }

    pub(super) fn say_responsive(&self, pool: usize, worker: Number) {
        if let Some(pool) = self.pools.get(pool)
            && let Some(child) = pool.children.get(&worker)
        {
            let (worker, pid, tube) = (child.name(), child.pid(), &pool.settings.tube);
            tracing::info!(worker, pid, %tube, "worker answers again");
        }
    }
}
