//! Hearing the first job of tubes that have no workers, so that one is started at once.
//!
//! A broker tells of a job only whoever reserves it. So it is reserved and given back, as it was, before a worker
//! is started: that takes longer than the giving back.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Event;
use crate::broker::{self, Broker, Reserve};
use crate::service::{Service, Services};
use crate::tube::TubeName;

/// How long one reserve waits. beanstalkd may not wake who waits for a tube whose pause is lifted.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many answers in a row that say at once that there is nothing are taken as they come.
const FREE: u32 = 3;

/// The pause after as many; each after that is twice as long, up to [`PATIENCE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// So many tubes may wait to be listened to. Those of a tender with more are asked about again and again instead.
const AT_ONCE: usize = 1024;

/// Takes the tubes to listen to; each pool has at most one there.
pub(super) struct Listener {
    tubes: mpsc::Sender<Listening>,
    _hearing: Services,
}

/// A tube that is listened to, and whose it is.
struct Listening {
    pool: usize,
    tube: TubeName,
}

impl Listener {
    pub(super) fn new(broker: Box<dyn Broker>, events: mpsc::Sender<Event>) -> Self {
        let (tubes, more) = mpsc::channel(AT_ONCE);
        let hearing = Hearing {
            broker,
            more,
            events,
            all: Vec::new(),
            in_vain: 0,
        };
        Self {
            tubes,
            _hearing: Services::of(hearing),
        }
    }

    /// Listens; what comes of it comes as [`Event::Heard`], once. False if nobody can.
    pub(super) fn listen(&self, pool: usize, tube: TubeName) -> bool {
        self.tubes.try_send(Listening { pool, tube }).is_ok()
    }
}

struct Hearing {
    broker: Box<dyn Broker>,
    more: mpsc::Receiver<Listening>,
    events: mpsc::Sender<Event>,
    /// Those that are listened to.
    all: Vec<Listening>,
    /// How many reserves in a row came back too early, and with nothing.
    in_vain: u32,
}

impl Service for Hearing {
    const NAME: &'static str = "listener";

    async fn run(&mut self) -> Result<(), String> {
        // They ask for their demand until they listen again.
        let unheard = std::mem::take(&mut self.all);
        if !self.tell(unheard, false).await {
            return Ok(());
        }
        loop {
            let pause = pause(self.in_vain);
            let begun = Instant::now();
            let names: Vec<TubeName> = self.all.iter().map(|one| one.tube.clone()).collect();
            let heard = tokio::select! {
                // The job that is just being reserved goes back with the connection.
                one = self.more.recv() => match one {
                    Some(one) => {
                        self.all.push(one);
                        continue;
                    }
                    None => return Ok(()),
                },
                heard = hear(self.broker.as_mut(), &names, pause), if !self.all.is_empty() => heard,
            };
            let (woken, job) = match heard {
                Ok(None) => {
                    let took = begun.elapsed().saturating_sub(pause);
                    self.in_vain = match took < PATIENCE / 2 {
                        true => self.in_vain.saturating_add(1),
                        false => 0,
                    };
                    continue;
                }
                Ok(Some(tube)) => {
                    self.in_vain = 0;
                    let woken = self.all.extract_if(.., |one| one.tube == tube);
                    (woken.collect(), true)
                }
                Err(error) => {
                    let reason = error.to_string();
                    tracing::debug!(reason, "tubes could not be listened to");
                    (std::mem::take(&mut self.all), false)
                }
            };
            if !self.tell(woken, job).await {
                return Ok(());
            }
        }
    }
}

impl Hearing {
    /// False if the tender has ended.
    async fn tell(&mut self, woken: Vec<Listening>, job: bool) -> bool {
        for Listening { pool, .. } in woken {
            if self.events.send(Event::Heard { pool, job }).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// How long a broker is not asked that has said so often, at once, that there is nothing. A few such answers may be
/// true: somebody else has had the job.
fn pause(in_vain: u32) -> Duration {
    match in_vain.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE
            .saturating_mul(1 << doublings.min(10))
            .min(PATIENCE),
    }
}

/// The tube of the first job there is, if one came, after a pause.
async fn hear(
    broker: &mut dyn Broker,
    tubes: &[TubeName],
    pause: Duration,
) -> Result<Option<TubeName>, broker::Error> {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let reservation = match broker.reserve(tubes, PATIENCE).await? {
        Reserve::Job(reservation) => reservation,
        Reserve::TimedOut | Reserve::DeadlineSoon => return Ok(None),
    };
    let Some(stats) = broker.stats_job(reservation.id).await? else {
        return Ok(None);
    };
    match broker
        .release(reservation, stats.priority, Duration::ZERO)
        .await
    {
        Ok(()) | Err(broker::Error::NotFound) => Ok(Some(stats.tube)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_says_nothing_at_once_is_asked_ever_more_slowly() {
        let pauses: Vec<u128> = (0..12).map(|n| pause(n).as_millis()).collect();
        assert_eq!(
            pauses,
            [0, 0, 0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
        );
    }
}
