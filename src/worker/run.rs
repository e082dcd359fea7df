//! The command of an attempt, from its start to its end, with all that it prints.

use std::fmt::Display;
use std::future::poll_fn;
use std::future::ready;
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::machine::{Ended, How};
use crate::clock::now;
use crate::crash::{self, Point};
use crate::duration;
use crate::ledger::{Attempt, Millis, Store};
use crate::lives::sessions::Notes;
use crate::lives::{Holder, Lives};
use crate::process::command::{Event, Piece, Running, Spec};
use crate::process::environment::Environment;
use crate::process::explain::explain;
use crate::process::lack::{Lack, NotStarted};
use crate::process::leftover;
use crate::process::memory;
use crate::process::variables::{
    ATTEMPT_VARIABLE, BACKFILLED_VARIABLE, COMMAND_VARIABLE, JOB_VARIABLE, PARENTS_VARIABLE,
    SCHEDULE_VARIABLE, SCHEDULED_FOR_VARIABLE, STORE_VARIABLE, TASK_VARIABLE, TUBE_VARIABLE,
    UUID_VARIABLE,
};
use crate::task::conditions::Conditions;
use crate::task::hooks;
use crate::task::id::{AttemptId, TaskId};
use crate::task::output::Captured;
use crate::task::payload::CommandName;
use crate::task::report::{Progress, Reader, Reported};
use crate::task::state::Exit;
use crate::tube::TubeName;

mod late;
mod printed;

pub use printed::Spooling;

use late::{LAST_WORDS, Late};
use printed::Printed;

/// The kernel's own signal, and everybody's.
const KILL: i32 = Signal::KILL.as_raw();

/// Between two tries to listen to a command where the system does not let us.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// When to try again where room was made for a process, and how often.
const ROOM_SOON: Duration = Duration::from_millis(1);
const ROOM_TRIES: u32 = 10;

/// A command on its way.
pub struct Run {
    running: Running,
    /// Its lock goes when the command has ended.
    attempt: Box<Attempt>,
    /// How many commands the kernel had killed for their memory when this one began.
    kills: Option<u64>,
    printed: Printed,
    /// What the command says of its attempt.
    reports: Reader,
    /// When to try to listen to the command, which is not listened to.
    listen_at: Option<Instant>,
    exited: Option<Exited>,
    /// We sent it a signal.
    was_signalled: bool,
    /// What runs is what is run before the command.
    is_before: bool,
    /// The number of the job, and whether to listen from the beginning.
    of: (u64, bool),
}

/// How and when the command has exited, and what is known of its output since.
struct Exited {
    exit: Exit,
    at: Millis,
    since: Instant,
    late: Late,
}

impl Exited {
    fn with(exit: Exit) -> Exited {
        Exited {
            exit,
            at: now(),
            since: Instant::now(),
            late: Late::default(),
        }
    }
}

/// Starts an attempt's command.
///
/// # Errors
/// Why it could not be started, and whose trouble that is, as how it ended.
pub fn start(
    attempt: Box<Attempt>,
    tube: &TubeName,
    environment: &Environment,
    store: &Store,
    (notes, spooling): (Option<&Notes>, &Spooling),
    job: u64,
    listen: bool,
) -> Result<Run, Box<Ended>> {
    let is_before = attempt.plan.command.before.is_some();
    // Whoever waits for two commands waits longer than a moment.
    let of = (job, listen || is_before);
    start_one(
        attempt,
        tube,
        environment,
        store,
        (notes, spooling),
        of,
        is_before,
    )
}

