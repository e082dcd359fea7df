//! The store's upkeep, beside a tender's loop: what ended long ago is deleted where the configuration says so, and the
//! journal is looked at.
//!
//! Deletion takes turns: of several tenders of a store one is at it at a time. It is done as by `cleanup`, in short
//! transactions with pauses; only that a tenth of the file stays free, for what comes next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::announce::with_hooks;
use super::old::Asking;
use super::service::{OpenLedger, Scope, opened};
use crate::broker::Broker;
use crate::clock::now;
use crate::ledger::cleanup::{Old, SoFar, Spare};
use crate::ledger::pace::PAUSE;
use crate::ledger::{self, Folded, Journal, Ledger, Millis, Store};
use crate::service::Service;
use crate::task::hooks::{Keeping, Telling};
use crate::task::retention::Retention;
use crate::thread::OneShot;

/// Between two looks at the journal.
const LOOK: Duration = Duration::from_secs(5);

/// Before the first: a tender that begins has more urgent things to do.
const FIRST: Duration = Duration::from_secs(1);

/// A journal that is longer is looked at closely. Whoever writes has it copied from 16 MB on.
const LONG: u64 = 24 << 20;

/// Takes the turn to delete: it lasts as long as what is returned is kept. `None` if another has it.
pub type TakeTurn = dyn Fn() -> Result<Option<Box<dyn Send>>, String> + Send + Sync;

/// Everything that it needs: a session and a connection that are used for nothing else.
pub struct Upkeep {
    /// Asked for the jobs of other producers.
    pub broker: Box<dyn Broker>,
    /// Opens the store; asked again until it can.
    pub open: Arc<OpenLedger>,
    /// What it goes by, which may change while it runs.
    pub scope: watch::Receiver<Scope>,
    /// Takes the turn to delete.
    pub turn: Arc<TakeTurn>,
}

impl Service for Upkeep {
    const NAME: &'static str = "upkeep";

    /// Begun anew, it goes on with what is too old by then.
    async fn run(&mut self) -> Result<(), String> {
        let mut store: Option<Store> = None;
        let mut watch = Watch::default();
        let mut kept = BTreeSet::new();
        let mut last: Option<Instant> = None;
        let mut first = Some(FIRST);
        loop {
            let (retention, events, telling) = {
                let scope = self.scope.borrow_and_update();
                let telling = Arc::clone(scope.commands.telling());
                (scope.retention, scope.events, telling)
            };
            let every = retention.every();
            let pause = first.take().unwrap_or(LOOK);
            tokio::select! {
                () = sleep(every.map_or(pause, |every| every.min(pause))) => {}
                changed = self.scope.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    continue;
                }
            }
            if store.is_none() {
                match opened(Arc::clone(&self.open)).await {
                    Ok(opened) => store = Some(opened),
                    // Told by those who have to have it.
                    Err(error) => tracing::debug!(%error, "could not open the store"),
                }
            }
            let Some(store) = &store else {
                continue;
            };
            // A look at the disk; it is given up in the hour of need, and made again after that.
            store.at_once(|db| {
                db.keep_reserve();
                Ok(())
            });
            look(store, &mut watch).await;
            let is_due = every.is_some_and(|every| last.is_none_or(|last| last.elapsed() >= every));
            if is_due {
                last = Some(Instant::now());
                match self.retain(store, retention, &telling, &mut kept).await {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::warn!(%error, "could not delete what ended long ago; will try again");
                    }
                }
            }
            if let Err(error) = self.forget_events(store, events).await {
                tracing::warn!(error, "could not delete old events; will try again");
            }
            // Nobody else needs its place for long.
            store.make_room();
        }
    }
}

impl Upkeep {
    /// Deletes what is too old, unless another is at it. `said`: why tasks stay, as was said before.
    async fn retain(
        &mut self,
        store: &Store,
        retention: Retention,
        telling: &Arc<Telling>,
        said: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let Some(_turn) = turn(Arc::clone(&self.turn)).await? else {
            return Ok(());
        };
        let mut kept = BTreeSet::new();
        for (status, age) in retention.each() {
            let age = Millis::try_from(age.as_millis()).unwrap_or(Millis::MAX);
            let old = Old {
                statuses: vec![status],
                before: now().saturating_sub(age),
            };
            let deleted = delete(self.broker.as_mut(), store, old, telling, &mut kept).await;
            let deleted = deleted.map_err(|error| error.to_string())?;
            if deleted > 0 {
                tracing::info!(deleted, %status, "deleted tasks that ended long ago");
            }
        }
        for why in kept.difference(said) {
            tracing::warn!(reason = %why, "tasks stay that ended long ago");
        }
        *said = kept;
        Ok(())
    }
}

