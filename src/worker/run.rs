//! Running one command to its end, whoever calls for it.

use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::control::{Control, Mode};
use crate::crash::{self, Point};
use crate::grace::TERM_TO_KILL;
use crate::link::Report;
use crate::process::command::{Event, Running, Spec};
use crate::process::memory;
use crate::task::id::TaskId;
use crate::task::output::{Capture, Captured};
use crate::task::state::{Exit, Outcome};

/// The kernel's own signal, and everybody's.
const KILL: i32 = Signal::KILL.as_raw();

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// How.
    pub outcome: Outcome,
    /// What it printed.
    pub output: Captured,
}

/// A command that takes no longer is short. The tender of a worker in a full tube hears only of those that take longer: to
/// hear of one costs as much as many a job. And after a short one that printed little, the next is waited for so long
/// without listening to it, or to anything else.
const SHORT: Duration = Duration::from_millis(20);

/// Between two tries to listen to a command where the system does not let us.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// More than that is not little, in bytes. There is room for sixteen times as much in a pipe that nobody reads, unless its user has too many.
const LITTLE: u64 = 4096;

/// What a worker's last command was like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habit {
    /// It was short, and printed little.
    is_quiet: bool,
}

impl Habit {
    /// That of a command which took so long and printed so many bytes.
    pub fn of(long: Duration, printed: u64) -> Habit {
        Habit {
            is_quiet: long < SHORT && printed <= LITTLE,
        }
    }

    /// Whether it was short, and printed little: the next one need not be listened to from the beginning.
    pub fn is_quiet(self) -> bool {
        self.is_quiet
    }
}

/// Why we end a command that would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    TimedOut,
    Interrupted,
}

/// How far ending it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Terminated { cause: Cause, kill_at: Instant },
    Killed { cause: Cause },
}

/// A command on its way.
pub struct Run {
    running: Running,
    task: TaskId,
    begun: Instant,
    /// When to tell the tender of it.
    tell_at: Option<Instant>,
    times_out_at: Option<Instant>,
    /// How many the kernel had killed for their memory when it began.
    kills: Option<u64>,
    capture: Capture,
    /// How it has ended.
    exit: Option<Exit>,
}

/// Starts a command.
///
/// # Errors
/// How it ended, if it could not be started.
pub fn start(
    spec: Spec<'_>,
    timeout: Option<Duration>,
    task: TaskId,
    control: &mut Control,
) -> Result<Run, Ran> {
    let program = spec.argv.first().map_or("", String::as_str);
    let kills = memory::kills_lately();
    let running = Running::start(spec).map_err(|error| could_not_start(program, &error))?;
    crash::here(Point::CommandStarted);
    let begun = Instant::now();
    let mut tell_at = None;
    if control.is_taken_for_busy() {
        tell_at = Some(begun + SHORT);
    } else {
        let group = running.group();
        control.report(Report::Busy {
            task: task.0,
            group,
        });
    }
    Ok(Run {
        running,
        task,
        begun,
        tell_at,
        times_out_at: timeout.and_then(|timeout| begun.checked_add(timeout)),
        kills,
        capture: Capture::default(),
        exit: None,
    })
}

impl Run {
    /// Waits here for as long as a short command may take, while nothing else of the worker goes on. True if it has done well within that, and nothing of it is left
    /// to be heard.
    pub fn is_soon_done(&mut self) -> bool {
        let ends_at = self.begun + SHORT;
        let until = self.times_out_at.map_or(ends_at, |at| at.min(ends_at));
        // What is wrong comes again.
        let exit = self.running.ends_within(until - self.begun);
        self.exit = exit.unwrap_or_default();
        let capture = &mut self.capture;
        self.exit == Some(Exit::Code(0)) && self.running.last_words(|chunk| capture.push(chunk))
    }

    /// Stays with it until it has exited.
    pub async fn finish(mut self, control: &mut Control) -> Ran {
        let mut stage = Stage::Running;
        let exit = match self.exit {
            Some(exit) => exit,
            None => self.stay(&mut stage, control).await,
        };
        crash::here(Point::CommandEnded);
        let Run {
            running,
            mut capture,
            kills,
            ..
        } = self;
        running.rest(|chunk| capture.push(chunk)).await;
        Ran {
            outcome: match outcome(stage, exit) {
                Outcome::Signalled(KILL) if memory::kills() > kills => Outcome::OutOfMemory,
                outcome => outcome,
            },
            output: capture.finish(),
        }
    }

