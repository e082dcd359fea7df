//! What a subcommand says when it fails, and with what code.

use std::fmt;
use std::io;
use std::process::ExitCode;

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

    /// Adds the next step.
    pub fn next(self, next: impl Into<String>) -> Failure {
        Failure {
            next: Some(next.into()),
            ..self
        }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Nobody reads on: `taskqueue list | head` is no failure.
    pub fn is_silent(&self) -> bool {
        self.silent
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.next {
            Some(next) => write!(f, "\n  {next}"),
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
            }
            ownership::Error::Io { .. } => {
                "name a store in a folder that can be written to with --store PATH or TASKQUEUE_STORE"
            }
        };
        Failure::new(error.to_string()).next(next)
    }
}

impl From<tender::Error> for Failure {
    fn from(error: tender::Error) -> Failure {
        match error {
            wrong @ (tender::Error::NoPools | tender::Error::TubeTwice { .. }) => {
                Failure::usage(wrong.to_string())
            }
            tender::Error::Ownership(error) => error.into(),
            tender::Error::Guard(error) | tender::Error::Reaper(error) => error.into(),
        }
    }
}

impl From<api::Error> for Failure {
    fn from(error: api::Error) -> Failure {
        match error {
            api::Error::Store(error) => error.into(),
            refused
            @ (api::Error::Refused(_) | api::Error::Raw | api::Error::NotRegenerated(_)) => {
                Failure::new(refused.to_string())
            }
        }
    }
}

impl From<broker::Error> for Failure {
    fn from(error: broker::Error) -> Failure {
        let next = next_step(&error).map(Into::into);
        Failure {
            next,
            ..Failure::new(error.to_string())
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure {
            silent: error.kind() == io::ErrorKind::BrokenPipe,
            ..Failure::new(error.to_string())
        }
    }
}

/// What to do about a broker that does not do what it should.
pub fn next_step(error: &broker::Error) -> Option<&'static str> {
    match error {
        broker::Error::Unreachable { .. } => Some(
            "start one with: beanstalkd -l 127.0.0.1 -p 11300, or name another with --broker URL",
        ),
        broker::Error::NoAnswer { .. } => {
            Some("is it stopped, or is something else listening there?")
        }
        broker::Error::Failed { .. } => Some(
            "its jobs are in the store: is --store PATH or TASKQUEUE_STORE the right one, and not full?",
        ),
        broker::Error::Draining => Some("it was sent SIGUSR1: put elsewhere, or restart it"),
        broker::Error::TooBig { .. } => Some("beanstalkd's limit is set with its option -z"),
        _ => None,
    }
}

impl From<crate::link::Error> for Failure {
    fn from(error: crate::link::Error) -> Failure {
        Failure::new(error.to_string())
    }
}
