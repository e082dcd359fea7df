//! What a subcommand says when it fails, and with what code.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use super::environment::blame;
use crate::errno;
use crate::trust::hindrance;
use crate::{api, broker, config, ledger, ownership, tender};

/// Why a subcommand failed, and what to do next where there is a next step.
#[derive(Debug)]
pub struct Failure {
    what: String,
    next: Option<String>,
    code: u8,
    silent: bool,
}

impl Failure {
    /// Something failed: exit 1.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            next: None,
            code: 1,
            silent: false,
        }
    }

    /// It was asked for wrongly: exit 2.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure {
            code: 2,
            ..Failure::new(what)
        }
    }

    /// Since there is no such task, or no more: exit 3.
    pub fn gone(self) -> Failure {
        Failure { code: 3, ..self }
    }

    /// Adds the next step.
    pub fn next(self, next: impl Into<String>) -> Failure {
        Failure {
            next: Some(next.into()),
            ..self
        }
    }

    /// Says what came of it, too.
    pub fn also(self, also: &str) -> Failure {
        Failure {
            what: format!("{}; {also}", self.what),
            ..self
        }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// What was asked for is wrong, and not what it met.
    pub fn is_usage(&self) -> bool {
        self.code == 2
    }

    /// All of it, for a line of a list.
    pub fn in_one_line(&self) -> String {
        match &self.next {
            Some(next) => blame(&format!("{}; {next}", self.what)).into_owned(),
            None => blame(&self.what).into_owned(),
        }
    }

    /// Nobody reads on: `taskqueue list | head` is no failure.
    pub fn is_silent(&self) -> bool {
        self.silent
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blame(&self.what))?;
        match &self.next {
            Some(next) => write!(f, "\n  {}", blame(next)),
            None => Ok(()),
        }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<ledger::Error> for Failure {
    fn from(error: ledger::Error) -> Failure {
        let next = error.next();
        Failure {
            next: next.map(Into::into),
            ..Failure::new(error.to_string())
        }
    }
}

impl From<ownership::Error> for Failure {
    fn from(error: ownership::Error) -> Failure {
        let next = match &error {
            ownership::Error::Taken { .. } => {
                "end that one first with: taskqueue stop, or name another store with --store PATH"
                    .into()
            }
            ownership::Error::Io { path, .. } => elsewhere(path),
        };
        Failure::new(error.to_string()).next(next)
    }
}

impl From<tender::Error> for Failure {
    fn from(error: tender::Error) -> Failure {
        match error {
            wrong @ tender::Error::NoPools => {
                Failure::usage(wrong.to_string()).next("name one: taskqueue tender --use-tube TUBE")
            }
            wrong @ tender::Error::TubeTwice { .. } => {
                Failure::usage(wrong.to_string()).next("name each tube once")
            }
            tender::Error::Unfit(unfit) => unfit.into(),
            tender::Error::Ownership(error) => error.into(),
            tender::Error::Guard(error) | tender::Error::Reaper(error) => error.into(),
        }
    }
}

impl From<api::Error> for Failure {
    fn from(error: api::Error) -> Failure {
        match error {
            api::Error::Store(error) => error.into(),
            gone @ api::Error::NoSuchTask { .. } => Failure::new(gone.to_string()).gone(),
            none @ api::Error::NoSuchAttempt { task, .. } => Failure::new(none.to_string()).next(
                format!("those that there are, shows: taskqueue show {task}"),
            ),
            refused @ (api::Error::Refused(_)
            | api::Error::Raw
            | api::Error::KeyTaken(_)
            | api::Error::NotAfter(_)
            | api::Error::NoSuchReference { .. }
            | api::Error::SameReference { .. }
            | api::Error::Circle(_)
            | api::Error::Links(_)
            | api::Error::Tag(_)
            | api::Error::Own(_)
            | api::Error::NotRegenerated(_)
            | api::Error::NotDeleted(_)
            | api::Error::NotEdited(_)
            | api::Error::NotCancelled(_)
            | api::Error::ScheduleTaken(_)
            | api::Error::ScheduleWrong { .. }) => Failure::new(refused.to_string()),
            missing @ api::Error::NoSchedule { .. } => {
                let failure = Failure::new(missing.to_string());
                missing
                    .next()
                    .map(str::to_owned)
                    .into_iter()
                    .fold(failure, Failure::next)
            }
        }
    }
}

impl From<broker::Error> for Failure {
    fn from(error: broker::Error) -> Failure {
        let next = next_step(&error);
        Failure {
            next,
            ..Failure::new(error.to_string())
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        let failure = match error.kind() {
            // Results go to a file then, or a test's device.
            io::ErrorKind::StorageFull => {
                Failure::new(format!("not all could be printed: {}", errno::said(&error)))
                    .next("make room where the output goes, and ask again")
            }
            _ => Failure::new(errno::said(&error)),
        };
        Failure { silent, ..failure }
    }
}

/// Why nothing can be written there, as far as can be seen, and what to do.
fn elsewhere(path: &Path) -> String {
    let named =
        "name a store in a folder that can be written to with --store PATH or TASKQUEUE_STORE";
    match hindrance(path) {
        Some(why) => format!("{why}; {named}"),
        None => named.into(),
    }
}

/// What to do about a broker that does not do what it should.
pub fn next_step(error: &broker::Error) -> Option<String> {
    let next = match error {
        broker::Error::Unreachable { reason, .. } if reason.starts_with(errno::NO_HOST) => {
            Some("name another with --broker URL or TASKQUEUE_BROKER")
        }
        broker::Error::Unreachable { address, .. } => {
            return Some(format!(
                "{}, or name another with --broker URL or TASKQUEUE_BROKER",
                start(address)
            ));
        }
        broker::Error::NoAnswer { .. } => {
            Some("is it stopped, or is something else listening there?")
        }
        broker::Error::Failed { .. } => Some(
            "its jobs are in the store: is --store PATH or TASKQUEUE_STORE the right one, and not full?",
        ),
        broker::Error::Draining => Some("it was sent SIGUSR1: put elsewhere, or restart it"),
        broker::Error::TooBig { .. } => Some("beanstalkd's limit is set with its option -z"),
        broker::Error::ConnectionLost { .. }
        | broker::Error::Nonsense { .. }
        | broker::Error::OutOfMemory
        | broker::Error::NotFound
        | broker::Error::ReservationLost { .. } => None,
    };
    next.map(Into::into)
}

/// How to start a broker at that address: here where the address is this machine's, and there otherwise.
fn start(address: &str) -> String {
    let Some((host, port)) = address.rsplit_once(':') else {
        return format!("is beanstalkd running at {address}?");
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => format!("start one with: beanstalkd -l {host} -p {port}"),
        Err(_) if host == "localhost" => {
            format!("start one with: beanstalkd -l 127.0.0.1 -p {port}")
        }
        Ok(_) | Err(_) => {
            format!("look on {host} whether beanstalkd runs and listens on port {port}")
        }
    }
}

impl From<crate::link::Error> for Failure {
    fn from(error: crate::link::Error) -> Failure {
        Failure::new(error.to_string())
    }
}
