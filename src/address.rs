//! How a broker and a store are named: on the command line, in a file, or by a producer.

mod broker_url;
mod store_url;

pub use broker_url::{BadBrokerUrl, BrokerUrl, DEFAULT_PORT};
pub use store_url::{BadStoreUrl, StoreUrl, canonical};
