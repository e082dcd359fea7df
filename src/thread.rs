//! A thread for what may block.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

type Work<T> = Box<dyn FnOnce(&mut T) + Send>;

/// More than one piece of work waits only where a loop has several calls under way, or has given calls up.
const QUEUE: usize = 16;

/// How long the drop of the last handle waits for the thread: long enough for a database to be closed in good order,
/// and no longer than a program that ends can spare.
const LAST: Duration = Duration::from_secs(1);

/// A handle on a thread that owns a `T`, and lends it out while it has nothing to do.
///
/// The thread ends, and drops the `T`, with the last clone of its handle. The drop of that clone waits for it, for a
/// second at most: a program that ended meanwhile would end the thread in the middle of that.
pub struct Thread<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    /// `None` only in its drop, as what the thread is given to do.
    owned: Option<Arc<Mutex<T>>>,
    work: Option<mpsc::Sender<Work<T>>>,
    /// Nothing is ever sent by it: it closes when the thread has dropped the `T`.
    ended: Mutex<Receiver<()>>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        self.owned = None;
        self.work = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // However it ends.
        let _ = ended.recv_timeout(LAST);
    }
}

/// The thread has ended; a bug, or the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl<T> Clone for Thread<T> {
    fn clone(&self) -> Self {
        Thread {
            shared: Arc::clone(&self.shared),
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
        let (ends, ended) = channel();
        thread::Builder::new().name(name.into()).spawn(move || {
            while let Some(piece) = todo.blocking_recv() {
                piece(&mut taken(&ours));
            }
            drop(ours);
            drop(ends);
        })?;
        let shared = Shared {
            owned: Some(owned),
            work: Some(work),
            ended: Mutex::new(ended),
        };
        Ok(Thread {
            shared: Arc::new(shared),
        })
    }

    /// Runs `f` here and now; `None` if the thread is at work. For what takes less than handing it over would, and may
    /// be done before what the thread was asked for.
    pub fn here<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self.shared.owned.as_ref()?.try_lock() {
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
        let work = self.shared.work.as_ref().ok_or(Closed)?;
        work.send(piece).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }

    /// Has `f` run on the thread, after what was asked before. False if its queue is full.
    pub fn post(&self, f: impl FnOnce(&mut T) + Send + 'static) -> bool {
        let work = self.shared.work.as_ref();
        work.is_some_and(|work| work.try_send(Box::new(f)).is_ok())
    }
}

/// A piece of work that panicked left what it had, whole: it is changed in transactions.
fn taken<T>(owned: &Mutex<T>) -> MutexGuard<'_, T> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Takes its time to go.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(50));
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_drops_the_last_handle_waits_for_what_the_thread_has_to_drop() {
        let gone = Arc::new(AtomicBool::new(false));
        let thread = Thread::start("slow", Slow(Arc::clone(&gone))).unwrap();
        let other = thread.clone();
        assert!(thread.post(|_| thread::sleep(Duration::from_millis(50))));
        drop(thread);
        assert!(!gone.load(Ordering::SeqCst));
        drop(other);
        assert!(gone.load(Ordering::SeqCst));
    }

    #[test]
    fn a_thread_that_does_not_end_is_not_waited_for_any_longer() {
        let thread = Thread::start("stuck", ()).unwrap();
        let (release, stuck) = channel::<()>();
        assert!(thread.post(move |()| {
            let _ = stuck.recv();
        }));
        drop(thread);
        drop(release);
    }
}