impl Upkeep {
    /// Deletes events that are not to be kept any more, unless another is at it.
    async fn forget_events(&mut self, store: &Store, keeping: Keeping) -> Result<(), String> {
        let forget = move |db: &mut Ledger| db.forget_events(keeping, now());
        // Mostly there are none, which is one look.
        let mut turn_taken = None;
        loop {
            let has_some = store
                .call(move |db| db.has_old_events(keeping, now()))
                .await;
            if !has_some.map_err(|error| error.to_string())? {
                return Ok(());
            }
            if turn_taken.is_none() {
                turn_taken = turn(Arc::clone(&self.turn)).await?;
            }
            if turn_taken.is_none() {
                return Ok(());
            }
            store
                .call(forget)
                .await
                .map_err(|error| error.to_string())?;
            sleep(PAUSE).await;
        }
    }
}

async fn turn(take: Arc<TakeTurn>) -> Result<Option<Box<dyn Send>>, String> {
    let thread = OneShot::start("turn").map_err(|error| error.to_string())?;
    let taken = thread.run(move || take()).await;
    taken.map_err(|error| error.to_string())?
}

/// Deletes some tasks, with the jobs of those that were refused. How many.
async fn delete(
    broker: &mut dyn Broker,
    store: &Store,
    old: Old,
    telling: &Arc<Telling>,
    kept: &mut BTreeSet<String>,
) -> Result<u64, ledger::Error> {
    let mut asking = Asking::begin(old.clone(), false);
    while let Some(unsure) = asking.next(store).await? {
        asking.ask(broker, store, unsure).await?;
    }
    kept.extend(asking.kept().iter().map(ToString::to_string));
    let mut so_far = SoFar::leaving(Spare::Tenth);
    while !so_far.is_over() {
        let old = old.clone();
        let step = move |db: &mut Ledger| db.clean_up_some(&old, so_far, now());
        so_far = with_hooks(broker, store, telling, step).await?;
        if let Some(pause) = so_far.pause() {
            sleep(pause).await;
        }
    }
    Ok(so_far.deleted)
}

/// What was said of the journal.
#[derive(Debug, Default, PartialEq, Eq)]
struct Watch {
    /// It was taken away.
    is_another: bool,
    /// So many looks in a row it could not be copied.
    held: u32,
}

/// What is to be said now.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// Somebody has read for long.
    Held,
    /// Nobody does any more.
    Free,
}

impl Watch {
    /// What came of copying a long journal.
    fn folded(&mut self, folded: &Folded) -> Option<Word> {
        match folded.left {
            None => None,
            Some(left) if left > LONG / 2 => {
                self.held = self.held.saturating_add(1);
                // Once it may be somebody who is just ready.
                (self.held == 2).then_some(Word::Held)
            }
            Some(_) => (std::mem::take(&mut self.held) >= 2).then_some(Word::Free),
        }
    }
}

async fn look(store: &Store, watch: &mut Watch) {
    let Some(Ok(Journal { bytes, is_another })) = store.at_once(|db| Ok(db.journal())) else {
        return;
    };
    if is_another && !watch.is_another {
        tracing::error!(
            "the store's journal (its file ends in -wal) was deleted or replaced while the store is open: what is \
             recorded now is not where others look; it is copied into the store as long as this tender lives, so end \
             the tender and its workers in good order, and start them again"
        );
    }
    watch.is_another = is_another;
    if bytes <= LONG && !is_another && watch.held == 0 {
        return;
    }
    let folded = match store.call(|db| db.fold()).await {
        Ok(folded) => folded,
        Err(error) => {
            tracing::debug!(%error, "could not copy the journal");
            return;
        }
    };
    match watch.folded(&folded) {
        Some(Word::Held) => {
            let held_by = match folded.readers.as_slice() {
                [] => "nobody is seen to; look with fuser, at the store's -shm".to_owned(),
                readers => readers.join(", "),
            };
            tracing::warn!(
                mb = bytes >> 20,
                held_by,
                "the store's journal (its file ends in -wal) grows and cannot be copied into the store, for somebody \
                 has read for long: a program that has the store open in a transaction; close it"
            );
        }
        Some(Word::Free) => tracing::info!(mb = bytes >> 20, "the store's journal is copied again"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_is_held_is_said_once_and_when_it_is_free_again() {
        let mut watch = Watch::default();
        let mut of = |left: Option<u64>| {
            watch.folded(&Folded {
                left,
                readers: Vec::new(),
            })
        };
        assert_eq!(of(Some(LONG)), None, "once is nothing");
        assert_eq!(of(Some(0)), None);
        assert_eq!(of(Some(LONG)), None);
        assert_eq!(of(None), None, "another is at it");
        assert_eq!(of(Some(LONG)), Some(Word::Held));
        assert_eq!(of(Some(LONG * 2)), None);
        assert_eq!(of(Some(0)), Some(Word::Free));
        assert_eq!(of(Some(0)), None);
    }
}
