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
use tokio::time::{sleep, timeout};

use crate::ledger::Remains;
use crate::ledger::{self, Ledger, Open};
use crate::lives::{self, Holder};
use crate::process::leftover::{self, Leftover};
use crate::service::{Service, Services};
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
    #[error(transparent)]
    Lives(#[from] lives::Error),
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

/// Sweeps after each death, beside a loop.
#[derive(Debug)]
pub struct Sweeper {
    deaths: mpsc::Sender<()>,
    service: Services,
}

impl Sweeper {
    /// To be called within a runtime. Nothing is opened before somebody dies.
    pub fn start(open: Open) -> Sweeper {
        let (deaths, heard) = mpsc::channel(QUEUE);
        let sweeping = Sweeping {
            sweep: Sweep::of(Arc::clone(&open)),
            open,
            deaths: heard,
            looks: None,
        };
        Sweeper {
            deaths,
            service: Services::of(sweeping),
        }
    }

    /// A worker has died.
    pub fn died(&self) {
        // When there is no room, it has not been heard of another yet, and will look for both.
        let _ = self.deaths.try_send(());
    }

    /// Waits until what the dead have left is gone, or cannot be found.
    pub async fn finish(mut self) {
        drop(self.deaths);
        self.service.finish().await;
    }
}

struct Sweeping {
    open: Open,
    deaths: mpsc::Receiver<()>,
    sweep: Sweep,
    /// Those that are due after a death that was heard of.
    looks: Option<Looks>,
}

impl Service for Sweeping {
    const NAME: &'static str = "sweeper";

    async fn run(&mut self) -> Result<(), String> {
        loop {
            if self.looks.is_none() {
                if self.deaths.recv().await.is_none() {
                    return Ok(());
                }
                self.looks = Some(Looks::begin());
            }
            let looked = self.look().await?;
            let again = self.looks.as_mut().and_then(|looks| looks.again(looked));
            let Some(pause) = again else {
                self.looks = None;
                self.sweep.rest();
                continue;
            };
            match timeout(pause, self.deaths.recv()).await {
                Ok(Some(())) => self.looks = Some(Looks::begin()),
                // Nobody dies any more.
                Ok(None) => sleep(pause).await,
                Err(_) => {}
            }
        }
    }
}

impl Sweeping {
    async fn look(&mut self) -> Result<Looked, String> {
        let thread = OneShot::start("sweep").map_err(|error| error.to_string())?;
        // One that panics takes what it knew with it.
        let sweep = std::mem::replace(&mut self.sweep, Sweep::of(Arc::clone(&self.open)));
        let Some((sweep, looked)) = look(thread, sweep, PATIENCE).await else {
            return Ok(Looked::Blind);
        };
        self.sweep = sweep;
        Ok(looked)
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
