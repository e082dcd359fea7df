//! Tasks: what one asks for, where it stands, what becomes of it. Decisions only.

pub mod command;
pub mod output;
pub mod payload;
pub mod retry;
pub mod state;
