//! The tender: keeps the right number of worker processes alive for each tube.
//!
//! One loop: wait for an `Event`, tell it to the pool's [`Crew`], perform the effects that come back.
//! The loop decides nothing itself. Whatever can take time (a worker's lines, its end, the broker's
//! answer) is waited for in a task of its own, which sends an event.
//!
//! To be run on tokio's current-thread runtime: see `child` for why a second spawning thread would
//! harm.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use crate::broker::Broker;
use crate::control::Call;
use crate::crew::{self, Crew};
use crate::grace::LAST_LOOKS;
use crate::guard::{self, Guard};
use crate::ledger::Open;
use crate::lifecycle::{self, Ended, Rules};
use crate::link::{BadLine, Report};
use crate::ownership::{self, Ownership};
use crate::pool::{Demand, Limits};
use crate::process::orphans::{self, Reaper};
use crate::process::sink::Sink;
use crate::reconcile::{self, Sweeper};
use crate::scheduler::Scheduler;
use crate::service::Services;
use crate::signals::Asked;
use crate::tube::TubeName;

mod child;
mod control;
mod demand;
mod departure;
mod listener;
mod perform;
mod ping;
mod printed;
mod pulse;
mod reload;
mod shared;
mod status;

pub use reload::{Configuration, Read};
pub use shared::{SharedPool, Unfit, unfit};

use child::Child;
use ping::Pings;
use shared::Shared;

/// Events that wait for the loop. When there are more, the tasks that bring them wait, then the
/// sockets fill, then workers leave out all but their last state.
const QUEUE: usize = 256;

/// What a tender tends.
pub struct Settings {
    /// One a tube.
    pub pools: Vec<PoolSettings>,
    /// Those of several tubes, each of which has a pool of its own in `pools`.
    pub shared: Vec<SharedPool>,
    /// The store whose tubes these are; only one tender at a time tends a tube of it.
    pub store: PathBuf,
    /// Opens the store, if it is there.
    pub existing: Open,
    /// How long commands may run on after the first TERM, INT or QUIT.
    pub grace: Duration,
    /// The session in which the tubes' demand is asked for; used for nothing else.
    pub broker: Box<dyn Broker>,
    /// The session in which the first job of tubes without workers is awaited; likewise.
    pub listener: Box<dyn Broker>,
    /// The most workers that are ever started, in all pools; then the tender ends as after TERM.
    pub limit: Option<u32>,
    /// The folders in which it may listen for orders, the best first; it does not if there is none.
    pub runtime: Vec<PathBuf>,
    /// Where all this is read again; it never changes if there is none.
    pub configuration: Option<Configuration>,
    /// Opens the log file again.
    pub reopen: fn(),
    /// Says that it begins, once nothing is in the way of that.
    pub began: Option<Box<dyn FnOnce() + Send>>,
    /// Who cleans up if the tender and its workers are killed together; nobody if there is none.
    pub guard: Option<guard::Post>,
    /// Puts the tubes right; nobody does if there is none.
    pub reconciler: Option<reconcile::Reconciler>,
    /// Keeps the store in order; nobody does if there is none.
    pub upkeep: Option<reconcile::Upkeep>,
    /// Makes the tasks of schedules; nobody does if there is none.
    pub scheduler: Option<Scheduler>,
}

/// What a tender is to know of one pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Its tube.
    pub tube: TubeName,
    /// How many workers.
    pub limits: Limits,
    /// When they are replaced.
    pub rules: Rules,
    /// What is started.
    pub command: WorkerCommand,
}

/// How a worker is started; nothing is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The file, looked up in PATH if there is no slash in it.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How it tells how it stands.
    pub protocol: Protocol,
}

/// How a worker and its tender speak with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// It is one of our own: lines of JSON, and what it prints is a log already.
    Own,
    /// Another program that speaks the same lines over the descriptor `TASKQUEUE_TENDER_FD`.
    Lines,
    /// Another program that prints `[[CHILD::READY]]` and `[[CHILD::BUSY]]`, and is told to go by TERM.
    Tokens,
    /// Another program that says nothing, and is told to go by TERM.
    None,
}

