//! What a command prints: kept for the record of its attempt, and spooled for those who want to read it before that.
//!
//! A spool is begun once the command has run for [`QUICK`] and has printed something: a short command pays nothing for
//! it. Whatever goes wrong with a spool is the end of that spool, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::Store;
use crate::ledger::spool::{Spools, Trouble, Writer};
use crate::task::id::{AttemptId, WorkerId};
use crate::task::output::{Capture, Captured};

/// Nobody watches what is over by then.
const QUICK: Duration = Duration::from_millis(20);

/// Where a worker spools.
#[derive(Debug, Clone)]
pub struct Spooling {
    spools: Arc<dyn Spools>,
    worker: WorkerId,
    /// Nothing could be spooled when that was tried last, which has been said.
    is_troubled: Arc<AtomicBool>,
}

impl Spooling {
    /// A new worker's, who has spooled nothing.
    pub fn of(store: &Store, worker: WorkerId) -> Spooling {
        let spools = Arc::clone(store.spools());
        // That of one who had this number before, in a store that was put back since, say.
        spools.remove(worker);
        Spooling {
            spools,
            worker,
            is_troubled: Arc::default(),
        }
    }

    fn begin(&self, attempt: AttemptId, so_far: &Captured) -> Result<Writer, Trouble> {
        Writer::begin(self.spools.make(self.worker)?, attempt, so_far)
    }

    fn succeeds(&self) {
        self.is_troubled.store(false, Ordering::Relaxed);
    }

    fn fails(&self, attempt: AttemptId, error: &Trouble) {
        if !self.is_troubled.swap(true, Ordering::Relaxed) {
            let (task, attempt) = (attempt.task, attempt.number);
            tracing::warn!(
                %task,
                attempt,
                %error,
                "cannot have what a command prints read while it runs; keeps it as ever"
            );
        }
    }
}

/// What a command has printed.
#[derive(Debug)]
pub struct Printed {
    attempt: AttemptId,
    capture: Capture,
    spool: Spool,
}

/// How far its spool has come.
#[derive(Debug)]
enum Spool {
    /// It is not begun before then.
    Later(Spooling, Instant),
    Begun(Spooling, Writer),
    Over,
}

impl Printed {
    /// Nothing yet, of an attempt that begins now.
    pub fn of(attempt: AttemptId, spooling: Spooling) -> Printed {
        Printed {
            attempt,
            capture: Capture::default(),
            spool: Spool::Later(spooling, Instant::now() + QUICK),
        }
    }

    /// Takes what the command has printed while nothing else of its worker goes on: it is spooled later, if at all.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.capture.push(bytes);
    }

    /// Takes what the command has printed. It is spooled by [`Printed::flush`], or if there is much of it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.capture.push(bytes);
        match &mut self.spool {
            Spool::Begun(_, writer) => {
                let pushed = writer.push(bytes);
                self.has_spooled(pushed);
            }
            Spool::Later(_, at) if *at <= Instant::now() => self.begin_spool(),
            Spool::Later(..) | Spool::Over => {}
        }
    }

    /// Whether something of it is to be spooled before anybody waits for more.
    pub fn is_to_be_flushed(&self) -> bool {
        match &self.spool {
            Spool::Begun(_, writer) => !writer.is_flushed(),
            Spool::Later(..) | Spool::Over => false,
        }
    }

    /// Has it spooled, as far as its spool is begun.
    pub fn flush(&mut self) {
        if let Spool::Begun(_, writer) = &mut self.spool {
            let flushed = writer.flush();
            self.has_spooled(flushed);
        }
    }

    fn has_spooled(&mut self, spooled: Result<(), Trouble>) {
        if let (Err(error), Spool::Begun(spooling, _)) = (&spooled, &self.spool) {
            spooling.fails(self.attempt, error);
            self.spool = Spool::Over;
        }
    }

    /// When the spool is to be begun though the command prints nothing more; `None` if there is nothing to be spooled.
    pub fn due(&self) -> Option<Instant> {
        match &self.spool {
            Spool::Later(_, at) if !self.capture.is_empty() => Some(*at),
            Spool::Later(..) | Spool::Begun(..) | Spool::Over => None,
        }
    }

    /// Spools what the command has printed so far, if that is to be done now.
    pub fn begin_spool(&mut self) {
        self.spool = match std::mem::replace(&mut self.spool, Spool::Over) {
            Spool::Later(spooling, at) if at <= Instant::now() => {
                match spooling.begin(self.attempt, &self.capture.so_far()) {
                    Ok(writer) => {
                        spooling.succeeds();
                        Spool::Begun(spooling, writer)
                    }
                    Err(error) => {
                        spooling.fails(self.attempt, &error);
                        Spool::Over
                    }
                }
            }
            other => other,
        };
    }

    /// Whether anything of it is, or may be, in the worker's spool.
    pub fn is_spooled(&self) -> bool {
        match &self.spool {
            Spool::Later(..) => false,
            Spool::Begun(..) | Spool::Over => true,
        }
    }

    /// All that is kept of it: nothing more will come.
    pub fn finish(self) -> Captured {
        if let Spool::Begun(_, writer) = self.spool {
            // Who reads it hears of the end by the ledger too.
            let _ = writer.end();
        }
        self.capture.finish()
    }
}
