//! The lines between a tender and a worker, over a socketpair whose number the worker finds in
//! [`FD_VARIABLE`]. One JSON object a line, at most [`MAX_LINE`] bytes; fields that the reader doesn't know
//! are passed over.
//!
//! ```text
//! worker → tender   {"report":"ready"}
//!                   {"report":"busy","task":12,"group":4711}
//!                   {"report":"troubled","task":12,"reason":"the disk is full"}       until the next "idle"
//!                   {"report":"idle","jobs":3,"output":1048}
//!                   {"report":"pong","id":7}              to the ping of that number
//! tender → worker   {"order":"drain","grace_ms":30000}     without grace_ms: all the time it takes
//!                   {"order":"stop"}
//!                   {"order":"reload"}                    read the configuration again, for the next job
//!                   {"order":"reopen"}                    open the log file again
//!                   {"order":"ping","id":7}
//! ```
//!
//! An order that a worker does not know is to be passed over.
//!
//! End of file is how each learns at once that the other is gone. What the worker's end holds must
//! never be inherited by a command: a task could pose as its worker, and its worker's death would
//! go unnoticed.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod lines;
mod tender;
#[cfg(test)]
mod tests;
mod worker;

pub use lines::Lines;
pub use tender::{Tender, inherited};
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

/// The environment variable that holds the name by which the tender calls the worker.
pub const NAME_VARIABLE: &str = "TASKQUEUE_WORKER_NAME";

/// The longest line, its end included, in bytes.
pub const MAX_LINE: usize = 4096;

/// As much of a reason as is told, in bytes: escaped, it still fits a line.
const MAX_REASON: usize = 400;

/// What a worker tells its tender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It can take jobs. Said once, first.
    Ready,
    /// It runs a command.
    Busy {
        /// The task's id in the store; 0 if there is none to tell.
        task: i64,
        /// The command's process group; 0 if there is none to tell.
        group: i32,
    },
    /// It lacks what its work takes: what became of its task cannot be recorded, or no command can be started. It keeps
    /// trying and takes no other job meanwhile; the next [`Report::Idle`] says that it goes on.
    Troubled {
        /// The task's id in the store; 0 if there is none to tell.
        task: i64,
        /// What is wrong; empty if that was not said. What is longer than 400 bytes is cut.
        reason: String,
    },
    /// It waits for a job.
    Idle {
        /// How many jobs it has finished.
        jobs: u64,
        /// How many bytes their commands have printed, both streams.
        output: u64,
    },
    /// It heard [`Order::Ping`].
    Pong {
        /// The ping's number.
        id: u64,
    },
}

/// What a tender tells its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Reserve nothing more and go once no command runs.
    Drain {
        /// In milliseconds, how long the command may run on before it is told to end; without it, as
        /// long as it takes.
        grace_ms: Option<u64>,
    },
    /// Go at once, and end the command that runs.
    Stop,
    /// Read the configuration again; the next job goes by it.
    Reload,
    /// Open the log file again, which has been moved away.
    Reopen,
    /// Answer with [`Report::Pong`], at once.
    Ping {
        /// Its number.
        id: u64,
    },
}

impl Order {
    /// To drain, with the command's time to run on as a duration.
    pub fn drain(grace: Option<Duration>) -> Self {
        let milliseconds = |grace: Duration| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        Self::Drain {
            grace_ms: grace.map(milliseconds),
        }
    }
}

/// A line that says nothing we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// No object of the kind that was expected.
    #[error("cannot read the line '{line}': {reason}")]
    Nonsense {
        /// Its beginning, escaped.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Longer than [`MAX_LINE`]; it was passed over to its end.
    #[error("a line is longer than {MAX_LINE} bytes")]
    TooLong,
}

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

/// The words of a report; `serde`'s tagged enums don't get along with `arbitrary_precision`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReportWord {
    Ready,
    Busy,
    Troubled,
    Idle,
    Pong,
}

