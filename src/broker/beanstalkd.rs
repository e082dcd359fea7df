//! A client for beanstalkd, protocol 1.12.
//!
//! | module | what it knows |
//! |---|---|
//! | `wire` | the bytes: commands out, replies in; no I/O |
//! | `stats` | the dictionaries inside some replies; no I/O |
//! | `connection` | one TCP connection, and which tubes the server thinks it uses and watches |
//! | `client` | [`Client`]: connects when needed, asks, and judges the answers |
//! | `settings` | how patient a client is |
//! | `session` | `Client` as a [`Broker`](super::Broker) |
//!
//! A connection is taken out of its [`Client`] for the length of a call, and put back only when the
//! whole answer has been read and made sense. Whatever else happens (an error, nonsense, a future
//! that is dropped) ends the connection, so no answer can ever be taken for another command's.

mod client;
mod connection;
#[cfg(test)]
mod fuzz;
mod reserve;
mod session;
mod settings;
mod stats;
mod wire;

pub use client::{Client, DEFAULT_PORT};
pub use settings::Settings;
