//! Round trips to a worker and back, for whoever wants to know whether the whole of it works.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Protocol, Tender, WorkerId};
use crate::control::Answer;
use crate::lifecycle::Class;
use crate::link::{Order, Ticket};

/// The pings on their way, by whom they were sent and what they are answered by.
#[derive(Debug, Default)]
pub(super) struct Pings {
    waiting: BTreeMap<(WorkerId, Ticket), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    worker: String,
    since: Duration,
    answer: oneshot::Sender<Answer>,
}

impl Tender {
    /// Sends a ping by a worker of our own, one that waits for a job if there is any. The answer comes with
    /// the worker's; a worker that keeps silent is given up by whoever asked.
    pub(super) fn ping(&mut self, answer: oneshot::Sender<Answer>) {
        let since = self.now();
        self.pings
            .waiting
            .retain(|_, ping| !ping.answer.is_closed());
        let sent = [Class::Idle, Class::Busy]
            .into_iter()
            .find_map(|class| self.send(class));
        match sent {
            Some((id, worker)) => {
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

    /// What the ping is answered by, and the name of the worker that it was sent by.
    fn send(&mut self, class: Class) -> Option<((WorkerId, Ticket), String)> {
        // Of programs that are not ours, nobody knows whether they answer.
        let ours = |pool: &super::Pool| pool.settings.command.protocol == Protocol::Own;
        let pools = self.pools.iter_mut().enumerate();
        let mut pools = pools.filter(|(_, pool)| ours(pool));
        pools.find_map(|(index, pool)| {
            let crew = &pool.crew;
            let of_class = crew.workers().filter(|(_, worker)| worker.class() == class);
            let children = &mut pool.children;
            of_class.map(|(number, _)| number).find_map(|number| {
                let child = children.get_mut(&number)?;
                let ticket = child.order(Order::Ping).ok()??;
                let id = WorkerId {
                    pool: index,
                    number,
                };
                Some(((id, ticket), child.name().to_owned()))
            })
        })
    }

    /// A worker has answered something, perhaps a ping.
    pub(super) fn ponged(&mut self, id: WorkerId, ticket: Ticket) {
        let now = self.now();
        if let Some(ping) = self.pings.waiting.remove(&(id, ticket)) {
            let took = now.saturating_sub(ping.since);
            drop(ping.answer.send(Answer::Pong {
                worker: Some(ping.worker),
                milliseconds: took.as_secs_f64() * 1000.0,
            }));
        }
    }
}
