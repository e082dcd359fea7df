//! The recorded unit of work, decided without I/O, clock or randomness.

pub mod command;
pub mod fingerprint;
pub mod id;
pub mod output;
pub mod payload;
pub mod retry;
pub mod state;
