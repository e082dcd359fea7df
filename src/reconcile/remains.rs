//! Ending what an attempt left running.

use std::sync::Arc;

use crate::crash::{self, Point};
use crate::ledger::Store;
use crate::ledger::{DeadAttempt, Remains};
use crate::lives::Holder;
use crate::process::leftover::{self, Cleared, Leftover, PATIENCE};
use crate::task::id::WorkerId;
use crate::thread::OneShot;

/// Ends what a dead worker's attempt has left, unless that may stay.
pub async fn end_what_is_left(store: &Store, dead: &DeadAttempt) -> Cleared {
    match dead.remains {
        Remains::Unknown => end_remains(store, dead, dead.worker).await,
        Remains::Done | Remains::Unbegun => Cleared::Gone,
    }
}

/// Who is left of an attempt, in words. Ends nobody.
pub async fn look_for_remains(store: &Store, dead: &DeadAttempt) -> String {
    let lives = Arc::clone(store.lives());
    let remains = Leftover {
        store: store.id(),
        uuid: dead.uuid,
        attempt: dead.id,
        trace: lives.trace(Holder::Attempt(dead.id)),
        session: dead
            .worker
            .and_then(|worker| lives.session(worker, dead.id)),
    };
    let found = match OneShot::start("remains") {
        Ok(thread) => thread.run(move || leftover::find(&remains)).await,
        Err(no_thread) => Err(no_thread),
    };
    match found {
        Ok(Ok(Some(who))) => who,
        Ok(Ok(None) | Err(_)) | Err(_) => "something".to_owned(),
    }
}

/// Ends what is left of an attempt that this worker began, on a thread of its own: it may take seconds.
pub async fn end_remains(store: &Store, dead: &DeadAttempt, worker: Option<WorkerId>) -> Cleared {
    let lives = Arc::clone(store.lives());
    let holder = Holder::Attempt(dead.id);
    let remains = Leftover {
        store: store.id(),
        uuid: dead.uuid,
        attempt: dead.id,
        trace: lives.trace(holder),
        session: worker.and_then(|worker| lives.session(worker, dead.id)),
    };
    let ending = move || leftover::end(vec![remains], PATIENCE, |_| lives.is_held(holder));
    let ended = match OneShot::start("remains") {
        Ok(thread) => thread.run(ending).await,
        Err(no_thread) => Err(no_thread),
    };
    crash::here(Point::RemainsEnded);
    match ended {
        Ok(Ok(ended)) => ended.left.into_iter().next().map_or(Cleared::Gone, |left| {
            left.stranger.map_or(Cleared::Left, Cleared::Stranger)
        }),
        Ok(Err(error)) => {
            tracing::error!(%error, "could not look for what an attempt left running");
            Cleared::Left
        }
        Err(error) => {
            tracing::error!(%error, "could not look for what an attempt left running");
            Cleared::Left
        }
    }
}
