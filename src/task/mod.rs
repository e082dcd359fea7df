//! The recorded unit of work, decided without I/O, clock or randomness.

pub mod payload;
