//! Who lives: each worker, each attempt and each session of the embedded broker holds something for as long as it does.
//!
//! Nothing else says whether somebody lives: no process id, no time, no row. Whoever holds something says so before
//! anybody can see its row, and an attempt's command inherits what the attempt holds, so that there is no instant
//! between starting a command and knowing of it.
//!
//! | adapter | what is held |
//! |---|---|
//! | [`locks`] | a byte of a file beside the store, locked by an open file description |
//! | [`memory`] | an entry in a table, which is let go when somebody is killed in a made-up time |

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::task::id::{AttemptId, WorkerId};

pub mod locks;
pub mod memory;
pub mod sessions;

use sessions::{Notes, Session};

/// Somebody of whom it is known whether they live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A worker.
    Worker(WorkerId),
    /// An attempt.
    Attempt(AttemptId),
    /// A session of the embedded broker, by its number.
    Session(i64),
    /// The same session while it waits for a job.
    Waiter(i64),
    /// Whoever brings the schema of the store up to date.
    Schema,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Worker(id) => write!(f, "worker {id}"),
            Holder::Attempt(id) => write!(f, "attempt {} of task {}", id.number, id.task),
            Holder::Session(number) => write!(f, "session {number} of the embedded broker"),
            Holder::Waiter(number) => write!(f, "waiting session {number} of the embedded broker"),
            Holder::Schema => f.write_str("whoever changes the schema"),
        }
    }
}

/// Why it is not known who lives, or could not be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody else says that they are this one.
    #[error("{0} lives already")]
    Taken(Holder),
    /// Nobody can tell.
    #[error("{what}")]
    Trouble {
        /// What failed, on what, why, and what to do next.
        what: String,
    },
}

/// Where the processes of a holder can be found: whoever has this file open through a description that has this byte
/// locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The file.
    pub file: PathBuf,
    /// The byte's offset in it.
    pub byte: i64,
}

/// Says who lives.
pub trait Lives: Send + Sync + fmt::Debug {
    /// Says that somebody lives, for as long as the answer is kept, or a copy of the descriptor in the answer is open.
    fn hold(&self, holder: Holder) -> Result<Alive, Error>;

    /// Whether somebody lives.
    fn is_held(&self, holder: Holder) -> Result<bool, Error>;

    /// Which start of the machine this is: whoever lived in another is dead. Empty where that cannot be told.
    fn boot(&self) -> String;

    /// Where the processes of a holder can be found, if they can.
    fn trace(&self, holder: Holder) -> Option<Trace>;

    /// Where a worker notes the sessions of its commands, if that is of any use here.
    fn notes(&self, worker: WorkerId) -> Result<Option<Notes>, Error>;

    /// The session of an attempt that this worker began, if that is known.
    fn session(&self, worker: WorkerId, attempt: AttemptId) -> Option<Session>;
}

/// That somebody lives. The holder counts as dead when this is dropped and no copy of its descriptor is open.
#[derive(Debug)]
pub struct Alive(Box<dyn Held>);

impl Alive {
    /// As an adapter has it.
    pub fn new(held: impl Held + 'static) -> Alive {
        Alive(Box::new(held))
    }

    /// The descriptor that a command has to inherit to be known as alive, if there is one. It is opened when it is
    /// first asked for.
    ///
    /// # Errors
    /// When it cannot be opened: no command may begin.
    pub fn inherited(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        self.0.inherited()
    }
}

/// What an adapter keeps for a holder. Dropping it lets go.
pub trait Held: Send + Sync + fmt::Debug {
    /// As of [`Alive::inherited`].
    fn inherited(&self) -> io::Result<Option<BorrowedFd<'_>>>;
}
