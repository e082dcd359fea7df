//! How patient a client is, and how much it takes.

use std::time::Duration;

/// How long a [`Client`](super::Client) waits, and how much it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long looking up the host and connecting to it may take together.
    pub connect_timeout: Duration,
    /// How long the server may be silent while it owes an answer. A reserve may take its own
    /// timeout and two seconds.
    pub answer_timeout: Duration,
    /// The largest body taken, in bytes. A job that is larger, where the server's `-z` lets one be, is buried when it
    /// is reserved; any other reply that claims more ends the connection.
    pub max_reply_body: usize,
}

impl Default for Settings {
    /// 5 s, 5 s and 64 MiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(5),
            max_reply_body: 64 * 1024 * 1024,
        }
    }
}
