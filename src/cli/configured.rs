//! What the configuration says, opened; and a loop's runtime.

use std::future::Future;
use std::os::unix::net::UnixStream;

use super::Failure;
use crate::api::{self, Queue};
use crate::broker::Broker;
use crate::config::Config;
use crate::connect;
use crate::ledger::{self, Durability, Ledger};

/// A session with the configured broker. It connects when it is first used.
pub fn broker(config: &Config) -> Box<dyn Broker> {
    connect::broker(&config.broker, &config.store)
}

/// The configured store, to record in. With the embedded broker it puts the jobs of its tasks itself.
pub fn ledger(config: &Config, durability: Durability) -> Result<Ledger, ledger::Error> {
    connect::recording(&config.broker, &config.store, durability)
}

/// The configured queue, which is made where there is none, and of which is told as the configuration says.
pub fn queue(config: &Config) -> Result<Queue, api::Error> {
    let queue = Queue::open(&config.broker, &config.store)?;
    Ok(queue.configured(&config.commands))
}

/// The same where it is there already.
pub fn existing_queue(config: &Config) -> Result<Option<Queue>, api::Error> {
    let queue = Queue::open_existing(&config.broker, &config.store)?;
    Ok(queue.map(|queue| queue.configured(&config.commands)))
}

/// Runs a loop to its end on a runtime of one thread.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // The runtime panics where it cannot have these.
    drop(UnixStream::pair()?);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
