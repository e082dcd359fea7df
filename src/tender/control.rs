//! What the loop does when it is asked, by a signal or over the control socket.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Event, Protocol, Settings, Tender, status};
use crate::control::{Answer, Call, Refusal, Request, Server};
use crate::crew::Closing;
use crate::lifecycle::{MARGIN, TERM_TO_KILL};
use crate::link::Order;
use crate::ownership::Ownership;
use crate::pool::{BadLimits, Limits};
use crate::service::{Service, Services};
use crate::signals::Asked;
use crate::tube::TubeName;

/// Questions that wait for the loop; whoever asks more waits.
const QUEUE: usize = 8;

/// Between two tries to listen, and between two looks whether the socket is there.
const AGAIN: Duration = Duration::from_secs(5);

/// Where a tender is asked. Without a folder, or while it cannot be done, nobody asks: to tend is what matters.
pub(super) struct ControlSocket {
    folders: Vec<PathBuf>,
    store: PathBuf,
    first: Option<TubeName>,
    calls: mpsc::Sender<Call>,
    events: mpsc::Sender<Event>,
    /// What was said last of why it cannot be opened.
    complaint: Option<String>,
    listening: Services,
}

/// Listens, or waits to try again; then an event says that nobody listens.
struct Listening {
    server: Option<Server>,
    calls: mpsc::Sender<Call>,
    events: mpsc::Sender<Event>,
}

impl Service for Listening {
    const NAME: &'static str = "control socket";

    async fn run(&mut self) -> Result<(), String> {
        match &mut self.server {
            Some(server) => server.run(&self.calls, AGAIN).await,
            None => sleep(AGAIN).await,
        }
        // It fails when the tender has ended.
        let _ = self.events.send(Event::SocketGone).await;
        if let Some(server) = &mut self.server {
            server.finish().await;
        }
        Ok(())
    }
}

impl ControlSocket {
    /// A socket that is closed yet, and the calls that will come.
    pub(super) fn new(
        settings: &Settings,
        first: Option<&TubeName>,
        events: mpsc::Sender<Event>,
    ) -> (ControlSocket, mpsc::Receiver<Call>) {
        let (calls, called) = mpsc::channel(QUEUE);
        let socket = ControlSocket {
            folders: settings.runtime.clone(),
            store: settings.store.clone(),
            first: first.cloned(),
            calls,
            events,
            complaint: None,
            listening: Services::default(),
        };
        (socket, called)
    }

    /// Listens in the first folder that can be used, and says where with the right to the tubes. When the socket is
    /// swept away, or could not be made, an event comes of it.
    pub(super) fn open(&mut self, ownership: &mut Ownership) {
        let Some(first) = self.first.clone().filter(|_| !self.folders.is_empty()) else {
            return;
        };
        let opened = self.listen(&first).and_then(|server| {
            let announced = ownership.announce(Some(server.socket()));
            announced
                .map(|()| server)
                .map_err(|error| error.to_string())
        });
        let server = match opened {
            Ok(server) => {
                if self.complaint.take().is_some() {
                    tracing::info!(socket = %server.socket().display(), "can be asked again");
                }
                Some(server)
            }
            Err(reason) => {
                if self.complaint.as_ref() != Some(&reason) {
                    tracing::warn!(reason, "cannot be asked; will keep trying");
                }
                self.complaint = Some(reason);
                None
            }
        };
        self.listening.start(Listening {
            server,
            calls: self.calls.clone(),
            events: self.events.clone(),
        });
    }

