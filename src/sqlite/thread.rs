//! A thread that owns what may block.

use std::fmt;
use std::io;
use std::thread;

use tokio::sync::{mpsc, oneshot};

type Work<T> = Box<dyn FnOnce(&mut T) + Send>;

/// More than one piece of work waits only where a loop has several calls under way, or has given calls up.
const QUEUE: usize = 16;

/// A handle on a thread that owns a `T`. It ends, and drops the `T`, with the last clone of its handle.
pub struct Thread<T> {
    work: mpsc::Sender<Work<T>>,
}

/// The thread has ended; a bug, or the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl<T> Clone for Thread<T> {
    fn clone(&self) -> Self {
        Thread {
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
    pub fn start(name: &str, mut owned: T) -> io::Result<Thread<T>> {
        let (work, mut todo) = mpsc::channel::<Work<T>>(QUEUE);
        thread::Builder::new().name(name.into()).spawn(move || {
            while let Some(piece) = todo.blocking_recv() {
                piece(&mut owned);
            }
        })?;
        Ok(Thread { work })
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
