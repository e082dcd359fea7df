//! What tasks have to do with each other: those that wait for others, and those of which few may run at a time.

use std::collections::BTreeMap;

use super::journal::{Line, What};
use super::judge::{Evidence, Row};
use super::ledger::{Ledger, Wrong};
use super::task::{Key, Kind};

/// Which tasks a task waits for, by their numbers in the store.
pub type After = BTreeMap<Key, Vec<i64>>;

/// So many of this kind may run at a time, where their bodies name their command.
pub const LIMITED: (Kind, usize) = (Kind::Slow, 2);

/// Whether a task that is cancelled is so since one that it waits for has not ended well.
pub fn is_orphan(evidence: &Evidence, key: &Key) -> bool {
    parents(evidence, key).any(|parent| matches!(parent.status.as_str(), "failed" | "cancelled"))
}

fn parents<'a>(evidence: &'a Evidence, key: &Key) -> impl Iterator<Item = &'a Row> {
    let ids = evidence.after.get(key).map_or(&[][..], Vec::as_slice);
    evidence.rows.iter().filter(|row| ids.contains(&row.id))
}

/// Nothing begins before all that it waits for is done.
pub fn judge_after(ledger: &mut Ledger, evidence: &Evidence) {
    for (key, ids) in &evidence.after {
        ledger.after += 1;
        let journal = evidence.journals.get(key).map_or(&[][..], Vec::as_slice);
        let begins = journal.iter().filter(|line| line.what == What::Begin);
        let Some(begun) = begins.map(|line| line.at.steady).min() else {
            continue;
        };
        let of = |parent: &Row| {
            parent
                .key
                .as_ref()
                .and_then(|key| evidence.journals.get(key))
        };
        let ends = |journal: &Vec<Line>| {
            let ends = journal.iter().filter(|line| line.what == What::End(0));
            ends.map(|line| line.at.steady).min()
        };
        let is_before = |parent: &Row| of(parent).and_then(ends).is_some_and(|end| end < begun);
        let count = parents(evidence, key).filter(|row| is_before(row)).count();
        if count < ids.len() {
            let details = format!("of {ids:?}, {count} were done by then");
            ledger.find(Wrong::TooSoon, Some(key), details);
        }
    }
}

/// From the journals alone. Of an attempt that was killed, nobody said when it ended: its beginning is all there is.
pub fn judge_limit(ledger: &mut Ledger, evidence: &Evidence) {
    let (kind, most) = LIMITED;
    let command = kind.command();
    let mut steps: Vec<(u64, bool)> = Vec::new();
    for row in &evidence.rows {
        let is_limited = row.command.as_deref() == Some(command.as_str());
        let Some(journal) = row
            .key
            .as_ref()
            .filter(|_| is_limited)
            .and_then(|key| evidence.journals.get(key))
        else {
            continue;
        };
        ledger.limited += 1;
        for end in journal {
            let begin = journal
                .iter()
                .find(|begin| begin.what == What::Begin && begin.attempt == end.attempt);
            if let (What::End(_), Some(begin)) = (&end.what, begin) {
                steps.push((begin.at.steady, true));
                steps.push((end.at.steady, false));
            }
        }
    }
    // Who ends in the same instant has ended before another begins.
    steps.sort_unstable();
    let mut running = 0_usize;
    for (at, begins) in steps {
        running = match begins {
            true => running + 1,
            false => running.saturating_sub(1),
        };
        ledger.most_at_once = ledger.most_at_once.max(running);
        if begins && running > most {
            let details = format!("{running} ran at {} ms", at / 1_000_000);
            ledger.find(Wrong::OverLimit, None, details);
        }
    }
}
