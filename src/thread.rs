//! Threads for what may block. A thread that is not to be had is an error that may pass, never a panic: tokio's pool
//! for what blocks panics, so nobody uses that.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

type Piece = Box<dyn FnOnce() + Send>;
type Work<T> = Box<dyn FnOnce(&mut T) + Send>;

/// More than one piece of work waits only where a loop has several calls under way, or has given calls up.
const QUEUE: usize = 16;

/// Why a piece of work was not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// The thread has ended; a bug, or the process is on its way out.
    #[error("the thread that it was given to has ended")]
    Closed,
    /// The system gives us no thread.
    #[error("no thread is to be had: {reason}")]
    NoThread {
        /// What the system said.
        reason: String,
    },
}

/// A thread for one piece of work, which it waits for.
pub struct Once(oneshot::Sender<Piece>);

impl Once {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// When the system gives us none.
    pub fn start(name: &str) -> Result<Once, NotRun> {
        let (work, piece) = oneshot::channel::<Piece>();
        started(name, move || {
            // Nobody may have any.
            if let Ok(piece) = piece.blocking_recv() {
                piece();
            }
        })?;
        Ok(Once(work))
    }

    /// Runs `f` on the thread, which ends then. Dropping the future does not undo what has begun.
    ///
    /// # Errors
    /// When it did not come to its end.
    pub async fn run<R: Send + 'static>(
        self,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, NotRun> {
        let (answer, answered) = oneshot::channel();
        // Nobody may be left to hear it.
        let piece = Box::new(move || drop(answer.send(f())));
        self.0.send(piece).map_err(|_| NotRun::Closed)?;
        answered.await.map_err(|_| NotRun::Closed)
    }
}

fn started(name: &str, f: impl FnOnce() + Send + 'static) -> Result<(), NotRun> {
    let spawned = thread::Builder::new().name(name.into()).spawn(f);
    let no_thread = |error: io::Error| NotRun::NoThread {
        reason: error.to_string(),
    };
    spawned.map(drop).map_err(no_thread)
}

/// A `T` with a thread that it is lent to while nobody else has it. The thread begins with the first call, and ends,
/// and the `T` is dropped, with the last clone of this handle.
pub struct Thread<T> {
    name: &'static str,
    owned: Arc<Mutex<T>>,
    work: Arc<Mutex<Option<mpsc::Sender<Work<T>>>>>,
}

impl<T> Clone for Thread<T> {
    fn clone(&self) -> Self {
        Thread {
            name: self.name,
            owned: Arc::clone(&self.owned),
            work: Arc::clone(&self.work),
        }
    }
}

impl<T> fmt::Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Thread<T> {
    /// A thread of that name. It is not begun yet.
    pub fn new(name: &'static str, owned: T) -> Thread<T> {
        Thread {
            name,
            owned: Arc::new(Mutex::new(owned)),
            work: Arc::default(),
        }
    }

    /// Where work is handed to the thread, which begins if there is none.
    fn begun(&self) -> Result<mpsc::Sender<Work<T>>, NotRun> {
        let mut known = taken(&self.work);
        // A piece of work that panicked has ended the thread.
        if let Some(work) = known.as_ref().filter(|work| !work.is_closed()) {
            return Ok(work.clone());
        }
        let (work, mut todo) = mpsc::channel::<Work<T>>(QUEUE);
        let owned = Arc::clone(&self.owned);
        started(self.name, move || {
            while let Some(piece) = todo.blocking_recv() {
                piece(&mut taken(&owned));
            }
        })?;
        *known = Some(work.clone());
        Ok(work)
    }

    /// Runs `f` here and now; `None` if the thread is at work. For what takes less than handing it over would, and may
    /// be done before what the thread was asked for.
    pub fn here<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self.owned.try_lock() {
            Ok(mut owned) => Some(f(&mut owned)),
            Err(TryLockError::Poisoned(owned)) => Some(f(&mut owned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Runs `f` on the thread. Dropping the future does not undo what has begun.
    ///
    /// # Errors
    /// When there is no thread, or it did not come to its end.
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, NotRun> {
        let work = self.begun()?;
        let (answer, answered) = oneshot::channel();
        let piece: Work<T> = Box::new(move |owned| {
            // Nobody may be left to hear it.
            let _ = answer.send(f(owned));
        });
        work.send(piece).await.map_err(|_| NotRun::Closed)?;
        // Else the thread would go on for as long as this is waited for, whoever has dropped his handle.
        drop(work);
        answered.await.map_err(|_| NotRun::Closed)
    }

    /// Has `f` run on the thread, after what was asked before. False if there is no thread, or its queue is full.
    pub fn post(&self, f: impl FnOnce(&mut T) + Send + 'static) -> bool {
        let begun = self.begun();
        begun.is_ok_and(|work| work.try_send(Box::new(f)).is_ok())
    }
}

/// A piece of work that panicked left what it had, whole: it is changed in transactions.
fn taken<T>(owned: &Mutex<T>) -> MutexGuard<'_, T> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}
