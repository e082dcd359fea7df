//! Reading the lines: bytes in, the newest of each key out. What is wrong is told, and harms nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{LONGEST_WAIT, OUT_OF_RANGE, Progress, RESULT, Reported, TEXT};

/// The longest line, in bytes: a result, and whatever else one says with it.
pub const LINE: usize = RESULT + 16 * 1024;

/// So many lines that were not taken are told one by one; the others are only counted, or they would fill what is kept
/// of a command's output.
const TOLD: u64 = 10;

/// As much of such a line is told.
const EXCERPT: usize = 200;

/// How a duration is read.
type Durations = fn(&str) -> Result<Duration, String>;

/// Takes what a command writes, piece by piece.
#[derive(Debug)]
pub struct Reader {
    durations: Durations,
    /// The line that has begun. Never holds more than [`LINE`].
    line: Vec<u8>,
    /// The line that has begun is too long: it is left out.
    is_too_long: bool,
    newest: Reported,
    /// How far the command is was said since somebody asked.
    has_news: bool,
    /// Lines that were not taken.
    refused: u64,
}

impl Reader {
    /// Of a command that has said nothing yet.
    pub fn new(durations: Durations) -> Reader {
        Reader {
            durations,
            line: Vec::new(),
            is_too_long: false,
            newest: Reported::default(),
            has_news: false,
            refused: 0,
        }
    }

    /// Takes what was read. What is wrong is told in lines for the attempt's output.
    pub fn push(&mut self, bytes: &[u8], tell: &mut dyn FnMut(&str)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // The last one goes on, or is empty.
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.line.is_empty() && !self.is_too_long && piece.len() <= LINE {
                self.take(piece, tell);
            } else {
                self.begin(piece);
                self.end(tell);
            }
        }
        self.begin(rest);
    }

    fn begin(&mut self, piece: &[u8]) {
        if self.line.len().saturating_add(piece.len()) > LINE {
            self.is_too_long = true;
            self.line.clear();
        }
        if !self.is_too_long {
            self.line.extend_from_slice(piece);
        }
    }

    fn end(&mut self, tell: &mut dyn FnMut(&str)) {
        if std::mem::take(&mut self.is_too_long) {
            self.refuse(&format!("a line is longer than {LINE} bytes"), b"", tell);
            return;
        }
        let line = std::mem::take(&mut self.line);
        self.take(&line, tell);
    }

    fn take(&mut self, line: &[u8], tell: &mut dyn FnMut(&str)) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match said(line, self.durations) {
            Ok(said) => {
                self.has_news |= !said.reported.progress.is_empty();
                self.newest.add(said.reported);
                if let Some(key) = said.unknown {
                    let why = format!(
                        "there is no key {key:?}; the others of its line are taken (known are progress, message, \
                         result, retry_in and fail)"
                    );
                    self.refuse(&why, b"", tell);
                }
            }
            Err(why) => self.refuse(&why, line, tell),
        }
    }

    fn refuse(&mut self, why: &str, line: &[u8], tell: &mut dyn FnMut(&str)) {
        self.refused = self.refused.saturating_add(1);
        if self.refused > TOLD {
            return;
        }
        let shown = String::from_utf8_lossy(line.get(..EXCERPT).unwrap_or(line));
        let more = if line.len() > EXCERPT { "…" } else { "" };
        match line.is_empty() {
            true => tell(&format!("taskqueue: not taken from the report: {why}\n")),
            false => tell(&format!(
                "taskqueue: not taken from the report: {why}: {}{more}\n",
                shown.trim_end()
            )),
        }
    }

    /// How far the command is, if it has said anything of that since this was asked before.
    pub fn news(&mut self) -> Option<Progress> {
        std::mem::take(&mut self.has_news).then(|| self.newest.progress.clone())
    }

    /// All that the command has said, when it has ended. A last line need not end in a line feed.
    pub fn finish(mut self, tell: &mut dyn FnMut(&str)) -> Reported {
        self.end(tell);
        let untold = self.refused.saturating_sub(TOLD);
        if untold > 0 {
            tell(&format!(
                "taskqueue: not taken from the report: {untold} further lines\n"
            ));
        }
        self.newest
    }
}

impl Reported {
    /// What is said later counts, key by key.
    fn add(&mut self, newer: Reported) {
        let Reported {
            progress: Progress { percent, message },
            result,
            retry_in,
            fail,
        } = newer;
        let of = &mut self.progress;
        of.percent = percent.or(of.percent);
        of.message = message.or(of.message.take());
        self.result = result.or(self.result.take());
        self.retry_in = retry_in.or(self.retry_in);
        self.fail = fail.or(self.fail.take());
    }
}

