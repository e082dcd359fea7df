//! How events look: as `tracing` writes them, with nothing in their values that a terminal would obey or that a reader
//! of lines would take for another event.

use std::fmt;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::Value;
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::harmless;

/// The only value with lines of its own, which no stranger has a word in.
const BACKTRACE: &str = "backtrace";

/// Where an event says of which worker it is.
const WORKER: &str = "worker";

/// The worker that this process is.
static NAME: OnceLock<String> = OnceLock::new();

/// Says which worker this process is: each line has its name from now on, also what it shares with others says.
pub(super) fn is_worker(name: &str) {
    let _ = NAME.set(name.to_owned());
}

fn name() -> Option<&'static str> {
    NAME.get().map(String::as_str)
}

/// The fields of an event for people: the message bare, the worker's name where that is known, everything else as
/// `name=value`.
#[derive(Debug)]
pub(super) struct Fields(Option<&'static str>);

/// The fields of this process's events.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> {
    Named
}

/// Fields with the name that the process has by then.
struct Named;

impl<'writer> FormatFields<'writer> for Named {
    fn format_fields<R: RecordFields>(&self, to: Writer<'writer>, fields: R) -> fmt::Result {
        Fields(name()).format_fields(to, fields)
    }
}

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, mut to: Writer<'writer>, fields: R) -> fmt::Result {
        let mut sought = Sought(false);
        fields.record(&mut sought);
        let mut written = Written {
            to: &mut to,
            worker: self.0.filter(|_| !sought.0),
            is_first: true,
            outcome: Ok(()),
        };
        fields.record(&mut written);
        written.name();
        written.outcome
    }
}

/// Whether an event says itself of which worker it is.
struct Sought(bool);

impl Visit for Sought {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        self.0 |= field.name() == WORKER;
    }
}

/// Fields as they are written one after the other.
struct Written<'a, 'writer> {
    to: &'a mut Writer<'writer>,
    /// A name that is to be written yet.
    worker: Option<&'static str>,
    is_first: bool,
    outcome: fmt::Result,
}

impl Visit for Written<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Where an event of a library came from, in the folders of whoever built it.
        if field.name().starts_with("log.") {
            return;
        }
        if field.name() != MESSAGE {
            self.name();
        }
        self.write(field.name(), value);
    }
}

/// The field that is no field to readers.
pub(super) const MESSAGE: &str = "message";

impl Written<'_, '_> {
    fn name(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.write(WORKER, &worker);
        }
    }

    fn write(&mut self, name: &str, value: &dyn fmt::Debug) {
        let space = if self.is_first { "" } else { " " };
        self.is_first = false;
        let field = field(name, value, self.to.has_ansi_escapes());
        self.outcome = self
            .outcome
            .and_then(|()| write!(self.to, "{space}{field}"));
    }
}

fn field(name: &str, value: &dyn fmt::Debug, colours: bool) -> String {
    let value = format!("{value:?}");
    let value = match name {
        BACKTRACE => harmless::lines(&value),
        _ => harmless::one_line(&value),
    };
    match (name, colours) {
        (MESSAGE, _) => value.into_owned(),
        // The name in italics, the sign faint.
        (_, true) => format!("\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        (_, false) => format!("{name}={value}"),
    }
}

/// An event that is written as JSON already.
pub(super) fn json(event: &[u8]) -> Vec<u8> {
    named_json(&String::from_utf8_lossy(event), name())
}

fn named_json(event: &str, worker: Option<&str>) -> Vec<u8> {
    const LEVEL: &str = "\"level\":\"";
    let mut line = harmless::json(event).into_owned();
    // In a string there would be a backslash before the sign.
    let has_name = line.contains(&format!(",\"{WORKER}\":"));
    let after_level = line.find(LEVEL).and_then(|level| {
        let value = level.saturating_add(LEVEL.len());
        let comma = line.get(value..)?.find(',')?;
        Some(value.saturating_add(comma).saturating_add(1))
    });
    if let (Some(worker), Some(at), false) = (worker, after_level, has_name) {
        let worker = Value::from(worker).to_string();
        line.insert_str(at, &format!("\"{WORKER}\":{},", harmless::json(&worker)));
    }
    line.into_bytes()
}

/// A line in the form of an event, of what becomes of the lines themselves.
pub(super) fn line(level: Level, message: &str, fields: &[(&str, Value)], json: bool) -> Vec<u8> {
    let now = format!("{:.6}", Timestamp::now());
    let level = level.as_str();
    if json {
        let known = [
            ("timestamp", now.into()),
            ("level", level.into()),
            (MESSAGE, message.into()),
        ];
        let mut line = serde_json::Map::new();
        let worker = name().map(|name| (WORKER, name.into()));
        for (name, value) in known
            .into_iter()
            .chain(worker)
            .chain(fields.iter().cloned())
        {
            line.insert(name.to_owned(), value);
        }
        return format!("{}\n", harmless::json(&Value::from(line).to_string())).into_bytes();
    }
    let mut line = format!("{now} {level:>5} {message}");
    for (name, value) in name()
        .map(|name| (WORKER, name.into()))
        .into_iter()
        .chain(fields.iter().cloned())
    {
        let value = match value {
            Value::String(text) => field(name, &text, false),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => format!("{name}={value}"),
        };
        line.push(' ');
        line.push_str(&value);
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(colours: bool, worker: Option<&'static str>) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let log = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_ansi(colours)
            .fmt_fields(Fields(worker))
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            let evil = "a\n WARN b\u{9b}31m\u{202e}\u{1b}[2J";
            tracing::warn!(number = 7, said = evil, error = %evil, "it {evil}");
            tracing::info!(backtrace = %"0: main\n1: more\u{1b}", "panicked");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_a_line_whatever_is_in_it() {
        const EVIL: &str = r"a\u{a} WARN b\u{9b}31m\u{202e}\u{1b}[2J";
        let quoted = r#""a\n WARN b\u{9b}31m\u{202e}\u{1b}[2J""#;
        let expected = format!(
            " WARN it {EVIL} number=7 said={quoted} error={EVIL}\n INFO panicked backtrace=0: main\n1: more\\u{{1b}}\n"
        );
        assert_eq!(logged(false, None), expected);
    }

    #[test]
    fn colours_are_ours() {
        let said = logged(true, None);
        assert!(
            said.contains("\u{1b}[3mnumber\u{1b}[0m\u{1b}[2m=\u{1b}[0m7"),
            "{said}"
        );
        assert!(
            !said.contains("\u{1b}[2J") && !said.contains('\u{9b}'),
            "{said}"
        );
    }

    #[test]
    fn each_line_of_a_worker_has_its_name() {
        let quoted = r#"worker="a\n\u{9b}""#;
        let said = logged(false, Some("a\n\u{9b}"));
        let expected = format!("{quoted} number=7");
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].contains(&expected), "{said}");
        assert!(
            lines[1].contains(&format!("panicked {quoted} backtrace=")),
            "{said}"
        );

        let of = |event| String::from_utf8(named_json(event, Some("a\"\n"))).unwrap();
        let event = r#"{"timestamp":"t","level":"INFO","message":"began,\"worker\":"}"#;
        let parsed: Value = serde_json::from_str(&of(event)).unwrap();
        assert_eq!(parsed["worker"], "a\"\n");
        assert_eq!(parsed["message"], "began,\"worker\":");
        let event = r#"{"timestamp":"t","level":"INFO","message":"began","worker":"b"}"#;
        assert_eq!(of(event), event);
    }
}
