//! How often a task is tried, and after what.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The word for attempts without end.
pub const ENDLESS: &str = "endless";

/// How often a task is tried. What is without end is more than any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempts {
    /// So often at the most; at least 1.
    Most(u32),
    /// Until it is done, or somebody calls it off.
    Endless,
}

impl Attempts {
    /// Whether there is another after so many that count.
    pub fn allow_another(self, spent: u32) -> bool {
        match self {
            Attempts::Most(most) => spent < most,
            Attempts::Endless => true,
        }
    }
}

impl From<u32> for Attempts {
    fn from(most: u32) -> Attempts {
        Attempts::Most(most)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempts::Most(most) => write!(f, "{most}"),
            Attempts::Endless => f.pad(ENDLESS),
        }
    }
}

impl FromStr for Attempts {
    type Err = String;

    fn from_str(text: &str) -> Result<Attempts, String> {
        if text == ENDLESS {
            return Ok(Attempts::Endless);
        }
        let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(most) if most > 0 && is_number => Ok(Attempts::Most(most)),
            Ok(_) | Err(_) => Err(format!(
                "{text:?} is no number of attempts: write one from 1 to {}, or {ENDLESS}",
                u32::MAX
            )),
        }
    }
}

/// A way in which an attempt can fail so that another may go better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failing {
    /// Its command exited with another code than 0.
    Exit,
    /// Its command ran longer than it may.
    Timeout,
    /// A signal ended its command that we did not send, or the kernel's lack of memory.
    Signal,
    /// Its program could not be started.
    Start,
}

impl Failing {
    /// All of them.
    pub const ALL: [Failing; 4] = [
        Failing::Exit,
        Failing::Timeout,
        Failing::Signal,
        Failing::Start,
    ];

    /// What the configuration calls it.
    pub fn word(self) -> &'static str {
        match self {
            Failing::Exit => "exit",
            Failing::Timeout => "timeout",
            Failing::Signal => "signal",
            Failing::Start => "start",
        }
    }

    /// What has that name.
    pub fn from_word(word: &str) -> Option<Failing> {
        Failing::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// After what a task is tried again; after anything, unless it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn(BTreeSet<Failing>);

impl Default for RetryOn {
    fn default() -> RetryOn {
        RetryOn(Failing::ALL.into())
    }
}

impl RetryOn {
    /// After these.
    pub fn these(these: impl IntoIterator<Item = Failing>) -> RetryOn {
        RetryOn(these.into_iter().collect())
    }

    /// Whether it is tried again after that.
    pub fn has(&self, failing: Failing) -> bool {
        self.0.contains(&failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_attempts_is_read() {
        let table = [
            ("1", Some(Attempts::Most(1))),
            ("4294967295", Some(Attempts::Most(u32::MAX))),
            ("endless", Some(Attempts::Endless)),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("4294967296", None),
            ("Endless", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse().ok(), expected, "{text}");
            if let Some(attempts) = expected {
                assert_eq!(attempts.to_string(), text);
            }
        }
    }

    #[test]
    fn endless_is_more_than_any_number() {
        let table = [
            (Attempts::Most(1), 0, true),
            (Attempts::Most(1), 1, false),
            (Attempts::Most(u32::MAX), u32::MAX, false),
            (Attempts::Endless, 0, true),
            (Attempts::Endless, u32::MAX, true),
        ];
        for (attempts, spent, expected) in table {
            assert_eq!(
                attempts.allow_another(spent),
                expected,
                "{attempts} {spent}"
            );
        }
        assert!(Attempts::Endless > Attempts::Most(u32::MAX));
    }

    #[test]
    fn ways_of_failing_are_read_back() {
        for failing in Failing::ALL {
            assert_eq!(Failing::from_word(failing.word()), Some(failing));
            assert!(RetryOn::default().has(failing));
            assert!(!RetryOn::these([]).has(failing));
        }
        assert_eq!(Failing::from_word("exited"), None);
    }
}
