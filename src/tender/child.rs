//! A worker as a process: starting it, hearing it, killing it.
//!
//! The worker's end of the link and its slot are inherited by clearing their close-on-exec flags just around
//! the spawn.
//! That is safe as long as nothing else in the process spawns in that moment, which holds on a
//! current-thread runtime: the other threads, of signals and of the log, start nothing. (The usual way,
//! `pre_exec`, makes std fork where it could `posix_spawn`.)

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::FileType;
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{self, Command};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::printed::{Follower, Printer, Told};
use super::{Event, PoolSettings, Protocol, WorkerCommand, WorkerId, due};
use crate::lifecycle::{Ended, MARGIN};
use crate::link::{
    self, BadLine, CONFIGURATION_VARIABLE, FD_VARIABLE, GUARD_VARIABLE, NAME_VARIABLE, Order,
    Orders, Report, Reports, SLOT_VARIABLE, Ticket,
};
use crate::ownership::Slot;
use crate::process::leftover::{self, MARK_VARIABLE};
use crate::process::{folder, limit, program};
use crate::service::{Service, Services};
use crate::thread::OneShot;

/// The environment variable that tells any worker, also one that takes no arguments, its tube.
const TUBE_VARIABLE: &str = "TASKQUEUE_TUBE";

/// A worker that says nothing is looked at so often: what it holds in memory, and has printed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The most reports of a dead worker that are read: what it started may hold its end of the link
/// and write on.
const LAST_WORDS: usize = 1000;

/// A worker's process, as the loop holds it.
pub(super) struct Child {
    name: String,
    pid: u32,
    orders: Orders,
    /// The last reload's, until it is answered.
    reload: Option<Ticket>,
    kill: Arc<Notify>,
    complained: bool,
    /// It has said something of how it stands.
    spoke: bool,
    protocol: Protocol,
    /// In the environment of one that is not ours, and of whatever it starts. What our own have started is found by its
    /// attempt's lock.
    mark: Option<Uuid>,
    /// What it has printed; nothing is counted of our own.
    printed: Arc<AtomicU64>,
    /// Only of those that hear no orders.
    leaving: Option<Leaving>,
    /// What it lacks, as long as it is in trouble.
    trouble: Option<String>,
    /// To have a TERM sent.
    terminate: Arc<Notify>,
    /// To have it sent a while later.
    terminate_soon: Arc<Notify>,
}

/// How far a worker that hears no orders has come in going.
#[derive(Debug)]
struct Leaving {
    is_busy: bool,
    /// It goes when it has ended its job.
    is_to_go: bool,
}

