//! From what was seen to a verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::beside::{self, After};
use super::called_off::{self, Cancels};
use super::journal::{Line, What};
use super::ledger::{Ledger, Wrong};
use super::task::{End, Key, Kind};

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

impl Put {
    /// A task that the store has made by itself.
    pub const MADE: Put = Put {
        acknowledged: Acknowledged::ByUs,
        forgotten: false,
    };
}

/// A task as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    pub key: Option<Key>,
    pub status: String,
    pub attempt: i64,
    /// What it runs or ran; none where that is not known.
    pub command: Option<String>,
    /// The time of the schedule that it came of, in milliseconds.
    pub nominal: Option<i64>,
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
    /// Attempts, by task and number, whose commands were told to end together with all around them.
    pub cut: BTreeSet<(i64, i64)>,
    /// What was to be cancelled.
    pub cancels: Cancels,
    /// Which tasks wait for others.
    pub after: After,
    /// What tenders were asked and did not answer, though nothing kept them from it in the end.
    pub unanswered: Vec<String>,
    /// How often a configuration was accepted that is wrong.
    pub accepted: u64,
    /// Lines of logs in which somebody panicked.
    pub panics: Vec<String>,
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
            let cancels = evidence.cancels.get(&row.id);
            let cancels = cancels.map_or(&[][..], Vec::as_slice);
            let may_be_cancelled = !cancels.is_empty() || beside::is_orphan(evidence, key);
            judge_row(&mut ledger, key, row, journal, may_be_cancelled);
            judge_outcomes(&mut ledger, key, row, journal, &evidence.cut);
            called_off::judge(&mut ledger, key, row, journal, cancels);
        }
    }
    judge_world(&mut ledger, evidence);
    judge_schedule(&mut ledger, evidence);
    beside::judge_after(&mut ledger, evidence);
    beside::judge_limit(&mut ledger, evidence);
    ledger
}

/// Between two times of the schedule, in milliseconds.
const TICK: i64 = 1000;

/// From the first time that has a task to the last, each has one.
fn judge_schedule(ledger: &mut Ledger, evidence: &Evidence) {
    let nominal = evidence.rows.iter().filter_map(|row| row.nominal);
    let mut times: Vec<i64> = nominal.collect();
    times.sort_unstable();
    ledger.ticks = times.len() as u64;
    for (one, next) in times.iter().zip(times.iter().skip(1)) {
        match next - one {
            TICK => {}
            0 => ledger.find(Wrong::Doubled, None, format!("the time {one}")),
            apart => {
                let details = format!("{apart} ms lie between {one} and the next time");
                ledger.find(Wrong::Missed, None, details);
            }
        }
    }
}

/// What is no task's.
fn judge_world(ledger: &mut Ledger, evidence: &Evidence) {
    for (wrong, found) in [
        (Wrong::LeftOver, &evidence.left_over),
        (Wrong::Unanswered, &evidence.unanswered),
        (Wrong::Panicked, &evidence.panics),
    ] {
        if !found.is_empty() {
            ledger.find(wrong, None, found.join("\n"));
        }
    }
    if evidence.accepted > 0 {
        ledger.find(
            Wrong::Accepted,
            None,
            format!("{} times", evidence.accepted),
        );
    }
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

fn judge_row(ledger: &mut Ledger, key: &Key, row: &Row, journal: &[Line], may_be_cancelled: bool) {
    let ended = match row.status.as_str() {
        "done" => Some(End::Done),
        "failed" => Some(End::Failed),
        _ => None,
    };
    match ended {
        None if row.status == "cancelled" => {
            if !may_be_cancelled {
                ledger.find(Wrong::ImpossibleEnd, Some(key), "nobody has cancelled it");
            }
        }
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

/// What commands do is known, and who was killed or told to end: an outcome that none of that explains is charged to a
/// task that has no part in it.
fn judge_outcomes(
    ledger: &mut Ledger,
    key: &Key,
    row: &Row,
    journal: &[Line],
    cut: &BTreeSet<(i64, i64)>,
) {
    for attempt in &row.attempts {
        let number = attempt.number;
        let outcome = attempt.outcome.as_deref().unwrap_or_default();
        let has_said = |code: Option<i64>| {
            let mut ends = journal.iter().filter(|line| line.attempt == number);
            ends.any(|line| match line.what {
                What::End(said) => code.is_none_or(|code| code == i64::from(said)),
                What::Begin | What::ChildEnd | What::Overlap(_) => false,
            })
        };
        let is_possible = match outcome {
            // That it is done without having said so is found elsewhere.
            "exited" => attempt.exit_code == Some(0) || has_said(attempt.exit_code),
            "could_not_start" => false,
            "refused" => key.kind == Kind::Refused,
            "timed_out" => key.kind.takes_too_long(),
            _ => true,
        };
        let details = format!("attempt {number} is {outcome}");
        if !is_possible {
            ledger.find(Wrong::ImpossibleOutcome, Some(key), details);
        } else if cut.contains(&(row.id, number)) && outcome == "signalled" && !has_said(None) {
            ledger.find(Wrong::Charged, Some(key), details);
        }
    }
}

impl Attempt {
    pub fn is_done(&self) -> bool {
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
