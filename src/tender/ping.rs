//! Round trips to a worker and back, for whoever wants to know whether the whole of it works.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Protocol, Tender};
use crate::control::Answer;
use crate::lifecycle::Class;
use crate::link::Order;

/// The pings on their way.
#[derive(Debug, Default)]
pub(super) struct Pings {
    latest: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    worker: String,
    since: Duration,
    answer: oneshot::Sender<Answer>,
}

impl Tender {
    /// Sends a ping by a worker of our own, one that waits for a job if there is any. The answer comes with its
    /// pong; a worker that keeps silent is given up by whoever asked.
    pub(super) fn ping(&mut self, answer: oneshot::Sender<Answer>) {
        let since = self.now();
        self.pings
            .waiting
            .retain(|_, ping| !ping.answer.is_closed());
        self.pings.latest = self.pings.latest.saturating_add(1);
        let id = self.pings.latest;
        let sent = [Class::Idle, Class::Busy]
            .into_iter()
            .find_map(|class| self.send(class, id));
        match sent {
            Some(worker) => {
                let waiting = Waiting {
                    worker,
                    since,
                    answer,
                };
                self.pings.waiting.insert(id, waiting);
            }
            // Whoever asked may have gone.
            None => drop(answer.send(Answer::Pong {
                worker: None,
                milliseconds: 0.0,
            })),
        }
    }

    /// The name of the worker that it was sent by.
    fn send(&mut self, class: Class, id: u64) -> Option<String> {
        // Of programs that are not ours, nobody knows whether they answer.
        let ours = |pool: &&mut super::Pool| pool.settings.command.protocol == Protocol::Own;
        let mut pools = self.pools.iter_mut().filter(ours);
        pools.find_map(|pool| {
            let crew = &pool.crew;
            let of_class = crew.workers().filter(|(_, worker)| worker.class() == class);
            let children = &mut pool.children;
            of_class.map(|(number, _)| number).find_map(|number| {
                let child = children.get_mut(&number)?;
                child.order(Order::Ping { id }).ok()?;
                Some(child.name().to_owned())
            })
        })
    }

    /// A pong came.
    pub(super) fn ponged(&mut self, id: u64) {
        let now = self.now();
        if let Some(ping) = self.pings.waiting.remove(&id) {
            let took = now.saturating_sub(ping.since);
            drop(ping.answer.send(Answer::Pong {
                worker: Some(ping.worker),
                milliseconds: took.as_secs_f64() * 1000.0,
            }));
        }
    }
}
