//! A ledger for loops that must not wait for a disk: closures in, answers out.

use std::sync::Arc;

use uuid::Uuid;

use super::batch_journal::Journals;
use super::spool::Spools;
use super::{Error, Ledger};
use crate::lives::Lives;
use crate::thread::{NotRun, Thread};

/// A ledger with a thread of its own.
///
/// Short transactions a loop runs itself ([`Store::soon`]) where the ledger is local, as long as nobody holds the lock:
/// handing one over and hearing of it takes as long as the transaction.
#[derive(Debug, Clone)]
pub struct Store {
    thread: Thread<Ledger>,
    id: Uuid,
    is_local: bool,
    /// Whoever asks has nothing else to do meanwhile.
    waits: bool,
    lives: Arc<dyn Lives>,
    journals: Arc<dyn Journals>,
    spools: Arc<dyn Spools>,
}

impl Store {
    /// Gives a ledger a thread of its own, which begins when it is first needed, and ends with the last clone of this
    /// handle.
    pub fn over(mut ledger: Ledger) -> Store {
        ledger.backend.leave_upkeep();
        let id = ledger.id();
        let is_local = ledger.backend.capabilities().is_local;
        let (lives, journals) = (Arc::clone(&ledger.lives), Arc::clone(&ledger.journals));
        let spools = Arc::clone(&ledger.spools);
        Store {
            thread: Thread::new("store", ledger),
            id,
            is_local,
            waits: false,
            lives,
            journals,
            spools,
        }
    }

    /// The same for a program that does one thing after the other, and has nothing else to do while the ledger is at
    /// work: calls run where they are made, and no thread is begun for them.
    #[must_use]
    pub fn on_this_thread(self) -> Store {
        Store {
            waits: true,
            ..self
        }
    }

    /// Does something to the ledger that takes no time, before anybody uses it.
    pub fn set_up(&self, f: impl FnOnce(&mut Ledger) -> Result<(), Error>) {
        // Nobody has it yet.
        let _ = self.thread.here(f);
    }

    /// Begins the ledger's thread before it is needed: a place among the processes that is kept for
    /// [`Store::make_room`].
    ///
    /// # Errors
    /// When no thread is to be had.
    pub fn keep_room(&self) -> Result<(), Error> {
        let no_room =
            |not_run| Error::trouble(format!("no room for the store {}: {not_run}", self.id));
        self.thread.begin().map_err(no_room)
    }

    /// Ends the ledger's thread if it has nothing to do, for something else to have its place among the processes. True
    /// if so.
    pub fn make_room(&self) -> bool {
        self.thread.end()
    }

    /// The ledger's own id, which pointers name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether a loop may run a short transaction where it stands.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Who lives, of its workers and attempts.
    pub fn lives(&self) -> &Arc<dyn Lives> {
        &self.lives
    }

    /// The batch journals of its workers.
    pub fn journals(&self) -> &Arc<dyn Journals> {
        &self.journals
    }

    /// What the commands of its workers print.
    pub fn spools(&self) -> &Arc<dyn Spools> {
        &self.spools
    }

    /// Runs `f` on the ledger's thread. Dropping the future does not undo what has begun.
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Ledger) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let mut f = Some(f);
        if self.waits
            && let Some(Some(done)) = self.thread.here(|ledger| f.take().map(|f| f(ledger)))
        {
            self.see_to_upkeep();
            return done;
        }
        // Whoever has the ledger at this moment is its thread.
        let Some(f) = f else {
            return Err(Error::closed());
        };
        let called = self.thread.call(f).await.map_err(|not_run| match not_run {
            NotRun::Closed => Error::closed(),
            NotRun::NoThread { reason } => {
                Error::trouble(format!("no thread for the store {}: {reason}", self.id))
            }
        })?;
        self.see_to_upkeep();
        called
    }

    /// Runs a transaction that takes a fraction of a millisecond: here, unless it would have to wait for somebody
    /// else's lock. Then it is tried again on the ledger's thread.
    pub async fn soon<R: Send + 'static>(
        &self,
        mut f: impl FnMut(&mut Ledger) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        match self.at_once(&mut f) {
            None => self.call(f).await,
            Some(Err(error)) if error.is_locked() => self.call(f).await,
            Some(done) => done,
        }
    }

    /// Runs such a transaction here or not at all: `None` if the ledger's thread is at work or the ledger is not
    /// local, an error that [`Error::is_locked`] if somebody else holds a lock for longer than a moment.
    pub fn at_once<R>(
        &self,
        f: impl FnOnce(&mut Ledger) -> Result<R, Error>,
    ) -> Option<Result<R, Error>> {
        if !self.is_local {
            return None;
        }
        let done = self.thread.here(|ledger| ledger.briefly(f))?;
        self.see_to_upkeep();
        Some(done)
    }

    /// Has the ledger kept up where it is time to. On the thread, for that waits for the disk.
    fn see_to_upkeep(&self) {
        let is_time = |ledger: &mut Ledger| ledger.backend.is_to_be_kept_up();
        if self.thread.here(is_time).unwrap_or(false) {
            // If there is so much to do, it is looked after another time.
            self.thread.post(|ledger| ledger.backend.keep_up());
        }
    }
}
