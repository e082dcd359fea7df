//! A thread for what may block.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

type Work<T> = Box<dyn FnOnce(&mut T) + Send>;

/// More than one piece of work waits only where a loop has several calls under way, or has given calls up.
const QUEUE: usize = 16;

/// A handle on a thread that owns a `T`, and lends it out while it has nothing to do. It ends, and drops the `T`, with
/// the last clone of its handle.
pub struct Thread<T> {
    owned: Arc<Mutex<T>>,
    work: mpsc::Sender<Work<T>>,
}

/// The thread has ended; a bug, or the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl<T> Clone for Thread<T> {
    fn clone(&self) -> Self {
        Thread {
            owned: Arc::clone(&self.owned),
            work: self.work.clone(),
        }
    }
}

impl<T> fmt::Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Thread<T> {
    /// Starts a thread of that name.
    pub fn start(name: &str, owned: T) -> io::Result<Thread<T>> {
        let (work, mut todo) = mpsc::channel::<Work<T>>(QUEUE);
        let owned = Arc::new(Mutex::new(owned));
        let ours = Arc::clone(&owned);
        thread::Builder::new().name(name.into()).spawn(move || {
            while let Some(piece) = todo.blocking_recv() {
                piece(&mut taken(&ours));
            }
        })?;
        Ok(Thread { owned, work })
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
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, Closed> {
        let (answer, answered) = oneshot::channel();
        let piece: Work<T> = Box::new(move |owned| {
            // Nobody may be left to hear it.
            let _ = answer.send(f(owned));
        });
        self.work.send(piece).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }

    /// Has `f` run on the thread, after what was asked before. False if its queue is full.
    pub fn post(&self, f: impl FnOnce(&mut T) + Send + 'static) -> bool {
        self.work.try_send(Box::new(f)).is_ok()
    }
}

/// A piece of work that panicked left what it had, whole: it is changed in transactions.
fn taken<T>(owned: &Mutex<T>) -> MutexGuard<'_, T> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}
