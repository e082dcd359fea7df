//! Lines of one kind, as many as people read: what a stranger can cause a million times is written some hundred times,
//! and counted.
//!
//! A kind is a place in the program. Lines of one kind may be of different tasks, and so there may be hundreds; what
//! each task came to is in the store.

use std::mem;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

/// Written of one kind in one window.
pub(super) const MOST: u32 = 300;

/// How long a window is; it begins with a line.
pub(super) const WINDOW: Duration = Duration::from_secs(30);

/// The windows that are open. There are no more kinds than places in the program.
#[derive(Debug)]
pub(super) struct Limits<K> {
    windows: Vec<Window<K>>,
}

#[derive(Debug)]
struct Window<K> {
    kind: K,
    begun: Instant,
    lines: u32,
    left_out: u64,
    /// What the lines say that were left out.
    like: String,
}

/// Lines of one kind that were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
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
    pub(super) fn admit(&mut self, kind: &K, now: Instant, like: impl FnOnce() -> String) -> bool
    where
        K: Clone,
    {
        let Some(window) = self.windows.iter_mut().find(|window| window.kind == *kind) else {
            self.windows.push(Window {
                kind: kind.clone(),
                begun: now,
                lines: 1,
                left_out: 0,
                like: String::new(),
            });
            return true;
        };
        if window.lines < MOST {
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
        let is_over =
            |window: &mut Window<K>| now.saturating_duration_since(window.begun) >= WINDOW;
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
            like: self.like,
            lines: self.left_out,
            within: now.saturating_duration_since(self.begun),
        })
    }
}

impl LeftOut {
    /// The line that says it, in the form of an event.
    pub(super) fn note(&self, json: bool) -> Vec<u8> {
        const WHAT: &str = "more such lines were left out";
        let LeftOut {
            like,
            lines,
            within,
        } = self;
        let seconds = within.as_secs();
        let now = Timestamp::now();
        let note = if json {
            let now = format!("{now:.6}");
            let note = json!({
                "timestamp": now, "level": "WARN", "message": WHAT, "lines": lines, "seconds": seconds, "like": like,
            });
            format!("{note}\n")
        } else {
            format!("{now:.6}  WARN {WHAT} lines={lines} seconds={seconds} like={like:?}\n")
        };
        note.into_bytes()
    }
}

/// What an event says that was written so: its message, without its values.
pub(super) fn message(event: &[u8], json: bool) -> String {
    let event = String::from_utf8_lossy(event);
    if json {
        let event: serde_json::Value = serde_json::from_str(&event).unwrap_or_default();
        let message = event.get("message").and_then(serde_json::Value::as_str);
        return message.unwrap_or_default().to_owned();
    }
    let mut plain = String::new();
    for (at, part) in event.split("\u{1b}[").enumerate() {
        // What is before the first colour, and what is after the end of each.
        let text = match at {
            0 => part,
            _ => part.split_once('m').map_or("", |(_, text)| text),
        };
        plain.push_str(text);
    }
    // After the time and the level.
    let words = plain.split_whitespace().skip(2);
    let words: Vec<&str> = words.take_while(|word| !word.contains('=')).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the kinds at these seconds: how many of each are written, and what is said to be left out.
    fn told(lines: &[(&'static str, u64, u32)]) -> (Vec<u32>, Vec<(String, u64, u64)>) {
        let begun = Instant::now();
        let mut limits = Limits::new();
        let (mut written, mut left_out) = (Vec::new(), Vec::new());
        for (kind, second, count) in lines {
            let now = begun + Duration::from_secs(*second);
            left_out.extend(limits.over(now));
            let admitted =
                (0..*count).filter(|_| limits.admit(kind, now, || format!("about {kind}")));
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
            assert_eq!(told(lines), (written.to_vec(), left_out), "{lines:?}");
        }
    }

    #[test]
    fn a_note_says_what_it_is_about() {
        let plain = b"2026-11-22T10:59:19.604322Z  WARN refused a task and buried its job task=4 reason=\"a b\"\n";
        let coloured = b"\x1b[2m2026Z\x1b[0m \x1b[33m WARN\x1b[0m refused a task \x1b[3mtask\x1b[0m\x1b[2m=\x1b[0m4\n";
        let json = br#"{"timestamp":"t","level":"WARN","message":"refused a task","task":"4"}"#;
        assert_eq!(message(plain, false), "refused a task and buried its job");
        assert_eq!(message(coloured, false), "refused a task");
        assert_eq!(message(json, true), "refused a task");
        let left = LeftOut {
            like: "refused a task".into(),
            lines: 12_345,
            within: WINDOW,
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
