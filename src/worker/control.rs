//! What a worker is told, by signals or by its tender.

use std::future::{pending, ready};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use super::machine::{By, CallOff, HELD_BACK, Mode};
use crate::link::{self, Order, Ordered, Reply, Report, Ticket};
use crate::process::environment::Environment;
use crate::signals::{self, Asked};
use crate::task::command::Commands;
use crate::task::id::{AttemptId, TaskId};

/// Between two questions to the witness.
const ASK_WITNESS: Duration = Duration::from_millis(10);

/// How long a signal that has come is waited for, which its thread is about to pass on.
const PASSED_ON: Duration = Duration::from_secs(1);

/// What of the configuration a worker goes by.
#[derive(Debug, Clone)]
pub struct Configured {
    /// What may run.
    pub commands: Arc<Commands>,
    /// What commands have in their environment, beside what is their own.
    pub environment: Environment,
}

/// Who wants the configuration to be read again.
#[derive(Debug)]
pub enum Reload {
    /// Whoever sent a signal.
    Signal,
    /// The tender, which hands over what it has accepted to workers of its own.
    Tender(Option<OwnedFd>),
}

/// See [`Upkeep::configure`].
pub type Configure = Box<dyn Fn(Reload) -> Result<Option<Configured>, String> + Send + Sync>;

/// What a worker does at once when it is told to, whatever else it is doing.
pub struct Upkeep {
    /// Goes by what the tender has handed over, or else reads the configuration again. What comes of it holds from the
    /// next job on; nothing does after a signal where the configuration is the tender's.
    pub configure: Configure,
    /// Opens the log file again.
    pub reopen: fn(),
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
        /// Who says so.
        by: By,
    },
    /// The signal that told the worker to go was sent to all around it.
    All,
    /// An attempt is to be cancelled.
    CallOff {
        /// Which.
        attempt: AttemptId,
        /// How.
        how: CallOff,
        /// What the order is answered by.
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
    /// Whether a process beside this one, to which nobody sends signals, has been told to go too.
    witness: Box<dyn Fn() -> bool + Send + Sync>,
    /// While the witness is asked.
    asking: Option<Asking>,
    /// Whether a signal that asks for an end has come, although nobody may have taken it in.
    end_has_come: fn() -> bool,
    /// The worker has taken in that a signal told it to go.
    is_told: bool,
    /// What a mode's times count from.
    start: Instant,
}

/// How the witness is asked.
#[derive(Debug, Clone, Copy)]
struct Asking {
    /// Since when: a signal told the worker to go then.
    since: Instant,
    /// When the next time is.
    next: Instant,
}

impl Control {
    /// `grace` is what a drain by signal gives a running command. `witness` says whether a process beside this one, to
    /// which nobody sends signals, was told to go too: then all were.
    pub fn new(
        signals: Receiver<Asked>,
        tender: Option<link::Tender>,
        grace: Duration,
        upkeep: Upkeep,
        witness: Box<dyn Fn() -> bool + Send + Sync>,
    ) -> Control {
        Control {
            signals,
            tender,
            grace,
            upkeep,
            witness,
            asking: None,
            end_has_come: signals::end_has_come,
            is_told: false,
            start: Instant::now(),
        }
    }

