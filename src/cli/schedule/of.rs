//! The store that schedules are of.

use crate::api::Queue;
use crate::cli::Failure;
use crate::cli::configured;
use crate::config::Config;
use crate::connect;

/// The queue of a store that is there.
pub fn queue(config: &Config) -> Result<Option<Queue>, Failure> {
    match connect::existing(&config.store)? {
        None => Ok(None),
        Some(_) => Ok(Some(configured::queue(config)?)),
    }
}

/// The same for one of its schedules.
pub fn queue_of(name: &str, config: &Config) -> Result<Queue, Failure> {
    queue(config)?.ok_or_else(|| {
        let store = &config.store;
        Failure::new(format!(
            "there is no schedule {name}: there is no store {store} yet"
        ))
        .next("name another with --store PATH or TASKQUEUE_STORE")
    })
}
