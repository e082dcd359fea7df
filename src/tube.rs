//! A tube's name, checked once where it enters the program.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most bytes a tube's name may have (beanstalkd protocol, "use").
pub const MAX_LEN: usize = 200;

/// A name that beanstalkd accepts: 1 to 200 bytes of `A-Z a-z 0-9 - + / ; . $ _ ( )`, the first of
/// them no hyphen (protocol, "Names").
///
/// Only a checked name is ever written to a connection, so no name can smuggle in a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TubeName(String);

/// Why a name is not a tube's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTubeName {
    /// Nothing at all.
    #[error("a tube's name cannot be empty")]
    Empty,
    /// Longer than [`MAX_LEN`].
    #[error("a tube's name has at most {MAX_LEN} bytes, this one has {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Its first byte is a hyphen.
    #[error("the tube name '{name}' begins with a hyphen")]
    LeadingHyphen {
        /// The name as it was given.
        name: String,
    },
    /// Holds something that no name may hold.
    #[error(
        "the tube name {name:?} has {found:?} in it; allowed are letters, digits and - + / ; . $ _ ( )"
    )]
    Character {
        /// The name as it was given.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

impl TubeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TubeName {
    type Error = BadTubeName;

    fn try_from(name: String) -> Result<Self, BadTubeName> {
        name.parse()
    }
}

impl From<TubeName> for String {
    fn from(tube: TubeName) -> String {
        tube.0
    }
}

impl FromStr for TubeName {
    type Err = BadTubeName;

    fn from_str(name: &str) -> Result<Self, BadTubeName> {
        if name.is_empty() {
            return Err(BadTubeName::Empty);
        }
        if name.len() > MAX_LEN {
            return Err(BadTubeName::TooLong { len: name.len() });
        }
        if name.starts_with('-') {
            return Err(BadTubeName::LeadingHyphen { name: name.into() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-+/;.$_()".contains(c);
        match name.chars().find(|&c| !allowed(c)) {
            Some(found) => Err(BadTubeName::Character {
                name: name.into(),
                found,
            }),
            None => Ok(Self(name.into())),
        }
    }
}

impl Default for TubeName {
    /// The tube that every new beanstalkd connection uses and watches (protocol, "Job Lifecycle").
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for TubeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let longest = "t".repeat(MAX_LEN);
        for good in ["default", "a", "A-+/;.$_()9", "_-", longest.as_str()] {
            assert_eq!(good.parse::<TubeName>().unwrap().as_str(), good);
        }
        let too_long = "t".repeat(MAX_LEN + 1);
        for bad in [
            "",
            "-a",
            "a b",
            "a\r\nput",
            "ä",
            "a\0",
            "a,b",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<TubeName>().is_err(), "{bad:?} was accepted");
        }
    }
}
