//! Asking the broker how many jobs wait, apart from the loop: a broker that is slow or gone must not
//! delay a worker's replacement.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::Event;
use crate::broker::{self, Broker, TubeStats};
use crate::pool::Demand;
use crate::tube::TubeName;

/// How long the broker has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes questions; each pool has at most one open, so there are never more than pools.
pub(super) struct Asker {
    questions: mpsc::UnboundedSender<(usize, TubeName)>,
}

impl Asker {
    /// `back` hears when a broker that could not be reached can be again: it may be another one.
    pub(super) fn new(
        mut broker: Box<dyn Broker>,
        events: mpsc::Sender<Event>,
        back: Arc<Notify>,
    ) -> Self {
        let (questions, mut asked) = mpsc::unbounded_channel::<(usize, TubeName)>();
        tokio::spawn(async move {
            let mut reachable = true;
            while let Some((pool, tube)) = asked.recv().await {
                let demand = match ask(broker.as_mut(), &tube).await {
                    Ok(demand) => {
                        if !reachable {
                            tracing::info!("broker answered again");
                            back.notify_one();
                        }
                        reachable = true;
                        demand
                    }
                    Err(reason) => {
                        // Once, and not for every try.
                        if reachable {
                            tracing::warn!(%tube, reason, "demand could not be asked for");
                        }
                        reachable = false;
                        Demand::Unknown
                    }
                };
                if events.send(Event::Demand { pool, demand }).await.is_err() {
                    return;
                }
            }
        });
        Self { questions }
    }

    /// Asks; the answer comes as [`Event::Demand`], whatever it is.
    pub(super) fn ask(&self, pool: usize, tube: TubeName) {
        // The task ends only with the loop.
        let _ = self.questions.send((pool, tube));
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
