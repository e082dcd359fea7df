//! The columns of `list`: as many as the terminal has room for, the more important ones first.

use std::io::{self, BufWriter, Write};

use crate::api::{Status, Task, TaskReport};
use crate::cli::out::{Colour, Out, width};
use crate::cli::print::{Zone, span};
use crate::harmless::one_line;
use crate::ledger::Millis;

/// Between two columns.
const GAP: &str = "  ";

/// The most letters of what a task was given, and of why it failed.
const MOST: usize = 200;

/// What is told of a task, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Status,
    Tube,
    Command,
    Arguments,
    Attempts,
    Age,
    Took,
    Progress,
    Created,
    Due,
    Finished,
    Reason,
    Tags,
}

use Column::{
    Age, Arguments, Attempts, Command, Created, Due, Finished, Id, Progress, Reason, Tags, Took,
    Tube,
};

const ALL: [Column; 14] = [
    Id,
    Column::Status,
    Tube,
    Command,
    Arguments,
    Attempts,
    Age,
    Took,
    Progress,
    Created,
    Due,
    Finished,
    Reason,
    Tags,
];

/// The order in which they are given room.
const BY_WORTH: [Column; 14] = [
    Id,
    Column::Status,
    Tube,
    Command,
    Age,
    Progress,
    Reason,
    Arguments,
    Tags,
    Took,
    Attempts,
    Due,
    Created,
    Finished,
];

impl Column {
    fn name(self) -> &'static str {
        match self {
            Id => "ID",
            Column::Status => "STATUS",
            Tube => "TUBE",
            Command => "COMMAND",
            Arguments => "ARGUMENTS",
            Attempts => "ATTEMPTS",
            Age => "AGE",
            Took => "DURATION",
            Progress => "PROGRESS",
            Created => "CREATED",
            Due => "DUE",
            Finished => "FINISHED",
            Reason => "REASON",
            Tags => "TAGS",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Id | Attempts | Age | Took)
    }

    /// How narrow it may become where there is little room.
    fn least(self) -> usize {
        match self {
            Arguments => 12,
            Reason => 24,
            Tags => 12,
            Tube => 12,
            Command => 16,
            Progress => 8,
            Id | Column::Status | Attempts | Age | Took | Created | Due | Finished => usize::MAX,
        }
    }
}

/// The columns that are printed, each with its width.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(Column, usize)>,
    zone: Zone,
    now: Millis,
    /// What does not fit is cut.
    is_cut: bool,
}

impl Table {
    /// Columns as wide as these tasks need.
    pub fn of(tasks: &[Task], zone: Zone, now: Millis) -> Table {
        Table::within(tasks, zone, now, width())
    }

    fn within(tasks: &[Task], zone: Zone, now: Millis, room: Option<usize>) -> Table {
        let mut table = Table {
            columns: Vec::new(),
            zone,
            now,
            is_cut: room.is_some(),
        };
        let needs = |column: Column| {
            let cells = tasks
                .iter()
                .map(|task| table.cell(column, task).chars().count());
            cells.chain([column.name().len()]).max().unwrap_or_default()
        };
        let says = |column: Column| tasks.iter().any(|task| table.cell(column, task) != "-");
        let mut left = room.unwrap_or(usize::MAX);
        let mut chosen = Vec::new();
        for column in BY_WORTH {
            if room.is_some() && !says(column) {
                continue;
            }
            let wanted = needs(column);
            let gap = if chosen.is_empty() { 0 } else { GAP.len() };
            let least = wanted.min(column.least());
            if left < least.saturating_add(gap) {
                continue;
            }
            // Narrow at first, and wider once it is known who else is there.
            left = left.saturating_sub(least.saturating_add(gap));
            chosen.push((column, least, wanted));
        }
        for (_, width, wanted) in &mut chosen {
            let more = wanted.saturating_sub(*width).min(left);
            *width = width.saturating_add(more);
            left = left.saturating_sub(more);
        }
        let ordered = ALL.iter().filter_map(|column| {
            let mut chosen = chosen.iter();
            chosen
                .find(|(of, ..)| of == column)
                .map(|(of, width, _)| (*of, *width))
        });
        table.columns = ordered.collect();
        table
    }

    /// Writes rows, and their names above the first.
    pub fn write(
        &self,
        out: &mut BufWriter<Out>,
        tasks: &[Task],
        is_first: bool,
    ) -> io::Result<()> {
        if is_first && !tasks.is_empty() {
            writeln!(out, "{}", self.line(|column| column.name().to_owned()))?;
        }
        for task in tasks {
            let line = self.line(|column| self.cell(column, task));
            match colour(task.status) {
                Some(colour) if self.is_cut => {
                    out.flush()?;
                    out.get_mut().painted(colour, &line)?;
                    writeln!(out)?;
                }
                Some(_) | None => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }

    fn line(&self, cell: impl Fn(Column) -> String) -> String {
        let cells = self.columns.iter().map(|(column, width)| {
            let text = cell(*column);
            let text = match self.is_cut && text.chars().count() > *width {
                true => text
                    .chars()
                    .take(width.saturating_sub(1))
                    .chain(['…'])
                    .collect(),
                false => text,
            };
            match column.is_number() {
                true => format!("{text:>width$}"),
                false => format!("{text:width$}"),
            }
        });
        let cells: Vec<String> = cells.collect();
        cells.join(GAP).trim_end().to_owned()
    }

    fn cell(&self, column: Column, task: &Task) -> String {
        let time = |at: Option<Millis>| self.zone.say(at);
        match column {
            Id => task.id.to_string(),
            Column::Status => task.status.to_string(),
            Tube => one_line(&task.tube).into_owned(),
            Command => one_line(task.command.as_deref().unwrap_or("-")).into_owned(),
            Arguments => match task.arguments.as_str() {
                "" | "[]" => "-".into(),
                some => begin(some),
            },
            Attempts => task.attempts_total.to_string(),
            Age => span(seconds(task.created, self.now)),
            Took => match (task.started, task.finished.unwrap_or(self.now)) {
                (Some(started), until) if until >= started => span(seconds(started, until)),
                (Some(_) | None, _) => "-".into(),
            },
            // What another attempt has said is in `show`.
            Progress => {
                let newest = i64::try_from(task.attempts_total).unwrap_or(i64::MAX);
                let said = task.report.as_ref().filter(|said| said.attempt == newest);
                let said = said.and_then(TaskReport::words);
                said.as_deref().map_or_else(|| "-".into(), begin)
            }
            Created => time(Some(task.created)),
            Due => time(task.due),
            Finished => time(task.finished),
            Reason => match (&task.waits_for, task.reason.as_deref(), &task.held) {
                (Some(waits), _, _) => begin(&waits.to_string()),
                (None, Some(reason), _) => begin(reason),
                (None, None, Some(held)) => begin(&held.words(self.now)),
                (None, None, None) => "-".into(),
            },
            Tags => match task.tags.as_slice() {
                [] => "-".into(),
                tags => {
                    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
                    begin(&tags.join(", "))
                }
            },
        }
    }
}

fn begin(text: &str) -> String {
    let text = one_line(text);
    match text.chars().count() > MOST {
        true => text.chars().take(MOST).chain(['…']).collect(),
        false => text.into_owned(),
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "people do not see a millisecond of a million years"
)]
fn seconds(from: Millis, to: Millis) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}

/// What is to catch the eye.
fn colour(status: Status) -> Option<Colour> {
    match status {
        Status::Failed => Some(Colour::Red),
        Status::Stalled => Some(Colour::Yellow),
        Status::Waiting | Status::Running | Status::Done | Status::Cancelled => None,
    }
}