/// Starts what is run before an attempt's command, or the command itself.
fn start_one(
    attempt: Box<Attempt>,
    tube: &TubeName,
    environment: &Environment,
    store: &Store,
    (notes, spooling): (Option<&Notes>, &Spooling),
    (job, listen): (u64, bool),
    is_before: bool,
) -> Result<Run, Box<Ended>> {
    let before = attempt.plan.before().filter(|_| is_before);
    let (plan, id) = (&attempt.plan, store.id());
    let conditions = plan.command.conditions.of(tube);
    let environment = environment.under(&conditions.variables);
    let mut own: Vec<(&str, &dyn Display)> = vec![
        (TASK_VARIABLE, &attempt.id.task),
        (STORE_VARIABLE, &id),
        (UUID_VARIABLE, &attempt.uuid),
        (TUBE_VARIABLE, tube),
        (JOB_VARIABLE, &job),
        (ATTEMPT_VARIABLE, &attempt.id.number),
        (COMMAND_VARIABLE, &plan.name),
    ];
    if let Some(scheduled) = &attempt.scheduled {
        own.push((SCHEDULE_VARIABLE, &scheduled.schedule));
        if let Some(at) = &scheduled.scheduled_for {
            own.push((SCHEDULED_FOR_VARIABLE, at));
        }
        if scheduled.backfilled {
            own.push((BACKFILLED_VARIABLE, &1));
        }
    }
    let parents = parents(&attempt.parents);
    if let Some(parents) = &parents {
        own.push((PARENTS_VARIABLE, parents));
    }
    let event = match CommandName::is_a_hook(&plan.name) {
        true => hooks::variables(plan.stdin.as_deref().unwrap_or_default()),
        false => Vec::new(),
    };
    own.extend(
        event
            .iter()
            .map(|(name, value)| (name.as_str(), value as &dyn Display)),
    );
    let user = conditions.identity.as_ref().map(|identity| identity.user);
    let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let try_to_start = || {
        let inherited = attempt.alive.inherited().map_err(NotStarted::setup)?;
        Running::start(Spec {
            argv: before.as_ref().unwrap_or(&plan.argv),
            environment: &environment,
            added: &own,
            // Of the body nothing is taken away from the command.
            stdin: plan.stdin.clone().filter(|_| !is_before),
            inherited,
            note: notes.map(|notes| notes.of(attempt.id, user)),
            conditions,
            reports: true,
            listen,
        })
    };
    let kills = memory::kills_lately();
    let started = try_to_start();
    let running = match started.or_else(|why| start_with_less(why, store, try_to_start)) {
        Ok(running) => running,
        Err(why) => {
            let reason = could_not_start(&attempt, &environment, conditions, &why);
            return Err(not_started(why.lack, reason));
        }
    };
    crash::here(Point::CommandStarted);
    let listen_at = match (listen, running.is_listened_to()) {
        (true, true) => None,
        (true, false) => Some(Instant::now() + LISTEN_AGAIN),
        (false, _) => Some(Instant::now()),
    };
    Ok(Run {
        running,
        printed: Printed::of(attempt.id, spooling.clone()),
        attempt,
        kills,
        reports: Reader::new(duration::parse),
        listen_at,
        exited: None,
        was_signalled: false,
        is_before,
        of: (job, listen),
    })
}

/// So many bytes of the numbers of parents fit: one string of an environment has its limit, and all of it another.
const PARENTS: usize = 100_000;

/// What a command finds of those that its task has waited for. None where they are so many that they do not fit: some
/// of them would pass for all.
fn parents(parents: &[TaskId]) -> Option<String> {
    let numbers: Vec<String> = parents.iter().map(ToString::to_string).collect();
    let text = numbers.join(" ");
    (!text.is_empty() && text.len() <= PARENTS).then_some(text)
}

/// Where there is no room for a process, the store's thread may make room for one. So a worker that has come up can
/// run a command, however many workers there are.
fn start_with_less(
    why: NotStarted,
    store: &Store,
    try_to_start: impl Fn() -> Result<Running, NotStarted>,
) -> Result<Running, NotStarted> {
    if why.lack != Lack::Room || !store.make_room() {
        return Err(why);
    }
    let mut started = Err(why);
    for _ in 0..ROOM_TRIES {
        // A thread that has ended is counted for a moment longer.
        thread::sleep(ROOM_SOON);
        started = try_to_start();
        if started.is_ok() {
            break;
        }
    }
    started
}

fn could_not_start(
    attempt: &Attempt,
    environment: &Environment,
    conditions: &Conditions,
    why: &NotStarted,
) -> String {
    let plan = &attempt.plan;
    let program = plan.argv.first().map_or("", String::as_str);
    let (command, error) = (&plan.name, &why.error);
    match why.lack {
        Lack::Room => {
            format!("could not start {program}: no process, descriptor or memory to spare: {error}")
        }
        Lack::Folder => {
            format!("could not start {program}: the working directory is gone: {error}")
        }
        Lack::Condition => format!("could not start {program} as {command} asks for: {error}"),
        Lack::Program | Lack::Sense => {
            let why = explain(program, environment, conditions.directory.as_deref(), error);
            let identity = conditions.identity.as_ref();
            let whom = identity.map_or_else(String::new, |who| format!(" as {}", who.name));
            format!("could not start {program}, which {command} runs{whom}: {why}")
        }
    }
}