    /// Hands over to the tender what is still printed by what done tasks have left running.
    pub fn hand_over(&mut self, pipes: impl Iterator<Item = OwnedFd>) {
        let closed = match &mut self.tender {
            Some(tender) => tender.hand_over(pipes),
            None => pipes.count(),
        };
        if closed > 0 {
            tracing::debug!(
                closed,
                "nobody reads on what something prints that tasks have left running"
            );
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

    /// What has been said by now and was not heard yet. A signal to go that has come is waited for, which its thread
    /// passes on after those before it: what ended since may have ended by the same signal.
    pub async fn heard_by_now(&mut self) -> Option<Word> {
        while !self.is_told && (self.end_has_come)() {
            match timeout(PASSED_ON, next_signal(&mut self.signals)).await {
                Ok(asked) => {
                    if let Some(word) = self.asked(asked) {
                        return Some(word);
                    }
                }
                Err(_) => self.is_told = true,
            }
        }
        tokio::select! {
            biased;
            word = self.word() => Some(word),
            () = ready(()) => None,
        }
    }

    /// The next word. May be cancelled.
    pub async fn word(&mut self) -> Word {
        loop {
            let ask_at = self.asking.map(|asking| asking.next);
            let word = tokio::select! {
                asked = next_signal(&mut self.signals) => self.asked(asked),
                order = next_order(&mut self.tender) => self.ordered(order),
                () = until(ask_at) => self.ask_witness(),
            };
            if let Some(word) = word {
                return word;
            }
        }
    }

    fn asked(&mut self, asked: Asked) -> Option<Word> {
        match asked {
            Asked::Drain => {
                self.is_told = true;
                let since = Instant::now();
                let next = since + ASK_WITNESS;
                self.asking = Some(Asking { since, next });
                Some(self.drain(Some(self.grace), None, By::Signal))
            }
            Asked::Stop => Some(stop(None, By::Signal)),
            Asked::Reload => self.configure(Reload::Signal, None),
            Asked::Reopen => {
                (self.upkeep.reopen)();
                None
            }
            // Not heeded: a worker is one.
            Asked::More | Asked::Fewer => None,
        }
    }

    /// Asks for as long as an end is held back for the answer.
    fn ask_witness(&mut self) -> Option<Word> {
        if (self.witness)() {
            self.asking = None;
            return Some(Word::All);
        }
        self.asking = self
            .asking
            .filter(|asking| asking.since.elapsed() < HELD_BACK)
            .map(|Asking { since, .. }| Asking {
                since,
                next: Instant::now() + ASK_WITNESS,
            });
        None
    }

    /// What is carried out here is answered here; the rest by whoever takes in the word.
    fn ordered(&mut self, ordered: Option<(Ordered, Option<OwnedFd>)>) -> Option<Word> {
        let Some((Ordered { order, ticket }, handed)) = ordered else {
            tracing::warn!("the tender died; took no more jobs");
            self.tender = None;
            return Some(self.drain(None, None, By::Tender));
        };
        match order {
            Order::Drain { grace_ms } => {
                let grace = grace_ms.map(Duration::from_millis);
                Some(self.drain(grace, ticket, By::Tender))
            }
            Order::Stop => Some(stop(ticket, By::Tender)),
            Order::Reload => self.configure(Reload::Tender(handed), ticket),
            Order::Reopen => {
                (self.upkeep.reopen)();
                self.answer(ticket, Reply::Done);
                None
            }
            Order::Ping => {
                self.answer(ticket, Reply::Done);
                None
            }
            Order::Cancel { task, attempt, now } => Some(Word::CallOff {
                attempt: AttemptId {
                    task: TaskId(task),
                    number: attempt,
                },
                how: CallOff::of(now),
                ticket,
            }),
        }
    }

    fn configure(&mut self, reload: Reload, ticket: Option<Ticket>) -> Option<Word> {
        match (self.upkeep.configure)(reload) {
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

    fn drain(&self, grace: Option<Duration>, ticket: Option<Ticket>, by: By) -> Word {
        let until = grace.and_then(|grace| self.start.elapsed().checked_add(grace));
        let mode = Mode::Draining { until };
        Word::Go { mode, ticket, by }
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

fn stop(ticket: Option<Ticket>, by: By) -> Word {
    let mode = Mode::Stopping;
    Word::Go { mode, ticket, by }
}

/// Makes no timer where none is needed: it is waited for beside every event of a worker.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) if at <= Instant::now() => {}
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// After the second signal there are no more.
async fn next_signal(signals: &mut Receiver<Asked>) -> Asked {
    match signals.recv().await {
        Some(asked) => asked,
        None => pending().await,
    }
}

async fn next_order(tender: &mut Option<link::Tender>) -> Option<(Ordered, Option<OwnedFd>)> {
    match tender {
        Some(tender) => tender.order().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::mpsc::{self, Sender};
    use tokio::time::sleep;

    use super::*;

    /// A worker that nobody tends, and what its signals come by.
    fn control(witness: impl Fn() -> bool + Send + Sync + 'static) -> (Sender<Asked>, Control) {
        let (sender, signals) = mpsc::channel(16);
        let upkeep = Upkeep {
            configure: Box::new(|_| Ok(None)),
            reopen: || {},
        };
        let grace = Duration::from_secs(30);
        let control = Control::new(signals, None, grace, upkeep, Box::new(witness));
        (sender, control)
    }

    /// What was sent before the signal to go is heard before it, and is not taken for it.
    #[tokio::test]
    async fn the_signal_that_has_come_is_heard_whatever_came_before_it() {
        let (sender, mut control) = control(|| false);
        control.end_has_come = || true;
        for before in [Asked::Reload, Asked::Reopen, Asked::More] {
            sender.send(before).await.unwrap();
        }
        let passes_on = tokio::spawn(async move {
            sleep(Duration::from_millis(20)).await;
            sender.send(Asked::Drain).await.unwrap();
            sender
        });
        let word = control.heard_by_now().await;
        assert!(
            matches!(word, Some(Word::Go { by: By::Signal, .. })),
            "{word:?}"
        );
        assert!(control.heard_by_now().await.is_none());
        passes_on.await.unwrap();
    }

    /// A worker for which much happens begins to wait for a word again and again.
    #[tokio::test]
    async fn the_witness_is_asked_however_often_the_wait_is_broken_off() {
        let is_told = Arc::new(AtomicBool::new(false));
        let witness = Arc::clone(&is_told);
        let (sender, mut control) = control(move || witness.load(Ordering::Relaxed));
        sender.send(Asked::Drain).await.unwrap();
        assert!(matches!(control.word().await, Word::Go { .. }));
        is_told.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        let word = loop {
            if let Ok(word) = timeout(Duration::from_millis(1), control.word()).await {
                break word;
            }
            assert!(begin.elapsed() < HELD_BACK, "never asked");
        };
        assert!(matches!(word, Word::All), "{word:?}");
    }
}