impl Child {
    /// Starts a worker, and what sends as events what it does: that runs on when this is dropped.
    pub(super) fn spawn(
        settings: &PoolSettings,
        id: WorkerId,
        slot: Slot,
        guarded: Option<BorrowedFd<'_>>,
        accepted: Option<BorrowedFd<'_>>,
        events: mpsc::Sender<Event>,
        beside: &mut Services,
    ) -> io::Result<Self> {
        let name = format!("{}-{}", settings.tube, id.number);
        let (link, theirs) = link::Worker::pair()?;
        limit::leaves_room(&theirs)?;
        folder::enter()?;
        let protocol = settings.command.protocol;
        let mut command = command(&settings.command);
        command
            .env(SLOT_VARIABLE, slot.as_fd().as_raw_fd().to_string())
            .env(NAME_VARIABLE, &name)
            .env(TUBE_VARIABLE, settings.tube.as_str());
        if protocol.has_link() {
            command.env(FD_VARIABLE, theirs.as_raw_fd().to_string());
            rustix::io::fcntl_setfd(&theirs, FdFlags::empty())?;
        }
        if let (Protocol::Own, Some(soft)) = (protocol, limit::told()) {
            command.env(limit::VARIABLE, soft);
        }
        let mark = (protocol != Protocol::Own).then(Uuid::now_v7);
        if let Some(mark) = mark {
            command.env(MARK_VARIABLE, mark.to_string());
        }
        rustix::io::fcntl_setfd(&slot, FdFlags::empty())?;
        // What a configuration says is no business of other people's programs.
        let accepted = accepted.filter(|_| protocol == Protocol::Own);
        let lent = [
            (GUARD_VARIABLE, guarded),
            (CONFIGURATION_VARIABLE, accepted),
        ];
        for (variable, lent) in &lent {
            if let Some(lent) = lent {
                command.env(variable, lent.as_raw_fd().to_string());
                rustix::io::fcntl_setfd(lent, FdFlags::empty())?;
            } else {
                // It would be that of a tender around us.
                command.env_remove(variable);
            }
        }
        let spawned = command.spawn();
        // Before anything else is spawned.
        let mut lent = lent.iter().filter_map(|(_, lent)| *lent);
        let closed = lent.try_for_each(|lent| rustix::io::fcntl_setfd(lent, FdFlags::CLOEXEC));
        // Ours to close, or its death would never be the end of the file, nor free its slot.
        drop((theirs, slot));
        let mut process = spawned?;
        closed?;
        let pid = process.id().unwrap_or(0);
        // Our own raises it anyway.
        if protocol != Protocol::Own
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            limit::give(pid);
        }
        let [kill, terminate, terminate_soon] = [(); 3].map(|()| Arc::new(Notify::new()));
        let printer = Printer {
            worker: name.clone(),
            pid,
            tube: settings.tube.clone(),
        };
        let told = (protocol == Protocol::Tokens).then(|| Told {
            id,
            events: events.clone(),
        });
        let printed = listen(&mut process, &printer, told, beside);
        beside.start(Watched {
            id,
            events,
            process,
            reports: protocol.has_link().then_some(link.reports),
            kill: Arc::clone(&kill),
            terminate: Arc::clone(&terminate),
            terminate_soon: Arc::clone(&terminate_soon),
            terminate_at: None,
            looks: (protocol == Protocol::None).then(looks),
            ended: None,
            last_words: VecDeque::new(),
            has_begun: false,
            is_own: protocol == Protocol::Own,
            handed: VecDeque::new(),
        });
        Ok(Self {
            name,
            pid,
            orders: link.orders,
            reload: None,
            kill,
            complained: false,
            spoke: false,
            protocol,
            terminate,
            mark,
            printed,
            terminate_soon,
            leaving: (!protocol.has_link()).then_some(Leaving {
                is_busy: false,
                is_to_go: false,
            }),
            trouble: None,
        })
    }

    /// What it is called in logs, and calls itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is(&self, pid: Pid) -> bool {
        u32::try_from(pid.as_raw_nonzero().get()).is_ok_and(|pid| pid == self.pid)
    }

    /// Bytes that it holds in memory (RSS, as `ps` shows it); 0 if that cannot be told.
    pub(super) fn memory(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid));
        statm.ok().and_then(|text| resident(&text)).unwrap_or(0)
    }

    /// Bytes that it has printed itself, as far as that is ours to count.
    pub(super) fn printed(&self) -> u64 {
        self.printed.load(Ordering::Relaxed)
    }

    /// Tells it something, without waiting, and says by which ticket that is answered. One that hears no orders gets a
    /// TERM, but not while it works on a job that it may finish; it answers nothing.
    pub(super) fn order(&mut self, order: Order) -> io::Result<Option<Ticket>> {
        self.order_with(order, None)
    }

    /// The same; a reload of one of our own with the configuration that was accepted.
    pub(super) fn order_with(
        &mut self,
        order: Order,
        accepted: Option<BorrowedFd<'_>>,
    ) -> io::Result<Option<Ticket>> {
        let is_own = self.mark.is_none();
        let Some(leaving) = &mut self.leaving else {
            let handed = accepted.filter(|_| is_own && order == Order::Reload);
            // One that has never said a word of ours perhaps reads none either.
            if self.protocol == Protocol::Lines && !self.spoke {
                match order {
                    Order::Drain { .. } | Order::Stop => self.terminate.notify_one(),
                    Order::Reload | Order::Reopen | Order::Ping => {}
                }
            }
            let ticket = self.orders.send_with(order, handed)?;
            if order == Order::Reload {
                self.reload = Some(ticket);
            }
            if order == Order::Stop && self.protocol == Protocol::Lines {
                // It does not have to heed the order, and may heed a TERM.
                self.terminate_soon.notify_one();
            }
            return Ok(Some(ticket));
        };
        match order {
            Order::Drain { .. } if leaving.is_busy => leaving.is_to_go = true,
            Order::Drain { .. } | Order::Stop => self.terminate.notify_one(),
            Order::Reload | Order::Reopen | Order::Ping => {}
        }
        Ok(None)
    }

    /// Whether that is the answer to the last reload; true once.
    pub(super) fn has_reloaded(&mut self, ticket: Ticket) -> bool {
        self.reload.take_if(|last| *last == ticket).is_some()
    }

    /// What it said that it lacks, if it is in trouble and said so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes note of what it said.
    pub(super) fn said(&mut self, report: &Report) {
        self.spoke = true;
        match report {
            Report::Troubled { reason, .. } => {
                self.trouble = (!reason.is_empty()).then(|| reason.clone());
            }
            Report::Idle { .. } => self.trouble = None,
            Report::Ready | Report::Busy { .. } | Report::Answered { .. } => {}
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.is_busy = matches!(report, Report::Busy { .. });
            if leaving.is_to_go && !leaving.is_busy {
                self.terminate.notify_one();
            }
        }
    }

    /// Kills it, and what it started in its own process group.
    pub(super) fn kill(&self) {
        // By the task that reaps it, so that the number cannot have become somebody else's.
        self.kill.notify_one();
    }

    /// Ends what it has left running, away from the loop.
    pub(super) fn end_marked(&self, ends: &mut Services) {
        if let Some(mark) = self.mark {
            ends.start(Remains { mark });
        }
    }

    /// True the first time.
    pub(super) fn first_complaint(&mut self) -> bool {
        !std::mem::replace(&mut self.complained, true)
    }
}

