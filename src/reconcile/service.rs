//! Reconciliation as a task of its own, beside a tender's loop.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::{EVERY, Error, Memory, Pass, Standing, Summary};
use crate::broker::Broker;
use crate::ledger::worker::NewWorker;
use crate::ledger::{self, Ledger, Store};
use crate::task::command::Commands;
use crate::tube::TubeName;

/// What is put right.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What may run.
    pub commands: Arc<Commands>,
    /// The tubes.
    pub tubes: Vec<TubeName>,
}

/// Everything that it needs: a session and a connection that are used for nothing else.
pub struct Service {
    /// The session.
    pub broker: Box<dyn Broker>,
    /// Opens the store; asked again until it can.
    pub open: Box<dyn Fn() -> Result<Ledger, ledger::Error> + Send + Sync>,
    /// What it goes by, which may change while it runs.
    pub scope: watch::Receiver<Scope>,
    /// Who takes over dead attempts.
    pub identity: NewWorker,
}

impl Service {
    /// A pass over every tube at once, every [`EVERY`], and whenever it is woken: for ever.
    pub async fn run(self, wake: Arc<Notify>) {
        let Service {
            mut broker,
            open,
            mut scope,
            identity,
        } = self;
        let open = Arc::new(open);
        let mut store: Option<Store> = None;
        let mut standing = Standing::newcomer(identity);
        let Scope {
            mut commands,
            mut tubes,
        } = scope.borrow_and_update().clone();
        let mut memories = vec![Memory::new(true); tubes.len()];
        let mut in_trouble = false;
        loop {
            if scope.has_changed().unwrap_or(false) {
                Scope { commands, tubes } = scope.borrow_and_update().clone();
                memories = vec![Memory::new(true); tubes.len()];
            }
            let passed = async {
                let store = match &mut store {
                    Some(store) => store,
                    none => none.insert(opened(Arc::clone(&open)).await?),
                };
                for (tube, memory) in tubes.iter().zip(&mut memories) {
                    let mut pass = Pass {
                        broker: broker.as_mut(),
                        store,
                        commands: &commands,
                        standing: &mut standing,
                        tube,
                        dry_run: false,
                    };
                    tell(tube, pass.run(memory).await?);
                }
                Ok::<(), Error>(())
            };
            match passed.await {
                Ok(()) => {
                    if std::mem::take(&mut in_trouble) {
                        tracing::info!("reconciled again");
                    }
                }
                // Once, and not for every try.
                Err(error) if !in_trouble => {
                    in_trouble = true;
                    tracing::warn!(%error, "could not reconcile; will keep trying");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                () = wake.notified() => {}
            }
        }
    }
}

/// On a thread that may wait for a lock.
async fn opened(
    open: Arc<Box<dyn Fn() -> Result<Ledger, ledger::Error> + Send + Sync>>,
) -> Result<Store, ledger::Error> {
    tokio::task::spawn_blocking(move || Store::over(open()?))
        .await
        .map_err(|_| ledger::Error::closed())?
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
