//! Ending what an attempt left running.

use uuid::Uuid;

use crate::crash::{self, Point};
use crate::process::leftover::{self, PATIENCE, Remains};
use crate::store::Store;
use crate::store::ledger::{DeadAttempt, Left};
use crate::store::locks::Holder;
use crate::task::id::AttemptId;

/// Ends what a dead worker's attempt has left, unless that may stay. False if it could not.
pub async fn end_what_is_left(store: &Store, dead: &DeadAttempt) -> bool {
    match dead.left {
        Left::Unknown => end_remains(store, dead.id, dead.uuid).await,
        Left::Done | Left::Unbegun => true,
    }
}

/// Ends what is left of an attempt, on a thread of its own: it may take seconds. False if it could not.
pub async fn end_remains(store: &Store, attempt: AttemptId, uuid: Uuid) -> bool {
    let locks = store.locks().clone();
    let holder = Holder::Attempt(attempt);
    let remains = Remains {
        store: store.id(),
        uuid,
        number: attempt.number,
        locks: locks.path().into(),
        byte: holder.byte(),
    };
    let ending = move || leftover::end(vec![remains], PATIENCE, |_| locks.is_held(holder));
    let ended = tokio::task::spawn_blocking(ending).await;
    crash::here(Point::RemainsEnded);
    match ended {
        Ok(Ok(ended)) => ended.left.is_empty(),
        Ok(Err(error)) => {
            tracing::error!(%error, "could not look for what an attempt left running");
            false
        }
        Err(_) => false,
    }
}
