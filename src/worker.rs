//! A worker: reserves jobs from one tube and runs one command at a time.
//!
//! ```text
//! reserve ──▶ arrive ──▶ claim ──▶ run, holding the reservation ──▶ settle ──▶ delete, release or bury
//!    ▲                     │ not now, not ours, over                             │
//!    └─────────────────────┴─────────────────────────────────────────────────────┘
//! ```
//!
//! Where there is a next job, the steps of two go together (`ahead`), and where jobs are short, those of several (`round`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::broker::{self, Broker, Reserve};
use crate::chance;
use crate::clock::now;
use crate::crash::{self, Point};
use crate::ledger::Entry;
use crate::ledger::worker::{Me, NewWorker, Registered};
use crate::ledger::{self, Store};
use crate::link::Report;
use crate::process::environment::Environment;
use crate::reconcile::{self, Memory, Pass, Standing};
use crate::task::command::Commands;
use crate::task::id::TaskId;
use crate::tube::TubeName;

mod ahead;
mod arrive;
mod attempt;
mod control;
mod decide;
mod fate;
mod hold;
mod record;
mod round;
mod run;
mod serve;

pub use attempt::OWN_VARIABLES;
pub use control::{Configured, Control, Mode, Upkeep};

use ahead::{Ahead, Beside, Portion};
use fate::give_back_next;
use run::Habit;
use serve::{Served, Server};

/// How long one reserve waits for a job. A server that does not answer is noticed soon after.
const RESERVE: Duration = reconcile::EVERY;

/// When no job comes for this long, what is to be noted is noted.
const QUIET: Duration = Duration::from_millis(50);

/// A worker that has waited so long for its next job is idle. Before that its tender is told only now and then how many
/// jobs it has had: a job in a full tube takes little longer than hearing of it.
const IDLE: Duration = Duration::from_millis(2);
const NOW_AND_THEN: Duration = Duration::from_millis(100);

/// The longest wait before a broker is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a worker needs to begin.
pub struct Settings {
    /// The tube it serves.
    pub tube: TubeName,
    /// A session of its own.
    pub broker: Box<dyn Broker>,
    /// The ledger.
    pub store: Store,
    /// What may run.
    pub commands: Arc<Commands>,
    /// What commands have in their environment, beside what is their own.
    pub environment: Environment,
    /// It ends after so many jobs.
    pub max_jobs: Option<u64>,
    /// Who it is.
    pub identity: NewWorker,
    /// Signals and orders.
    pub control: Control,
}

/// What a worker has heard of.
#[derive(Debug)]
enum Event {
    /// Signals or the tender changed what it is to do.
    Told(Mode),
    /// The store could not be told something.
    Troubled,
    /// A reserve came back.
    Reserved(Result<Reserve, broker::Error>),
}

/// Works until told to stop, or until it has had its jobs.
pub async fn run(settings: Settings) -> Result<(), ledger::Error> {
    let Settings {
        identity, store, ..
    } = &settings;
    let introduced = identity.clone();
    let Registered { me, alive } = store
        .call(move |db| db.register(&introduced, now()))
        .await?;
    crash::here(Point::WorkerRegistered);
    tracing::info!(worker = identity.name, tube = %settings.tube, "started");
    let mut worker = Worker {
        me: me.clone(),
        settings,
        gone: Vec::new(),
        ahead: None,
        beside: Beside::default(),
        portion: Portion::default(),
        habit: Habit::default(),
        jobs: 0,
        output: 0,
        failures: 0,
        told: Told::All,
        reconciled: Instant::now(),
        memory: Memory::new(false),
        standing: Standing::Worker(me),
    };
    worker.settings.control.report(Report::Ready);
    worker.work().await;
    worker.tell_now();
    worker.sign_off().await;
    drop(alive);
    Ok(())
}

/// What the tender knows of what a worker has done.
#[derive(Debug, Clone, Copy)]
enum Told {
    All,
    /// Not the latest; when it began not to be told.
    NotSince(Instant),
}

struct Worker {
    me: Me,
    settings: Settings,
    /// Tasks whose jobs are known to be gone, not noted yet.
    gone: Vec<TaskId>,
    /// The next job, if it is there already.
    ahead: Option<Ahead>,
    /// What it has of the broker beside the job that it serves.
    beside: Beside,
    portion: Portion,
    habit: Habit,
    jobs: u64,
    output: u64,
    /// Reserves that failed one after the other.
    failures: u32,
    told: Told,
    /// When it last reconciled its tube, and what it remembers of that.
    reconciled: Instant,
    memory: Memory,
    standing: Standing,
}

