//! The names that a payload may use, checked once where they enter the program.

use std::fmt;
use std::str::FromStr;

use super::Refusal;
use super::refusal::excerpt;

/// The most bytes that a command's or an option's name may have.
pub const MAX_NAME_LEN: usize = 200;

/// A command's name: 1 to 200 bytes of `A-Z a-z 0-9 _ : -`, the first of them no hyphen.
///
/// It may become an element of an argv, so it can never be taken for an option there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandName(String);

/// An option's name without its two hyphens: 1 to 200 bytes of `A-Z a-z 0-9 _ -`, the first of them
/// no hyphen.
///
/// It holds no `=`, so the first `=` of `--name=value` is always ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionName(String);

/// What is wrong with a name; reads on after the name itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing at all.
    #[error("is empty")]
    Empty,
    /// Longer than [`MAX_NAME_LEN`].
    #[error("has {len} bytes, at most {MAX_NAME_LEN} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Its first character is a hyphen.
    #[error("begins with a hyphen")]
    LeadingHyphen,
    /// Holds something that no name may hold.
    #[error("has {found:?} in it; allowed are letters, digits and {allowed}")]
    Character {
        /// The first character that is not allowed.
        found: char,
        /// What is allowed besides letters and digits.
        allowed: &'static str,
    },
}

/// Says what is wrong with a name that may hold ASCII letters, digits and the `punctuation`, which
/// `allowed` lists for the reader.
fn check(name: &str, punctuation: &str, allowed: &'static str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(BadName::TooLong { len: name.len() });
    }
    if name.starts_with('-') {
        return Err(BadName::LeadingHyphen);
    }
    let known = |c: char| c.is_ascii_alphanumeric() || punctuation.contains(c);
    match name.chars().find(|&c| !known(c)) {
        Some(found) => Err(BadName::Character { found, allowed }),
        None => Ok(()),
    }
}

impl CommandName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OptionName {
    /// The name as text, without hyphens before it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandName {
    type Err = Refusal;

    fn from_str(name: &str) -> Result<Self, Refusal> {
        check(name, "_:-", "_ : -").map_err(|reason| Refusal::CommandName {
            name: excerpt(name),
            reason,
        })?;
        Ok(Self(name.into()))
    }
}

impl FromStr for OptionName {
    type Err = Refusal;

    fn from_str(name: &str) -> Result<Self, Refusal> {
        check(name, "_-", "_ -").map_err(|reason| Refusal::OptionName {
            name: excerpt(name),
            reason,
        })?;
        Ok(Self(name.into()))
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
