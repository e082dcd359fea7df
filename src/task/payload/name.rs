//! The names that a payload may use, checked once where they enter the program.

use std::fmt;
use std::str::FromStr;

use super::Refusal;
use super::excerpt::excerpt;
use super::rules::check;

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

impl CommandName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a hook's name begins with, and no other command's.
pub const HOOK: char = '@';

impl CommandName {
    /// Whether a name is a hook's.
    pub fn is_a_hook(name: &str) -> bool {
        name.starts_with(HOOK)
    }

    /// A hook's: it begins with what no body's may.
    pub(in crate::task) fn of_a_hook(name: String) -> CommandName {
        CommandName(name)
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