impl Worker {
    async fn work(&mut self) {
        if !self.settings.control.has_tender() {
            self.reconcile().await;
        }
        loop {
            // It is ours already.
            let turn = self.ahead.take();
            let turn = turn.or_else(|| self.beside.round.next().map(Ahead::Turn));
            let turn = turn.or_else(|| self.beside.next.pop_front().map(Ahead::Reserved));
            if let Some(ahead) = turn {
                self.serve(ahead).await;
                continue;
            }
            if self.settings.control.mode() != Mode::Working || self.may_have() == 0 {
                break;
            }
            // In a tube that is never quiet too.
            if self.is_to_reconcile() {
                self.reconcile().await;
                continue;
            }
            match self.next().await {
                // The loop's condition looks at the mode.
                Event::Told(mode) => {
                    tracing::info!(worker = self.name(), order = %mode, "was told to go");
                }
                Event::Troubled => self.outlast().await,
                Event::Reserved(Ok(Reserve::Job(reservation))) => {
                    self.serve(Ahead::Reserved(reservation)).await;
                }
                Event::Reserved(Ok(Reserve::TimedOut)) => self.connected(),
                // A reservation that we could not settle is about to run out.
                Event::Reserved(Ok(Reserve::DeadlineSoon)) => {
                    self.pause(Duration::from_secs(1)).await;
                }
                Event::Reserved(Err(error)) => self.disconnected(&error).await,
            }
        }
    }

    /// Goes by what was read again of the configuration. True if nothing was.
    async fn configure(&mut self) -> bool {
        match self.settings.control.fresh().await {
            None => true,
            Some(fresh) => {
                self.settings.commands = fresh.commands;
                self.settings.environment = fresh.environment;
                false
            }
        }
    }

    /// A tender does it for all its workers.
    fn is_to_reconcile(&self) -> bool {
        !self.settings.control.has_tender() && self.reconciled.elapsed() >= reconcile::EVERY
    }

    fn name(&self) -> &str {
        &self.settings.identity.name
    }

    /// How many jobs more it may have.
    fn may_have(&self) -> usize {
        let max = self.settings.max_jobs.unwrap_or(u64::MAX);
        usize::try_from(max.saturating_sub(self.jobs)).unwrap_or(usize::MAX)
    }

    /// Waits for a job or a word. A reserve that a word interrupts takes its connection with it.
    async fn next(&mut self) -> Event {
        let Settings {
            broker,
            tube,
            control,
            store,
            commands,
            ..
        } = &mut self.settings;
        let tubes = std::slice::from_ref(&*tube);
        // After an outage, whether the broker answers is to be known before there is a job.
        let wait = match self.failures {
            0 => RESERVE,
            _ => Duration::ZERO,
        };
        let reserving = broker.reserve(tubes, wait);
        tokio::pin!(reserving);
        loop {
            tokio::select! {
                biased;
                mode = control.changed() => return Event::Told(mode),
                reserved = &mut reserving => return Event::Reserved(reserved),
                () = sleep(IDLE), if matches!(self.told, Told::NotSince(_)) => {
                    self.told = Told::All;
                    control.report(Report::Idle { jobs: self.jobs, output: self.output });
                }
                () = sleep(QUIET), if !self.gone.is_empty() => {
                    let gone = std::mem::take(&mut self.gone);
                    let noting = Entry { deleted: gone.clone(), ..Entry::default() };
                    let (commands, me) = (Arc::clone(commands), self.me.clone());
                    let entering = store.call(move |db| db.enter(&noting, &commands, &me, now()));
                    if let Err(error) = entering.await {
                        tracing::warn!(%error, "could not note which jobs are gone");
                        self.gone = gone;
                        return Event::Troubled;
                    }
                }
            }
        }
    }

