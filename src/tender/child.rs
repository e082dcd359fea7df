//! A worker as a process: starting it, hearing it, killing it.
//!
//! The worker's end of the link and its slot are inherited by clearing their close-on-exec flags just around
//! the spawn.
//! That is safe as long as nothing else in the process spawns in that moment, which holds on a
//! current-thread runtime: the other threads, of signals and of the log, start nothing. (The usual way,
//! `pre_exec`, makes std fork where it could `posix_spawn`.)

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::FdFlags;
use rustix::process::Pid;
use tokio::process::{self, Command};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::printed::{Follower, Printer, Told};
use super::{Event, PoolSettings, Protocol, WorkerCommand, WorkerId};
use crate::crew::Number;
use crate::ledger::Open;
use crate::link::{
    self, CONFIGURATION_VARIABLE, FD_VARIABLE, GUARD_VARIABLE, NAME_VARIABLE, Order, Orders,
    Report, SLOT_VARIABLE, Ticket,
};
use crate::ownership::Slot;
use crate::process::leftover::{self, MARK_VARIABLE};
use crate::process::{folder, limit, program};
use crate::service::{Service, Services};
use crate::thread::OneShot;
use crate::tube::TubeName;

mod watched;

use watched::{Watched, Wishes};

/// The environment variable that tells any worker, also one that takes no arguments, its tube.
const TUBE_VARIABLE: &str = "TASKQUEUE_TUBE";

/// A worker's process, as the loop holds it.
pub(super) struct Child {
    name: String,
    pid: u32,
    orders: Orders,
    /// The last reload's, until it is answered.
    reload: Option<Ticket>,
    wishes: Wishes,
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
    /// What it said that people are to see of its command.
    notice: Option<String>,
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
        (id, store): (WorkerId, Open),
        slot: Slot,
        guarded: Option<BorrowedFd<'_>>,
        accepted: Option<BorrowedFd<'_>>,
        events: mpsc::Sender<Event>,
        beside: &mut Services,
    ) -> io::Result<Self> {
        let name = named(&settings.tube, id.number);
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
        let wishes = Wishes::default();
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
        let watched = Watched::of(
            (id, name.clone(), store),
            process,
            link.reports,
            protocol,
            wishes.clone(),
            events,
        );
        beside.start(watched);
        Ok(Self {
            name,
            pid,
            orders: link.orders,
            reload: None,
            wishes,
            complained: false,
            spoke: false,
            protocol,
            mark,
            printed,
            leaving: (!protocol.has_link()).then_some(Leaving {
                is_busy: false,
                is_to_go: false,
            }),
            trouble: None,
            notice: None,
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

    /// The letter by which the kernel says what its process does (proc(5)).
    pub(super) fn state(&self) -> Option<char> {
        leftover::state(self.pid)
    }

    /// What its process does, for one of which more is expected.
    pub(super) fn state_in_words(&self) -> String {
        match self.state() {
            Some('T') => "its process is stopped (state T)".to_owned(),
            Some('t') => "its process is being traced (state t)".to_owned(),
            Some(state) => format!("its process hangs (state {state})"),
            None => "its process cannot be looked at".to_owned(),
        }
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
                    Order::Drain { .. } | Order::Stop => self.wishes.terminate.notify_one(),
                    Order::Reload | Order::Reopen | Order::Ping | Order::Cancel { .. } => {}
                }
            }
            let ticket = self.orders.send_with(order, handed)?;
            if order == Order::Reload {
                self.reload = Some(ticket);
            }
            if order == Order::Stop && self.protocol == Protocol::Lines {
                // It does not have to heed the order, and may heed a TERM.
                self.wishes.terminate_soon.notify_one();
            }
            return Ok(Some(ticket));
        };
        match order {
            Order::Drain { .. } if leaving.is_busy => leaving.is_to_go = true,
            Order::Drain { .. } | Order::Stop => self.wishes.terminate.notify_one(),
            Order::Reload | Order::Reopen | Order::Ping | Order::Cancel { .. } => {}
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

    /// What it said that people are to see of its command.
    pub(super) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Takes note of what it said.
    pub(super) fn said(&mut self, report: &Report) {
        self.spoke = true;
        match report {
            Report::Troubled { reason, .. } => {
                self.trouble = (!reason.is_empty()).then(|| reason.clone());
            }
            Report::Idle { .. } => {
                self.trouble = None;
                self.notice = None;
            }
            Report::Busy { notice, .. } => self.notice.clone_from(notice),
            Report::Ready | Report::Answered { .. } => {}
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.is_busy = matches!(report, Report::Busy { .. });
            if leaving.is_to_go && !leaving.is_busy {
                self.wishes.terminate.notify_one();
            }
        }
    }

    /// Kills it, and what it started in its own process group.
    pub(super) fn kill(&self) {
        // By the task that reaps it, so that the number cannot have become somebody else's.
        self.wishes.kill.notify_one();
    }

    /// The same for one that hangs, once that is noted.
    pub(super) fn kill_hung(&self) {
        self.wishes.kill_hung.notify_one();
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
/// The name of a worker of that number.
pub(super) fn named(tube: &TubeName, number: Number) -> String {
    format!("{tube}-{number}")
}

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
