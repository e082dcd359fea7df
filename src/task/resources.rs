//! What an attempt took of the machine.

use std::time::Duration;

/// What a command took, with those of its children that it waited for (getrusage(2), `RUSAGE_CHILDREN`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// How long its own code ran.
    pub user: Duration,
    /// How long the kernel worked for it.
    pub system: Duration,
    /// The most memory that any one of these processes had resident, in bytes. Never less than the worker's own, which
    /// the command's process has until the command takes its place.
    pub peak_memory: u64,
}
