//! Threads for what may block. A thread that is not to be had is an error that may pass, never a panic: tokio's pool
//! for what blocks panics, so nobody uses that.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::crash;

type Piece = Box<dyn FnOnce() + Send>;
type Work<T> = Box<dyn FnOnce(&mut T) + Send>;

/// More than one piece of work waits only where a loop has several calls under way, or has given calls up.
const QUEUE: usize = 16;

/// How long the drop of the last handle waits for the thread: long enough for a database to be closed in good order,
/// and no longer than a program that ends can spare.
const LAST: Duration = Duration::from_secs(1);

/// How long a thread is waited for that has nothing to do.
const SOON: Duration = Duration::from_millis(100);

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
pub struct OneShot(oneshot::Sender<Piece>);

impl OneShot {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// When the system gives us none.
    pub fn start(name: &'static str) -> Result<OneShot, NotRun> {
        let (work, piece) = oneshot::channel::<Piece>();
        let work_off = move || {
            crash::begins(name);
            // Nobody may have any.
            if let Ok(piece) = piece.blocking_recv() {
                piece();
            }
        };
        started(name, None, work_off).map_err(no_thread)?;
        Ok(OneShot(work))
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

/// Starts a thread that nobody waits for, with a stack of so many bytes if that is said. It has to see itself to what
/// becomes of a panic.
///
/// # Errors
/// When the system gives us none.
pub fn started(
    name: &str,
    stack: Option<usize>,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut thread = thread::Builder::new().name(name.into());
    if let Some(stack) = stack {
        thread = thread.stack_size(stack);
    }
    thread.spawn(f).map(drop)
}

fn no_thread(error: io::Error) -> NotRun {
    NotRun::NoThread {
        reason: error.to_string(),
    }
}

/// A `T` with a thread that it is lent to while nobody else has it. The thread begins with the first call.
///
/// The thread ends, and the `T` is dropped, with the last clone of this handle. The drop of that clone waits for it,
/// for a second at most: a program that ended meanwhile would end the thread in the middle of that.
pub struct Thread<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    name: &'static str,
    /// `None` only in its drop.
    owned: Option<Arc<Mutex<T>>>,
    begun: Mutex<Option<Begun<T>>>,
}

/// A thread that has begun, and where work is handed to it.
struct Begun<T> {
    work: mpsc::Sender<Work<T>>,
    /// Nothing is ever sent by it: it closes when the thread has let go of the `T`.
    ended: Receiver<()>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        self.owned = None;
        let begun = self.begun.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Begun { work, ended, .. }) = begun.take() {
            drop(work);
            // However it ends.
            let _ = ended.recv_timeout(LAST);
        }
    }
}

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
    /// A thread of that name. It is not begun yet.
    pub fn new(name: &'static str, owned: T) -> Thread<T> {
        let shared = Shared {
            name,
            owned: Some(Arc::new(Mutex::new(owned))),
            begun: Mutex::default(),
        };
        Thread {
            shared: Arc::new(shared),
        }
    }

    /// Begins the thread, if there is none.
    ///
    /// # Errors
    /// When none is to be had.
    pub fn begin(&self) -> Result<(), NotRun> {
        self.work().map(drop)
    }

    /// Ends the thread if it has nothing to do, and waits until it is gone. It begins again when it is needed. False if
    /// there was none, or it was at work.
    pub fn end(&self) -> bool {
        let Shared { owned, begun, .. } = &*self.shared;
        let mut known = taken(begun);
        let idle = |begun: &mut Begun<T>| begun.work.capacity() == begun.work.max_capacity();
        // Whoever has the `T` is perhaps the thread.
        let free = match owned.as_ref().map(|owned| owned.try_lock()) {
            Some(Ok(owned)) => owned,
            Some(Err(TryLockError::Poisoned(owned))) => owned.into_inner(),
            Some(Err(TryLockError::WouldBlock)) | None => return false,
        };
        let Some(Begun { work, ended }) = known.take_if(idle) else {
            return false;
        };
        drop((free, work));
        // A call that was about to hand over some work keeps the thread up until it has.
        ended.recv_timeout(SOON) == Err(RecvTimeoutError::Disconnected)
    }

    /// Where work is handed to the thread, which begins if there is none.
    fn work(&self) -> Result<mpsc::Sender<Work<T>>, NotRun> {
        let Shared { name, owned, begun } = &*self.shared;
        let mut known = taken(begun);
        // A piece of work that panicked has ended the thread.
        if let Some(begun) = known.as_ref().filter(|begun| !begun.work.is_closed()) {
            return Ok(begun.work.clone());
        }
        let (work, mut todo) = mpsc::channel::<Work<T>>(QUEUE);
        let owned = Arc::clone(owned.as_ref().ok_or(NotRun::Closed)?);
        let (ends, ended) = channel();
        let name = *name;
        let serve = move || {
            // Dropped last, also when a piece panics.
            let _ends = ends;
            let owned = owned;
            crash::begins(name);
            while let Some(piece) = todo.blocking_recv() {
                piece(&mut taken(&owned));
            }
        };
        started(name, None, serve).map_err(no_thread)?;
        *known = Some(Begun {
            work: work.clone(),
            ended,
        });
        Ok(work)
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
    ///
    /// # Errors
    /// When there is no thread, or it did not come to its end.
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, NotRun> {
        let work = self.work()?;
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
        let work = self.work();
        work.is_ok_and(|work| work.try_send(Box::new(f)).is_ok())
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
        let thread = Thread::new("slow", Slow(Arc::clone(&gone)));
        let other = thread.clone();
        assert!(thread.post(|_| thread::sleep(Duration::from_millis(50))));
        drop(thread);
        assert!(!gone.load(Ordering::SeqCst));
        drop(other);
        assert!(gone.load(Ordering::SeqCst));
    }

    #[test]
    fn a_thread_that_does_not_end_is_not_waited_for_any_longer() {
        let thread = Thread::new("stuck", ());
        let (release, stuck) = channel::<()>();
        assert!(thread.post(move |()| {
            let _ = stuck.recv();
        }));
        drop(thread);
        drop(release);
    }

    #[test]
    fn a_thread_that_panicked_ends_and_begins_again() {
        let thread = Thread::new("panics", 1);
        assert!(thread.post(|_| panic!("on purpose")));
        let ended = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(10));
            thread.end()
        });
        assert!(ended, "it cannot be ended");
        assert!(thread.post(|one| *one = 2));
        let twice = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(10));
            thread.here(|one| *one) == Some(2)
        });
        assert!(twice, "it has not begun again");
    }

    #[test]
    fn a_thread_to_which_something_is_being_handed_does_not_keep_whoever_ends_it() {
        let thread = Thread::new("busy", ());
        let about_to_hand_over = thread.work().unwrap();
        assert!(!thread.end());
        drop(about_to_hand_over);
        assert!(thread.post(|()| {}), "another has begun");
    }
}
