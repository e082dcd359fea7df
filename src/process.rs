//! Commands as processes: start one in a session of its own, hear what it prints and how it ends, and
//! end what it left behind.

pub mod accounts;
pub mod command;
pub mod environment;
pub mod explain;
pub mod folder;
pub mod lack;
pub mod leftover;
pub mod limit;
pub mod memory;
pub mod orphans;
pub mod program;
pub mod sink;
mod spawn;
mod table;
pub mod variables;
mod wait;
