//! The one place where adapters are picked.

use std::path::Path;
use std::sync::Arc;

use crate::address::{BrokerUrl, StoreUrl};
use crate::api::{self, Queue};
use crate::broker::embedded::Embedded;
use crate::broker::{Broker, beanstalkd};
pub use crate::ledger::sqlite::Copied;
use crate::ledger::sqlite::Progress;
use crate::ledger::{self, Durability, Ledger, Open, sqlite};

/// A session with a broker. It connects when it is first used.
pub fn broker(broker: &BrokerUrl, store: &StoreUrl) -> Box<dyn Broker> {
    match broker {
        BrokerUrl::Beanstalkd { host, port } => Box::new(beanstalkd::Client::new(host, *port)),
        BrokerUrl::Embedded => {
            // What is wrong with the name is said when it is opened.
            let store = store.canonical().unwrap_or_else(|_| store.clone());
            let StoreUrl::Sqlite(file) = &store;
            Box::new(Embedded::new(file))
        }
    }
}

/// A store to record in. With the embedded broker it puts the jobs of its tasks itself.
pub fn recording(
    broker: &BrokerUrl,
    store: &StoreUrl,
    durability: Durability,
) -> Result<Ledger, ledger::Error> {
    let StoreUrl::Sqlite(file) = store;
    match broker {
        BrokerUrl::Beanstalkd { .. } => sqlite::open(file, durability),
        BrokerUrl::Embedded => sqlite::open_keeping_jobs(file, durability),
    }
}

/// A store that is there already, to read it, or to change what may come back with a power cut.
pub fn existing(store: &StoreUrl) -> Result<Option<Ledger>, ledger::Error> {
    let StoreUrl::Sqlite(file) = store;
    sqlite::open_existing(file)
}

/// The same for those who open it when they need it.
pub fn opener(store: &StoreUrl) -> Open {
    let store = store.clone();
    Arc::new(move || existing(&store))
}

/// Leaves a store in good order that this process was the last to use. To be called when it is open nowhere here.
pub fn fold(store: &StoreUrl) {
    let StoreUrl::Sqlite(file) = store;
    sqlite::fold(file);
}

/// Writes a copy of a store; `None` if there is no store.
pub fn back_up(
    store: &StoreUrl,
    to: &Path,
    replace: bool,
    progress: &mut Progress<'_>,
) -> Result<Option<Copied>, ledger::Error> {
    let StoreUrl::Sqlite(file) = store;
    sqlite::back_up(file, to, replace, progress)
}

/// Puts a copy in the place of a store that nobody uses.
pub fn restore(
    store: &StoreUrl,
    from: &Path,
    progress: &mut Progress<'_>,
) -> Result<Copied, ledger::Error> {
    let StoreUrl::Sqlite(file) = store;
    sqlite::restore(file, from, progress)
}

// Here, since this is where adapters are picked.
impl Queue {
    /// Opens the store, making it where there is none. The broker is connected to when it is first needed.
    ///
    /// It waits for the disk, as programs do when they start.
    pub fn open(broker: &BrokerUrl, store: &StoreUrl) -> Result<Queue, api::Error> {
        let StoreUrl::Sqlite(file) = store;
        let keeps_jobs = matches!(broker, BrokerUrl::Embedded);
        let ledger = sqlite::open_to_put(file, Durability::PowerCut, keeps_jobs)?;
        let queue = Queue::new(self::broker(broker, store), ledger)?;
        Ok(queue.with_tenders(store.beside()))
    }

    /// Opens a store that is there already; `None` if there is none. It is the one for those who look: where a store
    /// may only be read, it can be. With the embedded broker a task that is put is recorded before its job is, as with
    /// any other, and not together with it.
    pub fn open_existing(
        broker: &BrokerUrl,
        store: &StoreUrl,
    ) -> Result<Option<Queue>, api::Error> {
        let Some(ledger) = existing(store)? else {
            return Ok(None);
        };
        let ledger = ledger.surviving(Durability::PowerCut);
        let queue = Queue::new(self::broker(broker, store), ledger)?;
        Ok(Some(queue.with_tenders(store.beside())))
    }
}