impl Run {
    /// What is run before the command has ended well, and the command is to be started.
    pub fn is_to_go_on(&self) -> bool {
        let exit = self.exited.as_ref().map(|exited| exited.exit);
        self.is_before && exit == Some(Exit::Code(0)) && !self.was_signalled
    }

    /// Starts the command, what is run before that having ended well. What that has printed stands before what the
    /// command prints.
    ///
    /// # Errors
    /// As [`start`].
    pub fn go_on(
        self,
        tube: &TubeName,
        environment: &Environment,
        store: &Store,
        notes: (Option<&Notes>, &Spooling),
    ) -> Result<Run, Box<Ended>> {
        let Run {
            attempt,
            printed,
            of,
            reports,
            ..
        } = self;
        match start_one(attempt, tube, environment, store, notes, of, false) {
            Ok(run) => Ok(Run {
                printed,
                reports,
                ..run
            }),
            Err(mut ended) => {
                ended.output = printed.finish();
                Err(ended)
            }
        }
    }

    /// The command's process group.
    pub fn group(&self) -> i32 {
        self.running.group()
    }

    /// Asks the command to end, or kills it, with its group; unless the command has ended by itself, which nobody may
    /// have noticed yet. Nobody waits for more of its output from then on.
    ///
    /// # Errors
    /// Who it is, where no process of the group is ours to signal.
    pub fn signal(&mut self, signal: Signal) -> Result<(), String> {
        if self.exited.is_none() {
            // What is wrong comes again.
            let exit = self.running.try_wait().unwrap_or_default();
            self.note_exit(exit);
        }
        if let Some(exited) = &mut self.exited {
            exited.late.hurry();
            return Ok(());
        }
        match self.running.signal(signal) {
            Ok(()) => {
                self.was_signalled = true;
                Ok(())
            }
            Err(_not_permitted) => Err(leftover::description(self.group())),
        }
    }

    /// The signal that has stopped the command, if it is stopped (state T) and goes on only after CONT.
    pub fn stopped_by(&self) -> Option<i32> {
        self.running.stopped_by()
    }

    /// Its attempt, if some of what the command has printed is in the worker's spool.
    pub fn spooled(&self) -> Option<AttemptId> {
        self.printed.is_spooled().then_some(self.attempt.id)
    }

    /// How far the command says that it is, if it has said so since this was asked before.
    pub fn progress(&mut self) -> Option<Progress> {
        self.reports.news()
    }

    /// Leaves the command to itself.
    pub fn abandon(self) {
        self.running.abandon();
    }

    /// Waits for the command's end, while nothing else of the worker goes on. True if the command has exited with 0 by
    /// then, and nothing of it is left to be heard.
    pub fn is_soon_done(&mut self, within: Duration) -> bool {
        let (printed, reports) = (&mut self.printed, &mut self.reports);
        let exit = self.running.ends_within(within, |piece| match piece {
            Piece::Printed(chunk) => printed.keep(chunk),
            Piece::Reported(chunk) => {
                reports.push(chunk, &mut |line: &str| printed.keep(line.as_bytes()));
            }
        });
        // What is wrong comes again.
        let exit = exit.unwrap_or_default();
        self.note_exit(exit);
        if self.is_before {
            return false;
        }
        let printed = &mut self.printed;
        exit == Some(Exit::Code(0)) && self.running.last_words(|chunk| printed.keep(chunk))
    }

    /// Waits until the command has ended, and what it printed has been read. May be cancelled.
    pub async fn has_ended(&mut self) {
        if self.exited.is_none() {
            let exit = self.exits().await;
            self.note_exit(Some(exit));
            if let Some(exited) = self.exited.as_mut().filter(|_| self.was_signalled) {
                exited.late.hurry();
            }
        }
        self.read_on().await;
    }

    /// Whoever the command has left may still print, and can report nothing: that is over with the command.
    fn note_exit(&mut self, exit: Option<Exit>) {
        if exit.is_some() {
            let (printed, reports) = (&mut self.printed, &mut self.reports);
            let running = &mut self.running;
            running.last_reports(|chunk| reports.push(chunk, &mut tell(printed)));
        }
        self.exited = exit.map(Exited::with);
    }

