//! From what was seen to a verdict: the ledger of a run, and everything in it that must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::journal::{Line, What};
use super::task::{End, Key};

/// Who said that a task was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// Nobody: its producer was killed, or never had an answer. It may be there or not.
    No,
    /// We did: its row is committed.
    ByUs,
    /// The broker did, to a producer that does not know us: it has the job.
    ByBroker,
}

/// A task as its producer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub acknowledged: Acknowledged,
    /// A broker without a binlog was restarted since, and had no row of it in the store before: it is the
    /// producer's own loss, unless a row came to be all the same.
    pub forgotten: bool,
}

/// A task as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    pub key: Option<Key>,
    pub status: String,
    pub attempt: i64,
    pub attempts: Vec<Attempt>,
}

/// An attempt as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub number: i64,
    /// None while it runs.
    pub outcome: Option<String>,
    pub exit_code: Option<i64>,
}

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub puts: BTreeMap<Key, Put>,
    pub rows: Vec<Row>,
    pub journals: BTreeMap<Key, Vec<Line>>,
    /// Jobs that the broker holds as buried.
    pub buried: u64,
    /// Processes that were still there when all should have been gone.
    pub left_over: Vec<String>,
}

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
    /// A run that no attempt in the store tells of, or two that one tells of.
    Untold,
    /// A row that nobody put.
    Unknown,
    /// Processes outlived everything.
    LeftOver,
}

impl Wrong {
    pub const ALL: [Wrong; 10] = [
        Wrong::Lost,
        Wrong::Overlapping,
        Wrong::Doubled,
        Wrong::Stranded,
        Wrong::ImpossibleEnd,
        Wrong::NotDone,
        Wrong::RanAgain,
        Wrong::Untold,
        Wrong::Unknown,
        Wrong::LeftOver,
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
            Wrong::Untold => "runs that no attempt tells of",
            Wrong::Unknown => "rows that nobody put",
            Wrong::LeftOver => "processes left over",
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
    /// How the attempts had ended that another one followed.
    pub causes: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
}

impl Ledger {
    pub fn count(&self, wrong: Wrong) -> u64 {
        let count = self.findings.iter().filter(|f| f.wrong == wrong).count();
        count as u64
    }

