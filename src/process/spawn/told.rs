//! What a child says of why it did not become the program, and how one says it that has a memory of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use super::super::lack::{Lack, NotStarted, Step};
use super::conditions::Condition;
use crate::task::conditions::Conditions;

/// A child becomes the program within milliseconds, unless a disk is slow or somebody stops it.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

const SETUP: u8 = 0;
const PROGRAM: u8 = 1;
/// The first condition's number, of those that follow.
const CONDITION: u8 = 2;

/// Where a child has failed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// In which step.
    pub step: u8,
    /// Why, as an error's number.
    pub error: i32,
}

impl Failure {
    /// While it was set up.
    pub fn setup(error: Errno) -> Failure {
        Failure {
            step: SETUP,
            error: error.raw_os_error(),
        }
    }

    /// When it was to be the program.
    pub fn program(error: Errno) -> Failure {
        Failure {
            step: PROGRAM,
            error: error.raw_os_error(),
        }
    }

    /// When it was to meet a condition.
    pub fn condition(condition: Condition, error: Errno) -> Failure {
        Failure {
            step: CONDITION.saturating_add(condition as u8),
            error: error.raw_os_error(),
        }
    }

    /// Tells whoever hears. Only a system call.
    pub fn tell(self, teller: BorrowedFd<'_>) {
        let [a, b, c, d] = self.error.to_ne_bytes();
        // Nobody is there to be told that it failed.
        let _ = rustix::io::write(teller, &[self.step, a, b, c, d]);
    }

    /// The same for people, and whose trouble it is.
    pub fn not_started(self, conditions: &Conditions) -> NotStarted {
        let error = io::Error::from_raw_os_error(self.error);
        let condition = self.step.checked_sub(CONDITION);
        let condition = condition.and_then(|number| Condition::ALL.get(usize::from(number)));
        match (condition, self.step) {
            (Some(condition), _) => NotStarted {
                lack: Lack::of(Step::Condition, &error),
                error: io::Error::other(format!("{}: {error}", condition.words(conditions))),
            },
            (None, PROGRAM) => NotStarted::at(Step::Program, error),
            (None, _) => NotStarted::at(Step::Setup, error),
        }
    }
}

/// A pipe that is closed when the child is the program.
pub struct Told {
    reader: OwnedFd,
    teller: OwnedFd,
}

impl Told {
    /// For one child.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Told> {
        let (reader, teller) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Told { reader, teller })
    }

    /// The child's end.
    pub fn teller(&self) -> BorrowedFd<'_> {
        self.teller.as_fd()
    }

    /// Waits until the child is the program, or has said why not. One that is neither for long is killed: it was
    /// stopped, or its disk does not answer.
    pub fn hear(self, pidfd: &OwnedFd) -> Option<Failure> {
        let Told { reader, teller } = self;
        drop(teller);
        let mut ends = [PollFd::new(&reader, PollFlags::IN)];
        let heard = retry_on_intr(|| poll(&mut ends, Some(&PATIENCE)));
        if heard == Ok(0) {
            // It has just ended then.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
            return Some(Failure::setup(Errno::TIMEDOUT));
        }
        let mut said = [0; 5];
        match retry_on_intr(|| rustix::io::read(&reader, &mut said)) {
            Ok(5) => {
                let [step, a, b, c, d] = said;
                let error = i32::from_ne_bytes([a, b, c, d]);
                Some(Failure { step, error })
            }
            // Closed by the program's beginning, or by the child's end, which is seen soon.
            Ok(_) | Err(_) => None,
        }
    }
}
