//! All that is known of one task, in the order in which it happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::judge::Evidence;
use super::ledger::Finding;
use super::store;
use super::task::Key;

/// So much of a task that nobody could end.
const MOST_LINES: usize = 400;

/// Around what happened to a task, what went wrong in the world is told as well: milliseconds.
const AROUND: i64 = 2000;

/// Everything that anybody wrote down, with its time.
pub struct Archive {
    /// Milliseconds since 1970, and the line.
    faults: Vec<(i64, String)>,
    logs: Vec<(i64, String)>,
}

impl Archive {
    pub fn read(world: &Path) -> Archive {
        let mut archive = Archive {
            faults: Vec::new(),
            logs: Vec::new(),
        };
        for entry in fs::read_dir(world.join("log")).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            if name == "faults" {
                let lines = text.lines().filter_map(|line| {
                    let (at, what) = line.split_once(' ')?;
                    Some((at.parse().ok()?, format!("fault: {what}")))
                });
                archive.faults.extend(lines);
                continue;
            }
            let lines = text.lines().filter_map(|line| {
                let said: serde_json::Value = serde_json::from_str(line).ok()?;
                let at: jiff::Timestamp = said.get("timestamp")?.as_str()?.parse().ok()?;
                Some((at.as_millisecond(), format!("{name}: {line}")))
            });
            archive.logs.extend(lines);
        }
        archive
    }

    /// A task's history: its rows, and what its commands, the workers and we said, by time.
    pub fn tell(&self, key: &Key, evidence: &Evidence, db: &Connection) -> String {
        let mut told = format!("history of {key}\n");
        let mut marks = vec![key.to_string()];
        for row in evidence
            .rows
            .iter()
            .filter(|row| row.key.as_ref() == Some(key))
        {
            for line in store::dump(db, row.id).unwrap_or_default() {
                told += &format!("  {line}\n");
            }
            marks.push(format!("\"task\":{},", row.id));
            marks.push(format!("\"task\":{}}}", row.id));
        }
        let mut lines: Vec<(i64, String)> = Vec::new();
        for line in evidence.journals.get(key).into_iter().flatten() {
            lines.push((line.at.wall, format!("journal: {line}")));
        }
        let mentions = |line: &&(i64, String)| marks.iter().any(|mark| line.1.contains(mark));
        lines.extend(self.logs.iter().filter(mentions).cloned());
        let from = lines.iter().map(|(at, _)| *at - AROUND).min();
        let to = lines.iter().map(|(at, _)| *at + AROUND).max();
        if let Some((from, to)) = from.zip(to) {
            let near = |line: &&(i64, String)| (from..=to).contains(&line.0);
            lines.extend(self.faults.iter().filter(near).cloned());
        }
        lines.sort();
        for (at, line) in lines.iter().take(MOST_LINES) {
            told += &format!("  {at} {line}\n");
        }
        if lines.len() > MOST_LINES {
            told += &format!("  … {} more lines\n", lines.len() - MOST_LINES);
        }
        told
    }
}

/// What is wrong, by task; what belongs to none comes first.
pub fn by_task(findings: &[Finding]) -> BTreeMap<Option<Key>, Vec<&Finding>> {
    let mut by_task: BTreeMap<Option<Key>, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_task
            .entry(finding.key.clone())
            .or_default()
            .push(finding);
    }
    by_task
}
