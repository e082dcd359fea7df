//! How events look: as `tracing` writes them, with nothing in their values that a terminal would obey or that a reader
//! of lines would take for another event.

use std::fmt;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::harmless;

/// The only value with lines of its own, which no stranger has a word in.
const BACKTRACE: &str = "backtrace";

/// The fields of an event for people: the message bare, everything else as `name=value`.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> {
    debug_fn(field).delimited(" ")
}

fn field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let name = field.name();
    let value = match name {
        BACKTRACE => harmless::lines(&value),
        _ => harmless::one_line(&value),
    };
    match (name, to.has_ansi_escapes()) {
        ("message", _) => write!(to, "{value}"),
        // The name in italics, the sign faint.
        (_, true) => write!(to, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        (_, false) => write!(to, "{name}={value}"),
    }
}

/// An event that is written as JSON already.
pub(super) fn json(event: &[u8]) -> Vec<u8> {
    harmless::json(&String::from_utf8_lossy(event))
        .into_owned()
        .into_bytes()
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

    fn logged(colours: bool) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let log = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_ansi(colours)
            .fmt_fields(fields())
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
        assert_eq!(logged(false), expected);
    }

    #[test]
    fn colours_are_ours() {
        let said = logged(true);
        assert!(
            said.contains("\u{1b}[3mnumber\u{1b}[0m\u{1b}[2m=\u{1b}[0m7"),
            "{said}"
        );
        assert!(
            !said.contains("\u{1b}[2J") && !said.contains('\u{9b}'),
            "{said}"
        );
    }
}