#[derive(Serialize, Deserialize)]
struct ReportLine {
    report: ReportWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jobs: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OrderWord {
    Drain,
    Stop,
    Reload,
    Reopen,
    Ping,
}

#[derive(Serialize, Deserialize)]
struct OrderLine {
    order: OrderWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
}

impl Report {
    /// The line, its end included.
    pub fn encode(&self) -> Vec<u8> {
        let empty = |report| ReportLine {
            report,
            task: None,
            group: None,
            jobs: None,
            output: None,
            id: None,
            reason: None,
        };
        line(&match *self {
            Self::Ready => empty(ReportWord::Ready),
            Self::Busy { task, group } => ReportLine {
                task: Some(task),
                group: Some(group),
                ..empty(ReportWord::Busy)
            },
            Self::Troubled { task, ref reason } => ReportLine {
                task: Some(task),
                reason: (!reason.is_empty()).then(|| cut(reason)),
                ..empty(ReportWord::Troubled)
            },
            Self::Idle { jobs, output } => ReportLine {
                jobs: Some(jobs),
                output: Some(output),
                ..empty(ReportWord::Idle)
            },
            Self::Pong { id } => ReportLine {
                id: Some(id),
                ..empty(ReportWord::Pong)
            },
        })
    }

    /// Reads a line, with or without its end. Numbers that are left out are 0, and a reason is empty.
    ///
    /// # Errors
    /// When it is no report.
    pub fn decode(line: &[u8]) -> Result<Self, BadLine> {
        let read: ReportLine = read(line)?;
        Ok(match read.report {
            ReportWord::Ready => Self::Ready,
            ReportWord::Busy => Self::Busy {
                task: read.task.unwrap_or(0),
                group: read.group.unwrap_or(0),
            },
            ReportWord::Troubled => Self::Troubled {
                task: read.task.unwrap_or(0),
                reason: cut(read.reason.as_deref().unwrap_or_default()),
            },
            ReportWord::Idle => Self::Idle {
                jobs: read.jobs.unwrap_or(0),
                output: read.output.unwrap_or(0),
            },
            ReportWord::Pong => Self::Pong {
                id: read.id.unwrap_or(0),
            },
        })
    }
}

impl Order {
    /// The line, its end included.
    pub fn encode(&self) -> Vec<u8> {
        let bare = |order| OrderLine {
            order,
            grace_ms: None,
            id: None,
        };
        line(&match *self {
            Self::Drain { grace_ms } => OrderLine {
                grace_ms,
                ..bare(OrderWord::Drain)
            },
            Self::Stop => bare(OrderWord::Stop),
            Self::Reload => bare(OrderWord::Reload),
            Self::Reopen => bare(OrderWord::Reopen),
            Self::Ping { id } => OrderLine {
                id: Some(id),
                ..bare(OrderWord::Ping)
            },
        })
    }

    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// When it is no order.
    pub fn decode(line: &[u8]) -> Result<Self, BadLine> {
        let read: OrderLine = read(line)?;
        Ok(match read.order {
            OrderWord::Drain => Self::Drain {
                grace_ms: read.grace_ms,
            },
            OrderWord::Stop => Self::Stop,
            OrderWord::Reload => Self::Reload,
            OrderWord::Reopen => Self::Reopen,
            OrderWord::Ping => Self::Ping {
                id: read.id.unwrap_or(0),
            },
        })
    }
}

/// As much of a reason as is told.
fn cut(reason: &str) -> String {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason.get(..end).unwrap_or_default().to_owned()
}

fn line(of: &impl Serialize) -> Vec<u8> {
    // Numbers and fixed words always serialise.
    let mut line = serde_json::to_vec(of).unwrap_or_default();
    line.push(b'\n');
    line
}

fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, BadLine> {
    const SHOWN: usize = 80;
    serde_json::from_slice(line).map_err(|error| BadLine::Nonsense {
        line: line.get(..SHOWN).unwrap_or(line).escape_ascii().to_string(),
        reason: error.to_string(),
    })
}
