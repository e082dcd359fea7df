//! How states, events and reasons print.

use std::fmt;

use super::{Ended, Event, Running, State, Why, Worker};

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Surplus => "one too many",
            Self::Yields => "its place in the pool is another tube's",
            Self::Aged => "reached its age",
            Self::Output => "reached its output",
            Self::Jobs => "reached its number of jobs",
            Self::Memory => "reached its memory",
            Self::Outdated => "another program is configured",
            Self::NotReady => "was not ready in time",
            Self::Unresponsive => "did not answer, and its command's time was up",
            Self::Shutdown => "shutting down",
            Self::LinkClosed => "closed its link",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawning => f.write_str("spawning"),
            Self::Starting { .. } => f.write_str("starting"),
            Self::Idle { .. } => f.write_str("idle"),
            Self::Busy { task, .. } => write!(f, "busy with task {task}"),
            Self::Stopping { why, running, .. } => departing(f, "stopping", *why, *running),
            Self::Killed { why, running, .. } => departing(f, "killed", *why, *running),
            Self::Gone => f.write_str("gone"),
        }
    }
}

fn departing(
    f: &mut fmt::Formatter<'_>,
    how: &str,
    why: Why,
    running: Option<Running>,
) -> fmt::Result {
    match running {
        Some(Running { task, .. }) => write!(f, "{how} ({why}), busy with task {task}"),
        None => write!(f, "{how} ({why})"),
    }
}

/// How it stands, as far as that is known.
impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            // Nobody knows whether it works.
            State::Idle { .. } if self.silent() => f.write_str("alive"),
            known => known.fmt(f),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawned { .. } => f.write_str("spawned"),
            Self::CouldNotSpawn => f.write_str("could not be spawned"),
            Self::Ready => f.write_str("ready"),
            Self::Busy { task, group } => write!(f, "busy with task {task} in group {group}"),
            Self::Idle { jobs, output } => write!(f, "idle after {jobs} jobs and {output} bytes"),
            Self::Troubled { task } => write!(f, "in trouble with task {task}"),
            Self::Watched { left: None } => f.write_str("answers while it runs a command"),
            Self::Watched { left: Some(left) } => {
                write!(f, "answers while it runs a command, for {left:?} more")
            }
            Self::Answered => f.write_str("answered"),
            Self::Looked { is_stopped: true } => f.write_str("looked at: stopped"),
            Self::Looked { is_stopped: false } => f.write_str("looked at: not stopped"),
            Self::Measured { memory, printed } => {
                write!(f, "measured: {memory} bytes in memory, {printed} printed")
            }
            Self::Retire { why } => write!(f, "retire: {why}"),
            Self::Drain { grace } => write!(f, "drain within {grace:?}"),
            Self::Stop => f.write_str("stop"),
            Self::Due => f.write_str("due"),
            Self::LinkClosed => f.write_str("link closed"),
            Self::Ended(ended) => write!(f, "ended with {ended}"),
        }
    }
}
