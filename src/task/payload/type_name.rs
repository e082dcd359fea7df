//! The name of a body's type, which is a PHP class's.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use super::excerpt::excerpt;
use super::rules::MAX_NAME_LEN;

/// A PHP class's name with its namespace: at most 200 bytes; parts of letters, digits and `_`, none
/// beginning with a digit, separated by backslashes. As in PHP, everything beyond ASCII is a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(String);

/// The text is no class's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is no class name: at most {MAX_NAME_LEN} bytes of letters, digits and _, with a \\ between the parts \
         and none before the first"
)]
pub struct BadTypeName {
    name: String,
}

impl FromStr for TypeName {
    type Err = BadTypeName;

    fn from_str(name: &str) -> Result<Self, BadTypeName> {
        match is_class_name(name) {
            true => Ok(Self(name.into())),
            false => Err(BadTypeName {
                name: excerpt(name),
            }),
        }
    }
}

impl Borrow<str> for TypeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// As it stands in a TOML key, quotes included.
impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

pub(super) fn is_class_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let is_part = |part: &str| {
        part.starts_with(letter) && part.chars().all(|c| letter(c) || c.is_ascii_digit())
    };
    name.len() <= MAX_NAME_LEN && name.split('\\').all(is_part)
}
