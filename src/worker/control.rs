//! What a worker is told, by signals or by its tender.

use std::future::ready;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::machine::Mode;
use crate::link::{self, Order, Ordered, Reply, Report, Ticket};
use crate::process::environment::Environment;
use crate::signals::Asked;
use crate::task::command::Commands;

/// What of the configuration a worker goes by.
#[derive(Debug, Clone)]
pub struct Configured {
    /// What may run.
    pub commands: Arc<Commands>,
    /// What commands have in their environment, beside what is their own.
    pub environment: Environment,
}

/// Reads a configuration: what the tender has handed over, or else the file.
pub type Configure = dyn Fn(Option<OwnedFd>) -> Result<Option<Configured>, String> + Send + Sync;

/// What a worker does at once when it is told to, whatever else it is doing.
pub struct Upkeep {
    /// Goes by what the tender has handed over, or else reads the configuration again. What comes of it holds from the
    /// next job on; nothing does where the configuration is the tender's, and the tender has handed over nothing.
    pub configure: Box<Configure>,
    /// Opens the log file again.
    pub reopen: fn() -> Result<(), String>,
}

/// What is left for the worker to do of what it was told.
#[derive(Debug)]
pub enum Word {
    /// How soon to go.
    Go {
        /// How soon.
        mode: Mode,
        /// What the tender's order is answered by; a signal has none.
        ticket: Option<Ticket>,
    },
    /// The configuration was read again.
    Configured(Configured),
}

/// Hears signals and the tender.
pub struct Control {
    signals: Receiver<Asked>,
    tender: Option<link::Tender>,
    grace: Duration,
    upkeep: Upkeep,
    /// What a mode's times count from.
    start: Instant,
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
            upkeep,
            start: Instant::now(),
        }
    }

    /// What times count from.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Whether a tender started it, and lives.
    pub fn has_tender(&self) -> bool {
        self.tender.is_some()
    }

    /// What has been said by now and was not heard yet.
    pub async fn heard_by_now(&mut self) -> Option<Word> {
        tokio::select! {
            biased;
            word = self.word() => Some(word),
            () = ready(()) => None,
        }
    }

    /// The next word. May be cancelled.
    pub async fn word(&mut self) -> Word {
        loop {
            let word = tokio::select! {
                asked = next_signal(&mut self.signals) => self.asked(asked),
                order = next_order(&mut self.tender) => self.ordered(order),
            };
            if let Some(word) = word {
                return word;
            }
        }
    }

    fn asked(&mut self, asked: Asked) -> Option<Word> {
        match asked {
            Asked::Drain => Some(self.drain(Some(self.grace), None)),
            Asked::Stop => Some(stop(None)),
            Asked::Reload => self.configure(None, None),
            Asked::Reopen => {
                self.reopen(None);
                None
            }
            // Not heeded: a worker is one.
            Asked::More | Asked::Fewer => None,
        }
    }

    /// What is carried out here is answered here; the rest by whoever takes in the word.
    fn ordered(&mut self, ordered: Option<Ordered>) -> Option<Word> {
        let Some(Ordered { order, ticket }) = ordered else {
            tracing::warn!("the tender died; took no more jobs");
            self.tender = None;
            return Some(self.drain(None, None));
        };
        match order {
            Order::Drain { grace_ms } => {
                Some(self.drain(grace_ms.map(Duration::from_millis), ticket))
            }
            Order::Stop => Some(stop(ticket)),
            Order::Reload => {
                let handed = self.tender.as_mut().and_then(link::Tender::handed);
                self.configure(handed, ticket)
            }
            Order::Reopen => {
                self.reopen(ticket);
                None
            }
            Order::Ping => {
                self.answer(ticket, Reply::Done);
                None
            }
        }
    }

    fn configure(&mut self, handed: Option<OwnedFd>, ticket: Option<Ticket>) -> Option<Word> {
        match (self.upkeep.configure)(handed) {
            Ok(configured) => {
                match &configured {
                    Some(_) => tracing::info!("read the configuration again"),
                    None => tracing::debug!("left the configuration to the tender"),
                }
                self.answer(ticket, Reply::Done);
                configured.map(Word::Configured)
            }
            Err(reason) => {
                tracing::error!(reason, "kept the configuration as it was");
                self.answer(ticket, Reply::Refused { reason });
                None
            }
        }
    }

    fn reopen(&mut self, ticket: Option<Ticket>) {
        let reply = match (self.upkeep.reopen)() {
            Ok(()) => Reply::Done,
            Err(reason) => {
                tracing::error!(reason, "log file was not opened again");
                Reply::Refused { reason }
            }
        };
        self.answer(ticket, reply);
    }

    fn drain(&self, grace: Option<Duration>, ticket: Option<Ticket>) -> Word {
        let until = grace.and_then(|grace| self.start.elapsed().checked_add(grace));
        let mode = Mode::Draining { until };
        Word::Go { mode, ticket }
    }

    fn answer(&mut self, ticket: Option<Ticket>, reply: Reply) {
        if let Some(ticket) = ticket {
            self.report(Report::Answered { ticket, reply });
        }
    }

    /// Tells the tender, if there is one.
    pub fn report(&mut self, report: Report) {
        if let Some(tender) = &mut self.tender {
            tender.report(report);
        }
    }
}

fn stop(ticket: Option<Ticket>) -> Word {
    let mode = Mode::Stopping;
    Word::Go { mode, ticket }
}

/// After the second signal there are no more.
async fn next_signal(signals: &mut Receiver<Asked>) -> Asked {
    match signals.recv().await {
        Some(asked) => asked,
        None => std::future::pending().await,
    }
}

async fn next_order(tender: &mut Option<link::Tender>) -> Option<Ordered> {
    match tender {
        Some(tender) => tender.order().await,
        None => std::future::pending().await,
    }
}
