//! Lines of one kind, as many as people read: what a stranger can cause a million times is written some hundred times,
//! and counted.
//!
//! A kind is a place in the program. Lines of one kind may be of different tasks, and so there may be hundreds; what
//! each task came to is in the store. Lines that tell a day's work have a smaller bound and a shorter window: a busy
//! worker's are some each second, and a count.

use std::mem;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use super::shape;

/// What a process writes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// So many in one window.
    most: u32,
    /// How long that is; it begins with a line.
    window: Duration,
}

/// What goes wrong.
pub(super) const TROUBLE: Bound = Bound {
    most: 300,
    window: Duration::from_secs(30),
};

/// What tasks came to, for each worker.
pub(super) const WORK: Bound = Bound {
    most: 20,
    window: Duration::from_secs(1),
};

/// The windows that are open. There are no more kinds than places in the program.
#[derive(Debug)]
pub(super) struct Limits<K> {
    windows: Vec<Window<K>>,
}

#[derive(Debug)]
struct Window<K> {
    kind: K,
    bound: Bound,
    level: Level,
    begun: Instant,
    lines: u32,
    left_out: u64,
    /// What the lines say that were left out.
    like: String,
}

/// Lines of one kind that were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    level: Level,
    like: String,
    lines: u64,
    within: Duration,
}

impl<K: PartialEq> Limits<K> {
    pub(super) const fn new() -> Limits<K> {
        Limits {
            windows: Vec::new(),
        }
    }

    /// Whether a line is written. `like` is what it says.
    pub(super) fn admit(
        &mut self,
        kind: &K,
        (bound, level): (Bound, Level),
        now: Instant,
        like: impl FnOnce() -> String,
    ) -> bool
    where
        K: Clone,
    {
        let Some(window) = self.windows.iter_mut().find(|window| window.kind == *kind) else {
            self.windows.push(Window {
                kind: kind.clone(),
                bound,
                level,
                begun: now,
                lines: 1,
                left_out: 0,
                like: String::new(),
            });
            return true;
        };
        if window.lines < bound.most {
            window.lines += 1;
            return true;
        }
        if window.left_out == 0 {
            window.like = like();
        }
        window.left_out = window.left_out.saturating_add(1);
        false
    }

    /// Ends the windows that are over, and says what was left out in them.
    pub(super) fn over(&mut self, now: Instant) -> Vec<LeftOut> {
        let is_over = |window: &mut Window<K>| {
            now.saturating_duration_since(window.begun) >= window.bound.window
        };
        let over = self.windows.extract_if(.., is_over);
        over.filter_map(|window| window.left_out(now)).collect()
    }

    /// Ends all windows.
    pub(super) fn end(&mut self, now: Instant) -> Vec<LeftOut> {
        let all = mem::take(&mut self.windows);
        all.into_iter()
            .filter_map(|window| window.left_out(now))
            .collect()
    }

    /// Whether something was left out that is not said yet.
    pub(super) fn owes(&self) -> bool {
        self.windows.iter().any(|window| window.left_out > 0)
    }
}

impl<K> Window<K> {
    fn left_out(self, now: Instant) -> Option<LeftOut> {
        (self.left_out > 0).then(|| LeftOut {
            level: self.level,
            like: self.like,
            lines: self.left_out,
            within: now.saturating_duration_since(self.begun),
        })
    }
}

impl LeftOut {
    /// The line that says it, in the form of an event.
    pub(super) fn note(&self, json: bool) -> Vec<u8> {
        let LeftOut {
            level,
            like,
            lines,
            within,
        } = self;
        let seconds = within.as_secs();
        let fields: [(&str, Value); 3] = [
            ("lines", json!(lines)),
            ("seconds", json!(seconds)),
            ("like", json!(like)),
        ];
        shape::line(*level, "more such lines were left out", &fields, json)
    }
}

