//! A store and a session with a broker, shared by whoever holds a clone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, MutexGuard};

use super::error::Error;
use crate::broker::{self, Broker, Delivery, NewJob};
use crate::ledger::{Ledger, Store};
use crate::task::command::Commands;
use crate::tube::TubeName;

/// A store to record tasks in and a broker to announce them to. Made by [`Queue::open`].
///
/// A clone is cheap and means the same queue. Each method takes `&self`, so that any number of tasks may use one queue
/// at once: the store is used on a thread of its own, which ends with the last clone, and the broker is asked by one
/// after the other, in one session.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    /// The store puts the jobs itself.
    keeps_jobs: bool,
    /// What the tenders of the store are found by; none where nobody said so.
    tenders: Option<PathBuf>,
    session: Mutex<Session>,
}

/// The one session with the broker.
pub(super) struct Session {
    pub broker: Box<dyn Broker>,
    /// When it was last noticed that nobody answers, and how.
    silence: Option<(Instant, broker::Error)>,
}

impl Queue {
    /// Records tasks in `ledger`, opened with [`PowerCut`](crate::ledger::Durability::PowerCut), and announces them to
    /// `broker`.
    ///
    /// # Errors
    /// When the store's thread cannot be started.
    pub fn new(broker: Box<dyn Broker>, ledger: Ledger) -> Result<Queue, Error> {
        let keeps_jobs = ledger.keeps_jobs();
        let store = Store::over(ledger);
        let session = Mutex::new(Session {
            broker,
            silence: None,
        });
        let shared = Arc::new(Shared {
            store,
            keeps_jobs,
            tenders: None,
            session,
        });
        Ok(Queue { shared })
    }

    /// The same, which can also tell the tenders of the store something: they are found by the store's file. To be said
    /// before the queue is cloned.
    #[must_use]
    pub fn with_tenders(mut self, store: &Path) -> Queue {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.tenders = Some(store.to_owned());
        }
        self
    }

    pub(super) fn tenders(&self) -> Option<&Path> {
        self.shared.tenders.as_deref()
    }

    /// The same for a program that puts or looks and ends: the store is used where a method is called, and the caller's
    /// thread waits for the disk. Only for who has no other clone.
    #[cfg(feature = "cli")]
    #[must_use]
    pub(crate) fn on_this_thread(self) -> Queue {
        let shared = match Arc::try_unwrap(self.shared) {
            Ok(shared) => Arc::new(Shared {
                store: shared.store.on_this_thread(),
                ..shared
            }),
            Err(shared) => shared,
        };
        Queue { shared }
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Goes by a configuration, which `config::commands` reads: by its hooks, and by its limits, which hold what is put
    /// where there is no room. To be said before the queue is used; it is not heeded afterwards.
    ///
    /// A queue that goes by none makes no hooks' tasks of what it does itself: of what it puts (`on_put`), cancels,
    /// regenerates or deletes. Of what workers and tenders do with its tasks these make them, by their own
    /// configuration, and so they hold what a limit has no room for. Events are recorded either way.
    ///
    /// ```
    /// # #[cfg(feature = "cli")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use taskqueue::{Queue, StoreUrl, config};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("taskqueue.toml");
    /// # std::fs::write(&file, "[hooks]\non_put = [\"./tell\"]\n")?;
    /// # let store = StoreUrl::from(folder.path().join("tasks.db"));
    /// let commands = config::commands(&file)?;
    /// let queue = Queue::open(&"embedded".parse()?, &store)?.configured(&commands);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "cli"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn configured(self, commands: &Arc<Commands>) -> Queue {
        let commands = Arc::clone(commands);
        let told = move |db: &mut Ledger| {
            db.tell_by(commands.telling());
            db.hold_by(&commands);
            Ok(())
        };
        // A store of one's own is at hand.
        self.shared.store.set_up(told);
        self
    }

    /// Whether a task's job is put together with it.
    pub(super) fn keeps_jobs(&self) -> bool {
        self.shared.keeps_jobs
    }

    /// Waits for the session; or says what whoever had it meanwhile has heard, if nobody answered. Or each of many
    /// would wait in turn for a broker that is silent.
    pub(super) async fn session(&self) -> Result<MutexGuard<'_, Session>, broker::Error> {
        let asked = Instant::now();
        let session = self.shared.session.lock().await;
        match &session.silence {
            Some((noticed, error)) if *noticed > asked => Err(error.clone()),
            Some(_) | None => Ok(session),
        }
    }
}

impl Session {
    /// [`Broker::deliver`]
    pub async fn deliver(&mut self, tube: &TubeName, jobs: &[NewJob]) -> Delivery {
        let delivery = self.broker.deliver(tube, jobs).await;
        let mut troubles = delivery.answers.iter().filter_map(|a| a.as_ref().err());
        if let Some(error) = troubles.find(|error| error.is_of_no_answer()) {
            self.silence = Some((Instant::now(), error.clone()));
        }
        delivery
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("store", &self.shared.store.id())
            .finish_non_exhaustive()
    }
}