    async fn stay(&mut self, stage: &mut Stage, control: &mut Control) -> Exit {
        let Run {
            running,
            task,
            begun,
            tell_at,
            times_out_at,
            capture,
            ..
        } = self;
        let (task, times_out_at) = (*task, *times_out_at);
        let group = running.group();
        let mut listen_at = Some(*begun);
        *stage = advance(*stage, control.mode(), times_out_at, running);
        let alarm = sleep_until(Instant::now());
        tokio::pin!(alarm);
        loop {
            let next = next_alarm(*stage, control.mode(), times_out_at);
            let next = next.into_iter().chain(*tell_at).chain(listen_at).min();
            if let Some(at) = next
                && at != alarm.deadline()
            {
                alarm.as_mut().reset(at);
            }
            tokio::select! {
                event = running.next() => match event {
                    Ok(Event::Output(chunk)) => capture.push(&chunk),
                    Ok(Event::Exited(exit)) => return exit,
                    Err(error) => {
                        // wait(2) fails only for a child that is not ours; then nobody knows how it ended.
                        tracing::error!(task = task.0, %error, "lost sight of a command");
                        return Exit::Code(255);
                    }
                },
                _ = control.changed() => *stage = advance(*stage, control.mode(), times_out_at, running),
                () = &mut alarm, if next.is_some() => {
                    if tell_at.take_if(|at| *at <= Instant::now()).is_some() {
                        control.report(Report::Busy { task: task.0, group });
                    }
                    if listen_at.take_if(|at| *at <= Instant::now()).is_some()
                        && let Err(error) = running.listen()
                    {
                        tracing::error!(task = task.0, %error, "could not listen to a command; will try again");
                        listen_at = Some(Instant::now() + LISTEN_AGAIN);
                    }
                    *stage = advance(*stage, control.mode(), times_out_at, running);
                }
            }
        }
    }
}

fn could_not_start(program: &str, error: &io::Error) -> Ran {
    Ran {
        outcome: Outcome::CouldNotStart {
            reason: format!("could not start {program}: {error}"),
        },
        output: Captured::default(),
    }
}

/// When something has to be done though nothing happens.
fn next_alarm(stage: Stage, mode: Mode, times_out_at: Option<Instant>) -> Option<Instant> {
    match stage {
        Stage::Running => {
            let grace_ends = match mode {
                Mode::Draining { until } => until,
                Mode::Working | Mode::Stopping => None,
            };
            times_out_at.into_iter().chain(grace_ends).min()
        }
        Stage::Terminated { kill_at, .. } => Some(kill_at),
        Stage::Killed { .. } => None,
    }
}

/// Sends what is due, and says how far it has come.
fn advance(stage: Stage, mode: Mode, times_out_at: Option<Instant>, running: &Running) -> Stage {
    let now = Instant::now();
    let kill = |cause| {
        running.signal(Signal::KILL);
        Stage::Killed { cause }
    };
    let terminate = |cause| {
        running.signal(Signal::TERM);
        // A command that stopped itself could not hear the TERM.
        running.signal(Signal::CONT);
        Stage::Terminated {
            cause,
            kill_at: now + TERM_TO_KILL,
        }
    };
    match (stage, mode) {
        (Stage::Killed { .. }, _) => stage,
        (Stage::Terminated { cause, .. }, Mode::Stopping) => kill(cause),
        (Stage::Terminated { cause, kill_at }, _) if kill_at <= now => kill(cause),
        (Stage::Terminated { .. }, _) => stage,
        (Stage::Running, Mode::Stopping) => kill(Cause::Interrupted),
        (Stage::Running, Mode::Draining { until: Some(until) }) if until <= now => {
            terminate(Cause::Interrupted)
        }
        (Stage::Running, Mode::Working | Mode::Draining { .. }) => match times_out_at {
            Some(at) if at <= now => terminate(Cause::TimedOut),
            Some(_) | None => stage,
        },
    }
}

/// A command that we asked to end may exit with 0 having done half its work: it is not held to be done.
fn outcome(stage: Stage, exit: Exit) -> Outcome {
    match (stage, exit) {
        (Stage::Running, Exit::Code(code)) => Outcome::Exited(code),
        (Stage::Running, Exit::Signal(signal)) => Outcome::Signalled(signal),
        (Stage::Terminated { cause, .. } | Stage::Killed { cause }, exit) => match cause {
            Cause::TimedOut => Outcome::TimedOut(exit),
            Cause::Interrupted => Outcome::Interrupted(exit),
        },
    }
}
