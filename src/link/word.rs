//! What a tender and a worker say to each other, as values and as lines.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest line, its end included, in bytes.
pub const MAX_LINE: usize = 4096;

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
        /// How long the command may run on before its time is up; none if it may for ever, or that is not said. Whoever
        /// says it also answers pings while a command runs.
        left: Option<Duration>,
        /// What people are to see of the command, as that it is stopped. What is longer than 600 bytes is cut.
        notice: Option<String>,
    },
    /// It lacks what its work takes: what became of its task cannot be recorded, or no command can be started. It keeps
    /// trying and takes no other job meanwhile; the next [`Report::Idle`] says that it goes on.
    Troubled {
        /// The task's id in the store; 0 if there is none to tell.
        task: i64,
        /// What is wrong; empty if that was not said. What is longer than 600 bytes is cut.
        reason: String,
    },
    /// It waits for a job.
    Idle {
        /// How many jobs it has finished.
        jobs: u64,
        /// How many bytes their commands have printed, both streams.
        output: u64,
    },
    /// What became of an order.
    Answered {
        /// The order's.
        ticket: Ticket,
        /// What became of it.
        reply: Reply,
    },
}

/// The number by which an order is answered: the tender's, and each worker has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was carried out.
    Done,
    /// It was not, and nothing has changed.
    Refused {
        /// Why. What is longer than 600 bytes is cut.
        reason: String,
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
    /// Go by the configuration of now, from the next job on.
    Reload,
    /// Open the log file again, which has been moved away.
    Reopen,
    /// Answer, and nothing else.
    Ping,
    /// End an attempt's command, since its task is called off: its row says so already.
    Cancel {
        /// The task's id in the store.
        task: i64,
        /// The attempt's number.
        attempt: i64,
        /// With KILL, at once.
        now: bool,
    },
}

/// An order, as it goes over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// What is to be done.
    pub order: Order,
    /// What it is to be answered by; without one, it is not answered.
    pub ticket: Option<Ticket>,
}

impl Order {
    /// To drain, with the command's time to run on as a duration.
    pub fn drain(grace: Option<Duration>) -> Self {
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

/// The words of a report; `serde`'s tagged enums don't get along with `arbitrary_precision`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReportWord {
    Ready,
    Busy,
    Troubled,
    Idle,
    Answered,
}

#[derive(Serialize, Deserialize)]
struct ReportLine {
    report: ReportWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jobs: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticket: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
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
    Cancel,
}

#[derive(Serialize, Deserialize)]
struct OrderLine {
    order: OrderWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticket: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    now: bool,
}

impl Report {
    /// The line, its end included.
    pub fn encode(&self) -> Vec<u8> {
        let empty = |report| ReportLine {
            report,
            task: None,
            group: None,
            left_ms: None,
            notice: None,
            jobs: None,
            output: None,
            ticket: None,
            refused: None,
            reason: None,
        };
        line(&match *self {
            Self::Ready => empty(ReportWord::Ready),
            Self::Busy {
                task,
                group,
                left,
                ref notice,
            } => ReportLine {
                task: Some(task),
                group: Some(group),
                left_ms: left.map(milliseconds),
                notice: notice.as_deref().map(cut),
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
            Self::Answered { ticket, ref reply } => ReportLine {
                ticket: Some(ticket.0),
                refused: match reply {
                    Reply::Done => None,
                    Reply::Refused { reason } => Some(cut(reason)),
                },
                ..empty(ReportWord::Answered)
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
                left: read.left_ms.map(Duration::from_millis),
                notice: read.notice.as_deref().map(cut),
            },
            ReportWord::Troubled => Self::Troubled {
                task: read.task.unwrap_or(0),
                reason: cut(&read.reason.unwrap_or_default()),
            },
            ReportWord::Idle => Self::Idle {
                jobs: read.jobs.unwrap_or(0),
                output: read.output.unwrap_or(0),
            },
            ReportWord::Answered => Self::Answered {
                ticket: Ticket(read.ticket.unwrap_or(0)),
                reply: match read.refused {
                    None => Reply::Done,
                    Some(reason) => Reply::Refused {
                        reason: cut(&reason),
                    },
                },
            },
        })
    }
}

impl Ordered {
    /// The line, its end included.
    pub fn encode(&self) -> Vec<u8> {
        let bare = |order| OrderLine {
            order,
            ticket: self.ticket.map(|ticket| ticket.0),
            grace_ms: None,
            task: None,
            attempt: None,
            now: false,
        };
        line(&match self.order {
            Order::Drain { grace_ms } => OrderLine {
                grace_ms,
                ..bare(OrderWord::Drain)
            },
            Order::Stop => bare(OrderWord::Stop),
            Order::Reload => bare(OrderWord::Reload),
            Order::Reopen => bare(OrderWord::Reopen),
            Order::Ping => bare(OrderWord::Ping),
            Order::Cancel { task, attempt, now } => OrderLine {
                task: Some(task),
                attempt: Some(attempt),
                now,
                ..bare(OrderWord::Cancel)
            },
        })
    }

    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// When it is no order.
    pub fn decode(line: &[u8]) -> Result<Self, BadLine> {
        let OrderLine {
            order,
            ticket,
            grace_ms,
            task,
            attempt,
            now,
        } = read(line)?;
        let order = match order {
            OrderWord::Drain => Order::Drain { grace_ms },
            OrderWord::Stop => Order::Stop,
            OrderWord::Reload => Order::Reload,
            OrderWord::Reopen => Order::Reopen,
            OrderWord::Ping => Order::Ping,
            OrderWord::Cancel => Order::Cancel {
                task: task.unwrap_or(0),
                attempt: attempt.unwrap_or(0),
                now,
            },
        };
        let ticket = ticket.map(Ticket);
        Ok(Self { order, ticket })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// As much of a reason as is told, in bytes. JSON escapes a byte to six at the most, and what else a line says takes
/// less than a hundred: so every line has room for its reason. A tender keeps one for each of its workers.
const REASON: usize = 600;

/// A reason, or its beginning.
fn cut(reason: &str) -> String {
    let end = reason.floor_char_boundary(REASON);
    reason.get(..end).unwrap_or_default().to_owned()
}

fn line(of: &impl Serialize) -> Vec<u8> {
    // Numbers and texts always serialise.
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
