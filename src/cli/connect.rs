//! The one place where adapters are picked.

use std::future::Future;

use super::Failure;
use crate::broker::embedded::Embedded;
use crate::broker::{Broker, beanstalkd};
use crate::config::{BrokerUrl, Config};
use crate::store::{Db, Durability};

/// A session with the configured broker. It connects when it is first used.
pub fn broker(config: &Config) -> Box<dyn Broker> {
    match &config.broker {
        BrokerUrl::Beanstalkd { host, port } => Box::new(beanstalkd::Client::new(host, *port)),
        BrokerUrl::Embedded => Box::new(Embedded::new(&config.store)),
    }
}

/// The configured store, to record in. With the embedded broker it puts the jobs of its tasks itself.
pub fn store(config: &Config, durability: Durability) -> Result<Db, Failure> {
    let db = Db::open(&config.store, durability)?;
    Ok(match &config.broker {
        BrokerUrl::Beanstalkd { .. } => db,
        BrokerUrl::Embedded => db.keeping_jobs(),
    })
}

/// Runs a loop to its end on a runtime of one thread.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
