//! Sweeping: what dead workers' commands left running is ended at once, wherever it is.
//!
//! Nothing is taken over and nothing is recorded; that is for whoever claims or reconciles. So a sweep waits
//! for no lock and for no broker, and any number of processes may sweep at once.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::ledger::Remains;
use crate::ledger::{self, Ledger, Open};
use crate::lives::Holder;
use crate::process::leftover::{self, Leftover};
use crate::task::id::AttemptId;
use crate::thread::OneShot;

/// Between the looks that follow a death. One is not enough: a worker that is killed while it starts a command
/// seems to live, by its lock, until what it has forked has become that command.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(200),
    Duration::from_millis(700),
];

/// How long a look waits for what it killed to be gone, while others may die and be waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two further looks when the last left something to do, and how many of them there are. Then it is left to
/// claims, which do not run again what cannot be ended.
const AGAIN: Duration = Duration::from_secs(1);
const FURTHER: u32 = 10;

/// Deaths that have not been heard of yet. One stands for all.
const QUEUE: usize = 1;

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing is left.
    Clean,
    /// Something could not be ended.
    Stuck,
    /// The store or the processes could not be looked at.
    Blind,
}

/// The looks that follow a death.
#[derive(Debug)]
pub struct Looks {
    soon: std::slice::Iter<'static, Duration>,
    further: u32,
}

impl Looks {
    /// After somebody died.
    pub fn begin() -> Looks {
        Looks {
            soon: PAUSES.iter(),
            further: FURTHER,
        }
    }

    /// When to look again; `None` if that was enough.
    pub fn again(&mut self, looked: Looked) -> Option<Duration> {
        if let Some(pause) = self.soon.next() {
            return Some(*pause);
        }
        match looked {
            Looked::Clean => None,
            Looked::Stuck | Looked::Blind => {
                self.further = self.further.checked_sub(1)?;
                Some(AGAIN)
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] ledger::Error),
    #[error("cannot look at all processes: {0}")]
    Processes(#[from] io::Error),
}

/// A store that is swept now and then, by one who remembers where nothing was left.
pub struct Sweep {
    open: Open,
    db: Option<Ledger>,
    /// Attempts: nothing comes back where nothing is left.
    clean: HashSet<AttemptId>,
    blind: bool,
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep").finish_non_exhaustive()
    }
}

impl Sweep {
    /// Of a store. It is opened when it is first looked at, if it is there then.
    pub fn of(open: Open) -> Sweep {
        Sweep {
            open,
            db: None,
            clean: HashSet::new(),
            blind: false,
        }
    }

    /// Ends what the attempts of dead workers have left running. Blocks for as long as `patience`. That it could not
    /// look is logged, once for as long as it cannot.
    pub fn look(&mut self, patience: Duration) -> Looked {
        let looked = self.try_look(patience);
        let was_blind = std::mem::replace(&mut self.blind, looked.is_err());
        match looked {
            Ok(looked) => looked,
            Err(error) => {
                if !was_blind {
                    tracing::warn!(%error, "could not look for what dead workers left running");
                }
                Looked::Blind
            }
        }
    }

    fn try_look(&mut self, patience: Duration) -> Result<Looked, Error> {
        let db = match &mut self.db {
            Some(db) => db,
            none => match (self.open)()? {
                Some(db) => none.insert(db),
                None => return Ok(Looked::Clean),
            },
        };
        let mut dead = db.abandoned()?;
        dead.retain(|one| one.remains == Remains::Unknown);
        let all: HashSet<AttemptId> = dead.iter().map(|one| one.id).collect();
        self.clean.retain(|clean| all.contains(clean));
        let lives = db.lives();
        let unclean = dead.iter().filter(|one| !self.clean.contains(&one.id));
        let remains: Vec<Leftover> = unclean
            .map(|one| Leftover {
                store: db.id(),
                uuid: one.uuid,
                attempt: one.id,
                trace: lives.trace(Holder::Attempt(one.id)),
                session: one.worker.and_then(|worker| lives.session(worker, one.id)),
            })
            .collect();
        if remains.is_empty() {
            return Ok(Looked::Clean);
        }
        let attempts = remains.len();
        let held = |one: &Leftover| lives.is_held(Holder::Attempt(one.attempt));
        let ended = leftover::end(remains, patience, held)?;
        let stuck = ended.left.len();
        if ended.killed > 0 || stuck > 0 {
            let processes = ended.killed;
            tracing::warn!(
                attempts,
                processes,
                stuck,
                "ended what dead workers left running"
            );
        }
        let left: HashSet<AttemptId> = ended.left.iter().map(|one| one.attempt).collect();
        self.clean.extend(all.difference(&left));
        Ok(if stuck == 0 {
            Looked::Clean
        } else {
            Looked::Stuck
        })
    }

