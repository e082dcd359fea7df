//! Reconciliation as a task of its own, beside a tender's loop.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::announce::with_hooks;
use super::backlog;
use super::{EVERY, EVERY_WHILE_HELD, Memory, Passed, Standing, Summary, Trouble, Tubes};
use crate::broker::Broker;
use crate::clock::now;
use crate::ledger::cleanup::Forgotten;
use crate::ledger::worker::NewWorker;
use crate::ledger::{self, Ledger, Store};
use crate::process::environment::Environment;
use crate::service::Service;
use crate::task::command::Commands;
use crate::task::hooks::Keeping;
use crate::task::id::WorkerId;
use crate::task::retention::Retention;
use crate::thread::{NotRun, OneShot};
use crate::tube::TubeName;

/// What is put right.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What may run.
    pub commands: Arc<Commands>,
    /// What cleanups have in their environment, beside what is their own.
    pub environment: Arc<Environment>,
    /// The tubes.
    pub tubes: Vec<TubeName>,
    /// How long tasks stay recorded once they have ended.
    pub retention: Retention,
    /// How long events are kept.
    pub events: Keeping,
}

/// Looks up the tubes that other tenders of the store tend, or says why it could not. It may block for moments.
pub type TendedByOthers = dyn Fn() -> Result<Vec<TubeName>, String> + Send + Sync;

/// Opens the store. It may wait for a lock.
pub type OpenLedger = dyn Fn() -> Result<Ledger, ledger::Error> + Send + Sync;

/// Everything that it needs: a session and a connection that are used for nothing else.
pub struct Reconciler {
    /// The session.
    pub broker: Box<dyn Broker>,
    /// Opens the store; asked again until it can.
    pub open: Arc<OpenLedger>,
    /// What it goes by, which may change while it runs.
    pub scope: watch::Receiver<Scope>,
    /// Who takes over dead attempts.
    pub identity: NewWorker,
    /// Tells apart the tubes that nobody tends.
    pub tended: Arc<TendedByOthers>,
}

impl Reconciler {
    /// A pass over every tube at once, every [`EVERY`], and whenever it is woken: for ever. After each pass a few
    /// workers that are dead and answer for nothing are forgotten, with their batch journals.
    pub fn woken_by(self, wake: Arc<Notify>) -> impl Service {
        Reconciling {
            reconciler: self,
            wake,
        }
    }
}

struct Reconciling {
    reconciler: Reconciler,
    wake: Arc<Notify>,
}

impl Service for Reconciling {
    const NAME: &'static str = "reconciler";

    /// Begun anew, it is another newcomer: what it had taken over is taken over from it, as from the dead.
    async fn run(&mut self) -> Result<(), String> {
        let Reconciling { reconciler, wake } = self;
        let Reconciler {
            broker,
            open,
            scope,
            identity,
            tended,
        } = reconciler;
        let mut said = backlog::Said::default();
        let mut is_new = true;
        let mut store: Option<Store> = None;
        // From here on dead workers are to be forgotten.
        let mut forget_from = WorkerId::NOBODY;
        let mut standing = Standing::newcomer(identity.clone());
        let Scope {
            mut commands,
            mut environment,
            mut tubes,
            retention: _,
            events: _,
        } = scope.borrow_and_update().clone();
        let mut memories = vec![Memory::new(true); tubes.len()];
        // Tubes that the last pass did not put right.
        let mut troubled: HashSet<TubeName> = HashSet::new();
        loop {
            if scope.has_changed().unwrap_or(false) {
                Scope {
                    commands,
                    environment,
                    tubes,
                    retention: _,
                    events: _,
                } = scope.borrow_and_update().clone();
                memories = vec![Memory::new(true); tubes.len()];
                troubled.retain(|tube| tubes.contains(tube));
                is_new = true;
            }
            if store.is_none() {
                store = match opened(Arc::clone(open)).await {
                    Ok(store) => Some(store),
                    Err(error) => {
                        let (tubes, error) = (tubes.clone(), error.into());
                        complain(&mut troubled, &[Trouble { tubes, error }]);
                        None
                    }
                };
            }
            if let Some(store) = &store {
                if std::mem::take(&mut is_new) {
                    let backlog = store.call(|db| db.backlog()).await;
                    match (backlog, tended_by_others(tended).await) {
                        (Ok(backlog), Ok(others)) => {
                            let all = tubes.iter().cloned().chain(others).collect();
                            said.say(&backlog, &commands, &all);
                        }
                        // Told by those who have to have the store.
                        (Err(error), Ok(_) | Err(_)) => {
                            tracing::debug!(%error, "could not look what waits");
                            is_new = true;
                        }
                        // A tube that others tend would be one that nobody tends.
                        (Ok(_), Err(reason)) => {
                            tracing::debug!(reason, "could not look who tends what");
                            is_new = true;
                        }
                    }
                }
                let mut all = Tubes {
                    broker: broker.as_mut(),
                    store,
                    commands: &commands,
                    environment: &environment,
                    standing: &mut standing,
                    tubes: &tubes,
                    dry_run: false,
                };
                let Passed { done, troubles } = all.run(&mut memories).await;
                for (tube, done) in tubes.iter().zip(done) {
                    tell(tube, done);
                }
                complain(&mut troubled, &troubles);
                let step = move |db: &mut Ledger| db.forget_workers(forget_from, now());
                match with_hooks(broker.as_mut(), store, commands.telling(), step).await {
                    Ok(Forgotten { next, .. }) => forget_from = next.unwrap_or(WorkerId::NOBODY),
                    // Nobody waits for it; what ails the store is told by those who do.
                    Err(error) => tracing::debug!(%error, "could not forget dead workers"),
                }
            }
            tokio::select! {
                () = pause(store.as_ref(), &tubes, &commands) => {}
                () = wake.notified() => {}
            }
        }
    }
}

