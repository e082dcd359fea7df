//! What a worker or a task lacks when a command cannot be started.

use std::io;

use rustix::io::Errno;

/// How far the start of a command had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pipes, files and the process were made.
    Setup,
    /// The process was to meet the conditions under which the command runs.
    Condition,
    /// The process was to become the program, or what the program gets was put together for that.
    Program,
}

/// What is lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The machine, or what we may use of it, has no process, descriptor or memory to spare.
    Room,
    /// The folder that commands are to run in.
    Folder,
    /// One of the conditions under which the command is to run: what is configured, or the rights to see to it.
    Condition,
    /// The program is not there, somebody writes to it, or it may not be executed.
    Program,
    /// Nothing that could come back: what the task asks for can never be started.
    Sense,
}

impl Lack {
    /// By what the system said, and when.
    pub fn of(step: Step, error: &io::Error) -> Lack {
        let Some(errno) = Errno::from_io_error(error) else {
            // The system was not asked: there is a null where none may be.
            return match step {
                Step::Setup => Lack::Room,
                Step::Condition => Lack::Condition,
                Step::Program => Lack::Sense,
            };
        };
        match (errno, step) {
            (Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE, _) => Lack::Room,
            (_, Step::Setup) => Lack::Room,
            (_, Step::Condition) => Lack::Condition,
            (Errno::TOOBIG | Errno::NOEXEC, Step::Program) => Lack::Sense,
            // Most are said of files that a deployment has half replaced, or of a file server that is away.
            (_, Step::Program) => Lack::Program,
        }
    }
}

/// A command that was not started.
#[derive(Debug)]
pub struct NotStarted {
    /// What is lacking.
    pub lack: Lack,
    /// What the system said.
    pub error: io::Error,
}

impl NotStarted {
    /// By what the system said, and when.
    pub fn at(step: Step, error: impl Into<io::Error>) -> NotStarted {
        let error = error.into();
        NotStarted {
            lack: Lack::of(step, &error),
            error,
        }
    }

    /// While pipes, files and the process were made.
    pub fn setup(error: impl Into<io::Error>) -> NotStarted {
        NotStarted::at(Step::Setup, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_tells_what_is_lacking() {
        for (errno, at_setup, at_program) in [
            (Errno::AGAIN, Lack::Room, Lack::Room),
            (Errno::NOMEM, Lack::Room, Lack::Room),
            (Errno::MFILE, Lack::Room, Lack::Room),
            (Errno::NFILE, Lack::Room, Lack::Room),
            // A /dev/null that is away is not the task's fault.
            (Errno::NOENT, Lack::Room, Lack::Program),
            (Errno::ACCESS, Lack::Room, Lack::Program),
            (Errno::PERM, Lack::Room, Lack::Program),
            (Errno::TXTBSY, Lack::Room, Lack::Program),
            (Errno::NOTDIR, Lack::Room, Lack::Program),
            (Errno::ISDIR, Lack::Room, Lack::Program),
            (Errno::LOOP, Lack::Room, Lack::Program),
            (Errno::IO, Lack::Room, Lack::Program),
            (Errno::STALE, Lack::Room, Lack::Program),
            (Errno::TOOBIG, Lack::Room, Lack::Sense),
            (Errno::NOEXEC, Lack::Room, Lack::Sense),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(Lack::of(Step::Setup, &error), at_setup, "{error}");
            assert_eq!(Lack::of(Step::Program, &error), at_program, "{error}");
            let room = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
            let at_condition = match room.contains(&errno) {
                true => Lack::Room,
                false => Lack::Condition,
            };
            assert_eq!(Lack::of(Step::Condition, &error), at_condition, "{error}");
        }
        let null = io::Error::new(io::ErrorKind::InvalidInput, "a null byte");
        assert_eq!(Lack::of(Step::Program, &null), Lack::Sense);
    }
}
