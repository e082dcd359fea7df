//! What a crew does to know how many jobs wait.

use std::time::Duration;

/// A pool that wants to know its demand asks this often.
pub const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is done to know the demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Nothing, before this.
    NotBefore(Duration),
    /// An answer is awaited.
    Since(Duration),
    /// The first job is awaited.
    Listening,
}
