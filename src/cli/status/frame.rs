//! What a terminal shows at one moment, and what of that is new.

use std::collections::BTreeMap;

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub columns: usize,
    pub rows: usize,
}

/// The lines of a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Frame(pub Vec<Row>);

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What it is about: the line about the same in the frame before is compared with it.
    about: Option<String>,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    text: String,
    /// A change is worth a mark; time that passes is none.
    watched: bool,
}

/// A part of a line, and whether it is to catch the eye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub text: String,
    pub is_new: bool,
}

impl Row {
    /// A line that is compared with nothing.
    pub fn plain(text: impl Into<String>) -> Row {
        let text = text.into();
        Row {
            about: None,
            cells: vec![Cell {
                text,
                watched: false,
            }],
        }
    }

    /// A line about something, without cells yet.
    pub fn about(what: String) -> Row {
        Row {
            about: Some(what),
            cells: Vec::new(),
        }
    }

    /// One more cell, whose changes are marked.
    pub fn cell(mut self, text: String) -> Row {
        self.cells.push(Cell {
            text,
            watched: true,
        });
        self
    }

    /// One more cell, whose changes are not marked.
    pub fn unwatched(mut self, text: String) -> Row {
        self.cells.push(Cell {
            text,
            watched: false,
        });
        self
    }
}

impl Frame {
    /// Leaves out what is beyond the last column.
    pub fn cut(&mut self, columns: usize) {
        for row in &mut self.0 {
            let mut left = columns;
            for cell in &mut row.cells {
                let kept: String = cell.text.chars().take(left).collect();
                left -= kept.chars().count();
                cell.text = kept;
            }
        }
    }

    /// The lines as text.
    #[cfg(test)]
    pub fn text(&self) -> Vec<String> {
        let text = |row: &Row| row.cells.iter().map(|cell| cell.text.as_str()).collect();
        self.0.iter().map(text).collect()
    }

    /// The parts of each line; new is what was otherwise in the frame before, if there was one.
    pub fn since(&self, before: Option<&Frame>) -> Vec<Vec<Part>> {
        let known: Option<BTreeMap<&str, &Row>> = before.map(|frame| {
            let rows = frame.0.iter();
            rows.filter_map(|row| Some((row.about.as_deref()?, row)))
                .collect()
        });
        let parts = |row: &Row| {
            let about = row.about.as_deref();
            let old = about.and_then(|about| known.as_ref()?.get(about).copied());
            let cells = row.cells.iter().enumerate();
            let part = |(at, cell): (usize, &Cell)| Part {
                text: cell.text.clone(),
                is_new: cell.watched
                    && match (old.and_then(|old| old.cells.get(at)), &known) {
                        (Some(old), _) => old.text != cell.text,
                        // It was not there, or there was no room for it.
                        (None, Some(_)) => row.about.is_some(),
                        (None, None) => false,
                    },
            };
            cells.map(part).collect()
        };
        self.0.iter().map(parts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rows: &[(&str, &str, &str)]) -> Frame {
        let row = |(name, jobs, age): &(&str, &str, &str)| {
            Row::about((*name).to_owned())
                .cell((*jobs).to_owned())
                .unwatched((*age).to_owned())
        };
        Frame(
            [Row::plain("NAME")]
                .into_iter()
                .chain(rows.iter().map(row))
                .collect(),
        )
    }

    fn new(now: &Frame, before: Option<&Frame>) -> Vec<String> {
        let parts = now.since(before).into_iter().flatten();
        parts
            .filter(|part| part.is_new)
            .map(|part| part.text)
            .collect()
    }

    #[test]
    fn what_has_changed_is_new_wherever_it_stands() {
        let before = frame(&[("a", "1", "9s"), ("b", "2", "9s")]);
        assert!(new(&before, None).is_empty(), "of the first look");
        assert!(new(&before, Some(&before)).is_empty());
        let now = frame(&[("b", "2", "10s"), ("a", "3", "10s"), ("c", "4", "0s")]);
        assert_eq!(new(&now, Some(&before)), ["3", "4"]);
    }
}
