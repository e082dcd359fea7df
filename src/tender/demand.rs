//! Asking the broker how many jobs wait, apart from the loop: a broker that is slow or gone must not
//! delay a worker's replacement.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::Event;
use crate::broker::{self, Broker, TubeStats};
use crate::pool::Demand;
use crate::service::{Service, Services};
use crate::tube::TubeName;

/// How long the broker has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes questions; each pool has at most one open, so there are never more than pools.
pub(super) struct Asker {
    questions: mpsc::UnboundedSender<(usize, TubeName)>,
    _asking: Services,
}

impl Asker {
    /// `back` hears when a broker that could not be reached can be again: it may be another one.
    pub(super) fn new(
        broker: Box<dyn Broker>,
        events: mpsc::Sender<Event>,
        back: Arc<Notify>,
    ) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        let asking = Asking {
            broker,
            asked,
            events,
            back,
            reachable: true,
            open: None,
        };
        Self {
            questions,
            _asking: Services::of(asking),
        }
    }

    /// Asks; the answer comes as [`Event::Demand`], whatever it is.
    pub(super) fn ask(&self, pool: usize, tube: TubeName) {
        // Those who answer end only with this.
        let _ = self.questions.send((pool, tube));
    }
}

struct Asking {
    broker: Box<dyn Broker>,
    asked: mpsc::UnboundedReceiver<(usize, TubeName)>,
    events: mpsc::Sender<Event>,
    back: Arc<Notify>,
    reachable: bool,
    /// The pool whose question has no answer yet.
    open: Option<usize>,
}

impl Service for Asking {
    const NAME: &'static str = "demand";

    async fn run(&mut self) -> Result<(), String> {
        // A pool asks no more until its question is answered.
        if let Some(pool) = self.open
            && !self.answer(pool, Demand::Unknown).await
        {
            return Ok(());
        }
        while let Some((pool, tube)) = self.asked.recv().await {
            self.open = Some(pool);
            let demand = match ask(self.broker.as_mut(), &tube).await {
                Ok(demand) => {
                    if !self.reachable {
                        tracing::info!("broker answered again");
                        self.back.notify_one();
                    }
                    self.reachable = true;
                    demand
                }
                Err(reason) => {
                    // Once, and not for every try.
                    if self.reachable {
                        tracing::warn!(%tube, reason, "demand could not be asked for");
                    }
                    self.reachable = false;
                    Demand::Unknown
                }
            };
            if !self.answer(pool, demand).await {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Asking {
    /// False if the tender has ended.
    async fn answer(&mut self, pool: usize, demand: Demand) -> bool {
        self.open = None;
        self.events
            .send(Event::Demand { pool, demand })
            .await
            .is_ok()
    }
}

async fn ask(broker: &mut dyn Broker, tube: &TubeName) -> Result<Demand, String> {
    match timeout(PATIENCE, broker.stats_tube(tube)).await {
        Ok(Ok(stats)) => Ok(demand(stats.as_ref())),
        Ok(Err(broker::Error::NotFound)) => Ok(demand(None)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {}s", PATIENCE.as_secs())),
    }
}

/// A tube that does not exist has no jobs.
fn demand(stats: Option<&TubeStats>) -> Demand {
    match stats {
        None => Demand::Ready(0),
        Some(stats) if stats.pause_left.is_zero() => Demand::Ready(stats.ready),
        Some(_) => Demand::Paused,
    }
}
