//! What `cancel` was asked and has answered, and whether that is so.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{Line, Moment, What};
use super::judge::Row;
use super::ledger::{Ledger, Wrong};
use super::task::Key;

/// What was answered of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing of it alone, or nobody came to say so: it may be cancelled or not.
    Nothing,
    Cancelled,
    /// It runs, and is told to end.
    Told,
    Done,
    Failed,
    /// There is no such task.
    Gone,
}

/// That a task was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// When it was answered; of one that was not, when it was asked for.
    pub at: Moment,
    pub said: Said,
}

/// All that were asked for, by the number of their task.
pub type Cancels = BTreeMap<i64, Vec<Cancel>>;

/// Judges a row by what was answered of it, and by what its commands did after that.
pub fn judge(ledger: &mut Ledger, key: &Key, row: &Row, journal: &[Line], cancels: &[Cancel]) {
    ledger.called_off += u64::from(!cancels.is_empty());
    let is_cancelled = row.status == "cancelled";
    let mut outcomes = row
        .attempts
        .iter()
        .map(|a| (a.number, a.outcome.as_deref()));
    let ended = outcomes.find(|(_, outcome)| *outcome == Some("cancelled"));
    match ended {
        Some((number, _)) if !is_cancelled => {
            let details = format!("it is {}, and attempt {number} was cancelled", row.status);
            ledger.find(Wrong::DoneAndCancelled, Some(key), details);
        }
        Some(_) | None => {}
    }
    if is_cancelled && row.attempts.iter().any(|attempt| attempt.is_done()) {
        ledger.find(Wrong::DoneAndCancelled, Some(key), "it is cancelled");
    }
    for cancel in cancels {
        let can_be = match cancel.said {
            Said::Nothing => true,
            Said::Cancelled => is_cancelled,
            // What had exited with 0 by then is done; what ends otherwise is cancelled, and never fails.
            Said::Told => is_cancelled || row.status == "done",
            Said::Done => row.status == "done",
            Said::Failed => row.status == "failed",
            Said::Gone => false,
        };
        if !can_be {
            let details = format!("{:?} was said, and it is {}", cancel.said, row.status);
            ledger.find(Wrong::Contradicted, Some(key), details);
        }
        // A worker may have looked for the last time before it begins.
        let may_begin = match cancel.said {
            Said::Nothing => usize::MAX,
            Said::Told => 1,
            Said::Cancelled | Said::Done | Said::Failed | Said::Gone => 0,
        };
        let begun = begun_after(journal, cancel.at);
        if begun.len() > may_begin {
            let details = format!("{:?} was said, and then began {begun:?}", cancel.said);
            ledger.find(Wrong::BegunAfter, Some(key), details);
        }
    }
}

fn begun_after(journal: &[Line], at: Moment) -> BTreeSet<i64> {
    journal
        .iter()
        .filter(|line| line.what == What::Begin && line.at.steady > at.steady)
        .map(|line| line.attempt)
        .collect()
}
