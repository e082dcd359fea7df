//! The ledger of a run, and everything in it that must not be.

use std::collections::BTreeMap;
use std::fmt;

use super::task::Key;

/// Something that must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// It was acknowledged, and there is no row.
    Lost,
    /// Two of its attempts ran at once.
    Overlapping,
    /// There are several rows.
    Doubled,
    /// It still waits or runs, though nothing keeps it from being done.
    Stranded,
    /// It ended as it could not.
    ImpossibleEnd,
    /// It is recorded as done, and its command did not come to its end.
    NotDone,
    /// It ran again after it was recorded as done.
    RanAgain,
    /// It is cancelled, and an attempt of it did it; or it is not, and one was cancelled.
    DoneAndCancelled,
    /// A cancel said otherwise of it.
    Contradicted,
    /// It was begun after somebody was told that it is cancelled, or told to end.
    BegunAfter,
    /// A run that no attempt in the store tells of, or two that one tells of.
    Untold,
    /// A row that nobody put.
    Unknown,
    /// Processes outlived everything.
    LeftOver,
    /// Its command was told to end with its worker, and the task was charged with that.
    Charged,
    /// Nothing that its command does, and nobody's order, ends an attempt so.
    ImpossibleOutcome,
    /// A tender did not answer.
    Unanswered,
    /// A wrong configuration was not refused.
    Accepted,
    /// A time of a schedule that came made no task.
    Missed,
    /// It was begun before what it waits for was done.
    TooSoon,
    /// More ran at a time than may.
    OverLimit,
    /// Somebody of us panicked.
    Panicked,
}

impl Wrong {
    pub const ALL: [Wrong; 21] = [
        Wrong::Lost,
        Wrong::Overlapping,
        Wrong::Doubled,
        Wrong::Stranded,
        Wrong::ImpossibleEnd,
        Wrong::NotDone,
        Wrong::RanAgain,
        Wrong::DoneAndCancelled,
        Wrong::Contradicted,
        Wrong::BegunAfter,
        Wrong::Untold,
        Wrong::Unknown,
        Wrong::LeftOver,
        Wrong::Charged,
        Wrong::ImpossibleOutcome,
        Wrong::Unanswered,
        Wrong::Accepted,
        Wrong::Missed,
        Wrong::TooSoon,
        Wrong::OverLimit,
        Wrong::Panicked,
    ];

    pub fn says(self) -> &'static str {
        match self {
            Wrong::Lost => "lost",
            Wrong::Overlapping => "overlapping",
            Wrong::Doubled => "recorded twice",
            Wrong::Stranded => "left waiting for ever",
            Wrong::ImpossibleEnd => "ended as they could not",
            Wrong::NotDone => "done without having run to the end",
            Wrong::RanAgain => "run again after done",
            Wrong::DoneAndCancelled => "both done and cancelled",
            Wrong::Contradicted => "cancelled otherwise than was said",
            Wrong::BegunAfter => "begun after they were cancelled",
            Wrong::Untold => "runs that no attempt tells of",
            Wrong::Unknown => "rows that nobody put",
            Wrong::LeftOver => "processes left over",
            Wrong::Charged => "stops that tasks were charged with",
            Wrong::ImpossibleOutcome => "attempts that ended as none can",
            Wrong::Unanswered => "questions without an answer",
            Wrong::Accepted => "wrong configurations accepted",
            Wrong::Missed => "times without a task",
            Wrong::TooSoon => "begun before what they wait for",
            Wrong::OverLimit => "more at a time than may run",
            Wrong::Panicked => "panics",
        }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub wrong: Wrong,
    pub key: Option<Key>,
    pub details: String,
}

/// What became of everything that was put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    pub acknowledged: u64,
    pub unacknowledged: u64,
    /// Of the latter, those that have a row all the same.
    pub recorded_all_the_same: u64,
    /// Jobs of other producers that the broker forgot before anybody had seen them.
    pub forgotten: u64,
    /// Rows by status.
    pub by_status: BTreeMap<String, u64>,
    /// Jobs that are buried; a broker without a binlog has forgotten those that were before.
    pub buried: u64,
    /// Tasks whose command was begun more than once.
    pub begun_again: u64,
    /// Tasks that somebody has called off, whatever became of that.
    pub called_off: u64,
    /// Times of the schedule that made a task.
    pub ticks: u64,
    /// Tasks that waited for others.
    pub after: u64,
    /// Tasks of which few may run at a time, and how many did.
    pub limited: u64,
    pub most_at_once: usize,
    /// How the attempts had ended that another one followed.
    pub causes: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
}

impl Ledger {
    pub fn count(&self, wrong: Wrong) -> u64 {
        let count = self.findings.iter().filter(|f| f.wrong == wrong).count();
        count as u64
    }

    pub fn find(&mut self, wrong: Wrong, key: Option<&Key>, details: impl Into<String>) {
        self.findings.push(Finding {
            wrong,
            key: key.cloned(),
            details: details.into(),
        });
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, count: u64, more: &str| {
            let line = format!("  {what:<36}{count:>8}  {more}");
            writeln!(f, "{}", line.trim_end())
        };
        let status = |name: &str| self.by_status.get(name).copied().unwrap_or(0);
        line("put, acknowledged", self.acknowledged, "")?;
        let more = format!("of which {} are recorded", self.recorded_all_the_same);
        line("put, not acknowledged", self.unacknowledged, &more)?;
        line(
            "put by others, forgotten unseen",
            self.forgotten,
            "by a broker without a binlog: the producer's loss",
        )?;
        line("done", status("done"), "")?;
        line("failed", status("failed"), "")?;
        line("buried", self.buried, "jobs of tasks that failed")?;
        let more = format!("of {} that were called off", self.called_off);
        line("cancelled", status("cancelled"), &more)?;
        line("made by a schedule", self.ticks, "one each second")?;
        line("put after others", self.after, "")?;
        let more = format!("of which {} ran at once", self.most_at_once);
        line("under a limit", self.limited, &more)?;
        line("waiting", status("waiting"), "")?;
        line("running", status("running"), "")?;
        let causes: Vec<String> = self
            .causes
            .iter()
            .map(|(cause, count)| format!("{cause} {count}"))
            .collect();
        line("begun more than once", self.begun_again, &causes.join(", "))?;
        for wrong in Wrong::ALL {
            line(wrong.says(), self.count(wrong), "")?;
        }
        Ok(())
    }
}