/// The second number of `/proc/PID/statm`, which counts pages, in bytes.
fn resident(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page)
}

fn command(worker: &WorkerCommand) -> Command {
    let mut command = Command::new(match worker.protocol {
        Protocol::Own => program::found(&worker.program),
        Protocol::Lines | Protocol::Tokens | Protocol::None => worker.program.clone(),
    });
    match worker.protocol {
        Protocol::Own => command.arg0("taskqueue"),
        Protocol::Lines | Protocol::Tokens | Protocol::None => {
            command.stdout(Stdio::piped()).stderr(Stdio::piped())
        }
    };
    command
        .args(&worker.arguments)
        .stdin(Stdio::null())
        // A group of its own: Ctrl-C on a terminal goes to the foreground group, and it is for the
        // tender to say what becomes of it: a drain, with time for the commands.
        .process_group(0);
    command
}

/// Follows what it prints, if that was piped; where its bytes are counted.
fn listen(
    process: &mut process::Child,
    printer: &Printer,
    told: Option<Told>,
    beside: &mut Services,
) -> Arc<AtomicU64> {
    let bytes = Arc::new(AtomicU64::new(0));
    if let Some(stdout) = process.stdout.take() {
        let (printer, bytes) = (printer.clone(), Arc::clone(&bytes));
        beside.start(Follower::of(stdout, "stdout", printer, bytes, told));
    }
    if let Some(stderr) = process.stderr.take() {
        let (printer, bytes) = (printer.clone(), Arc::clone(&bytes));
        beside.start(Follower::of(stderr, "stderr", printer, bytes, None));
    }
    bytes
}

/// What a dead worker that was not ours has left running.
struct Remains {
    mark: Uuid,
}

impl Service for Remains {
    const NAME: &'static str = "remains";

    async fn run(&mut self) -> Result<(), String> {
        let mark = self.mark.to_string();
        let thread = OneShot::start("remains").map_err(|error| error.to_string())?;
        let ended = thread.run(move || leftover::end_marked(&mark)).await;
        if let Err(error) = ended.map_err(|error| error.to_string())? {
            tracing::warn!(%error, "could not look for what a worker left running");
        }
        Ok(())
    }
}

/// A worker's process, as it is watched: its lines, its end, and the order to kill it.
struct Watched {
    id: WorkerId,
    events: mpsc::Sender<Event>,
    process: process::Child,
    /// Until its end of the link is closed.
    reports: Option<Reports>,
    kill: Arc<Notify>,
    terminate: Arc<Notify>,
    terminate_soon: Arc<Notify>,
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
                () = self.kill.notified() => self.signal(kill_process_group, Signal::KILL),
                () = self.terminate.notified() => self.signal(kill_process, Signal::TERM),
                () = self.terminate_soon.notified() => self.terminate_at = Some(Instant::now() + MARGIN),
                () = due(self.terminate_at) => {
                    self.terminate_at = None;
                    self.signal(kill_process, Signal::TERM);
                }
            }
        }
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
