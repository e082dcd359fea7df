//! A worker: reserves jobs from one tube and runs one command at a time.
//!
//! What a worker does is decided in `machine`, which knows no I/O. The loop here waits for the one event that comes
//! next, hands the event to the machine, and performs what the machine answers: the loop asks the broker (`ask`), tells
//! the ledger, and starts and ends commands (`run`). It decides nothing.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::broker::Broker;
use crate::crash::{self, Point};
use crate::ledger::batch_journal::BatchJournal;
use crate::ledger::worker::{Me, NewWorker, Registered};
use crate::ledger::{self, Attempt, DeadAttempt, Millis, Store};
use crate::link::Report;
use crate::lives::sessions::Notes;
use crate::process::environment::Environment;
use crate::process::lack::Lack;
use crate::process::leftover::Cleared;
use crate::process::orphans::{self, Reaper};
use crate::process::sink::Sink;
use crate::reconcile::{Memory, Standing, announce, clean_up, end_remains, run_after};
use crate::task::command::Commands;
use crate::task::id::{AttemptId, TaskId, WorkerId};
use crate::tube::TubeName;
use crate::{clock, jitter};

mod ask;
mod control;
mod machine;
mod run;
mod say;
mod tell;

pub use control::{Configure, Configured, Control, Reload, Upkeep};

use ask::{Questions, Session};
use control::Word;
use machine::{Answer, Effect, Event, Machine, Now, Rules};
use run::{Run, Spooling};

/// Even a worker that is to leave at once gives the store so long to be told.
const LAST_TRY: Duration = Duration::from_secs(2);

/// An attempt that was claimed ahead less than so many milliseconds ago begins without a look whether its task is
/// called off. A look is a transaction, and quick tasks come by the hundred. Whoever calls one off in this time does as
/// if the command ran already: the worker is told, and looks within a second.
const FRESH: i64 = 50;

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
    /// Whether a process is a child of this one that somebody waits for, beside commands.
    pub is_awaited: Box<dyn Fn(Pid) -> bool + Send + Sync>,
}

/// Works until told to stop, or until it has had its jobs.
pub async fn run(settings: Settings) -> Result<(), ledger::Error> {
    let Settings {
        identity, store, ..
    } = &settings;
    // A worker that has no room for a command is of no use, and takes others' room.
    store.keep_room()?;
    let (introduced, telling) = (identity.clone(), Arc::clone(settings.commands.telling()));
    let (Registered { me, alive }, fired) = store
        .soon(move |db| db.told_by(&telling, |db| db.introduce(&introduced, clock::now())))
        .await?;
    crash::here(Point::WorkerRegistered);
    tracing::debug!(worker = identity.name, tube = %settings.tube, "can be found in the store");
    let reaper = Reaper::new().map_err(|error| {
        ledger::Error::trouble(format!("cannot listen to the ends of children: {error}"))
    })?;
    let mut worker = Worker::new(settings, me, reaper);
    worker.machine.is_to_put(fired);
    let worked = worker.work().await;
    drop(alive);
    worked
}

/// Something that is under way.
type UnderWay<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

struct Worker {
    me: Me,
    identity: NewWorker,
    name: String,
    control: Control,
    is_awaited: Box<dyn Fn(Pid) -> bool + Send + Sync>,
    reaper: Reaper,
    machine: Machine,
    questions: Questions,
    journal: Option<BatchJournal>,
    /// Where the sessions of commands are noted, if they can be.
    notes: Option<Notes>,
    /// Where what commands print can be read while they run.
    spooling: Spooling,
    /// The last attempt of which something was spooled.
    spooled: Option<AttemptId>,
    /// The command.
    run: Option<Run>,
    /// What prints on although its command has ended.
    sink: Sink,
    /// The name of the command that ran last.
    command: String,
    /// What the broker is asked.
    asking: UnderWay<Answer>,
    /// What the ledger is told, on its thread.
    telling: UnderWay<Event>,
    /// What is left of an attempt, being ended.
    clearing: UnderWay<Cleared>,
    /// The cleanup of an attempt, being run.
    cleaning: UnderWay<Event>,
    /// A look into the ledger, on its thread, whether an attempt is to be cancelled.
    wishing: UnderWay<Option<Event>>,
    /// What has happened while effects were performed.
    ready: VecDeque<Event>,
    /// What is noted when the worker signs off, and whether it removes its journal.
    leaving: Option<(Vec<TaskId>, bool)>,
}

