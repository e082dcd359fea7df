//! The lines between a tender and a worker, over a socketpair whose number the worker finds in
//! [`FD_VARIABLE`]. One JSON object a line, at most [`MAX_LINE`] bytes; fields that the reader doesn't know
//! are passed over.
//!
//! ```text
//! worker → tender   {"report":"ready"}
//!                   {"report":"busy","task":12,"group":4711}
//!                   {"report":"busy","task":12,"group":4711,"left_ms":3000}       so long until the command times out
//!                   {"report":"busy","task":12,"group":4711,"notice":"the command is stopped"}
//!                   {"report":"troubled","task":12,"reason":"the disk is full"}       until the next "idle"
//!                   {"report":"idle","jobs":3,"output":1048}
//!                   {"report":"answered","ticket":7}      the order of that number is done,
//!                   {"report":"answered","ticket":7,"refused":"…"}   or is not, and why
//! tender → worker   {"order":"drain","ticket":1,"grace_ms":30000}    without grace_ms: all the time it takes
//!                   {"order":"stop","ticket":2}
//!                   {"order":"reload","ticket":3}         go by the configuration of now, from the next job on
//!                   {"order":"reopen","ticket":4}         open the log file again
//!                   {"order":"ping","ticket":5}           nothing but answer
//!                   {"order":"cancel","ticket":6,"task":12,"attempt":1,"now":true}     without now: TERM, then KILL
//! ```
//!
//! Each order has a ticket, a number of the tender's own, and is answered once:
//!
//! | order | is done when |
//! |---|---|
//! | drain, stop | the worker has taken the order in; how the worker goes, its reports and its end tell |
//! | reload | the configuration was taken over; refused with what is wrong with it |
//! | reopen | whoever writes the log has been told: that opens the file before the next line |
//! | ping | at once |
//! | cancel | the worker ends that attempt, whose task's row says that it is to be cancelled; refused if the attempt does not run there |
//!
//! A worker of our own that has a tender never reads the configuration's file. It gets what its tender has accepted: at
//! its start by the descriptor whose number is in [`CONFIGURATION_VARIABLE`], and with each reload by a descriptor that
//! comes with the line (`SCM_RIGHTS`). Whoever reads lines alone does not notice.
//!
//! A worker of our own that goes hands its tender what it still reads for done tasks' sake: with an empty line comes a
//! descriptor, the end of a pipe into which something prints that such a task has left running. The tender reads on,
//! and throws that away.
//!
//! An order without a ticket is obeyed and not answered. An order that a worker does not know is to be passed over, and
//! a worker that answers nothing does no wrong, but for one that says how long a command may run on (`left_ms`): when
//! that time is up, and the worker has not answered a ping for a while, its tender kills it, so that the command ends.
//! What a worker has not answered by its end, nobody answers.
//!
//! End of file is how each learns at once that the other is gone. What the worker's end holds must
//! never be inherited by a command: a task could pose as its worker, and its worker's death would
//! go unnoticed.

use std::io;

mod handing;
mod lines;
mod tender;
#[cfg(test)]
mod tests;
mod word;
mod worker;

pub use lines::Lines;
pub use tender::{Tender, inherited};
pub use word::{BadLine, MAX_LINE, Order, Ordered, Reply, Report, Ticket};
pub use worker::{Orders, Reports, Worker};

/// The environment variable that holds the descriptor's number. A worker takes it out of the
/// environment of its commands.
pub const FD_VARIABLE: &str = "TASKQUEUE_TENDER_FD";

/// The environment variable that holds the number of the descriptor by which tenders count the worker. It
/// is only kept open, and never inherited by commands.
pub const SLOT_VARIABLE: &str = "TASKQUEUE_SLOT_FD";

/// The environment variable that holds the number of the descriptor by which the tender's guard knows, once the
/// tender is dead, that the worker lives. It too is only kept open, and never inherited by commands.
pub const GUARD_VARIABLE: &str = "TASKQUEUE_GUARD_FD";

/// The environment variable that holds the number of the descriptor with the configuration that the tender has
/// accepted. It is read once, closed, and never inherited by commands.
pub const CONFIGURATION_VARIABLE: &str = "TASKQUEUE_CONFIG_FD";

/// The environment variable that holds the name by which the tender calls the worker.
pub const NAME_VARIABLE: &str = "TASKQUEUE_WORKER_NAME";

/// Why a link could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment variable names no descriptor that can be a link.
    #[error(
        "cannot speak to the tender: {variable} is '{value}', {reason}; to run without a tender, unset it"
    )]
    BadVariable {
        /// Its name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system did not let us have it.
    #[error("cannot set up the link between tender and worker: {0}")]
    Io(#[from] io::Error),
}