    fn find(&mut self, wrong: Wrong, key: Option<&Key>, details: impl Into<String>) {
        self.findings.push(Finding {
            wrong,
            key: key.cloned(),
            details: details.into(),
        });
    }
}

/// Judges what was seen once everything has settled.
pub fn judge(evidence: &Evidence) -> Ledger {
    let mut ledger = Ledger {
        buried: evidence.buried,
        ..Ledger::default()
    };
    let mut rows: BTreeMap<&Key, Vec<&Row>> = BTreeMap::new();
    for row in &evidence.rows {
        *ledger.by_status.entry(row.status.clone()).or_default() += 1;
        match &row.key {
            Some(key) if evidence.puts.contains_key(key) => rows.entry(key).or_default().push(row),
            Some(_) | None => {
                let key = row.key.as_ref();
                ledger.find(Wrong::Unknown, key, format!("task {}", row.id));
            }
        }
    }
    for (key, put) in &evidence.puts {
        let rows = rows.get(key).map_or(&[][..], Vec::as_slice);
        judge_put(&mut ledger, key, put, rows.len());
        let journal = evidence.journals.get(key).map_or(&[][..], Vec::as_slice);
        judge_runs(&mut ledger, key, journal);
        if rows.is_empty() && !journal.is_empty() {
            ledger.find(Wrong::Untold, Some(key), "it ran and has no row");
        }
        for row in rows {
            judge_row(&mut ledger, key, row, journal);
        }
    }
    if !evidence.left_over.is_empty() {
        let details = evidence.left_over.join("\n");
        ledger.find(Wrong::LeftOver, None, details);
    }
    ledger
}

fn judge_put(ledger: &mut Ledger, key: &Key, put: &Put, rows: usize) {
    if put.acknowledged == Acknowledged::No {
        ledger.unacknowledged += 1;
        ledger.recorded_all_the_same += u64::from(rows > 0);
    } else if rows == 0 && put.forgotten && put.acknowledged == Acknowledged::ByBroker {
        ledger.forgotten += 1;
    } else {
        ledger.acknowledged += 1;
        if rows == 0 {
            ledger.find(Wrong::Lost, Some(key), "it has no row");
        }
    }
    if rows > 1 {
        ledger.find(Wrong::Doubled, Some(key), format!("{rows} rows"));
    }
}

/// What the commands say, whatever the store does.
fn judge_runs(ledger: &mut Ledger, key: &Key, journal: &[Line]) {
    let mut runs: BTreeMap<(u64, i64), u64> = BTreeMap::new();
    let mut begins: Vec<&Line> = Vec::new();
    for line in journal {
        match &line.what {
            What::Begin => begins.push(line),
            What::Overlap(with) => {
                let details = format!("attempt {} found {with}", line.attempt);
                ledger.find(Wrong::Overlapping, Some(key), details);
            }
            What::End(_) | What::ChildEnd => {}
        }
    }
    for begin in &begins {
        // Its last word, or its child's; who was killed said none, and is found by the lock alone.
        let last = journal
            .iter()
            .filter(|line| line.attempt == begin.attempt && line.at.steady >= begin.at.steady)
            .map(|line| line.at.steady)
            .max();
        runs.insert((begin.at.steady, begin.attempt), last.unwrap_or(0));
    }
    let mut latest = 0;
    for ((begun, attempt), ended) in runs {
        if begun < latest {
            let early = (latest - begun) / 1000;
            let details = format!("attempt {attempt} began {early} µs before the end of another");
            ledger.find(Wrong::Overlapping, Some(key), details);
        }
        latest = latest.max(ended);
    }
    let mut seen = BTreeSet::new();
    for begin in &begins {
        if !seen.insert(begin.attempt) {
            let details = format!("attempt {} was begun twice", begin.attempt);
            ledger.find(Wrong::Untold, Some(key), details);
        }
    }
    ledger.begun_again += u64::from(begins.len() > 1);
}

fn judge_row(ledger: &mut Ledger, key: &Key, row: &Row, journal: &[Line]) {
    let ended = match row.status.as_str() {
        "done" => Some(End::Done),
        "failed" => Some(End::Failed),
        _ => None,
    };
    match ended {
        None => ledger.find(Wrong::Stranded, Some(key), format!("it is {}", row.status)),
        Some(ended) if ended != key.kind.must_end() => {
            ledger.find(
                Wrong::ImpossibleEnd,
                Some(key),
                format!("it is {}", row.status),
            );
        }
        Some(_) => {}
    }
    let begun: BTreeSet<i64> = journal
        .iter()
        .filter(|line| line.what == What::Begin)
        .map(|line| line.attempt)
        .collect();
    let told: BTreeSet<i64> = row.attempts.iter().map(|a| a.number).collect();
    for untold in begun.difference(&told) {
        ledger.find(Wrong::Untold, Some(key), format!("attempt {untold}"));
    }
    for attempt in &row.attempts {
        judge_attempt(ledger, key, row, attempt, journal);
        if begun.contains(&attempt.number) && begun.iter().any(|later| *later > attempt.number) {
            *ledger.causes.entry(attempt.cause()).or_default() += 1;
        }
    }
    if ended == Some(End::Done)
        && !row
            .attempts
            .iter()
            .any(|a| a.number == row.attempt && a.is_done())
    {
        ledger.find(Wrong::NotDone, Some(key), "its newest attempt is not");
    }
}

fn judge_attempt(ledger: &mut Ledger, key: &Key, row: &Row, attempt: &Attempt, journal: &[Line]) {
    if !attempt.is_done() {
        return;
    }
    let number = attempt.number;
    let ran = |what: &What| {
        journal
            .iter()
            .any(|line| line.attempt == number && line.what == *what)
    };
    if !ran(&What::Begin) || !ran(&What::End(0)) {
        let details = format!("attempt {number}");
        ledger.find(Wrong::NotDone, Some(key), details);
    }
    if row.attempt > number || journal.iter().any(|line| line.attempt > number) {
        let details = format!("after attempt {number}");
        ledger.find(Wrong::RanAgain, Some(key), details);
    }
}

impl Attempt {
    fn is_done(&self) -> bool {
        self.outcome.as_deref() == Some("exited") && self.exit_code == Some(0)
    }

    fn cause(&self) -> String {
        match (&self.outcome, self.exit_code) {
            (Some(outcome), Some(code)) if outcome == "exited" => format!("exited with {code}"),
            (Some(outcome), _) => outcome.clone(),
            (None, _) => "not ended".into(),
        }
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
        line("cancelled", status("cancelled"), "")?;
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
