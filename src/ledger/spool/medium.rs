//! Bytes that one writes and others read, at the same time.

use std::fmt;

pub use crate::ledger::batch_journal::Trouble;

/// Whatever holds them.
pub trait Medium: Send + fmt::Debug {
    /// Reads what is there from a place on, as far as there is room for it. How much that was.
    fn read_at(&self, room: &mut [u8], at: u64) -> Result<usize, Trouble>;

    /// Writes all of it at a place.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), Trouble>;
}