    async fn read_on(&mut self) {
        let (running, printed) = (&mut self.running, &mut self.printed);
        let Some(Exited { since, late, .. }) = &mut self.exited else {
            return;
        };
        let is_over = running.last_words(|chunk| printed.push(chunk));
        printed.flush();
        if is_over || running.listen().is_err() {
            return;
        }
        loop {
            let (now, until) = (since.elapsed(), late.until(running.has_company()));
            if now >= until {
                return;
            }
            // Whoever is left in the group may have gone by then.
            let look_at = until.min(now.saturating_add(LAST_WORDS));
            tokio::select! {
                biased;
                chunk = running.late() => match chunk {
                    Some(chunk) => {
                        printed.push(&chunk);
                        printed.flush();
                        late.printed(since.elapsed());
                    }
                    None => return,
                },
                () = sleep_until(*since + look_at) => {}
            }
        }
    }

    async fn exits(&mut self) -> Exit {
        loop {
            self.listen();
            let (listen_at, spool_at) = (self.listen_at, self.printed.due());
            tokio::select! {
                biased;
                event = self.running.next() => match event {
                    Ok(Event::Output(chunk)) => self.printed.push(&chunk),
                    Ok(Event::Reported(chunk)) => {
                        self.reports.push(&chunk, &mut tell(&mut self.printed));
                        // A command may write faster than lines are read: whatever else is due has its turn.
                        others_have_a_turn().await;
                    }
                    Ok(Event::Exited(exit)) => return exit,
                    Err(error) => {
                        // wait(2) fails only for a child that is not ours; then nobody knows how it ended.
                        let task = self.attempt.id.task;
                        tracing::error!(%task, %error, "lost sight of a command");
                        return Exit::Code(255);
                    }
                },
                () = sleep_until(listen_at.unwrap_or_else(Instant::now)), if listen_at.is_some() => {}
                () = sleep_until(spool_at.unwrap_or_else(Instant::now)), if spool_at.is_some() => {
                    self.printed.begin_spool();
                }
                // The command prints nothing just now.
                () = ready(()), if self.printed.is_to_be_flushed() => self.printed.flush(),
            }
        }
    }

    fn listen(&mut self) {
        if self.listen_at.take_if(|at| *at <= Instant::now()).is_some()
            && let Err(error) = self.running.listen()
        {
            let task = self.attempt.id.task;
            tracing::error!(%task, %error, "could not listen to a command; will try again");
            self.listen_at = Some(Instant::now() + LISTEN_AGAIN);
        }
    }

    /// What the command came to, once it has ended, and the end of its pipe that is read from, if somebody may still
    /// print. The attempt's lock goes: from here on only what the command left behind holds it.
    pub fn finish(self, quick: bool, lives: &dyn Lives) -> (Ended, Option<OwnedFd>) {
        crash::here(Point::CommandEnded);
        let Run {
            running,
            attempt,
            kills,
            mut printed,
            reports,
            exited,
            was_signalled,
            is_before,
            ..
        } = self;
        let (exit, at) = match exited {
            Some(Exited { exit, at, .. }) => (exit, at),
            None => (Exit::Code(255), now()),
        };
        if is_before {
            let how = match exit {
                Exit::Code(code) => format!("exited with {code}"),
                Exit::Signal(signal) => format!("was ended by signal {signal}"),
            };
            let line = format!("taskqueue: before: it {how}, and the command was not run\n");
            printed.push(line.as_bytes());
        }
        let holder = Holder::Attempt(attempt.id);
        drop(attempt);
        let reported = reports.finish(&mut tell(&mut printed));
        let went_well = exit == Exit::Code(0) && !was_signalled && !reported.has_a_wish();
        let ended = Ended {
            how: How::Exit {
                exit,
                memory: exit == Exit::Signal(KILL) && memory::kills() > kills,
            },
            output: printed.finish(),
            reported,
            took: running.took(),
            at,
            quick,
            by_itself: !was_signalled,
            // What cannot be asked keeps the next attempt from beginning.
            has_remains: !went_well
                && (running.has_company() || lives.is_held(holder).unwrap_or(false)),
        };
        (ended, running.into_unread())
    }
}

/// Lets whatever else the loop waits for be looked at, and goes on.
async fn others_have_a_turn() {
    let mut have_had_it = false;
    poll_fn(|cx| match std::mem::replace(&mut have_had_it, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// What is wrong with what a command reports stands where people look, between what the command printed.
fn tell(printed: &mut Printed) -> impl FnMut(&str) {
    |line| printed.push(line.as_bytes())
}

/// What a command came to that could not be started.
pub fn not_started(lack: Lack, reason: String) -> Box<Ended> {
    Box::new(Ended {
        how: How::NotStarted { lack, reason },
        output: Captured::default(),
        reported: Reported::default(),
        took: None,
        at: now(),
        quick: false,
        by_itself: true,
        has_remains: false,
    })
}