    fn listen(&self, first: &TubeName) -> Result<Server, String> {
        let mut reasons = Vec::new();
        for folder in &self.folders {
            match Server::open(folder, &self.store, first) {
                Ok(server) => {
                    for reason in reasons {
                        tracing::debug!(reason, "passed over a folder");
                    }
                    return Ok(server);
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(reasons.join("; "))
    }
}

impl Tender {
    pub(super) fn asked(&mut self, asked: Asked, now: Duration) {
        match asked {
            Asked::Drain => self.close(Closing::Draining { grace: self.grace }, now),
            Asked::Stop => self.close(Closing::Stopping, now),
            Asked::More => self.shift(Limits::raised),
            Asked::Fewer => self.shift(Limits::lowered),
            // What became of it is in the log.
            Asked::Reload => drop(self.reload()),
            Asked::Reopen => {
                (self.reopen)();
                self.tell_all(Order::Reopen);
            }
        }
    }

    pub(super) fn called(&mut self, call: Call) {
        let Call { request, answer } = call;
        let said = match request {
            Request::Status => Ok(Answer::Status(self.status())),
            Request::Stop { now } => Ok(self.stop(now)),
            Request::Leave { tubes, now } => Ok(self.leave_all(&tubes, now)),
            Request::Scale {
                tube,
                min,
                spare,
                max,
            } => self.scale(&tube, |limits| limits.scaled(min, spare, max)),
            Request::Explain { tube } => self.explain(&tube),
            Request::Reload => self.reload(),
            Request::Ping => return self.ping(answer),
            Request::Cancel {
                worker,
                task,
                attempt,
                now,
            } => Ok(self.pass_on(&worker, Order::Cancel { task, attempt, now })),
        };
        // Whoever asked may have gone.
        drop(answer.send(said.unwrap_or_else(Answer::Refused)));
    }

    fn stop(&mut self, now: bool) -> Answer {
        let (how, grace) = match now {
            true => (Closing::Stopping, Duration::ZERO),
            false => (Closing::Draining { grace: self.grace }, self.grace),
        };
        self.close(how, self.now());
        Answer::Stopping {
            within_ms: self.needs(grace, |_| true),
        }
    }

    /// Lets some tubes go, as a reload does that takes them out; the last ones as an end.
    fn leave_all(&mut self, tubes: &[TubeName], now: bool) -> Answer {
        let mut tended = self
            .pools
            .iter()
            .filter(|pool| pool.crew.closing().is_none());
        if tended.all(|pool| tubes.contains(&pool.settings.tube)) {
            return self.stop(now);
        }
        for tube in tubes {
            if self.find(tube).is_ok() {
                tracing::info!(%tube, "tube let go");
            }
            self.leave(tube, now);
        }
        let grace = match now {
            true => Duration::ZERO,
            false => self.grace,
        };
        Answer::Leaving {
            within_ms: self.needs(grace, |tube| tubes.contains(tube)),
        }
    }

    /// In how many milliseconds the workers of these tubes have ended, unless something is stuck.
    fn needs(&self, grace: Duration, of: impl Fn(&TubeName) -> bool) -> u64 {
        let pools = self.pools.iter().filter(|pool| of(&pool.settings.tube));
        let each = pools.map(|pool| pool.settings.rules.kill_after);
        let kill_after = each.fold(TERM_TO_KILL, Duration::max);
        let within = grace.saturating_add(kill_after).saturating_add(MARGIN);
        u64::try_from(within.as_millis()).unwrap_or(u64::MAX)
    }

    /// One worker more or fewer in each pool.
    fn shift(&mut self, shift: impl Fn(Limits) -> Limits) {
        for index in 0..self.pools.len() {
            let Some(pool) = self.pools.get(index) else {
                continue;
            };
            let limits = shift(pool.crew.limits());
            match self.fits(index, limits) {
                Ok(()) => self.limit(index, limits),
                Err(unfit) => {
                    let (tube, reason) = (&pool.settings.tube, unfit.to_string());
                    tracing::warn!(%tube, reason, "pool kept its limits");
                }
            }
        }
    }

    fn scale(
        &mut self,
        tube: &TubeName,
        scaled: impl Fn(Limits) -> Result<Limits, BadLimits>,
    ) -> Result<Answer, Refusal> {
        let index = self.find(tube)?;
        let pool = self.pools.get(index).ok_or("the pool is gone")?;
        if let Some(closing) = pool.crew.closing() {
            return Err(format!("the pool was told to {closing}").into());
        }
        let limits =
            scaled(pool.crew.limits()).map_err(|error| Refusal::wrong(error.to_string()))?;
        let is_static = limits.min() == limits.max() && limits.spare() == 0;
        if pool.settings.command.protocol == Protocol::None && !is_static {
            return Err(Refusal::wrong(format!(
                "the workers of {tube} do not say who is busy, so there are always as many: give --min and --max the \
                 same number"
            )));
        }
        self.fits(index, limits)
            .map_err(|unfit| Refusal::wrong(unfit.to_string()))?;
        self.limit(index, limits);
        Ok(Answer::Scaled(status::limits(tube, limits)))
    }

    /// Gives a pool limits, and lets it act on them.
    fn limit(&mut self, index: usize, limits: Limits) {
        let now = self.now();
        if let Some(pool) = self.pools.get_mut(index) {
            pool.crew.set_limits(limits, now);
            let (min, spare, max) = (limits.min(), limits.spare(), limits.max());
            tracing::info!(tube = %pool.settings.tube, min, spare, max, "pool given other limits");
        }
        self.tend(index);
    }

    /// Passes a word on to whoever has that name. Which attempt is meant, the worker knows; and if nobody hears it, a
    /// look into the ledger tells.
    fn pass_on(&mut self, worker: &str, order: Order) -> Answer {
        let ours = self
            .pools
            .iter_mut()
            .filter(|pool| pool.settings.command.protocol == Protocol::Own);
        let children = ours.flat_map(|pool| pool.children.values_mut());
        let named = children.filter(|child| child.name() == worker);
        let told = named.filter_map(|child| child.order(order).ok());
        Answer::PassedOn {
            workers: told.count() as u64,
        }
    }

    fn explain(&self, tube: &TubeName) -> Result<Answer, Refusal> {
        let index = self.find(tube)?;
        let pool = self.pools.get(index).ok_or("the pool is gone")?;
        let shared = self
            .shared_of(index)
            .map(|shared| shared.settings.name.as_str());
        let decisions = status::decisions(pool.crew.history(), shared, self.now());
        Ok(Answer::Explained { decisions })
    }

    pub(super) fn find(&self, tube: &TubeName) -> Result<usize, String> {
        let mut pools = self.pools.iter();
        pools
            .position(|pool| pool.settings.tube == *tube)
            .ok_or_else(|| format!("it does not tend the tube {tube}"))
    }
}
