//! What a worker is told to do, by signals or by its tender.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use crate::link::{self, Order, Report};
use crate::process::environment::Environment;
use crate::signals::Asked;
use crate::task::command::Commands;

/// Where a worker stands between working and leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It takes jobs.
    Working,
    /// It takes no more jobs; its command may run until then, or however long it takes.
    Draining {
        /// `None`: however long it takes.
        until: Option<Instant>,
    },
    /// It leaves at once.
    Stopping,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Working => "work",
            Mode::Draining { until: None } => "finish",
            Mode::Draining { until: Some(_) } => "drain",
            Mode::Stopping => "stop",
        })
    }
}

/// What of the configuration a worker goes by.
#[derive(Debug, Clone)]
pub struct Configured {
    /// What may run.
    pub commands: Arc<Commands>,
    /// What commands have in their environment, beside what is their own.
    pub environment: Environment,
}

/// What a worker does at once when it is told to, whatever else it is doing.
pub struct Upkeep {
    /// Reads the configuration again. What comes of it holds from the next job on.
    pub configure: Box<dyn Fn() -> Result<Configured, String> + Send + Sync>,
    /// Opens the log file again.
    pub reopen: fn(),
}

/// Hears signals and the tender, and remembers what they add up to.
pub struct Control {
    signals: Receiver<Asked>,
    tender: Option<link::Tender>,
    grace: Duration,
    mode: Mode,
    upkeep: Upkeep,
    fresh: Option<Configured>,
    /// The tender takes us for busy.
    taken_for_busy: bool,
}

impl Control {
    /// `grace` is what a drain by signal gives a running command.
    pub fn new(
        signals: Receiver<Asked>,
        tender: Option<link::Tender>,
        grace: Duration,
        upkeep: Upkeep,
    ) -> Control {
        Control {
            signals,
            tender,
            grace,
            mode: Mode::Working,
            upkeep,
            fresh: None,
            taken_for_busy: false,
        }
    }

    /// What it all adds up to.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether a tender started it, and lives.
    pub fn has_tender(&self) -> bool {
        self.tender.is_some()
    }

    /// Waits for the mode to change. May be cancelled.
    pub async fn changed(&mut self) -> Mode {
        loop {
            let asked = tokio::select! {
                asked = next_signal(&mut self.signals) => match asked {
                    Asked::Drain => self.drain(Some(self.grace)),
                    Asked::Stop => Mode::Stopping,
                    Asked::Reload => {
                        self.configure();
                        continue;
                    }
                    Asked::Reopen => {
                        (self.upkeep.reopen)();
                        continue;
                    }
                    // Not heeded: a worker is one.
                    Asked::More | Asked::Fewer => continue,
                },
                order = next_order(&mut self.tender) => match order {
                    Some(Order::Drain { grace_ms }) => self.drain(grace_ms.map(Duration::from_millis)),
                    Some(Order::Stop) => Mode::Stopping,
                    Some(Order::Reload) => {
                        self.configure();
                        continue;
                    }
                    Some(Order::Reopen) => {
                        (self.upkeep.reopen)();
                        continue;
                    }
                    Some(Order::Ping { id }) => {
                        self.report(Report::Pong { id });
                        continue;
                    }
                    None => {
                        tracing::warn!("the tender died; took no more jobs");
                        self.tender = None;
                        self.drain(None)
                    }
                },
            };
            if rank(asked) > rank(self.mode) {
                self.mode = asked;
                return asked;
            }
        }
    }

    /// Whether [`Control::fresh`] has something.
    pub fn has_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// What was read again since this was asked last. Whatever has been said by now is heard first.
    pub async fn fresh(&mut self) -> Option<Configured> {
        tokio::select! {
            biased;
            _ = self.changed() => {}
            () = std::future::ready(()) => {}
        }
        self.fresh.take()
    }

    fn configure(&mut self) {
        match (self.upkeep.configure)() {
            Ok(configured) => {
                tracing::info!("read the configuration again");
                self.fresh = Some(configured);
            }
            Err(reason) => tracing::error!(reason, "kept the configuration as it was"),
        }
    }

    fn drain(&self, grace: Option<Duration>) -> Mode {
        Mode::Draining {
            until: grace.and_then(|grace| Instant::now().checked_add(grace)),
        }
    }

    /// Whether the tender takes us for busy, perhaps with another task.
    pub fn is_taken_for_busy(&self) -> bool {
        self.taken_for_busy
    }

    /// Tells the tender, if there is one.
    pub fn report(&mut self, report: Report) {
        if let Some(tender) = &mut self.tender {
            self.taken_for_busy = match report {
                Report::Busy { .. } => true,
                Report::Ready | Report::Idle { .. } => false,
                Report::Troubled { .. } | Report::Pong { .. } => self.taken_for_busy,
            };
            tender.report(report);
        }
    }
}

/// Orders only ever hurry a worker: an end without a limit, one with a limit, at once.
fn rank(mode: Mode) -> (u8, Option<std::cmp::Reverse<Instant>>) {
    match mode {
        Mode::Working => (0, None),
        Mode::Draining { until: None } => (1, None),
        Mode::Draining { until: Some(until) } => (2, Some(std::cmp::Reverse(until))),
        Mode::Stopping => (3, None),
    }
}

/// After the second signal there are no more.
async fn next_signal(signals: &mut Receiver<Asked>) -> Asked {
    match signals.recv().await {
        Some(asked) => asked,
        None => std::future::pending().await,
    }
}

async fn next_order(tender: &mut Option<link::Tender>) -> Option<Order> {
    match tender {
        Some(tender) => tender.order().await,
        None => std::future::pending().await,
    }
}
