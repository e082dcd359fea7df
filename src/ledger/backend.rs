//! The backend: what keeps a ledger's rows, and how it is asked for a transaction.

use std::fmt;

use uuid::Uuid;

use super::error::{Error, Failed};
use super::rows::{Reads, Rows, Told};

/// What a transaction has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: what we acknowledge to a producer.
    PowerCut,
    /// The death of any process; after a power cut the last transactions may be missing, and a claim then runs a task
    /// again.
    ProcessDeath,
}

/// How long a transaction may wait for somebody else's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as people wait.
    Long,
    /// As long as a loop can spare: nothing else of it goes on meanwhile.
    Brief,
}

/// What a backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The backend keeps the jobs beside the tasks: a job is put in the transaction that says that the job is needed.
    /// As an instance of a broker, the backend is known by its own id.
    pub keeps_jobs: bool,
    /// A short transaction takes a fraction of a millisecond, so that a loop may run it where it stands.
    pub is_local: bool,
}

/// How much room a ledger takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// All that it takes.
    pub all: u64,
    /// What of it holds nothing.
    pub free: u64,
    /// The ledger cannot give that back unless it is written anew.
    pub is_rigid: bool,
}

/// What a ledger's changes are written into before they are where they belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Journal {
    /// How long it is.
    pub bytes: u64,
    /// Somebody has taken it away, or put another in its place, while it is open.
    pub is_another: bool,
}

/// What a ledger's rows are known by to be as they were: see [`Backend::stamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub i64, pub i64);

/// What came of putting the changes of a long journal where they belong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folded {
    /// So many bytes of it could not be; `None` where that is not known, for somebody else is at it.
    pub left: Option<u64>,
    /// Who keeps the rest from it, in words.
    pub readers: Vec<String>,
}

/// A transaction, whose rows may be read.
pub type Look<'a> = dyn FnMut(&dyn Reads) -> Result<(), Failed> + 'a;

/// A transaction, whose rows may be changed. The closure may be run more than once; only the last run counts.
pub type Change<'a> = dyn FnMut(&dyn Rows) -> Result<(), Failed> + 'a;

/// What keeps the rows.
pub trait Backend: Send + fmt::Debug {
    /// The ledger's own id, which pointers name.
    fn id(&self) -> Uuid;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Who is told of what happens in its transactions.
    fn told(&mut self) -> &mut Told;

    /// Runs one transaction; nothing of the transaction is left if `change` fails.
    fn change(
        &mut self,
        durability: Durability,
        patience: Patience,
        change: &mut Change<'_>,
    ) -> Result<(), Error>;

    /// Runs one transaction that deletes, where there was no room for one: with what is kept back for that.
    fn change_in_need(
        &mut self,
        durability: Durability,
        change: &mut Change<'_>,
    ) -> Result<(), Error> {
        self.change(durability, Patience::Long, change)
    }

    /// Runs queries that see one moment of the rows.
    fn look(&self, patience: Patience, look: &mut Look<'_>) -> Result<(), Error>;

    /// What is another whenever a row may have been changed since, by whomever. `None`: that is not known.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn stamp(&self) -> Result<Option<Stamp>, Error> {
        Ok(None)
    }

    /// Tells those who wait for jobs that are kept here.
    fn ring(&self) {}

    /// Leaves its upkeep, which waits for the disk, to whoever asks for it.
    fn leave_upkeep(&mut self) {}

    /// Whether it is time for its upkeep.
    fn is_to_be_kept_up(&mut self) -> bool {
        false
    }

    /// Does its upkeep, as far as nobody is in the way.
    fn keep_up(&mut self) {}

    /// How much room the rows take, where that is known.
    fn room(&self) -> Result<Room, Error> {
        Ok(Room::default())
    }

    /// Gives some free room back to whoever else needs it, in one short transaction, unless no more than so many bytes
    /// are free. Whether there is more to give.
    fn give_back(&mut self, _spare: u64) -> Result<bool, Error> {
        Ok(false)
    }

    /// Does the rest of its upkeep after a great change, as far as nobody is in the way.
    fn settle(&mut self) {}

    /// Keeps some room back for the day when there is none left.
    fn keep_reserve(&mut self) {}

    /// How its journal stands.
    fn journal(&self) -> Journal {
        Journal::default()
    }

    /// Puts what is in the journal where it belongs, and says who is in the way.
    fn fold(&mut self) -> Result<Folded, Error> {
        Ok(Folded::default())
    }

    /// Writes all rows anew, so that the ledger can give room back from then on. Nobody may work meanwhile.
    ///
    /// # Errors
    /// When somebody does, and when there is no room for it.
    fn compact(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