impl Worker {
    fn new(settings: Settings, me: Me, reaper: Reaper) -> Worker {
        let Settings {
            tube,
            broker,
            store,
            commands,
            environment,
            max_jobs,
            identity,
            control,
            is_awaited,
        } = settings;
        let rules = Rules {
            store: store.id(),
            tube: tube.clone(),
            has_tender: control.has_tender(),
            max_jobs,
            ledger_is_local: store.is_local(),
        };
        let session = Session {
            broker,
            memory: Memory::new(false),
            standing: Standing::Worker(me.clone()),
        };
        let notes = notes(&store, me.id);
        let spooling = Spooling::of(&store, me.id);
        Worker {
            me,
            name: identity.name.clone(),
            identity,
            machine: Machine::new(rules, Arc::clone(&commands), now(control.start())),
            questions: Questions {
                session: Arc::new(Mutex::new(session)),
                store,
                tube,
                commands,
                environment: Arc::new(environment),
            },
            control,
            is_awaited,
            reaper,
            journal: None,
            notes,
            spooling,
            spooled: None,
            run: None,
            sink: Sink::default(),
            command: String::new(),
            asking: None,
            telling: None,
            clearing: None,
            cleaning: None,
            wishing: None,
            ready: VecDeque::from([Event::Due]),
            leaving: None,
        }
    }

    async fn work(mut self) -> Result<(), ledger::Error> {
        self.control.report(Report::Ready);
        while !self.machine.is_gone() {
            // Whatever has been said by now is heard first.
            let event = match self.control.heard_by_now().await {
                Some(word) => self.heard(word),
                None => match self.ready.pop_front() {
                    Some(event) => event,
                    None => {
                        let event = self.event().await;
                        match event {
                            // A signal that came before is heard before.
                            Event::Ended(_) => {
                                self.ready.push_front(event);
                                continue;
                            }
                            event => event,
                        }
                    }
                },
            };
            match self.machine.step(event, now(self.control.start())) {
                Ok(effects) => {
                    for effect in effects {
                        self.perform(effect);
                    }
                }
                Err(illegal) => {
                    // A bug of ours: what is under way is left to those who find this worker dead.
                    self.signal(Signal::KILL);
                    return Err(ledger::Error::trouble(illegal.to_string()));
                }
            }
        }
        self.sign_off().await;
        Ok(())
    }

    /// Waits for what happens next.
    async fn event(&mut self) -> Event {
        let deadline = self.machine.deadline();
        let due = deadline.map(|at| self.control.start() + at);
        loop {
            tokio::select! {
                biased;
                word = self.control.word() => return self.heard(word),
                () = ended(&mut self.run), if self.run.is_some() => {
                    match self.goes_on() {
                        true => if let Some(event) = self.ready.pop_front() { return event },
                        false => return self.command_ended(false),
                    }
                }
                event = finished(&mut self.telling) => return event,
                answer = finished(&mut self.asking) => return Event::Answered(answer),
                cleared = finished(&mut self.clearing) => return Event::Cleared(cleared),
                event = finished(&mut self.cleaning) => return event,
                wish = finished(&mut self.wishing) => if let Some(event) = wish { return event },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Event::Due,
                () = self.reaper.due() => self.reap(),
                never = self.sink.run() => match never {},
            }
        }
    }

    /// As the first process of a container: whatever commands have left, ends as ours.
    fn reap(&self) {
        orphans::reap(|pid| {
            let run = self.run.as_ref();
            run.is_some_and(|run| run.group() == pid.as_raw_nonzero().get())
                || (self.is_awaited)(pid)
        });
    }

