//! Whether anybody works on a tube: told at once to whoever puts into it, since nothing else would tell them.

use crate::api::Queue;
use crate::cli::print::now;
use crate::cli::{Failure, log};
use crate::config::Config;
use crate::ownership::{ANEW, is_served};
use crate::task::Millis;
use crate::tube::TubeName;

/// How it begins to be said.
pub const UNSERVED: &str = "nobody works on the tube ";

/// That nobody does, if so. What cannot be looked up is no reason to say so, and neither is a tender or a worker that
/// ended a moment ago: it may be one that is started anew.
pub async fn unserved(config: &Config, queue: Option<&Queue>, tube: &TubeName) -> Option<Failure> {
    if is_served(config.store.beside(), tube).unwrap_or(true) {
        return None;
    }
    let moment = Millis::try_from(ANEW.as_millis()).unwrap_or(Millis::MAX);
    let since = now().saturating_sub(moment);
    // Workers need no tender.
    if let Some(queue) = queue
        && queue.has_worker(tube, since).await.unwrap_or(true)
    {
        return None;
    }
    let store = &config.store;
    let what = format!(
        "{UNSERVED}{tube} now: no tender has it, and no worker of it is known to the store {store}"
    );
    Some(Failure::usage(what).next(format!(
        "start one with: taskqueue tender --use-tube {tube}"
    )))
}

/// Warns of it.
pub async fn warn(config: &Config, queue: &Queue, tube: &TubeName) {
    if log::is_quiet() {
        return;
    }
    if let Some(unserved) = unserved(config, Some(queue), tube).await {
        log::warn(format_args!("{}", unserved.in_one_line()));
    }
}
