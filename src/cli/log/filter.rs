//! Which events are written, as people say it.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::super::Failure;
use super::super::global::LogFrom;
use super::super::print::harmless;

/// Levels separated by commas, each for all events or, as in `taskqueue::worker=debug`, for those of a module.
///
/// `EnvFilter` takes any other word for the name of a module, and so every event would be silenced that is not of that
/// module.
pub(super) fn read(text: &str, from: LogFrom) -> Result<EnvFilter, Failure> {
    if let Some(word) = text.split(',').find(|word| !is_known(word)) {
        let word = harmless(word);
        return Err(
            Failure::usage(format!("'{word}' in {from} is no level of events")).next(
                "levels are off, error, warn, info, debug and trace; a filter names modules too, as in \
             taskqueue::worker=debug,info",
            ),
        );
    }
    EnvFilter::try_new(text).map_err(|error| {
        let text = harmless(text);
        Failure::usage(format!(
            "'{text}' in {from} is no filter for events: {error}"
        ))
    })
}

fn is_known(word: &str) -> bool {
    match word.rsplit_once('=') {
        Some((module, level)) => is_path(module) && is_level(level),
        None => {
            is_level(word)
                || word == "taskqueue"
                || (word.starts_with("taskqueue::") && is_path(word))
        }
    }
}

fn is_level(word: &str) -> bool {
    // Nothing is a level too, to whoever wrote that.
    !word.is_empty() && word.parse::<LevelFilter>().is_ok()
}

fn is_path(text: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split("::")
        .all(|part| !part.is_empty() && part.chars().all(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules_are_known() {
        for text in [
            "info",
            "WARN",
            "off",
            "taskqueue",
            "taskqueue::worker",
            "taskqueue::worker=debug,info",
            "refinery_core=off,debug",
        ] {
            assert!(read(text, LogFrom::Flag).is_ok(), "{text}");
        }
    }

    #[test]
    fn whatever_would_silence_the_rest_is_refused() {
        for text in [
            "",
            "verbose",
            "info\r",
            "\"info\"",
            "info,",
            "a=b=c",
            "=info",
            "taskqueue=",
            "taskqueue::",
            "taskqueue::worker=loud",
            "[span]=info",
            "info debug",
        ] {
            let said = read(text, LogFrom::Variable).unwrap_err().to_string();
            assert!(said.contains("TASKQUEUE_LOG"), "{text}: {said}");
            assert!(said.contains("error, warn, info, debug"), "{text}: {said}");
        }
    }
}