    fn heard(&mut self, word: Word) -> Event {
        match word {
            Word::Go { mode, ticket, by } => Event::Told { mode, ticket, by },
            Word::All => Event::ToldAll,
            Word::CallOff {
                attempt,
                how,
                ticket,
            } => Event::CalledOff {
                attempt,
                how,
                ticket,
            },
            Word::Configured(Configured {
                commands,
                environment,
            }) => {
                self.questions.environment = Arc::new(environment);
                self.questions.commands = Arc::clone(&commands);
                Event::Configured(commands)
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(ask) => self.asking = Some(Box::pin(self.questions.clone().ask(ask))),
            // Two words may come before the answer to the first.
            Effect::Interrupt => {
                if self.asking.take().is_some() {
                    self.ready.push_back(Event::Answered(Answer::Interrupted));
                }
            }
            Effect::Enter { entry, haste } => self.enter(entry, haste),
            Effect::Prove => {
                let (store, worker) = (self.questions.store.clone(), self.me.id);
                self.telling = Some(Box::pin(async move {
                    Event::Proved(store.soon(move |db| db.prove(worker)).await.is_ok())
                }));
            }
            Effect::MakeJournal => self.make_journal(),
            Effect::WipeJournal => {
                if let Some(journal) = &mut self.journal {
                    journal.wipe();
                }
            }
            Effect::LeaveJournal => self.journal = None,
            Effect::Journal(settlement) => self.journal(&settlement),
            Effect::Begin {
                attempt,
                job,
                journal,
                listen,
            } => self.begin(attempt, job, journal, listen),
            Effect::WaitBriefly { until } => self.wait_briefly(until),
            Effect::Terminate => {
                for signal in [Signal::TERM, Signal::CONT] {
                    self.signal(signal);
                }
            }
            Effect::Kill => self.signal(Signal::KILL),
            Effect::Look => {
                let stopped_by = self.run.as_ref().and_then(Run::stopped_by);
                self.ready.push_back(Event::Looked(stopped_by));
                let progress = self.run.as_mut().and_then(Run::progress);
                self.ready.extend(progress.map(Event::Reported));
            }
            Effect::AskForWish(attempt) => self.ask_for_wish(attempt),
            Effect::Abandon => {
                if let Some(run) = self.run.take() {
                    self.spooled = run.spooled().or(self.spooled);
                    run.abandon();
                }
            }
            Effect::EndRemains(dead) => self.end_remains(dead),
            Effect::CleanUp(cleanup) => {
                let (store, environment) = (
                    self.questions.store.id(),
                    Arc::clone(&self.questions.environment),
                );
                self.cleaning = Some(Box::pin(async move {
                    if !cleanup.argv.is_empty() {
                        clean_up(&cleanup, store, &environment).await;
                    }
                    Event::CleanedUp(run_after(&cleanup, store, &environment).await)
                }));
            }
            Effect::Report(report) => self.control.report(report),
            Effect::Gap(point) => crash::here(point),
            Effect::Say(said) => say::say(&said, &self.name, &self.questions.tube, &self.command),
            Effect::Leave {
                deleted,
                remove_journal,
            } => self.leaving = Some((deleted, remove_journal)),
        }
    }

    fn begin(&mut self, attempt: Box<Attempt>, job: u64, journal: Option<Millis>, listen: bool) {
        if let Some(at) = journal {
            let since = clock::now().saturating_sub(attempt.ran.started);
            let is_fresh = (0..FRESH).contains(&since);
            if !is_fresh && self.is_withdrawn(attempt.id) {
                // Whoever claims its task next finds its lock free.
                drop(attempt);
                self.ready.push_back(Event::Withdrawn);
                return;
            }
            let written = self
                .journal
                .as_mut()
                .map(|journal| journal.begins(attempt.id, at));
            if let Some(Err(error)) = &written {
                self.lose_journal(error);
            }
            if !matches!(written, Some(Ok(()))) {
                self.ready.push_back(Event::NotJournaled);
                return;
            }
        }
        crash::here(Point::AttemptBegun);
        self.command.clone_from(&attempt.plan.name);
        let Questions {
            tube,
            store,
            environment,
            ..
        } = &self.questions;
        let notes = (self.notes.as_ref(), &self.spooling);
        match run::start(attempt, tube, environment, store, notes, job, listen) {
            Ok(run) => {
                self.ready.push_back(Event::Began(run.group()));
                self.run = Some(run);
            }
            Err(ended) => self.ready.push_back(Event::Ended(ended)),
        }
    }

    fn wait_briefly(&mut self, until: Duration) {
        let within = until.saturating_sub(self.control.start().elapsed());
        if self
            .run
            .as_mut()
            .is_some_and(|run| run.is_soon_done(within))
        {
            let ended = self.command_ended(true);
            self.ready.push_back(ended);
        }
    }

    /// What is run before the command has ended well, and the command is started. True if so.
    fn goes_on(&mut self) -> bool {
        if !self.run.as_ref().is_some_and(Run::is_to_go_on) {
            return false;
        }
        let Some(run) = self.run.take() else {
            return false;
        };
        let Questions {
            tube,
            store,
            environment,
            ..
        } = &self.questions;
        let notes = (self.notes.as_ref(), &self.spooling);
        match run.go_on(tube, environment, store, notes) {
            Ok(run) => self.run = Some(run),
            Err(ended) => self.ready.push_back(Event::Ended(ended)),
        }
        true
    }

    fn command_ended(&mut self, quick: bool) -> Event {
        let lives = self.questions.store.lives();
        let ended = match self.run.take() {
            Some(run) => {
                self.spooled = run.spooled().or(self.spooled);
                let (ended, unread) = run.finish(quick, &**lives);
                if let Some(pipe) = unread {
                    self.sink.keep(pipe);
                }
                Box::new(ended)
            }
            None => run::not_started(Lack::Sense, "there was no command".into()),
        };
        Event::Ended(ended)
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(run) = &mut self.run
            && let Err(who) = run.signal(signal)
        {
            self.ready.push_back(Event::NotSignalled(who));
        }
    }

    fn end_remains(&mut self, dead: DeadAttempt) {
        let store = self.questions.store.clone();
        // Whoever names nobody means its own.
        let worker = dead.worker.unwrap_or(self.me.id);
        let ending = async move { end_remains(&store, &dead, Some(worker)).await };
        self.clearing = Some(Box::pin(ending));
    }

    /// Says goodbye to the store, if it can be said soon: that the worker is gone, its lock tells.
    async fn sign_off(mut self) {
        self.control.hand_over(self.sink.into_pipes());
        let (deleted, remove_journal) = self.leaving.unwrap_or_default();
        let (store, worker) = (self.questions.store, self.me.id);
        if remove_journal {
            store.journals().remove(worker);
        }
        let (spooled, identity) = (self.spooled, self.identity);
        let call = store.soon(move |db| {
            db.take_leave(worker, &deleted, &identity, clock::now())?;
            if let Some(attempt) = spooled {
                db.forget_spool(worker, attempt)?;
            }
            Ok(db.take_fired())
        });
        let signed = match timeout(LAST_TRY, call).await {
            Ok(Ok(fired)) => {
                // What cannot be put now, reconciliation puts.
                let mut session = self.questions.session.lock().await;
                let putting = announce(session.broker.as_mut(), &store, &fired);
                if !fired.is_empty() {
                    let _ = timeout(LAST_TRY, putting).await;
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ledger::Error::too_slow(LAST_TRY)),
        };
        let (worker, jobs) = (self.name, self.machine.jobs());
        match signed {
            // The tender says it.
            Ok(()) if self.control.has_tender() => tracing::debug!(worker, jobs, "ended"),
            Ok(()) => tracing::info!(worker, jobs, "ended"),
            Err(error) => tracing::warn!(worker, %error, "could not sign off"),
        }
    }
}

/// What a command starts as another user is not found without, once its worker is dead.
fn notes(store: &Store, worker: WorkerId) -> Option<Notes> {
    store.lives().notes(worker).unwrap_or_else(|error| {
        tracing::warn!(
            %error,
            "cannot note in which sessions commands run; what they start as another user may be overlooked"
        );
        None
    })
}

fn now(start: Instant) -> Now {
    Now {
        at: start.elapsed(),
        wall: clock::now(),
        jitter: jitter::byte(),
    }
}

async fn ended(run: &mut Option<Run>) {
    match run {
        Some(run) => run.has_ended().await,
        None => pending().await,
    }
}

/// What comes of something that is under way, which is over then.
async fn finished<T>(under_way: &mut UnderWay<T>) -> T {
    match under_way {
        Some(future) => {
            let done = future.as_mut().await;
            *under_way = None;
            done
        }
        None => pending().await,
    }
}