/// What one line says.
struct Said {
    reported: Reported,
    /// A key that nobody knows.
    unknown: Option<String>,
}

/// Reads one line: all of it, or nothing where something in it is wrong.
fn said(line: &[u8], durations: Durations) -> Result<Said, String> {
    let keys: BTreeMap<String, &RawValue> = serde_json::from_slice(line)
        .map_err(|error| format!("a line is to be a JSON object ({})", why_not(&error)))?;
    let (mut reported, mut unknown) = (Reported::default(), None);
    for (key, value) in keys {
        let value = value.get();
        // As programs write what they have not got.
        if value == "null" && key != "result" {
            continue;
        }
        match key.as_str() {
            "progress" => reported.progress.percent = Some(percent(value)?),
            "message" => reported.progress.message = Some(text(&key, value)?),
            "result" => reported.result = Some(result(value)?),
            "retry_in" | "snooze" => reported.retry_in = Some(wait(&key, value, durations)?),
            "fail" => reported.fail = Some(text(&key, value)?),
            _ => unknown = Some(key),
        }
    }
    Ok(Said { reported, unknown })
}

/// Why that is no JSON. Where in a line that is, says nothing to whoever has written it.
fn why_not(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let before = said
        .split_once(" at line ")
        .map(|(before, _)| before.to_owned());
    before.unwrap_or(said)
}

fn percent(value: &str) -> Result<f64, String> {
    let percent: f64 =
        serde_json::from_str(value).map_err(|_| "progress is to be a number, such as 40")?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent),
        false => Err(OUT_OF_RANGE.into()),
    }
}

/// Cut where it is too long.
fn text(key: &str, value: &str) -> Result<String, String> {
    let mut text: String =
        serde_json::from_str(value).map_err(|_| format!("{key} is to be a string"))?;
    if text.len() > TEXT {
        const CUT: &str = "…";
        let mut end = TEXT.saturating_sub(CUT.len());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
        text.push_str(CUT);
    }
    Ok(text)
}

fn result(value: &str) -> Result<String, String> {
    match value.len() {
        ..=RESULT => Ok(value.to_owned()),
        size => Err(format!("a result of {size} bytes is longer than {RESULT}")),
    }
}