impl Protocol {
    /// Whether such a worker has our end of a link.
    fn has_link(self) -> bool {
        match self {
            Self::Own | Self::Lines => true,
            Self::Tokens | Self::None => false,
        }
    }
}

/// Why a tender cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no pool.
    #[error("nothing to tend: no tube was named, neither by --use-tube nor in the configuration")]
    NoPools,
    /// Two pools would count their workers apart.
    #[error("the tube {tube} was named twice; one pool tends all workers of a tube")]
    TubeTwice {
        /// Its name.
        tube: TubeName,
    },
    /// Tubes do not fit into the pool that they share.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Another tender has one of the tubes, or the right to them cannot be held.
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    /// There are no descriptors for a guard.
    #[error("cannot have a guard: {0}")]
    Guard(io::Error),
    /// The ends of orphans cannot be listened to.
    #[error("cannot listen to the ends of children: {0}")]
    Reaper(io::Error),
}

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WorkerId {
    /// The pool's place among the settings.
    pool: usize,
    number: crew::Number,
}

/// Everything that the loop waits for.
#[derive(Debug)]
enum Event {
    /// A signal came.
    Asked(Asked),
    /// Somebody asked over the control socket.
    Called(Call),
    /// The control socket is not where it was made, or could not be made.
    SocketGone,
    /// The broker answered, or could not.
    Demand { pool: usize, demand: Demand },
    /// A job is ready for a pool that listens, or nobody could listen.
    Heard { pool: usize, job: bool },
    /// A worker said something.
    Reported(WorkerId, Report),
    /// A worker wrote something that it could not have meant.
    Garbled(WorkerId, BadLine),
    /// Something that a done task has left running prints into this pipe, and the worker that read it goes.
    LeftPrinting(WorkerId, OwnedFd),
    /// A worker's end of its link is closed.
    LinkClosed(WorkerId),
    /// A worker's process has ended.
    Ended(WorkerId, Ended),
    /// It is time to look at one that says nothing.
    Look(WorkerId),
    /// A pool wants to be looked at.
    Due,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} of pool {}", self.number, self.pool)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(asked) => write!(f, "asked to {asked}"),
            Self::SocketGone => f.write_str("nobody can ask"),
            Self::Called(call) => write!(f, "called for {:?}", call.request),
            Self::Demand { pool, demand } => write!(f, "demand of pool {pool}: {demand:?}"),
            Self::Heard { pool, job } => write!(f, "pool {pool} heard of a job: {job}"),
            Self::Reported(id, report) => write!(f, "{id} reported {report:?}"),
            Self::Garbled(id, error) => write!(f, "{id}: {error}"),
            Self::LeftPrinting(id, _) => write!(f, "{id} handed over what still prints"),
            Self::LinkClosed(id) => write!(f, "{id} closed its link"),
            Self::Ended(id, ended) => write!(f, "{id} ended with {ended}"),
            Self::Look(id) => write!(f, "a look at {id}"),
            Self::Due => f.write_str("a deadline passed"),
        }
    }
}

/// The pool of one tube, and its processes. Several of these may share what a [`SharedPool`] has.
struct Pool {
    settings: PoolSettings,
    /// Which of the tender's shared pools it has a part in, if it has.
    shared: Option<usize>,
    crew: Crew,
    /// By the worker's number; as long as the crew has it.
    children: BTreeMap<crew::Number, Child>,
    /// How many processes were started.
    started: u64,
    /// How many of them ended that should not have.
    restarts: u64,
    /// Why the last worker could not be started; none if it could.
    spawn_error: Option<String>,
    /// How the last of them ended that should not have, or why one could not be started.
    failed: Option<String>,
}

