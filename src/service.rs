//! What runs beside a loop. Nothing that does is forgotten: a service that panics, or cannot go on, is named in the log
//! with the reason and begun anew, and a service whose owner is gone ends.
//!
//! ```text
//!            ┌──── error or panic: said once, a pause that grows ────┐
//!            ▼                                                       │
//!   start ─▶ runs ───────────────────────────────────────────────────┘
//!            ├─▶ returns: it has nothing to do any more
//!            └─▶ its owner is dropped: ended where it waits
//! ```
//!
//! What a service has outlives its panic, for its future only borrows it. So each says at the beginning of `run` what
//! becomes of the work that was in hand. There is none that could not be begun anew.
//!
//! A thread that is lent something for a while, and a piece of work that somebody waits for, are in [`crate::thread`].

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backoff::wait_after;
use crate::crash;
use crate::thread;

/// No pause is longer: others count on the service, and to begin it costs next to nothing.
const LONGEST: Duration = Duration::from_secs(10);

/// A service that has run for so long has put behind it what ended it before.
const SETTLED: Duration = Duration::from_secs(20);

/// Something that runs beside a loop.
pub trait Service: Send + 'static {
    /// What the log calls it.
    const NAME: &'static str;

    /// Runs until there is nothing to do any more. After an error, and after a panic wherever that came, it is called
    /// again.
    ///
    /// # Errors
    /// Why it cannot go on now.
    fn run(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Services with one owner. When this is dropped, they end where they wait.
#[derive(Debug, Default)]
pub struct Services(JoinSet<()>);

impl Services {
    /// Only that one. To be called within a runtime, as [`Services::start`] is.
    pub fn of(service: impl Service) -> Services {
        let mut services = Services::default();
        services.start(service);
        services
    }

    /// One more. Those that have returned are forgotten.
    pub fn start(&mut self, service: impl Service) {
        while self.0.try_join_next().is_some() {}
        self.0.spawn(keep(service));
    }

    /// Waits until all have returned.
    pub async fn finish(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

async fn keep<S: Service>(mut service: S) {
    let mut failures = Failures::of(S::NAME);
    loop {
        let ended = {
            let mut run = pin!(caught(async {
                crash::begins(S::NAME);
                service.run().await
            }));
            match timeout(SETTLED, &mut run).await {
                Ok(ended) => ended,
                Err(_) => {
                    failures.settled();
                    run.await
                }
            }
        };
        match ended {
            Ok(()) => return,
            Err(reason) => sleep(failures.pause(reason)).await,
        }
    }
}

/// The same future, whose panic is an error.
async fn caught(run: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let mut run = pin!(run);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
    })
    .await
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", said.unwrap_or("without a word"))
}

/// Has a thread of its own run something until that returns; what panics is begun anew. For what has to go on whatever
/// the runtime does.
///
/// # Errors
/// When the system gives us no thread.
pub fn on_thread(
    name: &'static str,
    stack: Option<usize>,
    mut run: impl FnMut() + Send + 'static,
) -> io::Result<()> {
    thread::started(name, stack, move || {
        let mut failures = Failures::of(name);
        loop {
            let begun = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                crash::begins(name);
                run();
            }));
            let Err(panic) = ended else {
                return;
            };
            if begun.elapsed() >= SETTLED {
                failures.settled();
            }
            std::thread::sleep(failures.pause(panicked(&*panic)));
        }
    })
}

/// What kept a service from going on since it last ran for a while.
#[derive(Debug)]
struct Failures {
    name: &'static str,
    in_a_row: u32,
    /// The reason that was said last.
    said: String,
}

impl Failures {
    fn of(name: &'static str) -> Failures {
        Failures {
            name,
            in_a_row: 0,
            said: String::new(),
        }
    }

    /// One more; how long to wait before the service is begun anew. A reason is said once, and not each time.
    fn pause(&mut self, reason: String) -> Duration {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let pause = wait_after(self.in_a_row, LONGEST);
        if reason != self.said {
            tracing::error!(
                service = self.name,
                reason,
                "service stopped; will begin it anew"
            );
            self.said = reason;
        }
        pause
    }

    fn settled(&mut self) {
        if self.in_a_row > 0 {
            tracing::info!(service = self.name, "service runs again");
            *self = Failures::of(self.name);
        }
    }
}

#[cfg(test)]
mod tests;