fn wait(key: &str, value: &str, durations: Durations) -> Result<Duration, String> {
    let written = match value.starts_with('"') {
        true => {
            serde_json::from_str(value).map_err(|error| format!("{key}: {}", why_not(&error)))?
        }
        false => value.to_owned(),
    };
    let wait = durations(&written).map_err(|why| format!("{key}: {why}"))?;
    match wait <= LONGEST_WAIT {
        true => Ok(wait),
        false => Err(format!("{key} is 3650 days at most")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Only seconds: the core knows no library that reads more.
    fn seconds(text: &str) -> Result<Duration, String> {
        let seconds = text.trim_end_matches('s').parse();
        let seconds = seconds.map_err(|_| format!("'{text}' is no duration"))?;
        Duration::try_from_secs_f64(seconds).map_err(|_| format!("'{text}' is no duration"))
    }

    /// What these bytes say, and what is told of them.
    fn read(bytes: &[u8]) -> (Reported, String) {
        let (mut reader, mut told) = (Reader::new(seconds), String::new());
        reader.push(bytes, &mut |line| told += line);
        let reported = reader.finish(&mut |line| told += line);
        (reported, told)
    }

    #[test]
    fn of_each_key_the_newest_counts() {
        let lines = concat!(
            "{\"progress\":40,\"message\":\"half\"}\n\n",
            "{\"progress\":50.5}\r\n",
            "{\"result\":{\"a\":[1, 2.50]},\"message\":null}\n",
            "{\"retry_in\":\"300s\"} \n{\"snooze\":1.5}\n",
            "{\"fail\":\"no\\nsuch\"}"
        );
        let (reported, told) = read(lines.as_bytes());
        let expected = Reported {
            progress: Progress {
                percent: Some(50.5),
                message: Some("half".into()),
            },
            result: Some("{\"a\":[1, 2.50]}".into()),
            retry_in: Some(Duration::from_millis(1500)),
            fail: Some("no\nsuch".into()),
        };
        assert_eq!((reported, told.as_str()), (expected, ""));
    }

    #[test]
    fn what_is_wrong_is_told_and_all_of_its_line_left_out() {
        for (line, why) in [
            (r#"{"progress":101,"message":"m"}"#, OUT_OF_RANGE),
            (r#"{"progress":-1}"#, OUT_OF_RANGE),
            (r#"{"progress":1e300}"#, OUT_OF_RANGE),
            (
                r#"{"progress":"40"}"#,
                "progress is to be a number, such as 40",
            ),
            (r#"{"message":7}"#, "message is to be a string"),
            (r#"{"fail":true}"#, "fail is to be a string"),
            (r#"{"retry_in":"soon"}"#, "retry_in: 'soon' is no duration"),
            (r#"{"retry_in":-5}"#, "retry_in: '-5' is no duration"),
            (r#"{"retry_in":1e9}"#, "retry_in is 3650 days at most"),
            ("40", "a line is to be a JSON object"),
            ("[1]", "a line is to be a JSON object"),
            ("{\"progress\":40", "a line is to be a JSON object"),
            ("hello", "a line is to be a JSON object"),
        ] {
            let (reported, told) = read(format!("{line}\n").as_bytes());
            assert_eq!(reported, Reported::default(), "{line}");
            let head = format!("taskqueue: not taken from the report: {why}");
            assert!(told.starts_with(&head), "{told}");
            assert!(told.ends_with(&format!(": {line}\n")), "{told}");
        }
        let (reported, told) = read(b"{\"progres\":1,\"message\":\"m\"}\n");
        assert_eq!(reported.progress.message.as_deref(), Some("m"));
        assert!(told.contains("there is no key \"progres\""), "{told}");
        let (_, told) = read(b"\xff\xfe\n");
        assert!(told.contains("JSON object"), "{told}");
    }

    #[test]
    fn what_is_too_long_is_left_out_or_cut() {
        let result = |size: usize| format!("{{\"result\":\"{}\"}}\n", "x".repeat(size - 2));
        assert!(read(result(RESULT).as_bytes()).0.result.is_some());
        let (reported, told) = read(result(RESULT + 1).as_bytes());
        assert_eq!(reported.result, None);
        assert!(told.contains("longer than 65536"), "{told}");
        let long = format!(
            "{{\"message\":\"{}\"}}\n{{\"progress\":7}}\n",
            "é".repeat(LINE)
        );
        let (reported, told) = read(long.as_bytes());
        assert_eq!(reported.progress.percent, Some(7.0), "the next line counts");
        assert_eq!(reported.progress.message, None);
        assert!(
            told.contains(&format!("longer than {LINE} bytes")),
            "{told}"
        );
        let (reported, told) = read(format!("{{\"fail\":\"{}\"}}", "é".repeat(TEXT)).as_bytes());
        let reason = reported.fail.unwrap();
        assert!(
            reason.len() <= TEXT && reason.ends_with("é…"),
            "{}",
            reason.len()
        );
        assert_eq!(told, "");
    }

    #[test]
    fn many_wrong_lines_are_counted() {
        let (_, told) = read("x\n".repeat(1000).as_bytes());
        assert_eq!(told.lines().count(), 11);
        assert!(told.ends_with(": 990 further lines\n"), "{told}");
    }

    #[test]
    fn how_far_it_is_is_news_once() {
        let mut reader = Reader::new(seconds);
        assert_eq!(reader.news(), None);
        reader.push(b"{\"progress\":1}\n{\"progress\":2}\n{\"prog", &mut |_| {});
        assert_eq!(reader.news().and_then(|news| news.percent), Some(2.0));
        assert_eq!(reader.news(), None);
        reader.push(b"ress\":3}\n{\"retry_in\":5}\n", &mut |_| {});
        assert_eq!(reader.news().and_then(|news| news.percent), Some(3.0));
        reader.push(b"{\"result\":5}\n", &mut |_| {});
        assert_eq!(reader.news(), None);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_pieces_end(
            lines in prop::collection::vec(
                prop_oneof![
                    Just("{\"progress\":1}"), Just("{\"progress\":200}"), Just("{\"message\":\"m\"}"),
                    Just("x"), Just(""),
                ], 0..20),
            cuts in prop::collection::vec(1usize..9, 0..200),
            ends in any::<bool>(),
        ) {
            let mut bytes = lines.join("\n").into_bytes();
            if ends { bytes.push(b'\n'); }
            let whole = read(&bytes);
            let (mut reader, mut told) = (Reader::new(seconds), String::new());
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                reader.push(piece, &mut |line| told += line);
                rest = after;
            }
            reader.push(rest, &mut |line| told += line);
            let reported = reader.finish(&mut |line| told += line);
            prop_assert_eq!((reported, told), whole);
        }

        #[test]
        fn nothing_panics_and_nothing_grows(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let (reported, told) = read(&bytes);
            prop_assert!(told.len() < 12 * 600);
            prop_assert!(reported.progress.percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }
    }
}
