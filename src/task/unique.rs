//! Keys that no two tasks have at a time.
//!
//! The row of the task that has a key is what keeps others from having the key: nothing else says that a key is taken,
//! and so nothing is left over that would have to be given up.

use std::fmt;
use std::str::FromStr;

use super::Millis;

/// The longest key, in bytes.
pub const LONGEST: usize = 200;

/// That a task is not to be put while another has its key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unique {
    /// The key; `None`: one that is made of what the task asks for.
    pub key: Option<Key>,
    /// For how long the task has the key.
    pub scope: Scope,
    /// What becomes of the put if another task has the key.
    pub if_exists: IfExists,
}

/// A key: 1 to 200 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// For how long a task has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// While it waits, for its first attempt or for another.
    Waiting,
    /// While it waits or runs.
    #[default]
    Unfinished,
    /// For so many milliseconds from when it was put on, wherever it stands by then.
    For(Millis),
}

/// What becomes of a put whose key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// The task that has the key stays as it is, and is the answer.
    #[default]
    Keep,
    /// The same, but that it is given what the put says, if it waits.
    Replace,
    /// The put is refused.
    Refuse,
}

/// What a row holds of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The key.
    pub key: Key,
    /// For how long.
    pub span: Span,
}

/// For how long a row has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// While it waits.
    Waiting,
    /// While it waits or runs.
    Unfinished,
    /// Until then.
    Until(Millis),
}

impl Key {
    /// A key that is made of something else, by that one's digest.
    pub(super) fn of_digest(digest: [u8; 32]) -> Key {
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Key(format!("sha256:{digest}"))
    }

    /// The key, as it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// There is nothing in it.
    #[error("a key has a byte at least")]
    Empty,
    /// It is too long.
    #[error("a key has at most {LONGEST} bytes, and this has {given}")]
    TooLong {
        /// So many.
        given: usize,
    },
    /// Something in it does not show.
    #[error("a key has no control characters")]
    Control,
}

impl FromStr for Key {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Key, BadKey> {
        match text.len() {
            0 => return Err(BadKey::Empty),
            1..=LONGEST => {}
            given => return Err(BadKey::TooLong { given }),
        }
        if text.chars().any(char::is_control) {
            return Err(BadKey::Control);
        }
        Ok(Key(text.to_owned()))
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        match text {
            "waiting" => Ok(Scope::Waiting),
            "unfinished" => Ok(Scope::Unfinished),
            _ => {
                let wrong = || {
                    format!(
                        "'{text}' is neither waiting, unfinished, nor a duration, such as 600 for seconds, 10m or 7d"
                    )
                };
                match millis(text).ok_or_else(wrong)? {
                    0 => Err("a task has its key for a millisecond at least".into()),
                    millis => Ok(Scope::For(millis)),
                }
            }
        }
    }
}

/// A duration as bodies and people write it: `600` for seconds, `10m`, `1h 30m`, `7d`.
pub(super) fn millis(text: &str) -> Option<Millis> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Millis::from(seconds).checked_mul(1000);
    }
    let mut rest = text.trim();
    let mut sum: Option<Millis> = None;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, next) = after.split_at(end.unwrap_or(after.len()));
        let unit: Millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        let part = digits.parse::<Millis>().ok()?.checked_mul(unit)?;
        sum = Some(sum.unwrap_or(0).checked_add(part)?);
        rest = next.trim_start();
    }
    sum
}

/// As it is read.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Waiting => f.write_str("waiting"),
            Scope::Unfinished => f.write_str("unfinished"),
            Scope::For(millis) if millis % 1000 == 0 => write!(f, "{}s", millis / 1000),
            Scope::For(millis) => write!(f, "{millis}ms"),
        }
    }
}

/// As it is read.
impl fmt::Display for IfExists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IfExists::Keep => "keep",
            IfExists::Replace => "replace",
            IfExists::Refuse => "refuse",
        })
    }
}

impl FromStr for IfExists {
    type Err = String;

    fn from_str(text: &str) -> Result<IfExists, String> {
        match text {
            "keep" => Ok(IfExists::Keep),
            "replace" => Ok(IfExists::Replace),
            "refuse" => Ok(IfExists::Refuse),
            _ => Err(format!("'{text}' is neither keep, replace nor refuse")),
        }
    }
}

impl Span {
    /// As rows have it.
    pub fn word(self) -> &'static str {
        match self {
            Span::Waiting => "waiting",
            Span::Unfinished => "unfinished",
            Span::Until(_) => "until",
        }
    }

    /// When it ends, if a time ends it.
    pub fn until(self) -> Option<Millis> {
        match self {
            Span::Until(time) => Some(time),
            Span::Waiting | Span::Unfinished => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_scope_or_word_is_refused() {
        assert_eq!("".parse::<Key>(), Err(BadKey::Empty));
        assert_eq!("a\nb".parse::<Key>(), Err(BadKey::Control));
        assert!("x".repeat(200).parse::<Key>().is_ok());
        let given = 201;
        assert_eq!(
            "x".repeat(201).parse::<Key>(),
            Err(BadKey::TooLong { given })
        );
        assert_eq!("10m".parse(), Ok(Scope::For(600_000)));
        assert_eq!("1h 30m".parse(), Ok(Scope::For(5_400_000)));
        assert_eq!("90".parse(), Ok(Scope::For(90_000)));
        assert_eq!("waiting".parse(), Ok(Scope::Waiting));
        for bad in [
            "",
            "0",
            "running",
            "-5",
            "m",
            "5y",
            "5m x",
            "99999999999999999999d",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        assert!("Keep".parse::<IfExists>().is_err());
    }
}