/// The loop's state.
struct Tender {
    pools: Vec<Pool>,
    shared: Vec<Shared>,
    grace: Duration,
    began: Instant,
    events: mpsc::Sender<Event>,
    asker: demand::Asker,
    listener: listener::Listener,
    /// How many workers may still be started.
    left: Option<u32>,
    /// Opens the store, if it is there.
    existing: Open,
    sweeper: Sweeper,
    /// Those who end what workers have left running.
    ends: Services,
    /// Those who watch workers and hear what they print, and who looks after the tubes.
    beside: Services,
    guard: Option<Guard>,
    /// Each right is held until the tender is told to end, or the last worker of a tube that it leaves is gone.
    ownership: Ownership,
    /// Where it is asked.
    socket: control::ControlSocket,
    configuration: Option<Configuration>,
    reopen: fn(),
    /// Wakes the one who puts tubes right.
    back: Arc<Notify>,
    /// It was told to end.
    ending: bool,
    pings: Pings,
    /// What done tasks of workers that are gone have left printing.
    sink: Sink,
}

/// Tends until TERM, INT or QUIT has been asked for through `asked` and every worker is gone.
///
/// # Errors
/// When the settings name no tube, one twice, or one that another tender has; nothing has been started then.
pub async fn run(mut settings: Settings, mut asked: mpsc::Receiver<Asked>) -> Result<(), Error> {
    check(&settings.pools, &settings.shared)?;
    let tubes: Vec<TubeName> = settings.pools.iter().map(|p| p.tube.clone()).collect();
    let mut ownership = Ownership::take(&settings.store, &tubes)?;
    let guard = settings.guard.clone().map(Guard::post);
    let guard = guard.transpose().map_err(Error::Guard)?;
    if let Some(say) = settings.began.take() {
        say();
    }
    let (events, mut queue) = mpsc::channel(QUEUE);
    let (mut socket, mut calls) =
        control::ControlSocket::new(&settings, tubes.first(), events.clone());
    // Whoever asks from now on is answered once the tender is there.
    socket.open(&mut ownership);
    // Before any worker reserves.
    reconcile::sweep(Arc::clone(&settings.existing)).await;
    let mut reaper = Reaper::new().map_err(Error::Reaper)?;
    let mut tender = Tender::new(settings, ownership, guard, socket, events);
    tender.count_all();
    tender.say_what_fits();
    tender.tend_all();
    while !tender.ended() {
        let event = tokio::select! {
            Some(asked) = asked.recv() => Event::Asked(asked),
            Some(call) = calls.recv() => Event::Called(call),
            // The tender holds a sender itself, so the queue never ends.
            Some(event) = queue.recv() => event,
            () = due(tender.deadline()) => Event::Due,
            () = reaper.due() => {
                tender.reap();
                continue;
            }
            never = tender.sink.run() => match never {},
        };
        tracing::trace!(%event, "event taken");
        tender.take(event);
    }
    let Tender {
        mut ends,
        sweeper,
        guard,
        ..
    } = tender;
    let last = async {
        // The runtime does not wait for those that have not begun when it ends.
        ends.finish().await;
        sweeper.finish().await;
    };
    match (timeout(LAST_LOOKS, last).await, guard) {
        (Ok(()), Some(guard)) => guard.dismiss().await,
        (Ok(()), None) => {}
        (Err(_), _) => tracing::warn!("left what may still run of the dead to the guard"),
    }
    tracing::info!("tender ended");
    Ok(())
}

