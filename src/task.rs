//! The recorded unit of work, decided without I/O, clock or randomness.

/// Milliseconds since 1970.
pub type Millis = i64;

pub mod after;
pub mod command;
pub mod conditions;
pub mod event;
pub mod fingerprint;
pub mod hooks;
pub mod id;
pub mod limit;
pub mod made_key;
pub mod output;
pub mod own;
pub mod payload;
pub mod refused;
pub mod report;
pub mod resources;
pub mod retention;
pub mod retry;
pub mod state;
pub mod tag;
pub mod unique;
pub mod why;
