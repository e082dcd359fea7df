//! Ending what an attempt left running.

use std::sync::Arc;

use uuid::Uuid;

use crate::crash::{self, Point};
use crate::ledger::Store;
use crate::ledger::{DeadAttempt, Remains};
use crate::lives::Holder;
use crate::process::leftover::{self, Leftover, PATIENCE};
use crate::task::id::AttemptId;
use crate::thread::OneShot;

/// Ends what a dead worker's attempt has left, unless that may stay. False if it could not.
pub async fn end_what_is_left(store: &Store, dead: &DeadAttempt) -> bool {
    match dead.remains {
        Remains::Unknown => end_remains(store, dead.id, dead.uuid).await,
        Remains::Done | Remains::Unbegun => true,
    }
}

/// Ends what is left of an attempt, on a thread of its own: it may take seconds. False if it could not.
pub async fn end_remains(store: &Store, attempt: AttemptId, uuid: Uuid) -> bool {
    let lives = Arc::clone(store.lives());
    let holder = Holder::Attempt(attempt);
    let remains = Leftover {
        store: store.id(),
        uuid,
        attempt,
        trace: lives.trace(holder),
    };
    let ending = move || leftover::end(vec![remains], PATIENCE, |_| lives.is_held(holder));
    let ended = match OneShot::start("remains") {
        Ok(thread) => thread.run(ending).await,
        Err(no_thread) => Err(no_thread),
    };
    crash::here(Point::RemainsEnded);
    match ended {
        Ok(Ok(ended)) => ended.left.is_empty(),
        Ok(Err(error)) => {
            tracing::error!(%error, "could not look for what an attempt left running");
            false
        }
        Err(error) => {
            tracing::error!(%error, "could not look for what an attempt left running");
            false
        }
    }
}