/// Events of which there may be only so many.
#[derive(Debug)]
pub(super) struct Kind {
    /// Where in the program they are told.
    pub(super) place: Identifier,
    /// How serious they are.
    pub(super) level: Level,
    /// How many are written.
    pub(super) bound: Bound,
}

impl Kind {
    /// That of an event; `None` where something else has a bound for it.
    pub(super) fn of(event: &Metadata<'_>) -> Option<Kind> {
        let bound = match event.target() {
            // What other programs print as workers has a limit of its own, for each of them.
            "taskqueue::tender::printed" => return None,
            "taskqueue::worker::say::ended" => WORK,
            _ => TROUBLE,
        };
        Some(Kind {
            place: event.callsite(),
            level: *event.level(),
            bound,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the kinds at these seconds: how many of each are written, and what is said to be left out.
    fn told(
        bound: Bound,
        lines: &[(&'static str, u64, u32)],
    ) -> (Vec<u32>, Vec<(String, u64, u64)>) {
        let begun = Instant::now();
        let mut limits = Limits::new();
        let (mut written, mut left_out) = (Vec::new(), Vec::new());
        for (kind, second, count) in lines {
            let now = begun + Duration::from_secs(*second);
            left_out.extend(limits.over(now));
            let admitted = (0..*count).filter(|_| {
                limits.admit(kind, (bound, Level::WARN), now, || format!("about {kind}"))
            });
            written.push(u32::try_from(admitted.count()).unwrap());
        }
        left_out.extend(limits.end(begun + Duration::from_secs(1000)));
        assert!(!limits.owes());
        let said = left_out.into_iter();
        (
            written,
            said.map(|left| (left.like, left.lines, left.within.as_secs()))
                .collect(),
        )
    }

    #[test]
    fn as_many_are_written_as_people_read_and_the_others_counted() {
        let about = |kind: &str, lines, seconds| (format!("about {kind}"), lines, seconds);
        for (lines, written, left_out) in [
            (&[("a", 0, 300)][..], &[300][..], vec![]),
            (&[("a", 0, 301)], &[300], vec![about("a", 1, 1000)]),
            // One kind hides no other.
            (
                &[("a", 0, 1000), ("b", 1, 1)],
                &[300, 1],
                vec![about("a", 700, 1000)],
            ),
            // The next window, begun by the next line.
            (
                &[("a", 0, 1000), ("a", 29, 5), ("a", 31, 5)],
                &[300, 0, 5],
                vec![about("a", 705, 31)],
            ),
            // Whoever says another thing says it too.
            (
                &[("a", 0, 301), ("b", 40, 1)],
                &[300, 1],
                vec![about("a", 1, 40)],
            ),
            // Ten lines a second are nothing.
            (
                &[
                    ("a", 0, 150),
                    ("a", 15, 150),
                    ("a", 30, 150),
                    ("a", 45, 150),
                ],
                &[150; 4],
                vec![],
            ),
        ] {
            assert_eq!(
                told(TROUBLE, lines),
                (written.to_vec(), left_out),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_days_work_is_some_lines_each_second() {
        let about = |lines, seconds| ("about a".to_owned(), lines, seconds);
        let lines = [("a", 0, 20), ("a", 1, 1000), ("a", 2, 5)];
        let said = told(WORK, &lines);
        assert_eq!(said, (vec![20, 20, 5], vec![about(980, 1)]));
    }

    #[test]
    fn a_note_says_what_it_is_about() {
        let left = LeftOut {
            like: "refused a task".into(),
            lines: 12_345,
            level: Level::WARN,
            within: TROUBLE.window,
        };
        let note = String::from_utf8(left.note(false)).unwrap();
        assert!(
            note.ends_with("  WARN more such lines were left out lines=12345 seconds=30 like=\"refused a task\"\n"),
            "{note}"
        );
        let note: serde_json::Value = serde_json::from_slice(&left.note(true)).unwrap();
        assert_eq!(
            (&note["lines"], &note["like"]),
            (&json!(12_345), &json!("refused a task"))
        );
    }
}