    /// Closes the store until the next look.
    fn rest(&mut self) {
        self.db = None;
    }
}

/// Sweeps once, off the loop, with the patience of those who begin. Where no thread is to be had, on the loop, which
/// has nothing else to do yet.
pub async fn sweep(open: Open) {
    let mut sweep = Sweep::of(open);
    match OneShot::start("sweep") {
        Ok(thread) => drop(look(thread, sweep, leftover::PATIENCE).await),
        Err(_) => drop(sweep.look(leftover::PATIENCE)),
    }
}

/// On a thread that may block. `None` if the look panicked.
async fn look(thread: OneShot, mut sweep: Sweep, patience: Duration) -> Option<(Sweep, Looked)> {
    let looking = thread.run(move || {
        let looked = sweep.look(patience);
        (sweep, looked)
    });
    looking.await.ok()
}

/// A thread, when one is to be had. That none is, is said once.
async fn thread() -> OneShot {
    let mut is_said = false;
    loop {
        match OneShot::start("sweep") {
            Ok(thread) => return thread,
            Err(error) if !is_said => {
                tracing::warn!(%error, "could not look for what dead workers left running; will keep trying");
                is_said = true;
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}

/// Sweeps after each death, beside a loop.
#[derive(Debug)]
pub struct Sweeper {
    deaths: mpsc::Sender<()>,
    service: JoinHandle<()>,
}

impl Sweeper {
    /// To be called within a runtime. Nothing is opened before somebody dies.
    pub fn start(open: Open) -> Sweeper {
        let (deaths, heard) = mpsc::channel(QUEUE);
        Sweeper {
            deaths,
            service: tokio::spawn(serve(open, heard)),
        }
    }

    /// A worker has died.
    pub fn died(&self) {
        // When there is no room, it has not been heard of another yet, and will look for both.
        let _ = self.deaths.try_send(());
    }

    /// Waits until what the dead have left is gone, or cannot be found.
    pub async fn finish(self) {
        drop(self.deaths);
        // It fails only if it panicked.
        let _ = self.service.await;
    }
}

async fn serve(open: Open, mut deaths: mpsc::Receiver<()>) {
    let mut sweep = Sweep::of(Arc::clone(&open));
    while deaths.recv().await.is_some() {
        let mut looks = Looks::begin();
        loop {
            let looked;
            (sweep, looked) = match look(thread().await, sweep, PATIENCE).await {
                Some(done) => done,
                // One that panicked took what it knew with it.
                None => (Sweep::of(Arc::clone(&open)), Looked::Blind),
            };
            let Some(pause) = looks.again(looked) else {
                break;
            };
            match timeout(pause, deaths.recv()).await {
                Ok(Some(())) => looks = Looks::begin(),
                // Nobody dies any more.
                Ok(None) => sleep(pause).await,
                Err(_) => {}
            }
        }
        sweep.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_go_on_only_while_something_is_left() {
        let mut looks = Looks::begin();
        for pause in PAUSES {
            assert_eq!(looks.again(Looked::Clean), Some(pause));
        }
        for looked in [Looked::Stuck, Looked::Blind].repeat(5) {
            assert_eq!(looks.again(looked), Some(AGAIN));
        }
        assert_eq!(looks.again(Looked::Stuck), None);
        assert_eq!(Looks::begin().further, FURTHER);
    }
}