/// Between two passes: shorter while something of the tubes is held, if this configuration has limits. What is held by
/// others the pass before has let go.
async fn pause(store: Option<&Store>, tubes: &[TubeName], commands: &Commands) {
    if commands.limits().is_empty() {
        return sleep(EVERY).await;
    }
    let begun = Instant::now();
    while begun.elapsed() < EVERY {
        sleep(EVERY_WHILE_HELD.min(EVERY.saturating_sub(begun.elapsed()))).await;
        let Some(store) = store else {
            continue;
        };
        let tubes = tubes.to_vec();
        // What ails the store is told by those who have to have it.
        if store
            .call(move |db| db.holds(&tubes))
            .await
            .unwrap_or(false)
        {
            return;
        }
    }
}

/// Says what keeps tubes from being put right: once, and not after every pass.
fn complain(troubled: &mut HashSet<TubeName>, troubles: &[Trouble]) {
    for trouble in troubles {
        if trouble.tubes.iter().any(|tube| !troubled.contains(tube)) {
            let (tubes, error) = (trouble.names(), &trouble.error);
            tracing::warn!(tubes, %error, "could not reconcile; will keep trying");
        }
    }
    let now: HashSet<TubeName> = troubles.iter().flat_map(|t| t.tubes.clone()).collect();
    for tube in troubled.difference(&now) {
        tracing::info!(%tube, "reconciled again");
    }
    *troubled = now;
}

/// On a thread that may wait for a lock.
pub async fn opened(open: Arc<OpenLedger>) -> Result<Store, ledger::Error> {
    let not_run = |error: NotRun| ledger::Error::trouble(format!("cannot open the store: {error}"));
    let thread = OneShot::start("opener").map_err(not_run)?;
    let opened = thread.run(move || open()).await.map_err(not_run)?;
    opened.map(Store::over)
}

async fn tended_by_others(look: &Arc<TendedByOthers>) -> Result<Vec<TubeName>, String> {
    let look = Arc::clone(look);
    let thread = OneShot::start("tubes").map_err(|error| error.to_string())?;
    let looked = thread.run(move || look()).await;
    looked.map_err(|error| error.to_string())?
}

/// Says what a pass did, if it did anything.
pub fn tell(tube: &TubeName, done: Summary) {
    if done != Summary::default() {
        let Summary {
            lost,
            failed,
            stuck,
            put,
        } = done;
        tracing::info!(%tube, put, lost, failed, stuck, "reconciled a tube");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::ledger::batch_journal;
    use crate::ledger::memory;
    use crate::ledger::put::NewTask;
    use crate::lives;
    use crate::task::command::{Command, Content};
    use crate::task::limit::{Bounds, By, Limit};

    #[tokio::test(start_paused = true)]
    async fn who_has_no_limit_looks_for_nothing_that_is_held_between_two_passes() {
        let tube: TubeName = "t".parse().unwrap();
        let mut commands = Commands::default();
        commands.add("cat", Command::new(vec!["cat".into()]));
        assert!(commands.take_raw(tube.clone(), "cat"));
        commands.add_limit(Limit {
            name: "one".into(),
            bounds: Bounds {
                concurrency: Some(1),
                rate: None,
            },
            by: By::Limit,
            commands: Vec::new(),
            tubes: BTreeSet::from([tube.clone()]),
        });
        let limited = Arc::new(commands);
        let lives = Arc::new(lives::memory::Memory::new());
        let journals = Arc::new(batch_journal::memory::Memory::new());
        let mut ledger = memory::Memory::new(Uuid::nil()).open(lives, journals);
        ledger.hold_by(&limited);
        let task = |number| NewTask {
            unique: None,
            own: None,
            after: None,
            tags: Vec::new(),
            uuid: Uuid::from_u128(number),
            tube: tube.clone(),
            content: Content::Raw("raw".into()),
            priority: 1024,
            ttr: 60,
            due: 0,
        };
        ledger.add(&[task(1), task(2)], 0).unwrap();
        let store = Store::over(ledger);
        for (commands, takes) in [(limited, EVERY_WHILE_HELD), (Arc::default(), EVERY)] {
            let begun = Instant::now();
            pause(Some(&store), std::slice::from_ref(&tube), &commands).await;
            assert_eq!(begun.elapsed().as_secs(), takes.as_secs());
        }
    }
}
