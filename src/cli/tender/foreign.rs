//! Workers that are not ours, as flags and file have them: what is started, and what makes no sense with such.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::Failure;
use crate::cli::environment::said_by;
use crate::config::{Mode, Protocol, Tube};
use crate::lifecycle::{PROVING, READY_TIMEOUT, Unready};
use crate::tender::{self, WorkerCommand};
use crate::tube::TubeName;

/// What a tube's workers are started as, if it is not ourselves.
#[derive(Debug)]
pub struct Foreign {
    words: Vec<OsString>,
    /// As it was said.
    protocol: Option<Protocol>,
}

impl Foreign {
    /// From the flags or the file.
    pub fn of(command: Option<&str>, protocol: Option<Protocol>, file: &Tube) -> Option<Foreign> {
        let words: Vec<OsString> = match (command, &file.worker_command) {
            (Some(text), _) => text.split_whitespace().map(OsString::from).collect(),
            (None, Some(words)) => words.iter().map(OsString::from).collect(),
            (None, None) => return None,
        };
        let protocol = protocol.or(file.worker_protocol);
        Some(Foreign { words, protocol })
    }

    /// Whether pointers mean nothing to it.
    pub fn reads_no_pointers(&self) -> bool {
        self.protocol != Some(Protocol::Own)
    }

    /// It says nothing of how it stands.
    pub fn says_nothing(&self) -> bool {
        self.protocol == Some(Protocol::None)
    }

    /// Nobody said how it reports.
    pub fn is_unsaid(&self) -> bool {
        self.protocol.is_none()
    }

    /// What becomes of one that does not say that it is ready. Only who has promised to say so is killed for it.
    pub fn unready(&self) -> Unready {
        match self.protocol {
            Some(Protocol::Lines | Protocol::Own) => Unready::Killed(READY_TIMEOUT),
            Some(Protocol::Tokens | Protocol::None) => Unready::Presumed(PROVING),
            None => Unready::Waits,
        }
    }

    /// How it is started.
    pub fn command(&self) -> Result<WorkerCommand, Failure> {
        let protocol = match self.protocol {
            None | Some(Protocol::Lines | Protocol::Own) => tender::Protocol::Lines,
            Some(Protocol::Tokens) => tender::Protocol::Tokens,
            Some(Protocol::None) => tender::Protocol::None,
        };
        let Some((program, arguments)) = self.words.split_first() else {
            let said_by = said_by("worker-command", "TASKQUEUE_WORKER_COMMAND");
            let next = "write the program and its arguments, such as --worker-command '/usr/bin/php worker.php'";
            return Err(Failure::usage(format!("{said_by} names no program")).next(next));
        };
        Ok(WorkerCommand {
            program: program.clone(),
            arguments: arguments.to_vec(),
            protocol,
        })
    }
}

/// What is said of a pool's size, by flags or file.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub mode: Option<Mode>,
    pub min: Option<u32>,
    pub spare: Option<u32>,
    pub max: u32,
    /// The most is the default, and was said by nobody.
    pub max_is_unsaid: bool,
    pub jobs: Option<u64>,
}

/// Workers that say nothing: nobody can see which of them are busy, so there are always the most.
///
/// # Errors
/// When something is asked for that cannot be known of them.
pub fn check(tube: &TubeName, said: Size) -> Result<(), Failure> {
    let Size {
        mode,
        min,
        spare,
        max,
        max_is_unsaid: _,
        jobs,
    } = said;
    let (what, next) = match mode {
        Some(Mode::Dynamic) => ("its mode cannot be dynamic", STATIC),
        Some(Mode::Ondemand) => ("its mode cannot be ondemand", STATIC),
        None if min.is_some_and(|min| min != max) => {
            ("its workers cannot be between two numbers", STATIC)
        }
        None if spare.is_some_and(|spare| spare > 0) => ("none can be kept spare", STATIC),
        None | Some(Mode::Static) if jobs.is_some_and(|jobs| jobs > 0) => (
            "its jobs cannot be counted, so max_worker_jobs means nothing",
            "let the program count them itself and end, or say max_worker_age or max_worker_memory",
        ),
        None | Some(Mode::Static) => return Ok(()),
    };
    Err(Failure::usage(format!(
        "the tube {tube} has the worker_protocol \"none\", by which nobody sees who is busy: {what}"
    ))
    .next(next))
}

const STATIC: &str = "say max_workers alone: so many are kept always";

/// When such a worker is replaced, without a word of anybody: never. Who does not catch TERM would lose a job by it.
pub const NEVER: (Duration, u64) = (Duration::ZERO, 0);
