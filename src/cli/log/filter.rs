//! Which events are written, as people say it.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::harmless::one_line;

/// Levels separated by commas, each for all events or, as in `taskqueue::worker=debug`, for those of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// As the flag takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for `tracing`. The library that brings a schema up to date tells at info what is for those who look
    /// closely: its steps, with the folders of whoever built it. Of that [`crate::sqlite`] has a line.
    ///
    /// # Errors
    /// When that reads it otherwise.
    pub(super) fn events(&self) -> Result<EnvFilter, String> {
        const LIBRARY: &str = "refinery_core";
        let tells = |word: &str| matches!(word.parse(), Ok(LevelFilter::INFO));
        let filter = match self.0.split(',').any(tells) && !self.0.contains(LIBRARY) {
            true => format!("{},{LIBRARY}=warn", self.0),
            false => self.0.clone(),
        };
        EnvFilter::try_new(filter).map_err(|error| format!("it is no filter for events: {error}"))
    }
}

impl FromStr for Filter {
    type Err = String;

    /// `EnvFilter` takes any other word for the name of a module, and so every event would be silenced that is not of
    /// that module.
    fn from_str(text: &str) -> Result<Filter, String> {
        if let Some(word) = text.split(',').find(|word| !is_known(word)) {
            return Err(format!(
                "'{}' is no level of events: levels are off, error, warn, info, debug and trace; a filter names \
                 modules too, as in taskqueue::worker=debug,info",
                one_line(word)
            ));
        }
        let filter = Filter(text.to_owned());
        filter.events().map(|_| filter)
    }
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
            assert!(text.parse::<Filter>().is_ok(), "{text}");
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
            let said = text.parse::<Filter>().unwrap_err();
            assert!(said.contains("error, warn, info, debug"), "{text}: {said}");
        }
    }
}