    async fn serve(&mut self, ahead: Ahead) {
        let is_as_before = self.configure().await;
        let may_ask_for = match self.is_to_reconcile() {
            true => 0,
            false => self.may_have().saturating_sub(1),
        };
        let Settings {
            tube,
            broker,
            store,
            commands,
            environment,
            control,
            ..
        } = &mut self.settings;
        let served = Server {
            broker: broker.as_mut(),
            store,
            commands,
            tube,
            environment,
            me: &self.me,
            control,
            gone: &mut self.gone,
            beside: &mut self.beside,
            portion: &mut self.portion,
            habit: &mut self.habit,
            may_ask_for,
            is_as_before,
        }
        .serve(ahead)
        .await;
        // A broker that gives jobs and dies of the first question must not be asked again at once.
        if let Served::Lost(error) = &served {
            // Where they have not gone with the connection.
            give_back_next(self.settings.broker.as_mut(), &mut self.beside).await;
            return self.disconnected(error).await;
        }
        self.connected();
        match served {
            Served::Nothing | Served::Lost(_) => {}
            Served::Troubled => {
                give_back_next(self.settings.broker.as_mut(), &mut self.beside).await;
                self.outlast().await;
            }
            Served::Attempted { output, ahead } => {
                self.ahead = ahead;
                self.jobs = self.jobs.saturating_add(1);
                self.output = self.output.saturating_add(output);
                self.tell();
            }
        }
    }

    /// Tells the tender what it has had, but not after every job of a full tube.
    fn tell(&mut self) {
        match self.told {
            Told::All => self.told = Told::NotSince(Instant::now()),
            Told::NotSince(began) if began.elapsed() < NOW_AND_THEN => {}
            Told::NotSince(_) => self.tell_now(),
        }
    }

    fn tell_now(&mut self) {
        let (jobs, output) = (self.jobs, self.output);
        self.settings.control.report(Report::Idle { jobs, output });
        self.told = Told::All;
    }

    /// A reserve came back as it should.
    fn connected(&mut self) {
        if self.failures > 0 {
            tracing::info!(worker = self.name(), "reached the broker again");
            self.failures = 0;
        }
    }

    /// Puts its tube right: at its start, after an outage, and now and then. There may be a million jobs to put,
    /// so a word is heard meanwhile; what it interrupts is done by whoever is next.
    async fn reconcile(&mut self) {
        self.configure().await;
        let Settings {
            broker,
            store,
            tube,
            commands,
            control,
            ..
        } = &mut self.settings;
        let mut pass = Pass {
            broker: broker.as_mut(),
            store,
            commands,
            standing: &mut self.standing,
            tube,
            dry_run: false,
        };
        let passed = tokio::select! {
            biased;
            mode = control.changed() => {
                tracing::info!(order = %mode, "was told to go");
                return;
            }
            passed = pass.run(&mut self.memory) => passed,
        };
        self.reconciled = Instant::now();
        match passed {
            Ok(done) => reconcile::tell(tube, done),
            // The next reserve finds the same broker and tells.
            Err(reconcile::Error::Broker(_)) => {}
            Err(reconcile::Error::Store(error)) => {
                tracing::warn!(%tube, %error, "could not reconcile a tube");
            }
        }
    }

    /// Reported once, not once a try; tried again after 0.1 to 2 s, workers apart from each other by chance.
    async fn disconnected(&mut self, error: &broker::Error) {
        if self.failures == 0 {
            tracing::warn!(worker = self.name(), %error, "could not reserve; will keep trying");
        }
        self.failures = self.failures.saturating_add(1);
        let doubled = Duration::from_millis(100).saturating_mul(1 << self.failures.min(5));
        self.pause(chance::shorten(doubled.min(LONGEST_WAIT))).await;
        // Its jobs may be what the tube is waiting for, and another broker may have been started.
        self.reconcile().await;
    }

    /// The store is in trouble: takes no job before it takes a row.
    async fn outlast(&mut self) {
        let Settings { store, control, .. } = &mut self.settings;
        control.report(Report::Troubled { task: 0 });
        if record::outlast(store, control, self.me.id).await {
            let (jobs, output) = (self.jobs, self.output);
            control.report(Report::Idle { jobs, output });
        }
    }

    /// Waits, unless told to stop meanwhile.
    async fn pause(&mut self, wait: Duration) {
        tokio::select! {
            _ = self.settings.control.changed() => {}
            () = sleep(wait) => {}
        }
    }

    async fn sign_off(&mut self) {
        let (id, gone) = (self.me.id, std::mem::take(&mut self.gone));
        if self.beside.round.has_clean_journal() {
            self.settings.store.journals().remove(id);
        }
        match record::sign_off(&self.settings.store, id, gone).await {
            Ok(()) => tracing::info!(worker = self.name(), jobs = self.jobs, "ended"),
            Err(error) => tracing::warn!(worker = self.name(), %error, "could not sign off"),
        }
    }
}
