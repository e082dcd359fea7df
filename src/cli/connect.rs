//! The one place where adapters are picked.

use std::future::Future;
use std::path::Path;

use super::Failure;
use crate::api::{self, Queue};
use crate::broker::embedded::Embedded;
use crate::broker::{Broker, beanstalkd};
use crate::config::{BrokerUrl, Config};
use crate::store::{self, Db, Durability};

/// A session with the configured broker. It connects when it is first used.
pub fn broker(config: &Config) -> Box<dyn Broker> {
    adapter(&config.broker, &config.store)
}

fn adapter(broker: &BrokerUrl, store: &Path) -> Box<dyn Broker> {
    match broker {
        BrokerUrl::Beanstalkd { host, port } => Box::new(beanstalkd::Client::new(host, *port)),
        BrokerUrl::Embedded => Box::new(Embedded::new(store)),
    }
}

/// The configured store, to record in. With the embedded broker it puts the jobs of its tasks itself.
pub fn store(config: &Config, durability: Durability) -> Result<Db, Failure> {
    Ok(recording(&config.broker, &config.store, durability)?)
}

/// The same by what the configuration says of them.
pub fn recording(
    broker: &BrokerUrl,
    store: &Path,
    durability: Durability,
) -> Result<Db, store::Error> {
    let db = Db::open(store, durability)?;
    match broker {
        BrokerUrl::Beanstalkd { .. } => Ok(db),
        BrokerUrl::Embedded => db.keeping_jobs(),
    }
}

// Here, since this is where adapters are picked.
impl Queue {
    /// Opens the store, making it where there is none. The broker is connected to when it is first needed.
    pub fn open(broker: &BrokerUrl, store: &Path) -> Result<Queue, api::Error> {
        let db = recording(broker, store, Durability::PowerCut)?;
        Ok(Queue::new(adapter(broker, store), db))
    }
}

/// Runs a loop to its end on a runtime of one thread.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
