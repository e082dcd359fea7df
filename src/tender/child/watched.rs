//! A worker's process, watched: what comes of it becomes events of the tender's loop.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::super::{Event, Protocol, WorkerId, due};
use crate::clock;
use crate::ledger::Open;
use crate::lifecycle::{Ended, MARGIN};
use crate::link::{BadLine, Report, Reports};
use crate::service::Service;
use crate::thread::OneShot;

/// A worker that says nothing is looked at so often: what it holds in memory, and has printed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The most reports of a dead worker that are read: what it started may hold its end of the link
/// and write on.
const LAST_WORDS: usize = 1000;

/// How long the kill of a worker that hangs waits for the store.
const NOTED_WITHIN: Duration = Duration::from_secs(2);

/// What a tender asks of whoever watches a worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    /// To have the worker's group killed.
    pub(super) kill: Arc<Notify>,
    /// To have it killed since it hangs, once that is noted.
    pub(super) kill_hung: Arc<Notify>,
    /// To have a TERM sent.
    pub(super) terminate: Arc<Notify>,
    /// To have it sent a while later.
    pub(super) terminate_soon: Arc<Notify>,
}

/// A worker's process, as it is watched: its lines, its end, and the order to kill it.
pub(super) struct Watched {
    id: WorkerId,
    name: String,
    store: Open,
    events: mpsc::Sender<Event>,
    process: process::Child,
    /// Until its end of the link is closed.
    reports: Option<Reports>,
    wishes: Wishes,
    terminate_at: Option<Instant>,
    /// Of one that never says that it should be looked at.
    looks: Option<Interval>,
    ended: Option<Ended>,
    /// What it had said and nobody had read when it ended.
    last_words: VecDeque<Result<Report, BadLine>>,
    has_begun: bool,
    /// The worker is one of our own.
    is_own: bool,
    /// What it has handed over.
    handed: VecDeque<OwnedFd>,
}

impl Service for Watched {
    const NAME: &'static str = "watcher";

    /// Begun anew, it believes no more that it understands what the worker says. How that stands is not known then: so
    /// it is told to go, by what needs no link, and another takes its place.
    async fn run(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.has_begun, true) {
            self.last_words.clear();
            self.signal(kill_process, Signal::TERM);
            if self.reports.take().is_some()
                && self.events.send(Event::LinkClosed(self.id)).await.is_err()
            {
                return Ok(());
            }
        }
        loop {
            let event = self.next().await;
            let last = matches!(event, Event::Ended(..));
            // Nobody listens any more when the tender has ended without waiting for its workers.
            if self.events.send(event).await.is_err() || last {
                return Ok(());
            }
        }
    }
}

impl Watched {
    /// The process of a worker that has just been started, and its end of the link.
    pub(super) fn of(
        (id, name, store): (WorkerId, String, Open),
        process: process::Child,
        reports: Reports,
        protocol: Protocol,
        wishes: Wishes,
        events: mpsc::Sender<Event>,
    ) -> Watched {
        Watched {
            id,
            name,
            store,
            events,
            process,
            reports: protocol.has_link().then_some(reports),
            wishes,
            terminate_at: None,
            looks: (protocol == Protocol::None).then(looks),
            ended: None,
            last_words: VecDeque::new(),
            has_begun: false,
            is_own: protocol == Protocol::Own,
            handed: VecDeque::new(),
        }
    }

    /// What it does next; [`Event::Ended`] is the last.
    async fn next(&mut self) -> Event {
        let id = self.id;
        loop {
            if let Some(pipe) = self.handed.pop_front() {
                return Event::LeftPrinting(id, pipe);
            }
            if let Some(said) = self.last_words.pop_front() {
                return reported(id, said);
            }
            if let Some(ended) = self.ended {
                return Event::Ended(id, ended);
            }
            tokio::select! {
                said = next_report(&mut self.reports) => {
                    self.take_what_is_handed_over();
                    match said {
                        Some(said) => return reported(id, said),
                        None => {
                            self.reports = None;
                            return Event::LinkClosed(id);
                        }
                    }
                }
                status = self.process.wait() => self.reaped(status),
                () = next_look(&mut self.looks) => return Event::Look(id),
                () = self.wishes.kill.notified() => self.signal(kill_process_group, Signal::KILL),
                () = self.wishes.kill_hung.notified() => {
                    self.note_hung().await;
                    self.signal(kill_process_group, Signal::KILL);
                }
                () = self.wishes.terminate.notified() => self.signal(kill_process, Signal::TERM),
                () = self.wishes.terminate_soon.notified() => self.terminate_at = Some(Instant::now() + MARGIN),
                () = due(self.terminate_at) => {
                    self.terminate_at = None;
                    self.signal(kill_process, Signal::TERM);
                }
            }
        }
    }

    /// Has it in the store why the worker's attempt is lost, before anybody can claim its task. A store that takes its
    /// time keeps nobody from being killed.
    async fn note_hung(&self) {
        let Some(pid) = self.process.id() else {
            return;
        };
        let (open, name) = (Arc::clone(&self.store), self.name.clone());
        let note = move || match open()? {
            Some(mut store) => store.note_hung(&name, pid, clock::now()),
            None => Ok(()),
        };
        let noted = match OneShot::start(Self::NAME) {
            Ok(thread) => timeout(NOTED_WITHIN, thread.run(note)).await,
            Err(error) => Ok(Err(error)),
        };
        let reason = match noted {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took longer than {NOTED_WITHIN:?}"),
        };
        let worker = self.name.as_str();
        tracing::warn!(worker, pid, reason, "could not note why a worker is killed");
    }

    fn reaped(&mut self, status: io::Result<ExitStatus>) {
        self.ended = Some(match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Exited(code),
                (None, signal) => Ended::Signalled(signal.unwrap_or(0)),
            },
            // Only when somebody else has reaped it: it is gone, and how is not known.
            Err(_) => Ended::Signalled(0),
        });
        if let Some(reports) = &mut self.reports {
            let said = std::iter::from_fn(|| reports.arrived());
            self.last_words = said.take(LAST_WORDS).collect();
        }
        self.take_what_is_handed_over();
    }

    /// Only a pipe, and only of our own: a read of something else might never come back.
    fn take_what_is_handed_over(&mut self) {
        let Some(reports) = &mut self.reports else {
            return;
        };
        while let Some(descriptor) = reports.handed() {
            let stat = rustix::fs::fstat(&descriptor);
            let is_pipe = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_fifo());
            if self.is_own && is_pipe {
                self.handed.push_back(descriptor);
            }
        }
    }

    fn signal(&self, send: fn(Pid, Signal) -> rustix::io::Result<()>, signal: Signal) {
        // There is a number only as long as the process has not been reaped.
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It fails when all are gone already.
            let _ = send(pid, signal);
        }
    }
}

fn reported(id: WorkerId, said: Result<Report, BadLine>) -> Event {
    match said {
        Ok(report) => Event::Reported(id, report),
        Err(error) => Event::Garbled(id, error),
    }
}

/// Begins one [`LOOK_EVERY`] from now.
fn looks() -> Interval {
    let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

async fn next_look(looks: &mut Option<Interval>) {
    match looks {
        Some(looks) => drop(looks.tick().await),
        None => std::future::pending().await,
    }
}

async fn next_report(reports: &mut Option<Reports>) -> Option<Result<Report, BadLine>> {
    match reports {
        Some(reports) => reports.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