fn check(pools: &[PoolSettings], shared: &[SharedPool]) -> Result<(), Error> {
    if pools.is_empty() {
        return Err(Error::NoPools);
    }
    let mut seen = HashSet::new();
    match pools.iter().find(|pool| !seen.insert(&pool.tube)) {
        Some(pool) => Err(Error::TubeTwice {
            tube: pool.tube.clone(),
        }),
        None => unfit(shared, pools).map_or(Ok(()), |unfit| Err(unfit.into())),
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Tender {
    fn new(
        settings: Settings,
        ownership: Ownership,
        guard: Option<Guard>,
        socket: control::ControlSocket,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let back = Arc::new(Notify::new());
        let mut beside = Services::default();
        if let Some(reconciler) = settings.reconciler {
            beside.start(reconciler.woken_by(Arc::clone(&back)));
        }
        if let Some(upkeep) = settings.upkeep {
            beside.start(upkeep);
        }
        if let Some(scheduler) = settings.scheduler {
            beside.start(scheduler);
        }
        let mut tender = Self {
            listener: listener::Listener::new(settings.listener, events.clone()),
            left: settings.limit,
            sweeper: Sweeper::start(Arc::clone(&settings.existing)),
            existing: settings.existing,
            ends: Services::default(),
            beside,
            guard,
            asker: demand::Asker::new(settings.broker, events.clone(), Arc::clone(&back)),
            pools: settings.pools.into_iter().map(Pool::new).collect(),
            shared: Vec::new(),
            grace: settings.grace,
            began: Instant::now(),
            events,
            ownership,
            socket,
            configuration: settings.configuration,
            reopen: settings.reopen,
            back,
            ending: false,
            pings: Pings::default(),
            sink: Sink::default(),
        };
        tender.share_as(settings.shared);
        tender
    }

    /// Monotonic time since the tender's start.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// As the first process of a container: whatever commands have left, ends as ours.
    fn reap(&self) {
        let guard = self.guard.as_ref().map(Guard::is);
        orphans::reap(|pid| {
            let mut children = self.pools.iter().flat_map(|pool| pool.children.values());
            children.any(|child| child.is(pid)) || guard.as_ref().is_some_and(|is| is(pid))
        });
    }

    fn ended(&self) -> bool {
        self.pools.iter().all(|pool| pool.crew.ended())
    }

    fn deadline(&self) -> Option<Instant> {
        let first = self.pools.iter().filter_map(|pool| pool.crew.deadline());
        let shared = self.shared.iter().filter_map(Shared::again);
        first.chain(shared).min().map(|at| self.began + at)
    }

    /// Takes in one event; then the pools it concerns are tended.
    fn take(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Asked(asked) => self.asked(asked, now),
            Event::Called(call) => self.called(call),
            Event::SocketGone => self.socket.open(&mut self.ownership),
            Event::Demand { pool, demand } => {
                if let Some(pool) = self.pools.get_mut(pool) {
                    pool.crew.demanded(demand, now);
                }
                self.tend(pool);
            }
            Event::Heard { pool, job } => {
                if let Some(pool) = self.pools.get_mut(pool) {
                    pool.crew.heard(job, now);
                }
                self.tend(pool);
            }
            Event::Reported(id, report) => self.reported(id, report, now),
            Event::Garbled(id, error) => self.garbled(id, &error),
            Event::LeftPrinting(_, pipe) => self.sink.keep(pipe),
            Event::LinkClosed(id) => self.tell(id, lifecycle::Event::LinkClosed, now),
            Event::Ended(id, ended) => self.ended_with(id, ended, now),
            Event::Look(id) => self.look(id, now),
            Event::Due => self.tend_all(),
        }
        self.release();
    }

    fn count_all(&mut self) {
        (0..self.pools.len()).for_each(|pool| self.count(pool));
    }

    fn tend_all(&mut self) {
        (0..self.shared.len()).for_each(|shared| self.tend_shared(shared, None));
        for pool in 0..self.pools.len() {
            if self
                .pools
                .get(pool)
                .is_some_and(|pool| pool.shared.is_none())
            {
                self.tend_one(pool);
            }
        }
    }
}

impl Pool {
    fn new(settings: PoolSettings) -> Self {
        Self {
            crew: Crew::new(settings.limits, settings.rules),
            shared: None,
            children: BTreeMap::new(),
            started: 0,
            restarts: 0,
            spawn_error: None,
            failed: None,
            settings,
        }
    }
}
